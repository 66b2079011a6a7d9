"""The raw counters that gates ask for, word for word: they are what an SRE pastes into Prometheus."""

import pytest

from tidegate.api.gate import Gate
from tidegate.prometheus.counters import Kind, RawCounters, Shape, VersionCounters, raw_counters
from tidegate.prometheus.queries import Names, queries

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)
WITHOUT_ROUTE = Names("shop", "checkout", "", "", "", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 0)
CONTAINER = "namespace, pod, uid, container"
COPIES = "job, prometheus_replica, replica"
PROCESS = (
    "instance, namespace, pod, container, controller_pod, exported_job, exported_instance, exported_pod, "
    "k8s_namespace_name, k8s_pod_name, k8s_container_name, service_instance_id"
)
BACKEND = (
    "shop-checkout-canary-(?:http-)?80@kubernetes(?:gateway|crd)?"
    "|httproute-shop-.*-svc-shop-checkout-canary-[0-9]+@kubernetesgateway"
)
PODS = 'namespace="shop",pod=~"c-[a-z0-9]{5}"'
BIRTH = f"process_start_time_seconds{{{PODS}}}"
PERCENT = {"versusStable": {"maxIncrease": {"percent": 10}}}


def preset(source: str, measure: str, **fields: object) -> Gate:
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate({"name": "g", "metric": metric, **(fields or PERCENT)})


def added(series: str) -> str:
    """What one process has counted, whoever has read it."""
    return f"sum by ({PROCESS}) (max without ({COPIES}) ({series}))"


def together(total: str, untold: str) -> str:
    """One question for all requests and for those that cannot be told good or bad."""
    return f'{added(total)} or label_replace({added(untold)}, "tidegate_untold", "yes", "", "")'


