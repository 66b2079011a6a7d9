"""The HTTP API does what its OpenAPI document says: schemathesis asks whatever the document allows, and what it does not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from api.cluster_access import ROOT, needs_api
from api.deciders import CREATE, QA
from api.operator_access import NAME, Scene
from api.people import of_role, rights
from api.test_environments import second
from api.test_operator_decisions import scene
from api.test_serve import DEPLOYS, READS, Served, serving, two_environments
from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.controlplane import person_token

__all__ = ["scene"]

CONFIG = Path(__file__).with_name("schemathesis.toml")
PROGRAM = ROOT / "build" / "schemathesis" / "bin" / "schemathesis"
"""`make test` makes its environment: inside of the sandbox there is no network to get it from."""
pytestmark = [
    *needs_api,
    pytest.mark.xdist_group("operator-decisions"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="no schemathesis: make build/schemathesis/.made"),
]
COMMANDS = rights("tidegate.dev", "releases", "promote", "rollback", "pause", "resume", "retry", "reject")
RECORDS = rights("tidegate.dev", "releaserecords", "list")
PARTS = {
    "developer": ("health", "list", "show", "rollback"),
    "qa": ("prepare", "promote"),
    "release-manager": ("decide",),
}
"""Who asks for which operations: a token may ask ten times a second, so three get through more."""
SECONDS = 200.0
"""That all of it may take."""


async def asked(served: Served, who: str, place: str, folder: Path) -> tuple[int, str]:
    """Have one person ask for their operations; return the exit status of schemathesis and what it says."""
    mine = folder / who
    mine.mkdir()
    chosen = [word for name in PARTS[who] for word in ("--include-operation-id", name)]
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "--no-color",
        f"--config-file={CONFIG}",
        "run",
        f"{served.address}/openapi.json",
        *chosen,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=mine,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(mine),
            "TIDEGATE_TOKEN": person_token(ClusterInfo.from_environment().token, who),
            "TIDEGATE_NAMESPACE": place,
        },
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_http_api_conforms_to_its_document(scene: Scene, tmp_path: Path) -> None:
    """Given Releases that wait and move, no request has an answer that the document does not have, and none is a fault of ours."""
    async with second(scene) as staging, serving(tmp_path) as served:
        await two_environments(staging, scene)
        for who in PARTS:
            await asyncio.to_thread(of_role, who, staging.namespace, READS)
            await asyncio.to_thread(of_role, who, scene.namespace, READS, DEPLOYS, CREATE, QA, COMMANDS, RECORDS)
            await served.until(who, "GET", f"/api/releases/{NAME}", of=scene.namespace, wanted=200)
        async with asyncio.timeout(SECONDS):
            found = await asyncio.gather(*(asked(served, who, scene.namespace, tmp_path) for who in PARTS))

    assert [0] * len(PARTS) == [status for status, _ in found], "\n\n".join(said for _, said in found)
    faults = [line for line in served.log if json.loads(line).get("level") == "error"]
    assert [] == faults
    done = {(line["path"], line["status"]) for line in map(json.loads, served.log) if line.get("logger") == "tidegate.audit"}
    # What becomes of a promotion and of a rollback depends on whether a rollout is on in that second.
    beyond = {"prepare": {202}, "decide": {201}, "promote": {200, 201, 202, 409}, "rollback": {201, 409}}
    for path, statuses in beyond.items():
        assert done & {(f"/api/releases/{path}", status) for status in statuses}, "it gets beyond being refused"
