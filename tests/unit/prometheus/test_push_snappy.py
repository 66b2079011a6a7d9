"""Blocks of Snappy are unpacked as their makers meant them, within the length that they name, or refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expositions.wire import varint
from tidegate.prometheus.push.snappy import Block, SnappyError
from unit.prometheus.pushed import copy, literal, packed

RECORDED = (
    "6hXwQ2h0dHBfcmVxdWVzdHNfdG90YWx7bmFtZXNwYWNlPSJzaG9wIixwb2Q9ImNoZWNrb3V0LTAiLGNvZGU9IjIwMCJ9IDAKykQABDEiFUQUMSJ9IDEKykQA"
    "ADIZRBAyIn0gNM5EAAAzGUQQMCJ9IDnORAAANBlEBcwANs5FAAA1GUUBzQQyNc5FAAA2GUUBzgAz0ooAPd8BzwA00hQBPeABzwA20p0BPeEBzwA40iYCPeIB"
    "zwgxMDDOWgE95AHQBDEy0owAPeUB0QQxNNIXAT3mBdIANtKiAT3nBdIAOdItAj3oAdIAMta4Aj3pAdIEMjXSjAA96gHSBDI40hgBPeoB0gQzMtKkAT3qAdIE"
    "MzbSMAI96gHSADTWvAI96gHSBDQ00owAPeoB0gQ0ONIYAT3qAdIENTLSpAE96gHSBDU30jACPeoB0gA21rwCPeoB0gA21owAPeoB0gA31hgBPeoB0gA31qQB"
    "PeoB0gA41jACPeoB0gA51rwCPeoB0gA51kgDPeoB0gQxMO7VA2XVAdMEMTDWYgQ97AHUBDEx1u8EPe0F1dp8BT3uBdUAMtYJBj3vBdUAM9aWBj3wBdUANNYj"
    "Bz3xIDAifSAxNTIxCg=="
)
"""What github.com/golang/snappy v1.0.0, which Prometheus had for years, makes of `TEXT`."""
TEXT = "".join(
    f'http_requests_total{{namespace="shop",pod="checkout-{number % 7}",code="{200 + number % 3}"}} {number * number}\n'
    for number in range(40)
)


def unpack(block: bytes, elements: int = 4000) -> bytes:
    one = Block(block)
    while not one.work(elements):
        assert len(one.unpacked) <= one.length
    return one.unpacked


texts = st.lists(
    st.sampled_from([b"http_requests_total", b"namespace", b"shop", b"\x00", b"ab"]) | st.binary(max_size=40), max_size=60
)


@given(texts.map(b"".join), st.integers(4, 12), st.integers(1, 7))
def test_what_was_packed_is_unpacked(data: bytes, least: int, elements: int) -> None:
    """Whatever is packed, in literals and copies of all forms, is the same when it is unpacked, in turns of any length."""
    assert unpack(packed(data, least), elements) == data


def test_what_another_has_packed_is_unpacked() -> None:
    """A block of the library that others use is unpacked to the text that went into it."""
    assert unpack(base64.b64decode(RECORDED)).decode() == TEXT


@pytest.mark.parametrize("size", [1, 60, 61, 256, 257, 65536, 65537, 70_000])
def test_literals_of_any_length(size: int) -> None:
    """The length of a literal stands in its tag, or in up to four bytes behind it."""
    data = bytes(index % 251 for index in range(size))
    assert unpack(varint(size) + literal(data)) == data


def test_copies_that_overlap_repeat_a_pattern() -> None:
    """A copy may be longer than what it goes back: it repeats it."""
    assert unpack(varint(16) + literal(b"abc") + copy(3, 13)) == b"abcabcabcabcabca"
    assert unpack(varint(65) + literal(b"x") + copy(1, 64)) == b"x" * 65


def test_copies_from_far_back() -> None:
    """A copy whose way back does not fit into two bytes has four."""
    data = bytes(index * 7 % 256 for index in range(70_000))
    assert unpack(varint(70_010) + literal(data) + copy(70_000, 10)) == data + data[:10]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff\xff\xff\xff\xff",
        b"\x80\x80\x80\x80\x80\x01",
        varint(5),
        varint(5) + literal(b"abcd"),
        varint(3) + literal(b"abcd"),
        varint(4) + b"\x0cabc",
        varint(4) + b"\xf0",
        varint(9) + literal(b"abcd") + copy(5, 5),
        varint(9) + literal(b"abcd") + bytes([1 << 2 | 1, 0]),
        varint(9) + literal(b"abcd") + b"\x05",
        varint(9) + literal(b"abcd") + b"\x12\x01",
        varint(9) + literal(b"abcd") + b"\x13\x01\x00\x00",
        varint(8) + literal(b"abcd") + copy(4, 5),
    ],
)
def test_what_is_no_block_is_refused(block: bytes) -> None:
    """Bytes that end too early, go back before the beginning, or make more or less than they say are refused."""
    with pytest.raises(SnappyError, match="not compressed with Snappy"):
        unpack(block)


def test_length_is_known_before_anything_is_unpacked() -> None:
    """What a block will be is there at once, and nothing was reserved for it."""
    one = Block(varint(4_000_000_000) + literal(b"x"))
    assert (one.length, one.unpacked) == (4_000_000_000, b"")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_block_or_refused(block: bytes) -> None:
    """Nothing but the error comes of bytes that are none, and never more than they say."""
    try:
        assert len(unpack(block, 3)) == Block(block).length
    except SnappyError:
        return
