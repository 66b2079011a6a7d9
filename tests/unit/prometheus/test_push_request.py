"""Requests of remote write, 2.0 and 1.0: the wanted series alone are read, everything is counted, and nothing is too much."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expositions.wire import of_bytes, varint
from tidegate.judge.histogram import EMPTY, Histogram
from tidegate.prometheus.push import request
from tidegate.prometheus.push.request import Found, Message, Pushed, RequestError, Sample, Tally
from unit.prometheus.pushed import STALE, Native, Series, of_double, of_number, series, v1, v2

NAMES = frozenset({b"http_requests_total", b"http_request_duration_seconds"})
BOTH = pytest.mark.parametrize(("message", "made"), [(Message.V2, v2), (Message.V1, v1)])
Make = Callable[..., bytes]


def read(message: Message, data: bytes, names: frozenset[bytes] = NAMES) -> Found:
    found = Found()
    for _ in request.read(message, data, names, found):
        pass
    return found


@BOTH
def test_wanted_series_are_read_and_all_are_counted(message: Message, made: Make) -> None:
    """Series of the wanted names come with their labels and samples; of all others it is known how many samples they have."""
    wanted = series("http_requests_total", (1000, 7.0), (2000, 0.0), pod="a", code="500")
    others = [series("up", (1000, 1.0), pod=str(number)) for number in range(300)]
    marked = Series({"__name__": "x", "pod": "http_requests_total"}, [(1, 1.0)], exemplars=2)

    found = read(message, made(*others, wanted, marked))

    labels = {"namespace": "shop", "pod": "a", "code": "500"}
    assert found.series == [Pushed("http_requests_total", labels, (Sample(1000, 7.0), Sample(2000, 0.0)))]
    assert found.tally == Tally(samples=303, exemplars=2)


@BOTH
def test_nothing_is_read_that_nobody_wants(message: Message, made: Make) -> None:
    """Without a name that is wanted samples are counted alone."""
    found = read(message, made(series("http_requests_total", (1000, 7.0))), frozenset())
    assert (found.series, found.tally) == ([], Tally(samples=1))


@BOTH
def test_end_of_a_series_is_no_value(message: Message, made: Make) -> None:
    """The number by which a scraper says that a series is over is told from any other that is none."""
    one = series("http_requests_total", (1000, STALE), (2000, math.nan), (3000, math.inf), (-5, 1.0))
    samples = read(message, made(one)).series[0].samples
    assert samples[0] == Sample(1000, None)
    assert isinstance(samples[1].value, float)
    assert math.isnan(samples[1].value)
    assert samples[2:] == (Sample(3000, math.inf), Sample(-5, 1.0))


def test_start_of_a_sample() -> None:
    """2.0 says since when a sample counts; a time before 1970 says nothing."""
    found = read(Message.V2, v2(series("http_requests_total", (9000, 7.0, 4000), (9500, 8.0, -(2**62)))))
    assert found.series[0].samples == (Sample(9000, 7.0, 4000), Sample(9500, 8.0))
    native = Native(9000, 0, {1: 3}, start=-5).message
    found = read(Message.V2, v2(Series({"__name__": "http_request_duration_seconds"}, histograms=[native])))
    assert found.series[0].samples[0].start == 0


@BOTH
def test_native_histograms(message: Message, made: Make) -> None:
    """Native histograms are read to the edges of their buckets; one that has counted nothing, or ended, is told."""
    some = (Native(1000, 0, {-1: 2, 0: 3, 3: 1}, zero=4), Native(2000, 2), Native(3000, 0, stale=True))
    one = Series({"__name__": "http_request_duration_seconds", "pod": "a"}, histograms=[each.message for each in some])

    found = read(message, made(one))

    first, *rest = found.series[0].samples
    assert isinstance(first.value, Histogram)
    assert (first.value.total, first.count, first.at) == (10, 10, 1000)
    assert [first.value.up_to(edge) for edge in (0.25, 0.5, 1.0, 4.0, 8.0)] == [4, 6, 9, 9, 10]
    assert rest == [Sample(2000, EMPTY), Sample(3000, None)]
    assert found.tally == Tally(histograms=3)


def test_labels_need_not_be_in_order() -> None:
    """The name is found wherever it stands, and symbols may come after the series that refer to them."""
    message = of_bytes(1, bytes([1, 2, 3, 4])) + of_bytes(2, of_double(1, 5.0) + of_number(2, 1000))
    symbols = b"".join(of_bytes(4, text) for text in (b"", b"zone", b"x", b"__name__", b"http_requests_total"))
    found = read(Message.V2, of_bytes(5, message) + symbols)
    assert found.series == [Pushed("http_requests_total", {"zone": "x"}, (Sample(1000, 5.0),))]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", "no protobuf"),
        (of_bytes(5, b"")[:-1] + b"\x7f", "cut off"),
        (of_bytes(4, b"x") * (request.MOST_SYMBOLS + 1), "more than 20,000 series or 50,000 symbols"),
        (of_bytes(5, b"") * (request.MOST_SERIES + 1), "more than 20,000 series or 50,000 symbols"),
        (varint(4 << 3) * 2 * (request.MOST_FIELDS + 1), "more than 250,000 fields"),
    ],
)
def test_what_is_none_or_too_much_is_refused(data: bytes, words: str) -> None:
    """A request that cannot be read, or has too much, is refused with the reason, which quotes nothing of it."""
    with pytest.raises(RequestError, match=words):
        read(Message.V2, data)


@pytest.mark.parametrize("refs", [[1, 2, 3], [1, 2, 9, 1], [1, 2] * 65])
def test_series_whose_labels_cannot_be_read_is_left_out(refs: list[int]) -> None:
    """Labels without a value, beyond the table of symbols, or too many of them: that series is lost, and none of another pod."""
    symbols = b"".join(of_bytes(4, text) for text in (b"", b"__name__", b"http_requests_total", b"a"))
    message = of_bytes(1, bytes(refs)) + of_bytes(2, of_double(1, 5.0))
    good = of_bytes(1, bytes([1, 2])) + of_bytes(2, of_double(1, 7.0) + of_number(2, 1000))
    found = read(Message.V2, symbols + of_bytes(5, message) + of_bytes(5, good))
    assert found.series == [Pushed("http_requests_total", {}, (Sample(1000, 7.0),))]
    assert found.tally == Tally(samples=2, unreadable=1)


@BOTH
def test_series_of_long_labels_is_left_out(message: Message, made: Make) -> None:
    """Many labels that share one long text are no more in a request than it is, and far more once they are read."""
    long = {f"l{number}": "x" * 2000 for number in range(60)}
    good = series("http_requests_total", (1000, 7.0), pod="b")
    found = read(message, made(*(series("http_requests_total", (1000, 5.0), pod=str(pod), **long) for pod in range(40)), good))
    assert [one.labels["pod"] for one in found.series] == ["b"]
    assert found.tally == Tally(samples=41, unreadable=40)


@BOTH
def test_histogram_of_too_many_buckets_is_no_number(message: Message, made: Make) -> None:
    """A pod loses its own histogram by it; what others push in the same request is read."""
    many = Native(1000, 3, dict.fromkeys(range(0, 9000, 2), 1))
    labels = {"__name__": "http_request_duration_seconds", "pod": "a"}
    few = Series({**labels, "pod": "b"}, histograms=[Native(1000, 0, {0: 3}).message])

    found = read(message, made(Series(labels, histograms=[many.message]), few))

    assert [one.labels["pod"] for one in found.series] == ["a", "b"]
    assert math.isnan(found.series[0].samples[0].value)
    assert isinstance(found.series[1].samples[0].value, Histogram)


@BOTH
def test_turns_end_by_work(message: Message, made: Make) -> None:
    """Few series of many fields are as much work as many of few."""
    native = Native(1000, 0, dict.fromkeys(range(0, 900, 2), 1)).message
    labels = {"__name__": "http_request_duration_seconds"}
    data = made(*(Series({**labels, "pod": f"p-{number}"}, histograms=[native]) for number in range(60)))
    assert sum(1 for _ in request.read(message, data, NAMES, Found())) > 15


@BOTH
def test_series_of_many_samples_is_refused(message: Message, made: Make) -> None:
    """An agent sends one sample of each scrape; a series of thousands would be one turn."""
    with pytest.raises(RequestError, match="a series of more than 500 samples"):
        read(message, made(series("http_requests_total", *((1000 + number, 1.0) for number in range(501)))))


@BOTH
@given(data=st.data())
def test_any_damage_is_a_request_or_a_reason(message: Message, made: Make, data: st.DataObject) -> None:
    """Whatever is changed in a request, it is read or refused, and nothing else comes of it."""
    whole = bytearray(made(series("http_requests_total", (1000, 7.0, 3), pod="a"), _NATIVE))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=5)):
        whole[place] = value
    cut = data.draw(st.integers(0, len(whole)))
    try:
        found = read(message, bytes(whole[:cut]))
    except RequestError as error:
        found, words = Found(), str(error)
    else:
        words = ""
    assert "page" not in words
    assert sum(len(one.samples) for one in found.series) <= found.tally.samples + found.tally.histograms


_NATIVE = Series({"__name__": "http_request_duration_seconds"}, histograms=[Native(1, 3, {1: 2, 5: 9}).message])
