"""Labels that say what is not so, before a real API server: of another Release, or of one that is gone."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, Scene, install, router_of, scene_in
from operator_process import Operator
from tidegate.api.names import LABEL_RELEASE
from tidegate.cluster.resources import DEPLOYMENTS, HTTP_ROUTES, RELEASES, REPLICA_SETS, SERVICES

pytestmark = needs_api
PATIENCE = 120.0
"""Seconds: the operator looks every 20, and acts on what it has seen twice."""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def test_label_of_an_unrelated_release_stops_nobody(scene: Scene) -> None:
    """Given a Deployment that somebody has labelled for a Release of another one, its own Release takes it on and rolls out."""
    await scene.policy()
    await scene.create(RELEASES, "ledger", spec={"targetRef": {"name": "ledger"}, "policyRef": {"name": "production"}})
    await scene.deployment()
    path = DEPLOYMENTS.path(scene.namespace, NAME)
    await scene.admin.merge_patch(path, {"metadata": {"labels": {LABEL_RELEASE: "ledger"}}}, manager="somebody")
    await scene.release()
    await scene.start()

    await scene.idle()
    await scene.set_image("checkout:v2")
    status = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")

    assert "Promoted" == status["lastRollout"]["outcome"]
    assert NAME == (await scene.admin.get(path))["metadata"]["labels"][LABEL_RELEASE]


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not await look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)


async def names_of(scene: Scene, *, services: bool) -> set[str]:
    """Return the names of what carries the Release's label."""
    resource = SERVICES if services else REPLICA_SETS
    found = (await scene.admin.list(resource.path(scene.namespace), label_selector=f"{LABEL_RELEASE}={NAME}")).items
    return {one["metadata"]["name"] for one in found}


async def told(operator: Operator) -> bool:
    """Whether the operator's log says that something was left behind."""
    return any(line["event"] == "a Release has left behind what still serves" for line in operator.lines())


async def freed(scene: Scene) -> bool:
    """Whether the Deployment is no Release's any more."""
    deployment = await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME))
    return LABEL_RELEASE not in (deployment["metadata"].get("labels") or {})


async def test_release_that_is_torn_out_amid_a_rollout_leaves_nothing_for_ever(scene: Scene) -> None:
    """Given a Release whose finalizer was taken off at 50%, what its route names serves on; put back, all is collected."""
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(route=True)
    async with router_of(scene):
        await scene.start()
        await scene.idle()
        await scene.set_image("checkout:v2")
        await scene.until(lambda status: status.get("weight") == 50 and bool((status.get("step") or {}).get("since")))
    await scene.operator.end(signal.SIGKILL)
    path = RELEASES.path(scene.namespace, NAME)
    await scene.admin.delete(path)
    await scene.admin.merge_patch(path, {"metadata": {"finalizers": None}})
    own, sets = await names_of(scene, services=True), await names_of(scene, services=False)

    operator = await scene.start()
    await eventually(lambda: told(operator))
    meanwhile = await names_of(scene, services=True), await names_of(scene, services=False)
    rules = [{"backendRefs": [{"name": NAME, "port": 80}]}]
    await scene.admin.merge_patch(HTTP_ROUTES.path(scene.namespace, NAME), {"spec": {"rules": rules}}, manager="somebody")
    await eventually(lambda: freed(scene))

    assert ({f"{NAME}-stable", f"{NAME}-canary"}, 1) == (own, len(sets))
    assert (own, sets) == meanwhile
    assert (set(), set()) == (await names_of(scene, services=True), await names_of(scene, services=False))
    deployment = await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME))
    assert deployment["spec"]["paused"] is True
    assert 2 == deployment["status"]["availableReplicas"]
