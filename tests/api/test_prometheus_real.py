"""The presets against a real Prometheus that scrapes counters under the test's control."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.engine.gate_status import judged
from tidegate.judge.limit import judge
from tidegate.judge.reading import Tally
from tidegate.prometheus.connections import Connection, ConnectionConfig, NoData, Trouble, Value
from tidegate.prometheus.queries import Names, pods_of
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import SystemClock
from tidegate_sandbox import binaries, cache

pytestmark = [pytest.mark.api, pytest.mark.timeout(120), pytest.mark.xdist_group("prometheus-real")]

NAMES = Names(
    namespace="shop",
    release="checkout",
    service="checkout",
    stable_service="checkout-stable",
    canary_service="checkout-canary",
    stable_pods=pods_of(["checkout-aaa"]),
    canary_pods=pods_of(["checkout-bbb"]),
    service_port=80,
)
POINTS = {"versusStable": {"maxIncrease": {"points": 1}}}
PATIENCE = 60.0
"""Seconds to wait for Prometheus at most; it takes about three."""


ODD_VALUES = ['a"b', "a\\b", "a\nb", "ü", "`'{}", '"} or vector(1) #']


def binary() -> str | None:
    """Return the path of Prometheus: from the environment, PATH, or what the sandbox has built; None if there is none."""
    given = os.environ.get("TIDEGATE_PROMETHEUS") or shutil.which("prometheus")
    group = binaries.GROUPS["prometheus"]
    built = cache.directory() / f"{group.name}-{group.key}" / "bin" / "prometheus"
    return given or (str(built) if built.exists() else None)


class Exposition:
    """A page of metrics as Envoy and as pods write it. All its counters rise at every scrape by what the test says."""

    def __init__(self) -> None:
        self._growth: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer._page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def grow(self, series: str, by: float) -> None:
        """Let a counter grow by so much at every scrape from the next one on."""
        with self._lock:
            self._growth[series] = by

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _page(self) -> str:
        with self._lock:
            for series, by in self._growth.items():
                self._counts[series] = self._counts.get(series, 0.0) + by
            return "".join(f"{series} {count}\n" for series, count in self._counts.items())


def envoy(service: str, code: str) -> str:
    return f'envoy_cluster_upstream_rq{{envoy_response_code="{code}",envoy_cluster_name="shop_{service}_80"}}'


def pod(name: str, code: str) -> str:
    return f'http_requests_total{{namespace="shop",pod="{name}",code="{code}"}}'


def traffic(exposition: Exposition) -> None:
    """Every kind of history, each for names of its own."""
    for service, good, bad in (("checkout-stable", 99, 1), ("checkout-canary", 90, 10)):
        exposition.grow(envoy(service, "200"), good)
        exposition.grow(envoy(service, "500"), bad)
    exposition.grow(envoy("clean-canary", "200"), 50)
    exposition.grow(envoy("idle-canary", "200"), 0)
    exposition.grow(envoy("half-canary", "200"), 98)
    exposition.grow(envoy("half-canary", "404"), 1)
    exposition.grow(envoy("half-canary", "503"), 1)
    bucket = "envoy_cluster_upstream_rq_time_bucket"
    for le, count in (("100", 0), ("250", 100), ("500", 100), ("+Inf", 100)):
        exposition.grow(f'{bucket}{{envoy_cluster_name="shop_checkout-canary_80",le="{le}"}}', count)
    exposition.grow('envoy_cluster_upstream_rq_time_count{envoy_cluster_name="shop_checkout-canary_80"}', 100)
    for name, good, bad in (("checkout-aaa-11111", 99, 1), ("checkout-bbb-11111", 45, 5), ("checkout-bbb-22222", 50, 0)):
        exposition.grow(pod(name, "200"), good)
        exposition.grow(pod(name, "502"), bad)
    exposition.grow(pod("checkout-bbb-canary-33333", "500"), 1000)
    for le, count in (("0.1", 90), ("0.2", 100), ("+Inf", 100)):
        series = f'{{namespace="shop",pod="checkout-bbb-11111",le="{le}"}}'
        exposition.grow(f"http_request_duration_seconds_bucket{series}", count)
    for value in ODD_VALUES:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        exposition.grow(f'odd{{text="{escaped}"}}', 1)
    exposition.grow('http_request_duration_seconds_count{namespace="shop",pod="checkout-bbb-11111"}', 100)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def configuration(port: int) -> str:
    return f"""
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
- job_name: test
  honor_labels: true
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus of this module's own that has scraped its traffic for some seconds."""
    exposition = Exposition()
    traffic(exposition)
    try:
        with running(tmp_path_factory.mktemp("prometheus"), configuration(exposition.port), "envoy_cluster_upstream_rq") as address:
            yield address
    finally:
        exposition.close()


@contextmanager
def running(folder: Path, text: str, metric: str) -> Iterator[str]:
    """Run a Prometheus with a configuration, wait until it has scraped a metric some times, and give its address."""
    path = binary()
    if path is None:
        pytest.skip("there is no prometheus in PATH, TIDEGATE_PROMETHEUS names none, and the sandbox has not built it")
    port = free_port()
    (folder / "prometheus.yml").write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                path,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        answer = asyncio.run(scraped(address, process, metric))
        assert answer == "enough", f"{answer}; the log of Prometheus ends with {(folder / 'log').read_text()[-2000:]}"
        yield address
    finally:
        process.kill()
        process.wait()


