"""What the cluster looks like, as far as this process has seen: a cache of plain objects with the few indexes it needs.

Objects are the API's own dicts, without `metadata.managedFields` (half of a Deployment's size). Of those it is only kept whether
there is an entry of our own: what we have put back must leave none.

They are kept as JSON text: that takes a fifth of the memory of dicts, and is nothing for the garbage collector to go through. To
read an object takes some ten microseconds; those that were read last are kept as dicts, too. Treat them as immutable.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

import structlog

from tidegate.runtime import packing
from tidegate.runtime.clock import Clock
from tidegate.runtime.packing import pack, slim, unpack

log = structlog.get_logger(__name__)

E = TypeVar("E", bound=Hashable)
Object: TypeAlias = packing.Object

TOMBSTONE_SECONDS = 300.0
"""How long a deletion is remembered. The events it protects against are answers to our own writes, which are at most a
request timeout late, and those of a second watch on the same kind."""
RECENT = 128
"""Objects that are kept as dicts, those that were read last: what several passes that run at once read again and again."""


class Key(NamedTuple):
    """Names one object."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one object.

    Attributes:
        key: which object.
        old: before, None if it is new.
        new: after, None if it is gone.
        listed: whether it merely came with a list, so that it may be old news.
    """

    key: Key
    old: Object | None
    new: Object | None
    listed: bool = False


class _Tombstone(NamedTuple):
    version: int
    buried: float


class _Entry(NamedTuple):
    """One object: its resourceVersion, and all of it as JSON."""

    version: int
    text: bytes

    def read(self) -> Object:
        return unpack(self.text)


def key_of(kind: str, obj: Object) -> Key:
    """The key of an object; cluster-scoped objects have the empty namespace."""
    metadata = obj["metadata"]
    return Key(kind, metadata.get("namespace", ""), metadata["name"])


def version_of(obj: Object) -> int:
    """The object's resourceVersion as a number.

    From Kubernetes 1.35 on the API guarantees that those of one resource are decimal and compare as numbers (KEP-5504);
    every API server backed by etcd has always done so.

    Raises:
        ValueError: if it is not a decimal number.
    """
    return int(obj["metadata"]["resourceVersion"])


class Store:
    """Objects by kind, namespace and name, of which the newest seen wins.

    For each object the event with the highest resourceVersion decides, whether it is a state or a deletion and in
    whatever order they arrive. So the answer to a write may be put in at once, and the pass after it reads its own
    write; the watch's echo, and older events behind it, change nothing.

    Args:
        clock: measures the age of what is known.
        labels: keys of the labels that `by_label` can look up.
    """

    def __init__(self, clock: Clock, *, labels: Iterable[str] = ()) -> None:
        self._clock = clock
        self._labels = tuple(labels)
        self._entries: dict[str, dict[str, dict[str, _Entry]]] = {}
        # Tuples: of nearly all there is one, and a set of one takes four times the memory.
        self._by_owner: dict[str, tuple[Key, ...]] = {}
        self._by_label: dict[tuple[str, str, str, str], tuple[Key, ...]] = {}
        self._tombstones: dict[Key, _Tombstone] = {}
        self._next_burial_check = 0.0
        self._heard: dict[str, float] = {}
        self._newest: dict[str, int] = {}
        self._subscribers: dict[str, list[Callable[[Change], None]]] = {}
        self._recent: OrderedDict[Key, tuple[_Entry, Object]] = OrderedDict()
        self.rewinds = 0
        """How often history went back: the same object in the same version may be another one since."""

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        key = Key(kind, namespace, name)
        entry = self._entry(key)
        if entry is None:
            return None
        recent = self._recent.get(key)
        if recent is not None and recent[0] is entry:
            self._recent.move_to_end(key)
            return recent[1]
        obj = entry.read()
        self._recent[key] = (entry, obj)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return obj

    def objects(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All objects of a kind, of one namespace or of all, sorted by namespace and name."""
        by_namespace = self._entries.get(kind, {})
        chosen = sorted(by_namespace) if namespace is None else [namespace]
        return [entry.read() for ns in chosen for _, entry in sorted(by_namespace.get(ns, {}).items())]

    def names(self, kind: str) -> list[Key]:
        """The keys of all objects of a kind, sorted; to name them takes no reading."""
        return sorted(self._keys(kind, None))

    def owned_by(self, uid: str, kind: str | None = None) -> list[Object]:
        """The objects with an owner reference to `uid`, of one kind or of all, sorted by key."""
        return list(self._resolve(key for key in self._by_owner.get(uid, ()) if kind is None or key.kind == kind))

    def by_label(self, kind: str, namespace: str, label: str, value: str) -> list[Object]:
        """The objects of a kind in a namespace whose label has that value, sorted by name.

        Raises:
            LookupError: if the store was not told to index `label`.
        """
        if label not in self._labels:
            raise LookupError(f"label {label} is not indexed")
        return list(self._resolve(self._by_label.get((kind, namespace, label, value), ())))

    def labelled(self, label: str) -> Iterator[tuple[str, str, str]]:
        """Yield kind, namespace and value of a label for all that objects have; to name them takes no reading.

        Raises:
            LookupError: if the store was not told to index `label`.
        """
        if label not in self._labels:
            raise LookupError(f"label {label} is not indexed")
        yield from ((kind, namespace, value) for kind, namespace, name, value in tuple(self._by_label) if name == label)

    def count(self, kind: str) -> int:
        """How many objects of a kind are held."""
        return sum(len(names) for names in self._entries.get(kind, {}).values())

    def upsert(self, kind: str, obj: Object, *, listed: bool = False) -> Change | None:
        """Takes in one state of an object, unless something newer is known.

        Args:
            kind: the kind it is stored under.
            obj: the object as the API sent it; of its managedFields only our own mark is stored.
            listed: whether it came with a list.

        Returns:
            The change, or None if the object was known already or is outdated.
        """
        key, version = key_of(kind, obj), version_of(obj)
        self._newest[kind] = max(version, self._newest.get(kind, 0))
        old = self._entry(key)
        if old is not None and old.version >= version:
            return None
        tombstone = self._tombstones.get(key)
        if tombstone is not None and tombstone.version >= version:
            return None
        return self._accept(key, old, obj, listed=listed)

    def remove(self, kind: str, obj: Object, *, listed: bool = False) -> Change | None:
        """Takes in a deletion, unless the object is known in a newer state (it was created again meanwhile).

        Args:
            kind: the kind it is stored under.
            obj: the last state as a DELETED event carries it: its resourceVersion is that of the deletion.
            listed: whether the deletion was found by comparing with a list.

        Returns:
            The change, or None if there was nothing to remove.
        """
        self._newest[kind] = max(version_of(obj), self._newest.get(kind, 0))
        return self._bury(key_of(kind, obj), version_of(obj), listed=listed)

    def replacing(
        self,
        kind: str,
        listing: Iterable[Object],
        resource_version: str,
        *,
        namespace: str | None = None,
        rewound: bool = False,
    ) -> Iterator[Change]:
        """Takes in a complete list: what it lacks was deleted, unless it was created after the list was made.

        It is taken in as the changes are asked for, all of which must be: thousands of objects are never there as dicts at once.

        Args:
            kind: the kind of all its objects.
            listing: the objects.
            resource_version: that of the list.
            namespace: the namespace that was listed; None for all.
            rewound: whether the cluster's history went back (etcd was restored from a backup), so that the list is
                right although what is known carries higher versions.

        Yields:
            The changes that it made.
        """
        version = int(resource_version)
        self.touch(kind)
        if rewound:
            self.rewinds += 1
            self._forget_versions(kind)
        self._newest[kind] = max(version, self._newest.get(kind, 0))
        present: set[Key] = set()
        for obj in listing:
            key = key_of(kind, obj)
            present.add(key)
            old = self._entry(key)
            change = self._correct(key, old, obj) if rewound and old is not None else self.upsert(kind, obj, listed=True)
            if change is not None:
                yield change
        for key in [key for key in self._keys(kind, namespace) if key not in present]:
            gone = self._bury(key, version, listed=True, always=rewound)
            if gone is not None:
                yield gone

    def newest(self, kind: str) -> int:
        """The highest resourceVersion seen of a kind; 0 if none."""
        return self._newest.get(kind, 0)

    def touch(self, kind: str) -> None:
        """Notes that a watch or a list of this kind was heard just now.

        Answers to our own writes do not count: they say nothing about whether the watch is alive.
        """
        self._heard[kind] = self._clock.monotonic()

    def age(self, kind: str) -> float:
        """Seconds since a watch or a list of this kind was last heard; infinite if never."""
        heard = self._heard.get(kind)
        return float("inf") if heard is None else self._clock.monotonic() - heard

    def on_change(self, kind: str, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `callback` on every change of an object of this kind, whoever brought it: a watch, a list or our write.

        Returns:
            A function that ends the subscription.
        """
        subscribers = self._subscribers.setdefault(kind, [])
        subscribers.append(callback)
        return lambda: subscribers.remove(callback)

    def _entry(self, key: Key) -> _Entry | None:
        return self._entries.get(key.kind, {}).get(key.namespace, {}).get(key.name)

    def _resolve(self, keys: Iterable[Key]) -> Iterator[Object]:
        for key in sorted(keys):
            obj = self.get(*key)
            if obj is not None:
                yield obj

    def _keys(self, kind: str, namespace: str | None) -> Iterator[Key]:
        for found, names in self._entries.get(kind, {}).items():
            if namespace is None or found == namespace:
                yield from (Key(kind, found, name) for name in names)

    def _correct(self, key: Key, old: _Entry, obj: Object) -> Change | None:
        """After a restore the same version may stand for other content, so only the content can be compared."""
        return None if old.read() == slim(obj) else self._accept(key, old, obj, listed=True)

    def _accept(self, key: Key, entry: _Entry | None, obj: Object, *, listed: bool) -> Change:
        self._tombstones.pop(key, None)
        old, new = None if entry is None else entry.read(), slim(obj)
        self._put(key, old, new)
        return self._publish(Change(key, old, new, listed=listed))

    def _put(self, key: Key, old: Object | None, new: Object) -> None:
        entry = _Entry(version_of(new), pack(new))
        self._entries.setdefault(key.kind, {}).setdefault(key.namespace, {})[key.name] = entry
        self._index(key, old, new)

    def _drop(self, key: Key, old: Object) -> None:
        self._index(key, old, None)
        self._recent.pop(key, None)
        by_namespace = self._entries[key.kind]
        del by_namespace[key.namespace][key.name]
        if not by_namespace[key.namespace]:
            del by_namespace[key.namespace]

    def _bury(self, key: Key, version: int, *, listed: bool, always: bool = False) -> Change | None:
        entry = self._entry(key)
        if entry is not None and entry.version > version and not always:
            return None
        self._forget_old_tombstones()
        tombstone = self._tombstones.get(key)
        if tombstone is None or tombstone.version < version:
            self._tombstones[key] = _Tombstone(version, self._clock.monotonic())
        if entry is None:
            return None
        old = entry.read()
        self._drop(key, old)
        return self._publish(Change(key, old, None, listed=listed))

    def _forget_old_tombstones(self) -> None:
        now = self._clock.monotonic()
        if now < self._next_burial_check:
            return
        self._next_burial_check = now + TOMBSTONE_SECONDS / 10
        self._tombstones = {k: t for k, t in self._tombstones.items() if now - t.buried <= TOMBSTONE_SECONDS}

    def _forget_versions(self, kind: str) -> None:
        self._tombstones = {key: stone for key, stone in self._tombstones.items() if key.kind != kind}
        self._newest.pop(kind, None)

    def _index(self, key: Key, old: Object | None, new: Object | None) -> None:
        _move(self._by_owner, key, _owners(old), _owners(new))
        _move(self._by_label, key, self._label_pairs(key, old), self._label_pairs(key, new))

    def _label_pairs(self, key: Key, obj: Object | None) -> set[tuple[str, str, str, str]]:
        labels = (obj["metadata"].get("labels") if obj is not None else None) or {}
        return {(key.kind, key.namespace, label, labels[label]) for label in self._labels if label in labels}

    def _publish(self, change: Change) -> Change:
        for callback in tuple(self._subscribers.get(change.key.kind, ())):
            try:
                callback(change)
            except Exception:
                log.exception("subscriber failed", key=str(change.key))
        return change


def _owners(obj: Object | None) -> set[str]:
    references = obj["metadata"].get("ownerReferences") if obj is not None else None
    return {reference["uid"] for reference in references or ()}


def _move(index: dict[E, tuple[Key, ...]], key: Key, old: set[E], new: set[E]) -> None:
    """List a key under other entries than before; most changes of an object change neither its owners nor its labels."""
    for entry in new - old:
        index[entry] = (*index.get(entry, ()), key)
    for entry in old - new:
        keys = tuple(one for one in index[entry] if one != key)
        if keys:
            index[entry] = keys
        else:
            del index[entry]
