"""What lint says of the telemetry that there is: how much of it, whose, and what nobody can tell apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from unit.cli.conftest import Json, Server, Tidegate
from unit.cli.test_lint import findings, gate, policy


def has(**values: str) -> Callable[[str, str, dict[str, str], str], tuple[int, Json]]:
    """A Prometheus that has one value for each query that begins with a text, and nothing else."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        number = {f"count({metric})": value for metric, value in values.items()}.get(parameters["query"])
        if parameters["query"].startswith("max(timestamp("):
            number = str(float(parameters["time"]) - 12)
        result: list[Json] = [] if number is None else [{"metric": {}, "value": [0, number]}]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    return answer


@pytest.mark.parametrize(
    ("there", "severity", "words"),
    [
        ({"http_requests_total": "1204"}, "note", "Prometheus has 1,204 series http_requests_total, the newest sample is 12s old"),
        (
            {"http_requests": "3"},
            "warning",
            (
                "Prometheus has no metric http_requests_total; there is http_requests: name it http_requests_total where it is "
                "exposed or relabelled, or count with counters of your own (metric.counters)"
            ),
        ),
        ({}, "warning", "Prometheus has no metric http_requests_total: until it has, every check is Undecided"),
    ],
)
def test_what_prometheus_has_is_told(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server], there: dict[str, str], severity: str, words: str
) -> None:
    """How much, how fresh, and what is there in place of what is not."""
    server = serve(has(**there))
    errors = gate(metric={"preset": {"source": "HTTP", "measure": "ErrorRate"}})

    found = findings(tidegate, policy(tmp_path, errors), "--prometheus", server.address)

    assert (severity, "spec.gates[0].metric", words) in found


RELEASE = """\
apiVersion: tidegate.dev/v1alpha1
kind: Release
metadata: {name: checkout, namespace: shop}
spec:
  targetRef: {name: checkout}
  policyRef: {name: p}
"""
PUSHED_ASIDE = 'http_requests_total{exported_namespace="shop",exported_pod=~"checkout-[a-z0-9]+-[a-z0-9]+"}'


@pytest.mark.parametrize(
    ("answers", "severity", "words"),
    [
        (
            {"count(count by": "3", "max(timestamp(": "-9"},
            "note",
            "Release shop/checkout: Prometheus has 3 processes of it, the newest sample is 9s old",
        ),
        (
            {"count(http_requests_total)": "8", f"count({PUSHED_ASIDE})": "8"},
            "warning",
            "the version's pods are named by exported_namespace and exported_pod: set honorLabels: true (honor_labels)",
        ),
    ],
)
def test_what_prometheus_has_of_a_release_is_told(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server], answers: dict[str, str], severity: str, words: str
) -> None:
    """Given a policy and a Release that follows it, then lint says what there is of it now, or why nothing is."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        query = parameters["query"]
        number = next((value for start, value in answers.items() if query.startswith(start)), None)
        if number is not None and number.startswith("-"):
            number = str(float(parameters["time"]) + float(number))
        result: list[Json] = [] if number is None else [{"metric": {}, "value": [0, number]}]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    policy(tmp_path, gate(metric={"preset": {"source": "HTTP", "measure": "ErrorRate"}}))
    (tmp_path / "release.yaml").write_text(RELEASE)

    found = findings(tidegate, tmp_path, "--prometheus", serve(answer).address)

    assert any(one == severity and words in said and "Release shop/checkout" in said for one, _, said in found), found


@pytest.mark.parametrize(
    ("clusters", "refused"),
    [(("httproute/shop/checkout/rule/0",), True), (("httproute/shop/cart/rule/0", "service/shop/checkout/80/http"), False)],
)
def test_versions_that_a_gateway_counts_as_one_are_refused(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server], clusters: tuple[str, ...], refused: bool
) -> None:
    """Envoy Gateway does, unless it merges backends: what nobody could judge is no policy for this Release."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        asked = re.fullmatch(r'count\(envoy_cluster_upstream_rq\{envoy_cluster_name=~"(.*)"\}\)', parameters["query"])
        number = sum(re.fullmatch(asked[1], one) is not None for one in clusters) if asked else 0
        result: list[Json] = [{"metric": {}, "value": [0, str(number)]}] if number else []
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    policy(tmp_path, gate(metric={"preset": {"source": "Envoy", "measure": "ErrorRate"}}))
    (tmp_path / "release.yaml").write_text(
        f"{RELEASE}  traffic:\n    service: checkout\n    gatewayAPI: {{httpRoutes: [{{name: r}}]}}\n"
    )

    found = findings(tidegate, tmp_path, "--prometheus", serve(answer).address)

    words = "Release shop/checkout: Envoy Gateway counts both versions as one: use a source that comes from the pods, such as HTTP"
    assert any(severity == "error" and said.startswith(words) for severity, _, said in found) == refused, found


@pytest.mark.parametrize(("source", "who"), [("Traefik", "Traefik"), ("Envoy", "Envoy Gateway (not Contour)")])
def test_answers_that_a_gateway_counts_nowhere_are_told(tidegate: Tidegate, tmp_path: Path, source: str, who: str) -> None:
    """Availability is of what reached a pod there."""
    found = findings(tidegate, policy(tmp_path, gate(metric={"preset": {"source": source, "measure": "Availability"}})))

    assert any(
        severity == "note" and words.startswith(f"{who} does not count what it answers itself") for severity, _, words in found
    )


@pytest.mark.parametrize(("way", "called"), [("direct", "direct readings"), ("push", "pushed samples")])
@pytest.mark.parametrize("allowed", [True, False])
def test_ways_that_the_connection_does_not_allow(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server], allowed: bool, way: str, called: str
) -> None:
    """Given the operator's configuration, then a gate that does without Prometheus is told if the connection does not allow it."""
    server, config = serve(has(http_requests_total="1204")), tmp_path / "config"
    connection = {"name": "default", "address": server.address} | ({way: {}} if allowed else {})
    port = {"plainHttp": True, "senders": [{"name": "a", "namespaces": ["shop"], "tokenFile": "/t"}]}
    config.write_text(yaml.safe_dump({"connections": [connection], "push": port}))
    errors = gate(metric={"preset": {"source": "HTTP", "measure": "ErrorRate"}}, **{way: {}})

    told = findings(tidegate, policy(tmp_path, errors), "--config", config)

    words = [message for _, field, message in told if field == f"spec.gates[0].{way}"]
    expected = f"the connection default does not allow {called}, so Prometheus alone is asked; add {way} to it"
    assert words == ([] if allowed else [expected])


@pytest.mark.parametrize("source", ["Envoy", "NGINX"])
def test_gateways_that_the_connection_does_not_name(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server], source: str
) -> None:
    """A gate that has gateways read directly is told if the connection names none of its preset."""
    server, config = serve(has(envoy_cluster_upstream_rq="1204", nginx_ingress_controller_requests="1204")), tmp_path / "config"
    gateway = {"name": "edge", "source": "Envoy", "namespace": "edge", "selector": {"app": "envoy"}, "port": 19001}
    connection = {"name": "default", "address": server.address, "direct": {"gateways": [gateway]}}
    config.write_text(yaml.safe_dump({"connections": [connection]}))
    errors = gate(metric={"preset": {"source": source, "measure": "ErrorRate"}}, direct={})

    told = findings(tidegate, policy(tmp_path, errors), "--config", config)

    words = [message for _, field, message in told if field == "spec.gates[0].direct"]
    expected = "the connection default names no gateway of NGINX, so Prometheus alone is asked; add direct.gateways to it"
    assert words == ([] if source == "Envoy" else [expected])
