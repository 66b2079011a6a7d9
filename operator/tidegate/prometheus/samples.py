"""From the answers to queries for raw counters to what the ledger takes in, and from its increases to what the judge takes.

Answers are read in the thread that has asked. What leaves it names series by a digest of their labels, in place of the labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from tidegate.judge import histogram
from tidegate.judge.histogram import Histogram
from tidegate.judge.reading import Counts, Tally
from tidegate.prometheus.alignment import Labels
from tidegate.prometheus.counters import Kind, RawCounters, Shape
from tidegate.prometheus.events import Events
from tidegate.prometheus.ledger import Increases, Sighting, Sightings
from tidegate.prometheus.presets import PROCESS
from tidegate.prometheus.telling import UNTOLD, Told

MOST_COUNTED = 8192
"""Series that one query for raw counters may give, each bucket of a histogram being one."""

MOST_ANSWERED = 5 * (MOST_COUNTED + 1)
"""Series that an answer may hold: those of each of a version's queries, and one more each, which tells that there are too many."""

_HOUR = timedelta(hours=1)
_LATEST = 1e11
"""Seconds since 1970 that are no time any more."""
_PROCESS = frozenset(PROCESS)
_TEXT = frozenset({str})
_TOTAL, _BAD = b"t", b"b"
_DIGEST = 16
"""Bytes: among all series of all gates of a year no two are taken for one."""


class CountError(ValueError):
    """What a query gave cannot be counted; the message says why, for the author of the policy."""


class TooMuchError(CountError):
    """It is more than may be followed."""


class Part(StrEnum):
    """What one of a version's queries is for."""

    TOTAL = "all events"
    BAD = "bad events"
    CLASSIC = "classic histograms"
    NATIVE = "native histograms"
    TIMES = "times of samples"
    BIRTHS = "starts of processes"
    WITNESSES = "processes"


PARTS = {Shape.CLASSIC: Part.CLASSIC, Shape.NATIVE: Part.NATIVE}
"""For each shape of a histogram the query for it."""


@dataclass(frozen=True)
class Form:
    """How the answers of a gate are to be read.

    Attributes:
        kind: what is counted.
        grouped: series are one per process; else they are as people's own queries give them.
        seconds: seconds in one unit of the histogram.
        most: series that one version may have.
    """

    kind: Kind
    grouped: bool
    seconds: float
    most: int

    @classmethod
    def of(cls, asked: RawCounters, most: int) -> Form:
        """Return the form of what these queries give."""
        return cls(asked.kind, asked.grouped, asked.seconds, most)


_NONE: Mapping[bytes, Any] = MappingProxyType({})


class Compact(NamedTuple):
    """The answer to one query.

    Attributes:
        empty: it had no series.
        counters: values by the digest of the labels; of classic histograms nothing.
        untold: those of series that count what cannot be told, likewise.
        processes: for each series the digest of the labels that name the process, where that is another.
        histograms: by the digest of the labels without that of the bucket.
        pods: pods that there are.
    """

    empty: bool
    counters: Mapping[bytes, float] = _NONE
    untold: Mapping[bytes, float] = _NONE
    processes: Mapping[bytes, bytes] = _NONE
    histograms: Mapping[bytes, Histogram] = _NONE
    pods: int = 0


_NOTHING = Compact(empty=True)


@dataclass(frozen=True)
class Seen:
    """What the counters of one version said at an instant.

    Attributes:
        sightings: of its series.
        shapes: the shapes of histograms that had series.
        told: events, and those that cannot be told, where presets count them.
        pods: pods among them, where restarts are counted.
        edges: numbers that the histograms hold.
    """

    sightings: Sightings
    shapes: frozenset[Shape] = frozenset()
    told: Told = field(default_factory=Told)
    pods: int = 0
    edges: int = 0


def digest(labels: Mapping[str, str]) -> bytes:
    """Return what stands for labels: 16 bytes in place of all their text."""
    return blake2b(orjson.dumps(labels, option=orjson.OPT_SORT_KEYS), digest_size=_DIGEST).digest()


def compact(form: Form, part: Part, data: object) -> Compact:
    """Read the answer to one query.

    Raises:
        CountError: it is not made of counters, or of too many.
    """
    empty = not data
    if part is Part.CLASSIC:
        return Compact(empty, histograms=_classic(data, form.seconds))
    if part is Part.NATIVE:
        return Compact(empty, histograms=_native(data))
    pods = set[str]()
    if form.kind is Kind.RESTARTS:
        pods = {labels.get("pod", "") for labels, series in _series(data) if _value(series) is not None}
    if part is Part.WITNESSES:
        # Which processes there are, and not what they say.
        return Compact(empty, counters={digest(labels): 0.0 for labels, _ in _series(data)})
    processes: dict[bytes, bytes] | None = None if form.grouped else {}
    counters, untold = _counters(data, processes, apart=part is Part.TOTAL and form.grouped)
    return Compact(empty, counters, untold, processes or {}, pods=len(pods))


