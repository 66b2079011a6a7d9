"""The HTTP API as a process, before a real API server: what a pipeline and a person do there, each with their own token."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.cluster_access import needs_api
from api.deciders import CREATE, QA
from api.operator_access import NAME, Scene
from api.people import of_role, rights
from api.test_environments import second
from api.test_operator_decisions import scene
from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.controlplane import person_token

__all__ = ["scene"]

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-decisions")]

Json = dict[str, Any]
READS = rights("tidegate.dev", "releases", "get", "list")
DEPLOYS = rights("apps", "deployments", "get", "patch")
PATIENCE = 60.0
COMMITTED = f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%S}.000Z"
"""When v2 was committed."""
MEGABYTES = 120.0
"""That the process may take."""


@dataclass
class Served:
    """The process, and how it is asked.

    Attributes:
        address: where it listens.
        log: what it has logged, line by line.
        session: of a client.
        pid: of the process.
    """

    address: str
    log: list[str]
    session: aiohttp.ClientSession
    pid: int

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        (line,) = (line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    async def ask(self, who: str | None, verb: str, path: str, *, of: str, body: Json | None = None) -> tuple[int, Json]:
        """Ask as one of the sandbox's people; return status and answer."""
        token = person_token(ClusterInfo.from_environment().token, who) if who else None
        headers = {"X-Tenant-Slug": of, **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.session.request(verb, f"{self.address}{path}", json=body, headers=headers) as response:
            return response.status, await response.json()

    async def until(self, who: str, verb: str, path: str, *, of: str, body: Json | None = None, wanted: int) -> Json:
        """Ask until it is answered so: the API server learns of rights some moments after they were given."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, found = await self.ask(who, verb, path, of=of, body=body)
                if status == wanted:
                    return found
                assert status == 403, found
                await asyncio.sleep(0.2)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """Start it with the administrator's kubeconfig, of which it must use nothing but the address."""
    program = ("-c", "from tidegate.cli.main import app; app()", "serve", "--port", "0")
    process = await asyncio.create_subprocess_exec(sys.executable, *program, stderr=asyncio.subprocess.PIPE, cwd=folder)
    assert process.stderr is not None
    log: list[str] = []
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            log.append(line.decode())
            if not address.done() and '"serving"' in log[-1]:
                address.set_result(f"http://127.0.0.1:{json.loads(log[-1])['port']}")

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({address, reading}, return_when=asyncio.FIRST_COMPLETED)
        assert address.done(), "".join(log)
        async with aiohttp.ClientSession() as session:
            yield Served(address.result(), log, session, process.pid)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert 0 == await process.wait(), "".join(log)
        await reading


async def two_environments(staging: Scene, production: Scene) -> None:
    """v2 is promoted in staging, and v1 serves in production, where qa has to approve what comes after staging."""
    for one in (staging, production):
        await one.policy(**({"approvals": [{"at": "Start", "roles": {"qa": 1}}]} if one is production else {}))
        await one.deployment()
    await staging.release(environment="staging")
    after = [{"release": NAME, "namespace": staging.namespace}]
    await production.release(environment="production", after=after)
    await production.start(namespaces=(staging.namespace, production.namespace))
    for one in (staging, production):
        await one.until(lambda status: (status.get("stable") or {}).get("version") == "v1")
        await one.idle()
    await staging.set_image(f"{NAME}:v2", committed=COMMITTED)
    await staging.until(lambda status: (status.get("stable") or {}).get("version") == "v2")


async def played(served: Served, staging: Scene, scene: Scene) -> Json:
    """Bring v2 from staging to production, as a developer, who may deploy, and as qa, who may approve; return what was answered."""
    said: Json = {}
    place = scene.namespace
    prepare = {"from_env": "staging", "to_env": "production"}
    promote = {"release_id": NAME, "role": "qa", "reason": "tried it"}

    said["nobody"] = await served.ask(None, "GET", "/api/releases/", of=place)
    said["stranger"] = await served.ask("developer", "GET", "/api/releases/", of=place)
    await asyncio.to_thread(of_role, "developer", place, READS, DEPLOYS)
    await asyncio.to_thread(of_role, "developer", staging.namespace, READS)
    await asyncio.to_thread(of_role, "qa", place, READS, CREATE, QA)
    await served.until("developer", "GET", f"/api/releases/{NAME}", of=staging.namespace, wanted=200)
    said["tried"] = await served.until(
        "developer", "POST", "/api/releases/prepare", of=place, body={**prepare, "dry_run": True}, wanted=200
    )
    said["before"] = await scene.status()
    said["prepared"] = await served.until("developer", "POST", "/api/releases/prepare", of=place, body=prepare, wanted=202)
    await scene.until(lambda status: status.get("phase") == "Waiting" and bool(status.get("waitingFor")))
    said["listed"] = await served.until("developer", "GET", "/api/releases/", of=place, wanted=200)
    said["shown"] = await served.until("developer", "GET", f"/api/releases/{NAME}", of=place, wanted=200)
    said["not_theirs"] = await served.ask("developer", "POST", "/api/releases/promote", of=place, body=promote)
    said["in_no_role"] = await served.ask("developer", "POST", "/api/releases/promote", of=place, body={"release_id": NAME})
    said["approved"] = await served.until("qa", "POST", "/api/releases/promote", of=place, body=promote, wanted=201)
    said["ended"] = await scene.until(
        lambda status: (status.get("stable") or {}).get("version") == "v2" and not status.get("rollout")
    )
    said["found"] = await served.until("qa", "GET", f"/api/releases/{NAME}", of=place, wanted=200)
    said["by_id"] = await served.until("qa", "GET", f"/api/releases/{said['found']['data']['release_id']}", of=place, wanted=200)
    said["over"] = await served.ask(
        "qa", "POST", "/api/releases/rollback", of=place, body={"release_id": said["by_id"]["data"]["release_id"]}
    )
    said["health"] = await served.until("qa", "GET", "/health", of=place, wanted=200)
    said["memory"] = served.megabytes
    return said


async def test_pipeline_prepares_and_a_person_promotes(scene: Scene, tmp_path: Path) -> None:
    """From staging to production over HTTP: who may deploy prepares, who has the role promotes; each is refused the rest."""
    async with second(scene) as staging, serving(tmp_path) as served:
        await two_environments(staging, scene)
        said = await played(served, staging, scene)

    assert (401, "unauthorized") == (said["nobody"][0], said["nobody"][1]["error"]["code"])
    assert (403, "forbidden") == (said["stranger"][0], said["stranger"][1]["error"]["code"])
    assert "developer" in said["stranger"][1]["error"]["message"]
    assert {"app": f"{NAME}:v2"} == said["tried"]["data"]["images"] == said["prepared"]["data"]["images"]
    assert "v1" == said["before"]["stable"]["version"]
    assert "wanted" not in said["before"], "a dry run changes nothing"
    waiting = said["shown"]["data"]
    assert [(NAME, "prepared", "v2")] == [(one["release"], one["status"], one["version"]) for one in said["listed"]["data"]]
    assert ("prepared", "v2", "staging", "production") == tuple(
        waiting[name] for name in ("status", "version", "from_env", "to_env")
    )
    assert "Approval" == waiting["waiting_for"][0]["barrier"]
    assert 403 == said["not_theirs"][0], said["not_theirs"]
    assert (409, "role_needed") == (said["in_no_role"][0], said["in_no_role"][1]["error"]["code"])
    assert ("Approve", "qa") == (said["approved"]["data"]["action"], said["approved"]["data"]["by"])
    assert "Promoted" == said["ended"]["lastRollout"]["outcome"]
    assert COMMITTED == said["ended"]["stable"]["committedAt"], "its lead time goes on from staging"
    assert (
        ("promoted", "v2")
        == (said["found"]["data"]["status"], said["found"]["data"]["version"])
        == (said["by_id"]["data"]["status"], said["by_id"]["data"]["version"])
    )
    assert (409, True) == (said["over"][0], "(v2 is in force)" in said["over"][1]["error"]["message"]), said["over"]
    wanted = {"configured": True, "ok": True, "latest_release": said["found"]["data"]["release_id"], "environment": "production"}
    assert wanted == said["health"]["releases"]
    assert said["memory"] < MEGABYTES
    audited = [json.loads(line) for line in served.log if "tidegate.audit" in line]
    assert {"/api/releases/prepare", "/api/releases/promote", "/api/releases/rollback"} == {line["path"] for line in audited}
    assert [("Approve", "qa", 201)] == [(line["action"], line["by"], line["status"]) for line in audited if "decision" in line]
    assert "-person-" not in "".join(served.log), "no token is logged"


async def test_rollback_over_http_is_the_callers(scene: Scene, tmp_path: Path) -> None:
    """Given a version at 50%, who has the verb rolls it back over HTTP, and the decision is theirs."""
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}], bake="0s", drain="0s")
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    running = await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
    commands = rights("tidegate.dev", "releases", "rollback", "promote")
    await asyncio.to_thread(of_role, "release-manager", scene.namespace, READS, CREATE, commands)

    async with serving(tmp_path) as served:
        shown = await served.until("release-manager", "GET", f"/api/releases/{NAME}", of=scene.namespace, wanted=200)
        wanted = shown["data"]["release_id"]
        body = {"release_id": wanted, "reason": "orders are missing"}
        done = await served.until("release-manager", "POST", "/api/releases/rollback", of=scene.namespace, body=body, wanted=201)
        ended = await scene.until(lambda status: not status.get("rollout"))
        after = await served.until("release-manager", "GET", f"/api/releases/{wanted}", of=scene.namespace, wanted=200)

    started = running["rollout"]["startedAt"]
    assert f"rel_{started[:4]}{started[5:7]}{started[8:10]}_{started[11:13]}{started[14:16]}" == wanted
    assert ("promoting", 50) == (shown["data"]["status"], shown["data"]["weight"])
    assert "release-manager" == done["data"]["by"]
    assert ("RolledBack", "v1") == (ended["lastRollout"]["outcome"], ended["stable"]["version"])
    assert "rolled_back" == after["data"]["status"]
