"""Whether bad events can be told from good ones by what Prometheus has at present, over all series of a metric.

A policy does not say whose series they are, so only a label that no series has is worth a warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.api.metric import Source
from tidegate.prometheus.answers import Ask, Result, Trouble
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.labelling import examples, instead, unlabelled
from tidegate.prometheus.presets import TELEMETRY, Telling
from tidegate.prometheus.promql import like, selector, unlike
from tidegate.prometheus.selectors import mentions
from tidegate.prometheus.telling import what_tells

_MOST_SERIES = 100
_DEFAULT = "vector(0)"


async def untellable(connection: Connection, gate: Gate, at: datetime) -> str:
    """Return in words that no bad event of a gate could be told; empty where one could, or nobody knows."""

    async def ask(query: str) -> Result | Trouble:
        return await connection.alone(query, at, _MOST_SERIES)

    told = what_tells(gate)
    if told is not None:
        source, _, telling = told
        return await _of_source(ask, source, telling)
    found = [await unlabelled(ask, bad, total) for bad, total in _own(gate)]
    return next((words for words in found if words), "")


def unreadable(gate: Gate) -> bool:
    """Whether a query of people's own takes no series for no bad events, and does not say by which label they are told."""
    queries = [] if gate.metric.promql is None else [gate.metric.promql.canary, gate.metric.promql.stable or ""]
    return any(_DEFAULT in "".join(query.split()) and not _has_parts(query) for query in queries)


def _has_parts(query: str) -> bool:
    """Whether a query has a selector for all events beside a narrower one."""
    found = mentions(query)
    return any(
        one.metric == other.metric and set(one.conditions) < set(other.conditions)
        for one in found
        for other in found
        if other.conditions
    )


def _own(gate: Gate) -> Iterator[tuple[str, str]]:
    counters, promql = gate.metric.counters, gate.metric.promql
    if counters is not None:
        yield from ((pair.bad, pair.total) for pair in (counters.canary, counters.stable) if pair is not None)
    if promql is not None:
        yield from ((query, query) for query in (promql.canary, promql.stable) if query is not None)


async def _of_source(ask: Ask, source: Source, telling: Telling) -> str:
    known = TELEMETRY[source]
    metric = known.counter or f"{known.histogram}_count"
    some, told = await asyncio.gather(
        examples(ask, metric, [(*known.always, unlike(telling.label, telling.known))]),
        ask(f"count({selector(metric, (*known.always, like(telling.label, telling.known)))})"),
    )
    if not some or isinstance(told, Trouble) or told.data:
        return ""
    beside = {matcher.label for matcher in known.always} | {label for labels in known.places for label in labels}
    cause = f"bad answers cannot be told from good ones: no series {metric} has a known value of the label {telling.label}"
    return f"{cause}; {instead(source, telling.label, some, beside)}; every check will be Undecided"
