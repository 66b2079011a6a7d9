"""One service in two environments: production comes after staging, with a real operator that serves both namespaces."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, Json, Scene, install, scene_in
from tidegate.api.base import parse_time
from tidegate.cluster.resources import DEPLOYMENTS, NAMESPACES, RELEASES, ROLLOUT_POLICIES

pytestmark = needs_api
SOAK = timedelta(seconds=4)


@dataclass
class Environments:
    """Two namespaces: what staging proves, production waits for."""

    staging: Scene
    production: Scene

    async def deploy(self, version: str) -> None:
        """Change the image in both, as one who deploys everywhere at once."""
        for scene in (self.staging, self.production):
            await scene.set_image(f"{NAME}:{version}")

    async def slowly(self) -> None:
        """Have rollouts in production stay at their first step."""
        path = ROLLOUT_POLICIES.path(self.production.namespace, "production")
        steps = [{"weight": 50, "hold": "1h"}, {"weight": 100}]
        await self.production.admin.merge_patch(path, {"spec": {"steps": steps}}, manager="kubectl")

    async def ask(self, request: str) -> None:
        """Annotate production's Release."""
        change = {"metadata": {"annotations": {"tidegate.dev/request": request}}}
        await self.production.admin.merge_patch(RELEASES.path(self.production.namespace, NAME), change, manager="kubectl")


async def image(scene: Scene) -> str:
    """Return the image of the Deployment's template."""
    deployment = await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME))
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


@asynccontextmanager
async def second(scene: Scene) -> AsyncIterator[Scene]:
    """Open another namespace beside a scene's, which the same operator is to serve."""
    name = f"tidegate-staging-{uuid.uuid4().hex[:8]}"
    await scene.admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    other = Scene(scene.admin, scene.proxy, name, scene.folder)
    try:
        yield other
    finally:
        await other.leave()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Environments]:
    """v1 serves in both, and the Releases have taken it on."""
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as production, second(production) as staging:
        shop = Environments(staging, production)
        for scene in (staging, production):
            await scene.policy()
            await scene.deployment()
        await staging.release()
        await production.release(after=[{"release": NAME, "namespace": staging.namespace, "soak": f"{SOAK.seconds}s"}])
        await start(shop)
        for scene in (staging, production):
            await scene.until(lambda status: (status.get("stable") or {}).get("version") == "v1")
            await scene.idle()
        yield shop
        await production.operator.end(signal.SIGKILL)


async def start(shop: Environments) -> None:
    """Start an operator that serves both."""
    await shop.production.start(namespaces=(shop.staging.namespace, shop.production.namespace))


def waits(status: Json, words: str) -> bool:
    """Whether a Release waits for its upstream, and says so with these words."""
    barriers = [entry["barrier"] for entry in status.get("waitingFor", ())]
    return status.get("phase") == "Waiting" and barriers == ["Upstream"] and words in status["message"]


def serves(version: str, status: Json) -> bool:
    """Whether a version is in force, and nothing is rolled out."""
    return (status.get("stable") or {}).get("version") == version and not status.get("rollout")


def moment(status: Json, *path: str) -> datetime:
    """Return a time that stands in a status."""
    found: Json = status
    for name in path:
        found = found[name]
    return parse_time(found)


async def test_production_begins_when_staging_has_proved_it(shop: Environments) -> None:
    """Deployed to both at once, a version starts in production after its promotion in staging and the soak, across a restart."""
    where = f"{NAME} in {shop.staging.namespace}"
    await shop.deploy("v2")

    early = await shop.production.until(
        lambda status: waits(status, f"v2 waits for {where} to have run v2 for 4s: v1 serves there")
    )
    assert early["stable"]["version"] == "v1"
    proved = await shop.staging.until(lambda status: serves("v2", status))
    told = await shop.production.until(lambda status: waits(status, "so until"))
    assert moment(told["waitingFor"][0], "until") == moment(proved, "stable", "promotedAt") + SOAK
    await shop.production.operator.end(signal.SIGKILL)
    await start(shop)
    ended = await shop.production.until(lambda status: serves("v2", status))

    began = moment(ended, "lastRollout", "startedAt")
    assert timedelta(0) <= began - (moment(proved, "stable", "promotedAt") + SOAK) < timedelta(seconds=30)
    assert {"Waiting": 1} == {reason: n for reason, n in (await shop.production.events("Waiting")).items() if reason == "Waiting"}


