"""Routes of data planes that leave out backends of weight 0: how they are known, and what a warm form leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.engine.snapshot import RouteStage, Warm
from tidegate.traffic.httproute import observe
from unit.traffic.routes import PARENT, accepted, backend, route, rule, seen, shifted, weights

Json = dict[str, Any]

USER, ENTERING, SPLIT = RouteStage
HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}
ENVOY_GATEWAY = "gateway.envoyproxy.io/gatewayclass-controller"


@pytest.mark.parametrize(
    ("controller", "filters", "told", "warms"),
    [
        (ENVOY_GATEWAY, [HEADER], {}, True),
        (ENVOY_GATEWAY, [], {}, False),
        (ENVOY_GATEWAY, [], {ENVOY_GATEWAY: True}, True),
        (ENVOY_GATEWAY, [HEADER], {ENVOY_GATEWAY: False}, False),
        ("example.com/gateway", [HEADER], {}, False),
        ("example.com/gateway", [], {"example.com/gateway": True}, True),
    ],
)
@pytest.mark.parametrize("stage", [USER, SPLIT])
@pytest.mark.parametrize("generation", [1, 2], ids=["which is behind", "which has accepted"])
def test_data_planes_that_leave_out_weight_0(
    controller: str, filters: list[Json], told: dict[str, bool], warms: bool, stage: RouteStage, generation: int
):
    """They are known by their controller, whatever it has spoken of last, and Envoy Gateway's by filters of a backend."""
    obj = route(rule(backend(**({"filters": filters} if filters else {}))), conditions=accepted(generation=generation))
    obj["status"]["parents"][0]["controllerName"] = controller
    known = seen(obj).originals

    view = observe(
        shifted(obj, stage, 10, known), name="checkout", namespace="shop", service="checkout", known=known, warm_weights=told
    )

    assert view.warms is warms


def test_former_controllers_have_no_say_in_that():
    """Nor has one of a parent that the route does not name any more."""
    obj = route(rule(backend()))
    former = {"parentRef": {**PARENT, "name": "former"}, "controllerName": "example.com/former", "conditions": accepted()}
    obj["status"]["parents"].append(former)

    told = {"example.com/former": True}
    assert not observe(obj, name="checkout", namespace="shop", service="checkout", warm_weights=told).warms


@pytest.mark.parametrize(("other", "room"), [(100, True), (101, False)])
def test_no_warm_form_where_other_weights_leave_no_room(other: int, room: bool):
    """1 in 10,000 of a weight of 1 beside one of 101 is beyond what Gateway API allows: the plain form is written, and seen."""
    obj = route(rule(backend(weight=1), backend("legacy", other)))

    warm = shifted(obj, SPLIT, 0, warm=Warm.CANARY)

    told = {"example.com/gateway": True}
    assert observe(obj, name="checkout", namespace="shop", service="checkout", warm_weights=told).warms is room
    assert (warm != shifted(obj, SPLIT, 0)) is room
    assert seen(warm).warm is (Warm.CANARY if room else None)


def test_what_a_person_adds_to_a_warm_route_stays_theirs():
    """Given a warm form, when somebody adds a backend, then the share that they gave it beside the Service's is what stays."""
    obj = route(rule(backend(weight=2)))
    known = seen(obj).originals
    warm = shifted(obj, ENTERING, 0, known, Warm.STABLE)
    warm["spec"]["rules"][0]["backendRefs"].append(backend("legacy", 10_000))

    assert weights(shifted(warm, USER, 0, known)) == {"checkout": 2, "legacy": 2}
