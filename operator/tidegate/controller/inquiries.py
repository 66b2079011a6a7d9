"""What is read only while somebody waits for it: too much to be watched, and never in the way of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError
from tidegate.cluster.resources import ENDPOINT_SLICES, PODS, Resource
from tidegate.controller.references import SERVICE_OF_SLICE, ReleaseKey
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)

KEPT = frozenset({"namespace", "name", "uid", "resourceVersion", "deletionTimestamp", "ownerReferences", "labels"})
"""Fields of the metadata that are kept."""
CONTENT = ("status", "endpoints")
"""What is kept of a pod and of an EndpointSlice: a pod's spec is the larger part of it, and tells no reason."""


@dataclass(frozen=True)
class Matter:
    """What is asked for.

    Attributes:
        resource: kind of the objects.
        label: by which they are found.
        patience: seconds between two readings of the same.
        at_once: whether the first reading is made without patience, since nothing goes on before it.
        fresh: seconds after which a reading says nothing any more.
    """

    resource: Resource
    label: str
    patience: float
    at_once: bool = False
    fresh: float = float("inf")


REASONS = Matter(PODS, LABEL_POD_TEMPLATE_HASH, patience=3.0)
"""The pods of a version, for their own reasons for not becoming ready; most are ready before anybody has to ask."""
USER_ENDPOINTS = Matter(ENDPOINT_SLICES, SERVICE_OF_SLICE, patience=1.0, at_once=True, fresh=5.0)
"""The endpoints of the user's Service, which a route is to be put back to; those of the operator's own are watched."""


@dataclass(frozen=True)
class _Reading:
    value: str
    at: float
    items: list[Object]


class Inquiries:
    """Lists objects of a Release in the background.

    Args:
        matter: what is listed.
        cluster: the API.
        clock: measures patience.
        arrived: told of a Release for which something new was read.
    """

    def __init__(self, matter: Matter, cluster: Cluster, *, clock: Clock, arrived: Callable[[ReleaseKey], None]) -> None:
        self._matter, self._cluster, self._clock, self._arrived = matter, cluster, clock, arrived
        self._known: dict[ReleaseKey, _Reading] = {}
        self._asked: dict[ReleaseKey, float] = {}
        self._tasks: dict[ReleaseKey, asyncio.Task[None]] = {}

    def of(self, key: ReleaseKey, value: str | None) -> list[Object] | None:
        """Return the objects with this value of the label as read last; None where nobody has asked, or too long ago."""
        known = self._known.get(key)
        if known is None or known.value != value or self._clock.monotonic() - known.at > self._matter.fresh:
            return None
        return known.items

    def want(self, key: ReleaseKey, value: str) -> float:
        """Read the objects with this value of the label, unless that was done just now; return seconds until the next time."""
        now, patience = self._clock.monotonic(), self._matter.patience
        asked = self._asked.setdefault(key, now - patience if self._matter.at_once else now)
        if key not in self._tasks and now - asked >= patience:
            self._asked[key] = now
            self._tasks[key] = asyncio.create_task(self._read(key, value), name=f"{self._matter.resource.plural} {key}")
        return patience

    def forget(self, key: ReleaseKey) -> None:
        """Nobody waits for these any more."""
        self._known.pop(key, None)
        self._asked.pop(key, None)

    async def stop(self) -> None:
        """End what is being read."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: ReleaseKey, value: str) -> None:
        matter, began = self._matter, self._clock.monotonic()
        path, selector = matter.resource.path(key.namespace), f"{matter.label}={value}"
        try:
            listing = await self._cluster.list(path, label_selector=selector, within=5.0, slim=_slim)
        except ApiError as error:
            log.warning("could not be read", what=matter.resource.plural, release=str(key), cause=str(error))
            return
        finally:
            self._tasks.pop(key, None)
        if key not in self._asked:
            return
        before = self.of(key, value)
        self._known[key] = _Reading(value, began, list(listing.items))
        if before is None or _content(before) != _content(listing.items):
            self._arrived(key)


def _slim(obj: Object) -> Object:
    metadata = {name: value for name, value in obj["metadata"].items() if name in KEPT}
    return {"metadata": metadata} | {name: obj.get(name) for name in CONTENT if name in obj}


def _content(items: list[Object]) -> list[Object]:
    return [{name: item.get(name) for name in CONTENT} for item in items]
