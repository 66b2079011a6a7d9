"""The operator's rights, verb by verb: it uses every one that it is given, and asks for no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.audit import asked_by
from api.cluster_access import ROOT, needs_api, run
from api.operator_access import NAME, Json, Scene, account_with, install, router_of, scene_in
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import DEPLOYMENTS, HTTP_ROUTES, RELEASES, SERVICES, Resource
from tidegate.controller.observe.bindings import Bindings
from tidegate.runtime.clock import SystemClock
from tidegate.traffic.bindings import KINDS
from tidegate.traffic.routers import Routers

pytestmark = [*needs_api, pytest.mark.undeployed]

Right = tuple[str, str, str]
"""Verb, group, resource."""
ROUTED = {"service": NAME, "pinService": True, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}
ELECTION = {"leaseDuration": "6s", "renewDeadline": "5s", "retryPeriod": "500ms"}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def installed() -> list[Json]:
    """Return all rules of the operator's roles."""
    documents = yaml.safe_load_all((ROOT / "deploy" / "operator" / "rbac.yaml").read_text())
    return [rule for one in documents if one["kind"] in {"ClusterRole", "Role"} for rule in one["rules"]]


def rights(rules: list[Json]) -> Iterator[Right]:
    """Yield what rules give, one verb on one resource at a time."""
    for rule in rules:
        for group in rule["apiGroups"]:
            yield from ((verb, group, resource) for resource in rule["resources"] for verb in rule["verbs"])


@asynccontextmanager
async def busy(scene: Scene, resource: Resource) -> AsyncIterator[None]:
    """Let somebody else write an object all the time, so that what rests on its version has to be read again."""

    async def touch() -> None:
        number = 0
        while True:
            number += 1
            change = {"metadata": {"annotations": {"example.dev/touched": str(number)}}}
            await scene.admin.merge_patch(resource.path(scene.namespace, NAME), change, manager="somebody")
            await asyncio.sleep(0.05)

    slowly = scene.proxy.fault("PATCH", f"/{resource.plural}/{NAME}[?]", delay=0.2)
    touching = asyncio.create_task(touch())
    try:
        yield
    finally:
        scene.proxy.mend(slowly)
        touching.cancel()
        await asyncio.gather(touching, return_exceptions=True)


async def gone(scene: Scene) -> None:
    """Delete the Release, and wait until the operator has handed the workload back."""
    path = RELEASES.path(scene.namespace, NAME)
    async with busy(scene, SERVICES), asyncio.timeout(60):
        await scene.admin.delete(path)
        while not any(one.method == "GET" and f"/services/{NAME}" in one.path for one in scene.proxy.seen):  # noqa: ASYNC110 - a proxy
            await asyncio.sleep(0.1)
    async with asyncio.timeout(60):
        while True:
            try:
                await scene.admin.get(path)
            except NotFound:
                return
            await asyncio.sleep(0.1)


async def stuck(scene: Scene) -> None:
    """Roll out pods that fit on no node, until the operator has looked why they do not come up; then take that back."""
    path, field = DEPLOYMENTS.path(scene.namespace, NAME), "/spec/template/spec/nodeSelector/type"
    await scene.admin.json_patch(path, [{"op": "replace", "path": field, "value": "nowhere"}], manager="author")
    async with asyncio.timeout(60):
        while not any(one.method == "GET" and "/pods" in one.path for one in scene.proxy.seen):  # noqa: ASYNC110 - a proxy
            await asyncio.sleep(0.1)
    await scene.admin.json_patch(path, [{"op": "replace", "path": field, "value": "kwok"}], manager="author")
    await scene.idle()


async def live(scene: Scene) -> None:
    """Lead a Release through all of its life: adopted, promoted among people who interfere, rolled back, deleted."""
    scene.proxy.fault("POST", "/events", status=500, after=True, times=1)
    await scene.policy()
    await scene.deployment()
    await scene.service()
    await scene.route()
    await scene.release(traffic=ROUTED)
    async with router_of(scene):
        await scene.idle()
        async with busy(scene, HTTP_ROUTES):
            await scene.set_image("checkout:v2")
            await scene.until(lambda status: _last(status) == ("v2", "Promoted"))
        # Nothing of it can be erased from the route while somebody writes it all the time.
        await scene.idle()
        await stuck(scene)
        await scene.set_image("checkout:v3")
        await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
        change = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
        await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), change, manager="person")
        await scene.until(lambda status: status.get("phase") == "RolledBack")
        await gone(scene)


def _last(status: Json) -> tuple[Any, Any]:
    last = status.get("lastRollout") or {}
    return last.get("version"), last.get("outcome")


async def test_every_right_is_used_and_no_other_is_asked_for(scene: Scene) -> None:
    """Given an operator with the rights of deploy/ as a Role, all of a Release's life takes each of them, and nothing beside them.

    What is for the whole cluster is refused to it here, and still counts as asked for.
    """
    rules = [rule for rule in installed() if "leases" not in rule["resources"] or "resourceNames" in rule]
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]}
    with account_with([*rules, lease], namespace=scene.namespace) as token:
        await scene.start(token, leaderElection={"namespace": scene.namespace, **ELECTION})
        await live(scene)
        await scene.operator.end()
    asked = asked_by(f"system:serviceaccount:{scene.namespace}:limited")

    used = {(one.verb, one.group, one.resource) for one in asked}
    # Refused the list, it does not go on to watch; refused the policy of the hold, it does not ask for its binding.
    unreached = {("watch", "tidegate.dev", "clusterrolloutpolicies")}
    unreached |= {("get", "admissionregistration.k8s.io", "mutatingadmissionpolicybindings")}
    # Without that policy no decision counts; test_operator_decisions.py has these used.
    unreached |= {("patch", "tidegate.dev", "releasedecisions/status")}
    unreached |= {("create", "authorization.k8s.io", "localsubjectaccessreviews")}
    # The policy asks for the first of these; the others are for a record that is there already, and for old ones (test_records.py).
    unreached |= {(verb, "tidegate.dev", "releaserecords") for verb in ("keep", "get", "delete")}
    # Nor has its policy a check by a Job; test_operator_checks.py has these used.
    unreached |= {("get", "batch", "cronjobs")} | {(verb, "batch", "jobs") for verb in ("get", "create", "delete")}
    # What may be bound to a Service by its name is asked for where there are such objects.
    there = await Bindings(scene.admin, clock=SystemClock(), routers=Routers.all()).installed()
    unreached |= {("list", kind.group, kind.plural) for kind in KINDS if kind not in there}
    assert there
    assert sorted(used) == sorted(set(rights(installed())) - unreached)
    wide = {"clusterrolloutpolicies", "releasefreezes", "namespaces", "mutatingadmissionpolicies", "validatingadmissionpolicies"}
    wide |= {"validatingadmissionpolicybindings"}
    assert wide == {one.resource for one in asked if not one.namespace}
    assert [] == [one for one in asked if one.status == 403 and one.namespace]


async def test_owners_are_enforced_here(scene: Scene) -> None:
    """This API server lets nobody set an owner who may not delete the object, so what is enough here is enough there, too."""
    await scene.deployment()
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]}]
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": scene.namespace, "uid": "x"}
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    with account_with(rules, namespace=scene.namespace):
        who = f"--as=system:serviceaccount:{scene.namespace}:limited"
        refused = await asyncio.to_thread(
            run, "kubectl", who, "--namespace", scene.namespace, "patch", f"deployment/{NAME}", "--type=merge", f"--patch={patch}"
        )

    assert "cannot set an ownerRef on a resource you can't delete" in refused.stderr
