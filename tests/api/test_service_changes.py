"""A Service that changes in the commit that changes the pods, before a real API server with real endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, Json, Scene, condition, install, router_of, scene_in
from tidegate.cluster.resources import DEPLOYMENTS, ENDPOINT_SLICES, HTTP_ROUTES, RELEASES, SERVICES

pytestmark = needs_api

HELD = [{"weight": 50, "hold": "1h"}, {"weight": 100}]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def chart(scene: Scene, version: str, *, labelled: bool, port: int) -> None:
    """Upgrade a chart whose Service selects by the version, or whose pods listen on another port."""
    labels = {"app": NAME, **({"version": version} if labelled else {})}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": f"checkout:{version}"}]}}
    service = {"selector": labels, "ports": [{"port": 80, "targetPort": port}]}
    for resource, spec in ((SERVICES, service), (DEPLOYMENTS, {"template": template})):
        path = resource.path(scene.namespace, NAME)
        operations = [{"op": "replace", "path": f"/spec/{key}", "value": value} for key, value in spec.items() if key != "template"]
        if resource is DEPLOYMENTS:
            await scene.admin.merge_patch(path, {"spec": {"template": template}}, manager="author")
        else:
            await scene.admin.json_patch(path, operations, manager="author")


async def spec_of(scene: Scene, service: str) -> Json:
    found: Json = (await scene.admin.get(SERVICES.path(scene.namespace, service)))["spec"]
    return found


async def endpoints(scene: Scene, service: str) -> int:
    """Return how many ready endpoints a Service has."""
    slices = await scene.admin.list(ENDPOINT_SLICES.path(scene.namespace), label_selector=f"kubernetes.io/service-name={service}")
    return sum(bool((one.get("conditions") or {}).get("ready")) for piece in slices.items for one in piece.get("endpoints") or ())


async def released(scene: Scene, **policy: Any) -> None:
    """Put a Release there whose route is split."""
    await scene.policy(**policy)
    await scene.deployment()
    await scene.service()
    await scene.route()


async def adopted(scene: Scene) -> None:
    await scene.release(route=True)
    await scene.start()
    await scene.idle()


def at_half(status: Json) -> bool:
    return status.get("weight") == 50 and "since" in (status.get("step") or {})


async def test_selector_by_version(scene: Scene) -> None:
    """Given a Service that selects by the version, stable keeps its endpoints, the new version gets its own, and is promoted."""
    await released(scene, steps=[{"weight": 50, "hold": "5s"}, {"weight": 100}])
    await chart(scene, "v1", labelled=True, port=8080)
    async with router_of(scene):
        await adopted(scene)
        await chart(scene, "v2", labelled=True, port=8080)
        await scene.until(at_half, within=120)
        had = [await endpoints(scene, f"{NAME}-{role}") for role in ("stable", "canary")]
        stable = (await spec_of(scene, f"{NAME}-stable"))["selector"]
        status = await scene.until(
            lambda status: status.get("phase") == "Idle" and condition(status, "Ready")[0] == "True", within=120
        )

    assert min(had) >= 1
    assert {"app", "pod-template-hash"} == set(stable)
    assert "v2" == status["stable"]["version"]
    assert 2 == await endpoints(scene, NAME)


async def test_target_port_that_changes_with_the_version(scene: Scene) -> None:
    """Given a targetPort that changes with the pods, each version has its own; after a rollback the route stays with stable's."""
    await released(scene, steps=HELD)
    async with router_of(scene):
        await adopted(scene)
        await chart(scene, "v2", labelled=False, port=9090)
        await scene.until(at_half, within=120)
        targets = [(await spec_of(scene, f"{NAME}-{role}"))["ports"][0]["targetPort"] for role in ("stable", "canary")]
        request = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
        await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), request)
        told = await scene.until(lambda status: condition(status, "Stalled")[:2] == ("True", "ServiceAstray"), within=120)
        stays = await scene.weights()
        await chart(scene, "v1", labelled=False, port=8080)
        await scene.until(lambda status: condition(status, "Ready")[0] == "True", within=120)

    assert [8080, 9090] == targets
    assert {NAME: 0, f"{NAME}-stable": 100, f"{NAME}-canary": 0} == stays
    assert "its port 80 targets 9090, they listen on 8080" in told["message"]
    route = await scene.admin.get(HTTP_ROUTES.path(scene.namespace, NAME))
    assert [NAME] == [backend["name"] for backend in route["spec"]["rules"][0]["backendRefs"]]
