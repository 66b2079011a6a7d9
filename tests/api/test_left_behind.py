"""Labels that say what is not so, before a real API server: of another Release, or of one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, Scene, install, scene_in
from tidegate.api.names import LABEL_RELEASE
from tidegate.cluster.resources import DEPLOYMENTS, RELEASES

pytestmark = needs_api


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
