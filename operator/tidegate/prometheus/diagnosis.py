"""Why a version has no data: which part of a selector matches nothing in Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tidegate.api.base import clip, format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import Counters, Measure, Preset, Source
from tidegate.prometheus import cures, presets
from tidegate.prometheus.answers import Ask, Trouble
from tidegate.prometheus.aside import Aside
from tidegate.prometheus.cures import Cure
from tidegate.prometheus.presets import TELEMETRY, Version, places
from tidegate.prometheus.promql import Matcher, Names, fill, quoted, variables
from tidegate.prometheus.selectors import Condition, selectors

NO_METRIC = "Prometheus has no metric"
"""How it begins where nobody has a metric."""
_EVERY = 60.0
"""Seconds from one diagnosis of a gate to the next."""
_AT_ONCE = 4
"""Diagnoses under way at most: they look at all series of a metric, and can wait."""
_EXAMPLES = 3
_LONGEST_EXAMPLE = 80


@dataclass(frozen=True)
class Selection:
    """What should have matched something.

    Attributes:
        metrics: names of the metric; one is enough.
        ways: conditions on labels, in every way that series may be labelled; one is enough.
        source: of the preset that it is, whose labels are known to begin with the namespace where they do not say it.
        cures: what else may be there, by the name of the metric; the first that is tells what helps.
    """

    metrics: tuple[str, ...]
    ways: tuple[tuple[Condition, ...], ...]
    source: Source | None = None
    cures: tuple[Cure, ...] = ()


@dataclass
class _Finding:
    version: Version
    at: float
    words: str = ""


class Hints:
    """Finds out, on the side, why gates have no data, and says so at their next looks.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._findings: dict[tuple[str, str], dict[str, _Finding]] = {}
        self._aside = Aside(_AT_ONCE)

    def hint(self, ask: Ask, gate: Gate, names: Names, silent: Sequence[Version]) -> str:
        """Return why a version has no series, in one sentence; empty where it has some, or where that is not known (yet).

        Args:
            ask: evaluates queries; awaited later, and not by the caller.
            gate: whose metric.
            names: what the Release's objects are called.
            silent: the versions without any series.
        """
        findings = self._findings.setdefault((names.namespace, names.release), {})
        if not silent:
            findings.pop(gate.name, None)
            return ""
        now, finding = self._clock(), findings.get(gate.name)
        if finding is None or finding.version is not silent[0] or now - finding.at >= _EVERY:
            words = finding.words if finding is not None and finding.version is silent[0] else ""
            if self._aside.free:
                finding = findings[gate.name] = _Finding(silent[0], now, words)
                self._start(ask, gate, names, finding)
        return finding.words if finding is not None and finding.version is silent[0] else ""

    def forget(self, namespace: str, release: str) -> None:
        """Drop what was found for a Release."""
        self._findings.pop((namespace, release), None)

    def close(self) -> None:
        """Stop what is under way."""
        self._aside.close()

    def _start(self, ask: Ask, gate: Gate, names: Names, finding: _Finding) -> None:
        async def find() -> None:
            finding.words = await diagnose(ask, gate, names, finding.version)

        self._aside.start(find)


async def diagnose(ask: Ask, gate: Gate, names: Names, version: Version) -> str:
    """Find out which part of the selector of a gate's metric matches nothing.

    Args:
        ask: evaluates a query.
        gate: whose metric.
        names: what the Release's objects are called.
        version: which version has no series.

    Returns:
        A sentence without a full stop; empty where nobody knows, or where there is some series after all.
    """
    for selection in selections(gate, names, version):
        if words := await _missing(ask, selection, names.namespace):
            cure = await _cure(ask, selection.cures)
            return f"{words}; {cure}" if cure else words
    return ""


async def there_instead(ask: Ask, source: Source, metrics: tuple[str, ...]) -> str:
    """Return what there is in place of metrics of a preset that are not there, and what helps; empty where nobody knows."""
    return await _cure(ask, tuple(cures.of_name(source, metrics)))


async def _cure(ask: Ask, known: Sequence[Cure]) -> str:
    """Return what helps, of the first of several things that is there."""
    numbers = await _numbers(ask, [f"count({one.series})" for one in known])
    return next((one.words for one, number in zip(known, numbers or (), strict=False) if number), "")


