"""What stands in the status of a Release when something is missing, forbidden or failing, and that it goes away by itself."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from api.cluster_access import apply, needs_api
from api.operator_access import NAME, Json, Scene, account_with, condition, install, router_of, rules_of_deploy, scene_in
from tidegate.cluster.resources import HTTP_ROUTES, RELEASES, SERVICES

pytestmark = needs_api
RETRY = 45.0
"""Seconds in which what was mended is noticed: the operator tries again after 30."""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def stalled_by(status: Json, reason: str) -> bool:
    return condition(status, "Stalled")[:2] == ("True", reason)


async def test_missing_objects_are_named_one_by_one_and_noticed_when_they_come(scene: Scene) -> None:
    """Given a Release without Deployment, policy, Service and route, the status names what is missing until it is there."""
    await scene.start()
    await scene.release(route=True)
    first = await scene.until(lambda status: stalled_by(status, "MissingWorkload"))
    await scene.deployment()
    second = await scene.until(lambda status: stalled_by(status, "MissingPolicy"))
    await scene.policy()
    third = await scene.until(lambda status: stalled_by(status, "MissingService"))
    await scene.service()
    fourth = await scene.until(lambda status: stalled_by(status, "MissingRoute"))
    await scene.route()
    last = await scene.until(lambda status: condition(status, "Ready")[0] == "True")

    assert "Deployment checkout was not found" in first["message"]
    assert "RolloutPolicy production was not found" in second["message"]
    assert "Service checkout was not found" in third["message"]
    assert "HTTPRoute checkout was not found" in fourth["message"]
    assert "v1" == last["stable"]["version"]
    assert "Promoted" == condition(last, "Ready")[1]
    assert ("False", "Promoted") == condition(last, "Stalled")[:2]
    assert ("True", "Promoted") == condition(last, "Promoted")[:2]


def without(rules: list[Json], resource: str, *verbs: str) -> list[Json]:
    """Return rules that lack verbs on a resource."""
    rest = copy.deepcopy(rules)
    for rule in rest:
        if resource in rule["resources"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb not in verbs]
    return [rule for rule in rest if rule["verbs"]]


def limit(namespace: str, rules: list[Json]) -> None:
    """Change what the limited account may do."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "limited", "namespace": namespace},
        "rules": rules,
    }
    apply(yaml.safe_dump(role))


async def test_missing_permission_to_write_is_named_and_goes_away(scene: Scene) -> None:
    """Given a Role without `patch` on Deployments, the status says so with verb and resource; granted, it goes away by itself."""
    rules = rules_of_deploy()
    with account_with(without(rules, "deployments", "patch"), namespace=scene.namespace) as token:
        await scene.policy()
        await scene.deployment()
        await scene.release()
        await scene.start(token)
        told = await scene.until(lambda status: stalled_by(status, "NoPermission"))

        limit(scene.namespace, rules)
        await scene.until(lambda status: condition(status, "Ready")[0] == "True", within=RETRY)

    assert "patch deployments.apps" in told["message"]


async def test_missing_permission_to_watch_is_named_and_goes_away(scene: Scene) -> None:
    """Given a Role without a right on ReplicaSets, nothing is decided, and the status says why; granted, all goes on by itself."""
    rules = rules_of_deploy()
    with account_with(without(rules, "replicasets", "list", "watch"), namespace=scene.namespace) as token:
        await scene.policy()
        await scene.deployment()
        await scene.release()
        operator = await scene.start(token)
        told = await scene.until(lambda status: stalled_by(status, "NoPermission"))

        limit(scene.namespace, rules)
        await scene.until(lambda status: condition(status, "Ready")[0] == "True", within=RETRY)

    assert "list or watch replicasets.apps" in told["message"]
    assert "stable" not in told
    assert any(line["event"] == "not watched" and line["resource"] == "replicasets.apps" for line in operator.lines())


async def test_cluster_policies_that_are_forbidden_matter_to_nobody_else(scene: Scene) -> None:
    """Given rights in one namespace alone, a Release under a policy of it is served; one under a cluster policy is told."""
    with account_with(rules_of_deploy(), namespace=scene.namespace) as token:
        await scene.policy()
        await scene.deployment()
        await scene.release()
        await scene.start(token)
        await scene.idle()
        patch = {"spec": {"policyRef": {"kind": "ClusterRolloutPolicy"}}}
        await scene.admin.merge_patch(f"/apis/tidegate.dev/v1alpha1/namespaces/{scene.namespace}/releases/{NAME}", patch)
        told = await scene.until(lambda status: stalled_by(status, "NoPermission"))

    assert "list or watch clusterrolloutpolicies.tidegate.dev" in told["message"]


