"""When the status of a Release is stored, and how.

It comes before every other write but those that shut a route: what is not stored has not been decided, should the process die. In a
burst of breaches statuses wait for the routes of others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Conflict, NotFound
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile.memory import Memory
from tidegate.controller.reconcile.status_patch import write_status
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Store

log = structlog.get_logger(__name__)

STORING = 16
"""Statuses that are stored at once when the process ends."""
CAUGHT_UP_SECONDS = 0.02
"""After this long, a status that rested on an older version of its Release is tried again as the process ends."""


class Statuses:
    """Stores what has been decided.

    Args:
        store: the caches.
        cluster: the API; its writes go into the store.
        clock: the time.
        heartbeat: how often numbers alone are written.
    """

    def __init__(self, store: Store, cluster: Cluster, *, clock: Clock, heartbeat: timedelta) -> None:
        self._store, self._cluster, self._clock = store, cluster, clock
        self._heartbeat = heartbeat.total_seconds()

    async def store(self, key: ReleaseKey, memory: Memory) -> ApiError | None:
        """Store the decided status if it is time to; return what kept it from being stored."""
        release = self._store.get("Release", *key)
        if release is None or release["metadata"]["uid"] != memory.uid or memory.status is None:
            return None
        due = memory.due(release, self._heartbeat, now := self._clock.monotonic())
        if due is None:
            memory.kept(release, None)
            return None
        if now < due:
            # What is stored says the same, but for numbers.
            memory.unsaved = memory.postponed = False
            return None
        memory.offered, memory.unsaved = memory.wire, True
        try:
            stored = await write_status(self._cluster, release, memory.offered)
        except ApiError as error:
            if isinstance(error, NotFound) and error.details.get("name") == key.name:
                # It has gone while nobody was watching.
                self._store.remove("Release", release)
            return error
        memory.kept(stored, self._clock.monotonic())
        return None

    def store_in(self, key: ReleaseKey, memory: Memory, now: float) -> float | None:
        """Return in how many seconds what is not worth a write at once is to be stored; one that failed is left to the queue."""
        release = self._store.get("Release", *key)
        if release is None or memory.unsaved:
            return None
        due = memory.due(release, self._heartbeat, now)
        return None if due is None or due == now else max(0.0, due - now)

    async def store_all(self, statuses: Iterable[tuple[ReleaseKey, Memory]], within: float) -> None:
        """Store many statuses side by side, as the process ends.

        Args:
            statuses: of which Releases.
            within: seconds after which no further write is begun.
        """
        deadline, left = self._clock.monotonic() + within, [*statuses]

        async def store() -> None:
            while left and self._clock.monotonic() < deadline:
                key, memory = left.pop()
                try:
                    error = await self.store(key, memory)
                except Exception:  # a bug in one status must keep no other from being stored
                    log.exception("status could not be stored", release=key.name, namespace=key.namespace)
                    continue
                if isinstance(error, Conflict):
                    left.insert(0, (key, memory))
                    await self._clock.sleep(CAUGHT_UP_SECONDS)

        await asyncio.gather(*(store() for _ in range(STORING)))
        if left:
            log.warning("statuses are left to be found again", count=len(left))
