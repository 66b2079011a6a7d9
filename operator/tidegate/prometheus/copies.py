"""Series that are copies of each other: what one process counts, read by several and kept side by side, counts once.

All that one scraper reads of a process has the time of one scrape. So a process whose series go on at several times is read by
several: by replicas of Prometheus whose series nobody deduplicates, or by several scrape jobs. What tells their series apart is the
label that is to blame, whatever it is called. That they are copies, and no counters of their own, is seen by their samples: those
of all readers, in the order of their times, never fall, as they are all of one counter.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tidegate.api.gate import Gate
from tidegate.prometheus.answers import Ask, Result
from tidegate.prometheus.aside import Aside
from tidegate.prometheus.diagnosis import Selection, selections
from tidegate.prometheus.presets import COPIES, PROCESS, TELEMETRY, Version
from tidegate.prometheus.promql import Names, quoted
from tidegate.prometheus.selectors import of_scraped_series

FIRST, EVERY = 150.0, 600.0
"""Seconds after the first look until copies are looked for, and from then on between two times: the series must have gone on."""
_BACK = "2m"
"""By what a series that goes on is told from one that is left over, as after a restart."""
_AGO = ("", " offset 30s", " offset 1m", " offset 2m")
"""When samples are taken by which copies are told from counters of their own."""
_AT = "tidegate_at"
_ALIKE, _ENOUGH = 0.8, 10.0
"""Share that what copies count has in common at least, and requests from which on that says something."""
_SOME = 16
"""Processes that several read, of which the busiest is looked at."""
AT_ONCE = 32
"""Gates for which copies are looked for at once. Each asks for no more than its own pods' series, and what is asked for those that
are looked at together goes out together: in one request, and not in one for each."""
_BY_JOBS = frozenset({"job", "service", "endpoint"})
_DEDUPLICATE = "have the store deduplicate by it (Thanos: --query.replica-label)"
_SEVERAL = 2
"""Readers from which on there are copies."""
_SKEW = 1.0
"""Seconds by which the time of a sample may be before that of the value: it is that of the beginning of a scrape."""
Key = tuple[tuple[str, str], ...]
"""Labels of a series, without those that tell who has read it."""


@dataclass(frozen=True)
class Copied:
    """What is known of copies.

    Attributes:
        labels: that tell copies apart and are to be left out of what is counted; none where there are no copies, presets leave
            them out anyhow, or it is not sure that they are copies.
        words: a sentence for people without a full stop; empty where there is nothing to tell.
        once: whether each request counts once all the same.
    """

    labels: tuple[str, ...] = ()
    words: str = ""
    once: bool = True


@dataclass
class _Known:
    since: float
    begun: bool = False
    at: float | None = None
    labels: tuple[str, ...] = ()
    words: str = ""

    def take(self, found: Copied) -> None:
        """Note what was found. A label once found is left out for good, whatever the store does meanwhile."""
        self.labels = tuple(sorted({*self.labels, *found.labels}))
        self.words = found.words


class Copies:
    """Finds out which labels tell copies of series apart, so that requests count once, and says so at the next looks.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], dict[str, _Known]] = {}
        self._aside = Aside(AT_ONCE)

    def within(self, gate: Gate, names: Names) -> Names:
        """Return the names, with the labels by which copies of a gate's series are known to be told apart."""
        known = self._known.get((names.namespace, names.release), {}).get(gate.name)
        return replace(names, copies=known.labels) if known is not None and known.labels else names

    async def begin(self, ask: Ask, gate: Gate, names: Names) -> None:
        """Look once before anything is counted, at what has been there for a while; unanswered, it is asked again beside a look.

        Args:
            ask: evaluates queries.
            gate: whose metric.
            names: what the Release's objects are called.
        """
        known = self._of(gate, names)
        if known.begun:
            return
        found = await copies(ask, gate, names, Version.ALL)
        known.begun = True
        if found is not None:
            known.take(found)
        else:
            # No look waits for this a second time: a store that answers all but this must not keep a breach from being seen.
            known.since = self._clock() - FIRST

    def told(self, ask: Ask, gate: Gate, names: Names) -> str:
        """Return that requests of a version are there more than once; empty where that is not known (yet).

        Args:
            ask: evaluates queries; awaited later, and not by the caller.
            gate: whose metric.
            names: what the Release's objects are called.
        """
        now, known = self._clock(), self._of(gate, names)
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

    def _of(self, gate: Gate, names: Names) -> _Known:
        of_release = self._known.setdefault((names.namespace, names.release), {})
        known = of_release.get(gate.name)
        if known is None:
            known = of_release[gate.name] = _Known(self._clock())
        return known

    @staticmethod
    async def _find(ask: Ask, gate: Gate, names: Names, known: _Known) -> None:
        versions = (Version.CANARY, *((Version.STABLE,) if gate.versus_stable is not None else ()))
        all_of_them = await asyncio.gather(*(copies(ask, gate, names, version) for version in versions))
        found = [one for one in all_of_them if one is not None]
        if found:
            known.take(next((one for one in found if one.words), found[0]))


