"""Installed for single namespaces: Roles alone, nothing of the whole cluster, and rollouts as everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.audit import asked_by
from api.cluster_access import apply, needs_api, run
from api.manifests import CHART, HELM, needs_helm
from api.operator_access import NAME, Json, Scene, condition, install, router_of, scene_in, token_of
from tidegate.cluster.resources import RELEASES

pytestmark = [*needs_api, needs_helm]

_POLICIES = ("hold", "requests", "deputy", "guard", "decisions", "records")
NO_POLICIES = tuple(f"admission.{name}.enabled=false" for name in _POLICIES)
NAMESPACED = ("scope=namespaced", "crds.install=false", *NO_POLICIES)
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "PriorityClass"}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def rendered(namespace: str, *options: str) -> list[Json]:
    """Render the chart for one namespace, in which the operator is, too."""
    chosen = [part for option in (*NAMESPACED, f"watchNamespaces={{{namespace}}}", *options) for part in ("--set", option)]
    done = run(HELM, "template", "tidegate", str(CHART), "--namespace", namespace, *chosen)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


async def start(scene: Scene) -> Json:
    """Install the chart but for its Deployment, start the operator under its account, and return its configuration."""
    objects = rendered(scene.namespace)
    chosen = [one for one in objects if one["kind"] in {"ServiceAccount", "Role", "RoleBinding"}]
    await asyncio.to_thread(apply, yaml.safe_dump_all(chosen))
    (text,) = (one["data"]["config.yaml"] for one in objects if one["kind"] == "ConfigMap")
    config: Json = yaml.safe_load(text)
    election = {"namespace": scene.namespace, "leaseDuration": "6s", "renewDeadline": "5s", "retryPeriod": "500ms"}
    await scene.start(token_of("tidegate", scene.namespace), **{**config, "leaderElection": election})
    return config


async def test_nothing_of_the_whole_cluster_is_installed(scene: Scene) -> None:
    """Given `scope: namespaced` without CRDs and admission policies, every object is in a namespace."""
    objects = rendered(scene.namespace, "networkPolicy.enabled=true", "serviceMonitor.enabled=true")

    assert set() == CLUSTER_WIDE & {one["kind"] for one in objects}
    assert {scene.namespace} == {one["metadata"].get("namespace") for one in objects}
    assert {"Role"} == {one["roleRef"]["kind"] for one in objects if one["kind"] == "RoleBinding"}


async def test_hold_policy_takes_one_right_beyond_the_namespaces(scene: Scene) -> None:
    """Given the hold policy as well, the one ClusterRole is to look for that policy by its name."""
    objects = rendered(scene.namespace, "admission.hold.enabled=true")

    (role,) = (one for one in objects if one["kind"] == "ClusterRole")
    (rule,) = role["rules"]
    assert ["get"] == rule["verbs"]
    assert ["tidegate-hold"] == rule["resourceNames"]


async def test_rollout_needs_roles_only(scene: Scene) -> None:
    """With Roles alone, the operator adopts, promotes and rolls back, asks for nothing again and again, and its log is quiet."""
    config = await start(scene)
    await scene.policy()
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(route=True)
    async with router_of(scene):
        await scene.idle()
        await scene.set_image("checkout:v2")
        promoted = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")
        await scene.idle()
        await scene.set_image("checkout:v3")
        await scene.until(lambda status: (status.get("weight") or 0) == 50)
        change = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
        await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), change, manager="person")
        await scene.until(lambda status: status.get("phase") == "RolledBack")
    ready = await scene.operator.ask("/readyz")
    asked = asked_by(f"system:serviceaccount:{scene.namespace}:tidegate")

    assert [scene.namespace] == config["watchNamespaces"]
    assert "Promoted" == promoted["lastRollout"]["outcome"]
    assert 200 == ready[0]
    policies = {"mutatingadmissionpolicies", "validatingadmissionpolicies", "validatingadmissionpolicybindings"}
    assert policies == {one.resource for one in asked if one.status == 403}
    assert len([one for one in asked if one.status == 403]) <= 10
    assert {"", scene.namespace} == {one.namespace for one in asked}
    assert policies == {one.resource for one in asked if not one.namespace}
    loud = [line for line in scene.operator.lines() if "forbidden" in str(line) or line["level"] in {"warning", "error"}]
    # The chart's own example of a connection is plain http.
    assert [("a Prometheus connection is plain http", "default")] == [
        (line["event"].split(":")[0], line["connection"]) for line in loud
    ]


async def test_cluster_policy_is_refused_in_words(scene: Scene) -> None:
    """A Release that names a ClusterRolloutPolicy is told that this operator reads none, and what to name instead."""
    await start(scene)
    await scene.deployment()
    await scene.release(policyRef={"kind": "ClusterRolloutPolicy", "name": "production"})

    told: dict[str, Any] = await scene.until(lambda status: condition(status, "Stalled")[0] == "True")

    assert "MissingPolicy" == condition(told, "Stalled")[1]
    assert "reads no ClusterRolloutPolicy (clusterPolicies: false): name a RolloutPolicy" in told["message"]
