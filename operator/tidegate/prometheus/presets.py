"""The telemetry that presets know: names of metrics and labels, and how the series of one version are selected.

Every name was read in the source or the documentation of the project that writes it; each entry of the table says where.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.api.metric import Measure, Source
from tidegate.prometheus.promql import Matcher, Names, Where, equal, like, literally, selector, unlike

COPIES = ("job", "prometheus_replica", "replica")
"""Labels that tell apart what was read from one and the same process: by two jobs that scrape one target, as where a ServiceMonitor
fits two Services of the same pods; and by replicas of Prometheus whose series a store keeps side by side
(https://thanos.io/tip/components/query.md/#deduplication). The process counts once."""
PROCESS = (
    "instance",
    "namespace",
    "pod",
    "container",
    "controller_pod",
    "exported_job",
    "exported_instance",
    "exported_pod",
    "k8s_namespace_name",
    "k8s_pod_name",
    "k8s_container_name",
    "service_instance_id",
)
"""Labels that tell one process from another, as far as telemetry has them: scrape targets, pods, and what pushes name."""

RESTARTS = "kube_pod_container_status_restarts_total"
"""https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md"""
SIDECAR_RESTARTS = "kube_pod_init_container_status_restarts_total"
"""As above. A native sidecar is an init container to kube-state-metrics, and so is one that has to end before the others start."""
INIT_CONTAINERS = "kube_pod_init_container_info"
"""As above; `restart_policy` is `Always` for native sidecars (2.11 and later, kubernetes/kube-state-metrics#2240).
Other init containers restart before their pod gets any traffic."""
POD_CONTAINER = ("namespace", "pod", "uid", "container")
"""Labels that tell one container in kube-state-metrics; its own instance is not among them, for it may be replaced."""
LIMITS = "kube_pod_container_resource_limits"
"""As above; `resource` is `cpu` (cores) or `memory` (bytes)."""
CPU = "container_cpu_usage_seconds_total"
MEMORY = "container_memory_working_set_bytes"
"""https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md, as the kubelet serves them: the series of a whole pod
have no `container`, those of its sandbox may have `container="POD"`."""

_SERVER_ERROR = "5.."
_NOT_ANSWERED = "502|503|504"
_CODE = "[0-9]+"
_CODE_OR_CLASS = "[0-9]+|[0-9](?:xx|XX)"
"""Where codes are grouped (2xx, 5xx), errors can be told, but not what was not answered."""
_GRPC_ERRORS = "Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss"
_GRPC_CODE = (
    f"OK|{_GRPC_ERRORS}|Canceled|InvalidArgument|NotFound|AlreadyExists|PermissionDenied|ResourceExhausted|FailedPrecondition"
    "|Aborted|OutOfRange|Unimplemented|Unauthenticated|Code.*"
)
"""As String of google.golang.org/grpc/codes writes them."""
_GRPC_ERROR_NUMBERS = "2|4|13|14|15"
_GRPC_UNAVAILABLE = "14"
"""https://grpc.github.io/grpc/core/md_doc_statuscodes.html"""


class Version(StrEnum):
    """Whose series are selected."""

    CANARY = "canary"
    STABLE = "stable"
    ALL = "all"


class _By(StrEnum):
    PODS = "pods"
    CLUSTER = "cluster"
    SERVICE = "service"
    BACKEND = "backend"


@dataclass(frozen=True)
class Telling:
    """How bad events are told from good ones.

    Attributes:
        bad: conditions on the counter, each of which picks bad events.
        label: the label that must say which they are.
        known: RE2 expression of the values of that label that do say it; what has another value, or no such label, may be anything.
        unseen: selectors of events that can fail without that label's showing it, beside those: the name of the metric (empty: the
            counter itself) and conditions.
    """

    bad: Where
    label: str
    known: str
    unseen: tuple[tuple[str, Where], ...] = ()


@dataclass(frozen=True)
class Telemetry:
    """What one source of telemetry calls things.

    Attributes:
        counter: counter of answered requests, by status code; empty where the histogram's count is that counter.
        errors: how errors are told.
        unanswered: how what was not answered at all is told.
        histogram: name of the histogram of response times, without `_bucket`.
        by: what tells the versions apart.
        places: label names of what tells the versions apart, in every way that scrape configurations have them.
        always: conditions that always hold.
        seconds: seconds in one unit of the histogram.
        native: whether the histogram may be a native one.
    """

    counter: str
    errors: Telling
    unanswered: Telling
    histogram: str
    by: _By
    places: tuple[tuple[str, ...], ...]
    always: Where = ()
    seconds: float = 1.0
    native: bool = True

    @property
    def by_service(self) -> bool:
        """Whether the series belong to a gateway's view of a Service, which outlives versions, and not to a version's own pods."""
        return self.by is not _By.PODS

    def telling(self, measure: Measure) -> Telling:
        """Return how the bad events of ErrorRate or Availability are told."""
        return self.unanswered if measure is Measure.AVAILABILITY else self.errors


def _codes(label: str, unseen: tuple[tuple[str, Where], ...] = (), rpc: str = "") -> tuple[Telling, Telling]:
    """Return how errors and what was not answered are told by HTTP status.

    Args:
        label: label with the status.
        unseen: see `Telling`.
        rpc: label with the number of the gRPC status, which is all that tells whether a gRPC call failed: its HTTP status is 200.
    """
    errors = (like(rpc, _GRPC_ERROR_NUMBERS),) if rpc else ()
    unanswered = (equal(rpc, _GRPC_UNAVAILABLE),) if rpc else ()
    return (
        Telling((like(label, _SERVER_ERROR), *errors), label, _CODE_OR_CLASS, unseen),
        Telling((like(label, _NOT_ANSWERED), *unanswered), label, _CODE, unseen),
    )


_PODS = (("namespace", "pod"),)

TELEMETRY: Mapping[Source, Telemetry] = {
    # https://www.envoyproxy.io/docs/envoy/latest/configuration/upstream/cluster_manager/cluster_stats ("Dynamic HTTP statistics":
    # upstream_rq_<code>, upstream_rq_time in milliseconds); the labels are Envoy's default tags
    # (source/common/config/well_known_names.cc of envoyproxy/envoy).
    # Contour sets alt_stat_name, which becomes envoy_cluster_name, to <namespace>_<service>_<port> whatever the length
    # (internal/envoy/cluster.go, AltStatName); only the cluster's own name, which the metrics do not carry, is cut and hashed.
    # Envoy Gateway with EnvoyProxy.spec.mergeBackends calls them service/<namespace>/<service>/<port>/<name of the port> (seen with
    # 1.9.0); without, one cluster serves both versions of a rule.
    # gRPC calls, which fail in their trailers under status 200, are told by the filter grpc_stats, which Contour has in place
    # (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/grpc_stats_filter).
    Source.ENVOY: Telemetry(
        "envoy_cluster_upstream_rq",
        *_codes("envoy_response_code", (("envoy_cluster_grpc_total", ()),)),
        "envoy_cluster_upstream_rq_time",
        _By.CLUSTER,
        (("envoy_cluster_name",),),
        seconds=0.001,
        native=False,
    ),
    # https://istio.io/latest/docs/reference/config/metrics/. Proxies beside the pods report as `destination`. The pods of a canary
    # have the same destination_workload as those of stable, so the target's own labels tell them apart, as
    # samples/addons/prometheus.yaml and samples/addons/extras/prometheus-operator.yaml of istio/istio attach them.
    # grpc_response_status is the number of the status, of gRPC alone.
    Source.ISTIO: Telemetry(
        "istio_requests_total",
        *_codes(
            "response_code",
            (("", (equal("request_protocol", "grpc"), equal("response_code", "200"), unlike("grpc_response_status", _CODE))),),
            rpc="grpc_response_status",
        ),
        "istio_request_duration_milliseconds",
        _By.PODS,
        _PODS,
        always=(equal("reporter", "destination"),),
        seconds=0.001,
        native=False,
    ),
    # https://linkerd.io/2/reference/proxy-metrics/: classification is `failure` for 5xx and for gRPC statuses that mean one;
    # grpc_status is its number, and was a sentence in old releases (linkerd/linkerd2-proxy#2480);
    # namespace and pod are attached by viz/charts/linkerd-viz/templates/prometheus.yaml of linkerd/linkerd2.
    Source.LINKERD: Telemetry(
        "response_total",
        Telling((equal("classification", "failure"),), "classification", "success|failure"),
        Telling(
            (like("status_code", _NOT_ANSWERED), equal("grpc_status", _GRPC_UNAVAILABLE)),
            "status_code",
            _CODE,
            (("", (unlike("grpc_status", "[0-9]*"),)),),
        ),
        "response_latency_ms",
        _By.PODS,
        _PODS,
        always=(equal("direction", "inbound"),),
        seconds=0.001,
        native=False,
    ),
    # internal/ingress/metric/collectors/socket.go of kubernetes/ingress-nginx: labels status, and namespace and service of the
    # upstream. Where the scrape does not honour labels, the target's own namespace and service push them aside to exported_*.
    Source.NGINX: Telemetry(
        "nginx_ingress_controller_requests",
        *_codes("status"),
        "nginx_ingress_controller_response_duration_seconds",
        _By.SERVICE,
        (("namespace", "service"), ("exported_namespace", "exported_service")),
    ),
    # pkg/observability/metrics/prometheus.go of traefik/traefik: labels code and service. The Gateway provider calls a service
    # <namespace>-<name>-<port>@kubernetesgateway, newer ones <namespace>-<name>-http-<port>@...
    # (pkg/provider/kubernetes/gateway/httproute.go), the other providers of Kubernetes alike. From 3.7.6 on it says
    # httproute-<namespace>-<route>-gw-<gateway>-ep-<entry point>-<rule>-<hash>-svc-<namespace>-<name>-<backend>@kubernetesgateway
    # (seen with 3.7.9): the number behind the name is the place of the backend in its rule, and no port.
    Source.TRAEFIK: Telemetry(
        "traefik_service_requests_total",
        *_codes("code"),
        "traefik_service_request_duration_seconds",
        _By.BACKEND,
        (("service",), ("exported_service",)),
    ),
    # https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (http.server.request.duration in seconds, attribute
    # http.response.status_code), named for Prometheus by https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
    # Pushed telemetry names the pod by the resource attributes k8s.namespace.name and k8s.pod.name, where they are promoted to
    # labels (https://prometheus.io/docs/guides/opentelemetry/); scraped telemetry by the target's labels.
    Source.OPEN_TELEMETRY: Telemetry(
        "",
        *_codes("http_response_status_code"),
        "http_server_request_duration_seconds",
        _By.PODS,
        (("k8s_namespace_name", "k8s_pod_name"), ("namespace", "pod")),
    ),
    # providers/prometheus/server_metrics.go of grpc-ecosystem/go-grpc-middleware; codes as grpc/grpc-go writes them.
    Source.GRPC: Telemetry(
        "grpc_server_handled_total",
        Telling((like("grpc_code", _GRPC_ERRORS),), "grpc_code", _GRPC_CODE),
        Telling((equal("grpc_code", "Unavailable"),), "grpc_code", _GRPC_CODE),
        "grpc_server_handling_seconds",
        _By.PODS,
        _PODS,
    ),
    # https://prometheus.io/docs/practices/naming/ and the handlers of client libraries, e.g. promhttp.InstrumentHandlerCounter of
    # prometheus/client_golang (label code).
    Source.HTTP: Telemetry("http_requests_total", *_codes("code"), "http_request_duration_seconds", _By.PODS, _PODS),
}


def once(series: str, copies: Sequence[str] = (), *, native: bool = False) -> str:
    """Return the query for series of which those that are copies of each other are one: the copy that was read last.

    Args:
        series: the expression.
        copies: labels that tell copies apart, beside those that always do.
        native: they are native histograms, of which PromQL has no maximum: what lies between the copies is taken.
    """
    return f"{'avg' if native else 'max'} without ({', '.join((*COPIES, *copies))}) ({series})"


def restarts(where: Where, each: Callable[[str], str] = str) -> str:
    """Return the query for the counters of restarts, one for each container, native sidecars among them.

    Whatever tells series apart besides, such as the replica of kube-state-metrics, makes no other container.

    Args:
        where: conditions on the pods.
        each: what is to be computed of each counter.
    """
    by = ", ".join(POD_CONTAINER)
    always = selector(INIT_CONTAINERS, (*where, equal("restart_policy", "Always")))
    sidecars = f"({each(selector(SIDECAR_RESTARTS, where))} and on ({by}) {always})"
    return f"max by ({by}) ({each(selector(RESTARTS, where))} or {sidecars})"


def places(source: Source, names: Names, version: Version) -> tuple[Where, ...]:
    """Return the conditions that select the series of a version, in every way that they may be labelled; one is enough.

    Raises:
        ValueError: they need a route, or the names of pods, and there are none; the message is for the author of the policy.
    """
    known = TELEMETRY.get(source)
    if known is None:
        return (_pods(source, ("namespace", "pod"), names, version),)
    return tuple((*_place(source, known, labels, names, version), *known.always) for labels in known.places)


def _place(source: Source, known: Telemetry, labels: tuple[str, ...], names: Names, version: Version) -> Where:
    if known.by is _By.PODS:
        return _pods(source, labels, names, version)
    if not names.service or not names.service_port:
        other = "the source HTTP" if source is Source.ENVOY else "a source that tells pods apart"
        msg = f"the preset source {source} needs a route: give the Release traffic, or use {other}"
        raise ValueError(msg)
    services = {
        Version.CANARY: (names.canary_service,),
        Version.STABLE: (names.stable_service,),
        Version.ALL: (names.canary_service, names.stable_service, names.service),
    }[version]
    match known.by:
        case _By.CLUSTER:
            # Contour's first, then Envoy Gateway's.
            named = zip(*(clusters(names.namespace, service, names.service_port) for service in services), strict=True)
            return (like(labels[0], "|".join(itertools.chain(*named))),)
        case _By.SERVICE:
            return equal(labels[0], names.namespace), _one_of(labels[1], *services)
        case _:
            each = "|".join(map(literally, services))
            some = each if len(services) == 1 else f"(?:{each})"
            namespace = literally(names.namespace)
            backend = f"{namespace}-{some}-(?:http-)?{names.service_port}@kubernetes(?:gateway|crd)?"
            # The route's namespace stands first. Tidegate's routes are of the Release's own, and in those of others the name of a
            # Service may hold what looks like the end of this name.
            newer = f"httproute-{namespace}-.*-svc-{namespace}-{some}-[0-9]+@kubernetesgateway"
            return (like(labels[0], f"{backend}|{newer}"),)


def clusters(namespace: str, service: str, port: int = 0) -> tuple[str, str]:
    """Return the expressions of the clusters of a Service, as Contour names them and Envoy Gateway that merges backends.

    Args:
        namespace: of the Service.
        service: its name.
        port: its port; 0 for any.
    """
    number = str(port) if port else "[0-9]+"
    return literally(f"{namespace}_{service}_") + number, literally(f"service/{namespace}/{service}/") + f"{number}/.*"


def marks(source: Source, names: Names, version: Version) -> tuple[tuple[str, ...], ...]:
    """Return texts by which the lines of a version are found on a gateway's own page: each has all of one entry.

    Lines that have them need not be the version's; that is what `places` decides.
    """
    service = names.canary_service if version is Version.CANARY else names.stable_service
    match TELEMETRY[source].by:
        case _By.CLUSTER:
            return (f'"{names.namespace}_{service}_',), (f'"service/{names.namespace}/{service}/',)
        case _By.SERVICE:
            return ((f'service="{service}"', f'namespace="{names.namespace}"'),)
        case _:
            return ((f"{names.namespace}-{service}-",),)


def _one_of(label: str, *values: str) -> Matcher:
    return equal(label, values[0]) if len(values) == 1 else like(label, "|".join(map(literally, values)))


def _pods(source: Source, labels: tuple[str, ...], names: Names, version: Version) -> Where:
    expressions = {
        Version.CANARY: (names.canary_pods,),
        Version.STABLE: (names.stable_pods,),
        Version.ALL: (names.canary_pods, names.stable_pods),
    }[version]
    given = [expression for expression in expressions if expression]
    if not given:
        msg = f"the preset source {source} needs the names of the version's pods, and there are none"
        raise ValueError(msg)
    return equal(labels[0], names.namespace), like(labels[1], "|".join(given))
