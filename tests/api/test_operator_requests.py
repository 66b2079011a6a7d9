"""What the operator asks of the API server, by the API server's own account."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import Scene, install, scene_in
from tidegate_sandbox.cluster import ClusterInfo

pytestmark = needs_api
OPERATOR = "system:serviceaccount:tidegate-system:tidegate"
READING_EVERYTHING = {"list", "watch"}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def asked(namespace: str) -> Counter[tuple[str, str]]:
    """Return how often the operator asked for what in a namespace: verb and resource."""
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
                found[entry["verb"], resource] += 1
    return found


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
