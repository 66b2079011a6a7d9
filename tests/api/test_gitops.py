"""Argo CD and Flux on managed objects, under the recipes of docs/operations.md, by their own libraries on a real API server."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.cluster_access import ROOT, needs_api, run
from api.gitops import application, argo_sees, flux_applies, health, kstatus
from api.operator_access import NAME, PATIENCE, Scene, condition, install, router_of, scene_in
from api.shop import install_gateway_api, shop_of
from api.test_admission import in_force
from api.test_traffic_routes import ENTERING, MANIFEST, SPLIT, USER, Routes
from tidegate.cluster.resources import DEPLOYMENTS, ENDPOINT_SLICES, HTTP_ROUTES, RELEASES, SERVICES

pytestmark = needs_api

Json = dict[str, Any]
HOLD = ROOT / "deploy" / "components" / "hold-admission" / "hold.yaml"
RELEASE, DEPLOYMENT = "tidegate.dev_Release", "apps_Deployment"
RE_SYNCS = 5


def written(namespace: str) -> Json:
    """The route as it is in Git: one rule, which names the Service."""
    manifest = copy.deepcopy(MANIFEST)
    manifest["metadata"]["namespace"] = namespace
    manifest["spec"]["rules"] = [{"matches": MANIFEST["spec"]["rules"][0]["matches"], "backendRefs": [{"name": NAME, "port": 80}]}]
    return manifest


def moved(manifest: Json, path: str) -> Json:
    """The same with another match."""
    found = copy.deepcopy(manifest)
    found["spec"]["rules"][0]["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]
    return found


@pytest.fixture
async def routes() -> AsyncIterator[Routes]:
    install_gateway_api()
    async with shop_of("tidegate-gitops") as shop:
        yield Routes(shop)


async def up(routes: Routes) -> None:
    for stage, weight in [(ENTERING, 0), (SPLIT, 0), (SPLIT, 20)]:
        assert await routes.shift(stage, weight)


async def back(routes: Routes) -> None:
    for stage, weight in [(ENTERING, 0), (USER, 0)]:
        assert await routes.shift(stage, weight)


async def test_flux_leaves_a_shifted_route_alone_and_applies_the_rest(routes: Routes) -> None:
    """Given the documented rule, re-syncs do not touch the split, and a new match lands in the midst of a rollout."""
    manifest = written(routes.shop.namespace)
    assert flux_applies(manifest) == {"created"}
    await up(routes)
    split = await routes.read()

    syncs = [flux_applies(manifest) for _ in range(RE_SYNCS)]
    resynced = await routes.read()
    committed = flux_applies(moved(manifest, "/basket"))
    view, after = await routes.view(), await routes.read()
    await back(routes)

    assert syncs == [{"unchanged"}] * RE_SYNCS
    assert resynced["metadata"]["resourceVersion"] == split["metadata"]["resourceVersion"]
    assert committed == {"configured"}
    assert after["spec"]["rules"][0]["matches"][0]["path"]["value"] == "/basket"
    assert (view.stage, view.weight) == (SPLIT, 20)
    assert (await routes.read())["spec"]["rules"][0]["matches"][0]["path"]["value"] == "/basket"


async def test_flux_without_the_rule_writes_over_the_route(routes: Routes) -> None:
    """Without the rule a re-sync is a flap: the rule is what keeps it off."""
    manifest = written(routes.shop.namespace)
    flux_applies(manifest)
    await up(routes)

    said = flux_applies(manifest, ignore=False)

    assert said == {"configured"}
    assert (await routes.view()).stage is USER


async def test_argo_cd_leaves_a_shifted_route_alone_until_the_rollout_is_over(routes: Routes) -> None:
    """The rule rests on the operator's entry in managedFields: it hides the rules in a rollout, and nothing after it."""
    manifest = written(routes.shop.namespace)
    assert routes.apply(manifest) == ""
    await up(routes)
    live, git = argo_sees(await routes.read(), moved(manifest, "/basket"))
    other = copy.deepcopy(manifest)
    other["spec"]["hostnames"] = ["other.example.com"]
    hosts = argo_sees(await routes.read(), other)
    await back(routes)
    live_after, git_after = argo_sees(await routes.read(), moved(manifest, "/basket"))

    assert "rules" not in live
    assert "rules" not in git
    assert hosts[0]["hostnames"] != hosts[1]["hostnames"] == ["other.example.com"]
    assert live_after["rules"][0]["matches"][0]["path"]["value"] == "/checkout"
    assert git_after["rules"][0]["matches"][0]["path"]["value"] == "/basket"


