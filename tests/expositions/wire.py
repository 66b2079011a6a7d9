"""The wire format of protobuf, as tests write it: https://protobuf.dev/programming-guides/encoding/."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """Return a whole number as protobuf has it; one below 0 takes ten bytes."""
    number &= (1 << 64) - 1
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def zigzag(number: int) -> int:
    """Return a number that may be below 0 as sint32 and sint64 have it."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def of_bytes(number: int, body: bytes) -> bytes:
    """Return a field that holds bytes."""
    return varint(number << 3 | 2) + varint(len(body)) + body
