"""Who can give a vote that is missing, before a real API server: by what is bound there, and as far as whoever asks may read it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.deciders import CREATE, QA
from api.operator_access import NAME, Scene
from api.people import of_role
from api.test_operator_decisions import ASKS, releaser, scene, tidegate
from tidegate.cluster.resources import RELEASES
from tidegate_sandbox.cluster import ClusterInfo

__all__ = ["scene"]

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-decisions")]


async def test_it_is_said_who_can_give_the_vote(scene: Scene, tmp_path: Path) -> None:
    """Given a version that waits for qa, nobody can give that vote until somebody is bound, and who may not look is told so."""
    await scene.policy(**ASKS)
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: status.get("phase") == "Waiting")
    admin = tmp_path / "admin.kubeconfig"
    scene.proxy.kubeconfig(ClusterInfo.from_environment().token, admin)
    viewer = await asyncio.to_thread(releaser, scene, tmp_path)

    file = tmp_path / "release.yaml"
    file.write_text(json.dumps({**(await scene.admin.get(RELEASES.path(scene.namespace, NAME))), "metadata": {"name": NAME}}))

    linted = await tidegate(admin, scene, "lint", str(file), "--server")
    before = await tidegate(admin, scene, "waits")
    await asyncio.to_thread(of_role, "ann", scene.namespace, CREATE, QA)
    after = await tidegate(admin, scene, "waits", NAME, "--output", "json")
    blind = await tidegate(viewer, scene, "waits")
    sound = await tidegate(admin, scene, "lint", str(file), "--server")

    assert [0, 0, 0] == [done.returncode for done in (before, after, blind)], before.stderr + after.stderr + blind.stderr
    nobody = f"no person has role qa: no binding in {scene.namespace} gives one the verb approve on releases/qa"
    assert f"warning: Release/{NAME}: spec.policyRef.name: RolloutPolicy/production requires it: {nobody}" in linted.stdout
    assert "requires it" not in sound.stdout
    lines = [line.strip() for line in before.stdout.splitlines()]
    assert [f"kubectl tidegate approve {NAME} -n {scene.namespace} --role qa", nobody] == lines[2:]
    assert {"qa": "ann can approve as qa"} == json.loads(after.stdout)[0]["voters"]
    kinds = "rolebindings, clusterrolebindings, roles, clusterroles"
    assert f"who can approve as qa is not known: you may not list {kinds}" in blind.stdout
