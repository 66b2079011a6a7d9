"""The API client whose every write is seen by the next pass, however late the watch is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.cluster.client import MANAGER, Cluster, Observer
from tidegate.cluster.connection import Connection
from tidegate.cluster.fence import Fence
from tidegate.runtime.store import Store


class CachedCluster(Cluster):
    """Puts the answer to each write into the store.

    Args:
        connection: where and as whom.
        store: the cache that decisions are made on.
        observe: told of every request.
        fence: keeps writes from being sent.
    """

    def __init__(
        self, connection: Connection, store: Store, *, observe: Observer | None = None, fence: Fence | None = None
    ) -> None:
        super().__init__(connection, observe=observe, fence=fence)
        self._store = store

    async def apply(
        self, obj: Mapping[str, Any], *, manager: str = MANAGER, force: bool = True, subresource: str | None = None
    ) -> dict[str, Any]:
        """As `Cluster.apply`."""
        return self._keep(await super().apply(obj, manager=manager, force=force, subresource=subresource))

    async def json_patch(self, path: str, ops: Sequence[Mapping[str, Any]], *, manager: str = MANAGER) -> dict[str, Any]:
        """As `Cluster.json_patch`."""
        return self._keep(await super().json_patch(path, ops, manager=manager))

    async def merge_patch(self, path: str, body: Mapping[str, Any], *, manager: str = MANAGER) -> dict[str, Any]:
        """As `Cluster.merge_patch`."""
        return self._keep(await super().merge_patch(path, body, manager=manager))

    async def create(
        self, path: str, obj: Mapping[str, Any], *, manager: str = MANAGER, within: float | None = None
    ) -> dict[str, Any]:
        """As `Cluster.create`; Events are not kept."""
        return self._keep(await super().create(path, obj, manager=manager, within=within))

    def _keep(self, obj: dict[str, Any]) -> dict[str, Any]:
        kind = str(obj.get("kind"))
        if kind not in KEPT:
            return obj
        metadata = obj["metadata"]
        gone = metadata.get("deletionTimestamp") and not metadata.get("finalizers") and kind == "Release"
        # The API server removes an object in the very write that takes its last finalizer.
        _ = self._store.remove(kind, obj) if gone else self._store.upsert(kind, obj)
        return obj


KEPT = frozenset({"Release", "Deployment", "ReplicaSet", "Service", "HTTPRoute"})