async def copies(ask: Ask, gate: Gate, names: Names, version: Version) -> Copied | None:
    """Find out whether requests of a version are there more than once, and by which labels.

    Args:
        ask: evaluates a query.
        gate: whose metric.
        names: what the Release's objects are called.
        version: whose series.

    Returns:
        What was found; None where nobody answers.
    """
    preset = gate.metric.preset
    if preset is not None and preset.source not in TELEMETRY:
        # What kube-state-metrics and kubelets say of a container is taken once, whoever says it.
        return Copied()
    whose = {Version.CANARY: "the new version", Version.STABLE: "stable", Version.ALL: "the service"}[version]
    asked = [list(_selectors(selection, metric)) for selection in selections(gate, names, version) for metric in selection.metrics]
    # Side by side, so that what is asked first of each way to count goes out in one request.
    for found in await asyncio.gather(*(_of_metric(ask, selectors) for selectors in asked)):
        if found is None:
            return None
        labels = found.labels
        if found.readers < _SEVERAL or (preset is not None and set(labels) <= set(COPIES)):
            continue
        if found.surely and (preset is not None or _plain(gate)):
            beyond = tuple(label for label in labels if preset is None or label not in COPIES)
            return Copied(beyond, f"{_kept(whose, found)}; each counts once")
        words = f"{_kept(whose, found)}, and may count as often; {_cure(labels, own=preset is None)}"
        return Copied(words=words, once=False)
    return Copied()


@dataclass(frozen=True)
class _Found:
    """How a process is read.

    Attributes:
        readers: how many read it.
        labels: that tell apart what each has read.
        surely: whether all that they have read is of one counter.
    """

    readers: int = 1
    labels: tuple[str, ...] = ()
    surely: bool = False


def _plain(gate: Gate) -> bool:
    """Whether people's own counters are series as they were scraped, of which copies can be left out."""
    counters = gate.metric.counters
    pairs = () if counters is None else (counters.canary, counters.stable)
    return all(of_scraped_series(text) for pair in pairs if pair is not None for text in (pair.bad, pair.total))


def _kept(whose: str, found: _Found) -> str:
    often = "twice" if found.readers == _SEVERAL else f"{found.readers} times"
    return f"requests of {whose} are kept {often}, once for each {' and '.join(found.labels)}"


def _cure(labels: Sequence[str], *, own: bool) -> str:
    if _BY_JOBS.intersection(labels):
        return "have each pod scraped by one job"
    first = f"take max without ({', '.join(labels)}) of them" if own else "name it prometheus_replica"
    return f"{first}, or {_DEDUPLICATE}"


def _selectors(selection: Selection, metric: str) -> Iterator[tuple[str, str]]:
    """Yield name and conditions, in every way that series may be labelled; of a histogram's buckets the one with all requests."""
    bucket = ['le="+Inf"'] if metric.endswith("_bucket") else []
    for way in selection.ways or ((),):
        yield metric, ",".join([*(condition.text for condition in way), *bucket])


def _each(selectors: Iterable[tuple[str, str]], more: str = "") -> list[str]:
    return [f"{metric}{{{','.join(part for part in (conditions, more) if part)}}}" for metric, conditions in selectors]


def _going_on(selectors: Sequence[str]) -> str:
    return " or ".join(f"timestamp({text}) > timestamp({text} offset {_BACK})" for text in selectors)


