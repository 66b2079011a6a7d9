"""Counts that wait until both versions have some, so that what a version did is held against what the other did meanwhile.

Where looks come more often than scrapes, the two versions rise in different looks for ever, and an interval in which one of them
has no requests tells nothing of how they compare: a version of which all requests fail would never be found. So counts are added up
until both versions have some, and taken in as one interval. When they come does not depend on what is bad among them, so the bet
stays fair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import add

from tidegate.judge.evidence.interval import Interval
from tidegate.judge.reading import Tally

LONGEST = 600.0
"""Seconds after which counts of one version alone are let go of: what is compared is to be of one time."""
_FIXED = 5
"""Floats before those at the bounds: the beginning, and requests and bad ones of both versions."""


def begin() -> list[float]:
    """Return the state in which nothing waits."""
    return []


def take(state: list[float], interval: Interval) -> Interval | None:
    """Add an interval to what waits, and return all of it if both versions have requests; None where it goes on waiting.

    Args:
        state: what waits; changed in place.
        interval: the next counts. One in which stable is to have no requests waits for nothing, and takes along what waits.
    """
    if interval.stable is None:
        return interval
    pooled = _with(state, interval)
    if pooled.alone:
        state.clear()
        return pooled
    if pooled.canary.total > 0 and pooled.stable is not None and pooled.stable.total > 0:
        state.clear()
        return pooled
    keep = pooled if pooled.end - pooled.start <= LONGEST else interval
    state[:] = _text(keep) if keep.canary.total > 0 or (keep.stable is not None and keep.stable.total > 0) else []
    return None


def joined(first: Interval, then: Interval) -> Interval | None:
    """Return two intervals that follow each other as one; None where they cannot be added up.

    Of requests that were counted at no bound, or at others, nobody knows how many were slow: none is taken for a fast one.
    """
    stable, other = first.stable, then.stable
    if (stable is None) != (other is None):
        return None
    if first.bounds != then.bounds and not any(not one.bounds and _silent(one) for one in (first, then)):
        return None
    return replace(
        then,
        canary=_sum(first.canary, then.canary),
        stable=None if stable is None or other is None else _sum(stable, other),
        start=first.start,
        bounds=then.bounds or first.bounds,
    )


def _silent(one: Interval) -> bool:
    return one.canary.total <= 0 and (one.stable is None or one.stable.total <= 0)


def _with(state: Sequence[float], interval: Interval) -> Interval:
    """Return an interval together with what waits; alone where that has other bounds of latency, or none."""
    if not state:
        return interval
    size = (len(state) - _FIXED) // 3
    bounds = tuple(state[_FIXED : _FIXED + size])
    over, other = state[_FIXED + size : _FIXED + 2 * size], state[_FIXED + 2 * size : _FIXED + 3 * size]
    first = Interval(
        Tally(state[1], state[2], tuple(over)), Tally(state[3], state[4], tuple(other)), state[0], interval.start, bounds
    )
    return joined(first, interval) or interval


def _sum(one: Tally, other: Tally) -> Tally:
    if not one.over or not other.over:
        return Tally(one.total + other.total, one.bad + other.bad, one.over or other.over)
    return Tally(one.total + other.total, one.bad + other.bad, tuple(map(add, one.over, other.over)))


def _text(interval: Interval) -> list[float]:
    canary, stable, size = interval.canary, interval.stable, len(interval.bounds)
    assert stable is not None
    nothing = (0.0,) * size
    fixed = [interval.start, canary.total, canary.bad, stable.total, stable.bad]
    return [*fixed, *interval.bounds, *(canary.over or nothing), *(stable.over or nothing)]