@pytest.mark.parametrize(
    ("source", "total", "bad", "untold"),
    [
        (
            "Envoy",
            'envoy_cluster_upstream_rq{envoy_cluster_name=~"shop_checkout-canary_80|service/shop/checkout-canary/80/.*"}',
            'envoy_cluster_upstream_rq{envoy_cluster_name=~"shop_checkout-canary_80|service/shop/checkout-canary/80/.*",envoy_response_code=~"5.."}',
            (
                'envoy_cluster_upstream_rq{envoy_cluster_name=~"shop_checkout-canary_80|service/shop/checkout-canary/80/.*",'
                'envoy_response_code!~"[0-9]+|[0-9](?:xx|XX)"}'
                ' or envoy_cluster_grpc_total{envoy_cluster_name=~"shop_checkout-canary_80|service/shop/checkout-canary/80/.*"}'
            ),
        ),
        (
            "Istio",
            f'istio_requests_total{{{PODS},reporter="destination"}}',
            (
                f'istio_requests_total{{{PODS},reporter="destination",response_code=~"5.."}}'
                f' or istio_requests_total{{{PODS},reporter="destination",grpc_response_status=~"2|4|13|14|15"}}'
            ),
            (
                f'istio_requests_total{{{PODS},reporter="destination",response_code!~"[0-9]+|[0-9](?:xx|XX)"}}'
                f' or istio_requests_total{{{PODS},reporter="destination",request_protocol="grpc",response_code="200",'
                'grpc_response_status!~"[0-9]+"}'
            ),
        ),
        (
            "Linkerd",
            f'response_total{{{PODS},direction="inbound"}}',
            f'response_total{{{PODS},direction="inbound",classification="failure"}}',
            f'response_total{{{PODS},direction="inbound",classification!~"success|failure"}}',
        ),
        (
            "NGINX",
            (
                'nginx_ingress_controller_requests{namespace="shop",service="checkout-canary"}'
                ' or nginx_ingress_controller_requests{exported_namespace="shop",exported_service="checkout-canary"}'
            ),
            (
                'nginx_ingress_controller_requests{namespace="shop",service="checkout-canary",status=~"5.."}'
                ' or nginx_ingress_controller_requests{exported_namespace="shop",exported_service="checkout-canary",status=~"5.."}'
            ),
            (
                'nginx_ingress_controller_requests{namespace="shop",service="checkout-canary",status!~"[0-9]+|[0-9](?:xx|XX)"}'
                ' or nginx_ingress_controller_requests{exported_namespace="shop",exported_service="checkout-canary",'
                'status!~"[0-9]+|[0-9](?:xx|XX)"}'
            ),
        ),
        (
            "Traefik",
            (
                f'traefik_service_requests_total{{service=~"{BACKEND}"}}'
                f' or traefik_service_requests_total{{exported_service=~"{BACKEND}"}}'
            ),
            (
                f'traefik_service_requests_total{{service=~"{BACKEND}",code=~"5.."}}'
                f' or traefik_service_requests_total{{exported_service=~"{BACKEND}",code=~"5.."}}'
            ),
            (
                f'traefik_service_requests_total{{service=~"{BACKEND}",code!~"[0-9]+|[0-9](?:xx|XX)"}}'
                f' or traefik_service_requests_total{{exported_service=~"{BACKEND}",code!~"[0-9]+|[0-9](?:xx|XX)"}}'
            ),
        ),
        (
            "GRPC",
            f"grpc_server_handled_total{{{PODS}}}",
            f'grpc_server_handled_total{{{PODS},grpc_code=~"Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss"}}',
            (
                f'grpc_server_handled_total{{{PODS},grpc_code!~"OK|Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss|Canceled'
                "|InvalidArgument|NotFound|AlreadyExists|PermissionDenied|ResourceExhausted|FailedPrecondition|Aborted|OutOfRange"
                '|Unimplemented|Unauthenticated|Code.*"}'
            ),
        ),
        (
            "HTTP",
            f"http_requests_total{{{PODS}}}",
            f'http_requests_total{{{PODS},code=~"5.."}}',
            f'http_requests_total{{{PODS},code!~"[0-9]+|[0-9](?:xx|XX)"}}',
        ),
    ],
)
def test_errors(source, total, bad, untold):
    """One series per process, so that a restart shows; errors, and what cannot be told, apart from all requests."""
    asked = raw_counters(preset(source, "ErrorRate"), NAMES)

    assert asked.kind is Kind.SHARE
    times = " or ".join(f"timestamp({one})" for one in total.split(" or "))
    by_service = source in {"Envoy", "NGINX", "Traefik"}
    assert asked.canary == VersionCounters(
        total=together(total, untold),
        bad=added(bad),
        times=f"max by ({PROCESS}) ({times})",
        births=f"max by ({PROCESS}) ({BIRTH}) == min by ({PROCESS}) ({BIRTH})" if source in {"GRPC", "HTTP"} else "",
    )
    assert asked.stable is not None
    assert "s-[a-z0-9]{5}" in asked.stable.total or "checkout-stable" in asked.stable.total
    assert asked.by_service is by_service
    assert asked.forgets is by_service


@pytest.mark.parametrize(
    ("total", "dated"),
    [
        ("requests_total", True),
        ("requests_total{pod=~\"c-[a-z0-9]{5}\", code!='}'} ", True),
        ("sum by (pod) (requests_total)", False),
        ("requests_total or other_total", False),
        ("pod:requests:sum", False),
        ('{__name__=~"a|b"}', False),
        ("requests_total offset 1m", False),
    ],
)
def test_times_of_counters_of_ones_own(total, dated):
    """Only what was scraped has a time of its own; of all else it is that of the evaluation, which tells nothing."""
    gate = Gate.model_validate(
        {"name": "g", "metric": {"counters": {"canary": {"bad": "b", "total": total}}}, "threshold": {"max": 1}}
    )

    assert raw_counters(gate, NAMES).canary.times == (f"timestamp(\n{total}\n)" if dated else "")


def test_errors_of_open_telemetry():
    """Its histogram's count, classic or native, of pods that are named by the push or by the scrape."""
    asked = raw_counters(preset("OpenTelemetry", "Availability"), NAMES)

    pushed = 'k8s_namespace_name="shop",k8s_pod_name=~"c-[a-z0-9]{5}",http_response_status_code=~"502|503|504"'
    scraped = f'{PODS},http_response_status_code=~"502|503|504"'
    assert asked.canary.bad == added(
        f"http_server_request_duration_seconds_count{{{pushed}}}"
        f" or http_server_request_duration_seconds_count{{{scraped}}}"
        f" or histogram_count(http_server_request_duration_seconds{{{pushed}}})"
        f" or histogram_count(http_server_request_duration_seconds{{{scraped}}})"
    )


