"""The PromQL of gates that are judged by Limit: one number per query, from presets or from people's own queries.

Presets use `rate` and `increase`, as everybody's dashboards do, and share their limits: a series counts from its second scrape in
the window on, so the window must span at least two scrapes, and what a series had counted when it was first scraped is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import DEFAULT_BURN_WINDOWS, ErrorBudget, Measure, Preset, PromQL, Source
from tidegate.prometheus import presets, telling
from tidegate.prometheus.presets import TELEMETRY, Telemetry, Version, places
from tidegate.prometheus.promql import Names, Where, equal, fill, pods_of, quoted, selector, unlike, variables

__all__ = ["Names", "Queries", "newest_of", "pods_of", "queries", "quoted", "series_of"]


@dataclass(frozen=True)
class Queries:
    """The one to nine queries of a look; None where there is nothing to ask.

    Attributes:
        canary: value of the new version.
        stable: value of the stable version; asked where the gate compares with it.
        canary_samples: requests of the new version in the window.
        stable_samples: requests of the stable version in the window.
        newest: time of the newest sample of the new version, in seconds since 1970.
        newest_stable: likewise for stable.
        at_weight: requests of the new version in the part of the window in which it had its present weight.
        series: how many processes, containers or series of the new version there are.
        series_stable: likewise of stable.
    """

    canary: str
    stable: str | None = None
    canary_samples: str | None = None
    stable_samples: str | None = None
    newest: str | None = None
    newest_stable: str | None = None
    at_weight: str | None = None
    series: str | None = None
    series_stable: str | None = None


_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*+\s*+(?:\{[^{}]*+\})?")
"""An instant vector selector and nothing else: of anything more, nobody knows how old the samples are that it rests on."""


def queries(gate: Gate, names: Names, window: timedelta | None = None, at_weight: timedelta | None = None) -> Queries:
    """Return the queries of a gate.

    Args:
        gate: its metric; stable is asked for only if the gate compares with it.
        names: what the Release's objects are called.
        window: time over which rates are computed. Default: the gate's.
        at_weight: for how long the new version has had its weight, if its requests of that time are to be asked for.

    Raises:
        ValueError: a query names an unknown variable or uses one where it does not fit, the preset needs a route and there is
            none, or the metric has no values to ask for; the message is for the author of the policy.
    """
    span = window or gate.window
    asked = _asked(gate, names, span)
    if at_weight is None or asked.canary_samples is None or gate.metric.error_budget is not None:
        return asked
    promql = gate.metric.promql
    if at_weight >= span:
        return replace(asked, at_weight=asked.canary_samples)
    if promql is not None and "window" not in (promql.samples or ""):
        # Over what time this counts is its author's affair.
        return asked
    return replace(asked, at_weight=_asked(gate, names, at_weight).canary_samples)


def _asked(gate: Gate, names: Names, span: timedelta) -> Queries:
    versus_stable = gate.versus_stable is not None
    metric = gate.metric
    if metric.preset is not None:
        return _of_preset(metric.preset, names, span, versus_stable=versus_stable)
    if metric.promql is not None:
        return _of_promql(metric.promql, names, span, versus_stable=versus_stable)
    if metric.error_budget is not None:
        return _of_budget(metric.error_budget, names)
    if metric.counters is not None:
        msg = "counters can only be judged by Evidence"
        raise ValueError(msg)
    msg = "the gate has no metric: give preset, promql, counters or errorBudget"
    raise ValueError(msg)


def _of_preset(preset: Preset, names: Names, window: timedelta, *, versus_stable: bool) -> Queries:
    canary = places(preset.source, names, Version.CANARY)
    stable = places(preset.source, names, Version.STABLE) if versus_stable else None
    return Queries(
        canary=_value(preset, canary, window),
        stable=None if stable is None else _value(preset, stable, window),
        canary_samples=_samples(preset, canary, format_duration(window), names.copies),
        stable_samples=None if stable is None else _samples(preset, stable, format_duration(window), names.copies),
        newest=newest_of(preset, canary),
        newest_stable=None if stable is None else newest_of(preset, stable),
        series=series_of(preset, canary),
        series_stable=None if stable is None else series_of(preset, stable),
    )


def newest_of(preset: Preset, where: tuple[Where, ...]) -> str:
    """Return the query for the time of the newest sample that a value rests on."""
    return f"max({_either(*(f'timestamp({one})' for one in _rests_on(preset, where)))})"


def series_of(preset: Preset, where: tuple[Where, ...]) -> str:
    """Return the query for how many processes, or containers, a value rests on."""
    apart = presets.POD_CONTAINER if preset.source is Source.KUBERNETES else presets.PROCESS
    return f"count(count by ({', '.join(apart)}) ({_either(*_rests_on(preset, where))}))"


def _rests_on(preset: Preset, where: tuple[Where, ...]) -> list[str]:
    """Return the selectors of what a value rests on: all other series of a process come with the same scrape."""
    known = TELEMETRY.get(preset.source)
    if known is None:
        metrics: tuple[str, ...] = (_OF_KUBERNETES[preset.measure],)
    elif preset.measure in (Measure.LATENCY, Measure.TAIL) or not known.counter:
        metrics = (f"{known.histogram}_count", *((known.histogram,) if known.native else ()))
    else:
        metrics = (known.counter,)
    return [selector(metric, one) for metric in metrics for one in where]


_OF_KUBERNETES = {Measure.CPU: presets.CPU, Measure.MEMORY: presets.MEMORY, Measure.RESTARTS: presets.RESTARTS}


def _value(preset: Preset, where: tuple[Where, ...], window: timedelta) -> str:
    span = format_duration(window)
    match preset.measure:
        case Measure.CPU:
            return _cpu(where[0], span)
        case Measure.MEMORY:
            return _memory(where[0])
        case Measure.RESTARTS:
            return _restarts(where[0], window)
        case Measure.TAIL:
            msg = "the measure Tail can only be judged by Evidence"
            raise ValueError(msg)
        case _:
            return _of_requests(preset, TELEMETRY[preset.source], where, span)


def _of_requests(preset: Preset, known: Telemetry, where: tuple[Where, ...], window: str) -> str:
    match preset.measure:
        case Measure.LATENCY:
            return _quantile(known, where, preset.quantile, window)
        case Measure.AVAILABILITY:
            return f"1 - {_share(known, where, Measure.AVAILABILITY, window)}"
        case measure:
            return _share(known, where, measure, window)


def _quantile(known: Telemetry, where: tuple[Where, ...], quantile: float, window: str) -> str:
    """Return the query for a quantile in seconds, of a histogram in either shape."""
    buckets = f"sum by (le) ({_over(f'{known.histogram}_bucket', where, (), 'rate', window)})"
    value = f"histogram_quantile({quantile!r}, {buckets})"
    if known.native:
        value = f"({value} or histogram_quantile({quantile!r}, sum({_over(known.histogram, where, (), 'rate', window)})))"
    return value if known.seconds == 1 else f"{value} / {round(1 / known.seconds)}"


def _share(known: Telemetry, where: tuple[Where, ...], measure: Measure, window: str) -> str:
    """Return the query for the share of bad answers.

    Counters of codes that never occurred do not exist: `or vector(0)` makes that 0 errors. Only the numerator has it, so that no
    requests at all stay no data: the denominator is then absent, or 0 and the quotient NaN. Where it could not be told which
    answers are bad, there is no value.
    """
    bad = _either(*(requests(known, where, (one,), "rate", window) for one in known.telling(measure).bad))
    total = f"sum({requests(known, where, (), 'rate', window)})"
    return f"(((sum({bad}) or vector(0)) / {total}) unless {_untold(known, where, measure, window)})"


def _untold(known: Telemetry, where: tuple[Where, ...], measure: Measure, window: str) -> str:
    """Return the query that gives something if too many requests cannot be told good or bad."""
    told = known.telling(measure)
    untold = _either(
        requests(known, where, (unlike(told.label, told.known),), "rate", window),
        *(_over(metric or known.counter, where, which, "rate", window) for metric, which in told.unseen),
    )
    return f"sum({untold}) > {telling.FEW!r} * sum({requests(known, where, (), 'rate', window)})"


def _samples(preset: Preset, where: tuple[Where, ...], window: str, copies: Sequence[str]) -> str | None:
    """Return the query for the number of requests that the value rests on."""
    known = TELEMETRY.get(preset.source)
    if known is None:
        return None
    ask = _observed if preset.measure is Measure.LATENCY else requests
    return f"sum({presets.once(ask(known, where, (), 'increase', window), copies)})"


def requests(known: Telemetry, where: tuple[Where, ...], which: Where, function: str, window: str, *, ago: str = "") -> str:
    """Return the range function over the counters of requests, in every way that they may be labelled and stored.

    Args:
        known: what they are called.
        where: in which ways a version may be labelled.
        which: of the requests.
        function: e.g. `increase`.
        window: a duration of PromQL.
        ago: how long ago the window ended, likewise; empty for one that ends at the time of evaluation.
    """
    if known.counter:
        return _over(known.counter, where, which, function, window, ago=ago)
    return _observed(known, where, which, function, window, ago=ago)


def _observed(known: Telemetry, where: tuple[Where, ...], which: Where, function: str, window: str, *, ago: str = "") -> str:
    """Return the range function over how many response times a histogram has, in every way that it may be stored."""
    classic = _over(f"{known.histogram}_count", where, which, function, window, ago=ago)
    if not known.native:
        return classic
    span = _range(window, ago)
    native = (f"histogram_count({function}({selector(known.histogram, (*one, *which))}{span}))" for one in where)
    return _either(classic, *native)


def _over(metric: str, where: tuple[Where, ...], which: Where, function: str, window: str, *, ago: str = "") -> str:
    span = _range(window, ago)
    return _either(*(f"{function}({selector(metric, (*one, *which))}{span})" for one in where))


def _range(window: str, ago: str) -> str:
    return f"[{window}] offset {ago}" if ago else f"[{window}]"


def _either(*expressions: str) -> str:
    return " or ".join(expressions)


def _cpu(where: Where, window: str) -> str:
    """Return the query for CPU time as a share of the limit, of the container that is nearest to its own.

    The limit of a container is what throttles it: the sum over a pod would hide one that is throttled beside one that is idle.
    """
    used = f"sum by ({_CONTAINER}) ({presets.once(f'rate({selector(presets.CPU, where)}[{window}])')})"
    return _of_limit(used, where, "cpu")


def _memory(where: Where) -> str:
    """Return the query for the working set as a share of the limit, of the container that is nearest to its own."""
    return _of_limit(f"max by ({_CONTAINER}) ({selector(presets.MEMORY, where)})", where, "memory")


_CONTAINER = "namespace, pod, container"


def _of_limit(used: str, where: Where, resource: str) -> str:
    limits = f"max by ({_CONTAINER}) ({selector(presets.LIMITS, (*where, equal('resource', resource)))})"
    # What cAdvisor tells of a whole pod and of its sandbox has no limit of a container, and drops out here.
    return f"max({used} / {limits})"


def _restarts(where: Where, window: timedelta) -> str:
    """Return the query for restarts of containers per pod and hour, native sidecars among them."""
    span = format_duration(window)
    restarts = f"sum({presets.restarts(where, lambda counter: f'increase({counter}[{span}])')})"
    pods = f"count(count by (namespace, pod) ({selector(presets.RESTARTS, where)}))"
    return f"({restarts} / {pods} * {3600 / window.total_seconds()!r})"


def _of_promql(promql: PromQL, names: Names, window: timedelta, *, versus_stable: bool) -> Queries:
    values = variables(names, format_duration(window))
    canary = fill(promql.canary, values)
    stable = fill(promql.stable, values) if versus_stable and promql.stable is not None else None
    return Queries(
        canary=canary,
        stable=stable,
        canary_samples=None if promql.samples is None else fill(promql.samples, values),
        newest=_of_plain("max(timestamp({}))", canary),
        newest_stable=_of_plain("max(timestamp({}))", stable),
        series=_of_plain("count({})", canary),
        series_stable=_of_plain("count({})", stable),
    )


def _of_plain(query: str, series: str | None) -> str | None:
    found = (series or "").strip()
    return query.format(found) if _PLAIN.fullmatch(found) else None


def _of_budget(budget: ErrorBudget, names: Names) -> Queries:
    """Return the query for how fast the error budget of the whole service burns.

    https://sre.google/workbook/alerting-on-slos/, "6: Multiwindow, Multi-Burn-Rate Alerts": the greatest over the pairs of windows
    of min(burn rate over the long window, over the short one) / factor. A window without requests burns nothing; a service without
    any counter gives no number, for nobody knows.
    """
    where = places(budget.source, names, Version.ALL)
    known = TELEMETRY[budget.source]
    pairs = []
    for pair in budget.windows or DEFAULT_BURN_WINDOWS:
        burns = (
            f"({_share(known, where, budget.measure, format_duration(window))} >= 0 or vector(0))"
            for window in (pair.long, pair.short)
        )
        pairs.append(f"min({_apart(burns)}) / {round(pair.factor * (1 - budget.objective), 12)!r}")
    longest = format_duration(max(pair.long for pair in budget.windows or DEFAULT_BURN_WINDOWS))
    exists = _counters_of(known, where)
    # A window that cannot be told burns nothing above, as one without requests.
    untold = _untold(known, where, budget.measure, longest)
    return Queries(
        canary=f"max({_apart(pairs)}) and on() group({exists}) unless on() ({untold})",
        canary_samples=f"sum({presets.once(requests(known, where, (), 'increase', longest), names.copies)})",
    )


def _counters_of(known: Telemetry, where: tuple[Where, ...]) -> str:
    if known.counter:
        return _either(*(selector(known.counter, one) for one in where))
    classic = (selector(f"{known.histogram}_count", one) for one in where)
    return _either(*classic, *(selector(known.histogram, one) for one in where))


def _apart(values: Iterable[str]) -> str:
    """Return a vector of several values without labels, which are kept apart by a label that is not otherwise in use."""
    return _either(*(f'label_replace({value}, "tidegate", "{number}", "", "")' for number, value in enumerate(values)))
