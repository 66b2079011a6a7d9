"""Three services of one group in a real cluster: they move together, end together, and come back together."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from api.cluster_access import needs_api, run
from api.operator_access import Json, Scene, install, scene_in
from tidegate.cluster.resources import DEPLOYMENTS, RELEASES

pytestmark = needs_api
NAMES = ("api", "orders", "workers")
STEPS = {"steps": [{"weight": 25, "hold": "2s"}, {"weight": 50, "hold": "2s"}, {"weight": 100}], "bake": "1s", "drain": "0s"}
PATIENCE = 90.0


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def open_shop(scene: Scene) -> None:
    """Have v1 of all three serve."""
    await scene.policy(**STEPS)
    for name in NAMES:
        labels = {"app": name}
        pod = {
            "containers": [{"name": "app", "image": f"{name}:v1"}],
            "nodeSelector": {"type": "kwok"},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 1,
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        await scene.create(DEPLOYMENTS, name, spec={"replicas": 2, "selector": {"matchLabels": labels}, "template": template})
        spec = {"targetRef": {"name": name}, "policyRef": {"name": "production"}, "group": {"name": "shop", "gather": "5m"}}
        await scene.create(RELEASES, name, spec=spec)
    await scene.start()
    await until(scene, lambda one: one.get("phase") == "Idle")


async def deploy(scene: Scene, version: str, *names: str) -> None:
    """Change images one after the other, as a tool does that syncs."""
    for name in names:
        operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"{name}:{version}"}]
        await scene.admin.json_patch(DEPLOYMENTS.path(scene.namespace, name), operations, manager="author")


async def until(scene: Scene, holds: Callable[[Json], bool]) -> dict[str, Json]:
    """Wait until the statuses of all are as wanted, and return them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = {one["metadata"]["name"]: one for one in (await scene.admin.list(RELEASES.path(scene.namespace))).items}
        statuses = {name: one.get("status") or {} for name, one in found.items()}
        if all(holds(status) for status in statuses.values()):
            return statuses
        assert time.monotonic() < deadline, json.dumps({name: one.get("message") for name, one in statuses.items()})
        await asyncio.sleep(0.1)


def serves(version: str) -> Callable[[Json], bool]:
    return lambda status: not status.get("rollout") and (status.get("stable") or {}).get("version") == version


async def test_they_move_end_and_come_back_together(scene: Scene) -> None:
    """Given three that gather for minutes, all start once all are new, a rollback of one takes all back, and its v3 brings all."""
    await open_shop(scene)
    await deploy(scene, "v2", *NAMES)
    on = await until(scene, lambda status: len((status.get("rollout") or {}).get("movesWith") or ()) == 2)
    assert {"orders", "workers"} == {mate["release"] for mate in on["api"]["rollout"]["movesWith"]}

    asked = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, "orders"), asked, manager="person")
    back = await until(scene, lambda status: serves("v1")(status) and status.get("phase") == "RolledBack")
    assert {"api": "GroupRolledBack", "orders": "Requested", "workers": "GroupRolledBack"} == {
        name: status["lastRollout"]["cause"] for name, status in back.items()
    }
    assert "orders v2 was rolled back: rollback was requested" in back["api"]["message"]
    assert "orders" == back["workers"]["rejected"][0]["member"]
    verified = await asyncio.to_thread(verify, scene)
    assert [("api", "healthy"), ("orders", "healthy"), ("workers", "healthy")] == verified

    await deploy(scene, "v3", "orders")
    await until(scene, lambda status: serves("v2")(status) or serves("v3")(status))
    found = (await scene.admin.list(RELEASES.path(scene.namespace))).items
    assert {"api": "v2", "orders": "v3", "workers": "v2"} == {
        one["metadata"]["name"]: one["status"]["stable"]["version"] for one in found
    }


def verify(scene: Scene) -> list[tuple[str, str]]:
    """Type the command; return names and verdicts."""
    program = (sys.executable, "-c", "from tidegate.cli.main import app; app()")
    where = ("--namespace", scene.namespace, "--kubeconfig", os.environ["KUBECONFIG"])
    done = run(*program, "verify", "--group", "shop", "--version", "v1", "-o", "json", *where)
    assert 0 == done.returncode, done.stderr
    return [(one["release"], one["verdict"]) for one in json.loads(done.stdout)]
