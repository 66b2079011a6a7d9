"""Pods and gateways that are read directly: what Prometheus does not scrape, or only every quarter of an hour, is found anyway."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2e import gateway_page
from e2e.manifests import Json, Pods, step
from e2e.story import Given, Then, When, on_the_cluster
from e2e.world import World
from tidegate.api.direct import Scheme
from tidegate.cluster.resources import PODS
from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import DirectConfig
from tidegate.prometheus.counters import Kind
from tidegate.prometheus.direct.rounds import Rounds
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.direct.targets import Chosen, Target
from tidegate.prometheus.direct.text import Series
from tidegate.prometheus.direct.wanted import Wanted
from tidegate.runtime.clock import ManualClock
from tidegate_sandbox.cluster import GATEWAY_NAMESPACE, ClusterInfo

pytestmark = on_the_cluster

STEADY = (sys.executable, str(Path(__file__).with_name("steady_service.py")))
HIDDEN = {"prometheus.io/scrape": "false"}
"""Prometheus never scrapes these pods: whatever is known of them was read directly."""
GATE: Json = {
    "name": "errors",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"points": 1}},
    "interval": "5s",
    "direct": {"port": "http"},
}


async def test_version_that_fails_everything_is_shut_without_prometheus(given: Given, when: When, then: Then, world: World) -> None:
    """No pod is scraped by Prometheus; the new version fails everything, and is shut by what was read of the pods themselves."""
    await given.an_app(pods=Pods.REAL, replicas=3, command=STEADY, annotations=HIDDEN)
    await given.a_policy(step(25, "10m"), step(100), gates=({**GATE, "interval": "10m"},))
    await given.a_release()
    await given.load(rate=100)
    given.failing("v2")

    await when.the_image_becomes("v2", ERROR_RATE="1")

    await then.rolled_back_to("v1")
    await then.served_by("v1")
    then.weights_were(25, 0)
    then.last_rollout_was("RolledBack", "v2", "gate errors: error rate 100%", "less than 1 point above stable")


async def test_good_version_is_promoted_by_direct_readings_alone(given: Given, when: When, then: Then, world: World) -> None:
    """No pod is scraped by Prometheus; a good version is judged by its pods' own pages, and the status says which were read."""
    await given.an_app(pods=Pods.REAL, replicas=2, command=STEADY, annotations=HIDDEN)
    await given.a_policy(step(50, "12s"), step(100), gates=(GATE,))
    await given.a_release()
    await given.load(rate=100)

    await when.the_image_becomes("v2")

    def told() -> bool:
        gates = world.status.get("gates", ())
        return any(
            "read directly every 1s: 1 of 1 pods of the new version, 2 of 2 pods of stable" in gate.get("telemetry", "")
            for gate in gates
        )

    await world.until("the status says what was read", told)
    await then.promoted_to("v2")
    then.weights_were(50, 100, 0)


AT_GATEWAY: Json = {**GATE, "metric": {"preset": {"source": "Envoy", "measure": "ErrorRate"}}, "direct": {}}


async def test_version_that_fails_everything_is_shut_by_the_page_of_its_gateway(
    given: Given, when: When, then: Then, world: World
) -> None:
    """Envoy's own page tells both versions apart: it is read every second, and Prometheus is not waited for."""
    await given.an_app(pods=Pods.REAL, replicas=3, command=STEADY, annotations=HIDDEN)
    await given.a_policy(step(25, "10m"), step(100), gates=({**AT_GATEWAY, "interval": "10m"},))
    await given.a_release()
    await given.load(rate=100)
    given.failing("v2")
    async with a_gateway_pod(world):
        await when.the_image_becomes("v2", ERROR_RATE="1")

        await then.rolled_back_to("v1")
        await then.served_by("v1")
    then.weights_were(25, 0)
    then.last_rollout_was("RolledBack", "v2", "gate errors: error rate 100%", "less than 1 point above stable")


