"""Finds out what else there is where the label that tells bad events is not: the cure, in words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.api.base import clip
from tidegate.api.gate import Gate
from tidegate.api.metric import Source
from tidegate.prometheus.answers import Ask, Result, Trouble
from tidegate.prometheus.presets import COPIES, PROCESS, TELEMETRY, Version, places
from tidegate.prometheus.promql import Names, Where, selector, unlike
from tidegate.prometheus.selectors import Condition, mentions, selectors
from tidegate.prometheus.telling import what_tells

_EXAMPLES = 20
"""Series that are looked at: their labels are alike."""
_MOST_SAID = 3
_LONGEST_SAID = 40
_STATUS = re.compile(r"[1-5](?:[0-9][0-9]|xx|XX)")
_GRPC = "they are gRPC calls, whose failures no HTTP status shows: use the preset source GRPC, or counters of your own"


@dataclass(frozen=True)
class _Suspect:
    """A label that bad events are told by, and the selector of the events among which it should be."""

    metric: str
    conditions: tuple[Condition, ...]
    label: str

    def of(self, label: str) -> str:
        """Return the query for the number of those events' series, with a condition on the label."""
        return f"count({self.selector(label)})"

    def selector(self, label: str) -> str:
        """Return the selector of those events, with a condition on the label; empty for none."""
        conditions = [one.text for one in self.conditions]
        return f"{self.metric}{{{','.join((*conditions, *([self.label + label] if label else [])))}}}"


async def cure(ask: Ask, gate: Gate, names: Names, version: Version) -> str:
    """Return what the events of a version that cannot be told good or bad have instead, and what helps.

    Args:
        ask: evaluates a query.
        gate: an error rate, an availability or an error budget of a preset's source.
        names: what the Release's objects are called.
        version: whose events.

    Returns:
        A sentence without a full stop; empty where nobody knows.
    """
    told = what_tells(gate)
    if told is None:
        return ""
    source, _, telling = told
    known = TELEMETRY[source]
    try:
        where = places(source, names, version)
    except ValueError:
        # The look itself has said what is wrong with the names.
        return ""
    metric = known.counter or f"{known.histogram}_count"
    series = await examples(ask, metric, [(*one, unlike(telling.label, telling.known)) for one in where])
    if series is None:
        return ""
    if not series:
        return _GRPC if telling.unseen else ""
    beside = {matcher.label for one in where for matcher in one}
    return instead(source, telling.label, series, beside)


async def examples(ask: Ask, metric: str, ways: Sequence[Where]) -> list[Mapping[str, str]] | None:
    """Return the labels of some series; None where they cannot be had."""
    result = await ask(f"topk({_EXAMPLES}, {' or '.join(selector(metric, way) for way in ways)})")
    if isinstance(result, Trouble) or not isinstance(result.data, list):
        return None
    return [one["metric"] for one in result.data if isinstance(one, dict) and isinstance(one.get("metric"), dict)]


def instead(source: Source, label: str, series: Sequence[Mapping[str, str]], beside: Iterable[str] = ()) -> str:
    """Return which label of these series says what `label` should, and what helps.

    Args:
        source: the preset's source.
        label: the label that should tell bad events.
        series: labels of the series that it does not.
        beside: labels of theirs that are known to mean something else.
    """
    help_ = f"use counters of your own (metric.counters), or relabel it to {label} when it is scraped"
    if there := _values(series, label):
        return f"its values are {_some(there)}, which Tidegate does not know from the source {source}: {help_}"
    others = sorted({name for one in series for name in one} - {"__name__", "le", *PROCESS, *COPIES, *beside})
    for name in others:
        values = _values(series, name)
        if values and all(_STATUS.fullmatch(value) for value in values):
            return f"its series have no label {label}, but {name} ({_some(values)}): {help_}"
    named = [name for name in others if "status" in name or "code" in name]
    if named:
        return f"its series have no label {label}, but {_some(named)}: {help_}"
    have = f" (there are {_some(others)})" if others else ""
    return f"its series have no label {label}{have}: let the application count by it, or use counters of your own (metric.counters)"


