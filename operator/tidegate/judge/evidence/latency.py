"""What the tests of latency have in common: which bounds are kept, totals at them, and quantiles for display.

A test's state begins with a stretch of LENGTH floats: the number of kept bounds, whether they are chosen for good, the bound at
which bursts are watched, the bounds, and for each version all requests and those slower than each bound, since the bounds were
chosen. What a test itself needs follows.

**Which bounds.** Up to KEPT bounds are taken as they come: nothing is chosen, so nothing is biased. Of more (native
histograms, finely graded classic ones) those are kept that say most about stable's quantile: all from the quantile / NEAR
to the quantile * NEAR_ABOVE, and farther ones at growing distances. The quantile is that of stable in the first interval
that has ENOUGH_TO_BEGIN requests of it, and once more, for good, of all that stable had counted when ENOUGH_TO_REFINE of
its requests were slower than it; but not where GOOD_ENOUGH of the bounds that would be kept close to that quantile are kept
already, and not once all traffic is on the new version: counting begins anew with a choice, and stable would have nothing
to be compared with any more. The interval at which bounds are chosen is not tested, and what was tested before is not tested
again: so what is tested never depends on counts that are tested, and the guarantee is the same as for bounds that were
given beforehand.

**Layouts that change** (another version of the application, a native histogram that got coarser): the bounds that both layouts
have are kept if they are at least half; otherwise all is chosen anew. What a test has won until then it keeps as capital: an
e-process that is stopped, and whose value is staked anew, is one again.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import add, neg

from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.numbers import never_rising, rising
from tidegate.judge.reading import Tally

KEPT = 20
"""Most bounds that are kept."""
NEAR, NEAR_ABOVE = 1.5, 2.0
"""Every bound from the quantile / NEAR to the quantile * NEAR_ABOVE is kept, unless these alone are too many."""
ENOUGH_TO_BEGIN = 5
"""Requests of stable in one interval after which bounds are chosen."""
ENOUGH_TO_REFINE = 20
"""Requests of stable slower than its quantile after which the bounds are chosen for good."""
CLOSE, CLOSE_ABOVE = 1.2, 1.5
"""From stable's quantile / CLOSE to the quantile * CLOSE_ABOVE bounds tell most."""
GOOD_ENOUGH = 0.75
"""Share of those bounds that are kept already, from which on another choice is not worth beginning anew for."""

