"""Requests are made by whoever may push: any bytes end in a request or in a reason, in time that grows with the bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from expositions.wire import of_bytes, varint
from tidegate.prometheus.push import request
from tidegate.prometheus.push.request import Found, Message, RequestError
from tidegate.prometheus.push.snappy import Block, SnappyError
from unit.fuzz.damage import DAMAGE, damaged
from unit.fuzz.effort import fuzz
from unit.prometheus.pushed import Native, Series, copy, literal, series, v1, v2

NAMES = frozenset({b"http_requests_total", b"http_request_duration_seconds"})
WHOLE = (
    series("http_requests_total", (1000, 7.0, 3), (2000, 8.0), pod="a", code="500"),
    series("up", (1000, 1.0)),
    Series({"__name__": "http_request_duration_seconds"}, histograms=[Native(1, 3, {1: 2, 5: 9}, zero=1).message]),
)


def read(message: Message, data: bytes) -> Found | str:
    found = Found()
    try:
        for _ in request.read(message, data, NAMES, found):
            pass
    except RequestError as error:
        return str(error)
    return found


def unpack(block: bytes, elements: int = 4000) -> bytes | str:
    try:
        one = Block(block)
        while not one.work(elements):
            pass
    except SnappyError as error:
        return str(error)
    return one.unpacked


@given(
    st.sampled_from(list(Message)),
    st.binary(max_size=300) | st.sampled_from([v2(*WHOLE), v1(*WHOLE)]),
    DAMAGE,
)
@fuzz(300)
def test_any_bytes_are_a_request_or_a_reason(message: Message, data: bytes, damage: list[tuple[int, int]]) -> None:
    """Whatever is sent, damaged at any place or none at all, it is a request or a reason, which quotes nothing of it."""
    found = read(message, damaged(data, damage))
    if isinstance(found, str):
        assert "page" not in found
        return
    assert sum(len(one.samples) for one in found.series) <= found.tally.samples + found.tally.histograms
    assert all(len(one.labels) <= request.MOST_LABELS for one in found.series)


@given(st.binary(max_size=300), st.integers(1, 50))
@fuzz(300)
def test_any_bytes_are_a_block_or_a_reason(block: bytes, elements: int) -> None:
    """Whatever is sent unpacks to what it names or to nothing, in turns of any length."""
    found = unpack(block, elements)
    assert found == unpack(block)
    if isinstance(found, bytes):
        assert len(found) == Block(block).length


def _labels(size: int) -> bytes:
    refs = bytes([1, 2]) * (size // 2)
    return (
        of_bytes(4, b"")
        + of_bytes(4, b"a")
        + of_bytes(4, b"b")
        + of_bytes(4, b"http_requests_total")
        + of_bytes(5, of_bytes(1, refs) + b"\x12\x00")
    )


WORK: dict[str, Callable[[int], Callable[[], object]]] = {
    "copies of one byte": lambda n: lambda: unpack(varint(1 + n) + literal(b"x") + copy(1, 1) * n),
    "literals of one byte": lambda n: lambda: unpack(varint(n) + literal(b"x") * n),
    "copies of a whole block": lambda n: lambda: unpack(varint(64 + 64 * n) + literal(b"x" * 64) + copy(64, 64) * n),
    "symbols": lambda n: lambda: read(Message.V2, of_bytes(4, b"a") * n),
    "empty series": lambda n: lambda: read(Message.V2, of_bytes(4, b"http_requests_total") + of_bytes(5, b"") * n),
    "many labels": lambda n: lambda: read(Message.V2, _labels(n)),
    "samples": lambda n: lambda: read(Message.V2, v2(Series({"__name__": "http_requests_total"}, [(1, 1.0)] * n))),
    "pairs of 1.0": lambda n: lambda: read(Message.V1, of_bytes(1, of_bytes(1, b"\x0a\x01a") * n + b"\x12\x00")),
    "varints": lambda n: lambda: read(Message.V2, b"\xff" * n),
}


@pytest.mark.parametrize("name", WORK)
def test_time_grows_with_the_bytes(name: str) -> None:
    """Eight times the bytes take about eight times the time, whatever they are: of what is quadratic it would be 64 times."""

    def seconds(size: int) -> float:
        work, best = WORK[name](size), float("inf")
        for _ in range(4):
            begun = time.thread_time()
            work()
            best = min(best, time.thread_time() - begun)
        return best

    few = 2_000
    for _ in range(6):
        if seconds(8 * few) <= 24 * max(seconds(few), 2e-5):
            return
    pytest.fail(f"{name}: {seconds(8 * few) / max(seconds(few), 1e-9):.0f} times as long for 8 times the bytes")
