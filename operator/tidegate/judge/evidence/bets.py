"""Bets on whether requests lie beyond x, and where the product of two of them is least: what `quantile` is made of.

Both take totals, so a look costs the same however long the rollout is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from tidegate.judge.evidence.numbers import odds_times

PLENTY = 1e12
"""Evidence of which nobody needs to know how much it is."""
_LITTLE = 10.0
"""Evidence that decides nothing."""
EXACT, _COARSE = math.exp(0.1), math.exp(0.5)
"""Factor by which the least product is at most more than what is found of it, between the two, and beyond them."""
_PARTS = 64
"""Parts of a bucket; a place within it is rounded to the side where the evidence is less."""
_RUNGS = 14
"""Most x that are looked at."""
_MOST = math.exp(300.0)
"""Greatest bet that counts: the product of two is finite, and less evidence is still valid."""
_ROUNDING = 1e-9


class Counts(NamedTuple):
    """Requests of a version, and how many of them were slower than each bound."""

    n: float
    over: Sequence[float]


class Bets:
    """The mixture of up(x) or down(x), from totals.

    Args:
        slow: the share a of slow requests.
        multiples: of its odds, all above 1 for up, all below 1 for down, each with its weight; the weights add up to 1.
    """

    def __init__(self, slow: float, multiples: Sequence[tuple[float, float]]) -> None:
        self._up = multiples[0][0] > 1
        others = [odds_times(slow, multiple) for multiple, _ in multiples]
        bets = [(other - slow) / (slow * (1 - slow)) for other in others]
        ends = [(math.log((1 - other) / (1 - slow)), math.log(other / slow)) for other in others]
        weights = [weight for _, weight in multiples]
        self._terms = [
            [
                (weight, fast, math.log1p((part / _PARTS - slow) * bet), late)
                for weight, (fast, late), bet in zip(weights, ends, bets, strict=True)
            ]
            for part in range(_PARTS + 1)
        ]

    def mean(self, bounds: Sequence[float], counts: Counts, x: float, phi: float) -> float:
        """Return the mixture, as far as it matters, with logarithms divided by phi.

        Of requests beyond the last bound only that is known: for up they are not beyond x if x is, for down they are.
        """
        n, over = counts
        place = bisect_left(bounds, x)
        above = over[place - 1] if place > 0 else n
        if place == len(bounds):
            below, share = (0.0, 0) if self._up else (above, 0)
        else:
            left, right = bounds[place - 1] if place > 0 else 0.0, bounds[place]
            beyond = (right - x) / (right - left) * _PARTS
            below, share = over[place], int(beyond) if self._up else math.ceil(beyond * (1 - _ROUNDING))
        fast, within, late, exp, found = (n - above) / phi, (above - below) / phi, below / phi, math.exp, 0.0
        try:
            for weight, a, b, c in self._terms[share]:
                found += weight * exp(fast * a + within * b + late * c)
        except OverflowError:
            return _MOST
        return min(found, _MOST)


bets = lru_cache(maxsize=64)(Bets)
"""Tests are made anew for each look, and their quantiles are few."""


def least_product(
    falling: Callable[[float], float], rising: Callable[[float], float], low: float, high: float, *, floor: float, held: float
) -> float:
    """Return what C * B is at least over all x from 0 to infinity, within a factor of EXACT as a rule.

    Args:
        falling: C, which falls to its floor.
        rising: B, which rises from what is held of it.
        low: stable's quantile times kappa: B rises from about there.
        high: the new version's quantile: C has fallen about there.
        floor: the least C.
        held: the least B.
    """
    # Each rung with C and B there; beyond the outer ones C is no less than its floor, and B no less than held.
    rungs = [(low, math.inf, held), (high, floor, math.inf)]
    place, most = 0, math.inf
    for _ in range(_RUNGS):
        x = math.sqrt(rungs[place][0] * rungs[place + 1][0])
        c, b = falling(x), rising(x)
        rungs.insert(place + 1, (x, c, b))
        most = min(most, c * b)
        least, place = min([(rungs[i + 1][1] * rungs[i][2], i) for i in range(len(rungs) - 1)])
        close = least * (EXACT if _LITTLE < most < PLENTY else _COARSE)
        # No evidence, or found closely enough.
        if most < 1 or least > PLENTY or most <= close:
            break
    return least
