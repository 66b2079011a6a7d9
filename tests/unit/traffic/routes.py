"""HTTPRoutes as the API server returns them, for the stories about routes."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from tidegate.api.originals import OriginalRule
from tidegate.engine.snapshot import RouteStage, RouteView, Warm
from tidegate.traffic.httproute import observe, render

Json = dict[str, Any]

PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}


def backend(name: str = "checkout", weight: int | None = 1, *, port: int = 80, **more: Any) -> Json:
    """A backendRef with the defaults of the CRD; without a weight, as an API server without them would have it."""
    entry = {"group": "", "kind": "Service", "name": name, "port": port, **more}
    return entry if weight is None else {**entry, "weight": weight}


def rule(*backends: Json, path: str = "/", **more: Any) -> Json:
    """A rule."""
    return {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": list(backends), **more}


def condition(kind: str, status: str, *, generation: int = 2, reason: str = "Because", message: str = "it is so") -> Json:
    """A condition that a router writes."""
    return {"type": kind, "status": status, "observedGeneration": generation, "reason": reason, "message": message}


def accepted(*, generation: int = 2) -> list[Json]:
    """The conditions of a router that is content."""
    return [condition("Accepted", "True", generation=generation), condition("ResolvedRefs", "True", generation=generation)]


def route(*rules: Json, conditions: list[Json] | None = None) -> Json:
    """A route that its one parent has accepted, unless the conditions say otherwise."""
    parent = {"parentRef": PARENT, "controllerName": "example.com/gateway", "conditions": conditions or accepted()}
    return {
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "route-uid", "generation": 2, "resourceVersion": "7"},
        "spec": {"parentRefs": [PARENT], "rules": list(rules)},
        "status": {"parents": [parent]},
    }


def seen(obj: Json | None, known: tuple[OriginalRule, ...] = ()) -> RouteView:
    """What the engine sees of the route `checkout` of the Service `checkout`."""
    return observe(obj, name="checkout", namespace="shop", service="checkout", known=known)


def shifted(
    obj: Json, stage: RouteStage, weight: int = 0, known: tuple[OriginalRule, ...] | None = None, warm: Warm | None = None
) -> Json:
    """The route after the patch that brings it to a stage, with what was noted of it, or with nothing."""
    noted = seen(obj).originals if known is None else known
    patch = render(obj, stage=stage, weight=weight, warm=warm, originals=noted, service="checkout")
    return copy.deepcopy(obj) if patch is None else jsonpatch.apply_patch(obj, patch)


def weights(obj: Json, index: int = 0) -> dict[str, int]:
    """The weights of a rule by the names of its backends."""
    return {entry["name"]: entry.get("weight", 1) for entry in obj["spec"]["rules"][index]["backendRefs"]}