async def test_good_version_is_promoted_by_the_page_of_its_gateway(given: Given, when: When, then: Then, world: World) -> None:
    """A good version is judged by what Envoy counts for it, and the status names no pod of the gateway."""
    await given.an_app(pods=Pods.REAL, replicas=2, command=STEADY, annotations=HIDDEN)
    latency = {**AT_GATEWAY, "name": "tail", "metric": {"preset": {"source": "Envoy", "measure": "Latency"}}}
    latency["versusStable"] = {"maxIncrease": {"percent": 500}}
    await given.a_policy(step(50, "12s"), step(100), gates=(AT_GATEWAY, latency))
    await given.a_release()
    await given.load(rate=100)
    async with a_gateway_pod(world):
        await when.the_image_becomes("v2")

        def told() -> bool:
            said = [gate.get("telemetry", "") for gate in world.status.get("gates", ())]
            return len(said) == 2 and all("read directly every 1s: 1 of 1 pods of the gateways" in one for one in said)

        await world.until("the status says what was read", told)
        assert gateway_pod(world)["metadata"]["name"] not in str(world.status)
        await then.promoted_to("v2")
    then.weights_were(50, 100, 0)


def gateway_pod(world: World) -> Json:
    """Return the pod of the gateway that the operator's configuration names for a test."""
    container: Json = {
        "name": "envoy",
        "image": "registry.example/envoy:v1",
        "command": [sys.executable, str(Path(__file__).with_name("gateway_page.py"))],
        "ports": [{"name": "metrics", "containerPort": gateway_page.PORT}],
    }
    labels = {"app": "envoy-page", "of": world.namespace}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"envoy-{world.namespace}", "namespace": GATEWAY_NAMESPACE, "labels": labels},
        "spec": {"nodeSelector": {"type": Pods.REAL.value}, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }


@asynccontextmanager
async def a_gateway_pod(world: World) -> AsyncIterator[None]:
    """A pod with Envoy's page in the gateway's namespace."""
    pod = gateway_pod(world)
    path = PODS.path(GATEWAY_NAMESPACE, pod["metadata"]["name"])
    await world.cluster.create(PODS.path(GATEWAY_NAMESPACE), pod)
    try:
        yield
    finally:
        await world.cluster.delete(path)


@pytest.mark.parametrize(
    ("program", "path", "counter"),
    [
        ("envoy", "/stats/prometheus", "envoy_cluster_upstream_cx_total"),
        ("envoy", "/stats/prometheus?usedonly&filter=^cluster\\..*(upstream_rq|grpc)", "envoy_cluster_upstream_rq_total"),
        ("prometheus", "/metrics", "prometheus_http_requests_total"),
    ],
)
async def test_real_servers_are_not_disturbed_by_a_filter(sandbox: ClusterInfo, program: str, path: str, counter: str) -> None:
    """Envoy, and the Go client in Prometheus: whether they filter or pass it over, each reading counts, and one is tried."""
    parts, clock = urlsplit(sandbox.envoy_admin_url if program == "envoy" else sandbox.prometheus_url), ManualClock()
    target = Target("uid", program, str(parts.hostname), parts.port or 80, path, Scheme.HTTP)
    scraper = Scraper(DirectConfig.model_validate({"timeout": "5s"}), clock)
    rounds = Rounds(scraper, Asker("shop"), 5.0, clock, lambda: None, filters=True)
    wish = Wanted(Kind.SHARE, counter, births=program == "prometheus")
    rounds.want(Series((wish,)), Chosen((target,), pods=1), Chosen())
    pages = []
    for _ in range(5):
        # A page that has taken long is read more rarely.
        clock.advance(60)
        found = await rounds.round()
        assert found.missed == ()
        pages += [one.page for one in found.canary]
    rounds.close()
    await scraper.close()

    totals = [one.counted[wish].events.total for one in pages]
    assert len(pages) == 5
    assert totals == sorted(totals)
    assert totals[0] > 0
    assert scraper.scrapes in {5, 6}
