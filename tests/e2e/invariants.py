"""What must hold in every version of every object that a test has seen, whatever the test is about."""

from __future__ import annotations

from typing import Any

from e2e.history import Seen
from e2e.manifests import NAME, Json
from e2e.world import World, canary_share, weights
from tidegate.api.names import FIELD_MANAGER

OWN = {NAME, f"{NAME}-stable", f"{NAME}-canary"}


async def check(world: World) -> None:
    """Check them all; the message of a failure names the object and its version.

    Raises:
        AssertionError: one does not hold.
    """
    somebody_serves_always(world)
    if not world.app_deleted:
        weight_goes_only_to_ready_pods(world)
    the_service_is_untouched(world)
    no_pod_was_restarted(world)
    if not world.status.get("candidate"):
        await world.until(
            "the route is as the user wrote it, without a trace of the operator", lambda: the_route_is_as_written(world)
        )
    if world.load is not None:
        no_request_failed(world)


def somebody_serves_always(world: World) -> None:
    """In no version of the route have the user's Service and the operator's two no weight at all."""
    for seen in routes(world):
        for rule in weights(seen.object):
            own = [weight for name, weight in rule.items() if name in OWN]
            assert not own or sum(own) > 0, f"nobody had weight in version {seen.order} of the route: {rule}"


def weight_goes_only_to_ready_pods(world: World) -> None:
    """Whenever the new version's weight was raised, and whenever stable had some, its Service selected ready pods just before."""
    before = 0.0
    for seen in routes(world):
        share = canary_share(seen.object)
        if share > before:
            assert ready_behind(world, seen, f"{NAME}-canary"), f"weight {share:g}% in version {seen.order}, but no pod was ready"
        if any(f"{NAME}-stable" in rule and rule[f"{NAME}-stable"] for rule in weights(seen.object)):
            assert ready_behind(world, seen, f"{NAME}-stable"), f"stable had weight in version {seen.order}, but no ready pod"
        before = share


def ready_behind(world: World, seen: Seen, service: str) -> int:
    """Return how many ready pods a Service of the operator's own selected just before a change of the route."""
    selecting = world.history.before(seen.order, "Service", service)
    assert selecting is not None, f"version {seen.order} of the route names Service {service}, which is not there"
    revision = selecting["spec"]["selector"].get("pod-template-hash")
    names = {one.name for one in world.history.versions("ReplicaSet")}
    sets = [found for name in names if (found := world.history.before(seen.order, "ReplicaSet", name)) is not None]
    ours = [rs for rs in sets if rs["metadata"]["labels"].get("pod-template-hash") == revision]
    return sum(int((rs.get("status") or {}).get("readyReplicas") or 0) for rs in ours)


def the_service_is_untouched(world: World) -> None:
    """The user's Service is as they wrote it in every version."""
    wrote = world.written.get("Service")
    for seen in world.history.versions("Service", NAME):
        if wrote is not None and seen.type != "DELETED":
            assert strip(wrote) == strip(seen.object["spec"]), f"somebody wrote into the user's Service in version {seen.order}"


def no_pod_was_restarted(world: World) -> None:
    """No container was started a second time, but those of versions that crash as they were told to."""
    for seen in world.history.versions("Pod"):
        version = seen.object["spec"]["containers"][0]["image"].rpartition(":")[2]
        for status in (seen.object.get("status") or {}).get("containerStatuses") or ():
            assert status["restartCount"] == 0 or version in world.failing, f"pod {seen.name} was restarted"


def the_route_is_as_written(world: World) -> bool:
    """Whether the route is exactly what the user wrote, and nothing in it belongs to the operator any more."""
    wrote, now = world.written.get("HTTPRoute"), world.history.get("HTTPRoute", NAME)
    if wrote is None or now is None:
        return True
    return wrote == now["spec"] and FIELD_MANAGER not in {entry["manager"] for entry in now["metadata"].get("managedFields", ())}


def no_request_failed(world: World) -> None:
    """No request got an error that a version was not told to give."""
    assert world.load is not None
    failures = [one for one in world.load.answers().failures() if one.version not in world.failing]
    assert failures == [], f"{len(failures)} of {world.load.sent} requests failed"


def routes(world: World) -> list[Seen]:
    """Return every version of the user's route."""
    return [seen for seen in world.history.versions("HTTPRoute", NAME) if seen.type != "DELETED"]


def strip(spec: Json) -> dict[str, Any]:
    """Return a Service's spec without what the API server fills in for itself."""
    return {key: value for key, value in spec.items() if key in {"selector", "ports", "type"}}