def seen(form: Form, answers: Mapping[Part, Compact]) -> Seen:
    """Return what the counters of one version said.

    Args:
        form: of the answers.
        answers: to its queries, as far as they were asked.

    Raises:
        CountError: there are too many series.
    """
    total, bad = answers.get(Part.TOTAL), answers.get(Part.BAD)
    shapes = frozenset(shape for shape, part in PARTS.items() if not answers.get(part, _NOTHING).empty)
    if form.kind is Kind.LATENCY:
        values: dict[bytes, tuple[bytes, Events | Histogram]] = {
            name: (name, one)
            for name, one in (
                answers.get(Part.CLASSIC, _NOTHING).histograms or answers.get(Part.NATIVE, _NOTHING).histograms
            ).items()
        }
    elif form.grouped:
        # A process whose counter of all events has no value now was missed by this look, whatever its errors say.
        totals, bads = (total or _NOTHING).counters, (bad or _NOTHING).counters
        values = {name: (name, Events(totals.get(name, 0.0), bads.get(name))) for name in (bads if total is None else totals)}
    else:
        values = _apart(total or _NOTHING, bad or _NOTHING)
    if len(values) > form.most:
        raise TooMuchError(_too_many(len(values), form.most))
    told = Told(total.counters, total.untold) if total is not None and form.grouped else Told()
    pods = max((one.pods for one in answers.values()), default=0)
    edges = sum(len(value.counts) for _, value in values.values() if isinstance(value, Histogram))
    return Seen(_dated(form, values, answers), shapes, told, pods, edges)


def number_of(sightings: Sightings, *, grouped: bool) -> int:
    """Return how many series of all events there are; of presets each is a process."""
    return len(sightings) if grouped else sum(isinstance(name, bytes) and name[:1] == _TOTAL for name in sightings)


def _apart(total: Compact, bad: Compact) -> dict[bytes, tuple[bytes, Events | Histogram]]:
    """Return the series of people's own queries: those of bad events have labels of their own."""
    values: dict[bytes, tuple[bytes, Events | Histogram]] = {}
    for mark, one in ((_TOTAL, total), (_BAD, bad)):
        for name, value in one.counters.items():
            values[mark + name] = (one.processes[name], Events(value) if mark == _TOTAL else Events(bad=value))
    return values


def _dated(form: Form, values: Mapping[bytes, tuple[bytes, Events | Histogram]], answers: Mapping[Part, Compact]) -> Sightings:
    told = answers.get(Part.TIMES, _NOTHING)
    times, births = _instants(told), _instants(answers.get(Part.BIRTHS, _NOTHING))
    if not times:
        return {name: Sighting(process, value) for name, (process, value) in values.items()}
    if form.grouped:
        return {name: Sighting(name, value, times.get(name), births.get(name)) for name, (_, value) in values.items()}
    # What one process counts comes with one scrape.
    scrapes: dict[bytes, datetime] = {}
    for name, time in times.items():
        process = told.processes[name]
        scrapes[process] = max(time, scrapes.get(process, time))
    dated: dict[Labels, Sighting]
    dated = {name: Sighting(process, value, times.get(name[1:], scrapes.get(process))) for name, (process, value) in values.items()}
    # Events with a time and bad ones without would be handed out at different looks.
    if all(one.at is not None for one in dated.values()):
        return dated
    return {name: Sighting(process, value) for name, (process, value) in values.items()}


def _instants(told: Compact) -> dict[bytes, datetime]:
    """Return the times that are told, by the labels of who tells them; those that no clock can show are none."""
    return {name: datetime.fromtimestamp(seconds, UTC) for name, seconds in told.counters.items() if 0 < seconds < _LATEST}


def counts(asked: RawCounters, increases: Increases, pods: int, at: datetime) -> Counts:
    """Return what both versions have counted in an interval, in the form that the judge takes.

    Args:
        asked: the queries.
        increases: what the series have counted.
        pods: of the new version at the end of the interval, where restarts are counted.
        at: the end of the interval.

    Raises:
        CountError: the histograms of the versions have no bound in common.
    """
    if asked.kind is Kind.LATENCY:
        return _latencies(increases)
    canary = _events(increases.canary)
    if asked.kind is Kind.RESTARTS:
        # Hours are those of the look, whatever the age of the samples is.
        canary = replace(canary, total=pods * ((at - increases.since) / _HOUR))
        return Counts(increases.since, canary, until=increases.until)
    stable = None if increases.stable is None else _share(_events(increases.stable))
    return Counts(increases.since, _share(canary), stable, until=increases.until)


def _latencies(increases: Increases) -> Counts:
    versions = [
        histogram.add(one for one in version if isinstance(one, Histogram))
        for version in (increases.canary, increases.stable)
        if version is not None
    ]
    bounds = histogram.shared_bounds(versions)
    if not bounds and all(version.total for version in versions):
        raise CountError("the histograms of the versions have no bound in common at which requests can be compared")
    canary, *others = (Tally(total=version.total, over=version.over(bounds)) for version in versions)
    return Counts(increases.since, canary, others[0] if others else None, bounds, increases.until)