async def test_gateway_api_that_is_absent_stops_routed_releases_alone(scene: Scene) -> None:
    """Where the API server does not know HTTPRoutes, a Release with a route says so, until it does."""
    absent = scene.proxy.fault("GET", "/httproutes", status=404, reason="NotFound")
    await scene.policy()
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(route=True)
    operator = await scene.start()
    told = await scene.until(lambda status: stalled_by(status, "APIAbsent"))

    scene.proxy.mend(absent)
    await scene.until(lambda status: condition(status, "Ready")[0] == "True", within=RETRY)

    assert f"{HTTP_ROUTES.qualified}: the API does not serve {HTTP_ROUTES.qualified}" in told["message"]
    assert operator.running


async def test_write_that_keeps_failing_is_told_and_backs_off(scene: Scene) -> None:
    """Given an API server that fails every write on Deployments, the status says so, and attempts grow rare."""
    await scene.policy()
    await scene.deployment()
    broken = scene.proxy.fault("PATCH", "/deployments/", status=500, reason="InternalError")
    await scene.release()
    await scene.start()
    told = await scene.until(lambda status: stalled_by(status, "APIError"))
    began = broken.hits
    await asyncio.sleep(5)
    attempts = broken.hits - began

    scene.proxy.mend(broken)
    await scene.until(lambda status: condition(status, "Ready")[0] == "True", within=RETRY)

    assert "patch deployments.apps checkout" in told["message"]
    assert attempts <= 4


@pytest.mark.parametrize(
    "what", [{"status": 409, "reason": "Conflict"}, {"status": 500}, {"status": 500, "after": True}, {"delay": 0.5}, {"cut": True}]
)
async def test_rollout_gets_through_a_bad_day(scene: Scene, what: Json) -> None:
    """Given an API server that refuses, loses or delays one write in a few, a rollout ends as it should."""
    await scene.policy()
    await scene.deployment()
    await scene.release()
    await scene.start()
    await scene.idle()
    await scene.set_image("checkout:v2")
    for path in ("/status", "/deployments/", "/replicasets"):
        scene.proxy.fault("PATCH", path, times=2, **what)
    scene.proxy.fault("POST", "/replicasets", times=1, **what)

    status = await scene.until(
        lambda status: (status.get("lastRollout") or {}).get("version") == "v2" and not status.get("rollout")
    )

    assert "Promoted" == status["lastRollout"]["outcome"]
    counts = await scene.events("RolloutStarted", "Promoted")
    assert 1 == counts["RolloutStarted"]
    assert 1 == counts["Promoted"]


async def test_route_waits_for_slices_that_are_behind(scene: Scene) -> None:
    """Given a Service whose EndpointSlices name no pod yet, the route stays with the operator's Services until they do."""
    await scene.service()
    await scene.route()
    await scene.policy(steps=[{"weight": 50}, {"weight": 100}])
    await scene.deployment()
    await scene.release(route=True)
    empty = json.dumps(
        {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": {"resourceVersion": "1"}, "items": []}
    )
    async with router_of(scene):
        await scene.start()
        await scene.idle()
        behind = scene.proxy.fault("GET", rf"/endpointslices\?.*service-name(=|%3D){NAME}($|&)", status=200, text=empty)
        await scene.set_image("checkout:v2")
        words = f"waits for Service {NAME} to have the endpoints that serve"
        await scene.until(lambda status: words in status.get("message", ""))
        waiting = await scene.weights()

        scene.proxy.mend(behind)
        status = await scene.until(lambda status: bool(status.get("lastRollout")) and not status.get("rollout"))

    assert {NAME: 0, f"{NAME}-stable": 0, f"{NAME}-canary": 100} == {NAME: 0, **waiting}
    assert "Promoted" == status["lastRollout"]["outcome"]
    assert {NAME} == set(await scene.weights())


@pytest.mark.parametrize("traffic", [None, {"service": "another"}], ids=["taken out", "another Service"])
async def test_traffic_that_changes_during_a_rollout_counts_afterwards(scene: Scene, traffic: Json | None) -> None:
    """Given a route that is shifted, a Release that does not name its Service any more still brings it back, and says so."""
    await scene.service()
    await scene.route()
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
    await scene.deployment()
    await scene.release(route=True)
    async with router_of(scene):
        await scene.start()
        await scene.idle()
        await scene.set_image("checkout:v2")
        await scene.until(lambda status: status.get("weight") == 50 and bool((status.get("step") or {}).get("since")))
        path = RELEASES.path(scene.namespace, NAME)
        await scene.admin.merge_patch(path, {"spec": {"traffic": traffic}})
        words = "spec.traffic has changed and takes effect once the routes are restored"
        await scene.until(lambda status: words in status["message"])
        meanwhile = await scene.weights()
        await scene.admin.merge_patch(path, {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}})
        status = await scene.until(lambda status: bool(status.get("lastRollout")) and not status.get("originalRules"))

    assert {NAME: 0, f"{NAME}-stable": 50, f"{NAME}-canary": 50} == meanwhile
    assert {NAME: 1} == await scene.weights()
    assert "RolledBack" == status["lastRollout"]["outcome"]
    assert "shiftedService" not in status
    assert [NAME] == [one["metadata"]["name"] for one in (await scene.admin.list(SERVICES.path(scene.namespace))).items]
    assert words not in status["message"]
