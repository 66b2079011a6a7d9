"""What is there in place of what a preset looks for, and what to do about it.

Metrics go by other names where translation or scraping was set up otherwise; each is looked for with the conditions of the
Release's own namespace and pods, and of others nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.api.metric import Source
from tidegate.prometheus.presets import TELEMETRY
from tidegate.prometheus.promql import Where, equal, like, literally, selector

_OWN = "or count with counters of your own (metric.counters)"
_HONOR = "set honorLabels: true (honor_labels) where it is scraped"
_RELABEL = "relabel them to namespace and pod where it is scraped"
_PODS: tuple[tuple[str, str, str], ...] = (
    ("exported_namespace", "exported_pod", _HONOR),
    ("kubernetes_namespace", "kubernetes_pod_name", _RELABEL),
    ("kubernetes_namespace", "kubernetes_pod", _RELABEL),
    ("k8s_namespace_name", "k8s_pod_name", _RELABEL),
    ("namespace", "pod_name", _RELABEL),
)
"""Labels that have the namespace and the pod in other setups, and what to do there."""
_RESOURCE = ("k8s_namespace_name", "k8s_pod_name")
_PROMOTE = "add k8s.namespace.name and k8s.pod.name to otlp.promote_resource_attributes in Prometheus' configuration"
_TRANSLATE = "set otlp.translation_strategy: UnderscoreEscapingWithSuffixes in Prometheus' configuration"
_OTLP = ("http.server.request.duration_seconds", "http.server.request.duration", "http_server_request_duration")
"""What the other translation strategies call the histogram of HTTP servers."""
MERGED = (
    "Envoy Gateway counts both versions as one: use a source that comes from the pods, such as HTTP, or set "
    "EnvoyProxy.spec.mergeBackends (no effect where the route has a BackendTrafficPolicy, sessionPersistence, or filters on its "
    "backends)"
)
"""As its 1.9.0 decides which backends are merged (internal/gatewayapi/route.go of envoyproxy/gateway, shouldMergeBackend)."""


@dataclass(frozen=True)
class Cure:
    """Something to look for.

    Attributes:
        series: expression that has series if this is the case.
        words: what is the case then, and what helps.
    """

    series: str
    words: str


def of_name(source: Source, metrics: tuple[str, ...]) -> Iterator[Cure]:
    """Yield what may be there in place of metrics that are not."""
    for metric in metrics:
        if metric.endswith("_total"):
            bare = metric.removesuffix("_total")
            yield Cure(bare, f"there is {bare}: name it {metric} where it is exposed or relabelled, {_OWN}")
    if source is Source.OPEN_TELEMETRY:
        for name in _OTLP:
            yield Cure(selector("", (like("__name__", f"{literally(name)}(?:_count)?"),)), f"there is {name}: {_TRANSLATE}, {_OWN}")


def of_pods(source: Source, metric: str, way: Where) -> Iterator[Cure]:
    """Yield how else the pods of a version may be named by the series of a metric.

    Args:
        source: of the preset.
        metric: that is there.
        way: conditions on the namespace and the pods, and others.
    """
    namespace, pods = way[0].value, way[1].value
    for first, second, cure in _PODS:
        if (first, second) == (way[0].label, way[1].label):
            continue
        series = selector(metric, (equal(first, namespace), like(second, pods)))
        yield Cure(series, f"the version's pods are named by {first} and {second}: {cure}, {_OWN}")
    if source is Source.OPEN_TELEMETRY:
        where = (equal(_RESOURCE[0], namespace), like(_RESOURCE[1], pods))
        yield Cure(selector("target_info", where), f"the pods are named by target_info alone: {_PROMOTE}")


def of_clusters(namespace: str) -> Iterator[Cure]:
    """Yield how else Envoy may name what it sends requests to."""
    rules = like("envoy_cluster_name", f"httproute/{literally(namespace)}/.*")
    yield Cure(selector(TELEMETRY[Source.ENVOY].counter, (rules,)), MERGED)


def cures(source: Source, metric: str, way: Where, namespace: str) -> Iterator[Cure]:
    """Yield what to look for where a metric has no series of a version."""
    if source is Source.ENVOY:
        yield from of_clusters(namespace)
    elif source is Source.KUBERNETES or not TELEMETRY[source].by_service:
        yield from of_pods(source, metric, way)
