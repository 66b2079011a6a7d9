"""The wire format of protobuf, as far as it takes to find fields in a message: every value is bounded by the bytes that there are.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

from tidegate.prometheus.direct.page import PageError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST = 10
"""Bytes of a varint at most."""
_BITS = (1 << 64) - 1
Field: TypeAlias = tuple[int, int, int, int]
"""Number, type, and for bytes where they begin and end, for all else the value and the end of the field."""

MOST_FIELDS = 50_000
"""Fields and numbers that are looked at of one page at most: the least of them has two bytes, and each takes time."""
_DOUBLE = struct.Struct("<d")


class Fields:
    """Counts what is looked at of one page, families that are passed over as well as fields of those that are wanted.

    Args:
        most: how much of it at most.

    Attributes:
        seen: how much that was.
    """

    __slots__ = ("_most", "seen")

    def __init__(self, most: int = MOST_FIELDS) -> None:
        self.seen, self._most = 0, most

    def take(self, some: int = 1) -> None:
        """Look at some more.

        Raises:
            PageError: that is too much.
        """
        self.seen += some
        if self.seen > self._most:
            raise PageError(f"the page has more than {self._most:,} fields to look at")


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a whole number without sign, and where it ends.

    Raises:
        PageError: it does not end.
    """
    if at < end and (first := data[at]) < 0x80:
        return first, at + 1
    value = shift = 0
    for place in range(at, min(end, at + LONGEST)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _BITS, place + 1
        shift += 7
    raise PageError("the page is no protobuf that Tidegate knows")


def fields(data: bytes, at: int, end: int, count: Fields) -> Iterator[Field]:
    """Yield the fields of a message that lies between two places, and count them.

    Raises:
        PageError: it is no message, or the page has too many fields.
    """
    while at < end:
        count.take()
        key, at = varint(data, at, end)
        kind, number = key & 7, key >> 3
        if kind == VARINT:
            value, at = varint(data, at, end)
            yield number, kind, value, at
            continue
        if kind == BYTES:
            size, at = varint(data, at, end)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise PageError("the page is no protobuf that Tidegate knows")
        if size > end - at:
            raise PageError("the page is cut off")
        yield number, kind, at, at + size
        at += size


def double(data: bytes, field: Field) -> float:
    """Return the value of a field that holds a double.

    Raises:
        PageError: it holds none.
    """
    if field[1] != FIXED64:
        raise PageError("the page is no protobuf that Tidegate knows")
    value: float = _DOUBLE.unpack_from(data, field[2])[0]
    return value


def signed(value: int) -> int:
    """Return what a number stands for that may be below 0 (sint32, sint64)."""
    return (value >> 1) ^ -(value & 1)


def numbers(data: bytes, field: Field, count: Fields) -> Iterator[int]:
    """Yield the whole numbers of a repeated field: one, or many in a packed one."""
    if field[1] == VARINT:
        yield field[2]
    elif field[1] == BYTES:
        at, end = field[2], field[3]
        while at < end:
            count.take()
            value, at = varint(data, at, end)
            yield value
    else:
        raise PageError("the page is no protobuf that Tidegate knows")


def doubles(data: bytes, field: Field, count: Fields) -> Iterator[float]:
    """Yield the doubles of a repeated field: one, or many in a packed one."""
    if field[1] == FIXED64:
        yield double(data, field)
    elif field[1] == BYTES and (field[3] - field[2]) % 8 == 0:
        count.take((field[3] - field[2]) // 8)
        yield from (one for (one,) in struct.iter_unpack("<d", data[field[2] : field[3]]))
    else:
        raise PageError("the page is no protobuf that Tidegate knows")
