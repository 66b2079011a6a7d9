"""Which Releases an object concerns: the way from a watch event to the keys that must be decided anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.relations import Relations, group_of, mapping, target_of, upstreams_of
from tidegate.runtime.sharding import WHOLE, Shard
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change, Object

_REVISION = "revision"
"""Stands for a kind where a Release names a version that it rolls out."""
_UPSTREAM = "upstream/"
"""Stands for a kind, with the cluster behind it, where a Release names another one that it comes after."""
_CLUSTER = "cluster"
"""Stands for a kind where a Release names one of another cluster."""


class ReleaseKey(NamedTuple):
    """Names one Release."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as kubectl does."""
        return f"{self.namespace}/{self.name}"


class References:
    """What Releases name, looked up from the other side.

    Args:
        relations: what each kind has to do with Releases.
        shard: the Releases that are of concern here: what others name is theirs to know.
    """

    def __init__(self, relations: Relations, shard: Shard = WHOLE) -> None:
        self._relations, self._shard = relations, shard
        self._named: dict[ReleaseKey, frozenset[tuple[str, str, str]]] = {}
        self._by: dict[tuple[str, str, str], tuple[ReleaseKey] | set[ReleaseKey]] = {}
        """Nearly all is named by one Release, of which a set takes four times the memory."""
        self._group: dict[ReleaseKey, str] = {}
        self._members: dict[tuple[str, str], set[ReleaseKey]] = {}
        """Of each group, whichever shard its members are in."""

    @property
    def count(self) -> int:
        """How many Releases there are of concern."""
        return len(self._named)

    def learn(self, key: ReleaseKey, release: Object | None) -> list[Key]:
        """Take in what a Release names now; None forgets it.

        Returns:
            What no Release names any more.
        """
        self._learn_group(key, release)
        if not self._shard.has(*key):
            return []
        names = frozenset(self._names(key, release)) if release is not None else frozenset()
        let_go: list[Key] = []
        for gone in self._named.get(key, frozenset()) - names:
            by = self._by[gone]
            if isinstance(by, set):
                by.discard(key)
            if not by or by == (key,):
                del self._by[gone]
                let_go.append(Key(*gone))
        for name in names:
            by = self._by.setdefault(name, (key,))
            if isinstance(by, set):
                by.add(key)
            elif by != (key,):
                self._by[name] = {*by, key}
        if release is None:
            self._named.pop(key, None)
            let_go.append(Key(RELEASES.kind, *key))
        else:
            self._named[key] = names
        return let_go

    def _learn_group(self, key: ReleaseKey, release: Object | None) -> None:
        before, after = self._group.pop(key, ""), group_of(release) if release is not None else ""
        if before and before != after:
            left = self._members[key.namespace, before]
            left.discard(key)
            if not left:
                del self._members[key.namespace, before]
        if after:
            self._group[key] = after
            self._members.setdefault((key.namespace, after), set()).add(key)

    def need(self, key: Key, obj: Object) -> bool:
        """Whether some Release that there is has to do with an object."""
        relation = self._relations.of(key.kind)
        if relation is not None and (relation.all or relation.whole):
            return True
        if key.kind == RELEASES.kind:
            named = self._shard.has(key.namespace, key.name) or (_UPSTREAM, key.namespace, key.name) in self._by
            return named or bool(self._own(key.namespace, group_of(obj)))
        if any(release in self._named for release in (*self._direct(*key), *self._through(key.kind, key.namespace, obj))):
            return True
        # Between a Release's letting go of what keeps pods and the workload's adoption nobody owns it.
        revision = (obj["metadata"].get("labels") or {}).get(LABEL_POD_TEMPLATE_HASH)
        return (_REVISION, key.namespace, revision) in self._by

    def of(self, change: Change) -> set[ReleaseKey]:
        """Return the Releases that a change of an object concerns."""
        if self._concerns_all(change.key.kind):
            return set(self._named)
        found = set(self._direct(*change.key))
        for obj in (change.old, change.new):
            if obj is not None:
                found |= set(self._through(change.key.kind, change.key.namespace, obj))
        return {key for key in found if self._shard.has(*key)}

    def rivals(self, key: ReleaseKey, change: Change) -> set[ReleaseKey]:
        """Return the Releases that may take over what a Release has let go by this change: its workload."""
        before = target_of(key.namespace, change.old) if change.old is not None else None
        after = target_of(key.namespace, change.new) if change.new is not None else None
        return set(self._by.get(before, ())) - {key} if before is not None and before != after else set()

    def _concerns_all(self, kind: str) -> bool:
        relation = self._relations.of(kind)
        return relation is not None and relation.all

    def dependents(self, change: Change, cluster: str = "") -> set[ReleaseKey]:
        """Return the Releases that come after the one that this change is of.

        Args:
            change: of a Release.
            cluster: where it is; empty for this cluster.
        """
        return set(self._direct(_UPSTREAM + cluster, change.key.namespace, change.key.name))

    def members(self, namespace: str, group: str) -> set[ReleaseKey]:
        """Return the Releases that are in a group."""
        return set(self._members.get((namespace, group), ()))

    def mates(self, change: Change) -> set[ReleaseKey]:
        """Return the Releases that are in the group of the one that this change is of, or in the one that it has left."""
        key = ReleaseKey(change.key.namespace, change.key.name)
        groups = {group_of(obj) for obj in (change.old, change.new) if obj is not None} - {""}
        return {one for group in groups for one in self._own(key.namespace, group)} - {key}

    def _own(self, namespace: str, group: str) -> set[ReleaseKey]:
        """Return the members of a group that are of concern here."""
        return {one for one in self._members.get((namespace, group), ()) if self._shard.has(*one)}

    def looking_at(self, cluster: str) -> set[ReleaseKey]:
        """Return the Releases that name one of another cluster."""
        return set(self._direct(_CLUSTER, "", cluster))

    def _direct(self, kind: str, namespace: str, name: str) -> Iterable[ReleaseKey]:
        return self._by.get((kind, namespace, name), ())

    def _through(self, kind: str, namespace: str, obj: Mapping[str, Any]) -> Iterator[ReleaseKey]:
        relation = self._relations.of(kind)
        for whole, name in relation.belongs(obj) if relation is not None else ():
            if whole == RELEASES.kind:
                yield ReleaseKey(namespace, name)
            else:
                yield from self._direct(whole, namespace, name)
        labels = obj["metadata"].get("labels") or {}
        if LABEL_RELEASE in labels:
            yield ReleaseKey(namespace, labels[LABEL_RELEASE])

    def _names(self, key: ReleaseKey, release: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        # Before validation: whatever stands in a spec, a Release must not get lost here.
        for relation in self._relations:
            for namespace, name in relation.named(key.namespace, release):
                yield (relation.resource.kind, namespace, name)
        for cluster, namespace, name in upstreams_of(key.namespace, release):
            yield (_UPSTREAM + cluster, namespace, name)
            if cluster:
                yield (_CLUSTER, "", cluster)
        if revision := mapping(mapping(release.get("status")).get("candidate")).get("revision"):
            yield (_REVISION, key.namespace, str(revision))
