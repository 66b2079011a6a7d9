"""The pods' own reasons for not becoming ready: read only while somebody waits for them, and never in the way of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError
from tidegate.cluster.resources import PODS
from tidegate.controller.references import ReleaseKey
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)

PATIENCE = 3.0
"""Seconds between two readings of the same pods."""
KEPT = frozenset({"namespace", "name", "uid", "resourceVersion", "deletionTimestamp", "ownerReferences"})
"""Fields of a pod's metadata that are kept."""


class Pods:
    """Lists the pods of a version in the background.

    Args:
        cluster: the API.
        clock: measures patience.
        arrived: told of a Release whose pods were read.
    """

    def __init__(self, cluster: Cluster, *, clock: Clock, arrived: Callable[[ReleaseKey], None]) -> None:
        self._cluster, self._clock, self._arrived = cluster, clock, arrived
        self._known: dict[ReleaseKey, tuple[str, list[Object]]] = {}
        self._asked: dict[ReleaseKey, float] = {}
        self._tasks: dict[ReleaseKey, asyncio.Task[None]] = {}

    def of(self, key: ReleaseKey, revision: str | None) -> list[Object]:
        """Return the pods of a revision as read last; empty where nobody has asked."""
        known = self._known.get(key)
        return known[1] if known is not None and known[0] == revision else []

    def want(self, key: ReleaseKey, revision: str) -> None:
        """Read the pods of a revision, unless that was done just now. Those that nobody has waited for yet get a moment first."""
        if key in self._tasks or self._clock.monotonic() - self._asked.setdefault(key, self._clock.monotonic()) < PATIENCE:
            return
        self._asked[key] = self._clock.monotonic()
        self._tasks[key] = asyncio.create_task(self._read(key, revision), name=f"pods {key}")

    def forget(self, key: ReleaseKey) -> None:
        """Nobody waits for these pods any more."""
        self._known.pop(key, None)
        self._asked.pop(key, None)

    async def stop(self) -> None:
        """End what is being read."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: ReleaseKey, revision: str) -> None:
        selector = f"{LABEL_POD_TEMPLATE_HASH}={revision}"
        try:
            listing = await self._cluster.list(PODS.path(key.namespace), label_selector=selector, within=5.0, slim=_reasons)
        except ApiError as error:
            log.warning("pods could not be read", release=str(key), cause=str(error))
            return
        finally:
            self._tasks.pop(key, None)
        if key not in self._asked:
            return
        before = self.of(key, revision)
        self._known[key] = (revision, list(listing.items))
        if [pod.get("status") for pod in before] != [pod.get("status") for pod in listing.items]:
            self._arrived(key)


def _reasons(pod: Object) -> Object:
    """Return what tells a pod from others, and why it is not ready: its spec and its managed fields are the larger part of it."""
    metadata = {name: value for name, value in pod["metadata"].items() if name in KEPT}
    return {"metadata": metadata, "status": pod.get("status")}
