"""Plays the acts on the cluster that it runs in, and prints what is typed and read."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.controlplane import person_token
from tidegate_sandbox.demo.kube import Kube, KubeError
from tidegate_sandbox.demo.stage import StageError, install_tidegate, operator, write_kubeconfig
from tidegate_sandbox.programs import PartError
from tidegate_sandbox.walkthrough.script import ACTS, DEVELOPER, LIVE, MANAGER, QA, TEST, Act

MANIFESTS = Path(__file__).with_name("manifests")
PATIENCE = 60.0
"""Seconds for what an act leads to."""
GROUP = "/apis/tidegate.dev/v1alpha1"


class WrongEndError(Exception):
    """An act did not end as it should; the message says which, and how it ended."""


def main() -> int:
    """Play all acts; return the exit status."""
    began = time.monotonic()
    try:
        asyncio.run(_play(ClusterInfo.from_environment()))
    except (WrongEndError, KubeError, StageError, PartError) as error:
        print(f"walkthrough: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - began:.0f} s: v2 went from dev to production, and each step has somebody's name to it.")
    return 0


async def _play(cluster: ClusterInfo) -> None:
    with tempfile.TemporaryDirectory(prefix="tidegate-walkthrough-") as folder:
        async with Kube(cluster) as kube:
            await install_tidegate(kube)
            files = {who: Path(folder) / who for who in (DEVELOPER, QA, MANAGER)}
            for who, file in files.items():
                write_kubeconfig(cluster, file, user=who, token=person_token(cluster.token, who))
            async with operator(kube, cluster, lambda why: print(why, file=sys.stderr)):
                await kube.apply(MANIFESTS / "people.yaml", MANIFESTS / "apps.yaml")
                await kube.apply(MANIFESTS / "releases.yaml")
                for namespace, name in ((TEST, "dev"), (TEST, "staging"), (LIVE, "checkout")):
                    await _until(kube, (namespace, name, {"phase": "Idle", "version": "v1"}))
                for act in ACTS:
                    await _act(kube, cluster, act, files[act.who])


async def _act(kube: Kube, cluster: ClusterInfo, act: Act, kubeconfig: Path) -> None:
    print(f"\n# {act.why}\n[{act.who}] $ {act.command}", flush=True)
    path = os.pathsep.join([str(cluster.bin_dir), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig), "COLUMNS": "120"}
    done = await asyncio.to_thread(
        subprocess.run, shlex.split(act.command), env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    said = (done.stdout + done.stderr).strip()
    print(said, flush=True)
    if done.returncode != act.status or act.says not in said:
        raise WrongEndError(f"{act.command}: status {done.returncode} and not {act.status}, or without {act.says!r}: {said}")
    if act.then is not None:
        await _until(kube, act.then)
        print(f"  -> {act.told}", flush=True)


async def _until(kube: Kube, wanted: tuple[str, str, dict[str, Any]]) -> None:
    namespace, name, fields = wanted
    deadline = time.monotonic() + PATIENCE
    while True:
        status = (await kube.get(f"{GROUP}/namespaces/{namespace}/releases/{name}")).get("status") or {}
        if all(_found(status, field) == value for field, value in fields.items()):
            return
        if time.monotonic() > deadline:
            raise WrongEndError(f"{namespace}/{name} is not {json.dumps(fields)}: {status.get('phase')}: {status.get('message')}")
        await asyncio.sleep(0.1)


def _found(status: dict[str, Any], field: str) -> Any:
    match field:
        case "version":
            return (status.get("stable") or {}).get("version")
        case "waits":
            return sorted(one["barrier"] for one in status.get("waitingFor") or ())
        case _:
            return status.get(field)
