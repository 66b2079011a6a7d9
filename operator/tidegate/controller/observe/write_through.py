"""The API client whose every write, and all that it tells of what has gone, is seen by the next pass, however late the watch is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tidegate.cluster.client import MANAGER, Cluster
from tidegate.cluster.connection import Connection
from tidegate.cluster.errors import NotFound
from tidegate.cluster.fence import Fence
from tidegate.cluster.resources import RELEASES, Resource, Target
from tidegate.cluster.sending import Observer
from tidegate.controller.observe.relations import Relations
from tidegate.runtime.store import Store


class CachedCluster(Cluster):
    """Puts the answer to each write into the store.

    Args:
        connection: where and as whom.
        store: the cache that decisions are made on.
        relations: which kinds are kept there, and which are written.
        observe: told of every request.
        fence: keeps writes from being sent.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        relations: Relations,
        *,
        observe: Observer | None = None,
        fence: Fence | None = None,
    ) -> None:
        super().__init__(connection, observe=observe, fence=fence)
        self._store = store
        self.kept: Mapping[str, Resource] = {resource.kind: resource for resource in relations.resources}
        """What the store has, by kind."""
        self._written = {resource.qualified: resource.kind for resource in relations.written}
        self._namespaces: dict[str, tuple[str, str, str]] = {}

    async def namespace_uid(self, namespace: str, *, release: str) -> str:
        """As `Cluster.namespace_uid`; read once while the Release is there that it was read for, and so the namespace."""
        uid, name, witness = self._namespaces.get(namespace, ("", "", ""))
        if witness and witness == self._uid_of_release(namespace, name):
            return uid
        witness = self._uid_of_release(namespace, release)
        uid = await super().namespace_uid(namespace, release=release)
        self._namespaces[namespace] = uid, release, witness
        return uid

    def _uid_of_release(self, namespace: str, name: str) -> str:
        release = self._store.get(RELEASES.kind, namespace, name)
        return str(release["metadata"]["uid"]) if release is not None else ""

    async def apply(
        self, obj: Mapping[str, Any], *, manager: str = MANAGER, force: bool = True, subresource: str | None = None
    ) -> dict[str, Any]:
        """As `Cluster.apply`."""
        return self._keep(await super().apply(obj, manager=manager, force=force, subresource=subresource))

    async def json_patch(self, path: str, ops: Sequence[Mapping[str, Any]], *, manager: str = MANAGER) -> dict[str, Any]:
        """As `Cluster.json_patch`."""
        with self._noticing(path):
            return self._keep(await super().json_patch(path, ops, manager=manager))

    async def merge_patch(self, path: str, body: Mapping[str, Any], *, manager: str = MANAGER) -> dict[str, Any]:
        """As `Cluster.merge_patch`."""
        return self._keep(await super().merge_patch(path, body, manager=manager))

    async def create(
        self, path: str, obj: Mapping[str, Any], *, manager: str = MANAGER, within: float | None = None
    ) -> dict[str, Any]:
        """As `Cluster.create`; Events are not kept."""
        return self._keep(await super().create(path, obj, manager=manager, within=within))

    async def delete(
        self, path: str, *, uid: str | None = None, resource_version: str | None = None, propagation: str | None = None
    ) -> dict[str, Any]:
        """As `Cluster.delete`."""
        with self._noticing(path):
            return await super().delete(path, uid=uid, resource_version=resource_version, propagation=propagation)

    @contextmanager
    def _noticing(self, path: str) -> Iterator[None]:
        """Let go of an object that is known and turns out to be gone: that a watch will tell of it is not certain."""
        known = self._known(path)
        try:
            yield
        except NotFound:
            kind, now = known.get("kind"), self._known(path)
            # Another one of its name may have come meanwhile.
            if kind is not None and now and now["metadata"]["uid"] == known["metadata"]["uid"]:
                self._store.remove(kind, now)
            raise

    def _known(self, path: str) -> Mapping[str, Any]:
        target = Target.of(path)
        kind = self._written.get(target.resource)
        return (self._store.kept(kind, target.namespace, target.name) if kind else None) or {}

    def _keep(self, obj: dict[str, Any]) -> dict[str, Any]:
        kind = str(obj.get("kind"))
        if kind not in self._written.values():
            return obj
        metadata = obj["metadata"]
        gone = metadata.get("deletionTimestamp") and not metadata.get("finalizers") and kind == RELEASES.kind
        # The API server removes an object in the very write that takes its last finalizer.
        if gone:
            self._store.remove(kind, obj)
        else:
            self._store.upsert(kind, obj)
        return obj