async def _of_metric(ask: Ask, selectors: Sequence[tuple[str, str]]) -> _Found | None:
    """Return how a process is read whose series are those of a metric; None where nobody answers."""
    by, each = ", ".join(PROCESS), _each(selectors)
    crowd = await _series(ask, f'topk({_SOME}, count by ({by}) (count_values by ({by}) ("{_AT}", {_going_on(each)})))')
    crowd = None if crowd is None else [one for one in crowd if _number(one) >= _SEVERAL]
    # Of one that counts little nothing can be said.
    busy = await _series(ask, f"sum by ({by}) ({' or '.join(each)})") if crowd else crowd
    if crowd is None or busy is None:
        return None
    if not crowd:
        return _Found()
    counted = {_key(one): _number(one) for one in busy}
    process = max((_key(one) for one in crowd), key=lambda key: counted.get(key, 0.0))
    texts = _each(selectors, ",".join(f"{name}={quoted(value)}" for name, value in process if name in PROCESS))
    series = await _series(ask, _going_on(texts))
    labels = apart([(one.get("metric", {}), _number(one)) for one in series or ()])
    if not labels:
        return _Found() if series is not None else None
    return await _compared(ask, texts, labels)


async def _compared(ask: Ask, texts: Sequence[str], labels: tuple[str, ...]) -> _Found | None:
    """Return whether what several read of a process is of one counter, or at least alike."""

    async def at(ago: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
        values, times = await asyncio.gather(
            _series(ask, " or ".join(f"{text}{ago}" for text in texts)),
            _series(ask, " or ".join(f"timestamp({text}{ago})" for text in texts)),
        )
        return None if values is None or times is None else (values, times)

    found = await asyncio.gather(*(at(ago) for ago in _AGO))
    told = [one for one in found if one is not None]
    if len(told) < len(found):
        return None
    counted: dict[Key, float] = {}
    for one in told[0][0]:
        reader = tuple((name, one.get("metric", {}).get(name, "")) for name in labels)
        counted[reader] = counted.get(reader, 0.0) + _number(one)
    least, most = min(counted.values(), default=0.0), max(counted.values(), default=0.0)
    if len(counted) < _SEVERAL or most < _ENOUGH or least < _ALIKE * most:
        return _Found()
    return _Found(len(counted), labels, of_one(labels, told))


def of_one(labels: Sequence[str], told: Sequence[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]) -> bool:
    """Whether all that several have read of a process is of one counter each: in the order of its time no sample is below another.

    Args:
        labels: that tell apart what each has read.
        told: series with the values, and with the times of their samples, as of several instants.
    """
    samples: dict[Key, set[tuple[float, float]]] = {}
    for values, times in told:
        at = {_key(one): _number(one) for one in times}
        for one in values:
            time_, counter = at.get(_key(one)), _key(one, labels)
            if time_ is not None:
                samples.setdefault(counter, set()).add((time_, _number(one)))
    enough = any(value >= _ENOUGH for found in samples.values() for _, value in found)
    pairs = (pair for found in samples.values() for pair in itertools.combinations(sorted(found), 2))
    return enough and not any(before[1] > after[1] for before, after in pairs if before[0] + _SKEW < after[0])


def _key(series: Mapping[str, Any], without: Sequence[str] = ()) -> Key:
    labels = series.get("metric", {})
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__" and name not in without))


def apart(series: Iterable[tuple[Mapping[str, str], float]]) -> tuple[str, ...]:
    """Return the labels by which those who read one process tell their series apart, sorted; none where nothing does.

    Args:
        series: labels of each series of the process, and the time of its sample: who reads at one time is one reader.
    """
    readers: dict[float, list[Mapping[str, str]]] = {}
    for labels, at in series:
        readers.setdefault(at, []).append(labels)
    if len(readers) < _SEVERAL:
        return ()
    names = {name for found in readers.values() for labels in found for name in labels} - {"__name__", "le", *PROCESS}
    return tuple(sorted(name for name in names if _tells(name, list(readers.values()))))


def _tells(name: str, readers: Sequence[Sequence[Mapping[str, str]]]) -> bool:
    """Whether each reader has one value of a label, and no other has the same."""
    values = [{labels.get(name, "") for labels in found} for found in readers]
    return all(len(one) == 1 for one in values) and len(set[str]().union(*values)) == len(values)


async def _series(ask: Ask, query: str) -> list[dict[str, Any]] | None:
    """Return the series that a query gives; None where there is no answer."""
    result = await ask(query)
    if not isinstance(result, Result):
        return None
    return [one for one in result.data if isinstance(one, dict)] if isinstance(result.data, list) else []


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
