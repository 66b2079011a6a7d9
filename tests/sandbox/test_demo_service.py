"""The service that the sandbox releases."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tidegate_sandbox import demo_service

BUCKET = re.compile(r'http_request_duration_seconds_bucket\{le="([^"]+)"\} (\d+)')


def behaviour(**settings: str) -> demo_service.Behaviour:
    return demo_service.Behaviour(demo_service.read_settings({"SEED": "7", **settings}))


def test_the_version_defaults_to_the_image_tag():
    """A pod says the tag of its image, unless VERSION says otherwise."""
    by_tag = demo_service.read_settings({"TIDEGATE_IMAGE_TAG": "v3"})
    by_name = demo_service.read_settings({"TIDEGATE_IMAGE_TAG": "v3", "VERSION": "v9"})

    assert (by_tag.version, by_name.version) == ("v3", "v9")


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"ERROR_RATE": "5%"}, "ERROR_RATE: '5%' is not a number"),
        ({"ERROR_RATE": "5"}, "ERROR_RATE: 5 is not between 0 and 1"),
        ({"LATENCY_MS": "-1"}, "LATENCY_MS: -1 is not at least 0"),
        ({"PORT": "70000"}, "PORT: 70000 is not between 0 and 65535"),
        ({"LATENCY_MS": "50", "LATENCY_P99_MS": "20"}, "LATENCY_P99_MS: 20 is below the median, LATENCY_MS=50"),
        ({"START_DELAY": "inf"}, "START_DELAY: inf is not at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(environment: dict[str, str], complaint: str):
    """The message names the variable and its value."""
    with pytest.raises(demo_service.SettingsError, match=re.escape(complaint)):
        demo_service.read_settings(environment)


def test_latencies_have_the_set_median_and_p99():
    """Ten thousand draws come within a few percent of LATENCY_MS and LATENCY_P99_MS."""
    subject = behaviour(LATENCY_MS="20", LATENCY_P99_MS="60")

    drawn = sorted(subject.latency() for _ in range(10_000))

    assert drawn[5_000] == pytest.approx(0.020, rel=0.05)
    assert drawn[9_900] == pytest.approx(0.060, rel=0.10)


def test_a_factor_slows_every_percentile():
    """With LATENCY_FACTOR 1.5 each draw is slower by half."""
    usual, slow = behaviour(LATENCY_MS="20"), behaviour(LATENCY_MS="20", LATENCY_FACTOR="1.5")

    assert [slow.latency() for _ in range(100)] == pytest.approx([1.5 * usual.latency() for _ in range(100)])


def test_errors_come_at_the_set_rate():
    """ERROR_RATE is the share of requests that fail; at 0 and 1 it is exact."""
    failures = {rate: sum(behaviour(ERROR_RATE=rate).fails() for _ in range(1)) for rate in ("0", "1")}
    subject = behaviour(ERROR_RATE="0.05")

    share = sum(subject.fails() for _ in range(10_000)) / 10_000

    assert failures == {"0": 0, "1": 1}
    assert share == pytest.approx(0.05, abs=0.01)


def test_a_p99_slower_by_half_shows_in_the_buckets():
    """Between 5 and 500 ms, 1.5 times a duration lies at least two buckets further on."""
    bounds = [bound for bound in demo_service.BUCKETS if 0.005 <= bound <= 0.5]

    ratios = [later / earlier for earlier, later in itertools.pairwise(bounds)]

    assert max(ratios) <= 1.26


def test_the_exposition_counts_requests_and_durations():
    """Counters by method and code, a cumulative histogram, and the version."""
    metrics = demo_service.Metrics('v"2')
    metrics.observe("GET", 200, 0.004)
    metrics.observe("GET", 200, 0.03)
    metrics.observe("GET", 500, 9.0)

    text = metrics.text()

    assert 'http_requests_total{method="GET",code="200"} 2\n' in text
    assert 'http_requests_total{method="GET",code="500"} 1\n' in text
    buckets = dict(BUCKET.findall(text))
    assert [buckets[le] for le in ("0.003", "0.004", "0.029", "0.035", "5.0", "+Inf")] == ["0", "1", "1", "2", "2", "3"]
    assert "http_request_duration_seconds_count 3\n" in text
    assert 'version_info{version="v\\"2"} 1\n' in text


@dataclass
class Running:
    """A demo service in a process of its own."""

    process: asyncio.subprocess.Process
    port: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def get(self, path: str = "/") -> tuple[int, dict[str, str], str]:
        reader, writer = await self.connect()
        try:
            return await ask(reader, writer, path)
        finally:
            await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str = "/", more: str = ""
) -> tuple[int, dict[str, str], str]:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n{more}\r\n".encode())
    return await read_answer(reader)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], str]:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status_line, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
    return int(status_line.split()[1]), headers, body.decode()


@contextlib.asynccontextmanager
async def service(**settings: str) -> AsyncIterator[Running]:
    environment = {"PATH": os.environ["PATH"], "PORT": "0", "LATENCY_MS": "1", "SHUTDOWN_GRACE": "0", **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidegate_sandbox.demo_service", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(10):
            line = (await process.stdout.readline()).decode()
        yield Running(process, int(line.rpartition(":")[2]))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_every_answer_says_version_and_pod():
    """Work, health and metrics answers all carry the version and the pod."""
    async with service(VERSION="v2", TIDEGATE_POD_NAME="checkout-abc") as running:
        answers = {path: await running.get(path) for path in ("/", "/any/path?q=1", "/healthz", "/readyz", "/metrics")}

    assert {status for status, _, _ in answers.values()} == {200}
    assert {(headers["x-version"], headers["x-pod"]) for _, headers, _ in answers.values()} == {("v2", "checkout-abc")}
    assert answers["/"][2] == '{"version":"v2","pod":"checkout-abc"}\n'
    assert 'http_requests_total{method="GET",code="200"} 2' in answers["/metrics"][2]


async def test_connections_are_kept_and_requests_may_be_pipelined():
    """Two requests sent at once on one connection are answered in turn, and bodies are read over."""
    async with service() as running:
        reader, writer = await running.connect()
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        first, second = await read_answer(reader), await read_answer(reader)
        third = await ask(reader, writer, "/metrics")
        await hang_up(writer)

    assert [answer[0] for answer in (first, second, third)] == [200, 200, 200]
    assert first[1]["connection"] == "keep-alive"
    assert 'http_requests_total{method="POST",code="200"} 1' in third[2]


async def test_a_client_may_ask_to_close():
    """With Connection: close the answer says so and the connection ends."""
    async with service() as running:
        reader, writer = await running.connect()
        answer = await ask(reader, writer, more="Connection: close\r\n")
        rest = await reader.read()
        await hang_up(writer)

    assert (answer[1]["connection"], rest) == ("close", b"")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"x" * 40_000, 400),
    ],
)
async def test_what_it_does_not_understand_is_refused(request_text: bytes, status: int):
    """Malformed requests and unknown lengths are answered with an error, and the connection is closed."""
    async with service() as running:
        reader, writer = await running.connect()
        writer.write(request_text)
        answer = await read_answer(reader)
        await hang_up(writer)

    assert (answer[0], answer[1]["connection"]) == (status, "close")


async def test_errors_are_answered_and_counted():
    """With ERROR_RATE 1 every request of work fails, and health does not."""
    async with service(ERROR_RATE="1") as running:
        work, health, metrics = await running.get("/"), await running.get("/healthz"), await running.get("/metrics")

    assert (work[0], health[0]) == (500, 200)
    assert 'http_requests_total{method="GET",code="500"} 1' in metrics[2]


async def test_readiness_waits_for_a_file(tmp_path: pathlib.Path):
    """READY_FILE decides whether the service wants traffic."""
    file = tmp_path / "ready"
    async with service(READY_FILE=str(file)) as running:
        before = await running.get("/readyz")
        file.touch()
        after = await running.get("/readyz")

    assert (before[0], after[0]) == (503, 200)


async def test_readiness_may_come_later():
    """With READY_AFTER the service works but does not want traffic yet."""
    async with service(READY_AFTER="600") as running:
        ready, work = await running.get("/readyz"), await running.get("/")

    assert (ready[0], work[0]) == (503, 200)


async def test_a_crash_on_command():
    """With FAIL_AFTER the process ends with exit code 1."""
    async with service(FAIL_AFTER="0.2") as running:
        async with asyncio.timeout(10):
            code = await running.process.wait()

    assert code == 1


async def test_a_drain_serves_on_and_says_goodbye():
    """After SIGTERM it is unready but serves, closes each connection after its answer, and ends with exit code 0."""
    async with service(SHUTDOWN_GRACE="2") as running:
        reader, writer = await running.connect()
        await ask(reader, writer)
        running.process.send_signal(signal.SIGTERM)
        ready = await running.get("/readyz")
        while ready[0] != 503:
            ready = await running.get("/readyz")

        kept = await ask(reader, writer)
        fresh = await running.get("/")
        await hang_up(writer)
        async with asyncio.timeout(10):
            code = await running.process.wait()

    assert (kept[0], kept[1]["connection"]) == (200, "close")
    assert (fresh[0], ready[0], code) == (200, 503, 0)


async def test_requests_in_flight_are_finished():
    """A request that is under way when the drain is over still gets its answer."""
    async with service(LATENCY_MS="400", LATENCY_P99_MS="400") as running:
        reader, writer = await running.connect()
        answer = asyncio.create_task(ask(reader, writer))
        # Sent later and answered already: the request above has been taken in.
        await running.get("/healthz")
        running.process.send_signal(signal.SIGTERM)
        status, _, _ = await answer
        await hang_up(writer)
        async with asyncio.timeout(10):
            code = await running.process.wait()

    assert (status, code) == (200, 0)


async def test_wrong_settings_end_the_process():
    """A setting that makes no sense ends in exit code 2 and a message that names it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidegate_sandbox.demo_service",
        env={"PATH": os.environ["PATH"], "ERROR_RATE": "lots"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()

    assert process.returncode == 2
    assert complaint.decode() == "demo service: ERROR_RATE: 'lots' is not a number\n"
