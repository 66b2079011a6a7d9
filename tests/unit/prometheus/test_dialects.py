"""Servers that speak most of PromQL: a preset is judged on them all the same."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.prometheus.batching import Batcher
from tidegate.prometheus.connections import Trouble, Value
from tidegate.prometheus.counters import raw_counters
from tidegate.prometheus.dialects import PROBE, longest_query, without_echo, without_native
from tidegate.prometheus.promql import Names, self_contained
from tidegate.prometheus.queries import queries

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)


class VictoriaMetrics:
    """Refuses what VictoriaMetrics 1.151 refuses, in its words, and answers all else with 7."""

    def __init__(self, prometheus) -> None:
        self.asked: list[str] = []
        prometheus.gives_value("7")
        prometheus.understands = self._understands

    @property
    def lengths(self) -> list[int]:
        return [len(query.encode()) for query in self.asked]

    def _understands(self, query: str) -> str:
        self.asked.append(query)
        length = len(query.encode())
        if length > 16384:
            return f"too long query; got {length} bytes; mustn't exceed `-search.maxQueryLen=16384` bytes"
        if "histogram_count" in query:
            echo = json.dumps(query)
            return f'error when executing query={echo} for (time=1767323045, step=300): unsupported function "histogram_count"'
        return ""


def gate(measure: str) -> Gate:
    metric = {"preset": {"source": "OpenTelemetry", "measure": measure}}
    return Gate.model_validate({"name": "g", "metric": metric, "threshold": {"max": 0.01}})


def otel_texts() -> list[str]:
    """All that the preset asks of requests, under both judges."""
    evidence = raw_counters(gate("ErrorRate"), NAMES).canary
    limit = queries(gate("Availability"), NAMES)
    assert limit.canary_samples is not None
    return [evidence.total, evidence.bad, limit.canary, limit.canary_samples]


@pytest.mark.parametrize("text", otel_texts())
def test_what_is_left_asks_for_classic_histograms_as_before(text):
    """The native ones are left out, and no bracket with them."""
    assert "histogram_count" in text

    left = without_native(text)

    assert "histogram_count" not in left
    assert self_contained(left)
    assert left.count("http_server_request_duration_seconds_count") == text.count("http_server_request_duration_seconds_count")


@given(st.text(alphabet='ab or(){}"# histogram_count\\\n', max_size=80))
def test_strings_and_comments_stay_as_they_are(text):
    """What stands in quotes is no function."""
    quoted = json.dumps(f"{text} or histogram_count(x)")

    assert without_native(f"a{{b={quoted}}}") == f"a{{b={quoted}}}"


async def test_a_preset_reads_a_server_without_native_histograms(prometheus, connect):
    """It is found out once, and every later query is asked without them at once."""
    server, connection = VictoriaMetrics(prometheus), connect(prometheus.address)
    text = otel_texts()[3]

    answers = [await connection.query(text, AT) for _ in range(3)]

    assert answers == [Value(7.0)] * 3
    assert server.asked == [text, PROBE, *[without_native(text)] * 3]


async def test_an_error_of_a_query_takes_nothing_from_others(prometheus, connect):
    """Whatever it makes the server say: only the server's own lack counts."""
    prometheus.gives([], to=PROBE)
    prometheus.gives_value("7", to="a or histogram_count(b)")
    prometheus.refuses('unsupported function "histogram_count"', to="mine or histogram_count(b)")
    connection = connect(prometheus.address)

    refused = await connection.query("mine or histogram_count(b)", AT)

    assert isinstance(refused, Trouble)
    assert await connection.query("a or histogram_count(b)", AT) == Value(7.0)


async def test_the_longest_query_is_learnt_once(prometheus, connect):
    """What is refused for its length is divided once, and no later look sends as much."""
    server, connection = VictoriaMetrics(prometheus), connect(prometheus.address)
    batcher = Batcher(connection, collecting=0.002)
    texts = [f"{'x' * 1000}{number}" for number in range(60)]

    async def look() -> None:
        await asyncio.gather(*(batcher.ask(text, AT, 100) for text in texts))

    await look()
    assert max(server.lengths) > 16384
    server.asked.clear()
    await look()

    assert max(server.lengths) <= 16384
    assert len(server.lengths) <= 5


def answers_with(prometheus, series, **more) -> None:
    """Have the server answer as VictoriaMetrics does, spaces included, where more follows the data."""
    data = {"resultType": "vector", "result": [{"metric": series, "value": [1767323045, "7"]}]}
    body = json.dumps({"status": "success", "data": data, **more}).encode()

    def respond(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    prometheus.does(respond)


STATS = {"stats": {"seriesFetched": "1", "executionTimeMsec": 0}}


async def test_the_newest_samples_are_asked_for_of_victoriametrics(prometheus, connect):
    """It hides those of the last 30 s otherwise. It is known by its answers; the first one is asked for once more."""
    connection = connect(prometheus.address)
    answers_with(prometheus, {}, **STATS)
    long = f"sum({' + '.join(['q'] * 1000)})"

    answers = [await connection.query(text, AT) for text in ("q", "q", long)]

    assert answers == [Value(7.0)] * 3
    assert [asked.get("latency_offset") for asked in prometheus.parameters] == [None, "1s", "1s", "1s"]


async def test_others_are_not_sent_what_they_do_not_know(prometheus, connect):
    """No label passes for VictoriaMetrics; and what has taken its place at the address is asked as what it is."""
    connection = connect(prometheus.address)
    answers_with(prometheus, {"stats": '},"stats":{"seriesFetched":"1"}', "seriesFetched": "1"})
    await connection.query("q", AT)
    answers_with(prometheus, {}, **STATS)
    await connection.query("q", AT)
    answers_with(prometheus, {})
    prometheus.parameters.clear()

    for _ in range(2):
        await connection.query("q", AT)

    assert [asked.get("latency_offset") for asked in prometheus.parameters] == ["1s", None]


async def test_the_reason_is_told_and_not_the_query(prometheus, connect):
    """The query comes first in its words, as long as it may be."""
    VictoriaMetrics(prometheus)

    answer = await connect(prometheus.address).query(f'histogram_count({"x" * 2000}{{a="b"}})', AT)

    assert isinstance(answer, Trouble)
    assert answer.message == 'Prometheus connection default: Prometheus reports: unsupported function "histogram_count" (HTTP 400)'


def test_words_without_a_query_stay():
    """Those of Prometheus."""
    assert without_echo("parse error: unexpected end of input") == "parse error: unexpected end of input"
    assert longest_query("parse error") is None
