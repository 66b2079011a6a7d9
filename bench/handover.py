"""How long nobody works when the operator that works ends: `tidegate-sandbox run -- python bench/handover.py`.

Two operators with the lease times of their defaults, over a cluster with Releases that are idle. One is told to end (SIGTERM) or
is killed (SIGKILL); measured is the time until the other has looked round and works. Then another is started, and so on in turn.
The worst of all rounds is written to bench/results/handover.json: a list of {cell, measured, limit, holds}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from api.cluster_access import apply  # noqa: E402 - found by the line above
from api.cluster_client_access import api_server, kubeconfig_with  # noqa: E402
from api.manifests import kustomize  # noqa: E402
from api.operator_access import install, token_of  # noqa: E402
from operator_process import Operator  # noqa: E402
from tidegate.cluster.client import Cluster  # noqa: E402
from tidegate.cluster.resources import NAMESPACES, RELEASES  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "handover.json"
LIMITS = {signal.SIGTERM: 1.0, signal.SIGKILL: 16.0}
"""Seconds."""
QUIET = 10
"""Looks in a row, five in a second, that find nothing to do."""
AT_ONCE = 20
"""Releases that are created at once."""


@dataclass(frozen=True)
class Case:
    """How an operator ends: by which signal, and whether it has nothing to do or all Releases to write."""

    number: signal.Signals
    at_rest: bool

    def __str__(self) -> str:
        return f"{self.number.name} {'at rest' if self.at_rest else 'in the midst of writing'}"


@contextlib.asynccontextmanager
async def place(cluster: Cluster, releases: int) -> AsyncIterator[str]:
    """Make a namespace with rights for the election and with Releases; without Deployments these stay as they are."""
    name = f"tidegate-handover-{uuid.uuid4().hex[:8]}"
    await cluster.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    rights = [found for (kind, _), found in kustomize(".").items() if kind in {"Role", "RoleBinding"}]
    for found in rights:
        found["metadata"]["namespace"] = name
    await asyncio.to_thread(apply, yaml.safe_dump_all(rights))
    few = asyncio.Semaphore(AT_ONCE)

    async def create(number: int) -> None:
        spec = {"targetRef": {"name": f"shop-{number}"}, "policyRef": {"name": "production"}}
        release = {"apiVersion": RELEASES.api_version, "kind": RELEASES.kind, "metadata": {"name": f"shop-{number}"}, "spec": spec}
        async with few:
            await cluster.create(RELEASES.path(name), release)

    await asyncio.gather(*(create(number) for number in range(releases)))
    try:
        yield name
    finally:
        await cluster.delete(NAMESPACES.path(None, name))


async def start(folder: Path, kubeconfig: Path, namespace: str) -> Operator:
    """Start an operator and wait until it stands by or works."""
    own = Path(tempfile.mkdtemp(dir=folder))
    operator = Operator(own, kubeconfig, [namespace], {"leaderElection": {"namespace": namespace}})
    await operator.start()
    await operator.ready()
    return operator


async def at_rest(operator: Operator, releases: int) -> None:
    """Wait until an operator has worked on every Release and has nothing left to do, for a moment."""
    quiet = 0
    while quiet < QUIET:
        await asyncio.sleep(0.2)
        _, text = await operator.ask("/metrics")
        found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        shown = sum(sample.name == "tidegate_release_weight_percent" for sample in found)
        waiting = next((sample.value for sample in found if sample.name == "tidegate_queue_depth"), None)
        quiet = quiet + 1 if shown >= releases and waiting == 0 else 0


async def touch(cluster: Cluster, namespace: str) -> None:
    """Give the operator that works something to write about every Release, and leave it in the midst of that."""
    releases = (await cluster.list(RELEASES.path(namespace))).items
    other = "production" if releases[0]["spec"]["policyRef"]["name"] != "production" else "staging"
    few = asyncio.Semaphore(AT_ONCE)

    async def change(name: str) -> None:
        async with few:
            await cluster.merge_patch(RELEASES.path(namespace, name), {"spec": {"policyRef": {"name": other}}}, manager="author")

    await asyncio.gather(*(change(release["metadata"]["name"]) for release in releases))


async def hand_over(works: Operator, stands_by: Operator, number: signal.Signals) -> float:
    """End the one that works; return the seconds until the other one works."""
    began = time.time()
    await works.end(number)
    line = await stands_by.told("serving")
    return datetime.fromisoformat(line["timestamp"]).timestamp() - began


async def measure(folder: Path, releases: int, rounds: dict[Case, int]) -> dict[Case, list[float]]:
    """Hand over from one to the other again and again; return the seconds by case."""
    found: dict[Case, list[float]] = {case: [] for case in rounds}
    await asyncio.to_thread(install)
    kubeconfig = kubeconfig_with(await asyncio.to_thread(token_of, "tidegate"), folder / "kubeconfig")
    async with api_server() as cluster, place(cluster, releases) as namespace:
        works = await start(folder, kubeconfig, namespace)
        await works.told("serving")
        for case, times in rounds.items():
            for _ in range(times):
                stands_by = await start(folder, kubeconfig, namespace)
                if case.at_rest:
                    await at_rest(works, releases)
                else:
                    await touch(cluster, namespace)
                found[case].append(await hand_over(works, stands_by, case.number))
                print(f"{case}: {found[case][-1]:.3f} s", flush=True)
                works = stands_by
        await works.end()
    return found


def report(found: dict[Case, list[float]], releases: int) -> list[dict[str, Any]]:
    """Return the worst of each kind beside its limit."""
    cells = []
    for case, seconds in found.items():
        worst, limit = round(max(seconds), 3), LIMITS[case.number]
        cell = f"{case}: until the next operator works, worst of {len(seconds)}, {releases} Releases"
        cells.append({"cell": cell, "measured": worst, "limit": limit, "holds": worst <= limit})
    return cells


def main() -> int:
    """Measure, print and write the results; 1 where a limit is not held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=1000, help="idle Releases in the cluster")
    parser.add_argument("--terms", type=int, default=5, help="rounds of each case that ends with SIGTERM")
    parser.add_argument("--kills", type=int, default=3, help="rounds that end with SIGKILL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidegate-handover-") as folder:
        idle, busy, killed = Case(signal.SIGTERM, True), Case(signal.SIGTERM, False), Case(signal.SIGKILL, True)
        rounds = {idle: options.terms, busy: options.terms, killed: options.kills}
        cells = report(asyncio.run(measure(Path(folder), options.releases, rounds)), options.releases)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(cells, indent=2) + "\n", encoding="utf-8")
    for one in cells:
        print(f"{one['cell']}: {one['measured']:g} s, at most {one['limit']:g} s: {'holds' if one['holds'] else 'does NOT hold'}")
    return 0 if all(one["holds"] for one in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
