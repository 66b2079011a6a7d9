"""What a gate's tests go on from, as a short text for the status: a version, a fingerprint of the gate's limits, and floats.

Every float comes back bit for bit, so that a test goes on after a restart of the operator as if there had been none.
"""

from __future__ import annotations

import binascii
import math
import operator
import struct
from collections.abc import Sequence

VERSION = 3
"""Of the layout and of the tests; states of another version are not read."""
_HEAD = struct.Struct("<BIB")


def encode(fingerprint: int, stretches: Sequence[Sequence[float]]) -> str:
    """Return the text for at most 255 lists of at most 65,535 floats each.

    Args:
        fingerprint: 32 bits that tell gates with other metrics or limits apart.
        stretches: the lists.
    """
    lengths, values = [len(stretch) for stretch in stretches], list[float]()
    for stretch in stretches:
        values.extend(stretch)
    rest = struct.pack(f"<{len(lengths)}H{len(values)}d", *lengths, *values)
    return binascii.b2a_base64(_HEAD.pack(VERSION, fingerprint, len(stretches)) + rest, newline=False).decode("ascii")


def decode(text: str, fingerprint: int, least: Sequence[int]) -> list[list[float]] | None:
    """Return the lists of floats; None where the text is of another version, of other limits, or no such text.

    Args:
        text: what `encode` returned.
        fingerprint: as it was given.
        least: how many lists there must be, and how long each is at least.
    """
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    begin = _HEAD.size + 2 * len(least)
    if len(raw) < begin or _HEAD.unpack_from(raw) != (VERSION, fingerprint, len(least)):
        return None
    lengths = struct.unpack_from(f"<{len(least)}H", raw, _HEAD.size)
    if len(raw) != begin + 8 * sum(lengths) or not all(map(operator.ge, lengths, least)):
        return None
    values, stretches, at = list(struct.unpack_from(f"<{sum(lengths)}d", raw, begin)), [], 0
    if not math.isfinite(sum(values)):
        return None
    for length in lengths:
        stretches.append(values[at : at + length])
        at += length
    return stretches
