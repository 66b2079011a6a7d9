"""Pages of pods: what is wanted of them is what the preset's PromQL asks Prometheus for, however they come in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from expositions.serving import FOLDER, NativePage
from tidegate.api.gate import Gate
from tidegate.prometheus.direct.page import PageError
from tidegate.prometheus.direct.protobuf import LARGEST_FAMILY, ProtobufPage
from tidegate.prometheus.direct.text import Series, TextPage
from tidegate.prometheus.direct.wanted import wanted_of
from tidegate.prometheus.direct.wire import MOST_FIELDS
from tidegate.prometheus.events import Events
from unit.prometheus.direct_pages import feed, gate, protobuf, text, wanted

PAGE = """# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{code="200",route="/a"} 90
http_requests_total{code="404",route="/a"} 4
http_requests_total{code="503",route="/a"} 5
http_requests_total{code="500",route="/b"} 1
http_requests_total_other{code="500"} 1000
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{route="/a",le="0.1"} 60
http_request_duration_seconds_bucket{route="/a",le="1"} 95
http_request_duration_seconds_bucket{route="/a",le="+Inf"} 99
http_request_duration_seconds_sum{route="/a"} 17.5
http_request_duration_seconds_count{route="/a"} 99
http_request_duration_seconds_bucket{route="/b",le="0.1"} 1
http_request_duration_seconds_bucket{route="/b",le="1"} 1
http_request_duration_seconds_bucket{route="/b",le="+Inf"} 1
http_request_duration_seconds_sum{route="/b"} 0.1
http_request_duration_seconds_count{route="/b"} 1
process_start_time_seconds 1.767e+09
"""


def test_errors_and_latencies_of_one_page() -> None:
    """One page serves all gates: its requests, the bad ones among them, and the histogram, added up over its series."""
    errors, unanswered, tail = wanted(), wanted(measure="Availability"), wanted(measure="Tail")

    page = text(PAGE, errors, unanswered, tail)

    assert page.counted[errors].events == Events(100, 6)
    assert page.counted[unanswered].events == Events(100, 5)
    found = page.counted[tail].histogram
    assert found is not None
    assert (found.edges, found.counts, found.total) == ((0.1, 1.0), (61, 96), 100)
    assert page.born == 1.767e9


@pytest.mark.parametrize("pieces", [1, 2, 7, 64, 1000])
def test_pieces_are_of_no_concern(pieces: int) -> None:
    """However a page is cut on its way, it says the same."""
    wishes = wanted(), wanted(measure="Tail")
    assert text(PAGE, *wishes) == text(PAGE, *wishes, pieces=pieces)


def test_page_without_the_series_counts_nothing() -> None:
    """A page without the wanted metric is told from one that has it and counts 0."""
    errors = wanted()
    assert text("other_total 5\n", errors).counted[errors].found is False
    assert text('http_requests_total{code="200"} 0\n', errors).counted[errors].found is True


def test_no_bad_series_is_no_counter_of_bad_events() -> None:
    """Before the first error there is no series of errors, which the ledger has to know."""
    errors = wanted()
    assert text('http_requests_total{code="200"} 7\n', errors).counted[errors].events == Events(7, None)


def test_what_cannot_be_told_is_counted_apart() -> None:
    """A request without a known status is neither good nor bad."""
    errors = wanted()
    page = text('http_requests_total{code="200"} 7\nhttp_requests_total{status="500"} 3\nhttp_requests_total 2\n', errors)
    assert page.counted[errors].events == Events(12, None)
    assert page.counted[errors].untold == 5


def test_labels_with_anything_in_them() -> None:
    """Braces, quotes, commas and newlines in the values of labels are values."""
    errors = wanted()
    page = text('http_requests_total{path="a}b,\\"c\\\\",x = "\\n" , code="500",} 3 1767000000000\n', errors)
    assert page.counted[errors].events == Events(3, 3)


def test_exemplars_and_times_are_passed_over() -> None:
    """An OpenMetrics page has exemplars and times behind its values; and it says where it ends."""
    errors = wanted()
    page = 'http_requests_total{code="500"} 3.0 1767000000.5 # {trace_id="a} 7"} 1.0 1767000000.1\n# EOF\n'
    assert text(page, errors, ended=True).counted[errors].events == Events(3, 3)
    with pytest.raises(PageError, match="cut off"):
        text(page.replace("# EOF\n", ""), errors, ended=True)


def test_pages_of_the_python_client() -> None:
    """What prometheus-client writes is read, as text and as OpenMetrics."""
    registry = CollectorRegistry()
    requests = Counter("http_requests", "Requests.", ["code"], registry=registry)
    latency = Histogram("http_request_duration_seconds", "Latency.", registry=registry, buckets=(0.1, 1.0))
    requests.labels("200").inc(9)
    requests.labels("500").inc()
    for seconds in (0.05, 0.5, 5.0):
        latency.observe(seconds)
    errors, tail = wanted(), wanted(measure="Tail")

    for page, ended in ((generate_latest(registry), False), (openmetrics(registry), True)):
        found = text(page, errors, tail, ended=ended)

        assert found.counted[errors].events == Events(10, 1)
        histogram = found.counted[tail].histogram
        assert histogram is not None
        assert (histogram.edges, histogram.counts, histogram.total) == ((0.1, 1.0), (1, 2), 3)


@pytest.mark.parametrize(
    ("recorded", "source", "events"),
    [
        ("http", "HTTP", Events(100, 2)),
        ("grpc", "GRPC", None),
        ("istio", "Istio", None),
        ("linkerd", "Linkerd", None),
        ("opentelemetry", "OpenTelemetry", None),
    ],
)
def test_recorded_pages(recorded: str, source: str, events: Events | None) -> None:
    """Real pages of each source have requests, and errors among them can be told."""
    errors, tail = wanted(source), wanted(source, "Tail")
    page = text((FOLDER / f"{recorded}.prom").read_bytes(), errors, tail)
    found = page.counted[errors]
    assert found.events.total > 0
    assert events is None or found.events == events
    histogram = page.counted[tail].histogram
    assert histogram is not None
    assert histogram.total > 0


def test_sidecars_count_what_comes_in_alone() -> None:
    """A proxy beside the pods has what goes out on the same page: that is another Service's."""
    errors = wanted("Istio")
    line = 'istio_requests_total{{reporter="{}",response_code="503"}} {}\n'
    page = text(line.format("destination", 2) + line.format("source", 1000), errors)
    assert page.counted[errors].events == Events(2, 2)


