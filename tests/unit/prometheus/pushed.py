"""Requests of remote write as agents make them, 2.0 and 1.0, and blocks of Snappy, for the tests of what is pushed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from expositions.wire import of_bytes, varint, zigzag

STALE: bytes = struct.pack("<Q", 0x7FF0000000000002)


@dataclass(frozen=True)
class Series:
    """A series to push: its labels, with the name; samples as (milliseconds, value) or (milliseconds, value, start)."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[int, float | bytes] | tuple[int, float | bytes, int]] = ()
    histograms: Sequence[bytes] = ()
    exemplars: int = 0


def series(name: str, *samples: tuple[int, float | bytes] | tuple[int, float | bytes, int], **labels: str) -> Series:
    """Return a series of one pod."""
    return Series({"__name__": name, "namespace": "shop", **labels}, samples)


def of_number(number: int, value: int) -> bytes:
    """Return a field that holds a whole number; nothing where it is 0."""
    return varint(number << 3) + varint(value) if value else b""


def of_double(number: int, value: float | bytes) -> bytes:
    """Return a field that holds a double, given as a number or by its bytes; nothing where it is 0."""
    raw = value if isinstance(value, bytes) else struct.pack("<d", value)
    return varint(number << 3 | 1) + raw if raw != bytes(8) else b""


@dataclass(frozen=True)
class Native:
    """A native histogram: its schema, and what each bucket has counted, by its place."""

    at: int
    schema: int
    buckets: Mapping[int, int] = field(default_factory=dict)
    zero: int = 0
    start: int = 0
    stale: bool = False

    @property
    def message(self) -> bytes:
        """The message of it, which is the same in both versions."""
        places, spans, deltas, before = sorted(self.buckets), b"", b"", 0
        for number, place in enumerate(places):
            gap = place if number == 0 else place - places[number - 1] - 1
            spans += of_bytes(11, of_number(1, zigzag(gap)) + of_number(2, 1))
            deltas += varint(zigzag(self.buckets[place] - before))
            before = self.buckets[place]
        count = of_number(1, sum(self.buckets.values()) + self.zero)
        zero = of_double(5, 1e-128) + of_number(6, self.zero)
        total = of_double(3, STALE if self.stale else 1.5)
        return (
            count + total + of_number(4, zigzag(self.schema)) + zero + spans + of_bytes(12, deltas)
            + of_number(15, self.at) + of_number(17, self.start)
        )  # fmt: skip


def v2(*some: Series) -> bytes:
    """Return a request of 2.0."""
    symbols = [""]
    places: dict[str, int] = {"": 0}

    def place(text: str) -> int:
        if text not in places:
            places[text] = len(symbols)
            symbols.append(text)
        return places[text]

    body = b""
    for one in some:
        refs = b"".join(varint(place(text)) for pair in sorted(one.labels.items()) for text in pair)
        message = of_bytes(1, refs)
        for at, value, *start in one.samples:
            message += of_bytes(2, of_double(1, value) + of_number(2, at) + of_number(3, start[0] if start else 0))
        message += b"".join(of_bytes(3, histogram) for histogram in one.histograms)
        message += of_bytes(4, of_double(2, 1.0)) * one.exemplars
        body += of_bytes(5, message + of_bytes(5, of_number(1, 1)))
    return b"".join(of_bytes(4, symbol.encode()) for symbol in symbols) + body


def v1(*some: Series) -> bytes:
    """Return a request of 1.0."""
    body = b""
    for one in some:
        message = b"".join(
            of_bytes(1, of_bytes(1, name.encode()) + of_bytes(2, value.encode())) for name, value in sorted(one.labels.items())
        )
        message += b"".join(of_bytes(2, of_double(1, sample[1]) + of_number(2, sample[0])) for sample in one.samples)
        message += of_bytes(3, of_double(2, 1.0)) * one.exemplars
        message += b"".join(of_bytes(4, histogram) for histogram in one.histograms)
        body += of_bytes(1, message)
    return body


def packed(data: bytes, least: int = 4) -> bytes:
    """Return a block of Snappy: copies of what was there before wherever so many bytes are alike."""
    out, seen, at, open_at = bytearray(varint(len(data))), dict[bytes, int](), 0, 0
    while at < len(data):
        begin = seen.get(data[at : at + least])
        seen[data[at : at + least]] = at
        size = 0
        if begin is not None:
            while size < 64 and at + size < len(data) and data[begin + size] == data[at + size]:
                size += 1
        if size < least or begin is None:
            at += 1
            continue
        out += literal(data[open_at:at]) + copy(at - begin, size)
        at += size
        open_at = at
    return bytes(out + literal(data[open_at:]))


def literal(data: bytes) -> bytes:
    """Return a literal."""
    if not data:
        return b""
    size = len(data) - 1
    if size < 60:
        return bytes([size << 2]) + data
    behind = max(1, (size.bit_length() + 7) // 8)
    return bytes([(59 + behind) << 2]) + size.to_bytes(behind, "little") + data


def copy(offset: int, size: int) -> bytes:
    """Return a copy, in the shortest form."""
    if 4 <= size <= 11 and offset < 2048:
        return bytes([offset >> 8 << 5 | (size - 4) << 2 | 1, offset & 0xFF])
    if offset < 65536:
        return bytes([(size - 1) << 2 | 2]) + offset.to_bytes(2, "little")
    return bytes([(size - 1) << 2 | 3]) + offset.to_bytes(4, "little")