async def test_who_reverts_waits_for_nobody(shop: Environments) -> None:
    """v2 is in force everywhere, and production's commit is reverted: v1 has served there, and is rolled out at once."""
    await shop.deploy("v2")
    await shop.production.until(lambda status: serves("v2", status))

    await shop.production.set_image(f"{NAME}:v1")

    ended = await shop.production.until(lambda status: serves("v1", status))
    assert (await shop.staging.status())["stable"]["version"] == "v2"
    assert "waitingFor" not in ended or not ended["waitingFor"]


async def test_a_staging_that_is_deleted_is_said_at_once(shop: Environments) -> None:
    """What waits for it says so without being touched, and nothing of the other's texts stands here."""
    await shop.production.set_image(f"{NAME}:v2")
    await shop.production.until(lambda status: waits(status, "v1 serves there"))

    await shop.staging.admin.delete(RELEASES.path(shop.staging.namespace, NAME))

    status = await shop.production.until(
        lambda status: waits(status, "there is no such Release: it was deleted, or was never there")
    )
    assert "promote" not in json.dumps(status["waitingFor"])


async def test_production_follows_staging(shop: Environments) -> None:
    """Deployed to staging alone, a version is taken over once it has soaked; its spec stays as its author wrote it."""
    written = {
        "targetRef": {"kind": "Deployment", "name": NAME},
        "policyRef": {"kind": "RolloutPolicy", "name": "production"},
        "after": [{"release": NAME, "namespace": shop.staging.namespace, "soak": f"{SOAK.seconds}s", "match": "Images"}],
        "follow": {"release": NAME, "namespace": shop.staging.namespace},
    }
    path = RELEASES.path(shop.production.namespace, NAME)
    await shop.production.admin.merge_patch(path, {"spec": written}, manager="kubectl")
    await shop.staging.set_image(f"{NAME}:v2")

    proved = await shop.staging.until(lambda status: serves("v2", status))
    told = await shop.production.until(lambda status: "v2 is not proved" in status.get("message", ""))
    assert ["Follow"] == [entry["barrier"] for entry in told["waitingFor"]]
    ended = await shop.production.until(lambda status: serves("v2", status))

    assert ended["followed"]["images"] == {"app": f"{NAME}:v2"}
    assert moment(ended, "followed", "at") >= moment(proved, "stable", "promotedAt") + SOAK
    release = await shop.production.admin.get(path)
    assert written == release["spec"]
    assert await image(shop.production) == f"{NAME}:v2"
    assert f"follows {NAME} in {shop.staging.namespace}" in ended["message"]


async def test_a_requested_rollback_holds_following(shop: Environments) -> None:
    """A person takes back what was taken over: nothing comes after it until they resume, and then the next one does."""
    path = RELEASES.path(shop.production.namespace, NAME)
    follow = {"release": NAME, "namespace": shop.staging.namespace}
    await shop.production.admin.merge_patch(path, {"spec": {"after": None, "follow": follow}}, manager="kubectl")
    await shop.slowly()
    await shop.staging.set_image(f"{NAME}:v2")
    await shop.production.until(lambda status: (status.get("step") or {}).get("since") is not None)
    await shop.ask("rollback/1")
    await shop.production.until(lambda status: status.get("phase") == "RolledBack" and "held" in (status.get("followed") or {}))
    await shop.staging.set_image(f"{NAME}:v3")
    await shop.staging.until(lambda status: serves("v3", status))

    held = await shop.production.status()
    assert (held["followed"]["version"], "rollout" in held) == ("v2", False)
    await shop.ask("resume/2")
    taken = await shop.production.until(lambda status: (status.get("candidate") or {}).get("version") == "v3")

    assert "held" not in taken["followed"]
