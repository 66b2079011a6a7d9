"""What is kept of the API's objects, and how: as JSON text, a fifth of the memory of dicts, and small as they are alike."""

import zlib
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import orjson

from tidegate.api.names import FIELD_MANAGER

Object: TypeAlias = Mapping[str, Any]

MARK = [{"manager": FIELD_MANAGER}]
"""What is stored of an object's managedFields where an entry of our own is among them."""

BARE = "tidegate.dev/bare"
"""What an object has on top of which only the names are kept. The API server lets no such field through."""
_MOST_OWNERS = 8
"""Owners that are kept of such an object. Objects that Tidegate is about have one or two."""
_LONGEST = 253
"""Characters of a name: longer ones are none of objects that there are."""
_SMALL = 512
"""Bytes of a text that is not pressed."""
_LEVEL, _WINDOW_BITS, _MEMORY = 2, 14, 5
"""For zlib. With its defaults it would clear 256 KiB of memory for each text, which takes longer than all else."""
_WINDOW = 1 << _WINDOW_BITS
"""Bytes of the first text of a kind that others are held against."""


def pack(obj: Object) -> bytes:
    """Return what is kept of an object as JSON text; `unpack` reads it."""
    # Copied, for the text that comes out of the encoder lies in a larger piece of memory.
    return bytes(memoryview(orjson.dumps(slim(obj))))


class Press:
    """Makes texts small by what they have in common with the first of their kind: of most, that is nearly all.

    Deployments of one cluster are written by the same few tools, and what a ReplicaSet is made of is its Deployment's. To press one
    takes some 15 microseconds, and to read it again half of that: less than its JSON.
    """

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}

    def press(self, kind: str, text: bytes) -> tuple[bytes, bytes | None]:
        """Return a text pressed, and what it is like; as it is, and None, where it is small enough.

        Args:
            kind: of the object.
            text: of the object.
        """
        if len(text) < _SMALL:
            return text, None
        like = self._first.setdefault(kind, text[:_WINDOW])
        pressing = zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY, zlib.Z_DEFAULT_STRATEGY, like)
        pressed = pressing.compress(text) + pressing.flush()
        return (pressed, like) if len(pressed) < len(text) else (text, None)


def pulled(text: bytes, like: bytes | None) -> bytes:
    """Return the text that `press` has made this of."""
    return text if like is None else zlib.decompressobj(-_WINDOW_BITS, like).decompress(text)


def unpack(text: bytes) -> Object:
    """Return the object that `pack` made a text of."""
    obj: Object = orjson.loads(text)
    return obj


def slim(obj: Object) -> Object:
    """Return an object without the managedFields of others."""
    metadata = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    rest = {field: value for field, value in metadata.items() if field != "managedFields"}
    if any(entry.get("manager") == FIELD_MANAGER and not entry.get("subresource") for entry in metadata["managedFields"] or ()):
        rest["managedFields"] = MARK
    return {**obj, "metadata": rest}


def bare(obj: Object, labels: Collection[str]) -> Object:
    """Return what tells an object from others and who it belongs to, which is small however large the object is.

    Args:
        obj: the object.
        labels: keys of labels that are kept.
    """
    metadata = obj["metadata"]
    kept = {field: metadata[field] for field in ("namespace", "name", "uid", "resourceVersion") if field in metadata}
    had = metadata.get("labels") or {}
    kept["labels"] = {label: had[label] for label in labels if label in had}
    owners = [_short(owner) for owner in (metadata.get("ownerReferences") or ())[:_MOST_OWNERS]]
    kept["ownerReferences"] = [owner for owner in owners if "uid" in owner and "kind" in owner and "name" in owner]
    found: dict[str, Any] = {BARE: True, "apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": kept}
    # An autoscaler names in its spec whose it is.
    if scaled := (obj.get("spec") or {}).get("scaleTargetRef"):
        found["spec"] = {"scaleTargetRef": _short(scaled)}
    return found


def is_bare(obj: Object) -> bool:
    """Whether only that is there of an object."""
    return BARE in obj


def _short(reference: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in reference.items() if not isinstance(value, str) or len(value) <= _LONGEST}
