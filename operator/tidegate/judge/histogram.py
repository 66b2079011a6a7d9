"""Histograms of Prometheus, classic and native, as numbers of requests that took longer than given bounds.

Layouts: https://prometheus.io/docs/concepts/metric_types/#histogram and
https://prometheus.io/docs/specs/native_histograms/. In both, what is counted up to an edge of a bucket is known exactly, and
nothing is known about where in a bucket a request lies. So a number of slow requests is only ever given at an edge, or at a
bound in an empty stretch between two edges.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

FINEST = 3
"""Finest resolution that is made use of in native histograms: bounds that grow by 2**(1/8), 9% each."""
FASTEST, SLOWEST = -10, 7
"""Powers of two between which bounds of native histograms are offered: 1 ms to 128 s."""

_SAME = 1e-9
"""Relative difference up to which two edges are one: labels carry as many digits as the program that wrote them cared for."""


@dataclass(frozen=True)
class Histogram:
    """Requests up to each edge of the buckets: of one series, a sum of series, or an increase.

    Attributes:
        edges: edges of the buckets in seconds, finite and rising.
        counts: requests that took at most as long as each edge, never falling.
        total: all requests.
        schema: resolution of a native histogram, whose edges are powers of 2**(2**-schema); None for a classic one, for custom
            edges, and where no bucket tells.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    total: float
    schema: int | None = None

    def over(self, bounds: Sequence[float]) -> tuple[float, ...]:
        """Return how many requests took longer than each of the bounds.

        Args:
            bounds: in seconds, rising; as `shared_bounds` gives them.

        Raises:
            ValueError: a bound lies within a bucket with requests, so that nobody knows.
        """
        counts = [self.up_to(bound) for bound in bounds]
        for bound, count in zip(bounds, counts, strict=True):
            if math.isnan(count):
                raise ValueError(f"{bound:g} s lies within a bucket; its edges are {', '.join(f'{edge:g}' for edge in self.edges)}")
        return tuple(self.total - count for count in counts)

    def knows(self, bound: float) -> bool:
        """Whether the number of requests slower than a bound is known exactly."""
        return not math.isnan(self.up_to(bound))

    def up_to(self, bound: float) -> float:
        """Return the requests that took at most as long as a bound; not a number where it lies within a bucket with requests."""
        exact = self._at.get(bound)
        if exact is not None:
            return exact
        right = bisect_left(self.edges, bound)
        for near in (right - 1, right):
            if 0 <= near < len(self.edges) and _same(self.edges[near], bound):
                return self.counts[near]
        below = self.counts[right - 1] if right > 0 else 0.0
        above = self.counts[right] if right < len(self.edges) else self.total
        return below if below == above else math.nan

    @cached_property
    def _at(self) -> dict[float, float]:
        return dict(zip(self.edges, self.counts, strict=True))


EMPTY = Histogram((), (), 0.0)
"""No request, at any bound."""


def cumulative(buckets: Mapping[float, float]) -> Histogram:
    """Return a classic histogram.

    Args:
        buckets: requests up to each edge (the label `le` as a number, in seconds), and all of them at infinity. Without infinity,
            those beyond the last edge are unknown and not counted. Edges that are not numbers are left out; counts that fall,
            as when a scrape is torn, are raised to the one before.
    """
    edges, counts, most = [], [], 0.0
    for edge in sorted(edge for edge in buckets if not math.isnan(edge)):
        most = max(most, _number(buckets[edge]))
        if math.isfinite(edge):
            edges.append(edge)
            counts.append(most)
    return Histogram(tuple(edges), tuple(counts), most)