def test_gateways_and_own_queries_are_not_on_pages() -> None:
    """A gateway counts for Services and people's queries are Prometheus': neither is on a pod's page."""
    assert wanted_of(gate("Envoy")) is None
    own = {"counters": {"canary": {"bad": "a", "total": "b"}}}
    assert wanted_of(Gate.model_validate({"name": "own", "metric": own, "threshold": {"max": 1}})) is None


@pytest.mark.parametrize("pieces", [0, 1, 5, 64])
def test_native_histogram(pieces: int) -> None:
    """A native histogram is read from protobuf, with edges that are powers of two's roots."""
    page, tail = NativePage("http_request_duration_seconds"), wanted(measure="Tail")
    for seconds, count in ((0.01, 5), (0.02, 10), (4.0, 1)):
        page.observe("http_request_duration_seconds", seconds, count)
    kind, body = page.content()
    assert "protobuf" in kind

    found = protobuf(body, tail, pieces=pieces).counted[tail]

    assert found.native
    assert found.histogram is not None
    assert (found.histogram.total, found.histogram.schema) == (16, 3)
    assert found.histogram.over((0.5, 8.0)) == (1, 0)
    assert found.events == Events(16, None)


def test_text_of_a_native_histogram_has_no_buckets() -> None:
    """As text a native histogram has the bucket of all requests alone: how long they took is asked for in protobuf."""
    tail = wanted(measure="Tail")
    page = text('http_request_duration_seconds_bucket{le="+Inf"} 5\nhttp_request_duration_seconds_count 5\n', tail)
    assert page.counted[tail].found
    assert page.counted[tail].histogram is None


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ('http_requests_total{code="200"} x\n', "no number"),
        ('http_requests_total{code="200"} -1\n', "below 0"),
        ('http_requests_total{code="200" 1\n', "no number"),
        ("http_requests_total{code=200} 1\n", "cannot be read"),
        ('http_requests_total{code="200"}\n', "cannot be read"),
        ("# " + "x" * 20_000 + "\n", ""),
        ("x" * 20_000, "a line of more than 16 KiB"),
        ('http_requests_total{code="200"} 1\n' * 11, "more than 10 series"),
        ("http_requests_total{" + 'code="200",' * 129 + "} 1\n", "more than 128 labels"),
        ('http_requests_totalz{code="200"} 1\n' * 41, "more than 40 lines that begin like"),
    ],
)
def test_pages_that_are_not_believed(page: str, words: str) -> None:
    """What cannot be read, or is too much, is a reason in words that quote nothing of the page."""
    if not words:
        # A long line that is none of the wanted ones, and comes whole, is passed over like any other.
        assert text(page, wanted(), most=10).counted[wanted()].found is False
        return
    with pytest.raises(PageError, match=words) as told:
        text(page, wanted(), most=10)
    assert "code" not in str(told.value)


