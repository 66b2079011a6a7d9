"""A version that turns bad, before an API server that has a bad day as well."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, PATIENCE, Json, Prometheus, Scene, condition, install, router_of, scene_in

pytestmark = needs_api
AWAY = 10.0
"""Seconds without an answer."""
SOON = 6.0
"""Seconds: 2 on a machine that has nothing else to do; back-offs alone would be 12."""
GATE = {
    "name": "errors",
    "metric": {"promql": {"canary": "canary_errors", "unit": "Ratio"}},
    "threshold": {"max": 0.01},
    "interval": "1s",
    "window": "10s",
}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene, router_of(scene):
        yield scene


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    prometheus = Prometheus()
    await prometheus.start()
    yield prometheus
    await prometheus.stop()


async def at_half(scene: Scene, prometheus: Prometheus, **config: Any) -> None:
    """Bring a second version to half of the traffic, where it is to stay for long."""
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}], gates=[GATE])
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(route=True)
    await scene.start(connections=[{"name": "default", "address": prometheus.address}], **config)
    await scene.idle()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: bool((status.get("step") or {}).get("since")) and status["weight"] == 50)
    assert 50 == (await scene.weights())[f"{NAME}-canary"]


async def until_away(scene: Scene) -> float:
    """Wait until the new version has no traffic, and return the seconds that this took."""
    began = time.monotonic()
    while (await scene.weights()).get(f"{NAME}-canary", 0) != 0:
        assert time.monotonic() - began < PATIENCE, scene.operator.tail()
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def away_and_back(scene: Scene, prometheus: Prometheus, *, early: bool) -> float:
    """Take the API server away for a while; return the seconds from its return until the version that turned bad has no traffic.

    Args:
        scene: where.
        prometheus: what it says of the new version is bad from then on.
        early: whether that is so while the API server is away.
    """
    fault = scene.proxy.fault("", "", cut=True)
    scene.proxy.sever()
    prometheus.canary = 0.5 if early else 0.0
    await asyncio.sleep(AWAY)
    scene.proxy.mend(fault)

    prometheus.canary = 0.5
    return await until_away(scene)


async def rejected(scene: Scene) -> Json:
    """Wait until the rollback is over, and return the status."""
    status = await scene.until(lambda status: status["phase"] == "RolledBack")
    assert "GateBreached" == status["lastRollout"]["cause"]
    assert {NAME} == set(await scene.weights())
    return status


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"status": 500},
        {"status": 409, "reason": "Conflict"},
        {"status": 403, "reason": "Forbidden"},
        {"delay": 8.0},
        {"cut": True},
    ],
    ids=["good", "500", "409", "403", "slow", "cut"],
)
async def test_breach_does_not_wait_for_the_status(scene: Scene, prometheus: Prometheus, what: Json) -> None:
    """However the API server treats the status, a bad version loses its traffic at once, and the verdict is stored in the end."""
    await at_half(scene, prometheus)
    fault = scene.proxy.fault("PATCH", "/releases/checkout/status", **what) if what else None

    prometheus.canary = 0.5
    seconds = await until_away(scene)
    print(f"{what}: {seconds:.2f} s from the first bad answer to weight 0, with looks each second")
    if fault is not None:
        scene.proxy.mend(fault)

    status = await rejected(scene)
    assert "v2" == status["rejected"][0]["version"]
    assert seconds < 5
    counts = await scene.events("GateBreached", "RolledBack")
    assert 1 == counts["GateBreached"]


async def test_breach_gets_through_a_route_that_is_hard_to_write(scene: Scene, prometheus: Prometheus) -> None:
    """Given a route whose first writes fail in one way and another, it is written in the end, and the time is measured once."""
    await at_half(scene, prometheus)
    scene.proxy.fault("PATCH", "/httproutes/", status=500, times=2)
    scene.proxy.fault("PATCH", "/httproutes/", status=409, reason="Conflict", times=3)
    scene.proxy.fault("PATCH", "/httproutes/", cut=True, times=1)

    prometheus.canary = 0.5
    await until_away(scene)
    await rejected(scene)

    _, metrics = await scene.operator.ask("/metrics")
    count, total = (float(re.findall(rf"tidegate_breach_to_stable_seconds_{what} (\S+)", metrics)[0]) for what in ("count", "sum"))
    print(f"breach to stable with six failed writes: {total:.3f} s")
    assert 1 == count
    assert total < 5


async def test_missing_permission_on_routes_stands_in_the_status(scene: Scene, prometheus: Prometheus) -> None:
    """Given a Role that lacks `patch` on routes, a rollout waits, and says for which verb on what; granted, it goes on."""
    forbidden = scene.proxy.fault("PATCH", "/httproutes/", status=403, reason="Forbidden")
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(route=True)
    await scene.start(connections=[{"name": "default", "address": prometheus.address}])
    await scene.idle()
    await scene.set_image("checkout:v2")
    told = await scene.until(lambda status: condition(status, "Stalled")[:2] == ("True", "NoPermission"))

    scene.proxy.mend(forbidden)
    await scene.until(lambda status: status["weight"] == 50 and condition(status, "Reconciling")[1] == "Progressing")

    assert "patch httproutes.gateway.networking.k8s.io checkout" in told["message"].split("; ")[0]


async def test_bad_version_gets_no_traffic_again_though_the_operator_dies(scene: Scene, prometheus: Prometheus) -> None:
    """Given an operator that is killed at the moment of a breach, the next one ends what it began, and gives no traffic back."""
    await at_half(scene, prometheus)
    prometheus.canary = 0.5
    await until_away(scene)
    await scene.operator.end(signal.SIGKILL)
    weights = [(await scene.weights()).get(f"{NAME}-canary", 0)]
    await scene.start(connections=[{"name": "default", "address": prometheus.address}])
    while (await scene.status())["phase"] != "RolledBack":
        weights.append((await scene.weights()).get(f"{NAME}-canary", 0))
        await asyncio.sleep(0.02)

    await rejected(scene)
    assert {0} == set(weights)


@pytest.mark.parametrize("early", [False, True])
async def test_first_breach_after_an_outage(scene: Scene, prometheus: Prometheus, early: bool) -> None:
    """Given ten seconds without the API server, when it is back, a version that turned bad meanwhile, or does now, is shut soon."""
    await at_half(scene, prometheus)
    seconds = await away_and_back(scene, prometheus, early=early)
    print(f"early={early}: {seconds:.2f} s from the return of the API server to weight 0")

    await rejected(scene)
    assert seconds < SOON
    assert scene.operator.running
