"""Which part of a selector matches nothing."""

import pytest

from tidegate.api.gate import Gate
from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.diagnosis import diagnose
from tidegate.prometheus.presets import Version
from tidegate.prometheus.queries import Names

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)


class Series:
    """A Prometheus that knows how many series there are for a selector, and the values of labels."""

    def __init__(self, counts: dict[str, int], values: dict[str, list[str]] | None = None) -> None:
        self._counts, self._values = counts, values or {}
        self.asked: list[str] = []

    async def ask(self, query: str) -> Result | Trouble:
        self.asked.append(query)
        for label, values in self._values.items():
            if f"count by ({label})" in query:
                return Result([{"metric": {label: value} if value else {}, "value": [0, "1"]} for value in values])
        found = query.removeprefix("count(").removesuffix(")")
        return Result([{"metric": {}, "value": [0, "1"]}] if self._counts.get(found) else [])


def preset(source: str, measure: str, **fields: object) -> Gate:
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate({"name": "g", "metric": metric, "threshold": {"max": 1}, **fields})


def own(total: str) -> Gate:
    counters = {"canary": {"bad": "x", "total": total}}
    return Gate.model_validate({"name": "g", "metric": {"counters": counters}, "threshold": {"max": 1}})


async def test_no_such_metric():
    """The most frequent of all mistakes."""
    words = await diagnose(Series({}).ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY)

    assert words == "Prometheus has no metric http_requests_total"


async def test_no_such_metric_in_either_shape():
    """Of a histogram, both names are looked for."""
    words = await diagnose(Series({}).ask, preset("HTTP", "Latency"), NAMES, Version.CANARY)

    assert words == "Prometheus has no metric http_request_duration_seconds_bucket or http_request_duration_seconds"


async def test_another_value():
    """A namespace of another cluster; what other namespaces are called is no concern of this one's people."""
    series = Series({"http_requests_total": 2}, {"namespace": ["market", "stall"]})

    words = await diagnose(series.ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY)

    expected = 'no series http_requests_total has namespace="shop": the metric exists with other values of namespace'
    assert words == expected


async def test_another_pod_of_the_namespace():
    """Examples help, where they are of the Release's own namespace."""
    counts = {"http_requests_total": 2, 'http_requests_total{namespace="shop"}': 2}

    words = await diagnose(Series(counts, {"pod": ["web-1"]}).ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY)

    assert words.endswith("the metric exists with other values of pod (e.g. web-1)")


async def test_another_service_of_the_namespace():
    """Envoy's names begin with the namespace: of others nothing is told."""
    series = Series({"envoy_cluster_upstream_rq": 2}, {"envoy_cluster_name": ["shop_cart_80", "shopping_cart_80", "bank_vault_80"]})

    words = await diagnose(series.ask, preset("Envoy", "ErrorRate"), NAMES, Version.CANARY)

    assert words.endswith("the metric exists with other values of envoy_cluster_name (e.g. shop_cart_80)")


async def test_no_such_label():
    """A scrape without relabelling."""
    counts = {"http_requests_total": 2, 'http_requests_total{namespace="shop"}': 2}

    words = await diagnose(Series(counts, {"pod": [""]}).ask, preset("HTTP", "ErrorRate"), NAMES, Version.STABLE)

    assert words == 'no series http_requests_total has pod=~"s-[a-z0-9]{5}": none of them has a label pod'


async def test_each_alone_but_not_together():
    """The pods are those of another namespace."""
    counts = {
        "http_requests_total": 2,
        'http_requests_total{namespace="shop"}': 1,
        'http_requests_total{pod=~"c-[a-z0-9]{5}"}': 1,
    }

    words = await diagnose(Series(counts).ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY)

    assert words == 'no series http_requests_total has namespace="shop" and pod=~"c-[a-z0-9]{5}" at once'


async def test_the_way_of_labelling_that_is_nearest():
    """Where there are several, the one of which most is there."""
    metric = "nginx_ingress_controller_requests"
    counts = {metric: 9, f'{metric}{{exported_namespace="shop"}}': 9}
    series = Series(counts, {"exported_service": ["checkout"], "namespace": ["ingress"]})

    words = await diagnose(series.ask, preset("NGINX", "ErrorRate"), NAMES, Version.CANARY)

    assert words.startswith(f'no series {metric} has exported_service="checkout-canary"')


async def test_there_is_a_series_after_all():
    """It has come meanwhile."""
    both = 'http_requests_total{namespace="shop",pod=~"c-[a-z0-9]{5}"}'
    counts = {"http_requests_total": 2, both: 1}

    assert await diagnose(Series(counts).ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY) == ""


async def test_the_limits_of_containers_may_be_what_is_missing():
    """The use of CPU is there, and no limit to compare it with."""
    where = '{namespace="shop",pod=~"c-[a-z0-9]{5}"}'
    counts = {"container_cpu_usage_seconds_total": 5, f"container_cpu_usage_seconds_total{where}": 5}

    words = await diagnose(Series(counts).ask, preset("Kubernetes", "CPU"), NAMES, Version.CANARY)

    assert words == "Prometheus has no metric kube_pod_container_resource_limits"


