"""What is kept of the API's objects, and how: as JSON text, which takes a fifth of the memory of dicts."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson

from tidegate.api.names import FIELD_MANAGER

Object: TypeAlias = Mapping[str, Any]

MARK = [{"manager": FIELD_MANAGER}]
"""What is stored of an object's managedFields where an entry of our own is among them."""


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