def test_what_was_not_answered_by_linkerd():
    """By the status of HTTP or of gRPC; groups of codes would not tell 503 from 500."""
    asked = raw_counters(preset("Linkerd", "Availability"), NAMES)

    where = f'{PODS},direction="inbound"'
    assert asked.canary.bad == added(
        f'response_total{{{where},status_code=~"502|503|504"}} or response_total{{{where},grpc_status="14"}}'
    )
    untold = f'response_total{{{where},status_code!~"[0-9]+"}} or response_total{{{where},grpc_status!~"[0-9]*"}}'
    assert asked.canary.total == together(f"response_total{{{where}}}", untold)


def test_latencies():
    """Bucket by bucket and process by process, in either shape."""
    asked = raw_counters(preset("HTTP", "Tail"), NAMES)

    buckets = f"http_request_duration_seconds_bucket{{{PODS}}}"
    assert asked.kind is Kind.LATENCY
    assert asked.canary.buckets == (
        (Shape.CLASSIC, f"sum by ({PROCESS}, le) (max without ({COPIES}) ({buckets}))"),
        (Shape.NATIVE, f"sum by ({PROCESS}) (avg without ({COPIES}) (http_request_duration_seconds{{{PODS}}}))"),
    )


@pytest.mark.parametrize(("source", "seconds"), [("Envoy", 0.001), ("Istio", 0.001), ("Linkerd", 0.001), ("Traefik", 1.0)])
def test_units_of_latencies(source, seconds):
    """Proxies count milliseconds, and have no native histograms."""
    asked = raw_counters(preset(source, "Latency"), NAMES)

    assert asked.seconds == seconds
    assert len(asked.canary.buckets) == (1 if seconds < 1 else 2)


def test_witnesses_of_a_gateway():
    """Any series of the service tells that the gateway was there when counting began, also those of the user's own Service."""
    asked = raw_counters(preset("Envoy", "ErrorRate"), NAMES)

    services = (
        "shop_checkout-canary_80|shop_checkout-stable_80|shop_checkout_80"
        "|service/shop/checkout-canary/80/.*|service/shop/checkout-stable/80/.*|service/shop/checkout/80/.*"
    )
    assert asked.witnesses == f'count by ({PROCESS}) (envoy_cluster_upstream_rq{{envoy_cluster_name=~"{services}"}})'


def test_restarts():
    """One series per container, whichever kube-state-metrics tells of it; of init containers those that go on running."""
    asked = raw_counters(preset("Kubernetes", "Restarts", threshold={"max": 1}), NAMES)

    restarts = (
        f"max by ({CONTAINER}) (kube_pod_container_status_restarts_total{{{PODS}}}"
        f" or (kube_pod_init_container_status_restarts_total{{{PODS}}} and on ({CONTAINER})"
        f' kube_pod_init_container_info{{{PODS},restart_policy="Always"}}))'
    )
    assert asked == RawCounters(Kind.RESTARTS, VersionCounters(bad=restarts))


def test_stable_is_asked_only_where_it_is_compared_with():
    """A fixed limit costs half."""
    assert raw_counters(preset("HTTP", "ErrorRate", threshold={"max": 0.01}), NAMES).stable is None


def test_counters_of_ones_own():
    """As they are written, with the variables filled in."""
    counters = {
        "canary": {"bad": 'b{pod=~"{{canaryPods}}"}', "total": "t"},
        "stable": {"bad": "u", "total": 'v{n="{{namespace}}"}'},
    }
    a_gate = Gate.model_validate({"name": "g", "metric": {"counters": counters}, **PERCENT})

    asked = raw_counters(a_gate, NAMES)

    assert asked.canary == VersionCounters(total="t", bad='b{pod=~"c-[a-z0-9]{5}"}', times="timestamp(\nt\n)")
    assert asked.stable == VersionCounters(total='v{n="shop"}', bad="u", times='timestamp(\nv{n="shop"}\n)')
    assert not asked.grouped