BEYOND = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Alternatives beyond a limit, as multiples of it."""
WITHIN = (1.1, 1.25, 1.5, 2.0, 3.0)
"""Alternatives within a limit, as divisors of it."""

_SETTLED = 1
_WATCHED = 2
_BOUNDS = 3
_CANARY = _BOUNDS + KEPT
_STABLE = _CANARY + 1 + KEPT
LENGTH = _STABLE + 1 + KEPT
"""Floats of the common stretch of a state."""

_SEEN = 5
"""Requests beyond the quantile, as it is expected, that make bursts be watched there,"""
_SURE = 50
"""and that make the choice of the bound final: few that come in bursts are no good guide to it."""
_AROUND = 11
"""Most bounds near the quantile that are kept; 2**(1/8) from one to the next makes 12 of NEAR * NEAR_ABOVE."""
_CREDIBLE = 1e15
"""Requests in one interval beyond which a counter is broken."""
MOST = 1e150
STEEPEST = 340.0
"""Greatest stake, and greatest logarithm of a factor, that count: their product is finite, and less evidence is still valid."""
_FARTHER = (1 / 30, 1 / 10, 1 / 5, 1 / 3, 1 / 2, 2.5, 4.0, 8.0, 30.0)
"""Multiples of the quantile that are kept beside."""


@dataclass(frozen=True)
class Slower:
    """Requests of each version that were slower than a bound.

    Attributes:
        bound: in seconds.
        canary: the new version's requests, the slow ones as bad.
        stable: the stable version's.
    """

    bound: float
    canary: Tally
    stable: Tally


@dataclass(frozen=True, slots=True)
class Counted:
    """One interval at the kept bounds: n requests, x of them slower than each bound, of the new version (c) and of stable (b)."""

    n_c: float
    x_c: Sequence[float]
    n_b: float
    x_b: Sequence[float]


class Bounds:
    """The common stretch of a test's state, and where its bounds stand among those of an interval.

    Args:
        quantile: the quantile of stable about which bounds are kept where there are too many.
        near: a latency in seconds about which they are kept instead; None for stable's quantile.
        changed: called with the state before other bounds take the place of the kept ones.
    """

    def __init__(self, quantile: float, *, near: float | None, changed: Callable[[list[float]], None]) -> None:
        self._quantile = quantile
        self._near = near
        self._changed = changed
        self._seen: tuple[tuple[float, ...], list[float]] = ((), [])
        self._places: list[int] = []

    def take(self, state: list[float], interval: Interval) -> Counted | None:
        """Add an interval to the totals and return its counts at the kept bounds; None where there is nothing to test."""
        if not _sound(interval) or not self._settle(state, interval):
            return None
        if state[_SETTLED] == 0 and not interval.alone and self._enough(state[_STABLE]):
            near = self._stable_quantile(state)
            better = chosen(interval.bounds, near)
            if _about(kept(state), near) < GOOD_ENOUGH * _about(better, near):
                self._replace(state, better)
                state[_SETTLED] = 1.0
                return None
            state[_SETTLED] = 1.0
        counted = self._at_kept(interval)
        for at, n, xs in ((_CANARY, counted.n_c, counted.x_c), (_STABLE, counted.n_b, counted.x_b)):
            state[at] += n
            stretch = slice(at + 1, at + 1 + len(xs))
            state[stretch] = map(add, state[stretch], xs)
        self._watch(state, counted)
        return counted

    def _settle(self, state: list[float], interval: Interval) -> bool:
        """Keep bounds that the interval has, and return whether its counts may be tested at them."""
        bounds = kept(state)
        if bounds and (interval.bounds, bounds) == self._seen:
            return True
        if not rising((0.0, *interval.bounds)):
            return False
        where = {bound: place for place, bound in enumerate(interval.bounds)}
        both = [bound for bound in bounds if bound in where]
        testable, settled = True, state[_SETTLED]
        if not both or 2 * len(both) < len(bounds):
            both, testable = self._first_choice(interval)
            settled = float(testable or (interval.stable is not None and self._enough(interval.stable.total)))
        if both != bounds:
            self._replace(state, both)
            state[_SETTLED] = settled
        self._seen = (interval.bounds, both)
        self._places = [where[bound] for bound in both]
        return bool(both) and testable

    def _first_choice(self, interval: Interval) -> tuple[list[float], bool]:
        """Return bounds to keep, and whether they were chosen without a look at the interval's counts."""
        if len(interval.bounds) <= KEPT:
            return list(interval.bounds), True
        if self._near is not None:
            return chosen(interval.bounds, self._near), True
        stable = interval.stable
        if stable is None or stable.total < ENOUGH_TO_BEGIN:
            return [], False
        return chosen(interval.bounds, quantile(interval.bounds, stable.total, stable.over, self._quantile)), False

    def _enough(self, total: float) -> bool:
        """Whether so many requests of stable tell its quantile."""
        return total * (1 - self._quantile) >= ENOUGH_TO_REFINE

    def _watch(self, state: list[float], new: Counted) -> None:
        """Watch the bound that about as many of stable's requests exceed as the quantile, once it can be told.

        Where nobody asks stable, it is the new version's own requests that tell.
        """
        at, n = (_STABLE, new.n_b) if state[_STABLE] > 0 else (_CANARY, new.n_c)
        slow, more = (1 - self._quantile) * state[at], (1 - self._quantile) * n
        due = slow >= _SEEN if state[_WATCHED] == 0 else slow >= _SURE > slow - more
        if not due:
            return
        seen = [place for place in range(int(state[0])) if state[at + 1 + place] > 0]
        nearest = min(seen, key=lambda place: abs(math.log(state[at + 1 + place] / slow)), default=None)
        if nearest is not None:
            state[_WATCHED] = state[_BOUNDS + nearest]

    def _stable_quantile(self, state: Sequence[float]) -> float:
        return quantile(kept(state), *stable_totals(state), self._quantile)

    def _at_kept(self, interval: Interval) -> Counted:
        canary, stable, places = interval.canary, interval.stable or _NOTHING, self._places
        return Counted(canary.total, _over(canary, places), stable.total, _over(stable, places))

    def _replace(self, state: list[float], bounds: Sequence[float]) -> None:
        if kept(state):
            self._changed(state)
        state[:LENGTH] = [float(len(bounds)), *[0.0] * (_BOUNDS - 1), *bounds, *[0.0] * (LENGTH - _BOUNDS - len(bounds))]


def kept(state: Sequence[float]) -> list[float]:
    """Return the kept bounds in seconds, rising."""
    return list(state[_BOUNDS : _BOUNDS + int(state[0])])


def settled(state: Sequence[float]) -> bool:
    """Whether the bounds are chosen for good, as long as the layout stays as it is."""
    return state[_SETTLED] > 0


def watched(state: Sequence[float]) -> float | None:
    """Return the bound whose slow requests tell how latencies of stable come in bursts, in seconds; None while too few are known.

    It follows from what was before the next interval. It changes once when much more is known, and when the bounds do.
    """
    return state[_WATCHED] or None


def slower(state: Sequence[float], place: int) -> Slower:
    """Return what has been counted at a kept bound, given by its place among them."""
    canary = Tally(state[_CANARY], bad=state[_CANARY + 1 + place])
    return Slower(state[_BOUNDS + place], canary, Tally(state[_STABLE], bad=state[_STABLE + 1 + place]))


def stable_totals(state: Sequence[float]) -> tuple[float, list[float]]:
    """Return stable's requests, and those slower than each kept bound."""
    return state[_STABLE], list(state[_STABLE + 1 : _STABLE + 1 + int(state[0])])