def native(value: Mapping[str, Any]) -> Histogram:
    """Return a native histogram from its form in the answers of Prometheus' HTTP API.

    https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms

    Args:
        value: `count`, `sum` and `buckets`, each bucket `[boundary rule, left, right, count]` with numbers as text. Empty buckets
            are left out there. Whether an edge belongs to the bucket on its left or right makes no difference to a latency.

    Raises:
        ValueError: the value has not this form.
    """
    try:
        total = _number(float(value["count"]))
        buckets = sorted((float(left), float(right), _number(float(count))) for _, left, right, count in value.get("buckets", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a native histogram: {error}") from error
    edges: list[float] = []
    counts: list[float] = []
    so_far = 0.0
    for left, right, count in buckets:
        if math.isfinite(left) and (not edges or (left > edges[-1] and not _same(left, edges[-1]))):
            edges.append(left)
            counts.append(so_far)
        so_far += count
        if math.isfinite(right) and (not edges or right > edges[-1]):
            edges.append(right)
            counts.append(so_far)
    return Histogram(tuple(edges), tuple(counts), max(total, so_far), _schema(buckets))


def increase(before: Histogram | None, after: Histogram) -> Histogram:
    """Return what one series has counted between two looks.

    A counter that fell has been reset, and began anew from 0. The edges are those that both looks know.

    Args:
        before: the look before; None where the series began after it, so that all it counted is new.
        after: the look now.
    """
    if before is None or before.total > after.total:
        return after
    edges, first, second = _known_to_both(before, after)
    if any(old > new for old, new in zip(first, second, strict=True)):
        return after
    counts = _never_falling(new - old for old, new in zip(first, second, strict=True))
    total = max(after.total - before.total, counts[-1] if counts else 0.0)
    return Histogram(tuple(edges), counts, total, _coarser(before.schema, after.schema))


def fell(before: Histogram, after: Histogram) -> bool:
    """Whether any count of one series has fallen between two looks, as far as both know it."""
    if before.total > after.total:
        return True
    _, first, second = _known_to_both(before, after)
    return any(old > new for old, new in zip(first, second, strict=True))


def _known_to_both(before: Histogram, after: Histogram) -> tuple[list[float], list[float], list[float]]:
    """Return the edges that two histograms know, and the counts of each up to them."""
    edges = [edge for edge in _all_edges((before, after)) if before.knows(edge) and after.knows(edge)]
    return edges, [before.up_to(edge) for edge in edges], [after.up_to(edge) for edge in edges]


def add(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of several series. The edges are those that all of them know."""
    parts = [part for part in histograms if part.total > 0]
    if not parts:
        return EMPTY
    edges = [edge for edge in _all_edges(parts) if all(part.knows(edge) for part in parts)]
    counts = _never_falling(sum(part.up_to(edge) for part in parts) for edge in edges)
    schema = None
    for part in parts:
        schema = _coarser(schema, part.schema)
    return Histogram(tuple(edges), counts, math.fsum(part.total for part in parts), schema)


def shared_bounds(histograms: Iterable[Histogram]) -> tuple[float, ...]:
    """Return the bounds at which every histogram is known exactly, rising; none where they have none in common.

    Classic histograms give their edges. Native ones give every power of 2**(1/8), or of their own resolution where that is
    coarser, from 1 ms to 128 s, whether requests fell there or not: so the bounds are the same from look to look.
    """
    parts = list(histograms)
    schemas = [part.schema for part in parts if part.schema is not None]
    offered = _grid(min(FINEST, *schemas)) if schemas else [edge for edge in _all_edges(parts) if edge > 0]
    return tuple(bound for bound in offered if all(part.knows(bound) for part in parts))


def _grid(schema: int) -> list[float]:
    if schema < 0:
        step = 2**-schema
        return [2.0**power for power in range(FASTEST, SLOWEST + 1) if power % step == 0]
    steps = 2**schema
    return [2.0 ** (step / steps) for step in range(FASTEST * steps, SLOWEST * steps + 1)]


def _schema(buckets: Sequence[tuple[float, float, float]]) -> int | None:
    """Return the resolution that the edges of the buckets tell; None where they are not those of a native histogram's grid."""
    found = None
    for left, right, _ in buckets:
        if not 0 < left < right < math.inf:
            continue
        exponent = math.log2(math.log2(right / left))
        schema = -round(exponent)
        place = math.log2(right) * 2.0**schema
        if abs(exponent + schema) > 1e-6 or abs(place - round(place)) > 1e-6 or (found is not None and found != schema):
            return None
        found = schema
    return found


def _coarser(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _all_edges(parts: Sequence[Histogram]) -> list[float]:
    """Return the edges of all, rising, those that differ by rounding only once."""
    first = parts[0].edges if parts else ()
    if all(part.edges == first for part in parts):
        return list(first)
    edges: list[float] = []
    for edge in sorted({edge for part in parts for edge in part.edges}):
        if not edges or not _same(edges[-1], edge):
            edges.append(edge)
    return edges


def _never_falling(counts: Iterable[float]) -> tuple[float, ...]:
    rising: list[float] = []
    for count in counts:
        rising.append(max(count, rising[-1]) if rising else max(count, 0.0))
    return tuple(rising)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(abs(one), abs(other))


def _number(count: float) -> float:
    return count if 0 <= count < math.inf else 0.0
