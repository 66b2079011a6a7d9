"""Nothing of another namespace in any text that a tenant can read, with a real Prometheus that holds series of two."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, PATIENCE, Json, Scene, install, scene_in
from api.test_prometheus_real import Exposition, configuration, running
from tidegate.cluster.resources import EVENTS, RELEASES, ROLLOUT_POLICIES

pytestmark = [*needs_api, pytest.mark.timeout(240)]

SECRETS = ("stripe-live-key", "vault-root", "zz-db-password")
OTHERS = (*SECRETS, "merge-acme", "ledger-7c9", "cost_centre")
"""Values and names of labels that only the other namespace's series have."""
OURS = "ours-key"
THRESHOLD = {"threshold": {"max": 0.5}, "interval": "1s"}


@pytest.fixture
def exposition() -> Iterator[Exposition]:
    """Two namespaces' series, side by side as in every cluster."""
    page = Exposition()
    for secret in SECRETS:
        page.grow(f'kube_secret_info{{namespace="payments",secret="{secret}"}}', 1)
    page.grow('http_requests_total{namespace="payments",path="/merge-acme",pod="ledger-7c9",cost_centre="4711"}', 1)
    yield page
    page.close()


@pytest.fixture
def address(exposition: Exposition, tmp_path: Path) -> Iterator[str]:
    (folder := tmp_path / "prometheus").mkdir()
    with running(folder, configuration(exposition.port), "kube_secret_info") as address:
        yield address


@pytest.fixture
async def scene(address: str, tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def counters(bad: str, total: str) -> Json:
    """Return a metric of one's own."""
    return {"counters": {"canary": {"bad": bad, "total": total}}}


GATES: dict[str, tuple[Json, str]] = {
    "hint": (
        counters(*['kube_secret_info{namespace="payments",secret="nothing"}'] * 2),
        'no series kube_secret_info has secret=\\"nothing\\": the metric exists with other values of secret',
    ),
    "hint-next": (
        counters(*['kube_secret_info{namespace=~"payments",secret!~"stripe.*",secret="nothing"}'] * 2),
        "the metric exists with other values of secret",
    ),
    "hint-path": (
        counters(*['http_requests_total{namespace="payments",path="/nothing"}'] * 2),
        'no series http_requests_total has path=\\"/nothing\\"',
    ),
    "labels": (
        counters('http_requests_total{namespace="payments",result="failed"}', 'http_requests_total{namespace="payments"}'),
        "no series http_requests_total has a label result",
    ),
    "error": (
        {
            "promql": {
                "canary": 'kube_secret_info{namespace="payments"} * on(namespace) kube_secret_info{namespace="payments"}',
                "unit": "Number",
            }
        },
        "found duplicate series for the match group",
    ),
    "ours": (counters(*['kube_secret_info{namespace="{{namespace}}",secret="nothing"}'] * 2), f"(e.g. {OURS})"),
}
"""Gates that ask for what is another namespace's, each with the words by which its look is known to have gone that way."""


async def everything(scene: Scene, folder: Path) -> dict[str, str]:
    """Return all that a tenant can read: what the API server has, the operator's log and metrics, and what commands say."""
    release = await scene.admin.get(RELEASES.path(scene.namespace, NAME))
    events = await scene.admin.list(EVENTS.path(scene.namespace))
    stored = await scene.admin.get(ROLLOUT_POLICIES.path(scene.namespace, "production"))
    policy = folder / "policy.yaml"
    policy.write_text(
        json.dumps({name: stored[name] for name in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "production"}})
    )
    return {
        "status": json.dumps(release["status"]),
        "Events": json.dumps(events.items),
        "log": scene.operator.log.read_text(),
        "metrics": (await scene.operator.ask("/metrics"))[1],
        "explain": await command("explain", NAME, "-n", scene.namespace),
        "explain as JSON": await command("explain", NAME, "-n", scene.namespace, "-o", "json"),
        "lint": await command("lint", str(policy)),
    }


async def command(*arguments: str) -> str:
    """Run a command of the CLI; return what it says."""
    program = str(Path(sys.executable).with_name("tidegate"))
    done = await asyncio.to_thread(
        subprocess.run, [program, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE, env=dict(os.environ)
    )
    return done.stdout + done.stderr


async def test_nothing_of_another_namespace_is_told(scene: Scene, exposition: Exposition, address: str, tmp_path: Path) -> None:
    """Given gates that ask for another namespace's series, their looks say what is wrong, and nothing of those series."""
    exposition.grow(f'kube_secret_info{{namespace="{scene.namespace}",secret="{OURS}"}}', 1)
    gates: list[dict[str, Any]] = [{"name": name, "metric": metric, **THRESHOLD} for name, (metric, _) in GATES.items()]
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}], gates=gates)
    await scene.deployment()
    await scene.release()
    await scene.start(connections=[{"name": "default", "address": address}])
    await scene.idle()
    await scene.set_image("checkout:v2")

    deadline = time.monotonic() + PATIENCE
    while missing := [name for name, (_, words) in GATES.items() if words not in json.dumps(await scene.status())]:
        assert time.monotonic() < deadline, f"{missing} not told: {json.dumps((await scene.status()).get('gates'))}"
        await asyncio.sleep(0.2)

    told = await everything(scene, tmp_path)
    assert {name: [] for name in told} == {name: [one for one in OTHERS if one in text] for name, text in told.items()}
    assert all(told.values())
    assert OURS in told["explain"]
