"""A fixed limit on a quantile of the new version's latency, tested on the buckets of histograms."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.judge.evidence import latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import BEYOND, WITHIN, Bounds
from tidegate.judge.evidence.numbers import bounded, log_mean, odds_logs
from tidegate.judge.evidence.restarts import due

_ROUNDING = 1e-9
"""Relative difference up to which a bound is the limit."""
_LEAST = 1e-300
"""Stands for no stake at all, whose logarithm there is not."""

_TOTAL = latency.LENGTH
_ABOVE = _TOTAL + 1
_BELOW = _ABOVE + 2
_SPENT = _BELOW + 2
_STAKES = _SPENT + 1
_PROOFS = _STAKES + len(BEYOND)
_LENGTH = _PROOFS + len(WITHIN)


@dataclass(frozen=True)
class AgainstLimit:
    """What a fixed limit on a latency was tested on.

    Attributes:
        total: requests of the new version.
        above: the least bound that is not less than the limit, on which harm rests; None where the histogram ends before the limit,
            so that nothing can be found to exceed it.
        slower_than_above: requests slower than it.
        below: the greatest bound that is not more than the limit, on which proof rests; None where there is none.
        slower_than_below: requests slower than it.
    """

    total: float
    above: float | None
    slower_than_above: float
    below: float | None
    slower_than_below: float


class QuantileThreshold:
    """The sequential test of q(p) <= limit: at most a share a = 1 - p of the requests takes longer than the limit.

    Requests are counted over the nearest bounds instead of the limit: harm over the least one that is not below it, since those are
    no more than the requests over the limit; proof over the greatest one that is not above it. Both hold for whatever bounds
    an interval has, so that they may change from one to the next. The factors are those of `threshold`, harm with `restarts`.

    Args:
        quantile: p, between 0 and 1.
        limit: in seconds.
    """

    def __init__(self, quantile: float, limit: float) -> None:
        self.quantile = quantile
        self.limit = limit
        self._bounds = Bounds(quantile, near=limit, changed=_keep_all)
        self._harm = [odds_logs(1 - quantile, multiple) for multiple in BEYOND]
        self._proof = [odds_logs(1 - quantile, 1 / divisor) for divisor in WITHIN]

    def begin(self) -> list[float]:
        """Return the state before the first interval.

        After the common stretch: all requests, both bounds (-1 for none) and the requests over them, the weight spent, the stake on
        each alternative, and the logarithms of proof.
        """
        return [0.0] * _TOTAL + [0.0, -1.0, 0.0, -1.0, 0.0] + [0.0] * (_LENGTH - _SPENT)

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state."""
        if self._bounds.take(state, interval) is None or interval.canary.total <= 0:
            return
        total, bursts = interval.canary.total, max(1.0, interval.bursts)
        state[_TOTAL] += total
        above, below = self._places(interval.bounds)
        slow = _note(state, _ABOVE, interval, above)
        if slow is not None:
            weight = max(0.0, due(interval.start) - state[_SPENT])
            state[_SPENT] += weight
            logs = [(slow * a + (total - slow) * b) / bursts for a, b in self._harm]
            state[_STAKES:_PROOFS] = latency.grown(state[_STAKES:_PROOFS], weight / len(logs), logs)
        slow = _note(state, _BELOW, interval, below)
        if slow is not None:
            for place, (a, b) in enumerate(self._proof, _PROOFS):
                state[place] += (slow * a + (total - slow) * b) / bursts

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the quantile is greater than the limit."""
        return bounded(math.log(max(_LEAST, 1 - state[_SPENT] + math.fsum(state[_STAKES:_PROOFS]))))

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the quantile is less than the limit."""
        return bounded(log_mean(state[_PROOFS:_LENGTH]))

    def against(self, state: Sequence[float]) -> AgainstLimit:
        """Return what was counted, and at which bounds."""
        total, above, over_above, below, over_below = state[_TOTAL:_SPENT]
        return AgainstLimit(total, above if above >= 0 else None, over_above, below if below >= 0 else None, over_below)

    def _places(self, bounds: Sequence[float]) -> tuple[int, int]:
        """Return the places of the least bound not below the limit, and of the greatest not above it; they need not exist."""
        first = bisect_left(bounds, self.limit * (1 - _ROUNDING))
        at_limit = first < len(bounds) and bounds[first] <= self.limit * (1 + _ROUNDING)
        return first, first if at_limit else first - 1


def _note(state: list[float], at: int, interval: Interval, place: int) -> float | None:
    """Note which bound is used, and return the requests over it; None where there is no such bound."""
    if not 0 <= place < len(interval.bounds):
        state[at] = -1.0
        return None
    slow = min(interval.canary.over[place], interval.canary.total)
    state[at] = interval.bounds[place]
    state[at + 1] += slow
    return slow


def _keep_all(_: list[float]) -> None:
    """Leave the test as it is: it does not depend on the kept bounds."""
