"""Series that are copies of each other: what one process counts, read by several and kept side by side, is counted so many times.

All that one scraper reads of a process has the time of one scrape. So a process whose series go on at several times is read by
several: by replicas of Prometheus whose series nobody deduplicates, or by several scrape jobs. What tells their series apart is the
label that is to blame, whatever it is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.api.gate import Gate
from tidegate.prometheus.answers import Ask, Result
from tidegate.prometheus.aside import Aside
from tidegate.prometheus.diagnosis import Selection, selections
from tidegate.prometheus.presets import COPIES, PROCESS, TELEMETRY, Version
from tidegate.prometheus.promql import Names, quoted

FIRST, EVERY = 150.0, 600.0
"""Seconds after the first look until copies are looked for, and from then on between two times: the series must have gone on."""
_BACK = "2m"
"""By what a series that goes on is told from one that is left over, as after a restart."""
_AT = "tidegate_at"
_ALIKE, _ENOUGH = 0.8, 10.0
"""Share that what copies count has in common at least, and requests from which on that says something."""
_AT_ONCE = 2
_BY_JOBS = frozenset({"job", "service", "endpoint"})
_DEDUPLICATE = "have the store deduplicate by it (Thanos: --query.replica-label)"


@dataclass
class _Known:
    since: float
    at: float | None = None
    words: str = ""


class Copies:
    """Finds out, on the side, whether requests of gates count more than once, and says so at their next looks.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], dict[str, _Known]] = {}
        self._aside = Aside(_AT_ONCE)

    def told(self, ask: Ask, gate: Gate, names: Names) -> str:
        """Return that requests of a version count more than once, and what helps; empty where that is not known (yet).

        Args:
            ask: evaluates queries; awaited later, and not by the caller.
            gate: whose metric.
            names: what the Release's objects are called.
        """
        now, of_release = self._clock(), self._known.setdefault((names.namespace, names.release), {})
        known = of_release.setdefault(gate.name, _Known(now))
        due = known.since + FIRST if known.at is None else known.at + EVERY
        if now >= due and self._aside.free:
            known.at = now
            self._aside.start(lambda: self._find(ask, gate, names, known))
        return known.words

    def forget(self, namespace: str, release: str) -> None:
        """Drop what was found for a Release."""
        self._known.pop((namespace, release), None)

    def close(self) -> None:
        """Stop what is under way."""
        self._aside.close()

    @staticmethod
    async def _find(ask: Ask, gate: Gate, names: Names, known: _Known) -> None:
        versions = (Version.CANARY, *((Version.STABLE,) if gate.versus_stable is not None else ()))
        found = [await copies(ask, gate, names, version) for version in versions]
        known.words = next((words for words in found if words), "")


async def copies(ask: Ask, gate: Gate, names: Names, version: Version) -> str:
    """Find out whether requests of a version count more than once, and by which labels.

    Args:
        ask: evaluates a query.
        gate: whose metric.
        names: what the Release's objects are called.
        version: whose series.

    Returns:
        A sentence without a full stop; empty where they count once, or where nobody knows.
    """
    preset = gate.metric.preset
    if preset is not None and preset.source not in TELEMETRY:
        # What kube-state-metrics and kubelets say of a container is taken once, whoever says it.
        return ""
    for selection in selections(gate, names, version):
        for metric in selection.metrics:
            found = await _of_metric(ask, list(_selectors(selection, metric)))
            if found is None:
                continue
            times, labels, native = found
            if preset is None or native or not set(labels) <= set(COPIES):
                whose = "the new version" if version is Version.CANARY else "stable"
                return _words(whose, times, labels, native=native, own=preset is None)
    return ""


