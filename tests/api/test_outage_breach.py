"""An API server that was away, and a version that turns bad as it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from api.cluster_access import apply, needs_api
from api.manifests import kustomize
from api.operator_access import Prometheus, Scene, install, router_of, scene_in
from api.test_operator_breach import at_half, rejected, until_away

pytestmark = needs_api
AWAY = 10.0
"""Seconds: longer than a leader goes on writing that cannot renew its lease."""
SHORT = {"leaseDuration": "5s", "renewDeadline": "3s", "retryPeriod": "1s"}
SOON = 6.0
"""Seconds: 2 on a machine that has nothing else to do. A process that began anew would wait longer for its own old lease."""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene, router_of(scene):
        wanted = [found for (kind, _), found in kustomize(".").items() if kind in {"Role", "RoleBinding"}]
        for found in wanted:
            found["metadata"]["namespace"] = scene.namespace
        await asyncio.to_thread(apply, yaml.safe_dump_all(wanted))
        yield scene


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    prometheus = Prometheus()
    await prometheus.start()
    yield prometheus
    await prometheus.stop()


@pytest.mark.parametrize("elected", [False, True])
@pytest.mark.parametrize("early", [False, True])
async def test_first_breach_after_an_outage(scene: Scene, prometheus: Prometheus, early: bool, elected: bool) -> None:
    """Given ten seconds without the API server, when it is back, a version that turned bad meanwhile, or does now, is shut soon."""
    election = {"leaderElection": {"enabled": True, "namespace": scene.namespace} | SHORT} if elected else {}
    await at_half(scene, prometheus, **election)
    fault = scene.proxy.fault("", "", cut=True)
    scene.proxy.sever()
    prometheus.canary = 0.5 if early else 0.0
    await asyncio.sleep(AWAY)
    scene.proxy.mend(fault)

    prometheus.canary = 0.5
    seconds = await until_away(scene)
    print(f"elected={elected} early={early}: {seconds:.2f} s from the return of the API server to weight 0")

    await rejected(scene)
    assert seconds < SOON
    assert scene.operator.running