@pytest.mark.parametrize("source", ["Envoy", "NGINX", "Traefik"])
def test_gateways_need_a_route(source):
    """Without one they know nothing of the versions."""
    with pytest.raises(ValueError, match=f"the preset source {source} needs a route"):
        raw_counters(preset(source, "ErrorRate"), WITHOUT_ROUTE)


def test_pods_need_names():
    """An empty expression would match whatever has no label pod."""
    with pytest.raises(ValueError, match="needs the names of the version's pods"):
        raw_counters(preset("Istio", "ErrorRate"), Names("shop", "checkout", "", "", "", "s", "", 0))


def test_what_has_no_counters():
    """Use of a resource is a gauge."""
    with pytest.raises(ValueError, match="can only be judged by Limit"):
        raw_counters(preset("Kubernetes", "CPU", threshold={"max": 1}), NAMES)


class TestLimits:
    """The same table for the judge of limits."""

    def test_latency_in_milliseconds(self):
        """Gates are in seconds."""
        asked = queries(preset("Istio", "Latency", judge="Limit", **PERCENT), NAMES)

        assert asked.canary == (
            "histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket"
            f'{{{PODS},reporter="destination"}}[1m]))) / 1000'
        )

    def test_memory(self):
        """Of the container that is nearest to its limit."""
        asked = queries(preset("Kubernetes", "Memory", threshold={"max": 0.9}), NAMES)

        assert asked.canary == (
            f"max(max by (namespace, pod, container) (container_memory_working_set_bytes{{{PODS}}})"
            f' / max by (namespace, pod, container) (kube_pod_container_resource_limits{{{PODS},resource="memory"}}))'
        )
        assert asked.canary_samples is None

    def test_restarts(self):
        """Per pod and hour, where somebody wants a limit on a window."""
        asked = queries(preset("Kubernetes", "Restarts", judge="Limit", window="30m", threshold={"max": 1}), NAMES)

        restarts = f"kube_pod_container_status_restarts_total{{{PODS}}}"
        sidecars = f"kube_pod_init_container_status_restarts_total{{{PODS}}}"
        always = f'kube_pod_init_container_info{{{PODS},restart_policy="Always"}}'
        each = f"max by ({CONTAINER}) (increase({restarts}[30m]) or (increase({sidecars}[30m]) and on ({CONTAINER}) {always}))"
        assert asked.canary == f"(sum({each}) / count(count by (namespace, pod) ({restarts})) * 2.0)"

    def test_an_error_budget_has_the_windows_of_the_workbook(self):
        """All versions together, and the user's own Service, which served before."""
        budget = {"source": "HTTP", "objective": 0.999}
        a_gate = Gate.model_validate({"name": "g", "metric": {"errorBudget": budget}, "threshold": {"max": 1}})

        asked = queries(a_gate, NAMES)

        both = 'namespace="shop",pod=~"c-[a-z0-9]{5}|s-[a-z0-9]{5}"'
        for window in ("1h", "5m", "6h", "30m"):
            assert f"rate(http_requests_total{{{both}}}[{window}])" in asked.canary
        assert ")) / 0.0144," in asked.canary
        assert ")) / 0.006," in asked.canary
        assert asked.canary_samples == f"sum(max without ({COPIES}) (increase(http_requests_total{{{both}}}[6h])))"

    @pytest.mark.parametrize(
        ("metric", "words"),
        [
            ({"counters": {"canary": {"bad": "b", "total": "t"}}}, "counters can only be judged by Evidence"),
            ({"preset": {"source": "HTTP", "measure": "Tail"}}, "the measure Tail can only be judged by Evidence"),
        ],
    )
    def test_what_has_no_value(self, metric, words):
        """The schema forbids to judge it by a limit."""
        with pytest.raises(ValueError, match=words):
            queries(Gate.model_validate({"name": "g", "metric": metric, "threshold": {"max": 1}}), NAMES)
