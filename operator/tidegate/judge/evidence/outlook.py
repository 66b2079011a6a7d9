"""How many more requests a verdict takes if everything goes on as it is on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.judge.evidence import latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import Slower
from tidegate.judge.evidence.latency_limit import QuantileThreshold
from tidegate.judge.evidence.limits import TEMPERED, Limits
from tidegate.judge.evidence.numbers import log_mean
from tidegate.judge.evidence.tail import Tail
from tidegate.judge.reading import Tally

_LEAST = 20.0
"""Requests of the new version from which on averages say something."""
_TELLING = 1.0
"""Evidence of harm from which on the bound on which it rests is shown, instead of the one about the quantile."""
_FARTHEST = 1000.0
"""How many times as many requests as so far are still worth a guess."""


@dataclass(frozen=True)
class Outlook:
    """Which verdict the counts move towards.

    Attributes:
        requests: of the new version, still needed.
        harm: whether the verdict is Fail.
    """

    requests: float
    harm: bool


def outlook(
    limits: Limits,
    states: Sequence[list[float]],
    average: Interval,
    samples: float,
    *,
    now: tuple[float, float],
    needed: float,
) -> Outlook | None:
    """Return the verdict that comes first; None where there are too few requests to tell, or it is too far.

    The tests are given one more interval of average counts, of as many requests as so far. Evidence grows about as a straight
    line with the requests, so that the number at which it is enough follows, and is then tried out and corrected.

    Args:
        limits: the gate's limits.
        states: of its tests; they are not changed.
        average: what comes with one request of the new version.
        samples: requests of the new version so far.
        now: the evidence of harm, and that for a proof, so far.
        needed: the evidence that is enough.
    """
    if samples < _LEAST or not states:
        return None
    after = _after(limits, states, average, samples)
    tried = (_harm(limits, after), _proof(limits, after))
    found = []
    for which in (0, 1):
        growth = (tried[which] - now[which]) / samples
        if growth > 0 and needed > now[which]:
            found.append(((needed - now[which]) / growth, which))
    if not found:
        return None
    requests, which = min(found)
    if requests > _FARTHEST * samples:
        return None
    after = _after(limits, states, average, requests)
    reached = _proof(limits, after) if which else _harm(limits, after)
    if reached > now[which]:
        requests *= (needed - now[which]) / (reached - now[which])
    return Outlook(requests, which == 0)


def telling(limits: Limits, states: Sequence[Sequence[float]]) -> Slower | None:
    """Return the counts at the bound of latency that says most about the limit; None where there are none yet."""
    for test, state in zip(limits.tests, states, strict=True):
        if isinstance(test, Tail) and test.harm(state) > _TELLING:
            return test.strongest(state)
        if isinstance(test, QuantileThreshold):
            seen = test.against(state)
            if seen.above is not None:
                return Slower(seen.above, Tally(seen.total, seen.slower_than_above), Tally(0.0))
        bound = latency.watched(state)
        kept = latency.kept(state)
        if bound in kept:
            return latency.slower(state, kept.index(bound))
    return None


def latencies(state: Sequence[float], stable_requests: float) -> tuple[tuple[float, ...], Tally, Tally]:
    """Return the bounds that are kept, and what one request of the new version, and stable's at the same time, exceed of them."""
    bounds = latency.kept(state)
    seen = [latency.slower(state, place) for place in range(len(bounds))]
    canary = tuple(one.canary.bad / max(one.canary.total, 1e-12) for one in seen)
    stable = tuple(stable_requests * one.stable.bad / max(one.stable.total, 1e-12) for one in seen)
    return tuple(bounds), Tally(1.0, over=canary), Tally(stable_requests, over=stable)


def _after(limits: Limits, states: Sequence[list[float]], average: Interval, requests: float) -> list[list[float]]:
    """Return the states of the tests after so many more requests of the new version."""
    canary, stable = _times(average.canary, requests), average.stable
    interval = Interval(
        canary, None if stable is None else _times(stable, requests), average.start, average.end, average.bounds, average.bursts
    )
    copies = [list(state) for state in states]
    for test, copy in zip(limits.tests, copies, strict=True):
        kept = _weights(test, copy)
        test.add(copy, interval)
        if kept is not None and isinstance(test, TEMPERED):
            test.temper(copy, kept, told=False)
    return copies


def _weights(test: object, state: Sequence[float]) -> list[float] | None:
    return test.weights(state) if isinstance(test, TEMPERED) else None


def _harm(limits: Limits, states: Sequence[Sequence[float]]) -> float:
    return log_mean([test.harm(state) for test, state in zip(limits.tests, states, strict=True)])


def _proof(limits: Limits, states: Sequence[Sequence[float]]) -> float:
    return min([test.proof(state) for test, state in zip(limits.tests, states, strict=True)])


def _times(tally: Tally, factor: float) -> Tally:
    return Tally(tally.total * factor, tally.bad * factor, tuple(value * factor for value in tally.over))
