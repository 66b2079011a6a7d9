"""The judge Evidence without words and status: fast enough for tens of thousands of rollouts.

Tests, states and the estimate of bursts are the judge's own. What is left out is what is only written about a look; and for limits
on errors relative to stable, intervals in which neither version has an error, which change nothing but totals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from tidegate.api.gate import Gate
from tidegate.api.metric import Measure
from tidegate.backtest.simulate import EPOCH
from tidegate.backtest.traffic import Arm, Traffic
from tidegate.judge.evidence import bursts, pooling
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.paired import PairedTest
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Tally

_BLOCKS = 5
"""Place of the number of blocks in the state of the estimate of bursts: only with a new one is there another estimate."""


class ThinGate:
    """A gate over one generated rollout, looked at after each of its intervals.

    Args:
        gate: a gate that is judged by evidence.
        alpha: chance of a false alarm that it may take.
        traffic: what was generated.
    """

    def __init__(self, gate: Gate, alpha: float, traffic: Traffic) -> None:
        self._limits = limits_of(gate)
        self._gate = gate
        self._needed = -math.log(alpha)
        self._traffic = traffic

    def first_fail(self, canary: Arm, stable: Arm, last: int) -> int | None:
        """Return the number of looks after which the gate fails, among so many; None where it does not."""
        test = self._limits.tests[0]
        errors = self._limits.measure is Measure.ERROR_RATE and len(self._limits.tests) == 1
        if errors and isinstance(test, PairedTest) and test.offset == 0:
            return self._by_errors(test, canary, stable, last)
        trial = Trial(self._limits, "", EPOCH)
        for look, interval in enumerate(self._intervals(canary, stable, last), 1):
            trial.add(interval)
            if trial.harm() >= self._needed:
                return look
        return None

    def _by_errors(self, test: PairedTest, canary: Arm, stable: Arm, last: int) -> int | None:
        """Do what `Trial.add` and `Trial.harm` do, as far as they change the verdict."""
        state, stable_spread, own_spread, tick = test.begin(), bursts.begin(), bursts.begin(), self._traffic.tick
        weights, known = bursts.weights(bursts.joined(stable_spread, own_spread)), (0.0, 0.0, False)
        columns = zip(canary.total, canary.bad, stable.total, stable.bad, range(last), strict=False)
        waiting = pooling.begin()
        for total, bad, stable_total, stable_bad, look in columns:
            interval = Interval(Tally(total, bad), Tally(stable_total, stable_bad), look * tick, look * tick + tick)
            pooled = pooling.take(waiting, interval)
            if pooled is None or pooled.stable is None:
                continue
            n_c, e_c, n_b, e_b = pooled.canary.total, pooled.canary.bad, pooled.stable.total, pooled.stable.bad
            if e_c or e_b:
                test.add(state, pooled)
            else:
                state[0] += n_c
                state[2] += n_b
                test.remember(state, n_b, e_b)
            if not bursts.telling(stable_spread):
                bursts.add(own_spread, n_c, e_c, pooled.end - pooled.start)
            bursts.add(stable_spread, n_b, e_b, pooled.end - pooled.start)
            now = (stable_spread[_BLOCKS], own_spread[_BLOCKS], bursts.telling(stable_spread))
            if now != known:
                weights, known = bursts.weights(bursts.joined(stable_spread, own_spread)), now
            elif not e_c:
                continue
            test.temper(state, weights)
            if test.harm(state) >= self._needed:
                return look + 1
        return None

    def _intervals(self, canary: Arm, stable: Arm, last: int) -> Iterator[Interval]:
        tick, latency = self._traffic.tick, self._traffic.latency
        tally = _tally_of(self._limits.measure)
        bounds = latency.bounds if self._limits.of_latency and latency is not None else ()
        for look in range(last):
            other = tally(stable, look) if self._limits.compares else None
            yield Interval(tally(canary, look), other, look * tick, look * tick + tick, bounds)


def _tally_of(measure: Measure) -> Callable[[Arm, int], Tally]:
    if measure in (Measure.LATENCY, Measure.TAIL):
        return _slow
    if measure is Measure.AVAILABILITY:
        return lambda arm, look: Tally(float(arm.total[look]), float(arm.unanswered[look]))
    return lambda arm, look: Tally(float(arm.total[look]), float(arm.bad[look]))


def _slow(arm: Arm, look: int) -> Tally:
    counts = [bucket[look] for bucket in arm.buckets]
    total = rest = sum(counts)
    over = []
    for count in counts[:-1]:
        rest -= count
        over.append(float(rest))
    return Tally(float(total), over=tuple(over))
