"""Whose gates may ask which connection, with the operator as a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api.cluster_access import needs_api
from api.operator_access import Json, Prometheus, Scene, install, scene_in
from tidegate.cluster.resources import CLUSTER_ROLLOUT_POLICIES

pytestmark = needs_api

OWN = {"promql": {"canary": "canary_secret", "unit": "Ratio"}}
STEPS = [{"weight": 50, "hold": "2m"}, {"weight": 100}]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    prometheus = Prometheus(canary=0.004)
    await prometheus.start()
    yield prometheus
    await prometheus.stop()


def gate(name: str, connection: str, metric: dict[str, Any] = OWN) -> Json:
    return {
        "name": name,
        "connection": connection,
        "metric": metric,
        "threshold": {"max": 0.01},
        "interval": "2s",
        "minSamples": 0,
        "onBreach": "Warn",
    }


def connections(prometheus: Prometheus, namespace: str) -> list[Json]:
    return [
        {"name": "bank", "address": prometheus.address, "namespaces": ["bank"]},
        {"name": "central", "address": prometheus.address, "queries": "presets"},
        {"name": "own", "address": prometheus.address, "namespaces": [namespace]},
        {"name": "shared", "address": prometheus.address, "queries": "clusterPolicies"},
    ]


@asynccontextmanager
async def cluster_policy(scene: Scene, spec: Json) -> AsyncIterator[str]:
    """Create a policy for the whole cluster under a name that no other test has."""
    body = {"apiVersion": CLUSTER_ROLLOUT_POLICIES.api_version, "kind": CLUSTER_ROLLOUT_POLICIES.kind, "spec": spec}
    await scene.admin.create(CLUSTER_ROLLOUT_POLICIES.path(), {**body, "metadata": {"name": scene.namespace}}, manager="kubectl")
    try:
        yield scene.namespace
    finally:
        await scene.admin.delete(CLUSTER_ROLLOUT_POLICIES.path(None, scene.namespace))


async def told(scene: Scene, gates: int) -> dict[str, tuple[str, str]]:
    """Roll a version out, and return what each gate says once all have said something."""
    await scene.set_image("checkout:v2")
    status = await scene.until(lambda status: len([one for one in status.get("gates", ()) if one.get("message")]) == gates)
    return {one["name"]: (one["verdict"], one["message"]) for one in status["gates"]}


async def test_tenant_asks_where_it_may_and_reads_of_no_other(scene: Scene, prometheus: Prometheus) -> None:
    """Of a tenant's policy with queries of its own, only the gate on its own connection is read; the others say why not."""
    await scene.policy(steps=STEPS, gates=[gate(name, name) for name in ("bank", "central", "nowhere", "own", "shared")])
    await scene.deployment()
    await scene.release()
    await scene.start(connections=connections(prometheus, scene.namespace))
    await scene.idle()

    said = await told(scene, 5)

    there = f"for namespace {scene.namespace}, there are: central, own, shared"
    assert ("Pass", "Undecided") == (said["own"][0], said["central"][0])
    assert f"there is no Prometheus connection bank {there}" in said["bank"][1]
    assert f"there is no Prometheus connection nowhere {there}" in said["nowhere"][1]
    assert "Prometheus connection central takes presets only" in said["central"][1]
    assert "Prometheus connection shared takes queries of ClusterRolloutPolicies only" in said["shared"][1]
    assert {"Undecided"} == {verdict for name, (verdict, _) in said.items() if name != "own"}


async def test_queries_of_a_cluster_policy_are_taken(scene: Scene, prometheus: Prometheus) -> None:
    """A connection that takes the queries of cluster policies answers a Release under one; one that takes presets does not."""
    spec = {"steps": STEPS, "progressDeadline": "2m", "gates": [gate(name, name) for name in ("central", "shared")]}
    async with cluster_policy(scene, spec) as name:
        await scene.deployment()
        await scene.release(policyRef={"kind": CLUSTER_ROLLOUT_POLICIES.kind, "name": name})
        await scene.start(connections=connections(prometheus, scene.namespace))
        await scene.idle()

        said = await told(scene, 2)

    assert "Pass" == said["shared"][0]
    assert "Prometheus connection central takes presets only" in said["central"][1]