def _words(whose: str, times: int, labels: Sequence[str], *, native: bool, own: bool) -> str:
    often = "twice" if times == 2 else f"{times} times"
    if _BY_JOBS.intersection(labels):
        cure = "have each pod scraped by one job"
    elif native:
        cure = f"{_DEDUPLICATE}: native histograms cannot be counted once"
    elif own:
        cure = f"take max without ({', '.join(labels)}) of them, or {_DEDUPLICATE}"
    else:
        cure = f"name it prometheus_replica, or {_DEDUPLICATE}"
    return f"requests of {whose} count {often}: its series are there once for each {' and '.join(labels)}; {cure}"


def _selectors(selection: Selection, metric: str) -> Iterator[tuple[str, str]]:
    """Yield name and conditions, in every way that series may be labelled; of a histogram's buckets the one with all requests."""
    bucket = ['le="+Inf"'] if metric.endswith("_bucket") else []
    for way in selection.ways or ((),):
        yield metric, ",".join([*(condition.text for condition in way), *bucket])


def _going_on(selectors: Iterable[tuple[str, str]], more: str = "") -> str:
    texts = [f"{metric}{{{','.join(part for part in (conditions, more) if part)}}}" for metric, conditions in selectors]
    return " or ".join(f"timestamp({text}) > timestamp({text} offset {_BACK})" for text in texts)


async def _of_metric(ask: Ask, selectors: Sequence[tuple[str, str]]) -> tuple[int, tuple[str, ...], bool] | None:
    """Return by how many a process is read, the labels that tell them apart, and whether its histogram is native; None for one."""
    by = ", ".join(PROCESS)
    crowd = await _series(ask, f'topk(1, count by ({by}) (count_values by ({by}) ("{_AT}", {_going_on(selectors)})))')
    if not crowd or _number(crowd[0]) < 2:
        return None
    process = {name: value for name, value in crowd[0].get("metric", {}).items() if name in PROCESS}
    only = ",".join(f"{name}={quoted(value)}" for name, value in process.items())
    series = await _series(ask, _going_on(selectors, only))
    labels = apart([(one.get("metric", {}), _number(one)) for one in series])
    if not labels:
        return None
    either = " or ".join(f"{metric}{{{','.join(part for part in (given, only) if part)}}}" for metric, given in selectors)
    counted = await _series(ask, f"sum by ({', '.join(labels)}) ({either})")
    numbers = [_number(one) for one in counted]
    if len(numbers) < 2 or max(numbers) < _ENOUGH or min(numbers) < _ALIKE * max(numbers):
        return None
    return len(numbers), labels, "histogram" in counted[0]


def apart(series: Iterable[tuple[Mapping[str, str], float]]) -> tuple[str, ...]:
    """Return the labels by which those who read one process tell their series apart, sorted; none where nothing does.

    Args:
        series: labels of each series of the process, and the time of its sample: who reads at one time is one reader.
    """
    readers: dict[float, list[Mapping[str, str]]] = {}
    for labels, at in series:
        readers.setdefault(at, []).append(labels)
    if len(readers) < 2:
        return ()
    names = {name for found in readers.values() for labels in found for name in labels} - {"__name__", "le", *PROCESS}
    return tuple(sorted(name for name in names if _tells(name, list(readers.values()))))


def _tells(name: str, readers: Sequence[Sequence[Mapping[str, str]]]) -> bool:
    """Whether each reader has one value of a label, and no other has the same."""
    values = [{labels.get(name, "") for labels in found} for found in readers]
    return all(len(one) == 1 for one in values) and len(set[str]().union(*values)) == len(values)


async def _series(ask: Ask, query: str) -> list[dict[str, Any]]:
    result = await ask(query)
    data = result.data if isinstance(result, Result) else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def _number(series: Mapping[str, Any]) -> float:
    """Return the value of a series, or the number of events in a histogram; 0 where it has none that is understood."""
    match series:
        case {"value": [_, text]}:
            pass
        case {"histogram": [_, {"count": text}]}:
            pass
        case _:
            return 0.0
    try:
        return float(str(text))
    except ValueError:
        return 0.0
