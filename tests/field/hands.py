"""What others do to the objects while a case is played, each a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from e2e.manifests import NAME, Json
from e2e.world import USER, World, canary_share
from field import pod_hands
from tidegate.cluster.errors import ApiError
from tidegate.cluster.resources import HTTP_ROUTES

LOOK = 0.1
"""Seconds between two looks of a hand that waits."""
_FORMER = "former.example/gateway-controller"


async def fail_while_split(world: World, folder: Path) -> None:
    """Have the pods fail for as long as the route names the operator's Services."""
    ill = folder / "ill"
    while True:
        if split(world):
            ill.touch()
        else:
            ill.unlink(missing_ok=True)
        await asyncio.sleep(LOOK)


async def add_a_parent_and_roll_back(world: World, folder: Path) -> None:
    """Once half of the traffic is shifted, name another parent in the route; then ask for a rollback."""
    await world.until("half is shifted", lambda: canary_share(world.route) == 50 and "since" in (world.status.get("step") or {}))
    parents = [*world.route["spec"]["parentRefs"], {"name": "edge", "namespace": "projectcontour"}]
    await world.cluster.merge_patch(_route(world), {"spec": {"parentRefs": parents}}, manager=USER)
    await world.ask("rollback")


async def keep_what_a_former_controller_said(world: World, folder: Path) -> None:
    """See to it that the route's status has an entry of a controller that is no more, before and behind the present one's."""
    while True:
        parents = (world.route.get("status") or {}).get("parents") or []
        own = [entry for entry in parents if entry["controllerName"] != _FORMER]
        if own and len(parents) == len(own):
            said = {**own[0]["conditions"][0], "type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": "no"}
            former = {**own[0], "controllerName": _FORMER, "conditions": [said]}
            body = {
                "status": {"parents": [*own, former]},
                "metadata": {"resourceVersion": world.route["metadata"]["resourceVersion"]},
            }
            # Where somebody has written in between, there will be another look.
            with contextlib.suppress(ApiError):
                await world.cluster.merge_patch(f"{_route(world)}/status", body, manager="former")
        await asyncio.sleep(LOOK)


def split(world: World) -> bool:
    """Whether the route names the operator's Services now."""
    return split_in(world.route)


def split_in(route: Json) -> bool:
    """Whether a version of the route names the operator's Services."""
    backends = [ref for rule in route["spec"]["rules"] for ref in rule.get("backendRefs", ())]
    return any(ref["name"].endswith("-stable") for ref in backends)


def _route(world: World) -> str:
    return HTTP_ROUTES.path(world.namespace, NAME)


HANDS: dict[str, Callable[[World, Path], Awaitable[None]]] = {
    one.__name__: one for one in (fail_while_split, add_a_parent_and_roll_back, keep_what_a_former_controller_said)
} | pod_hands.HANDS
