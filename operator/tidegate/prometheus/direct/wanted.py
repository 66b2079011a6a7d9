"""What a preset wants of a page of metrics: which names, and which of their series are bad events, or cannot be told.

The conditions are those that the PromQL of the same preset has (`counters.py`). On a pod's own page those are left out that find
the pod: whoever reads its page knows whose it is. A gateway's page is everybody's, so there are two wishes for it, one for each
version, with the conditions that find the version's Service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Source
from tidegate.prometheus.counters import Kind
from tidegate.prometheus.presets import TELEMETRY, Telemetry, Telling, Version, marks, places
from tidegate.prometheus.promql import Matcher, Names, Where

BIRTH = "process_start_time_seconds"
"""https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics"""
MEASURES = frozenset({Measure.ERROR_RATE, Measure.AVAILABILITY, Measure.LATENCY, Measure.TAIL})
"""Of requests, which pods count themselves."""


NOTHING, EVENT, BAD, UNTOLD = 0, 1, 2, 4
"""What one series of events counts, as bits of a number: one is asked for with every line."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a page.

    Attributes:
        kind: what is counted.
        events: name of the counters of events; of latencies those of the histogram, by which it is known that there is one.
        histogram: name of the histogram, without `_bucket`; empty where none is wanted.
        always: conditions that always hold.
        marks: of a gateway's page: texts of which each wanted line has all of one entry, so that no other has to be parsed.
        telling: how bad events are told; None where latencies are counted.
        seconds: seconds in one unit of the histogram.
        native: whether the histogram may be a native one.
        native_events: whether events are the counts of a histogram, which has them in one family with its buckets.
        births: whether the page's own start of a process is that of the one that counts: a proxy beside it starts at another time.
    """

    kind: Kind
    events: str
    histogram: str = ""
    always: Where = ()
    marks: tuple[tuple[str, ...], ...] = ()
    telling: Telling | None = None
    seconds: float = 1.0
    native: bool = False
    native_events: bool = False
    births: bool = True

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the samples that are read, of the page as text."""
        buckets = (f"{self.histogram}_bucket",) if self.histogram else ()
        return (self.events, *buckets, *(name for name, _ in self.aside), *((BIRTH,) if self.births else ()))

    @property
    def family(self) -> str:
        """Name of the family that has what is wanted: the counts of a histogram are in its own."""
        return self.events.removesuffix("_count") if self.histogram or self.native_events else self.events

    @cached_property
    def aside(self) -> tuple[tuple[str, Where], ...]:
        """Counters beside that of events which count what cannot be told good or bad by it: their names, and conditions."""
        return () if self.telling is None else tuple(one for one in self.telling.unseen if one[0])

    def role(self, labels: Mapping[str, str]) -> int:
        """Return what a series of events with these labels counts, as the preset's PromQL has it."""
        if not _all(self.always, labels):
            return NOTHING
        if self.telling is None:
            return EVENT
        bad = any(_holds(one, labels) for one in self.telling.bad)
        told = _like(self.telling.known, labels.get(self.telling.label, ""))
        unseen = any(not metric and _all(where, labels) for metric, where in self.telling.unseen)
        return EVENT | (BAD if bad else NOTHING) | (NOTHING if told and not unseen else UNTOLD)

    def counts(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of the histogram with these labels is wanted."""
        return _all(self.always, labels)

    def role_aside(self, name: str, labels: Mapping[str, str]) -> int:
        """Return what a series of another counter with these labels counts: events that cannot be told, or nothing."""
        found = any(one == name and _all(where, labels) for one, where in self.aside)
        return UNTOLD if found and _all(self.always, labels) else NOTHING


def wanted_of(gate: Gate) -> Wanted | None:
    """Return what a gate wants of pods' own pages; None where they do not have it."""
    preset = gate.metric.preset
    if preset is None or preset.measure not in MEASURES or gateway_of(gate) is not None:
        return None
    return _wanted(preset.source, preset.measure)


def gateway_of(gate: Gate) -> Source | None:
    """Return by what kind of gateway a gate's requests are counted; None where pods count them themselves, or nobody does."""
    preset = gate.metric.preset
    known = None if preset is None else TELEMETRY.get(preset.source)
    return preset.source if preset is not None and known is not None and known.by_service else None


def wanted_at_gateway(gate: Gate, names: Names) -> tuple[Wanted, Wanted] | None:
    """Return what a gate wants of a gateway's page, for the new version and for stable; None where it is not there.

    A gateway's start says nothing of a version's, and a native histogram is not asked for: those that there are have buckets.
    """
    preset, source = gate.metric.preset, gateway_of(gate)
    if preset is None or source is None or preset.measure not in MEASURES:
        return None
    plain = _wanted(source, preset.measure)
    try:
        # On its own page a gateway's labels are as it has written them: nothing has pushed them aside.
        found = [(places(source, names, one)[0], marks(source, names, one)) for one in (Version.CANARY, Version.STABLE)]
    except ValueError:
        return None
    if plain is None:
        return None
    canary, stable = (replace(plain, always=where, marks=texts, native=False, births=False) for where, texts in found)
    return canary, stable


@lru_cache(maxsize=64)
def _wanted(source: Source, measure: Measure) -> Wanted | None:
    known = TELEMETRY.get(source)
    return None if known is None else _of(known, measure)


def _of(known: Telemetry, measure: Measure) -> Wanted:
    births = not known.always
    if measure in (Measure.LATENCY, Measure.TAIL):
        return Wanted(
            Kind.LATENCY,
            f"{known.histogram}_count",
            known.histogram,
            known.always,
            seconds=known.seconds,
            native=known.native,
            births=births,
        )
    events = known.counter or f"{known.histogram}_count"
    telling, counted = known.telling(measure), not known.counter
    return Wanted(Kind.SHARE, events, always=known.always, telling=telling, native_events=counted, births=births)


def _all(where: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    return all(_holds(one, labels) for one in where)


def _holds(one: Matcher, labels: Mapping[str, str]) -> bool:
    """Whether a condition of a preset holds; a label that is not there is empty, as in PromQL."""
    value = labels.get(one.label, "")
    if one.operator == "=":
        return value == one.value
    return _like(one.value, value) == (one.operator == "=~")


def _like(expression: str, value: str) -> bool:
    return _compiled(expression).fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> re.Pattern[str]:
    """Compile an expression of the presets: nobody else's come here, and names of objects stand in them literally."""
    return re.compile(expression, re.DOTALL)