async def scraped(address: str, process: subprocess.Popen[bytes], metric: str) -> object:
    """Wait until the counters have been scraped five times; return `enough`, or else the last answer."""
    connection = Connection(ConnectionConfig(name="setup", address=address))
    deadline = time.monotonic() + PATIENCE
    answer: object = None
    try:
        while time.monotonic() < deadline and process.poll() is None:
            answer = await connection.query(f"min(count_over_time({metric}[1m]))", now())
            if isinstance(answer, Value) and answer.value >= 5:
                return "enough"
            await asyncio.sleep(0.1)
    finally:
        connection.close()
    return answer


@pytest.fixture
async def connection(address: str) -> AsyncIterator[Connection]:
    made = Connection(ConnectionConfig(name="default", address=address))
    yield made
    made.close()


@pytest.fixture
def reader(connection: Connection) -> Reader:
    return Reader({"default": connection})


HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


def gate(source: str, measure: str, **fields: object) -> Gate:
    preset = {"source": source, "measure": measure}
    return Gate.model_validate({"name": "g", "judge": "Limit", "metric": {"preset": preset}, **(fields or POINTS)})


def canary_of(service: str) -> Names:
    return Names("shop", service, service, "checkout-stable", f"{service}-canary", "none", "none", 80)


async def test_error_rate_from_envoy(reader: Reader) -> None:
    """One in a hundred against one in ten, judged."""
    a_gate = gate("Envoy", "ErrorRate")

    reading = await reader.read(a_gate, NAMES, "bbb", now())

    assert reading.trouble == ""
    assert reading.canary == pytest.approx(0.1)
    assert reading.stable == pytest.approx(0.01)
    assert reading.canary_samples is not None
    assert reading.canary_samples >= 300
    assert reading.stable_samples == pytest.approx(reading.canary_samples)
    judgement = judge(a_gate, reading)
    assert judgement.verdict is Verdict.FAIL
    assert "stable 1%: 9 points more, limit less than 1 point above stable" in judgement.message


class HourAhead(SystemClock):
    """The clock of a host that is an hour ahead of Prometheus' host."""

    def now(self) -> datetime:
        return super().now() + HOUR


async def test_an_operator_whose_clock_is_an_hour_ahead(connection: Connection, reader: Reader) -> None:
    """Reads what there is, with times by its own clock, and names the clock; by its own time it would find nothing."""
    clock = HourAhead()
    theirs = InTheirTime(reader, {"default": connection}, clock)

    reading = await theirs.read(gate("Envoy", "ErrorRate"), NAMES, "bbb", clock.now())

    assert (reading.trouble, reading.canary) == ("", pytest.approx(0.1))
    assert reading.newest is not None
    assert timedelta(0) <= clock.now() - reading.newest < timedelta(minutes=2)
    assert reading.clock == "Prometheus' clock is 60 min behind the operator's: synchronize both, for example with NTP"
    assert (await reader.read(gate("Envoy", "ErrorRate"), NAMES, "bbb", clock.now())).canary is None


async def test_no_errors_are_an_error_rate_of_zero(reader: Reader) -> None:
    """Although there is no counter of errors."""
    reading = await reader.read(gate("Envoy", "ErrorRate"), canary_of("clean"), "bbb", now())

    assert reading.canary == 0.0


@pytest.mark.parametrize("service", ["idle", "absent"])
@pytest.mark.parametrize("measure", ["ErrorRate", "Availability", "Latency"])
async def test_no_requests_are_no_data(reader: Reader, service: str, measure: str) -> None:
    """Neither a counter that stands still nor one that is not there is an error rate of zero."""
    reading = await reader.read(gate("Envoy", measure), canary_of(service), "bbb", now())

    assert reading.trouble == ""
    assert reading.canary is None
    assert not reading.canary_samples


async def test_availability_from_envoy(reader: Reader) -> None:
    """An answer of 404 or 500 is an answer; 503 is none."""
    reading = await reader.read(gate("Envoy", "Availability"), canary_of("half"), "bbb", now())

    assert reading.canary == pytest.approx(0.99)
    assert reading.stable == pytest.approx(1.0)


async def test_latency_from_envoy_is_in_seconds(reader: Reader) -> None:
    """All requests took between 100 and 250 ms."""
    reading = await reader.read(gate("Envoy", "Latency"), NAMES, "bbb", now())

    assert reading.canary == pytest.approx(0.1 + 0.99 * 0.15)
    assert reading.canary_samples is not None
    assert reading.canary_samples >= 300


async def test_error_rate_from_pods(reader: Reader) -> None:
    """All pods of a version count together, and a pod with a longer name does not."""
    reading = await reader.read(gate("HTTP", "ErrorRate"), NAMES, "bbb", now())

    assert reading.canary == pytest.approx(0.05)
    assert reading.stable == pytest.approx(0.01)


