"""What a gate's tests go on from, as a short text for the status: a version, a fingerprint of the gate's limits, and floats.

Every float comes back bit for bit, so that a test goes on after a restart of the operator as if there had been none.
"""

from __future__ import annotations

import binascii
import math
import struct
import sys
from array import array
from collections.abc import Sequence

VERSION = 3
"""Of the layout and of the tests; states of another version are not read."""
_HEAD = struct.Struct("<BIB")
_SWAPPED = sys.byteorder == "big"


def encode(fingerprint: int, stretches: Sequence[Sequence[float]]) -> str:
    """Return the text for at most 255 lists of at most 65,535 floats each.

    Args:
        fingerprint: 32 bits that tell gates with other metrics or limits apart.
        stretches: the lists.
    """
    lengths, values = array("H", [len(stretch) for stretch in stretches]), list[float]()
    for stretch in stretches:
        values.extend(stretch)
    floats = array("d", values)
    if _SWAPPED:
        lengths.byteswap()
        floats.byteswap()
    raw = _HEAD.pack(VERSION, fingerprint, len(stretches)) + lengths.tobytes() + floats.tobytes()
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


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
    lengths = array("H", raw[_HEAD.size : begin])
    if _SWAPPED:
        lengths.byteswap()
    if len(raw) != begin + 8 * sum(lengths) or any(length < most for length, most in zip(lengths, least, strict=True)):
        return None
    floats = array("d", raw[begin:])
    if _SWAPPED:
        floats.byteswap()
    values, stretches, at = floats.tolist(), [], 0
    if not math.isfinite(sum(values)):
        return None
    for length in lengths:
        stretches.append(values[at : at + length])
        at += length
    return stretches
