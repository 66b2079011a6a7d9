"""A hotfix by commands of people: one lets it go past a shut window, another one reviews it, and each reads what became of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api.cluster_access import eventually, needs_api
from api.deciders import CREATE, GROUP, READ
from api.operator_access import NAME, Scene
from api.people import of_role, rights
from api.test_operator_decisions import outcome, scene, tidegate
from tidegate.cluster.resources import RELEASE_DECISIONS, RELEASES
from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.controlplane import person_token

__all__ = ["scene"]

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-decisions")]

SHUT = {"timeZone": "UTC", "deny": [{"cron": "0 0 * * *", "for": "24h", "reason": "never"}]}
URGENT = {"windows": SHUT, "hotfix": {"skip": ["Window"], "review": "24h"}}
STEPS = {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}], "bake": "0s", "drain": "0s"}
LOOK = rights(GROUP, "releases", "get")


def account(who: str, scene: Scene, folder: Path) -> Path:
    """Give somebody the rights to override and to attest as architect; return their kubeconfig."""
    decides = rights(GROUP, "releases", "override"), rights(GROUP, "releases/architect", "attest")
    person = of_role(who, scene.namespace, CREATE, READ, LOOK, *decides)
    eventually(lambda: person.may("override", f"releases.tidegate.dev/{NAME}"), wanted=bool, timeout=60)
    file = folder / f"{who}.kubeconfig"
    scene.proxy.kubeconfig(person_token(ClusterInfo.from_environment().token, who), file)
    return file


async def test_hotfix_by_commands(scene: Scene, tmp_path: Path) -> None:
    """Given a shut window, nothing but a hotfix can be overridden; who has overridden is no reviewer, and another one is."""
    await scene.policy(**STEPS, **URGENT)
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: [one["barrier"] for one in status.get("waitingFor") or ()] == ["Window"])
    manager = await asyncio.to_thread(account, "release-manager", scene, tmp_path)
    reviewer = await asyncio.to_thread(account, "qa", scene, tmp_path)

    early = await tidegate(manager, scene, "override", NAME, "--reason", "checkout is down")
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), {"spec": {"type": "hotfix"}}, manager="person")
    overridden = await tidegate(manager, scene, "override", NAME, "--reason", "checkout is down", "--wait", "--timeout", "1m")
    status = await scene.status()
    own = await tidegate(manager, scene, "attest", NAME, "--role", "architect", "--result", "passed", "--wait")
    other = await tidegate(reviewer, scene, "attest", NAME, "--role", "architect", "--result", "passed", "--wait")
    found = (await scene.admin.list(RELEASE_DECISIONS.path(scene.namespace))).items

    assert 2 == early.returncode
    assert "v2 is not declared a hotfix, and only hotfixes can be overridden" in early.stderr
    assert 0 == overridden.returncode, overridden.stderr
    assert "overridden v2" in overridden.stdout
    assert ("release-manager", "checkout is down") == (status["rollout"]["hotfix"]["by"], status["rollout"]["hotfix"]["reason"])
    assert ["v2"] == [one["version"] for one in status["reviews"]]
    assert (1, True) == (own.returncode, "release-manager has overridden it: somebody else has to review it" in own.stderr)
    assert 0 == other.returncode, other.stderr
    assert "Counted: the review of hotfix v2: Passed" in other.stdout
    assert not (await scene.status()).get("reviews")
    told = [await outcome(scene, one["metadata"]["name"]) for one in found]
    assert ["Counted", "Counted", "Refused"] == sorted(one["outcome"] for one in told)