async def _missing(ask: Ask, selection: Selection, namespace: str) -> str:
    known = await _numbers(ask, [f"count({metric})" for metric in selection.metrics])
    if known is None:
        return ""
    metric = next((metric for metric, number in zip(selection.metrics, known, strict=True) if number), None)
    if metric is None:
        return f"{NO_METRIC} {' or '.join(selection.metrics)}"
    nearest: tuple[int, tuple[Condition, ...], list[Condition]] | None = None
    for way in selection.ways:
        texts = [condition.text for condition in way]
        numbers = await _numbers(ask, [f"count({metric}{{{text}}})" for text in (*texts, ",".join(texts))])
        if numbers is None or numbers[-1]:
            return ""
        failing = [condition for condition, number in zip(way, numbers, strict=False) if not number]
        if nearest is None or len(failing) < nearest[0]:
            nearest = (len(failing), way, failing)
    if nearest is None:
        return ""
    _, way, failing = nearest
    if not failing:
        return f"no series {metric} has {' and '.join(condition.text for condition in way)} at once"
    return await _wrong_value(ask, metric, way, failing[0], namespace, source=selection.source)


async def _wrong_value(
    ask: Ask, metric: str, way: Sequence[Condition], condition: Condition, namespace: str, *, source: Source | None
) -> str:
    """Say which condition matches nothing, with what there is in its place, as far as that is of the Release's own namespace.

    A condition on a namespace is not enough: it must be `=`, and the namespace the Release's own.
    """
    words = f"no series {metric} has {condition.text}"
    others = ",".join(one.text for one in way if one is not condition)
    within = any(one.keeps_to(namespace) for one in way if one is not condition)
    result = await ask(f"topk({_EXAMPLES}, count by ({condition.label}) ({metric}{{{others if within else ''}}}))")
    if isinstance(result, Trouble) or not isinstance(result.data, list):
        return words
    values = [str(series.get("metric", {}).get(condition.label, "")) for series in result.data if isinstance(series, dict)]
    if not any(values):
        return f"{words}: none of them has a label {condition.label}"
    # What others call their Services and pods is no concern of people who may read this status.
    own = (f"{namespace}_", f"service/{namespace}/", f"httproute/{namespace}/") if source is not None else ()
    examples = [clip(value, _LONGEST_EXAMPLE) for value in values if value and (within or value.startswith(own))]
    known = f" (e.g. {', '.join(sorted(examples))})" if examples else ""
    return f"{words}: the metric exists with other values of {condition.label}{known}"


async def _numbers(ask: Ask, queries: Sequence[str]) -> list[float] | None:
    """Return how many series there are for each query; None where that cannot be known."""
    results = await asyncio.gather(*(ask(query) for query in queries))
    numbers = []
    for result in results:
        if isinstance(result, Trouble) or not isinstance(result.data, list):
            return None
        numbers.append(float(len(result.data)))
    return numbers


def selections(gate: Gate, names: Names, version: Version) -> Iterator[Selection]:
    """Yield what a gate needs series of; nothing where its names or variables are wrong."""
    try:
        if gate.metric.preset is not None:
            yield from _of_preset(gate.metric.preset, names, version)
        elif gate.metric.counters is not None:
            yield from _of_own(gate.metric.counters, variables(names, format_duration(gate.window)), version)
    except ValueError:
        # The look itself has said what is wrong with the names or the variables.
        return


def _of_preset(preset: Preset, names: Names, version: Version) -> Iterator[Selection]:
    where = places(preset.source, names, version)
    for metrics in metrics_of(preset):
        also_known = [*cures.of_name(preset.source, metrics)]
        for metric in metrics:
            also_known += cures.cures(preset.source, metric, where[0], names.namespace)
        ways = tuple(tuple(_condition(one) for one in way) for way in where)
        yield Selection(metrics, ways, preset.source, tuple(also_known))


def metrics_of(preset: Preset) -> Iterator[tuple[str, ...]]:
    """Yield the names of each metric that a preset needs."""
    known = TELEMETRY.get(preset.source)
    if known is None:
        first = {Measure.CPU: presets.CPU, Measure.MEMORY: presets.MEMORY}.get(preset.measure, presets.RESTARTS)
        yield (first,)
        if first != presets.RESTARTS:
            yield (presets.LIMITS,)
    elif preset.measure in (Measure.LATENCY, Measure.TAIL):
        yield (f"{known.histogram}_bucket", known.histogram) if known.native else (f"{known.histogram}_bucket",)
    else:
        yield (known.counter,) if known.counter else (f"{known.histogram}_count", known.histogram)


def _of_own(counters: Counters, values: dict[str, str], version: Version) -> Iterator[Selection]:
    pair = counters.canary if version is Version.CANARY else counters.stable
    if pair is None:
        return
    for found in selectors(fill(pair.total, values)):
        yield Selection((found.metric,), (found.conditions,) if found.conditions else ())


def _condition(matcher: Matcher) -> Condition:
    return Condition(matcher.label, matcher.operator, quoted(matcher.value))
