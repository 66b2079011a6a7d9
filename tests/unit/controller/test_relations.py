"""A kind is known by its relation and its router alone: routes of a kind that the operator does not have go all the way."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.cluster.resources import DEPLOYMENTS, RELEASES, SERVICES
from tidegate.controller.observe.parsing import stored_status
from tidegate.controller.observe.references import References
from tidegate.controller.observe.relations import Relations
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change
from tidegate.traffic.httproute import HTTPRouteRouter
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.api_server import ApiServer
from unit.controller.objects import NAME, NAMESPACE, Json
from unit.controller.stage import BREACH, KEY, PATH, Stage
from unit.traffic.example_router import ExampleRouter

BOTH = Routers(HTTPRouteRouter(), ExampleRouter())
RELATIONS = Relations(BOTH)
KIND, SHARE = ExampleRouter.kind.label, ExampleRouter.resource.path(NAMESPACE, NAME)
NOTE = {"kind": KIND, "route": NAME, "rule": 0, "backendRefs": f'[{{"name":"{NAME}","weight":100}}]'}


def release(traffic: Json | None = None, **status: Any) -> Json:
    return objects.release(route=False, status=status, **({"traffic": traffic} if traffic else {}))


SHARED = {"service": NAME, "example": {"trafficShares": [{"name": "web"}]}}
ROUTED = {"service": NAME, "gatewayAPI": {"httpRoutes": [{"name": "web"}]}}


@pytest.mark.parametrize(
    ("what", "needed"),
    [
        (release(SHARED), {KIND}),
        (release(ROUTED), {"HTTPRoute"}),
        (release(), set()),
        (release(originalRules=[NOTE]), {KIND}),
        (release(ROUTED, originalRules=[NOTE]), {KIND, "HTTPRoute"}),
        (release(originalRules=[{"route": "web", "rule": 0, "backendRefs": "[]"}]), {"HTTPRoute"}),
    ],
    ids=["shares", "routes", "neither", "shifted shares", "both", "shifted routes"],
)
def test_routes_are_needed_by_those_that_have_some(what: Json, needed: set[str]) -> None:
    """A Release waits for a kind of route where it names one or has one shifted: what it has not keeps it from nothing."""
    found = {relation.resource.kind for relation in RELATIONS if relation.needed(what)}

    assert found & {KIND, "HTTPRoute"} == needed
    assert ({"Service", "EndpointSlice"} <= found) == bool(needed)
    assert {"Deployment", "ReplicaSet", "RolloutPolicy"} <= found
    assert not {"HorizontalPodAutoscaler", "ClusterRolloutPolicy"} & found


@pytest.mark.parametrize("what", [release(SHARED), release(originalRules=[{**NOTE, "route": "web"}])], ids=["named", "noted"])
def test_change_of_a_route_concerns_who_has_it(what: Json) -> None:
    """Given a route of a kind, its change brings back the Release that names it or has it shifted; one of another kind does not."""
    references = References(RELATIONS)
    references.learn(KEY, what)

    def concerned(kind: str) -> set[Any]:
        return references.of(Change(Key(kind, NAMESPACE, "web"), None, {"metadata": {"namespace": NAMESPACE, "name": "web"}}))

    assert (concerned(KIND), concerned("HTTPRoute")) == ({KEY}, set())


def test_each_kind_has_one_relation() -> None:
    """All that is watched is found by its kind; what the operator writes is among it, with Releases first."""
    kinds = [relation.resource.kind for relation in RELATIONS]

    assert sorted({*kinds}) == sorted(kinds)
    assert [relation.resource.kind for kind in kinds if (relation := RELATIONS.of(kind))] == kinds
    assert RELATIONS.of("Pod") is None
    assert RELATIONS.resources[0] is RELATIONS.written[0] is RELEASES
    assert {DEPLOYMENTS, SERVICES, *(router.resource for router in BOTH)} < set(RELATIONS.written) < set(RELATIONS.resources)


def share(*shares: tuple[str, int]) -> Json:
    resource = ExampleRouter.resource
    metadata = {"namespace": NAMESPACE, "name": NAME, "uid": "share", "generation": 1, "resourceVersion": "1"}
    spec = {"shares": [{"service": name, "percent": percent} for name, percent in shares]}
    return {"apiVersion": resource.api_version, "kind": KIND, "metadata": metadata, "spec": spec}


def shares(stage: Stage) -> dict[str, int]:
    return {one["service"]: one["percent"] for one in stage.api.objects[SHARE]["spec"]["shares"]}


def with_a_share(stage: Stage) -> None:
    """Let a rollout at 10% have a TrafficShare, too, which has the name of the HTTPRoute; its Release names it no more."""
    stage.at_ten_percent()
    found = stage.api.objects[PATH]
    status = stored_status(found).to_wire()
    status["originalRules"] = [*status["originalRules"], NOTE]
    stage.add({**found, "status": {**status, "shiftedService": NAME}})
    stage.api.objects[SHARE] = share((NAME, 0), (f"{NAME}-stable", 90), (f"{NAME}-canary", 10))
    stage.store.upsert(KIND, stage.api.objects[SHARE])


async def test_breach_shuts_routes_of_each_kind(api: ApiServer) -> None:
    """Given an HTTPRoute and a TrafficShare of one name, when the version breaks, then both are shut at once."""
    stage = Stage(api, routers=BOTH)
    try:
        with_a_share(stage)
        await stage.passes()
        before = stage.weights[f"{NAME}-canary"], shares(stage)[f"{NAME}-canary"]

        await stage.breach()
        await stage.reconciler.reconcile(await stage.queue.get())

        assert before == (10, 10)
        assert stage.undone == BREACH
        assert (stage.weights[f"{NAME}-canary"], shares(stage)[f"{NAME}-canary"]) == (0, 0)
        assert [one.get("kind") for one in stage.status["originalRules"]] == [None, KIND]
    finally:
        await stage.close()


async def test_note_of_a_kind_that_nobody_shifts_keeps_nobody(api: ApiServer) -> None:
    """Given what a later version of the operator has noted of a kind of its own, a Release is served as if it were not there."""
    stage = Stage(api)
    try:
        with_a_share(stage)

        around = stage.gatherer.collect(KEY, stored_status(stage.api.objects[PATH]))

        assert around is not None
        assert [route.label for route in around.routes] == [f"HTTPRoute {NAME}"]
    finally:
        await stage.close()
