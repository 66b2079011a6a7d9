"""What the operator asks of the API server, by the API server's own account."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, Prometheus, Scene, install, router_of, scene_in
from e2e.history import History
from tidegate.cluster.resources import RELEASES
from tidegate_sandbox.cluster import ClusterInfo

pytestmark = needs_api
OPERATOR = "system:serviceaccount:tidegate-system:tidegate"
READING_EVERYTHING = {"list", "watch"}
WRITING = {"patch", "create", "delete", "update"}
GATE = {
    "name": "errors",
    "metric": {"promql": {"canary": "canary_errors", "unit": "Ratio"}},
    "threshold": {"max": 0.01},
    "interval": "2s",
    "window": "10s",
}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def asked(namespace: str) -> Counter[tuple[str, str]]:
    """Return how often the operator asked for what in a namespace: verb and resource, or `refused` and resource."""
    found: Counter[tuple[str, str]] = Counter()
    with ClusterInfo.from_environment().audit_log.open(encoding="utf-8") as lines:
        for line in lines:
            if namespace not in line:
                continue
            entry = json.loads(line)
            reference = entry.get("objectRef") or {}
            counts = entry["stage"] == ("ResponseStarted" if entry["verb"] == "watch" else "ResponseComplete")
            if counts and reference.get("namespace") == namespace and entry["user"]["username"] == OPERATOR:
                resource = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
                refused = entry["verb"] in WRITING and entry["responseStatus"]["code"] >= 400
                found["refused" if refused else entry["verb"], resource] += 1
    return found


def told_by_the_route_alone(history: History) -> int:
    """Return how many statuses say what the routes give, and nothing besides but how far Events are."""
    statuses = [
        {name: value for name, value in seen.object.get("status", {}).items() if name not in {"carried", "outbox"}}
        for seen in history.versions("Release", NAME)
    ]
    carried = [seen.object.get("status", {}).get("carried") for seen in history.versions("Release", NAME)]
    pairs = zip(pairwise(statuses), pairwise(carried), strict=True)
    return sum(before == after and given != gives for (before, after), (given, gives) in pairs)


async def test_adoption_costs_few_requests_and_idleness_none(scene: Scene) -> None:
    """Given a Deployment that serves, to take it on costs a handful of requests; from then on, half a minute costs one at most."""
    await scene.policy()
    await scene.deployment()
    await scene.service()
    await scene.start()
    before = asked(scene.namespace)

    await scene.release(route=False)
    await scene.idle()
    await asyncio.sleep(3)
    adopted = asked(scene.namespace) - before
    await asyncio.sleep(30)
    idle = asked(scene.namespace) - before - adopted

    print("to adopt:", dict(adopted), "and in 30 s of idleness:", dict(idle))
    assert adopted.total() <= 8
    # That its Events are written is noted once, with the heartbeat of the first minute (ADR 0060).
    noted = {("patch", "releases/status"): 1}
    assert {what: count for what, count in idle.items() if what[0] not in READING_EVERYTHING} in ({}, noted)
    assert idle.total() <= 2


async def test_rollout_costs_a_known_number_of_requests(scene: Scene) -> None:
    """Given two versions, a rollout of three steps without a route costs a known number of writes."""
    await scene.policy(steps=[{"weight": 10}, {"weight": 50}, {"weight": 100}])
    await scene.deployment()
    await scene.release()
    await scene.start()
    await scene.idle()
    before = asked(scene.namespace)

    await scene.set_image("checkout:v2")
    await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2" and not status.get("rollout"))
    await scene.idle()
    used = asked(scene.namespace) - before

    print("for a rollout:", dict(used))
    writes = sum(count for (verb, _), count in used.items() if verb in {"patch", "create", "delete", "update"})
    assert writes <= 45, used


async def test_rollout_through_a_route_and_its_rollback_cost_what_the_documents_say(scene: Scene) -> None:
    """Given a route, a rollout to 20% and its rollback cost the requests that docs/performance.md names, and none besides."""
    await scene.policy(steps=[{"weight": 20, "hold": "1h"}, {"weight": 100}], gates=[GATE], drain="2s")
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(route=True)
    prometheus = Prometheus()
    await prometheus.start()
    try:
        async with router_of(scene), History(scene.admin, scene.namespace, resources=(RELEASES,)) as history:
            await scene.start(connections=[{"name": "default", "address": prometheus.address}])
            await scene.idle()
            before = asked(scene.namespace)
            await scene.set_image("checkout:v2")
            held = await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
            assert {"Pass"} == {gate["verdict"] for gate in held["gates"]}, "what gates say comes with the hold"
            prometheus.canary = 0.5
            await scene.until(lambda status: (status.get("lastRollout") or {}).get("outcome") == "RolledBack")
            events = await scene.events("RolloutStarted", "GateBreached", "RolledBack")
            await asyncio.sleep(3)
            used = asked(scene.namespace) - before
            late = told_by_the_route_alone(history)
    finally:
        await prometheus.stop()

    print("for a rollout to 20% and its rollback:", dict(used))
    assert {NAME: 1} == await scene.weights()
    assert {"Adopted": 1, "RolloutStarted": 1, "GateBreached": 1, "RolledBack": 1} == events
    # What a gateway says after the verdict is stored has a status of its own; the last patch is refused where it writes meanwhile.
    assert late <= 1
    assert used["refused", "httproutes"] <= 1
    assert {
        ("patch", "releases/status"): 5 + late,
        ("patch", "httproutes"): 7,
        ("create", "events"): 3,
        ("create", "services"): 2,
        ("create", "replicasets"): 1,
        ("patch", "replicasets"): 1,
        ("create", "releaserecords"): 1,
    } == {what: count for what, count in used.items() if what[0] in WRITING}
