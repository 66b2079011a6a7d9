"""What is usual for a share of bad events that changes with time, and that one outage must not change.

The mean of all counts so far is no guide after an outage: a minute in which everything fails weighs as much as an hour of one
failure in a hundred. So what is usual is learnt from the last counts, and none of them counts for more than twice what was usual
before, and chance besides (a mean that is faded exponentially, of values that are winsorised: F. R. Hampel et al., Robust
Statistics, 1986).
"""

from __future__ import annotations

import math

_TWICE, _CHANCE, _FEW = 2.0, 3.0, 2.0
"""Times what is usual, standard deviations, and bad events, up to which counts are taken for what they are."""
_QUARTER, _FEW_MISSING = 4.0, 5.0
"""By what is usual is divided, and bad events, down to which counts are no sign that what was usual is over."""


def most(expected: float) -> float:
    """Return the most bad events that are still usual where so many are expected."""
    return _TWICE * expected + _CHANCE * math.sqrt(max(expected, 0.0)) + _FEW


def least(expected: float, share: float) -> float:
    """Return the fewest bad events that are still usual, also where they come in bursts.

    Args:
        expected: how many are expected.
        share: and in which share of the requests. Where nearly all are expected to be bad, chance makes hardly fewer of them.
    """
    return expected / _QUARTER - _FEW_MISSING * (1 - share)


def kept(expected: float, *, parts: float, events: float) -> float:
    """Return how much of what is known is kept as new counts come in.

    Args:
        expected: bad events in the new counts.
        parts: numbers of such counts that are remembered,
        events: and bad events, whichever is more.
    """
    return 1 - min(1 / parts, expected / events)