async def test_latency_from_pods(reader: Reader) -> None:
    """Nine in ten took up to 100 ms, the rest up to 200 ms."""
    reading = await reader.read(gate("HTTP", "Latency"), NAMES, "bbb", now())

    assert reading.canary == pytest.approx(0.19)


PHASES = """
global: {{scrape_interval: 2s, scrape_timeout: 1s}}
scrape_configs:
- job_name: pods
  honor_labels: true
  static_configs: [{{targets: ["127.0.0.1:{canary}", "127.0.0.1:{stable}"]}}]
"""


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes a pod of each version every 2 s, each at a phase of its own, as it does with every target."""
    canary, stable = Exposition(), Exposition()
    for exposition, name, good, bad in ((canary, "checkout-bbb-11111", 60, 40), (stable, "checkout-aaa-11111", 990, 10)):
        exposition.grow(pod(name, "200"), good)
        exposition.grow(pod(name, "500"), bad)
    text = PHASES.format(canary=canary.port, stable=stable.port)
    try:
        with running(tmp_path_factory.mktemp("phases"), text, "http_requests_total") as address:
            yield address
    finally:
        canary.close()
        stable.close()


async def test_versions_that_are_scraped_at_phases_of_their_own(phases: str) -> None:
    """Looks come four times as often as scrapes; what both have counted is handed out over the same time, and judged."""
    made = Connection(ConnectionConfig(name="default", address=phases))
    reader, state, found = Reader({"default": made}), None, []
    a_gate = Gate.model_validate(
        {
            "name": "g",
            "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
            "versusStable": {"maxIncrease": {"percent": 50}},
        }
    )
    began = now()
    try:
        assert await reader.prime(a_gate, NAMES, "bbb", began) == ""
        while (now() - began).total_seconds() < 15:
            await asyncio.sleep(0.5)
            reading = await reader.read(a_gate, NAMES, "bbb", now())
            assert (reading.trouble, reading.hint) == ("", "")
            assert reading.counts is not None
            assert reading.newest is not None
            assert reading.newest_stable is not None
            assert 0 <= (reading.at - min(reading.newest, reading.newest_stable)).total_seconds() < 4
            state = judged(a_gate, reading, state, alpha=0.01)
            found.append(reading.counts)
    finally:
        made.close()
    assert all(first.until == second.since for first, second in pairwise(found))
    some = [(counts.canary, counts.stable) for counts in found if counts.canary.total or (counts.stable and counts.stable.total)]
    # One scrape of each version in all that is handed out; no more than one begins or ends with another.
    assert len(some) >= 5
    assert sum(canary != Tally(100.0, 40.0) or stable != Tally(1000.0, 10.0) for canary, stable in some) <= 2
    assert state is not None
    assert state.verdict is Verdict.FAIL


async def test_a_query_of_ones_own(reader: Reader) -> None:
    """With variables and a count."""
    promql = {
        "canary": 'sum(rate(http_requests_total{pod=~"{{canaryPods}}"}[{{window}}])) > bool 0',
        "stable": "vector(1)",
        "samples": "scalar(sum(increase(http_requests_total{pod=~'{{canaryPods}}'}[{{window}}])))",
    }
    a_gate = Gate.model_validate({"name": "g", "metric": {"promql": promql}, **POINTS})

    reading = await reader.read(a_gate, NAMES, "bbb", now())

    assert reading.trouble == ""
    assert (reading.canary, reading.stable) == (1.0, 1.0)
    assert reading.canary_samples is not None
    assert reading.canary_samples >= 300


async def test_a_mistake_is_told_in_the_words_of_prometheus(connection: Connection) -> None:
    """An SRE can look them up."""
    answer = await connection.query("sum(rate(x[1m])", now())

    assert isinstance(answer, Trouble)
    assert answer.message.startswith("Prometheus connection default: Prometheus reports: ")
    assert "parse error: unclosed left parenthesis" in answer.message


async def test_several_series(connection: Connection) -> None:
    """None of them is picked."""
    answer = await connection.query("http_requests_total", now())

    assert isinstance(answer, Trouble)
    assert "series, expected 1: aggregate them" in answer.message


async def test_a_time_before_all_data(connection: Connection) -> None:
    """Queries are evaluated at the instant that is asked for."""
    answer = await connection.query("up", datetime(2020, 1, 1, tzinfo=UTC))

    assert answer == NoData("the query found no series")


@pytest.mark.parametrize("text", ODD_VALUES)
@pytest.mark.parametrize("quote", ['"', "'"])
async def test_values_reach_prometheus_as_they_are(reader: Reader, text: str, quote: str) -> None:
    """An escaped value matches the series with that very label, and nothing else."""
    names = Names("shop", "checkout", "", "", "", "s", text, 0)
    promql = {"canary": f"count(odd{{text={quote}{{{{canaryPods}}}}{quote}}})"}
    a_gate = Gate.model_validate({"name": "g", "metric": {"promql": promql}, "threshold": {"min": 1}})

    reading = await reader.read(a_gate, names, "bbb", now())

    assert reading.trouble == ""
    assert reading.canary == 1.0
