"""Routers: what every way to shift traffic can do, and the HTTPRoutes of Gateway API as one such way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tidegate.api.originals import OriginalRule
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import Conflict
from tidegate.cluster.resources import HTTP_ROUTES, Resource
from tidegate.engine.plan import ShiftRoute
from tidegate.engine.snapshot import RouteStage, RouteView
from tidegate.traffic import httproute
from tidegate.traffic.backends import Json
from tidegate.traffic.traces import leave_none

ATTEMPTS = 3
"""How often one shift is sent before the next pass has to look again."""


class Router(Protocol):
    """One way to shift traffic. What the user wrote is restored by a shift to the stage USER.

    Attributes:
        resource: the kind of its routes.
    """

    resource: Resource

    def observe(
        self,
        route: Mapping[str, Any] | None,
        *,
        name: str,
        namespace: str,
        service: str,
        known: Sequence[OriginalRule] = (),
    ) -> RouteView:
        """Return what the engine sees of a route; `since` is left to the caller. Pure."""
        ...

    async def shift(self, action: ShiftRoute, *, route: Json, service: str, cluster: Cluster) -> bool:
        """Bring a route to a stage, and return whether anything was written.

        Raises:
            ApiError: the API refused; a `Conflict` means that somebody has changed the route's stage since.
        """
        ...


class HTTPRouteRouter:
    """HTTPRoutes of Gateway API v1.

    Args:
        warm_weights: of which controllers the data planes leave out backends of weight 0, by the controllers' names.
    """

    resource = HTTP_ROUTES

    def __init__(self, warm_weights: Mapping[str, bool] | None = None) -> None:
        self._warm_weights = warm_weights or {}

    def observe(
        self,
        route: Mapping[str, Any] | None,
        *,
        name: str,
        namespace: str,
        service: str,
        known: Sequence[OriginalRule] = (),
    ) -> RouteView:
        """Return what the engine sees of an HTTPRoute (see `httproute.observe`)."""
        told = self._warm_weights
        return httproute.observe(route, name=name, namespace=namespace, service=service, known=known, warm_weights=told)

    async def shift(self, action: ShiftRoute, *, route: Json, service: str, cluster: Cluster) -> bool:
        """Bring an HTTPRoute to a stage, and return whether anything was written.

        A route whose spec has changed since it was read is read again. It is shifted if it is still at the stage that the
        decision was made on: a rollback does not wait for another pass because somebody has changed a header match. At the
        stage USER nothing of ours stays behind, neither in the spec nor in managedFields.

        Args:
            action: which stage, which weight.
            route: the raw object that the decision was made on.
            service: name of the user's Service.
            cluster: the API.

        Raises:
            ApiError: the API refused; a `Conflict` means that the stage is no longer the one that was seen.
        """
        path = HTTP_ROUTES.path(route["metadata"]["namespace"], action.route)
        written = await self._shift(action, route, service, path, cluster)
        if action.stage is not RouteStage.USER:
            return written is not None
        return await leave_none(written, route, path, cluster)

    async def _shift(self, action: ShiftRoute, route: Json, service: str, path: str, cluster: Cluster) -> Json | None:
        seen = _stage(route, service)
        for _ in range(ATTEMPTS - 1):
            try:
                return await _send(action, route, service, path, cluster)
            except Conflict:
                route = await cluster.get(path)
                if _stage(route, service) is not seen:
                    raise
        return await _send(action, route, service, path, cluster)


async def _send(action: ShiftRoute, route: Json, service: str, path: str, cluster: Cluster) -> Json | None:
    stage, weight, warm = action.stage, action.weight, action.warm
    patch = httproute.render(route, stage=stage, weight=weight, warm=warm, originals=action.originals, service=service)
    return await cluster.json_patch(path, patch) if patch else None


def _stage(route: Json, service: str) -> RouteStage:
    metadata = route["metadata"]
    return httproute.observe(route, name=metadata["name"], namespace=metadata["namespace"], service=service).stage
