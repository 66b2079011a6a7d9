"""A leader whose API server was away for longer than its lease, and a version that turned bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from api.cluster_access import apply, needs_api
from api.manifests import kustomize
from api.operator_access import Prometheus, Scene, install, router_of, scene_in
from api.test_operator_breach import at_half, away_and_back, rejected

pytestmark = needs_api
SHORT = {"leaseDuration": "5s", "renewDeadline": "3s", "retryPeriod": "1s"}
"""A leader stops writing well within the time for which the API server is away."""
SOON = 10.0
"""Seconds: 2 is the aim, and half a second what it takes on a machine with little else to do."""


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


@pytest.mark.parametrize("early", [False, True], ids=["at-its-return", "meanwhile"])
async def test_leader_acts_on_the_first_breach_after_an_outage(scene: Scene, prometheus: Prometheus, early: bool) -> None:
    """Given a leader without the API server for longer than its lease, a version that turned bad is shut soon after the return."""
    await at_half(scene, prometheus, leaderElection={"enabled": True, "namespace": scene.namespace} | SHORT)
    seconds = await away_and_back(scene, prometheus, early=early)
    print(f"turned bad {'meanwhile' if early else 'at its return'}: {seconds:.2f} s from the return of the API server to weight 0")

    await rejected(scene)
    assert seconds < SOON
    assert scene.operator.running
