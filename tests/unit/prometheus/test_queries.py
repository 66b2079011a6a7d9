"""The PromQL that gates ask."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.prometheus.queries import Names, Queries, pods_of, queries, quoted

NAMES = Names(
    namespace="shop",
    release="checkout",
    service="checkout",
    stable_service="checkout-stable",
    canary_service="checkout-canary",
    stable_pods="checkout-aaa-[a-z0-9]{5}",
    canary_pods="checkout-bbb-[a-z0-9]{5}",
    service_port=80,
)
PERCENT = {"maxIncrease": {"percent": 10}}


COPIES = "job, prometheus_replica, replica"
PROCESS = (
    "instance, namespace, pod, container, controller_pod, exported_job, exported_instance, exported_pod, k8s_namespace_name, "
    "k8s_pod_name, k8s_container_name, service_instance_id"
)


def preset(source: str, measure: str, **fields: object) -> Gate:
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate({"name": "g", "metric": metric, "versusStable": PERCENT, **fields})


def own(canary: str, **fields: object) -> Gate:
    return Gate.model_validate({"name": "g", "metric": {"promql": {"canary": canary, **fields}}, "versusStable": PERCENT})


def clusters(query: str) -> str:
    """The query for what Contour calls by this name, or Envoy Gateway by its own."""
    return re.sub(r'="shop_(checkout-\w+)_80"', r'=~"shop_\1_80|service/shop/\1/80/.*"', query)


class TestPresets:
    """The queries of presets, word for word: they are what an SRE pastes into Prometheus."""

    def test_error_rate_from_envoy(self):
        """Counters of codes that never occurred do not exist, so the numerator is 0 without them.

        Nor is there a value where codes are missing, or calls fail without them.
        """
        assert queries(preset("Envoy", "ErrorRate"), NAMES) == Queries(
            canary=clusters(
                '(((sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-canary_80",'
                'envoy_response_code=~"5.."}[1m])) or vector(0))'
                ' / sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-canary_80"}[1m])))'
                ' unless sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-canary_80",'
                'envoy_response_code!~"[0-9]+|[0-9](?:xx|XX)"}[1m])'
                ' or rate(envoy_cluster_grpc_total{envoy_cluster_name="shop_checkout-canary_80"}[1m]))'
                ' > 0.001 * sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-canary_80"}[1m])))'
            ),
            stable=clusters(
                '(((sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-stable_80",'
                'envoy_response_code=~"5.."}[1m])) or vector(0))'
                ' / sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-stable_80"}[1m])))'
                ' unless sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-stable_80",'
                'envoy_response_code!~"[0-9]+|[0-9](?:xx|XX)"}[1m])'
                ' or rate(envoy_cluster_grpc_total{envoy_cluster_name="shop_checkout-stable_80"}[1m]))'
                ' > 0.001 * sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-stable_80"}[1m])))'
            ),
            canary_samples=clusters(
                f"sum(max without ({COPIES}) (increase("
                'envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-canary_80"}[1m])))'
            ),
            stable_samples=clusters(
                f"sum(max without ({COPIES}) (increase("
                'envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-stable_80"}[1m])))'
            ),
            newest=clusters('max(timestamp(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-canary_80"}))'),
            newest_stable=clusters('max(timestamp(envoy_cluster_upstream_rq{envoy_cluster_name="shop_checkout-stable_80"}))'),
            series=clusters(
                f'count(count by ({PROCESS}) (envoy_cluster_upstream_rq{{envoy_cluster_name="shop_checkout-canary_80"}}))'
            ),
            series_stable=clusters(
                f'count(count by ({PROCESS}) (envoy_cluster_upstream_rq{{envoy_cluster_name="shop_checkout-stable_80"}}))'
            ),
        )

    @pytest.mark.parametrize(
        ("source", "measure", "counters"),
        [
            ("HTTP", "ErrorRate", ["http_requests_total"]),
            ("HTTP", "Latency", ["http_request_duration_seconds_count", "http_request_duration_seconds"]),
            ("NGINX", "Availability", ["nginx_ingress_controller_requests"] * 2),
            (
                "OpenTelemetry",
                "Latency",
                ["http_server_request_duration_seconds_count"] * 2 + ["http_server_request_duration_seconds"] * 2,
            ),
            ("Kubernetes", "CPU", ["container_cpu_usage_seconds_total"]),
            ("Kubernetes", "Memory", ["container_memory_working_set_bytes"]),
            ("Kubernetes", "Restarts", ["kube_pod_container_status_restarts_total"]),
        ],
    )
    def test_newest_sample(self, source, measure, counters):
        """The time of the newest sample is that of what the value rests on, wherever it may be labelled."""
        asked = queries(preset(source, measure), NAMES).newest

        assert re.findall(r"timestamp\((\w+)\{", asked) == counters

    def test_requests_at_the_weight(self):
        """Over the window where the weight is older than that; over the time of the weight where it is not."""
        by_age = {age: queries(preset("HTTP", "ErrorRate"), NAMES, None, timedelta(seconds=age)).at_weight for age in (20, 90)}

        assert by_age[20].endswith("[20s])))")
        assert by_age[90] == queries(preset("HTTP", "ErrorRate"), NAMES).canary_samples

    def test_latency_from_envoy(self):
        """Envoy counts milliseconds, gates are in seconds."""
        asked = queries(preset("Envoy", "Latency"), NAMES)

        assert asked.canary == clusters(
            "histogram_quantile(0.99, sum by (le) (rate("
            'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="shop_checkout-canary_80"}[1m]))) / 1000'
        )
        assert asked.canary_samples == clusters(
            f"sum(max without ({COPIES}) (increase("
            'envoy_cluster_upstream_rq_time_count{envoy_cluster_name="shop_checkout-canary_80"}[1m])))'
        )

    def test_availability_from_pods(self):
        """What was answered at all."""
        asked = queries(preset("HTTP", "Availability"), NAMES)

        assert asked.canary == (
            '1 - (((sum(rate(http_requests_total{namespace="shop",pod=~"checkout-bbb-[a-z0-9]{5}",code=~"502|503|504"}[1m]))'
            ' or vector(0)) / sum(rate(http_requests_total{namespace="shop",pod=~"checkout-bbb-[a-z0-9]{5}"}[1m])))'
            ' unless sum(rate(http_requests_total{namespace="shop",pod=~"checkout-bbb-[a-z0-9]{5}",code!~"[0-9]+"}[1m]))'
            ' > 0.001 * sum(rate(http_requests_total{namespace="shop",pod=~"checkout-bbb-[a-z0-9]{5}"}[1m])))'
        )

    def test_latency_from_pods(self):
        """With the quantile that is asked for, of classic histograms or of native ones."""
        gate = Gate.model_validate(
            {
                "name": "g",
                "metric": {"preset": {"source": "HTTP", "measure": "Latency", "quantile": 0.5}},
                "versusStable": PERCENT,
                "window": "1m30s",
            }
        )

        assert queries(gate, NAMES).stable == (
            "(histogram_quantile(0.5, sum by (le) (rate("
            'http_request_duration_seconds_bucket{namespace="shop",pod=~"checkout-aaa-[a-z0-9]{5}"}[1m30s])))'
            " or histogram_quantile(0.5, sum(rate("
            'http_request_duration_seconds{namespace="shop",pod=~"checkout-aaa-[a-z0-9]{5}"}[1m30s]))))'
        )

    def test_stable_is_asked_only_where_it_is_compared_with(self):
        """A fixed limit costs two queries."""
        asked = queries(preset("Envoy", "ErrorRate", versusStable=None, threshold={"max": 0.01}), NAMES)

        assert asked.stable is None
        assert asked.stable_samples is None
        assert asked.canary_samples is not None

    def test_a_shorter_window(self):
        """The caller can bound it."""
        assert "[12s]" in queries(preset("Envoy", "ErrorRate"), NAMES, timedelta(seconds=12)).canary

    def test_envoy_needs_a_route(self):
        """Without one, Envoy knows nothing of the versions."""
        without = Names("shop", "checkout", "", "", "", "a", "b", 0)

        with pytest.raises(ValueError, match="needs a route"):
            queries(preset("Envoy", "ErrorRate"), without)

    def test_pods_need_names(self):
        """An empty expression would match whatever has no label pod."""
        without = Names("shop", "checkout", "", "", "", "a", "", 0)

        with pytest.raises(ValueError, match="needs the names of the version's pods"):
            queries(preset("HTTP", "ErrorRate"), without)

    def test_a_gate_without_a_metric(self):
        """The schema forbids it."""
        with pytest.raises(ValueError, match="no metric"):
            queries(Gate.model_validate({"name": "g", "metric": {}}), NAMES)


class TestVariables:
    """Queries of one's own."""

    def test_all_variables(self):
        """Each has its value."""
        text = " ".join(
            f'"{{{{{name}}}}}"'
            for name in (
                "namespace",
                "release",
                "service",
                "stableService",
                "canaryService",
                "stablePods",
                "canaryPods",
                "window",
            )
        )

        assert queries(own(text), NAMES).canary == (
            '"shop" "checkout" "checkout" "checkout-stable" "checkout-canary" '
            '"checkout-aaa-[a-z0-9]{5}" "checkout-bbb-[a-z0-9]{5}" "1m"'
        )

    def test_all_queries_are_filled(self):
        """Also stable and samples; there is no count for stable."""
        asked = queries(own("a[{{window}}]", stable="b[{{window}}]", samples="c[{{ window }}]"), NAMES)

        assert asked == Queries(canary="a[1m]", stable="b[1m]", canary_samples="c[1m]")

    def test_an_unknown_variable(self):
        """It is named, and so are those that there are."""
        with pytest.raises(ValueError, match=r"unknown variable {{pods}}: there are namespace, .*canaryPods, window"):
            queries(own('x{pod=~"{{pods}}"}'), NAMES)

    def test_braces_of_promql_are_left_alone(self):
        """Selectors are no variables."""
        text = 'sum(x{a="{b}"}) by (c) # {{nothing}}'

        assert queries(own(text), NAMES).canary == text

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('x{a=~"{{canaryPods}}"}', r'x{a=~"a\\.b\"c'),
            ("x{a=~'{{canaryPods}}'}", r"x{a=~'a\\.b" + '"c'),
            ("x{a=~`{{canaryPods}}`}", r"x{a=~`a\.b" + '"c'),
        ],
    )
    def test_values_are_escaped_for_the_quotes_around_them(self, text, expected):
        """Regular expressions stay what they are in any kind of quotes."""
        names = Names("shop", "checkout", "", "", "", "a", 'a\\.b"c', 0)

        assert queries(own(text), names).canary.startswith(expected)

    @pytest.mark.parametrize("text", ["{{canaryPods}}", "x{a=~`{{canaryPods}}`}"])
    def test_values_do_not_escape_their_place(self, text):
        """What could change the query's meaning is refused outside of quotes, and a back quote within back quotes."""
        names = Names("shop", "checkout", "", "", "", "a", "a`} or secret{b=~`", 0)

        with pytest.raises(ValueError, match="must stand within double quotes"):
            queries(own(text), names)

    @given(st.text(), st.sampled_from("\"'"))
    def test_a_value_never_ends_its_quotes(self, value, quote):
        """Whatever the value, the literal is one literal, and reads as the value."""
        names = Names("n", "r", "", "", "", "a", value, 0)

        literal = queries(own(f"{quote}{{{{canaryPods}}}}{quote}"), names).canary

        body = literal[1:-1]
        assert literal[0] == literal[-1] == quote
        assert re.fullmatch(rf"(?:[^{quote}\\\n]|\\.)*", body)
        assert unescaped(body) == value


