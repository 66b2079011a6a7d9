"""Reads what may be bound to a Service by its name, of the kinds that the API server has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from tidegate.cluster.client import DISCOVERY, Cluster
from tidegate.cluster.errors import ApiError, Forbidden, NotFound
from tidegate.cluster.resources import Resource
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object
from tidegate.traffic.bindings import KINDS, Kind, about, routes_of, slim, unread
from tidegate.traffic.routers import Routers

log = structlog.get_logger(__name__)

INSTALLED_SECONDS = 60.0
"""For so long it is not asked again which kinds there are."""
FRESH_SECONDS = 1.0
"""For so long what was read in a namespace will do for its other Releases: many may start at once."""
MOST_FAILURES = 3
"""Readings of a kind that may fail in a row before it is gone on without it: a conversion webhook that is down, of a kind that
nobody here may use, must not keep every version from being rolled out."""


@dataclass
class _Place:
    """A namespace.

    Attributes:
        turn: one reads at a time, and the others take what it has read.
        at: when it was read last, on the monotonic clock.
        found: what there is.
    """

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    found: list[Object] = field(default_factory=list)


class Bindings:
    """Reads objects of the kinds that may be bound to Services by name.

    Args:
        cluster: the API.
        clock: measures how old an answer is.
        routers: whose routes are read as well.
    """

    def __init__(self, cluster: Cluster, *, clock: Clock, routers: Routers) -> None:
        self._cluster, self._clock = cluster, clock
        self._kinds = (*KINDS, *map(routes_of, routers))
        self._places: dict[str, _Place] = {}
        self._failures = Counter[tuple[str, Kind]]()
        self._installed: Mapping[Kind, str] = {}
        self._installed_at = float("-inf")
        self._looking = asyncio.Lock()

    async def read(self, namespace: str, service: str) -> list[Object]:
        """Return the objects of a namespace that name a Service or the operator's two beside it, and what could not be read.

        Args:
            namespace: which.
            service: name of the user's Service.

        Raises:
            ApiError: it is not known yet.
        """
        now = self._clock.monotonic()
        self._places = {
            name: place for name, place in self._places.items() if place.turn.locked() or now - place.at < FRESH_SECONDS
        }
        place = self._places.setdefault(namespace, _Place())
        async with place.turn:
            if self._clock.monotonic() - place.at >= FRESH_SECONDS:
                place.found = await self._read(namespace)
                place.at = self._clock.monotonic()
        return about(place.found, service)

    async def _read(self, namespace: str) -> list[Object]:
        async with self._looking:
            if self._clock.monotonic() - self._installed_at >= INSTALLED_SECONDS:
                self._installed = await self.installed()
                self._installed_at = self._clock.monotonic()
        pieces = [await self._list(kind, version, namespace) for kind, version in self._installed.items()]
        return [one for piece in pieces for one in piece]

    async def installed(self) -> Mapping[Kind, str]:
        """Ask the API server which kinds there are, and return the version to read each in: the first that has it."""
        answer = await self._cluster.get("/apis", accept=DISCOVERY)
        served = {group["metadata"]["name"]: group["versions"] for group in answer.get("items") or ()}
        found: dict[Kind, str] = {}
        for kind in self._kinds:
            versions = (one["version"] for one in served.get(kind.group, ()) if _has(one, kind.plural))
            if (version := next(versions, None)) is not None:
                found[kind] = version
        return found

    async def _list(self, kind: Kind, version: str, namespace: str) -> list[Object]:
        resource = Resource(kind.group, version, kind.plural, kind.kind)
        try:
            listed = await self._cluster.list(resource.path(namespace), within=5.0, slim=lambda obj: slim(kind, obj))
        except NotFound:
            return []
        except Forbidden as error:
            log.warning("could not be read", what=resource.qualified, namespace=namespace, cause=str(error))
            return [unread(kind, f"no right to list {resource.qualified}")]
        except ApiError as error:
            self._failures[namespace, kind] += 1
            if self._failures[namespace, kind] < MOST_FAILURES:
                raise
            log.warning("could not be read", what=resource.qualified, namespace=namespace, cause=str(error))
            return [unread(kind, f"{resource.qualified} could not be listed")]
        self._failures.pop((namespace, kind), None)
        return [one for one in listed.items if one["services"]]


def _has(version: Mapping[str, Any], plural: str) -> bool:
    return any(one["resource"] == plural and "list" in one["verbs"] for one in version.get("resources") or ())