def requests(state: Sequence[float]) -> tuple[Tally, Tally]:
    """Return the requests of the new version and of stable since the bounds were chosen."""
    return Tally(state[_CANARY]), Tally(state[_STABLE])


def quantiles(state: Sequence[float], p: float) -> tuple[float | None, float | None]:
    """Estimate a quantile of the new version and of stable from what has been counted, in seconds; None without requests."""
    return canary_quantile(state, p), stable_quantile(state, p)


def canary_quantile(state: Sequence[float], p: float) -> float | None:
    """Estimate a quantile of the new version alone, likewise."""
    return _quantile(state, _CANARY, p)


def stable_quantile(state: Sequence[float], p: float) -> float | None:
    """Estimate a quantile of stable alone, likewise."""
    return _quantile(state, _STABLE, p)


def _quantile(state: Sequence[float], at: int, p: float) -> float | None:
    size = int(state[0])
    if size == 0 or state[at] <= 0:
        return None
    return quantile(state[_BOUNDS : _BOUNDS + size], state[at], state[at + 1 : at + 1 + size], p)


def buckets(state: Sequence[float], p: float) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Return the edges of the bucket that holds a quantile of the new version and of stable, in seconds; None without requests.

    The right one is infinite where the quantile lies beyond the last bound, so that nobody can tell how far. Where the bucket is
    wide compared to a limit in percent, the estimate is as good as the guess that requests are spread evenly over it.
    """
    bounds = kept(state)
    edges = [0.0, *bounds, math.inf]
    found = [
        _place(state[at + 1 : at + 1 + len(bounds)], (1 - p) * state[at]) if bounds and state[at] > 0 else None
        for at in (_CANARY, _STABLE)
    ]
    canary, stable = (None if place is None else (edges[place], edges[place + 1]) for place in found)
    return canary, stable


def quantile(bounds: Sequence[float], total: float, over: Sequence[float], p: float) -> float:
    """Estimate a quantile, interpolating within its bucket as PromQL's histogram_quantile does.

    Args:
        bounds: in seconds, rising; at least one.
        total: all requests, above 0.
        over: requests slower than each bound.
        p: which quantile, between 0 and 1.

    Returns:
        The quantile in seconds; the greatest bound where it lies beyond.
    """
    slow = (1 - p) * total
    place = _place(over, slow)
    if place == len(bounds):
        return bounds[-1]
    left, above = (bounds[place - 1], over[place - 1]) if place else (0.0, total)
    within = above - over[place]
    return left + (bounds[place] - left) * ((above - slow) / within if within > 0 else 1.0)


def _place(over: Sequence[float], slow: float) -> int:
    """Return the place of the first bound that at most so many requests exceed; their number where there is none."""
    # The counts fall from bound to bound, which bisect takes only as rising keys.
    return bisect_left(over, -slow, key=neg)


def chosen(bounds: Sequence[float], near: float) -> list[float]:
    """Return at most KEPT of the bounds: those about a latency, and farther ones at growing distances."""
    around = [bound for bound in bounds if near / NEAR <= bound <= near * NEAR_ABOVE]
    step = max(1.0, len(around) / _AROUND)
    picked = {around[int(place * step)] for place in range(min(len(around), _AROUND))}
    for multiple in _FARTHER:
        place = min(bisect_left(bounds, near * multiple), len(bounds) - 1)
        picked.add(bounds[place])
    return sorted(picked)


def _about(bounds: Sequence[float], near: float) -> int:
    """Return how many of the bounds are close to a latency."""
    return sum(near / CLOSE <= bound <= near * CLOSE_ABOVE for bound in bounds)


def grown(stakes: Sequence[float], weight: float, logs: Sequence[float]) -> list[float]:
    """Return the stakes of alternatives after adding a weight to each and multiplying with factors, given as logarithms."""
    exp = math.exp
    if max(logs) > STEEPEST:
        logs = [min(log, STEEPEST) for log in logs]
    grown = [(stake + weight) * exp(log) for stake, log in zip(stakes, logs, strict=True)]
    return grown if max(grown) <= MOST else [min(stake, MOST) for stake in grown]


_NOTHING = Tally(0.0)


def _sound(interval: Interval) -> bool:
    """Whether there are bounds, and for each of them a number of requests."""
    size = len(interval.bounds)
    return size > 0 and _readable(interval.canary, size) and (interval.stable is None or _readable(interval.stable, size))


def _readable(tally: Tally, size: int) -> bool:
    if tally.total == 0:
        return True
    over = tally.over
    return len(over) == size and 0 < tally.total <= _CREDIBLE and sum(over) <= _CREDIBLE and min(over) >= 0


def _over(tally: Tally, places: Sequence[int]) -> Sequence[float]:
    if tally.total == 0:
        return [0.0] * len(places)
    over = tally.over
    return never_rising([over[place] for place in places], tally.total)
