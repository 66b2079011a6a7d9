"""From pages of pods to what the ledger takes in: the same sightings that an answer of Prometheus gives.

A pod's page is one process. What it counted before it was first read may have been counted already, by Prometheus or by nobody on
purpose (a warm-up), so it counts from zero only if it began later: less is counted then, and never more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tidegate.judge.histogram import EMPTY, Histogram
from tidegate.prometheus.alignment import Labels
from tidegate.prometheus.counters import Kind, Shape
from tidegate.prometheus.direct.page import Counted, Page, PageError
from tidegate.prometheus.direct.targets import Pod
from tidegate.prometheus.direct.wanted import Wanted
from tidegate.prometheus.events import Events
from tidegate.prometheus.instants import Samples
from tidegate.prometheus.ledger import Sighting
from tidegate.prometheus.samples import Seen
from tidegate.prometheus.telling import Told

_LATEST = 1e11
"""Seconds since 1970 beyond which no time is believed, nor one before."""


@dataclass(frozen=True)
class Scraped:
    """A pod's page.

    Attributes:
        target: whose.
        at: when it was asked for, or the time of the samples of which it was put together; what it says is no older.
        page: what it says.
    """

    target: Pod
    at: datetime
    page: Page


@dataclass
class Known:
    """What is remembered of pods that were read for one gate.

    Attributes:
        met: what was read of each version's pods, and whether their page had the wanted series at any time. On a gateway's page
            both versions have theirs.
        series: of pods of gateways, likewise, how many series there were on the last page.
    """

    met: tuple[dict[str, bool], dict[str, bool]] = field(default_factory=lambda: ({}, {}))
    series: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))


def samples(
    wanted: Wanted, known: Known, canary: Iterable[Scraped], stable: Iterable[Scraped] | None, of_stable: Wanted | None = None
) -> Samples:
    """Return what the pages of both versions say.

    Args:
        wanted: of each page.
        known: what is remembered; it is brought up to date.
        canary: pages of the new version.
        stable: pages of stable; None where the gate does not compare with it.
        of_stable: what is wanted of the pages of stable, where that is something else: on a gateway's page both versions are.

    Raises:
        PageError: the histograms of a page cannot be followed.
    """
    (ours, theirs), (our_series, their_series) = known.met, known.series
    found = _seen(wanted, ours, our_series, canary)
    return Samples(found, None if stable is None else _seen(of_stable or wanted, theirs, their_series, stable), ())


def _seen(wanted: Wanted, met: dict[str, bool], series: dict[str, int], pages: Iterable[Scraped]) -> Seen:
    sightings: dict[Labels, Sighting] = {}
    events: dict[bytes, float] = {}
    untold: dict[bytes, float] = {}
    shapes, edges = set[Shape](), 0
    for one in pages:
        uid, counted = one.target.uid, one.page.counted.get(wanted)
        if counted is None:
            continue
        first, had = uid not in met, met.get(uid, False)
        met[uid] = had or counted.found
        # A page without the series counts nothing yet; without those that it had, it says nothing.
        if had and not counted.found:
            continue
        value = _value(wanted, counted)
        if value is None:
            continue
        name = uid.encode()
        born = _moment(one.page.born)
        less = bool(wanted.marks) and counted.series < series.get(uid, 0)
        series[uid] = counted.series
        sightings[name] = Sighting(name, value, one.at, one.target.born if born is None and first else born, less)
        if isinstance(value, Histogram):
            shapes.add(Shape.NATIVE if counted.native else Shape.CLASSIC)
            edges += len(value.counts)
        else:
            events[name] = value.total
            if counted.untold is not None:
                untold[name] = counted.untold
    return Seen(sightings, frozenset(shapes), Told(events, untold), edges=edges)


def _value(wanted: Wanted, counted: Counted) -> Events | Histogram | None:
    if wanted.kind is not Kind.LATENCY:
        return counted.events
    if counted.histogram is not None:
        return counted.histogram
    return None if counted.found else EMPTY


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 < seconds < _LATEST else None


__all__ = ["Known", "PageError", "Scraped", "samples"]