def unescaped(body: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], body)


@given(st.text())
def test_quoted_text_is_one_literal(value):
    """Label values cannot inject PromQL."""
    literal = quoted(value)

    assert re.fullmatch(r'"(?:[^"\\\n]|\\.)*"', literal)
    assert unescaped(literal[1:-1]) == value


class TestPods:
    """Which pods belong to a ReplicaSet."""

    def test_its_own(self):
        """A ReplicaSet's name, a dash, and five characters."""
        assert re.fullmatch(pods_of(["checkout-7d9f"]), "checkout-7d9f-x2x4z")

    @pytest.mark.parametrize("pod", ["checkout-7d9f-x2x4z-a", "checkout-7d9f", "checkout-7d9fa-x2x4z", "a-checkout-7d9f-x2x4z"])
    def test_no_others(self, pod):
        """Not those of names that begin or end alike."""
        assert not re.fullmatch(pods_of(["checkout-7d9f"]), pod)

    def test_those_of_several(self):
        """Stable may have more than one ReplicaSet."""
        both = pods_of(["checkout-1", "checkout-2"])

        assert re.fullmatch(both, "checkout-1-aaaaa")
        assert re.fullmatch(both, "checkout-2-aaaaa")

    def test_a_dot_is_a_dot(self):
        """Names may have dots."""
        assert re.fullmatch(pods_of(["check.out-1"]), "check.out-1-aaaaa")
        assert not re.fullmatch(pods_of(["check.out-1"]), "checkXout-1-aaaaa")

    def test_long_names_are_cut_as_the_api_server_cuts_them(self):
        """After 58 characters come the random ones."""
        name = f"{'a' * 50}-6b474476c4"

        assert re.fullmatch(pods_of([name]), f"{name[:58]}x2x4z")

    def test_none(self):
        """No ReplicaSet, no expression."""
        assert pods_of([]) == ""


@pytest.mark.parametrize(
    ("text", "newest"),
    [
        ("errors", "max(timestamp(errors))"),
        (' errors{pod=~"x"} ', 'max(timestamp(errors{pod=~"x"}))'),
        ('errors{pod=~"x{2}"}', None),
        ("errors[1m]", None),
        ("sum(errors)", None),
        ("1", None),
        ("errors or vector(0)", None),
    ],
)
def test_newest_sample_of_ones_own_query(text: str, newest: str | None) -> None:
    """Only of a plain selector anybody knows how old the samples are that it gives."""
    assert queries(own(text, stable="s"), NAMES).newest == newest
