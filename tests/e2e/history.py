"""Everything that happened to the objects of a namespace, in the order in which the API server took it in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Expired, NotFound
from tidegate.cluster.resources import (
    DEPLOYMENTS,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    PODS,
    RELEASES,
    REPLICA_SETS,
    SERVICES,
    Resource,
)
from tidegate.cluster.sending import Json

FOLLOWED = (RELEASES, HTTP_ROUTES, DEPLOYMENTS, REPLICA_SETS, PODS, SERVICES, HORIZONTAL_POD_AUTOSCALERS, EVENTS)
TICK = 0.2
"""Seconds between two looks at what no watch tells."""


@dataclass(frozen=True)
class Seen:
    """One version of one object.

    Attributes:
        order: its resourceVersion, which orders the changes of all objects.
        at: when the test heard of it (time.time).
        type: ADDED, MODIFIED or DELETED.
        object: the object.
    """

    order: int
    at: float
    type: str
    object: Json

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class History:
    """Follows a namespace with watches, so that no version of an object is missed."""

    def __init__(self, cluster: Cluster, namespace: str, *, resources: tuple[Resource, ...] = FOLLOWED) -> None:
        self._cluster, self._namespace, self._resources = cluster, namespace, resources
        self._seen: list[Seen] = []
        self._now: dict[tuple[str, str], Json] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        listed = [asyncio.Event() for _ in self._resources]
        for resource, event in zip(self._resources, listed, strict=True):
            self._tasks.append(asyncio.create_task(self._follow(resource, event), name=f"follow {resource.plural}"))
        await asyncio.gather(*(event.wait() for event in listed))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def get(self, kind: str, name: str) -> Json | None:
        """Return an object as it is now; None where there is none."""
        return self._now.get((kind, name))

    def all(self, kind: str) -> list[Json]:
        """Return all objects of a kind as they are now."""
        return [obj for (found, _), obj in self._now.items() if found == kind]

    def versions(self, kind: str, name: str | None = None) -> list[Seen]:
        """Return every version of an object, or of all of a kind, in the order of the API server."""
        found = (seen for seen in self._seen if seen.kind == kind and name in (None, seen.name))
        return sorted(found, key=lambda seen: seen.order)

    def before(self, order: int, kind: str, name: str) -> Json | None:
        """Return an object as it was just before a change; None where there was none."""
        earlier = [seen for seen in self.versions(kind, name) if seen.order < order]
        return earlier[-1].object if earlier and earlier[-1].type != "DELETED" else None

    def events(self, reason: str | None = None) -> list[Json]:
        """Return the Events of a reason, or all, of Releases."""
        found = [event for event in self.all("Event") if event["involvedObject"]["kind"] == "Release"]
        return [event for event in found if reason in (None, event["reason"])]

    async def until(self, holds: Callable[[], Any], *, within: float) -> bool:
        """Wait until something holds; whether it did in time."""
        deadline = time.monotonic() + within
        while not holds():
            if time.monotonic() > deadline:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._changed.wait()
        return True

    async def _follow(self, resource: Resource, listed: asyncio.Event) -> None:
        path = resource.path(self._namespace)
        try:
            listing = await self._cluster.list(path)
        except NotFound:
            listed.set()  # the API server does not know the kind, so nothing can happen to one
            return
        for obj in listing.items:
            self._take("ADDED", obj)
        version = listing.resource_version
        listed.set()
        while True:
            try:
                async with contextlib.aclosing(self._cluster.watch(path, version)) as events:
                    async for event in events:
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            self._take(event.type, event.object)
            except Expired:
                raise
            except ApiError:
                await asyncio.sleep(TICK)

    def _take(self, kind_of_change: str, obj: Json) -> None:
        seen = Seen(int(obj["metadata"]["resourceVersion"]), time.time(), kind_of_change, obj)
        self._seen.append(seen)
        if kind_of_change == "DELETED":
            self._now.pop((seen.kind, seen.name), None)
        else:
            self._now[seen.kind, seen.name] = obj
        self._changed.set()


def pods_of(history: History, revision: str) -> Iterator[Json]:
    """Yield the pods of a revision that are there now."""
    for pod in history.all("Pod"):
        if (pod["metadata"].get("labels") or {}).get("pod-template-hash") == revision:
            yield pod
