"""What one pod's page says of what is wanted, added up over its series: what one process counts falls together.

Pages are made by whoever runs in the pod. So all that is kept of one is bounded, and costs time in proportion to its bytes alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.judge import histogram
from tidegate.judge.histogram import Histogram
from tidegate.prometheus.direct.wanted import BAD, BIRTH, EVENT, UNTOLD, Wanted
from tidegate.prometheus.events import Events

MOST_SERIES = 2000
"""Series of the wanted names that a page may have, where nobody says how many."""
_EDGES = 500
"""Edges of one histogram at most."""


class PageError(ValueError):
    """A page is not to be believed, or is too much; the message says why, for people, without any of its text."""


@dataclass(frozen=True)
class Counted:
    """What a page says for one wish.

    Attributes:
        found: whether it has any series of it.
        events: all events and the bad ones among them.
        untold: those that cannot be told good or bad; None where it has no such series.
        histogram: of response times; None where there is none with buckets, or none is wanted.
        native: whether it is a native one.
        series: how many series count events.
    """

    found: bool = False
    events: Events = field(default_factory=Events)
    untold: float | None = None
    histogram: Histogram | None = None
    native: bool = False
    series: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        counted: for each wish.
        born: when its process started, in seconds since 1970; None where it does not say, or says it of several.
        bytes: how long it was.
        crowded: wishes that have too many series on a gateway's page, which nothing is said of.
        seconds: of processor time that it took to read.
    """

    counted: Mapping[Wanted, Counted]
    born: float | None = None
    bytes: int = 0
    crowded: frozenset[Wanted] = frozenset()
    seconds: float = field(default=0.0, compare=False)


@dataclass
class Sums:
    """What the series of one page add up to for one wish.

    Attributes:
        wanted: the wish.
        series: series of its names that were met.
        total: all events.
        bad: bad ones; None before there is such a series.
        untold: those that cannot be told, likewise.
        buckets: requests up to each edge, in seconds.
        native: counts of the buckets of native histograms, by resolution and place.
        zero: those below the least edge, with that edge.
        counts: all that native histograms have counted.
    """

    wanted: Wanted
    series: int = 0
    total: float = 0.0
    bad: float | None = None
    untold: float | None = None
    buckets: dict[float, float] = field(default_factory=dict)
    native: dict[int, dict[int, float]] = field(default_factory=dict)
    zero: dict[float, float] = field(default_factory=dict)
    counts: float = 0.0

    def event(self, role: int, value: float) -> None:
        """Add one series of events."""
        if not role:
            return
        self.series += 1 if role & EVENT else 0
        if not math.isfinite(value):
            return
        self.total += value if role & EVENT else 0.0
        if role & BAD:
            self.bad = (self.bad or 0.0) + value
        if role & UNTOLD:
            self.untold = (self.untold or 0.0) + value

    def bucket(self, edge: float, value: float) -> None:
        """Add one bucket of a classic histogram; its edge in the unit of the page."""
        if not math.isfinite(value) or math.isnan(edge):
            return
        bound = edge * self.wanted.seconds
        if bound not in self.buckets and len(self.buckets) >= _EDGES:
            raise PageError(f"a histogram has more than {_EDGES} buckets")
        self.buckets[bound] = self.buckets.get(bound, 0.0) + value

    def counted(self) -> Counted:
        """Return what it all comes to."""
        return replace(self._counted(), series=self.series)

    def _counted(self) -> Counted:
        events = Events(self.total, self.bad)
        if not self.wanted.histogram:
            return Counted(self.series > 0, events, self.untold)
        # Without the bucket that holds all requests nobody knows how many there are; with it alone, how long they took.
        if len(self.buckets) > 1 and math.inf in self.buckets:
            return Counted(found=True, events=events, histogram=histogram.cumulative(self.buckets))
        if self.native or self.zero:
            return Counted(found=True, events=events, histogram=self._natives(), native=True)
        empty = Histogram((), (), 0.0) if self.series and self.total == 0 else None
        return Counted(self.series > 0, events, histogram=empty)

    def _natives(self) -> Histogram:
        """Add up native histograms, at the coarsest resolution that there is among them."""
        schema = min(self.native, default=0)
        merged: dict[int, float] = {}
        for finer, places in self.native.items():
            for place, count in places.items():
                at = ((place - 1) >> (finer - schema)) + 1
                merged[at] = merged.get(at, 0.0) + count
        width = 2.0**-schema
        buckets = [[0, 2.0 ** ((place - 1) * width), 2.0 ** (place * width), count] for place, count in merged.items()]
        buckets += [[3, -threshold, threshold, count] for threshold, count in self.zero.items()]
        return _scaled(histogram.native({"count": self.counts, "buckets": buckets}), self.wanted.seconds)


def _scaled(one: Histogram, seconds: float) -> Histogram:
    if seconds == 1.0:
        return one
    return Histogram(tuple(edge * seconds for edge in one.edges), one.counts, one.total)


def number(text: bytes) -> float:
    """Return the value of a sample.

    Raises:
        PageError: it is no number, or below 0, which no counter is.
    """
    try:
        value = float(text)
    except ValueError:
        raise PageError("the page has a sample whose value is no number") from None
    if value < 0:
        raise PageError("the page has a counter below 0")
    return value


def born_of(starts: Sequence[float]) -> float | None:
    """Return when the page's process started: where several programs share a page, the start of one is not that of all."""
    return starts[0] if len(starts) == 1 and 0 < starts[0] < math.inf else None


__all__ = ["BIRTH", "MOST_SERIES", "Counted", "Page", "PageError", "Sums", "born_of", "number"]