def test_the_recipe_for_argo_cd_ignores_no_more_than_it_must() -> None:
    """The list of rules is not taken out by a path: with RespectIgnoreDifferences nothing in it would ever be applied again."""
    recipe = application()

    assert "RespectIgnoreDifferences=true" in recipe["syncPolicy"]["syncOptions"]
    assert recipe["syncPolicy"]["retry"]["refresh"] is True
    assert [] == [rule for rule in recipe["ignoreDifferences"] if "jqPathExpressions" in rule]
    assert [] == [one for rule in recipe["ignoreDifferences"] for one in rule.get("jsonPointers", []) if "rules" in one]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        with in_force(HOLD, scene.namespace):
            yield scene


async def release_of(scene: Scene) -> Json:
    return await scene.admin.get(RELEASES.path(scene.namespace, NAME))


async def deployment_of(scene: Scene) -> Json:
    return await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME))


async def test_health_tells_what_is_going_on(scene: Scene) -> None:
    """Health by both tools through a life: healthy, in progress from the very request that changes it, failed by a rollback."""
    await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
    await scene.deployment()
    await scene.release()
    new = await release_of(scene)
    await scene.start()
    await scene.idle()
    idle = await release_of(scene), await deployment_of(scene)
    await scene.set_image("checkout:v2")
    changed = await deployment_of(scene)
    await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
    rolling = await release_of(scene), await deployment_of(scene)
    request = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), request)
    await scene.until(lambda status: condition(status, "Stalled")[0] == "True")
    failed = await release_of(scene), await deployment_of(scene)

    assert health(new, RELEASE) == "Progressing"
    assert [health(idle[0], RELEASE), kstatus(idle[0])] == ["Healthy", "Current"]
    assert kstatus(changed) == "InProgress"
    assert [health(rolling[0], RELEASE), kstatus(rolling[0])] == ["Progressing", "InProgress"]
    assert [health(rolling[1], DEPLOYMENT), kstatus(rolling[1])] == ["Healthy", "InProgress"]
    assert [health(failed[0], RELEASE), kstatus(failed[0])] == ["Degraded", "Failed"]
    assert health(failed[1], DEPLOYMENT) == "Healthy"


async def test_waiting_for_a_version_is_not_met_by_the_one_before(scene: Scene) -> None:
    """Given an operator that is away when the template changes, the documented wait is met by the new version alone."""
    await scene.policy(steps=[{"weight": 100}], bake="0s")
    await scene.deployment()
    await scene.release()
    operator = await scene.start()
    await scene.idle()
    await operator.end()
    await scene.set_image("checkout:v2")
    wait = ("kubectl", "wait", f"release/{NAME}", "-n", scene.namespace, "--for=jsonpath={.status.stable.version}=v2")

    early = await asyncio.to_thread(run, *wait, "--timeout=2s")
    await scene.start()
    late = await asyncio.to_thread(run, *wait, "--timeout=100s")

    assert early.returncode != 0
    assert late.returncode == 0, late.stderr


