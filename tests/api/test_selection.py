"""A Release that names another workload's Service, before a real API server: that workload's Service and route stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, Json, Scene, condition, install, router_of, scene_in
from tidegate.api.names import FIELD_MANAGER
from tidegate.cluster.resources import DEPLOYMENTS, HTTP_ROUTES, PODS, RELEASES, SERVICES, Resource

pytestmark = needs_api

OTHER = "ledger"
TLS_POLICIES = Resource("gateway.networking.k8s.io", "v1alpha3", "backendtlspolicies", "BackendTLSPolicy")
LOOK_ON = 10.0
"""Seconds in which nothing may happen: the operator once needed eight to take a Service off the air."""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def another_workload(scene: Scene) -> None:
    """Put a Service and a route there that are none of the Deployment's, as their own people would."""
    await scene.create(SERVICES, OTHER, spec={"selector": {"app": OTHER}, "ports": [{"port": 80, "targetPort": 8080}]})
    rules = [{"backendRefs": [{"name": OTHER, "port": 80}]}]
    parent = {"name": "of-the-test"}
    await scene.create(HTTP_ROUTES, OTHER, spec={"parentRefs": [parent], "rules": rules})


async def selector(scene: Scene, name: str) -> Json:
    """Return what a Service selects."""
    found: Json = (await scene.admin.get(SERVICES.path(scene.namespace, name)))["spec"]["selector"]
    return found


async def writers(scene: Scene) -> set[str]:
    """Return who has written the other workload's Service and route."""
    found = [await scene.admin.get(one.path(scene.namespace, OTHER)) for one in (SERVICES, HTTP_ROUTES)]
    return {entry["manager"] for obj in found for entry in obj["metadata"]["managedFields"]}


def refused(status: Json) -> bool:
    return condition(status, "Stalled")[:2] == ("True", "InvalidSpec")


async def test_service_of_another_workload_is_not_pinned(scene: Scene) -> None:
    """Given a Release that pins another workload's Service, and a route that is not there, the Service keeps its endpoints."""
    await another_workload(scene)
    await scene.policy()
    await scene.deployment()
    await scene.service()
    await scene.route()
    traffic = {"service": OTHER, "pinService": True, "gatewayAPI": {"httpRoutes": [{"name": "not-there"}]}}
    await scene.release(traffic=traffic)
    await scene.start()
    told = await scene.until(refused)
    await scene.until(lambda status: bool(status.get("stable")))

    await asyncio.sleep(LOOK_ON)

    assert {"app": OTHER} == await selector(scene, OTHER)
    assert FIELD_MANAGER not in await writers(scene)
    words = f"Service {OTHER} selects app={OTHER}, the pods of Deployment {NAME} have app={NAME}: name the Service of"
    assert words in told["message"]

    mended = {"spec": {"traffic": {**traffic, "service": NAME, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), mended)
    async with router_of(scene):
        status = await scene.idle()
        # Whose pods it selects is asked before it is pinned.
        pinned = {"app": NAME, "pod-template-hash": status["stable"]["revision"]}
        async with asyncio.timeout(60):
            while pinned != await selector(scene, NAME):  # noqa: ASYNC110 - the other process tells nobody
                await asyncio.sleep(0.1)
    assert {"app": OTHER} == await selector(scene, OTHER)


async def test_route_of_another_workload_is_not_shifted_when_stable_is_unready(scene: Scene) -> None:
    """Given a Release with another workload's route, whose own stable pods are all unready, the route is left alone."""
    await another_workload(scene)
    await scene.policy()
    await scene.deployment()
    await scene.release(traffic={"service": OTHER, "gatewayAPI": {"httpRoutes": [{"name": OTHER}]}})
    async with router_of(scene):
        await scene.start()
        await scene.until(lambda status: bool(status.get("stable")))
        await scene.set_image("checkout:v2")
        await all_unready(scene)
        told = await scene.until(refused)

        await asyncio.sleep(LOOK_ON)

    route = await scene.admin.get(HTTP_ROUTES.path(scene.namespace, OTHER))
    assert [OTHER] == [backend["name"] for backend in route["spec"]["rules"][0]["backendRefs"]]
    assert [OTHER] == [one["metadata"]["name"] for one in (await scene.admin.list(SERVICES.path(scene.namespace))).items]
    assert FIELD_MANAGER not in await writers(scene)
    assert "rollout" not in await scene.status()
    assert f"Service {OTHER} selects app={OTHER}" in told["message"]


async def all_unready(scene: Scene) -> None:
    """Let the kubelet say of all pods that they do not answer, and wait until the Deployment knows."""
    condition_of_pod = {"type": "Ready", "status": "False", "reason": "Probe", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for pod in (await scene.admin.list(PODS.path(scene.namespace))).items:
        path = PODS.path(scene.namespace, pod["metadata"]["name"], "status")
        await scene.admin.merge_patch(path, {"status": {"conditions": [condition_of_pod]}}, manager="kubelet")
    async with asyncio.timeout(60):
        while (await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME)))["status"].get("readyReplicas"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def holds_for(*services: str) -> Json:
    """Return the spec of a policy that tells gateways how to speak TLS to the pods behind Services."""
    targets = [{"group": "", "kind": "Service", "name": name} for name in services]
    return {"targetRefs": targets, "validation": {"hostname": "shop.example", "wellKnownCACertificates": "System"}}


async def a_pod_made_by_hand(scene: Scene) -> None:
    """Put a pod there that nobody controls, behind the Deployment's Service."""
    container = {"name": "app", "image": "checkout:spare"}
    fake = {"nodeSelector": {"type": "kwok"}, "tolerations": [{"operator": "Exists"}]}
    body = {"metadata": {"name": "spare", "labels": {"app": NAME}}, "spec": {"containers": [container], **fake}}
    await scene.admin.create(PODS.path(scene.namespace), {"apiVersion": "v1", "kind": "Pod", **body})


async def test_service_of_other_pods_too_is_neither_pinned_nor_split(scene: Scene) -> None:
    """Given a pod made by hand behind the Service, and a policy of the Service alone, the Release says so and writes nothing."""
    await scene.policy()
    await scene.deployment()
    await scene.service()
    await scene.route()
    await a_pod_made_by_hand(scene)
    await scene.release(traffic={"service": NAME, "pinService": True, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}})
    await scene.start()
    told = await scene.until(lambda status: condition(status, "Stalled")[:2] == ("True", "SharedService"))
    await scene.set_image("checkout:v2")

    await asyncio.sleep(LOOK_ON)

    assert f"Service {NAME} also selects Pod spare" in told["message"]
    assert {"app": NAME} == await selector(scene, NAME)
    assert "rollout" not in await scene.status()
    await scene.create(TLS_POLICIES, "tls", spec=holds_for(NAME))
    await scene.admin.delete(PODS.path(scene.namespace, "spare"))
    told = await scene.until(lambda status: condition(status, "Stalled")[:2] == ("True", "BoundByName"), within=120)
    assert f"BackendTLSPolicy tls applies to Service {NAME} by name, but not to {NAME}-stable and {NAME}-canary" in told["message"]
    assert "rollout" not in await scene.status()
    all_three = {"spec": holds_for(NAME, f"{NAME}-stable", f"{NAME}-canary")}
    await scene.admin.merge_patch(TLS_POLICIES.path(scene.namespace, "tls"), all_three, manager="kubectl")
    async with router_of(scene):
        await scene.until(lambda status: "rollout" in status, within=120)