def _events(increases: Sequence[Events | Histogram]) -> Tally:
    events = [one for one in increases if isinstance(one, Events)]
    return Tally(total=math.fsum(one.total for one in events), bad=math.fsum(one.bad or 0.0 for one in events))


def _share(counted: Tally) -> Tally:
    # Of two counters that reset apart from each other, one may for once be ahead: a share is never more than all.
    return counted if counted.bad <= counted.total else replace(counted, bad=counted.total)


def _counters(
    data: object, processes: dict[bytes, bytes] | None = None, *, apart: bool = False
) -> tuple[dict[bytes, float], dict[bytes, float]]:
    """Return the values of counters, and apart from them those of what cannot be told.

    Args:
        data: the answer.
        processes: takes the process of each series; None where each is that of one process.
        apart: there are such that count what cannot be told.
    """
    found: dict[bytes, float] = {}
    untold: dict[bytes, float] = {}
    known: dict[tuple[str | None, ...], bytes] = {}
    for labels, series in _series(data):
        into = found
        if apart and UNTOLD in labels:
            into, labels = untold, {name: value for name, value in labels.items() if name != UNTOLD}  # noqa: PLW2901
        key = digest(labels)
        if key in into:
            raise CountError("the answer has a series twice")
        value = _value(series)
        if value is not None:
            into[key] = value
        if processes is not None:
            names = tuple(labels.get(name) for name in PROCESS)
            if names not in known:
                known[names] = digest({name: text for name, text in labels.items() if name in _PROCESS})
            processes[key] = known[names]
    return found, untold


def _classic(data: object, seconds: float) -> dict[bytes, Histogram]:
    buckets: dict[bytes, dict[float, float]] = {}
    met = set[tuple[bytes, str]]()
    for labels, series in _series(data):
        edge = labels.get("le", "")
        key = digest({name: value for name, value in labels.items() if name != "le"})
        if (key, edge) in met:
            raise CountError("the answer has a series twice")
        met.add((key, edge))
        value = _value(series)
        try:
            bound = float(edge) * seconds
        except ValueError:
            continue
        if value is not None:
            buckets.setdefault(key, {})[bound] = value
    # Without the bucket that holds all requests nobody knows how many there are.
    return _sharing({key: histogram.cumulative(found) for key, found in buckets.items() if math.inf in found})


def _native(data: object) -> dict[bytes, Histogram]:
    found: dict[bytes, Histogram] = {}
    for labels, series in _series(data):
        pair = series.get("histogram")
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        try:
            found[digest(labels)] = histogram.native(pair[1])
        except ValueError as error:
            raise CountError(f"the answer has no histogram that Tidegate knows: {error}") from error
    return _sharing(found)


def _sharing(found: dict[bytes, Histogram]) -> dict[bytes, Histogram]:
    """Return the same histograms; those with the same edges have them in common, and need not keep them each."""
    edges: dict[tuple[float, ...], tuple[float, ...]] = {}
    return {key: replace(one, edges=edges.setdefault(one.edges, one.edges)) for key, one in found.items()}


def _series(data: object) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    if data is None:
        return
    if not isinstance(data, list):
        raise CountError("the answer has no result that Tidegate knows")
    if data and not isinstance(data[0], dict):
        data = [{"metric": {}, "value": data}]
    if len(data) > MOST_COUNTED:
        raise TooMuchError(_too_many(len(data), MOST_COUNTED))
    for series in data:
        labels = series.get("metric") if isinstance(series, dict) else None
        if not isinstance(labels, dict) or not _TEXT.issuperset(map(type, labels.values())):
            raise CountError("the answer has no series that Tidegate knows")
        yield labels, series


def _value(series: Mapping[str, Any]) -> float | None:
    """Return the value of a series of counters; None where it has none now."""
    pair = series.get("value")
    if not isinstance(pair, list) or len(pair) != 2:
        raise CountError("the answer has no value that Tidegate knows" if "value" in series else _no_counter(series))
    try:
        value = float(pair[1])
    except (TypeError, ValueError):
        raise CountError("the query gave a text, expected counters") from None
    if value < 0:
        raise CountError("the query gave a number below 0, expected counters")
    return value if math.isfinite(value) else None


def _too_many(found: int, most: int) -> str:
    return f"the query gave {found:,} series, at most {most:,} are followed (budgets.seriesPerGate): sum by (pod) (...)"


def _no_counter(series: Mapping[str, Any]) -> str:
    if "values" in series:
        return "the query gave a range of values, expected counters: leave the range away"
    if "histogram" in series:
        return "the query gave a histogram, expected counters: take histogram_count() of it"
    return "the query gave no value, expected counters"
