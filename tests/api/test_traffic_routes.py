"""HTTPRoutes on a real API server: shifted, put back, and the user's again."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from api.cluster_access import needs_api, run
from api.shop import NAME, Shop, install_gateway_api, shop_of
from tidegate.api.originals import OriginalRule
from tidegate.cluster.errors import Conflict
from tidegate.cluster.resources import HTTP_ROUTES
from tidegate.engine.plan import ShiftRoute
from tidegate.engine.route import RouteRef
from tidegate.engine.snapshot import RouteStage, RouteView, Warm
from tidegate.traffic.httproute import KIND, HTTPRouteRouter
from tidegate.traffic.our_marks import erase

pytestmark = needs_api

Json = dict[str, Any]
USER, ENTERING, SPLIT = RouteStage
UP = [(ENTERING, 0), (SPLIT, 0), (SPLIT, 10), (SPLIT, 100)]
DOWN = [(ENTERING, 0), (USER, 0)]
WARM_WAY = [
    (ENTERING, 0, Warm.STABLE),
    (SPLIT, 0, Warm.USER),
    (SPLIT, 0, None),
    (SPLIT, 0, Warm.CANARY),
    (SPLIT, 10, None),
    (SPLIT, 100, Warm.STABLE),
    (SPLIT, 100, Warm.USER),
    (ENTERING, 0, Warm.CANARY),
    (USER, 0, None),
]
MANIFEST: Json = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": NAME},
    "spec": {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["shop.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/checkout"}}],
                "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": NAME, "port": 80}}}],
                "backendRefs": [{"name": NAME, "port": 80}, {"name": "legacy", "port": 80, "weight": 3}],
            },
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": "front", "port": 80}]},
        ],
    },
}


@dataclass
class Routes:
    """The route of a shop, as its user and the operator treat it."""

    shop: Shop
    router = HTTPRouteRouter()
    originals: tuple[OriginalRule, ...] = ()

    def apply(self, manifest: Json, *, force: bool = False) -> str:
        """Apply a manifest as its user; return what went wrong, empty where nothing did."""
        options = ["--force-conflicts"] if force else []
        text = yaml.safe_dump(manifest)
        done = run(
            *("kubectl", "apply", "--server-side", "--field-manager=user", *options, "-n", self.shop.namespace, "-f", "-"),
            stdin=text,
        )
        return done.stderr if done.returncode else ""

    async def read(self) -> Json:
        return await self.shop.cluster.get(HTTP_ROUTES.path(self.shop.namespace, NAME))

    async def view(self) -> RouteView:
        return self.seen(await self.read())

    def seen(self, route: Json) -> RouteView:
        namespace = self.shop.namespace
        return self.router.observe(route, name=NAME, namespace=namespace, service=NAME, known=self.originals)

    async def shift(self, stage: RouteStage, weight: int, warm: Warm | None = None, *, seen: Json | None = None) -> bool:
        """Note the originals and shift, as a pass does."""
        route = seen or await self.read()
        self.originals = self.seen(route).originals
        action = ShiftRoute(RouteRef(KIND, NAME), stage, weight, self.originals, warm)
        return await self.router.shift(action, route=route, service=NAME, cluster=self.shop.cluster)


@pytest.fixture
async def routes() -> AsyncIterator[Routes]:
    install_gateway_api()
    async with shop_of("tidegate-routes") as shop:
        routes = Routes(shop)
        assert routes.apply(MANIFEST) == ""
        yield routes


def changed(**spec: Any) -> Json:
    manifest = copy.deepcopy(MANIFEST)
    manifest["spec"] |= spec
    return manifest


def managers(route: Json) -> set[str]:
    return {entry["manager"] for entry in route["metadata"]["managedFields"]}


async def test_way_up_and_down(routes: Routes) -> None:
    """Each stage is taken by the API server, is seen as it was meant, and is written once; in the end all is as before."""
    before = await routes.read()
    for stage, weight in UP + DOWN:
        assert await routes.shift(stage, weight)
        view = await routes.view()
        assert (view.stage, view.uniform, view.weight) == (stage, True, weight)
        assert await routes.shift(stage, weight) is False

    after = await routes.read()

    assert after["spec"] == before["spec"]
    assert managers(after) == {"user"}


async def test_warm_way_up_and_down(routes: Routes) -> None:
    """So is each form in which a backend is warm: 1 in 10,000 of what the Service had, beside another backend with its share."""
    before = await routes.read()
    for stage, weight, warm in WARM_WAY:
        assert await routes.shift(stage, weight, warm)
        view = await routes.view()
        assert (view.stage, view.uniform, view.weight, view.warm) == (stage, True, weight, warm)
        if warm is not None:
            weights = [entry["weight"] for entry in (await routes.read())["spec"]["rules"][0]["backendRefs"]]
            assert ([0, 1, 9_999], 30_000) == (sorted(weights[:3]), weights[3])

    after = await routes.read()

    assert after["spec"] == before["spec"]
    assert managers(after) == {"user"}


async def test_users_apply_works_after_a_rollout(routes: Routes) -> None:
    """Given a rollout that is over, the user changes the route by a plain server-side apply, without any conflict."""
    for stage, weight in UP:
        await routes.shift(stage, weight)
    refused = routes.apply(changed(rules=MANIFEST["spec"]["rules"][:1]))
    for stage, weight in DOWN:
        await routes.shift(stage, weight)

    applied = routes.apply(changed(rules=MANIFEST["spec"]["rules"][:1]))

    assert 'conflict with "tidegate"' in refused
    assert applied == ""
    assert len((await routes.read())["spec"]["rules"]) == 1


async def test_trace_that_a_killed_operator_left_is_removed(routes: Routes) -> None:
    """Given a route that was put back but not cleaned up, the next shift to the user's stage cleans up."""
    await routes.shift(SPLIT, 10)
    route = await routes.read()
    action = [{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": MANIFEST["spec"]["rules"][0]["backendRefs"]}]
    await routes.shop.cluster.json_patch(HTTP_ROUTES.path(routes.shop.namespace, NAME), action)
    assert "tidegate" in managers(await routes.read())

    assert await routes.shift(USER, 0)

    assert managers(await routes.read()) == managers(route) - {"tidegate"}


async def test_trace_is_removed_though_the_router_writes_in_between(routes: Routes) -> None:
    """A router that says something about the route at the moment at which it is put back does not keep the trace there."""
    before = await routes.read()
    await routes.shift(SPLIT, 10)
    outdated = await routes.read()
    path = HTTP_ROUTES.path(routes.shop.namespace, NAME)
    await routes.shop.cluster.merge_patch(path, {"metadata": {"annotations": {"seen": "yes"}}}, manager="router")

    assert await erase(outdated, path, routes.shop.cluster)

    assert managers(before) | {"router"} == managers(await routes.read())


async def test_resync_in_the_middle_of_a_rollout(routes: Routes) -> None:
    """Given a forced apply during a rollout, its backends are the new originals: they are split again and come back."""
    await routes.shift(SPLIT, 10)
    rules = copy.deepcopy(MANIFEST["spec"]["rules"])
    rules[0]["backendRefs"] = [{"name": NAME, "port": 80, "weight": 9}, {"name": "third", "port": 80}]
    assert routes.apply(changed(rules=rules), force=True) == ""
    resynced = await routes.read()
    assert (await routes.view()).stage is USER

    await routes.shift(SPLIT, 10)
    split = (await routes.read())["spec"]["rules"][0]["backendRefs"]
    await routes.shift(USER, 0)

    assert [(entry["name"], entry["weight"]) for entry in split] == [
        (NAME, 0),
        (f"{NAME}-stable", 81),
        (f"{NAME}-canary", 9),
        ("third", 10),
    ]
    assert (await routes.read())["spec"] == resynced["spec"]


async def test_edit_elsewhere_does_not_delay_a_shift(routes: Routes) -> None:
    """Given a hostname that somebody added since the route was seen, the shift goes through at once and keeps the hostname."""
    await routes.shift(SPLIT, 10)
    seen = await routes.read()
    routes.shop.kubectl("patch", "httproute", NAME, "--type=merge", "-p", '{"spec":{"hostnames":["a.example.com"]}}')

    assert await routes.shift(SPLIT, 0, seen=seen)

    after = await routes.read()
    assert (after["spec"]["hostnames"], routes.seen(after).weight) == (["a.example.com"], 0)


async def test_resync_since_the_route_was_seen_needs_another_look(routes: Routes) -> None:
    """Given backends that came back since the route was seen, the shift is refused: they must not jump to another stage."""
    await routes.shift(SPLIT, 10)
    seen = await routes.read()
    assert routes.apply(MANIFEST, force=True) == ""

    with pytest.raises(Conflict):
        await routes.shift(SPLIT, 25, seen=seen)

    assert (await routes.view()).stage is USER


async def test_route_made_anew_is_not_mistaken(routes: Routes) -> None:
    """Given a route that was deleted and created again, what is written rests on the new one."""
    await routes.shift(SPLIT, 10)
    seen = await routes.read()
    routes.shop.kubectl("delete", "httproute", NAME)
    assert routes.apply(MANIFEST) == ""

    with pytest.raises(Conflict):
        await routes.shift(SPLIT, 25, seen=seen)
