"""Whether something grows over time: means and medians of parts of a run, and a slope that outliers do not bend."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import combinations

Point = tuple[float, float]
"""Time in seconds since the beginning, and a value."""


def within(points: Iterable[Point], begin: float, end: float) -> list[float]:
    """Return the values from one time on and before another, in seconds."""
    return [value for at, value in points if begin <= at < end]


def slope(points: Sequence[Point]) -> float:
    """Return how much a value grows in a second: the median of the slopes of all pairs of points (Theil and Sen).

    Up to 29% of the points may lie anywhere without bending it.

    Args:
        points: at least two, of different times.
    """
    return statistics.median((later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(points, 2))


def growth(points: Sequence[Point], whole: float) -> float:
    """Return by how many percent the mean of the last sixth of a time is above that of the second sixth.

    The first sixth is not looked at: what is filled at the beginning is no growth. Of 30 minutes, minutes 5 to 10 are compared with
    25 to 30.

    Args:
        points: with at least one in each of the two.
        whole: the time, in seconds.
    """
    early, late = statistics.fmean(_early(points, whole)), statistics.fmean(_late(points, whole))
    return 100 * (late / early - 1)


def more(points: Sequence[Point], whole: float) -> float:
    """Return by how much the median of the last sixth of a time is above that of the fourth sixth.

    A pool of connections has by then as many as were ever needed at once, which takes a while to happen. Of 30 minutes, minutes 15
    to 20 are compared with 25 to 30.

    Args:
        points: with at least one in each of the two.
        whole: the time, in seconds.
    """
    return statistics.median(_late(points, whole)) - statistics.median(within(points, whole / 2, whole * 2 / 3))


def second_half(points: Iterable[Point], whole: float) -> list[Point]:
    """Return the points of the second half of a time, in seconds."""
    return [point for point in points if point[0] >= whole / 2]


def _early(points: Iterable[Point], whole: float) -> list[float]:
    return within(points, whole / 6, whole / 3)


def _late(points: Iterable[Point], whole: float) -> list[float]:
    return within(points, whole * 5 / 6, whole + 1)
