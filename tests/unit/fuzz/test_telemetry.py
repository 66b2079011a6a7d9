"""Whatever answers where Prometheus should be, a look ends with a reading: with values, or with what is wrong, in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from structlog.testing import capture_logs

from simulation.policies import gate
from tidegate.api.gate import Gate
from tidegate.judge.reading import Reading
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from unit.fuzz.effort import fuzz
from unit.fuzz.shapes import anything, damaged, optional, texts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "checkout-a-.....", "checkout-b-.....", 80)


def preset(source: str, measure: str, judge: str, **more: Any) -> Gate:
    limit = {"versusStable": {"maxIncrease": {"percent": 10}}}
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate(
        gate(f"{source}-{measure}-{judge}".lower(), metric=metric, judge=judge, **(limit | more)) | {"threshold": None}
    )


GATES = [
    preset("HTTP", "ErrorRate", "Evidence"),
    preset("OpenTelemetry", "Latency", "Evidence"),
    preset("Envoy", "Latency", "Limit"),
    preset("Kubernetes", "Restarts", "Evidence", versusStable=None, threshold={"max": 1}),
    Gate.model_validate(
        gate("own", metric={"promql": {"canary": "a", "stable": "b", "samples": "c", "unit": "Seconds"}}, judge="Limit")
    ),
]
values = st.sampled_from(["0", "1", "5", "1e308", "-1", "NaN", "+Inf", "-Inf", "x", "", "1_0", "\u0663", None, 3, [], {}]) | texts
label_sets = optional(
    pod=st.sampled_from(["checkout-b-aaaaa", ""]), instance=texts, le=st.sampled_from(["0.1", "1", "+Inf", "NaN", "x", "-1"])
)
buckets = st.lists(
    st.tuples(
        st.integers(0, 3), *[st.sampled_from(["0", "1", "1.0905", "5e-324", "1e308", "+Inf", "-Inf", "NaN", "-1", "x"])] * 3
    ).map(list)
    | anything,
    max_size=4,
)
histograms = optional(count=values, sum=values, buckets=buckets | anything)
series = st.tuples(
    optional(metric=label_sets | anything, value=st.tuples(st.just(1767268800.0), values).map(list) | anything),
    optional(histogram=st.tuples(st.just(1767268800.0), histograms | anything).map(list) | anything, values=anything),
).map(lambda both: both[0] | both[1])
results = st.lists(series, max_size=4) | anything
GOOD = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": [1767268800.0, "2"]}]}}
documents = results.map(lambda result: {"status": "success", "data": {"resultType": "vector", "result": result}}) | damaged([GOOD])
warned = st.tuples(documents, anything).map(lambda both: {**both[0], "warnings": both[1]} if isinstance(both[0], dict) else both[0])
bodies = (documents | warned).map(lambda document: json.dumps(document).encode()) | st.binary(max_size=50)
answers = st.lists(st.tuples(st.sampled_from([200, 200, 200, 200, 204, 302, 400, 422, 503, 999]), bodies), min_size=1, max_size=4)


class Liar:
    """A server that answers with what it is told, in turn; a question that it was joined from is told in every series."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    async def _answer(self, request: web.Request) -> web.Response:
        query = (await request.post()).get("query") or request.query.get("query") or ""
        status, body = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return web.Response(status=status, body=_tagged(body, str(query)), content_type="application/json")


def _tagged(body: bytes, query: str) -> bytes:
    """Give the series the label by which answers of joined questions are told apart, or nothing of them would be read."""
    _, found, rest = query.partition('"tidegate_question", "')
    if not found:
        return body
    try:
        document = json.loads(body)
        for one in document["data"]["result"]:
            one["metric"]["tidegate_question"] = rest.partition('"')[0]
    except (ValueError, LookupError, TypeError):
        return body
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def liar(runner: asyncio.Runner) -> Iterator[Liar]:
    liar = Liar()
    runner.run(liar.server.start_server())
    yield liar
    runner.run(liar.server.close())


async def looks(liar: Liar, given_answers: list[tuple[int, bytes]], asked: Gate) -> list[Reading]:
    """Take three looks of a gate at a server that answers so."""
    liar.answers = list(given_answers)
    address = str(liar.server.make_url("/")).rstrip("/")
    reader = Reader({"default": Connection(ConnectionConfig(name="default", address=address))}, collecting=0.0)
    try:
        await reader.prime(asked, NAMES, "bbbb", NOW)
        return [await reader.read(asked, NAMES, "bbbb", NOW + timedelta(seconds=seconds), NOW) for seconds in (5, 10, 15)]
    finally:
        reader.close()


@fuzz(120)
@given(given_answers=answers, asked=st.sampled_from(GATES))
def test_any_answer_gives_a_reading(
    runner: asyncio.Runner, liar: Liar, given_answers: list[tuple[int, bytes]], asked: Gate
) -> None:
    """Given answers of any status and any bytes, be they histograms that no Prometheus has, each look gives a reading."""
    with capture_logs() as lines:
        readings = runner.run(looks(liar, given_answers, asked))

    assert 3 == len(readings)
    assert all(len(reading.trouble) < 2000 and reading.trouble.isprintable() for reading in readings)
    assert [] == [line for line in lines if line["log_level"] in {"error", "critical"}]
