"""The PromQL of a gate: presets for the telemetry that people have, and their own queries with variables filled in.

Presets use `rate` and `increase`, as everybody's dashboards do, and share their limits: a series counts from its second scrape in
the window on, so the window must span at least two scrapes, and what a series had counted when it was first scraped is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.base import format_duration
from tidegate.api.policy import Gate, Measure, Preset, PromQL, Source

_ERRORS = "5.."
_UNANSWERED = "502|503|504"

_RANDOM_SUFFIX = 5
"""Length of the random end of a pod's name (k8s.io/apiserver/pkg/storage/names)."""
_LONGEST_BASE = 58
"""To this many characters the API server cuts a name before it appends the random end (as above)."""

_PIECES = re.compile(r"""(?P<double>"(?:[^"\\]|\\.)*")|(?P<single>'(?:[^'\\]|\\.)*')|(?P<raw>`[^`]*`)|\#[^\n]*|{{.*?}}""")
_VARIABLE = re.compile(r"{{\s*(.*?)\s*}}")
_HARMLESS = re.compile(r"[a-zA-Z0-9_:.-]*")
"""What may stand outside of quotes without changing what a query means."""


@dataclass(frozen=True)
class Names:
    """What a Release's objects are called, for queries.

    Attributes:
        namespace: the Release's namespace.
        release: the Release's name.
        service: the user's Service; empty without a route.
        stable_service: the operator's Service in front of the stable pods; empty without a route.
        canary_service: the operator's Service in front of the new pods; empty without a route.
        stable_pods: RE2 expression that matches the whole names of the stable pods, see `pods_of`.
        canary_pods: likewise for the pods of the new version.
        service_port: the Service's port that the route names; 0 without a route.
    """

    namespace: str
    release: str
    service: str
    stable_service: str
    canary_service: str
    stable_pods: str
    canary_pods: str
    service_port: int


@dataclass(frozen=True)
class Queries:
    """The one to four queries of a look; None where there is nothing to ask.

    Attributes:
        canary: value of the new version.
        stable: value of the stable version; asked where the gate compares with it.
        canary_samples: requests of the new version in the window.
        stable_samples: requests of the stable version in the window.
    """

    canary: str
    stable: str | None = None
    canary_samples: str | None = None
    stable_samples: str | None = None


def queries(gate: Gate, names: Names, window: timedelta | None = None) -> Queries:
    """Return the queries of a gate.

    Args:
        gate: its metric; stable is asked for only if the gate compares with it.
        names: what the Release's objects are called.
        window: time over which rates are computed. Default: the gate's.

    Raises:
        ValueError: a query names an unknown variable or uses one where it does not fit, the preset needs a route and there is
            none, or the gate has no metric; the message is for the author of the policy.
    """
    span = format_duration(window or gate.window)
    versus_stable = gate.versus_stable is not None
    if gate.metric.preset is not None:
        return _of_preset(gate.metric.preset, names, span, versus_stable=versus_stable)
    if gate.metric.promql is not None:
        return _of_promql(gate.metric.promql, names, span, versus_stable=versus_stable)
    msg = "the gate has no metric: give preset or promql"
    raise ValueError(msg)


def pods_of(replica_sets: Iterable[str]) -> str:
    """Return the RE2 expression that matches the names of all pods of these ReplicaSets, and of no others.

    The API server cuts long names before it appends the random end: where a Deployment's name has 57 characters or more, the
    pods of two of its revisions can not be told apart by name.
    """
    bases = [re.sub(r"[^a-zA-Z0-9-]", lambda found: f"[{found[0]}]", f"{name}-"[:_LONGEST_BASE]) for name in replica_sets]
    return "|".join(f"{base}[a-z0-9]{{{_RANDOM_SUFFIX}}}" for base in bases)


def quoted(text: str) -> str:
    """Return a text as a PromQL string literal in double quotes."""
    return f'"{_escape(text, quote=chr(34))}"'


def _of_preset(preset: Preset, names: Names, window: str, *, versus_stable: bool) -> Queries:
    canary = _selector(preset.source, names, pods=names.canary_pods, service=names.canary_service)
    stable = _selector(preset.source, names, pods=names.stable_pods, service=names.stable_service) if versus_stable else None
    return Queries(
        canary=_value(preset, canary, window),
        stable=None if stable is None else _value(preset, stable, window),
        canary_samples=_samples(preset, canary, window),
        stable_samples=None if stable is None else _samples(preset, stable, window),
    )