def test_long_series_are_not_remembered_without_end() -> None:
    """Whatever a pod's series are called, round after round, no more of it stays than the series of a large page."""
    series = Series((wanted(),))
    for number in range(400):
        read = TextPage(series)
        read.feed(f'http_requests_total{{code="200",zone="{number}{"x" * 15_000}"}} 1\n'.encode())
        read.end()
    assert sum(map(len, series.known)) <= 1024 * 1024


def test_lines_of_other_metrics_are_passed_over() -> None:
    """Some metrics' names begin like those of wanted ones: as many of them as a page may well have do not matter."""
    page = 'http_requests_totalz{code="200"} 1\n' * 40 + 'http_requests_total{code="200"} 1\n' * 10
    assert text(page, wanted(), most=10).counted[wanted()].events.total == 10


def _part(number: int, value: bytes) -> bytes:
    """Return a field of bytes."""
    return wire_number(number << 3 | 2) + wire_number(len(value)) + value


def wire_number(value: int) -> bytes:
    """Return a varint."""
    low = []
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


def family(*parts: bytes, name: bytes = b"http_request_duration_seconds") -> bytes:
    """Return a family with its length before it."""
    body = _part(1, name) + b"".join(parts)
    return wire_number(len(body)) + body


HIDDEN = {
    "fields that nobody knows": [family(b"\x28\x00" * 60_000)],
    "fields of metrics": [family(_part(4, b"\x28\x00" * 60_000))],
    "labels": [family(_part(4, b"\x0a\x00" * 60_000))],
    "fields of a histogram": [family(_part(4, _part(7, b"\x08\x00" * 60_000)))],
    "packed numbers": [family(_part(4, _part(7, b"\x28\x00" + _part(13, b"\x00" * 60_000))))],
    "packed doubles": [family(_part(4, _part(7, b"\x28\x00" + _part(14, bytes(8 * 30_000))))) * 2],
    "many families of one name": [family(b"\x28\x00" * 10_000)] * 6,
    "many families": [family(name=b"a")] * 60_000,
    "families without a name": [b"\x00"] * 60_000,
}


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("pieces", [0, 64 * 1024])
def test_all_that_is_looked_at_is_counted(hidden: str, pieces: int) -> None:
    """Wherever a page of protobuf has too much of what takes time, it is refused before that is looked at."""
    read = ProtobufPage((wanted(measure="Tail"),))
    with pytest.raises(PageError, match=r"more than 50,000 fields to look at|native histogram has more than"):
        feed(read, b"".join(HIDDEN[hidden]), pieces)
    assert read.fields <= MOST_FIELDS + 30_000


def test_large_family_is_refused_before_it_has_come() -> None:
    """A wanted family is read in one go, so it is bounded; others may be as long as they like."""
    large = family(_part(9, bytes(LARGEST_FAMILY)))
    read = ProtobufPage((wanted(measure="Tail"),))
    with pytest.raises(PageError, match="more than 256 KiB"):
        read.feed(large[:100])
    other = family(_part(9, bytes(LARGEST_FAMILY)), name=b"a")
    assert protobuf(other, wanted(measure="Tail"), pieces=1000).bytes == len(other)


def test_a_large_page_of_native_histograms_is_read() -> None:
    """A hundred routes with native histograms of 160 buckets, for three gates, are within the bounds."""
    buckets = b"".join([_part(12, b"\x08\x00\x10\xa0\x01"), *[b"\x68\x00"] * 160])
    histogram = _part(7, b"\x08\x05\x28\x06" + buckets)
    labels = [_part(1, _part(1, name) + _part(2, b"GET")) for name in (b"code", b"method", b"route")]
    page = family(*[_part(4, b"".join(labels) + histogram)] * 100)
    wishes = [wanted(measure=one) for one in ("Latency", "Tail")]
    read = ProtobufPage(wishes)
    read.feed(page)
    assert read.end().counted[wishes[1]].events.total == 500


numbers = st.integers(0, 10**9)


@given(st.dictionaries(st.sampled_from(["200", "301", "404", "500", "503", "teapot"]), numbers), st.integers(1, 200))
def test_sum_is_that_of_the_lines(counted: dict[str, int], pieces: int) -> None:
    """Whatever a page counts, all of it is counted, and as bad what has a status 5xx."""
    errors = wanted()
    lines = "".join(f'http_requests_total{{method="GET",code="{code}"}} {value}\n' for code, value in counted.items())
    found = text(f"# HELP x y\n{lines}zzz 1\n", errors, pieces=pieces).counted[errors]
    assert found.events.total == sum(counted.values())
    bad = [value for code, value in counted.items() if code.startswith("5")]
    assert found.events.bad == (math.fsum(bad) if bad else None)
    assert found.untold == (counted.get("teapot") if "teapot" in counted else None)
