"""The lines of docs/governance.md that take the place of scripts, typed as they stand there by those who would type them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.cluster_access import ROOT, eventually, needs_api
from api.deciders import CREATE, GROUP, QA, READ
from api.operator_access import Scene
from api.people import Json, of_role, rights
from api.test_operator_decisions import ASKS, scene
from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.controlplane import person_token
from tidegate_sandbox.demo.stage import write_kubeconfig

__all__ = ["scene"]

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-decisions")]

CHAPTER = "## In place of scripts"
LOOK = rights(GROUP, "releases", "get", "list", "watch")
CHANGE = rights("apps", "deployments", "get", "patch")
ROLL_BACK = rights(GROUP, "releases", "rollback")


def lines() -> tuple[str, str, str]:
    """Return the three lines of the page."""
    chapter = (ROOT / "docs" / "governance.md").read_text(encoding="utf-8").partition(CHAPTER)[2]
    first, second, third = (block.strip() for block in chapter.split("```")[1::2])
    return first, second, third


async def typed(line: str, scene: Scene, kubeconfig: Path) -> subprocess.CompletedProcess[str]:
    """Have a shell run a line, in the namespace of the test."""
    plugins = os.pathsep.join([str(Path(sys.executable).parent), str(kubeconfig.parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": plugins, "KUBECONFIG": str(kubeconfig)}
    command = ("bash", "-c", line.replace("-n shop", f"-n {scene.namespace}"))
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=150, check=False
    )


def account(who: str, scene: Scene, folder: Path, *more: Json) -> Path:
    """Give somebody their rights; return their kubeconfig."""
    person = of_role(who, scene.namespace, CREATE, READ, LOOK, *more)
    eventually(lambda: person.may("list", "releases.tidegate.dev"), wanted=bool, timeout=60)
    eventually(lambda: person.may("list", "releasedecisions.tidegate.dev"), wanted=bool, timeout=60)
    file = folder / f"{who}.kubeconfig"
    cluster = ClusterInfo.from_environment()
    write_kubeconfig(cluster, file, user=who, token=person_token(cluster.token, who))
    return file


async def test_request_approve_and_roll_back(scene: Scene, tmp_path: Path) -> None:
    """Given a policy that asks qa: who deploys reads who is asked, qa approves, and whoever rolls back sees what serves."""
    plugin = tmp_path / "kubectl-tidegate"
    plugin.write_text(f"#!{sys.executable}\nfrom tidegate.cli.main import app\napp()\n")
    plugin.chmod(0o755)
    await scene.policy(**ASKS)
    await scene.deployment("registry.example/checkout:v1")
    await scene.start()
    await scene.release()
    await scene.idle()
    developer = await asyncio.to_thread(account, "developer", scene, tmp_path, CHANGE)
    qa = await asyncio.to_thread(account, "qa", scene, tmp_path, QA)
    manager = await asyncio.to_thread(account, "release-manager", scene, tmp_path, ROLL_BACK)
    request, approve, roll_back = lines()

    requested = await typed(request, scene, developer)
    assert 0 == requested.returncode, requested.stdout + requested.stderr
    assert f"kubectl tidegate approve checkout -n {scene.namespace} --role qa" in requested.stdout

    refused = await typed(approve, scene, developer)
    assert (2, True) == (refused.returncode, "developer may not approve Release checkout as qa" in refused.stderr), refused.stderr
    approved = await typed(approve, scene, qa)
    assert 0 == approved.returncode, approved.stdout + approved.stderr
    assert "approved v2" in approved.stdout
    await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)

    rolled_back = await typed(roll_back, scene, manager)
    assert 0 == rolled_back.returncode, rolled_back.stdout + rolled_back.stderr
    table = [line.split() for line in rolled_back.stdout.splitlines()]
    assert ["RELEASE", "SERVES", "READY", "OF", "PHASE"] in table
    assert ["checkout", "v1", "2", "2", "RolledBack"] in table
