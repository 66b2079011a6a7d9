"""What the operator keeps for itself in a Release's status, packed away from what people read.

A test goes on from some twenty numbers and a course of up to 64 points for each gate, and a rollout from its whole policy:
`kubectl describe` would print each on a line of its own. In memory a status has all of it in fields; on the way to the API
server they become one text beside what people read, and fields again on the way back. A status that has them in fields, as an
operator before this one wrote it, is read as it is.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

Json = dict[str, Any]

KEPT = "kept"
"""Name of the field with the text."""
LONGEST = 4 * 1024 * 1024
"""Bytes that a text may unpack to: a hand may have written what grows without end."""
_LEVEL, _WINDOW_BITS, _MEMORY = 2, 13, 6
"""For zlib. With its defaults each text would take seven times as long, most of it to clear memory, and would be 3% shorter."""
UNREADABLE = "unreadable"
"""State of a test whose text could not be read: the judge says so, and begins anew."""
_SHOWN_OF_GATE = frozenset({"name", "verdict", "stable", "canary", "message", "looks", "at", "telemetry"})
_HIDDEN = {
    "rollout": frozenset(
        {
            "spec",
            "rules",
            "trail",
            "splitHarmless",
            "splitAt",
            "warmedAt",
            "exposedAt",
            "undoSince",
            "writtenOver",
            "skipToEnd",
            "routeAwaited",
        }
        | {"routeOverdue"}
    ),
    "lastRollout": frozenset({"gates"}),
}


def packed(status: Mapping[str, Any]) -> Json:
    """Return a status in its wire form as it is stored."""
    found = dict(status)
    for name, hidden in _HIDDEN.items():
        if isinstance(part := found.get(name), Mapping):
            found[name] = _pack(part, hidden)
    if isinstance(gates := found.get("gates"), list):
        found["gates"] = [_pack(gate, gate.keys() - _SHOWN_OF_GATE) if isinstance(gate, Mapping) else gate for gate in gates]
    return found


def opened(status: Mapping[str, Any]) -> Json:
    """Return a stored status with all that is packed in it in fields; what is none of ours is left as it is."""
    found = dict(status)
    for name in _HIDDEN:
        if isinstance(part := found.get(name), Mapping):
            found[name] = _open(part, lambda _: {})
    if isinstance(gates := found.get("gates"), list):
        found["gates"] = [_open(gate, _begun_anew) if isinstance(gate, Mapping) else gate for gate in gates]
    return found


def _pack(part: Mapping[str, Any], hidden: Any) -> Json:
    shown = {name: value for name, value in part.items() if name not in hidden and name != KEPT}
    rest = {name: value for name, value in part.items() if name in hidden and name != KEPT}
    return {**shown, KEPT: as_text(orjson.dumps(rest))} if rest else shown


def _open(part: Mapping[str, Any], otherwise: Callable[[Mapping[str, Any]], Json]) -> Json:
    text = part.get(KEPT)
    if not isinstance(text, str) or not text:
        return dict(part)
    rest = read_text(text)
    return {**part, **(otherwise(part) if rest is None else rest), KEPT: ""}


def _begun_anew(gate: Mapping[str, Any]) -> Json:
    return {"evidence": {"since": gate.get("at"), "state": UNREADABLE}}


def as_text(document: bytes) -> str:
    """Return a document packed into one text."""
    packing = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY)
    return base64.b64encode(packing.compress(document) + packing.flush()).decode()


@lru_cache(maxsize=32)
def read_text(text: str) -> Json | None:
    """Return what a text has; None where it is none of ours. Nobody may change what is returned.

    A status is read a few times in a row, or not for long: those of a thousand would take twelve megabytes.
    """
    try:
        unpacking = zlib.decompressobj()
        document = unpacking.decompress(base64.b64decode(text, validate=True), LONGEST)
        found = orjson.loads(document)
    except (binascii.Error, ValueError, zlib.error):
        return None
    return found if isinstance(found, dict) and unpacking.eof else None