async def test_queries_of_ones_own():
    """Their selectors are found in the text, whatever is around them."""
    total = 'sum by (pod) (orders_total{pod=~"{{canaryPods}}", shop!="x{y}"} offset 1m) # all {of} them'
    series = Series({"orders_total": 2, 'orders_total{shop!="x{y}"}': 2}, {"pod": ["web"]})

    words = await diagnose(series.ask, own(total), NAMES, Version.CANARY)

    assert words == 'no series orders_total has pod=~"c-[a-z0-9]{5}": the metric exists with other values of pod'


@pytest.mark.parametrize("total", ["vector(1)", "{{nothing}}", "orders_total"])
async def test_queries_without_a_selector(total):
    """There is nothing to take apart."""
    assert await diagnose(Series({}).ask, own(total), NAMES, Version.CANARY) == ""


async def test_a_server_that_is_away():
    """Then nobody knows, and the look itself tells of the trouble."""

    async def ask(_: str) -> Trouble:
        return Trouble("away")

    assert await diagnose(ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY) == ""


async def test_long_values_are_cut():
    """A hint is one sentence."""
    series = Series({"http_requests_total": 2}, {"namespace": ["n" * 500]})

    words = await diagnose(series.ask, preset("HTTP", "ErrorRate"), NAMES, Version.CANARY)

    assert len(words) < 250


@pytest.mark.parametrize(
    "where", ['namespace="payments"', 'namespace=~"shop"', 'namespace!="x"', 'namespace="shop|payments"', 'team="shop"']
)
async def test_examples_of_another_namespace_are_not_given(where):
    """A condition on a namespace is not enough: it must be `=`, with the Release's own."""
    series = Series({"kube_secret_info": 9, f"kube_secret_info{{{where}}}": 3}, {"secret": ["shop_key", "vault-root"]})

    words = await diagnose(series.ask, own(f'kube_secret_info{{{where},secret="nothing"}}'), NAMES, Version.CANARY)

    assert words == 'no series kube_secret_info has secret="nothing": the metric exists with other values of secret'


@pytest.mark.parametrize("quote", ['"', "'", "`"])
async def test_examples_of_the_own_namespace_are_given(quote):
    """Queries of one's own, too, whatever their quotes."""
    where = f"namespace={quote}{{{{namespace}}}}{quote}"
    filled = f"namespace={quote}shop{quote}"
    series = Series({"orders_total": 9, f"orders_total{{{filled}}}": 3}, {"result": ["failed"]})

    words = await diagnose(series.ask, own(f'orders_total{{{where},result="bad"}}'), NAMES, Version.CANARY)

    assert words.endswith("the metric exists with other values of result (e.g. failed)")


RESTARTS = "kube_pod_container_status_restarts_total"


def pods_by(namespace: str, pod: str) -> str:
    return f'{{{namespace}="shop",{pod}=~"c-[a-z0-9]{{5}}"}}'


@pytest.mark.parametrize(
    ("source", "there", "words"),
    [
        ("HTTP", {"http_requests": 1}, "; there is http_requests: name it http_requests_total where it is exposed or relabelled"),
        (
            "HTTP",
            {"http_requests_total": 1, f"http_requests_total{pods_by('exported_namespace', 'exported_pod')}": 1},
            "named by exported_namespace and exported_pod: set honorLabels: true",
        ),
        (
            "GRPC",
            {
                "grpc_server_handled_total": 1,
                f"grpc_server_handled_total{pods_by('kubernetes_namespace', 'kubernetes_pod_name')}": 1,
            },
            "named by kubernetes_namespace and kubernetes_pod_name: relabel them to namespace and pod",
        ),
        (
            "OpenTelemetry",
            {
                "http_server_request_duration_seconds_count": 1,
                f"target_info{pods_by('k8s_namespace_name', 'k8s_pod_name')}": 1,
            },
            "; the pods are named by target_info alone: add k8s.namespace.name and k8s.pod.name to otlp.promote_resource_attr",
        ),
        (
            "OpenTelemetry",
            {'{__name__=~"http\\\\.server\\\\.request\\\\.duration(?:_count)?"}': 1},
            "; there is http.server.request.duration: set otlp.translation_strategy: UnderscoreEscapingWithSuffixes",
        ),
        (
            "Envoy",
            {
                "envoy_cluster_upstream_rq": 1,
                'envoy_cluster_upstream_rq{envoy_cluster_name=~"httproute/shop/.*"}': 1,
            },
            "; Envoy Gateway counts both versions as one: use a source that comes from the pods, such as HTTP, or set Env",
        ),
        (
            "Kubernetes",
            {
                RESTARTS: 1,
                RESTARTS + pods_by("exported_namespace", "exported_pod"): 1,
            },
            "named by exported_namespace and exported_pod: set honorLabels: true",
        ),
    ],
)
async def test_what_is_there_instead_and_what_helps(source, there, words):
    """The cure is told with the symptom, as far as the Release's own pods are concerned."""
    gate = preset(source, "Restarts" if source == "Kubernetes" else "ErrorRate")

    assert words in await diagnose(Series(there).ask, gate, NAMES, Version.CANARY)
