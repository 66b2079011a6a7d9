"""What every way to shift traffic can do.

The rest of the operator speaks to this protocol and knows no kind of route by name; `routers.py` has the routers that there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from tidegate.api.originals import OriginalRule
from tidegate.api.release import Traffic
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import Conflict
from tidegate.cluster.resources import Resource
from tidegate.engine.plan import ShiftRoute
from tidegate.engine.route import RouteKind
from tidegate.engine.snapshot import RouteStage, RouteView, Warm
from tidegate.traffic.backends import Json
from tidegate.traffic.our_marks import leave_none

ATTEMPTS = 3
"""How often one shift is sent before the next pass has to look again."""


class Router(Protocol):
    """One way to shift traffic, by one kind of route.

    To add one, write a class of it in a module of its own in `traffic/` that inherits from this one: `kind` and `resource`, and the
    three pure functions `led_to`, `observe` and `render`; the rest comes with them. Then its line in `routers.ROUTERS`, its
    field in `api/release.py`, the right to read and patch its routes in the roles, and a sample of its routes in
    `tests/unit/traffic/samples.py`, by which every router is put to the same test. CONTRIBUTING has the recipe with all that
    belongs to it. Nothing else in the operator knows a kind.

    What must hold is tested in `tests/unit/traffic/test_conformance.py`: a shift changes nothing but what concerns the Release;
    what was written is seen as it was meant; to write it twice is to write it once; and at the stage USER a route is as its user
    wrote it, whatever came in between.

    Args:
        warm_weights: of which controllers the data planes leave out backends of weight 0, by the controllers' names.

    Attributes:
        kind: what messages call its routes, and where a Release names them. No other router has the same label.
        resource: the kind of its routes as the API has it; its `kind` is the label.
    """

    kind: ClassVar[RouteKind]
    resource: ClassVar[Resource]

    def __init__(self, warm_weights: Mapping[str, bool] | None = None) -> None: ...

    def led_to(self, route: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of each Service that a route gives weight to. Pure."""
        ...

    def observe(
        self,
        route: Mapping[str, Any] | None,
        *,
        name: str,
        namespace: str,
        service: str,
        known: Sequence[OriginalRule] = (),
    ) -> RouteView:
        """Return what the engine sees of a route. Pure.

        Args:
            route: the raw object; None where there is none.
            name: its name.
            namespace: its namespace.
            service: name of the user's Service.
            known: what the status notes of routes: of this one, of others, and of other kinds.

        Returns:
            The view; `since` is left to the caller, who knows the time. Its `originals` are notes in the way of `notes.note`, one
            for each of its rules that is a concern of ours, and enough for `render` to put the route back.
        """
        ...

    def render(
        self,
        route: Mapping[str, Any],
        *,
        stage: RouteStage,
        weight: int,
        originals: Sequence[OriginalRule],
        service: str,
        warm: Warm | None = None,
    ) -> list[Json] | None:
        """Return the JSON patch that brings a route to a stage; None where nothing changes. Pure.

        The patch tests what it rests on: it must fail where the route was recreated or its spec has changed since it was read.

        Args:
            route: the raw object.
            stage: the wanted stage.
            weight: the canary's share in percent, 0 to 100; matters at SPLIT only.
            originals: what was noted of the route; what the user has written since goes first.
            service: name of the user's Service.
            warm: whose backend gets next to nothing beside the one that has all the rest; never given to one that `warms` not.
        """
        ...

    def named(self, traffic: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the routes of this kind that a Release names.

        Args:
            traffic: its `spec.traffic` as it came; whatever stands there, no Release may get lost over it.
        """
        found: object = traffic
        for key in (*self.kind.field.split(".")[2:], self.kind.names):
            found = found.get(key) if isinstance(found, Mapping) else None
        entries = found if isinstance(found, list | tuple) else ()
        return tuple(str(entry.get("name")) if isinstance(entry, Mapping) else str(None) for entry in entries)

    def named_by(self, traffic: Traffic | None) -> tuple[str, ...]:
        """Return the same of a Release that was read."""
        return self.named(traffic.to_wire()) if traffic is not None else ()

    async def shift(self, action: ShiftRoute, *, route: Json, service: str, cluster: Cluster) -> bool:
        """Bring a route to a stage, and return whether anything was written.

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
        path = self.resource.path(route["metadata"]["namespace"], action.route.name)
        written = await self._shift(action, route, service, path, cluster)
        if action.stage is not RouteStage.USER:
            return written is not None
        return await leave_none(written, route, path, cluster)

    async def _shift(self, action: ShiftRoute, route: Json, service: str, path: str, cluster: Cluster) -> Json | None:
        seen = self._stage(route, service)
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._send(action, route, service, path, cluster)
            except Conflict:
                route = await cluster.get(path)
                if self._stage(route, service) is not seen:
                    raise
        return await self._send(action, route, service, path, cluster)

    async def _send(self, action: ShiftRoute, route: Json, service: str, path: str, cluster: Cluster) -> Json | None:
        stage, weight, warm = action.stage, action.weight, action.warm
        patch = self.render(route, stage=stage, weight=weight, warm=warm, originals=action.originals, service=service)
        return await cluster.json_patch(path, patch) if patch else None

    def _stage(self, route: Json, service: str) -> RouteStage:
        metadata = route["metadata"]
        return self.observe(route, name=metadata["name"], namespace=metadata["namespace"], service=service).stage