def _selector(source: Source, names: Names, *, pods: str, service: str) -> str:
    """Return the label matchers for the telemetry of one version.

    Contour sets Envoy's alt_stat_name to `<namespace>_<service>_<port>` whatever the length (internal/envoy/cluster.go,
    AltStatName); only the cluster's own name, which the metrics do not carry, is cut and hashed at 60 characters.
    """
    match source:
        case Source.ENVOY:
            if not service or not names.service_port:
                msg = "the preset source Envoy needs a route: give the Release traffic, or use the source HTTP"
                raise ValueError(msg)
            return f"envoy_cluster_name={quoted(f'{names.namespace}_{service}_{names.service_port}')}"
        case Source.HTTP:
            if not pods:
                msg = "the preset source HTTP needs the names of the version's pods, and there are none"
                raise ValueError(msg)
            return f"namespace={quoted(names.namespace)},pod=~{quoted(pods)}"


def _value(preset: Preset, selector: str, window: str) -> str:
    match preset.measure:
        case Measure.ERROR_RATE:
            return _share(preset.source, selector, _ERRORS, window)
        case Measure.AVAILABILITY:
            return f"1 - {_share(preset.source, selector, _UNANSWERED, window)}"
        case Measure.LATENCY:
            buckets = f"sum by (le) (rate({_histogram(preset.source)}_bucket{{{selector}}}[{window}]))"
            quantile = f"histogram_quantile({preset.quantile!r}, {buckets})"
            # Envoy counts in milliseconds (https://www.envoyproxy.io/docs/envoy/latest/configuration/upstream/cluster_manager/cluster_stats).
            return f"{quantile} / 1000" if preset.source is Source.ENVOY else quantile


def _share(source: Source, selector: str, codes: str, window: str) -> str:
    """Return the query for the share of answers with these codes.

    Counters of codes that never occurred do not exist: `or vector(0)` makes that 0 errors. Only the numerator has it, so that no
    requests at all stay no data: the denominator is then absent, or 0 and the quotient NaN.
    """
    counter, label = _counter(source)
    some = f"sum(rate({counter}{{{selector},{label}=~{quoted(codes)}}}[{window}]))"
    return f"(({some} or vector(0)) / sum(rate({counter}{{{selector}}}[{window}])))"


def _samples(preset: Preset, selector: str, window: str) -> str:
    """Return the query for the number of requests that the value rests on."""
    series = f"{_histogram(preset.source)}_count" if preset.measure is Measure.LATENCY else _counter(preset.source)[0]
    return f"sum(increase({series}{{{selector}}}[{window}]))"


def _counter(source: Source) -> tuple[str, str]:
    """Return the counter of requests by status code, and the label with the code."""
    match source:
        case Source.ENVOY:
            return "envoy_cluster_upstream_rq", "envoy_response_code"
        case Source.HTTP:
            return "http_requests_total", "code"


def _histogram(source: Source) -> str:
    match source:
        case Source.ENVOY:
            return "envoy_cluster_upstream_rq_time"
        case Source.HTTP:
            return "http_request_duration_seconds"


def _of_promql(promql: PromQL, names: Names, window: str, *, versus_stable: bool) -> Queries:
    values = {
        "namespace": names.namespace,
        "release": names.release,
        "service": names.service,
        "stableService": names.stable_service,
        "canaryService": names.canary_service,
        "stablePods": names.stable_pods,
        "canaryPods": names.canary_pods,
        "window": window,
    }
    return Queries(
        canary=_fill(promql.canary, values),
        stable=_fill(promql.stable, values) if versus_stable and promql.stable is not None else None,
        canary_samples=None if promql.samples is None else _fill(promql.samples, values),
    )


def _fill(query: str, values: Mapping[str, str]) -> str:
    """Put the values into a query: within quotes escaped for that kind of quotes, outside only what cannot change its meaning."""

    def piece(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith("#"):
            return text
        kind = found.lastgroup or ""
        return _VARIABLE.sub(lambda variable: _value_within(variable[1], kind, values), text)

    return _PIECES.sub(piece, query)


def _value_within(name: str, kind: str, values: Mapping[str, str]) -> str:
    if name not in values:
        msg = f"unknown variable {{{{{name}}}}}: there are {', '.join(values)}"
        raise ValueError(msg)
    value = values[name]
    if kind in ("double", "single"):
        return _escape(value, quote='"' if kind == "double" else "'")
    if kind == "raw" and "`" not in value:
        return value
    if _HARMLESS.fullmatch(value):
        return value
    msg = f"the variable {{{{{name}}}}} must stand within double quotes"
    raise ValueError(msg)


def _escape(text: str, *, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
