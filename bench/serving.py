"""What `tidegate serve` takes of memory: `tidegate-sandbox run --parts api,controllers -- python -m bench.serving`.

The real process, as its image starts it, before a real API server with Releases in the midst of a rollout. Many callers, each with
a token of its own, list them, look at one, look at the health, and try to prepare one; half of all connections are kept, and half
are new. Measured is the resident memory after the first request of each caller and after the last of all, and the most that there
ever was. It takes about a minute and writes bench/results/serving.json; `--requests 300` tries it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from bench.measure import Figure  # noqa: E402

from api.cluster_access import apply, install_crds, kubectl  # noqa: E402 - found by the line above
from api.cluster_client_access import api_server  # noqa: E402
from api.operator_access import token_of  # noqa: E402
from api.people import of_cluster_role  # noqa: E402
from api.test_serve import Served, serving  # noqa: E402
from tidegate.api.kept import packed  # noqa: E402
from tidegate.cluster.client import Cluster  # noqa: E402
from tidegate.cluster.resources import NAMESPACES, RELEASES  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "serving.json"
MOST = 120.0
"""Megabytes that the process may take."""
RELEASES_THERE = 50
CALLERS = 24
AT_ONCE = 24
PATIENCE = 60.0
RATE = 8.0
"""Requests a second of each caller: fewer than one token may ask."""
Json = dict[str, Any]


def main() -> int:
    """Measure, print what was found, and write it; the exit status is 1 where the limit does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description="Measure the memory of `tidegate serve`.")
    parser.add_argument("--requests", type=int, default=4000, help="how many in all (default: 4000)")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where figures are written")
    options = parser.parse_args()
    figures = asyncio.run(measured(options.requests))
    for figure in figures:
        print(f"{figure.cell}: {figure.measured:g}" + ("" if figure.limit is None else f" (at most {figure.limit:g})"))
    options.json.write_text(json.dumps([figure.to_wire() for figure in figures], indent=1) + "\n")
    return 0 if all(figure.holds is not False for figure in figures) else 1


async def measured(requests: int) -> list[Figure]:
    """Ask so many times; return the figures."""
    name = f"bench-serve-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(install_crds)
    async with api_server() as admin:
        await admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            await _releases(admin, name)
            tokens = await asyncio.to_thread(_callers, name)
            with tempfile.TemporaryDirectory() as folder:
                async with serving(Path(folder)) as served:
                    return await _asked(served, name, tokens, requests)
        finally:
            await admin.delete(NAMESPACES.path(None, name))


async def _releases(admin: Cluster, namespace: str) -> None:
    """Have Releases there with statuses as an operator writes them, in the midst of a rollout."""
    status = packed(_status())
    for number in range(RELEASES_THERE):
        name = f"checkout-{number:02}"
        environment = "staging" if number % 2 else "production"
        spec: Json = {"targetRef": {"name": name}, "policyRef": {"name": "production"}, "environment": environment}
        spec |= {"after": [{"release": f"checkout-{number + 1:02}"}]} if not number % 2 else {}
        body = {"apiVersion": RELEASES.api_version, "kind": RELEASES.kind, "metadata": {"name": name}, "spec": spec}
        await admin.create(RELEASES.path(namespace), body)
        await admin.merge_patch(RELEASES.path(namespace, name, "status"), {"status": status})


