"""What stands in for a gateway's controller: accepts every route as soon as it sees it, and notes when its weights changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Expired, NotFound
from tidegate.cluster.resources import HTTP_ROUTES, RELEASES, Resource
from tidegate.cluster.sending import Json

Name = tuple[str, str]
AT_ONCE = 16
"""Requests of the bench's own at a time."""
ACCEPTS_AFTER = 0.1
"""Seconds: as Contour's, which waits for so long whether more changes come (`--holdoff-delay`)."""


class Follower:
    """Follows all objects of one resource.

    Args:
        cluster: the API.
        resource: which.
        take: told of each event: type, object.
    """

    def __init__(self, cluster: Cluster, resource: Resource, take: Callable[[str, Json], None]) -> None:
        self._cluster, self._resource, self._take = cluster, resource, take

    async def run(self) -> None:
        """Follow until cancelled."""
        path, version = self._resource.path(), ""
        while True:
            try:
                if not version:
                    listing = await self._cluster.list(path)
                    version = listing.resource_version
                    for obj in listing.items:
                        self._take("ADDED", obj)
                async with contextlib.aclosing(self._cluster.watch(path, version)) as events:
                    async for event in events:
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            self._take(event.type, event.object)
            except Expired:
                version = ""
            except ApiError:
                await asyncio.sleep(0.1)


class Gateway:
    """Accepts routes, and knows each route's history of weights.

    Attributes:
        canary: weight in percent of the new version by route, as seen last.
        shut: when a route was seen to give the new version nothing, after having given it something (time.time).
        whole: when a route was seen to give the new version all, after having given it less (time.time).
        lag: most seconds that the bench's own loop was late since this was set to 0: the error of its times.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._few = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.canary: dict[Name, int] = {}
        self.shut: dict[Name, float] = {}
        self.whole: dict[Name, float] = {}
        self.lag = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await asyncio.gather(Follower(self._cluster, HTTP_ROUTES, self._take).run(), self._measure_lag())
        finally:
            for task in self._tasks:
                task.cancel()

    def _take(self, change: str, route: Json) -> None:
        now = time.time()
        name = (route["metadata"]["namespace"], route["metadata"]["name"])
        if change == "DELETED":
            self.canary.pop(name, None)
            return
        before, after = self.canary.get(name, 0), weight(route)
        self.canary[name] = after
        if before > 0 and after == 0:
            self.shut[name] = now
        if before < 100 and after == 100:
            self.whole[name] = now
        if not accepted(route):
            self._spawn(self._accept(route))

    def _spawn(self, part: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(part)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, route: Json) -> None:
        metadata = route["metadata"]
        told = {"status": "True", "reason": "Accepted", "message": "", "observedGeneration": metadata["generation"]}
        conditions = [{"type": kind, "lastTransitionTime": "2026-01-01T00:00:00Z", **told} for kind in ("Accepted", "ResolvedRefs")]
        parent = {
            "parentRef": route["spec"]["parentRefs"][0],
            "controllerName": "bench.tidegate.dev/gateway",
            "conditions": conditions,
        }
        path = HTTP_ROUTES.path(metadata["namespace"], metadata["name"], "status")
        await asyncio.sleep(ACCEPTS_AFTER)
        async with self._few:
            with contextlib.suppress(NotFound):
                await self._cluster.merge_patch(path, {"status": {"parents": [parent]}}, manager="gateway")

    async def _measure_lag(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.02)
            self.lag = max(self.lag, time.monotonic() - began - 0.02)


class Statuses:
    """What stands in the status of every Release.

    Attributes:
        of: the status by Release.
        versions: resourceVersion by Release; it tells whether anything is written at all.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._follower = Follower(cluster, RELEASES, self._take)
        self.of: dict[Name, Json] = {}
        self.versions: dict[Name, str] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    def _take(self, change: str, release: Json) -> None:
        name = (release["metadata"]["namespace"], release["metadata"]["name"])
        if change == "DELETED":
            self.of.pop(name, None)
            return
        self.of[name] = release.get("status") or {}
        self.versions[name] = release["metadata"]["resourceVersion"]


def weight(route: Json) -> int:
    """Return the weight of the new version in percent."""
    backends = [backend for rule in route["spec"].get("rules") or () for backend in rule.get("backendRefs") or ()]
    whole = sum(backend.get("weight", 1) for backend in backends)
    canary = sum(backend.get("weight", 1) for backend in backends if backend["name"].endswith("-canary"))
    return round(100 * canary / whole) if whole else 0


def accepted(route: Json) -> bool:
    """Whether what the route says now has been accepted."""
    parents = (route.get("status") or {}).get("parents") or ()
    return any(
        one.get("observedGeneration") == route["metadata"]["generation"] for parent in parents for one in parent["conditions"]
    )
