"""Starts that are spread over time, so that a fault that begins late is found about as fast as one from the beginning.

An e-process that runs from the first request sinks while all is well, and a late fault must first lift it out again. A mixture
over starting times s with weights w_s that sum to at most 1,

    E_t = sum over started s of w_s * prod_{s <= k <= t} M_k + (1 - sum over started s of w_s),

is an e-process again, since each part is (Ramdas et al., arXiv 2210.01948, section 6; the weights not spent yet are held as
cash). It needs one number for all starts together, not one for each: S <- (S + w_k) * M_k, with the w_k that fall due before
interval k. This is the recursion of Shiryaev and Roberts (A. N. Shiryaev, Theory Probab. Appl. 8 (1963) 22-46), with weights
that keep its expectation at 1 instead of letting it grow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FIRST = 0.28
"""Weight of the start at the first request."""
SOON, EARLY, HOUR = 0.18, 20.0, 3600.0
"""Weight of starts that grow rarer from EARLY seconds on, as one over time, until an HOUR: most faults show soon, and a minute
more or less matters most then."""
HEAD = 2160.0
"""Seconds over which the other later starts are spread evenly."""
POWER = 3.0
"""After HEAD their density falls with this power of time: slowly enough for a fault of the third day to be found."""
_MOST = 1e280
_STEEPEST = 600.0
_LEAST = 1e-300
"""Greatest S, greatest logarithm of a factor, and what stands for nothing: all stays finite, and less evidence is still valid."""
_UNTIL_HOUR = math.log1p(HOUR / EARLY)
_DENSITY = (1 - FIRST - SOON) / (HEAD + HEAD / (POWER - 1))


def due(seconds: float) -> float:
    """Return the weight of all starts until a time after the first request; it never exceeds 1."""
    return 1 - left(seconds)


def left(seconds: float) -> float:
    """Return the weight of all starts after a time: to all digits, so that it never rounds to none however old a gate is."""
    seconds = max(0.0, seconds)
    soon = SOON * (1 - math.log1p(min(seconds, HOUR) / EARLY) / _UNTIL_HOUR)
    if seconds <= HEAD:
        return max(0.0, 1 - FIRST - SOON + soon - _DENSITY * seconds)
    later: float = (HEAD / seconds) ** (POWER - 1) / (POWER - 1)
    return soon + _DENSITY * HEAD * later


class Mixture:
    """Alternatives with starts spread over time, in a stretch of a test's state: the last start, then S per alternative.

    Args:
        offset: index in the state at which the stretch begins.
        shares: share of the weight that each alternative has; 1 in all.
        laws: S is kept once for each of so many laws of what is counted.
    """

    def __init__(self, offset: int, shares: Sequence[float], laws: int = 1) -> None:
        self.offset = offset
        self.shares = tuple(shares)
        self.laws = laws
        self.end = offset + 1 + len(shares) * laws

    def begin(self) -> list[float]:
        """Return the stretch before the first interval."""
        return [-1.0] + [0.0] * (self.end - self.offset - 1)

    def grow(self, state: list[float], seconds: float, *laws: Sequence[float]) -> None:
        """Multiply with the factors of an interval, after spending what is due at its beginning.

        Args:
            state: the test's state.
            seconds: from the first request to the beginning of the interval; must not depend on the interval's counts.
            laws: for each law, and for each alternative, the logarithm of its factor, whose expectation is at most 1 under the
                null.
        """
        exp, last = math.exp, state[self.offset]
        weight = 0.0
        if seconds > last:
            weight = (left(last) if last >= 0 else 1.0) - left(seconds)
            state[self.offset] = seconds
        starts, factors = [weight * share for share in self.shares] * len(laws), [factor for law in laws for factor in law]
        stretch = slice(self.offset + 1, self.offset + 1 + len(factors))
        if max(factors) > _STEEPEST:
            factors = [min(factor, _STEEPEST) for factor in factors]
        grown = [(old + start) * exp(factor) for old, start, factor in zip(state[stretch], starts, factors, strict=True)]
        state[stretch] = grown if max(grown) <= _MOST else [min(_MOST, value) for value in grown]

    def value(self, state: Sequence[float], place: int = 0) -> float:
        """Return the logarithm of what all starts so far are worth, together with the cash, for one of the laws."""
        last, size = state[self.offset], len(self.shares)
        if last < 0:
            return 0.0
        first = self.offset + 1 + place * size
        return math.log(left(last) + sum(state[first : first + size]) + _LEAST)