def _status() -> Json:
    """Return the status of a Release whose v2 has a quarter of the traffic, and whose v1 was promoted."""
    at = "2026-11-30T12:00:00Z"
    steps = [{"weight": 25, "hold": "1h"}, {"weight": 100}]
    gate = {"name": "errors", "verdict": "Pass", "message": "error rate 0.1% (12 of 11,840 requests)", "at": at, "limit": "1%"}
    last = {"version": "v1", "revision": "hash1", "outcome": "Promoted", "cause": "Promoted", "startedAt": at, "finishedAt": at}
    return {
        "observedGeneration": 1,
        "phase": "Progressing",
        "message": "v2 has 25% of the traffic (step 1 of 2): held until 13:00:00 UTC",
        "weight": 25,
        "carried": 25,
        "stable": {"revision": "hash1", "version": "v1", "replicas": 3, "images": {"app": "checkout:v1"}, "promotedAt": at},
        "candidate": {"revision": "hash2", "version": "v2", "replicas": 3, "ready": 3},
        "step": {"index": 0, "weight": 25, "entered": at, "since": at, "given": 25, "pods": 3},
        "gates": [gate | {"name": f"gate-{number}"} for number in range(6)],
        "rollout": {"policy": "RolloutPolicy/production", "spec": {"steps": steps}, "startedAt": at, "exposedAt": at},
        "lastRollout": last | {"message": "all steps passed", "gates": [gate]},
    }


def _callers(namespace: str) -> list[str]:
    """Return tokens of accounts that may view the namespace."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "deploy" / "operator" / "people.yaml"))
    names = [f"caller-{number:02}" for number in range(CALLERS)]
    apply("\n---\n".join(json.dumps(_account(one, namespace)) for one in names))
    for one in names:
        of_cluster_role(f"system:serviceaccount:{namespace}:{one}", namespace, "tidegate-view")
    return [token_of(one, namespace) for one in names]


def _account(name: str, namespace: str) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


async def _asked(served: Served, namespace: str, tokens: Sequence[str], requests: int) -> list[Figure]:
    for token in tokens:
        await _known(served, namespace, token)
    before, answers, gate_ = served.megabytes, Counter[int](), asyncio.Semaphore(AT_ONCE)
    prepare = {"from_env": "staging", "to_env": "production", "release": "checkout-00", "dry_run": True}
    paths: list[tuple[str, str, Json | None]] = [
        ("GET", "/api/releases/", None),
        ("GET", "/api/releases/checkout-01", None),
        ("GET", "/health", None),
        ("POST", "/api/releases/prepare", prepare),
    ]

    async def ask(number: int) -> None:
        verb, path, body = paths[number % len(paths)]
        headers = {"X-Tenant-Slug": namespace, "Authorization": f"Bearer {tokens[number % len(tokens)]}"}
        headers |= {"Connection": "close"} if number // len(paths) % 2 else {}
        async with gate_, served.session.request(verb, f"{served.address}{path}", json=body, headers=headers) as answer:
            await answer.read()
            answers[answer.status] += 1

    began, asked = time.monotonic(), list[asyncio.Task[None]]()
    for number in range(requests):
        due = began + number / (len(tokens) * RATE)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        asked.append(asyncio.create_task(ask(number)))
    await asyncio.gather(*asked)
    took = time.monotonic() - began
    note = f"of 4 kinds by {len(tokens)} callers in {took:.0f} s, {RELEASES_THERE} Releases; " + ", ".join(
        f"{count} answered {status}" for status, count in sorted(answers.items())
    )
    return [
        Figure("tidegate serve after the first request of each: resident memory, in MB", round(before, 1)),
        Figure(f"tidegate serve after {requests} requests: resident memory, in MB", round(served.megabytes, 1), MOST, note),
        Figure("tidegate serve: the most resident memory that there ever was, in MB", round(_peak(served.pid), 1), MOST),
        Figure("tidegate serve: requests that were not answered as they should be", requests - answers[200], 0),
    ]


async def _known(served: Served, namespace: str, token: str) -> None:
    """Ask until the API server has vouched for a token: until then it shares a bucket with all others from here."""
    headers = {"X-Tenant-Slug": namespace, "Authorization": f"Bearer {token}"}
    async with asyncio.timeout(PATIENCE):
        while True:
            async with served.session.get(f"{served.address}/api/releases/checkout-01", headers=headers) as answer:
                if answer.status == 200:
                    return
                assert answer.status in (403, 429), await answer.text()
            await asyncio.sleep(0.5)


def _peak(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
