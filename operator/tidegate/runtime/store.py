"""What the cluster looks like, as far as this process has seen: a cache of plain objects with the few indexes it needs.

Objects are the API's own dicts, without `metadata.managedFields` (half of a Deployment's size). Of those it is only kept whether
there is an entry of our own: what we have put back must leave none.

They are kept as JSON text: that takes a fifth of the memory of dicts, and is nothing for the garbage collector to go through. To
read an object takes some ten microseconds; those that were read last are kept as dicts, too. Treat them as immutable.

Of objects that nobody needs only the names are kept, but for small ones as long as there is room (`tidegate.runtime.spare`).
Whoever reads one of these meets `BareError`, so that nobody takes it for whole, or for missing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import structlog

from tidegate.runtime import packing
from tidegate.runtime.clock import Clock
from tidegate.runtime.packing import is_bare, slim
from tidegate.runtime.shelf import BareError, Entry, Key, Shelf, key_of, version_of
from tidegate.runtime.spare import Spare

log = structlog.get_logger(__name__)

Object: TypeAlias = packing.Object

TOMBSTONE_SECONDS = 300.0
"""How long a deletion is remembered. The events it protects against are answers to our own writes, which are at most a
request timeout late, and those of a second watch on the same kind."""
RECENT = 128
"""Objects that are kept as dicts, those that were read last: what several passes that run at once read again and again."""


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


class Store:
    """Objects by kind, namespace and name, of which the newest seen wins.

    For each object the event with the highest resourceVersion decides, whether it is a state or a deletion and in
    whatever order they arrive. So the answer to a write may be put in at once, and the pass after it reads its own
    write; the watch's echo, and older events behind it, change nothing.

    Args:
        clock: measures the age of what is known.
        labels: keys of the labels that `by_label` can look up.
        needed: whether somebody needs an object; by default all are.
        spare: how much is kept whole of what nobody needs.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        labels: Iterable[str] = (),
        needed: Callable[[Key, Object], bool] = lambda *_: True,
        spare: Spare | None = None,
    ) -> None:
        self._clock, self._shelf = clock, Shelf(labels, needed, spare or Spare())
        self._tombstones: dict[Key, _Tombstone] = {}
        self._next_burial_check = 0.0
        self._heard: dict[str, float] = {}
        self._newest: dict[str, int] = {}
        self._subscribers: dict[str, list[Callable[[Change], None]]] = {}
        self._recent: OrderedDict[Key, tuple[Entry, Object]] = OrderedDict()
        self.rewinds = 0
        """How often history went back: the same object in the same version may be another one since."""

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None.

        Raises:
            BareError: only its names are known.
        """
        key = Key(kind, namespace, name)
        entry = self._shelf.entry(key)
        if entry is None:
            return None
        if entry.bare:
            raise BareError([key])
        recent = self._recent.get(key)
        if recent is not None and recent[0] is entry:
            self._recent.move_to_end(key)
            return recent[1]
        obj = entry.read()
        self._recent[key] = (entry, obj)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return obj

    def kept(self, kind: str, namespace: str, name: str) -> Object | None:
        """What is kept of an object, which may be its names alone; None where there is no such object."""
        entry = self._shelf.entry(Key(kind, namespace, name))
        return None if entry is None else entry.read()

    def objects(self, kind: str, namespace: str | None = None) -> list[Object]:
        """What is kept of all objects of a kind, of one namespace or of all, sorted by namespace and name; see `kept`."""
        return [entry.read() for entry in self._shelf.entries(kind, namespace)]

    def names(self, kind: str) -> list[Key]:
        """The keys of all objects of a kind, sorted; to name them takes no reading."""
        return sorted(self._shelf.keys(kind, None))

    def owned_by(self, uid: str, kind: str | None = None) -> list[Object]:
        """The objects with an owner reference to `uid`, of one kind or of all, sorted by key.

        Raises:
            BareError: of some of them only the names are known.
        """
        return list(self._resolve(key for key in self._shelf.owned_by(uid) if kind is None or key.kind == kind))

    def by_label(self, kind: str, namespace: str, label: str, value: str) -> list[Object]:
        """The objects of a kind in a namespace whose label has that value, sorted by name.

        Raises:
            BareError: of some of them only the names are known.
            LookupError: if the store was not told to index `label`.
        """
        if label not in self._shelf.labels:
            raise LookupError(f"label {label} is not indexed")
        return list(self._resolve(self._shelf.by_label(kind, namespace, label, value)))

    def versions_by_label(self, kind: str, namespace: str, label: str, value: str) -> tuple[tuple[Key, int], ...]:
        """What `by_label` would find, by key and resourceVersion; to name them takes no reading."""
        found = ((key, self._shelf.entry(key)) for key in self._shelf.by_label(kind, namespace, label, value))
        return tuple((key, entry.version) for key, entry in found if entry is not None)

    def labelled(self, label: str) -> Iterator[tuple[str, str, str]]:
        """Yield kind, namespace and value of a label for all that objects have; to name them takes no reading.

        Raises:
            LookupError: if the store was not told to index `label`.
        """
        if label not in self._shelf.labels:
            raise LookupError(f"label {label} is not indexed")
        yield from self._shelf.labelled(label)

    def count(self, kind: str) -> int:
        """How many objects of a kind are held."""
        return self._shelf.count(kind)

    def upsert(self, kind: str, obj: Object, *, listed: bool = False, whole: bool = False) -> Change | None:
        """Takes in one state of an object, unless something newer is known.

        Args:
            kind: the kind it is stored under.
            obj: the object as the API sent it; of its managedFields only our own mark is stored.
            listed: whether it came with a list.
            whole: whether it was read because somebody needs it.

        Returns:
            The change, or None if the object was known already, if by its names alone, or is outdated.
        """
        key, version = key_of(kind, obj), version_of(obj)
        self._newest[kind] = max(version, self._newest.get(kind, 0))
        old = self._shelf.entry(key)
        if old is not None and old.version >= version:
            if old.bare and old.version == version and (whole or self._shelf.is_needed(key, obj)):
                self._shelf.put(key, old, slim(obj), whole=True)
            return None
        tombstone = self._tombstones.get(key)
        if tombstone is not None and tombstone.version >= version:
            return None
        return self._accept(key, old, obj, listed=listed, whole=whole)

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
            old = self._shelf.entry(key)
            change = self._correct(key, old, obj) if rewound and old is not None else self.upsert(kind, obj, listed=True)
            if change is not None:
                yield change
        for key in [key for key in self._shelf.keys(kind, namespace) if key not in present]:
            gone = self._bury(key, version, listed=True, always=rewound)
            if gone is not None:
                yield gone

    def taking(self, kind: str) -> Callable[[Object], bytes]:
        """Return what makes texts of the objects of a list for `replacing`; of what nobody needs they are small."""
        return self._shelf.taking(kind)

    def let_go(self, keys: Iterable[Key]) -> None:
        """Keep no more than there is room for of what somebody has let go of, of what belongs to it, and is needed by nobody else.

        Args:
            keys: of what was let go of, whether it is known or not.
        """
        gone = [*keys]
        for key in gone:
            self._shelf.let_go(key)
        if gone:
            for key in [key for key, (entry, _) in self._recent.items() if self._shelf.entry(key) is not entry]:
                del self._recent[key]

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

    def _resolve(self, keys: Iterable[Key]) -> Iterator[Object]:
        found = sorted(keys)
        if unread := [key for key in found if (entry := self._shelf.entry(key)) is not None and entry.bare]:
            raise BareError(unread)
        for key in found:
            obj = self.get(*key)
            if obj is not None:
                yield obj

    def _correct(self, key: Key, old: Entry, obj: Object) -> Change | None:
        """After a restore the same version may stand for other content, so only the content can be compared."""
        # Where only names are kept, nothing tells whether the rest is the same.
        alike = not old.bare and not is_bare(obj) and old.read() == slim(obj)
        return None if alike else self._accept(key, old, obj, listed=True)

    def _accept(self, key: Key, entry: Entry | None, obj: Object, *, listed: bool, whole: bool = False) -> Change:
        self._tombstones.pop(key, None)
        old, new = None if entry is None else entry.read(), slim(obj)
        self._shelf.put(key, entry, new, old=old, whole=whole)
        return self._publish(Change(key, old, new, listed=listed))

    def _bury(self, key: Key, version: int, *, listed: bool, always: bool = False) -> Change | None:
        entry = self._shelf.entry(key)
        if entry is not None and entry.version > version and not always:
            return None
        self._forget_old_tombstones()
        tombstone = self._tombstones.get(key)
        if tombstone is None or tombstone.version < version:
            self._tombstones[key] = _Tombstone(version, self._clock.monotonic())
        if entry is None:
            return None
        old = entry.read()
        self._shelf.drop(key, entry, old)
        self._recent.pop(key, None)
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

    def _publish(self, change: Change) -> Change:
        for callback in tuple(self._subscribers.get(change.key.kind, ())):
            try:
                callback(change)
            except Exception:
                log.exception("subscriber failed", key=str(change.key))
        return change
