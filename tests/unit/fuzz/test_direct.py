"""Pages of pods are made by whoever runs in them: any bytes end in a page or in a reason, in time that grows with the bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from expositions.serving import NativePage
from expositions.wire import varint
from tidegate.prometheus.direct.page import Page, PageError
from tidegate.prometheus.direct.protobuf import ProtobufPage
from tidegate.prometheus.direct.text import LONGEST_LINE, Series, TextPage
from tidegate.prometheus.direct.wanted import Wanted
from unit.fuzz.damage import DAMAGE, damaged
from unit.fuzz.effort import fuzz
from unit.prometheus.direct_pages import parts, wanted

WISHES: tuple[Wanted, ...] = (
    *(wanted(measure=measure) for measure in ("ErrorRate", "Availability", "Tail")),
    wanted("Istio"),
    wanted("Linkerd", "Availability"),
    wanted("GRPC", "Latency"),
    wanted("OpenTelemetry"),
)
SERIES = Series(WISHES)
names = st.sampled_from(
    [
        b"http_requests_total",
        b"http_request_duration_seconds_bucket",
        b"http_request_duration_seconds_count",
        b"istio_requests_total",
        *[b"process_start_time_seconds", b"grpc_server_handling_seconds_bucket", b"http_requests", b"# TYPE x counter", b""],
    ]
)
label_sets = st.sampled_from(
    [
        b"",
        b"{}",
        b'{code="500"}',
        b'{le="0.1"}',
        b'{le="+Inf"}',
        b'{le="NaN"}',
        b'{le="-1"}',
        b'{a="\\"}',
        b'{a="}',
        b"{,}",
        b'{"a"}',
        b'{reporter="destination",response_code="503"}',
        b"{" + b'a="b",' * 50 + b"}",
        b'{code="\xff"}',
        b"}{",
    ]
)
values = st.sampled_from(
    [b"1", b"0", b"1e308", b"1e400", b"-1", b"NaN", b"+Inf", b"-Inf", b"x", b"", b"1_0", b"1 2", b'1 # {a="b"} 1', b"\x00", b"\xff"]
) | st.binary(max_size=5)
lines = st.builds(lambda *parts: b"".join(parts), names, label_sets, st.sampled_from([b" ", b"\t", b"  ", b""]), values)
pages = st.lists(lines, max_size=12).map(lambda some: b"\n".join([*some, b""])) | st.binary(max_size=400)


def read(make: Callable[[], TextPage | ProtobufPage], page: bytes, pieces: int) -> Page | str:
    """Read a page; any exception but the one that is told to people is a bug."""
    one = make()
    try:
        for piece in parts(page, pieces):
            one.feed(piece)
        found = one.end()
    except PageError as error:
        return str(error)
    for counted in found.counted.values():
        assert 0 <= counted.events.total < float("inf") or counted.events.total == float("inf")
        assert counted.histogram is None or counted.histogram.total >= 0
    return found


@given(pages, st.integers(0, 64), st.booleans())
@fuzz(300)
def test_any_text_is_a_page_or_a_reason(page: bytes, pieces: int, ended: bool) -> None:
    """Whatever a page of text holds, and however it is cut, it is a page or a reason, and the same for every cut."""
    whole = read(lambda: TextPage(SERIES, 20, ended=ended), page, 0)
    cut = read(lambda: TextPage(SERIES, 20, ended=ended), page, pieces)
    assert isinstance(whole, Page) == isinstance(cut, Page)
    if isinstance(whole, Page):
        assert whole == cut


def native(schema: int = 3) -> bytes:
    page = NativePage("http_request_duration_seconds", schema)
    for seconds, count in ((0.01, 5), (0.02, 10), (4.0, 1)):
        page.observe("http_request_duration_seconds", seconds, count)
    return page.content()[1]


@given(
    st.binary(max_size=300) | st.just(native() * 2),
    st.integers(0, 32),
    DAMAGE,
)
@fuzz(300)
def test_any_protobuf_is_a_page_or_a_reason(page: bytes, pieces: int, damage: list[tuple[int, int]]) -> None:
    """Whatever a page of protobuf holds, damaged at any place or none at all, it is a page or a reason."""
    changed = damaged(page, damage)
    whole = read(lambda: ProtobufPage(WISHES, 20), changed, 0)
    cut = read(lambda: ProtobufPage(WISHES, 20), changed, pieces)
    assert isinstance(whole, Page) == isinstance(cut, Page)
    if isinstance(whole, Page):
        assert whole == cut


def _family(size: int) -> bytes:
    """Return a family of this many bytes, of which most are labels of one metric."""
    name = b"http_request_duration_seconds"
    label = b"\x0a\x06\x0a\x01a\x12\x01b"
    metric = label * (size // len(label))

    body = b"\x0a" + varint(len(name)) + name + b"\x22" + varint(len(metric)) + metric
    return varint(len(body)) + body


TEXTS: dict[str, Callable[[int], tuple[Callable[[], TextPage | ProtobufPage], bytes, int]]] = {
    "no newline, byte by byte": lambda n: (lambda: TextPage(SERIES), b"x" * min(n, LONGEST_LINE), 1),
    "labels without an end": lambda n: (lambda: TextPage(SERIES), b'http_requests_total{a="' + b"\\" * n + b"\n", 0),
    "many labels": lambda n: (lambda: TextPage(Series(WISHES)), b"http_requests_total{" + b'a="b",' * (n // 6) + b"} 1\n", 0),
    "braces": lambda n: (lambda: TextPage(SERIES), b"http_requests_total" + b"{" * n + b"\n", 0),
    "beginnings of names": lambda n: (lambda: TextPage(SERIES), b"\nhttp_request" * (n // 12), 0),
    "newlines": lambda n: (lambda: TextPage(SERIES), b"\n" * n, 0),
    "other series": lambda n: (lambda: TextPage(SERIES, 10**6), b'http_requests_totals{a="b"} 1\n' * (n // 30), 64),
    "one large family, in pieces": lambda n: (lambda: ProtobufPage(WISHES), _family(n), 64),
    "many small families": lambda n: (lambda: ProtobufPage(WISHES), b"\x03\x0a\x01a" * (n // 4), 16),
    "varints": lambda n: (lambda: ProtobufPage(WISHES), b"\xff" * n, 1),
}


@pytest.mark.parametrize("name", TEXTS)
def test_time_grows_with_the_bytes(name: str) -> None:
    """Eight times the bytes take about eight times the time, whatever they are: of what is quadratic it would be 64 times."""

    def seconds(size: int) -> float:
        make, page, pieces = TEXTS[name](size)
        best = float("inf")
        for _ in range(4):
            begun = time.thread_time()
            read(make, page, pieces)
            best = min(best, time.thread_time() - begun)
        return best

    few = 2_000
    for _ in range(6):
        if seconds(8 * few) <= 24 * max(seconds(few), 2e-5):
            return
    pytest.fail(f"{name}: {seconds(8 * few) / max(seconds(few), 1e-9):.0f} times as long for 8 times the bytes")