async def test_the_condition_is_not_met_by_the_version_before_where_the_release_itself_says_what_is_wanted(scene: Scene) -> None:
    """Given an operator that is away when spec.images changes, `condition=Promoted` is of the old generation, and not met by it."""
    await scene.policy(steps=[{"weight": 100}], bake="0s")
    await scene.deployment()
    await scene.release()
    operator = await scene.start()
    await scene.idle()
    await operator.end()
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), {"spec": {"images": {"app": "checkout:v2"}}})
    wait = ("kubectl", "wait", f"release/{NAME}", "-n", scene.namespace, "--for=condition=Promoted")
    asked = (await release_of(scene))["metadata"]["generation"]

    early = await asyncio.to_thread(run, *wait, "--timeout=2s")
    await scene.start()
    late = await asyncio.to_thread(run, *wait, "--timeout=100s")
    promoted = next(one for one in (await scene.status())["conditions"] if one["type"] == "Promoted")

    assert early.returncode != 0
    assert late.returncode == 0, late.stderr
    assert promoted["observedGeneration"] == asked
    assert promoted["message"].startswith("v2 (revision ")


async def test_deployment_in_git_is_no_drift_while_it_is_held(scene: Scene) -> None:
    """Given a Deployment that Flux applies, when it is held, then re-syncs write nothing, and the hold stays."""
    async with router_of(scene):
        await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
        first = await scene.deployment()
        keep = ("name", "namespace")
        git = {**first, "metadata": {key: first["metadata"][key] for key in keep}, "apiVersion": "apps/v1", "kind": "Deployment"}
        git.pop("status", None)
        await asyncio.to_thread(flux_applies, git)
        await scene.release()
        await scene.start()
        await scene.idle()
        git = copy.deepcopy(git)
        git["spec"]["template"]["spec"]["containers"][0]["image"] = "checkout:v2"

        first_sync = await asyncio.to_thread(flux_applies, git)
        await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
        syncs = [await asyncio.to_thread(flux_applies, git) for _ in range(RE_SYNCS)]
        held = await deployment_of(scene)

    assert first_sync == {"configured"}
    assert syncs == [{"unchanged"}] * RE_SYNCS
    assert held["spec"]["paused"] is True


async def write_back(scene: Scene, written: Json) -> None:
    """Write the route's rules as they are in Git, as a tool does that knows of no rule."""
    operations = [{"op": "replace", "path": "/spec/rules", "value": written["spec"]["rules"]}]
    await scene.admin.json_patch(HTTP_ROUTES.path(scene.namespace, NAME), operations, manager="argocd-controller")


async def behind_the_service(scene: Scene) -> set[str]:
    """Return the pods that the user's Service leads to."""
    path, selector = ENDPOINT_SLICES.path(scene.namespace), f"kubernetes.io/service-name={NAME}"
    slices = (await scene.admin.list(path, label_selector=selector)).items
    found = [one for each in slices for one in each.get("endpoints") or () if one["conditions"].get("ready")]
    return {one["targetRef"]["name"] for one in found}


async def test_a_route_that_is_written_back_again_and_again_leads_to_nothing_that_was_shut_out(scene: Scene) -> None:
    """Given a tool that writes the route back, when v2 is rolled back, the Service leads to v1 alone for as long as v2 has pods."""
    async with router_of(scene):
        await scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}], drain="6s")
        await scene.deployment()
        service, written = await scene.service(), await scene.route()
        await scene.release(route=True)
        await scene.start()
        await scene.idle()
        old = await behind_the_service(scene)
        await scene.set_image("checkout:v2")
        await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
        await write_back(scene, written)
        await scene.events("RouteCorrected")
        request = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
        await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), request)
        await scene.until(lambda status: bool(status.get("pinnedService")))
        async with asyncio.timeout(PATIENCE):
            # The controller of EndpointSlices follows.
            while await behind_the_service(scene) != old:
                pass
        led_to: set[str] = set()
        while (await scene.status()).get("phase") == "RollingBack":
            await write_back(scene, written)
            led_to |= await behind_the_service(scene)
        await scene.until(lambda status: status.get("phase") == "RolledBack" and not status.get("pinnedService"))
        after = await scene.admin.get(SERVICES.path(scene.namespace, NAME))

    assert led_to <= old
    assert after["spec"]["selector"] == service["spec"]["selector"]
    assert "tidegate" not in {entry["manager"] for entry in after["metadata"]["managedFields"]}
