"""What happened in a namespace, read at the API server itself, and what stood there at any instant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from e2e.history import FOLLOWED, TICK, History, Seen
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Expired, NotFound
from tidegate.cluster.resources import CONFIG_MAPS, ENDPOINT_SLICES, HTTP_ROUTES, JOBS, LEASES, RELEASE_DECISIONS, Resource
from tidegate.cluster.sending import Json

RECORDED = (*FOLLOWED, ENDPOINT_SLICES, LEASES, RELEASE_DECISIONS, JOBS, CONFIG_MAPS)
ROUTER = "test.tidegate.dev/router"


class Recorder(History):
    """A history that also survives an API server that was away, and tells each change as it comes."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(cluster, namespace, resources=RECORDED)
        self.listeners: list[Callable[[Seen], None]] = []
        self.gaps = 0
        """How often history had to be listed anew, so that versions in between may be missing."""

    async def _follow(self, resource: Resource, listed: asyncio.Event) -> None:
        path = resource.path(self._namespace)
        version = await self._first(resource, path)
        listed.set()
        while version:
            try:
                async with contextlib.aclosing(self._cluster.watch(path, version)) as events:
                    async for event in events:
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            self._take(event.type, event.object)
            except Expired:
                with contextlib.suppress(ApiError):
                    version = await self._list_again(resource, path)
            except ApiError:
                await asyncio.sleep(TICK)

    async def _first(self, resource: Resource, path: str) -> str:
        try:
            listing = await self._cluster.list(path)
        except NotFound:
            return ""
        for obj in listing.items:
            self._take("ADDED", obj)
        return listing.resource_version

    async def _list_again(self, resource: Resource, path: str) -> str:
        self.gaps += 1
        listing = await self._cluster.list(path)
        there = {obj["metadata"]["name"]: obj for obj in listing.items}
        for name, obj in there.items():
            known = self.get(resource.kind, name)
            if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._take("MODIFIED" if known else "ADDED", obj)
        for known in self.all(resource.kind):
            if known["metadata"]["name"] not in there:
                gone = {**known, "metadata": {**known["metadata"], "resourceVersion": listing.resource_version}}
                self._take("DELETED", gone)
        return listing.resource_version

    def _take(self, kind_of_change: str, obj: Json) -> None:
        super()._take(kind_of_change, obj)
        for listener in self.listeners:
            listener(self._seen[-1])

    @property
    def changes(self) -> list[Seen]:
        """All changes of all objects, in the order of the API server."""
        return sorted(self._seen, key=lambda seen: seen.order)

    @property
    def count(self) -> int:
        """How many changes there were, but for those of Leases, which never end."""
        return sum(seen.kind != LEASES.kind for seen in self._seen)


@dataclass
class Instant:
    """What stands in a namespace between two changes.

    Attributes:
        seen: the change that has just happened.
        objects: by kind and name, as they are now.
        before: the changed object as it was; None where it is new.
    """

    seen: Seen
    objects: dict[tuple[str, str], Json]
    before: Json | None

    def get(self, kind: str, name: str) -> Json | None:
        """Return an object; None where there is none."""
        return self.objects.get((kind, name))

    def all(self, kind: str) -> list[Json]:
        """Return all objects of a kind."""
        return [obj for (found, _), obj in self.objects.items() if found == kind]


def instants(changes: list[Seen]) -> Iterator[Instant]:
    """Yield what stands there after each change; the objects are shared, so look before the next."""
    objects: dict[tuple[str, str], Json] = {}
    for seen in changes:
        key = (seen.kind, seen.name)
        before = objects.get(key)
        if seen.type == "DELETED":
            objects.pop(key, None)
        else:
            objects[key] = seen.object
        yield Instant(seen, objects, before)


@dataclass
class Router:
    """Accepts routes as a gateway's controller does, as soon as it sees them.

    Attributes:
        admin: the API.
        namespace: whose routes.
        works: whether it does.
    """

    admin: Cluster
    namespace: str
    works: bool = True
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def follow(self, recorder: Recorder) -> None:
        """Accept what comes from now on, and what is there."""
        recorder.listeners.append(lambda seen: self._saw(seen.type, seen.object))

    def _saw(self, change: str, obj: Json) -> None:
        if obj["kind"] != HTTP_ROUTES.kind or change == "DELETED" or not self.works or accepted(obj):
            return
        task = asyncio.create_task(self._accept(obj))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, route: Json) -> None:
        path = HTTP_ROUTES.path(self.namespace, route["metadata"]["name"], "status")
        for _ in range(100):
            with contextlib.suppress(NotFound):
                try:
                    await self.admin.merge_patch(path, {"status": {"parents": [acceptance(route)]}}, manager="router")
                except ApiError:
                    await asyncio.sleep(TICK)
                    continue
            return

    async def stop(self) -> None:
        """Accept nothing more."""
        self.works = False
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def accepted(route: Json) -> bool:
    """Whether a route's router has seen its spec as it is."""
    parents = (route.get("status") or {}).get("parents") or ()
    return any(
        one.get("observedGeneration") == route["metadata"]["generation"] for parent in parents for one in parent["conditions"]
    )


def acceptance(route: Json) -> dict[str, Any]:
    """Return what a gateway's controller says of a route that it has taken in."""
    told = {"status": "True", "reason": "Fine", "message": "", "observedGeneration": route["metadata"]["generation"]}
    conditions = [{"type": kind, "lastTransitionTime": "2026-01-01T00:00:00Z", **told} for kind in ("Accepted", "ResolvedRefs")]
    return {"parentRef": route["spec"]["parentRefs"][0], "controllerName": ROUTER, "conditions": conditions}