async def own_queries(
    ask: Ask, canary: tuple[str, str], stable: tuple[str, str] | None = None, *, namespace: str | None
) -> str | None:
    """Return why bad events cannot be told by people's own queries.

    A label that a condition on bad events asks for, beyond what is asked of all events, must be somewhere on the metric. It need
    not be on each version's series: some labels come with the first bad event. Where all of stable's have it, it is no such label.

    Args:
        ask: evaluates a query.
        canary: queries for bad and for all events of the new version; the same one twice where it has a part for each.
        stable: likewise of the stable version; None where there are none.
        namespace: what other labels there are is told of series of this namespace alone; None for all, as to whoever asks with
            rights of their own.

    Returns:
        A sentence without a full stop; empty where they can be told, as far as the queries say; None where that is not known (yet).
    """
    groups = _suspects(*canary)
    if not groups:
        return ""
    others = {(one.metric, one.label): one for group in _suspects(*stable) for one in group} if stable is not None else {}
    found = [await _blind(ask, group, others, namespace) for group in groups]
    if "" in found:
        return ""
    return next((one for one in found if one), None)


async def unlabelled(ask: Ask, bad: str, total: str) -> str:
    """Return that no series of a metric has a label by which people's own queries tell bad events; empty where one has.

    Args:
        ask: evaluates a query.
        bad: query for bad events, with its variables as they are: only metrics and labels count.
        total: query for all events, see `own_queries`.
    """
    groups = [[replace(suspect, conditions=()) for suspect in group] for group in _suspects(bad, total)]
    found = [await _blind(ask, group, {}, None) for group in groups]
    return "" if "" in found else next((one for one in found if one), "")


def _suspects(bad: str, total: str) -> list[list[_Suspect]]:
    """Return, for each selector of bad events, the labels that its conditions beyond those of all events ask for.

    Nothing where there is a selector of bad events of which that is not known: it may tell them.
    """
    groups = []
    all_events = mentions(total)
    for one in selectors(bad):
        alike = [other for other in all_events if other.metric == one.metric and set(other.conditions) < set(one.conditions)]
        if not alike:
            if bad != total:
                return []
            continue
        widest = min(alike, key=lambda other: len(other.conditions))
        beyond = [each for each in one.conditions if each not in widest.conditions]
        if not all(each.wants for each in beyond):
            return []
        groups.append([_Suspect(one.metric, widest.conditions, each.label) for each in beyond])
    return groups


async def _blind(
    ask: Ask, group: Sequence[_Suspect], others: Mapping[tuple[str, str], _Suspect], namespace: str | None
) -> str | None:
    for suspect in group:
        anywhere = _Suspect(suspect.metric, (), suspect.label)
        some, labelled = await asyncio.gather(_any(ask, suspect.of("")), _any(ask, anywhere.of('!=""')))
        if some is None or labelled is None or not some:
            return None
        if labelled:
            like = others.get((suspect.metric, suspect.label))
            labelled = like is None or not await _only_there(ask, suspect, like)
        if not labelled:
            shown = namespace is None or any(one.keeps_to(namespace) for one in suspect.conditions)
            return _no_label(suspect, await ask(f"topk({_EXAMPLES}, {suspect.selector('')})") if shown else Result([]))
    return ""


async def _only_there(ask: Ask, suspect: _Suspect, stable: _Suspect) -> bool:
    """Whether every series of stable has the label, and no series of the new version."""
    asked = (suspect.of('!=""'), stable.of('!=""'), stable.of('=""'))
    found = await asyncio.gather(*(_any(ask, query) for query in asked))
    return found == [False, True, False]


def _no_label(suspect: _Suspect, answer: Result | Trouble) -> str:
    data = answer.data if isinstance(answer, Result) and isinstance(answer.data, list) else []
    series = [one["metric"] for one in data if isinstance(one, dict) and isinstance(one.get("metric"), dict)]
    known = {"__name__", *PROCESS, *COPIES, *(one.label for one in suspect.conditions)}
    others = sorted({name for one in series for name in one} - known)
    have = f" (there are {_some(others)})" if others else ""
    return f"bad events cannot be told from good ones: no series {suspect.metric} has a label {suspect.label}{have}"


async def _any(ask: Ask, query: str) -> bool | None:
    """Return whether there are series; None where that cannot be known."""
    result = await ask(query)
    return None if isinstance(result, Trouble) or not isinstance(result.data, list) else bool(result.data)


def _values(series: Iterable[Mapping[str, str]], label: str) -> list[str]:
    return sorted({value for one in series if (value := one.get(label, ""))})


def _some(texts: Sequence[str]) -> str:
    shown = [clip(text, _LONGEST_SAID) for text in texts[:_MOST_SAID]]
    return ", ".join((*shown, *(["\u2026"] if len(texts) > _MOST_SAID else [])))
