"""From the answers to queries for raw counters to what the ledger takes in, and from its increases to what the judge takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.judge import histogram
from tidegate.judge.histogram import Histogram
from tidegate.judge.reading import Counts, Tally
from tidegate.prometheus.alignment import Labels
from tidegate.prometheus.counters import Kind, RawCounters, Shape
from tidegate.prometheus.events import Events
from tidegate.prometheus.ledger import Increases, Sighting, Sightings
from tidegate.prometheus.presets import PROCESS

MOST_COUNTED = 8192
"""Series that one query for raw counters may give; they are followed one by one."""

MOST_ANSWERED = 5 * (MOST_COUNTED + 1)
"""Series that an answer may hold: those of each of a version's queries, and one more each, which tells that there are too many."""

_HOUR = timedelta(hours=1)
_LATEST = 1e11
"""Seconds since 1970 that are no time any more."""
_PROCESS = frozenset(PROCESS)


class CountError(ValueError):
    """What a query gave cannot be counted; the message says why, for the author of the policy."""


def labels_of(data: object) -> Iterator[Labels]:
    """Give the labels of each series of an answer."""
    for labels, _ in _series(data):
        yield tuple(sorted(labels.items()))


@dataclass(frozen=True)
class Answers:
    """What the queries for the counters of one version gave, as `data.result` came; None for what was not asked.

    Attributes:
        total: of the counter of all events.
        bad: of the counter of bad events.
        buckets: of the histogram, by the shape that was asked for.
        times: of the times of the samples.
        births: of the starts of the processes.
    """

    total: object = None
    bad: object = None
    buckets: Mapping[Shape, object] = field(default_factory=dict)
    times: object = None
    births: object = None


def sightings(asked: RawCounters, answers: Answers) -> Sightings:
    """Return what the counters of one version said.

    Args:
        asked: the queries.
        answers: to them.

    Raises:
        CountError: an answer is not made of counters, or of too many.
    """
    found = _undated(asked, answers.total, answers.bad, answers.buckets)
    times, births = _instants(answers.times), _instants(answers.births)
    if not times:
        return found
    if asked.grouped:
        return {labels: replace(one, at=times.get(labels), born=births.get(labels)) for labels, one in found.items()}
    # Series of bad events have labels of their own; what one process counts comes with one scrape.
    scrapes: dict[Labels, datetime] = {}
    for labels, time in times.items():
        process = _process(labels)
        scrapes[process] = max(time, scrapes.get(process, time))
    dated = {labels: replace(one, at=times.get(labels[1:], scrapes.get(one.process))) for labels, one in found.items()}
    # Events with a time and bad ones without would be handed out at different looks.
    return dated if all(one.at is not None for one in dated.values()) else found


def _instants(data: object) -> dict[Labels, datetime]:
    """Return the times that are told, by the labels of who tells them; those that no clock can show are none."""
    found = {}
    for labels, seconds in _counters(data).items():
        if 0 < seconds < _LATEST:
            found[labels] = datetime.fromtimestamp(seconds, UTC)
    return found


def _undated(asked: RawCounters, total: object, bad: object, buckets: Mapping[Shape, object]) -> Sightings:
    if asked.kind is Kind.LATENCY:
        classic = _classic(buckets.get(Shape.CLASSIC, []), asked.seconds)
        return classic or _native(buckets.get(Shape.NATIVE, []))
    totals, bads = _counters(total), _counters(bad)
    if not asked.grouped:
        parts = (("total", totals), ("bad", bads))
        return {
            ((part, ""), *labels): Sighting(_process(labels), Events(value) if part == "total" else Events(bad=value))
            for part, counters in parts
            for labels, value in counters.items()
        }
    # A process whose counter of all events has no value now was missed by this look, whatever its errors say.
    seen = bads if total is None else totals
    return {labels: Sighting(labels, Events(totals.get(labels, 0.0), bads.get(labels))) for labels in seen}


def counts(asked: RawCounters, increases: Increases, seen: Sightings, at: datetime) -> Counts:
    """Return what both versions have counted in an interval, in the form that the judge takes.

    Args:
        asked: the queries.
        increases: what the series have counted.
        seen: the new version's series at the end of the interval.
        at: the end of the interval.

    Raises:
        CountError: the histograms of the versions have no bound in common.
    """
    if asked.kind is Kind.LATENCY:
        return _latencies(increases)
    canary = _events(increases.canary)
    if asked.kind is Kind.RESTARTS:
        # Hours are those of the look, whatever the age of the samples is.
        pods = {dict(labels).get("pod", "") for labels in seen}
        canary = replace(canary, total=len(pods) * ((at - increases.since) / _HOUR))
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
    return replace(counted, bad=min(counted.bad, counted.total))


def _counters(data: object) -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for labels, series in _series(data):
        key = tuple(sorted(labels.items()))
        if key in found:
            raise CountError("the answer has a series twice")
        if "value" not in series:
            raise CountError(_no_counter(series))
        value = _number(series["value"])
        if value is not None:
            found[key] = value
    return found


def _classic(data: object, seconds: float) -> Sightings:
    buckets: dict[Labels, dict[float, float]] = {}
    for labels, value in _counters(data).items():
        edge = next((text for name, text in labels if name == "le"), "")
        try:
            bound = float(edge) * seconds
        except ValueError:
            continue
        buckets.setdefault(tuple(pair for pair in labels if pair[0] != "le"), {})[bound] = value
    # Without the bucket that holds all requests nobody knows how many there are.
    whole = {labels: histogram.cumulative(found) for labels, found in buckets.items() if math.inf in found}
    return {labels: Sighting(labels, value) for labels, value in whole.items()}


def _native(data: object) -> Sightings:
    found: dict[Labels, Sighting] = {}
    for labels, series in _series(data):
        pair = series.get("histogram")
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        key = tuple(sorted(labels.items()))
        try:
            found[key] = Sighting(key, histogram.native(pair[1]))
        except ValueError as error:
            raise CountError(f"the answer has no histogram that Tidegate knows: {error}") from error
    return found


def _series(data: object) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    if data is None:
        return
    if not isinstance(data, list):
        raise CountError("the answer has no result that Tidegate knows")
    if data and not isinstance(data[0], dict):
        data = [{"metric": {}, "value": data}]
    if len(data) > MOST_COUNTED:
        raise CountError(f"the query gave {len(data)} series, at most {MOST_COUNTED} are counted: sum them by pod")
    for series in data:
        labels = series.get("metric") if isinstance(series, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise CountError("the answer has no series that Tidegate knows")
        yield labels, series


def _number(pair: object) -> float | None:
    """Return the value of a counter; None where it has none now."""
    if not isinstance(pair, list) or len(pair) != 2:
        raise CountError("the answer has no value that Tidegate knows")
    try:
        value = float(pair[1])
    except (TypeError, ValueError):
        raise CountError("the query gave a text, expected counters") from None
    if value < 0:
        raise CountError("the query gave a number below 0, expected counters")
    return value if math.isfinite(value) else None


def _no_counter(series: Mapping[str, Any]) -> str:
    if "values" in series:
        return "the query gave a range of values, expected counters: leave the range away"
    if "histogram" in series:
        return "the query gave a histogram, expected counters: take histogram_count() of it"
    return "the query gave no value, expected counters"


def _process(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] in _PROCESS)
