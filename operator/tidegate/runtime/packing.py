"""What is kept of the API's objects, and how: as JSON text, which takes a fifth of the memory of dicts."""

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


def pack(obj: Object) -> bytes:
    """Return what is kept of an object as JSON text; `unpack` reads it."""
    # Copied, for the text that comes out of the encoder lies in a larger piece of memory.
    return bytes(memoryview(orjson.dumps(slim(obj))))


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
