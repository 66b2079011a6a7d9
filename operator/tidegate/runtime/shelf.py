"""Where objects are kept, and by what they are found: whole, or by their names where nobody needs them and there is no room."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from tidegate.runtime.errors import Retry
from tidegate.runtime.packing import Object, Press, bare, is_bare, pack, pulled, unpack
from tidegate.runtime.spare import Keeping, Spare

E = TypeVar("E", bound=Hashable)

_SCALERS = "HorizontalPodAutoscaler"


class Key(NamedTuple):
    """Names one object."""

    kind: str
    namespace: str
    name: str


class BareError(Retry):
    """Of some objects only the names are known, as nobody needed them before: they have to be read.

    Args:
        keys: which.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        first = self.keys[0]
        others = f" and {len(self.keys) - 1} others" if len(self.keys) > 1 else ""
        super().__init__(f"{first.kind} {first.namespace}/{first.name}{others} must be read first", reason="NotRead")


class Entry(NamedTuple):
    """One object: its resourceVersion, and all of it as JSON, or its names; pressed by what it is like, if it is."""

    version: int
    text: bytes
    keeping: Keeping
    like: bytes | None = None

    @property
    def bare(self) -> bool:
        """Whether only its names are kept."""
        return self.keeping is Keeping.BARE

    def read(self) -> Object:
        """Return what is kept of it."""
        return unpack(pulled(self.text, self.like))


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


class Shelf:
    """Objects by kind, namespace and name, and by owner and label.

    Args:
        labels: keys of the labels by which objects are found.
        needed: whether somebody needs an object.
        spare: how much is kept whole of what nobody needs.
    """

    def __init__(self, labels: Iterable[str], needed: Callable[[Key, Object], bool], spare: Spare) -> None:
        self.labels = tuple(labels)
        self._needed, self._spare, self._press = needed, spare, Press()
        self._entries: dict[str, dict[str, dict[str, Entry]]] = {}
        # Tuples: of nearly all there is one, and a set of one takes four times the memory.
        self._by_owner: dict[str, tuple[Key, ...]] = {}
        self._by_label: dict[tuple[str, str, str, str], tuple[Key, ...]] = {}

    def entry(self, key: Key) -> Entry | None:
        """Return what is kept under a key."""
        return self._entries.get(key.kind, {}).get(key.namespace, {}).get(key.name)

    def entries(self, kind: str, namespace: str | None) -> Iterator[Entry]:
        """Yield all of a kind, of one namespace or of all, sorted by namespace and name."""
        by_namespace = self._entries.get(kind, {})
        for one in sorted(by_namespace) if namespace is None else [namespace]:
            yield from (entry for _, entry in sorted(by_namespace.get(one, {}).items()))

    def keys(self, kind: str, namespace: str | None) -> Iterator[Key]:
        """Yield the keys of a kind, of one namespace or of all."""
        for found, names in self._entries.get(kind, {}).items():
            if namespace is None or found == namespace:
                yield from (Key(kind, found, name) for name in names)

    def count(self, kind: str) -> int:
        """Return how many objects of a kind there are."""
        return sum(len(names) for names in self._entries.get(kind, {}).values())

    def owned_by(self, uid: str) -> tuple[Key, ...]:
        """Return what has an owner reference to a uid."""
        return self._by_owner.get(uid, ())

    def by_label(self, kind: str, namespace: str, label: str, value: str) -> tuple[Key, ...]:
        """Return what of a kind in a namespace has that label."""
        return self._by_label.get((kind, namespace, label, value), ())

    def labelled(self, label: str) -> Iterator[tuple[str, str, str]]:
        """Yield kind, namespace and value of a label for all that objects have."""
        yield from ((kind, namespace, value) for kind, namespace, name, value in tuple(self._by_label) if name == label)

    def is_needed(self, key: Key, obj: Object) -> bool:
        """Whether somebody needs an object that is there as a whole."""
        return not is_bare(obj) and self._needed(key, obj)

    def put(self, key: Key, before: Entry | None, new: Object, *, old: Object | None = None, whole: bool = False) -> None:
        """Keep an object; only its names where nobody needs it and there is no room.

        Args:
            key: which.
            before: what was kept of it.
            new: the object.
            old: what was kept of it, where that has been read.
            whole: whether it is needed for certain.
        """
        self._make_room(key, before)
        text, keeping, like = pack(new), Keeping.BARE, None
        if whole or self.is_needed(key, new):
            keeping = Keeping.NEEDED
            text, like = self._press.press(key.kind, text)
        elif not is_bare(new) and self._spare.takes(key.namespace, len(text)):
            keeping = Keeping.SPARE
            self._spare.hold(key.namespace, len(text))
        elif not is_bare(new):
            new = bare(new, self.labels)
            text = pack(new)
        self._entries.setdefault(key.kind, {}).setdefault(key.namespace, {})[key.name] = Entry(version_of(new), text, keeping, like)
        self._index(key, before.read() if before is not None and old is None else old, new)

    def drop(self, key: Key, entry: Entry, old: Object) -> None:
        """Keep nothing of an object.

        Args:
            key: which.
            entry: what is kept of it.
            old: what it reads.
        """
        self._make_room(key, entry)
        self._index(key, old, None)
        by_namespace = self._entries[key.kind]
        del by_namespace[key.namespace][key.name]
        if not by_namespace[key.namespace]:
            del by_namespace[key.namespace]

    def taking(self, kind: str) -> Callable[[Object], bytes]:
        """Return what makes texts of a list's objects on their way in; of what nobody needs they are small."""
        on_the_way = self._spare.of_a_list()

        def take(obj: Object) -> bytes:
            text, key = pack(obj), key_of(kind, obj)
            if self.is_needed(key, obj):
                return text
            if not on_the_way.takes(key.namespace, len(text)):
                return pack(bare(obj, self.labels))
            on_the_way.hold(key.namespace, len(text))
            return text

        return take

    def let_go(self, key: Key) -> None:
        """Keep no more than there is room for of what nobody needs any more.

        Args:
            key: what somebody has let go of, whether it is known or not. With it goes what it owns, what has its name as the value
                of a label, and what in its namespace scales something.
        """
        entry = self.entry(key)
        found = [key, *(self.owned_by(entry.read()["metadata"]["uid"]) if entry is not None else ())]
        for kind in self._entries:
            found += [one for label in self.labels for one in self.by_label(kind, key.namespace, label, key.name)]
        found += self.keys(_SCALERS, key.namespace) if key.kind == "Deployment" else ()
        for one in found:
            kept = self.entry(one)
            if kept is not None and kept.keeping is Keeping.NEEDED and not self.is_needed(one, obj := kept.read()):
                self.put(one, kept, obj)

    def _make_room(self, key: Key, before: Entry | None) -> None:
        if before is not None and before.keeping is Keeping.SPARE:
            self._spare.hold(key.namespace, -len(before.text))

    def _index(self, key: Key, old: Object | None, new: Object | None) -> None:
        _move(self._by_owner, key, _owners(old), _owners(new))
        _move(self._by_label, key, self._label_pairs(key, old), self._label_pairs(key, new))

    def _label_pairs(self, key: Key, obj: Object | None) -> set[tuple[str, str, str, str]]:
        labels = (obj["metadata"].get("labels") if obj is not None else None) or {}
        return {(key.kind, key.namespace, label, labels[label]) for label in self.labels if label in labels}


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
