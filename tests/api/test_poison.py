"""A Release over which the operator dies does not keep the others from being worked on by the next process."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cluster_access import apply, needs_api
from api.manifests import kustomize
from api.operator_access import NAME, PATIENCE, Scene, install, scene_in
from operator_process import Operator
from tidegate.cluster.resources import DEPLOYMENTS, LEASES, RELEASES, ROLLOUT_POLICIES

pytestmark = needs_api
POISON = "poison"
ELECTION = {"leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"}
MOST_LIVES = 5
GATE = {
    "name": "errors",
    "metric": {"promql": {"canary": "vector(0)", "unit": "Ratio"}},
    "threshold": {"max": 0.5},
    "interval": "1s",
    "window": "10s",
}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def poison(scene: Scene) -> None:
    """Create the Release that kills, with a Deployment and a policy of its own, as the good one has them."""
    labels = {"app": POISON}
    spec = (await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME)))["spec"]
    template = {**spec["template"], "metadata": {"labels": labels}}
    own = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await scene.create(DEPLOYMENTS, POISON, spec=own)
    steps = [{"weight": 50, "hold": "1h"}, {"weight": 100}]
    await scene.create(ROLLOUT_POLICIES, POISON, spec={"steps": steps, "bake": "1s", "gates": [GATE]})
    await scene.create(RELEASES, POISON, spec={"targetRef": {"name": POISON}, "policyRef": {"name": POISON}})


async def set_image(scene: Scene, name: str, image: str) -> None:
    """Change a template as its author would."""
    operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    await scene.admin.json_patch(DEPLOYMENTS.path(scene.namespace, name), operations, manager="author")


async def status_of(scene: Scene, name: str) -> dict[str, Any]:
    """Return the status of a Release."""
    status: dict[str, Any] = (await scene.admin.get(RELEASES.path(scene.namespace, name))).get("status") or {}
    return status


async def rolled_out(scene: Scene) -> bool:
    """Whether the new version of the other Release has been promoted."""
    return ((await status_of(scene, NAME)).get("lastRollout") or {}).get("outcome") == "Promoted"


async def live(scene: Scene, where: str, folder: Path, **config: Any) -> Operator:
    """Start an operator that dies over the poisonous Release."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    return await scene.start(
        ready=False,
        program=(sys.executable, "-P", str(Path(__file__).with_name("poisoned_operator.py"))),
        environment={"TIDEGATE_TEST_POISON": f"{where}:{POISON}"},
        stateDirectory=str(folder),
        connections=[{"name": "default", "address": "http://127.0.0.1:1"}],
        **config,
    )


def deaths(operator: Operator) -> list[int]:
    """Return with how many deaths an operator has put the poisonous Release off."""
    lines = [line for line in operator.lines() if "which is looked at last" in line.get("event", "")]
    assert all(line["release"] == POISON for line in lines), lines
    return [line["deaths"] for line in lines]


async def both(scene: Scene) -> None:
    """Let a sound operator take both Releases over, and begin to roll both out when it has gone."""
    await scene.policy()
    await scene.deployment(replicas=1)
    await scene.release()
    await poison(scene)
    sound = await scene.start()
    deadline = time.monotonic() + PATIENCE
    while not all([(await status_of(scene, name)).get("phase") == "Idle" for name in (NAME, POISON)]):
        assert time.monotonic() < deadline, sound.tail()
        await asyncio.sleep(0.1)
    await sound.end()
    for name in (NAME, POISON):
        await set_image(scene, name, "checkout:v2")


@pytest.mark.parametrize("where", ["pass", "look"])
async def test_poisonous_release_does_not_keep_others_from_being_worked_on(scene: Scene, tmp_path: Path, where: str) -> None:
    """Given a Release whose pass, or whose look, kills the process, it is put off by the next ones, and the other is rolled out."""
    await both(scene)
    first = await live(scene, where, tmp_path / "state")
    assert -signal.SIGKILL == await first.ended(within=PATIENCE)

    told = []
    for _ in range(MOST_LIVES):
        operator = await live(scene, where, tmp_path / "state")
        deadline = time.monotonic() + PATIENCE
        while operator.running and not await rolled_out(scene):
            assert time.monotonic() < deadline, operator.tail()
            await asyncio.sleep(0.1)
        told += deaths(operator)
        if operator.running:
            break

    assert operator.running
    assert await rolled_out(scene)
    assert list(range(1, len(told) + 1)) == told
    assert len(told) <= 3


async def test_lease_tells_another_replica_of_the_poisonous_release(scene: Scene, tmp_path: Path) -> None:
    """Given a leader that knows over what it died, another pod that takes over puts that Release off without a file of its own."""
    wanted = [found for (kind, _), found in kustomize(".").items() if kind in {"Role", "RoleBinding"}]
    for found in wanted:
        found["metadata"]["namespace"] = scene.namespace
    await asyncio.to_thread(apply, yaml.safe_dump_all(wanted))
    election = {"leaderElection": ELECTION | {"namespace": scene.namespace}}
    await both(scene)
    for _ in range(2):
        operator = await live(scene, "pass", tmp_path / "state", **election)
        assert -signal.SIGKILL == await operator.ended(within=PATIENCE)

    elsewhere = await live(scene, "pass", tmp_path / "another-pod", **election)
    await elsewhere.told("a process has died over a Release, which is looked at last")

    assert [1] == deaths(elsewhere)
    lease = await scene.admin.get(LEASES.path(scene.namespace, "tidegate"))
    assert f'{{"{scene.namespace}/{POISON}": 1}}' == lease["metadata"]["annotations"]["kept.tidegate.dev/suspects"]
