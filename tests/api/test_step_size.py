"""Pods of a step on a real API server: a policy is no way to more pods than the Deployment has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import Scene, install, scene_in
from tidegate.cluster.resources import REPLICA_SETS

pytestmark = needs_api
GREEDY = [{"weight": 1, "replicas": 60, "hold": "5m"}, {"weight": 100}]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def sizes(scene: Scene) -> list[int]:
    """Return the sizes of the ReplicaSets that there are, the smallest first."""
    found = (await scene.admin.list(REPLICA_SETS.path(scene.namespace))).items
    return sorted(one["spec"]["replicas"] for one in found)


@pytest.mark.parametrize(("allowed", "expected"), [(0, 2), (5, 5)])
async def test_step_of_60_pods_on_a_deployment_of_2(scene: Scene, allowed: int, expected: int) -> None:
    """A Deployment of 2 under a policy that asks for 60 pods: as many as the Deployment has or the operator allows, and said."""
    await scene.policy(steps=GREEDY)
    await scene.deployment()
    await scene.release()
    await scene.start(stepReplicasLimit=allowed)
    await scene.idle()
    await scene.set_image("checkout:v2")
    told = await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)

    assert [2, expected] == await sizes(scene)
    assert (
        f"limited to {expected} of the 60 pods that the step wants (the Deployment has 2, and the operator's stepReplicasLimit is "
        f"{allowed})"
    ) in told["message"]
