"""The load generator, and what it lets one say about a stretch of traffic."""

import asyncio
import json
import pathlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import test_utils, web

from tidegate_sandbox import loadgen


def answer(at: float = 0.0, version: str = "v1", status: int = 200, seconds: float = 0.01) -> loadgen.Answer:
    return loadgen.Answer(at, at, seconds, version, "pod", status)


def test_answers_are_counted_by_version_and_class():
    """Each version has its requests, failures, classes, latencies and times of its own."""
    answers = loadgen.Answers([answer(1), answer(2, status=500), answer(3, "v2", seconds=0.02), answer(4, status=404)])

    counts = answers.counts()

    assert counts["v1"].requests == 3
    assert counts["v1"].failed == 1
    assert counts["v1"].by_class == {"2xx": 1, "4xx": 1, "5xx": 1}
    assert (counts["v1"].first_at, counts["v1"].last_at) == (1, 4)
    assert (counts["v2"].requests, counts["v2"].p50) == (1, 0.02)


def test_no_answer_is_a_failure_of_no_version():
    """A connection error counts as a failure under the version none."""
    lost = loadgen.Answer(1.0, 1.0, 0.1, loadgen.NO_VERSION, "", 0, "refused")

    assert (lost.failed, lost.status_class) == (True, "error")


def test_a_stretch_between_two_times():
    """Failures within a stretch of time, and the last answer of a version, can be asked for."""
    answers = loadgen.Answers([answer(1, status=503), answer(2, "v3"), answer(3), answer(4, status=500)])

    assert answers.between(2, 3).failures() == []
    assert len(answers.failures()) == 2
    assert answers.failures("v3") == []
    assert answers.last_at("v3") == 2
    assert answers.last_at("v9") is None


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentiles_are_nearest_ranks(share: float, value: int):
    """The percentile is a value that occurred."""
    assert loadgen.percentile(range(1, 101), share) == value


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://shop.example/", "not to a name"),
        ("http://192.0.2.1/", "192.0.2.1 is neither loopback nor a pod address"),
        ("http://[2001:db8::1]/", "neither loopback nor"),
        ("http://10.244.77.77:8080/", "10.244.77.77 is neither loopback nor a pod address of this sandbox"),
        ("file:///etc/hosts", "no http URL"),
    ],
)
def test_targets_outside_the_sandbox_are_refused(url: str, complaint: str):
    """Load never leaves the machine, nor the network namespace."""
    with pytest.raises(loadgen.RefusedError, match=complaint):
        loadgen.check_target(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:8080/", "http://127.9.9.9/"])
def test_loopback_is_allowed(url: str):
    """Loopback is always a fine target."""
    assert str(loadgen.check_target(url)) == url


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (5000, 1), (10, 0), (10, 1e9)])
def test_load_without_bounds_is_refused(rate: float, duration: float):
    """Rate and duration have limits."""
    with pytest.raises(loadgen.RefusedError, match="at most"):
        loadgen.Load("http://127.0.0.1/", "", rate, duration=duration)


class Site:
    """A loopback server whose behaviour a test may change while the load runs."""

    def __init__(self) -> None:
        self.version = "v1"
        self.status = 200
        self.hosts: set[str] = set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.hosts.add(request.headers["Host"])
        headers = {"x-version": self.version, "x-pod": "pod-1"} if self.version else {}
        return web.Response(status=self.status, text="upstream connect error", headers=headers)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    app = web.Application()
    app.router.add_get("/", made.handle)
    async with test_utils.TestServer(app, host="127.0.0.1") as server:
        made.url = f"http://127.0.0.1:{server.port}/"
        yield made


async def answered(load: loadgen.Load, count: int) -> None:
    async with asyncio.timeout(10):
        while load.mark() < count:  # noqa: ASYNC110 - the load has nothing to wait on, by design
            await asyncio.sleep(0.005)


async def test_every_request_is_recorded(site: Site):
    """A bounded load sends rate times duration requests under the given host, and all are answered."""
    async with loadgen.Load(site.url, "shop.example", 200, duration=0.3) as load:
        await load.finished()

    assert load.sent == 60
    assert load.counts()["v1"].by_class == {"2xx": 60}
    assert site.hosts == {"shop.example"}


async def test_a_mark_separates_before_from_after(site: Site):
    """After a mark only later answers count, so that a change can be judged by itself."""
    async with loadgen.Load(site.url, "", 200) as load:
        await answered(load, 5)
        site.version, site.status = "v2", 500
        await asyncio.sleep(0.05)
        mark = load.mark()
        await answered(load, mark + 5)

        assert set(load.since(mark).counts()) == {"v2"}
        assert len(load.since(mark).failures()) == len(load.since(mark))
    assert set(load.counts()) == {"v1", "v2"}


async def test_an_answer_of_the_gateway_has_no_version(site: Site):
    """A 503 without x-version is not held against any version; its body says what it was."""
    site.version, site.status = "", 503
    async with loadgen.Load(site.url, "", 200) as load:
        await answered(load, 1)

    failure = load.answers().failures()[0]

    assert (failure.version, failure.status, failure.excerpt) == ("none", 503, "upstream connect error")


async def test_a_refused_connection_is_recorded():
    """Where nobody listens each request fails with the reason, and the rate is kept."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with loadgen.Load(f"http://127.0.0.1:{port}/", "", 100, duration=0.1) as load:
            await load.finished()

    failures = load.answers().failures()
    assert (len(failures), failures[0].status) == (10, 0)
    assert "Connect call failed" in failures[0].error


async def test_a_slow_answer_does_not_slow_the_rate():
    """The loop is open: requests go out on time while earlier ones wait for their answers."""

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", slow)
    async with (
        test_utils.TestServer(app, host="127.0.0.1") as server,
        loadgen.Load(f"http://127.0.0.1:{server.port}/", "", 100, duration=0.3) as load,
    ):
        await load.finished()

    counts = load.counts()["none"]
    assert counts.requests == 30
    assert counts.p50 >= 0.4


def test_the_command_line_writes_answers_and_summary(tmp_path: pathlib.Path):
    """Every answer goes to one file as a line of JSON, the summary to another."""
    out, summary = tmp_path / "answers.jsonl", tmp_path / "summary.json"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        arguments = ["--url", url, "--rate", "50", "--duration", "0.1", "--out", str(out), "--summary", str(summary)]
        subprocess.run([sys.executable, "-m", "tidegate_sandbox.loadgen", *arguments], check=True, timeout=20)

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["version"] for line in lines] == ["none"] * 5
    assert json.loads(summary.read_text())["failed"] == 5


def test_the_command_line_refuses_foreign_targets():
    """A target outside the sandbox ends in exit code 2 and a message."""
    done = subprocess.run(
        [sys.executable, "-m", "tidegate_sandbox.loadgen", "--url", "http://192.0.2.1/"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 2
    assert done.stderr == "loadgen: 192.0.2.1 is neither loopback nor a pod address of this sandbox\n"
