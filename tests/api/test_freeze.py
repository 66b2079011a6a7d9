"""ReleaseFreezes by their commands, before a real API server: what stops, what goes on, who may."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cluster_access import kubectl, needs_api
from api.operator_access import NAME, Json, Prometheus, Scene, install, router_of, scene_in
from api.test_operator_breach import at_half, until_away
from tidegate.cli.main import app
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import RELEASE_FREEZES

pytestmark = needs_api


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene, router_of(scene):
        yield scene
        for freeze in (await scene.admin.list(RELEASE_FREEZES.path())).items:
            if freeze["metadata"]["name"].startswith(scene.namespace):
                await scene.admin.delete(RELEASE_FREEZES.path(None, freeze["metadata"]["name"]))


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    prometheus = Prometheus()
    await prometheus.start()
    yield prometheus
    await prometheus.stop()


async def tidegate(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "160", "TERM": "dumb"})


async def frozen(scene: Scene, *more: str) -> str:
    """Freeze the scene's own namespace, and no other test's; return the name of the freeze."""
    name = f"{scene.namespace}-incident"
    done = await tidegate("freeze", name, "--reason", "payments are down", "--in", scene.namespace, *more)
    assert 0 == done.exit_code, done.output
    assert f"Releases in {scene.namespace} are frozen" in done.stdout
    return name


async def followed(scene: Scene) -> asyncio.subprocess.Process:
    """Run `tidegate status --watch` on the scene's Release, from its first line on."""
    arguments = ("status", NAME, "--namespace", scene.namespace, "--watch")
    program = "from tidegate.cli.main import app; app()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert f"{scene.namespace}/{NAME} Idle 0%: v1 serves" in (await process.stdout.readline()).decode()
    return process


async def stopped(process: asyncio.subprocess.Process, *, until: str) -> list[str]:
    """Read what it says until it says something, interrupt it as a person does, and return its lines."""
    assert process.stdout is not None
    lines = []
    async with asyncio.timeout(60):
        async for line in process.stdout:
            lines.append(line.decode())
            if until in lines[-1]:
                break
    process.send_signal(signal.SIGINT)
    assert await process.wait() in {0, 130}
    return lines


def barriers(status: Json) -> list[str]:
    return [entry["barrier"] for entry in status.get("waitingFor") or ()]


async def test_a_version_waits_for_the_thaw(scene: Scene) -> None:
    """Given a freeze, a version waits with nothing made of it; `waits` names what ends it, and once thawed it is promoted."""
    await scene.policy()
    await scene.deployment()
    await scene.release()
    await scene.start()
    await scene.idle()
    watching = await followed(scene)
    name = await frozen(scene)

    await scene.set_image("checkout:v2")
    status = await scene.until(lambda status: status["phase"] == "Waiting")
    listed = await tidegate("waits", "--namespace", scene.namespace)
    machine = json.loads((await tidegate("waits", "--namespace", scene.namespace, "-o", "json")).stdout)
    again = await tidegate("freeze", name, "--reason", "payments are down", "--in", scene.namespace)
    other = await tidegate("freeze", name, "--reason", "a second incident")

    thaw = f"kubectl tidegate thaw {name}"
    assert ["Freeze"] == barriers(status)
    assert (
        f"v2 waits for ReleaseFreeze {name}: payments are down; until somebody ends it: {thaw}; v1 serves meanwhile"
        == status["message"]
    )
    assert 1 == len(kubectl("get", "replicasets", "--namespace", scene.namespace, "-o", "name").split())
    assert f"{scene.namespace}/{NAME}: v2 waits at 0%" in listed.stdout
    assert f": ReleaseFreeze {name}: payments are down\n    {thaw}\n" in listed.stdout
    assert [("v2", [thaw])] == [(one["version"], [entry["how"] for entry in one["waitingFor"]]) for one in machine]
    assert (0, 2) == (again.exit_code, other.exit_code)
    assert f"there is another ReleaseFreeze {name} already: payments are down" in other.stderr
    assert {"Waiting": 1} == {reason: count for reason, count in (await scene.events("Waiting")).items() if reason == "Waiting"}

    assert 0 == (await tidegate("thaw", name)).exit_code
    await scene.until(lambda status: status["phase"] == "Idle" and status["stable"]["version"] == "v2")
    lines = await stopped(watching, until=f"{scene.namespace}/{NAME} Idle 0%: v2 serves")
    assert any(f" {scene.namespace}/{NAME} Waiting 0%: v2 waits for ReleaseFreeze {name}" in line for line in lines)
    (row,) = json.loads((await tidegate("status", NAME, "--namespace", scene.namespace, "-o", "json")).stdout)
    assert ("v2", None, "Idle", "True", []) == tuple(row[key] for key in ("version", "candidate", "phase", "ready", "waitingFor"))
    assert "nothing waits" in (await tidegate("waits", "--namespace", scene.namespace)).stderr


async def test_a_breach_during_a_freeze_takes_the_traffic_away(scene: Scene, prometheus: Prometheus) -> None:
    """Given a version at half of the traffic and a freeze, when it turns bad, its traffic is gone as soon as ever."""
    await at_half(scene, prometheus)
    await frozen(scene)

    prometheus.canary = 0.5
    seconds = await until_away(scene)

    print(f"{seconds:.2f} s from the first bad answer to weight 0, with looks each second, during a freeze")
    status = await scene.until(lambda status: status["phase"] == "RolledBack")
    assert "GateBreached" == status["lastRollout"]["cause"]


async def test_a_freeze_of_another_namespace_or_environment_stops_nothing(scene: Scene) -> None:
    """By the labels that namespaces have in the cluster, and the environment in the Release."""
    await scene.policy()
    await scene.deployment()
    await scene.release(environment="staging")
    await scene.start()
    await scene.idle()
    await tidegate("freeze", f"{scene.namespace}-elsewhere", "--reason", "why", "--in", "kube-system")
    await tidegate("freeze", f"{scene.namespace}-production", "--reason", "why", "--in", scene.namespace, "-e", "production")

    await scene.set_image("checkout:v2")

    await scene.until(lambda status: status["phase"] == "Idle" and status["stable"]["version"] == "v2")
    assert "Waiting" not in await scene.events("Promoted")


async def test_who_may_not_is_told_which_right_is_missing(scene: Scene, tmp_path: Path) -> None:
    """A person without rights in the cluster freezes nothing, and reads why; what is misspelt is told before anything is asked."""
    kubectl("create", "serviceaccount", "author", "--namespace", scene.namespace)
    token = kubectl("create", "token", "author", "--namespace", scene.namespace).strip()
    kubeconfig = str(scene.proxy.kubeconfig(token, tmp_path / "author"))

    refused = await tidegate("freeze", f"{scene.namespace}-mine", "--reason", "why", "--kubeconfig", kubeconfig)
    both = await tidegate("freeze", "mine", "--reason", "why", "--for", "2h", "--until", "2026-12-24T00:00:00Z")
    when = await tidegate("freeze", "mine", "--reason", "why", "--until", "tomorrow")

    assert (2, 2, 2) == (refused.exit_code, both.exit_code, when.exit_code)
    assert "cannot create resource" in refused.stderr
    assert "give --for or --until, not both" in both.stderr
    assert "--until: must be a time as in RFC 3339" in when.stderr
    with pytest.raises(NotFound):
        await scene.admin.get(RELEASE_FREEZES.path(None, f"{scene.namespace}-mine"))
