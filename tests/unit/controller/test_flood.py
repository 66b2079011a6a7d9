"""The operator as a process, without an API server: unfinished requests take neither its probes nor its file descriptors."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from operator_process import Operator, without_api_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts file descriptors in /proc")

FILES = 256
"""File descriptors that the process may have: the flood alone would take more."""
CALLERS = 300


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    operator = Operator(tmp_path, without_api_server(tmp_path), ("shop",), {"leaderElection": {"enabled": False}})
    await operator.start()
    resource.prlimit(operator.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    await operator.told("listening")
    yield operator
    await operator.end()


def files(operator: Operator) -> int:
    """Return how many file descriptors the process has open."""
    return sum(1 for _ in Path(f"/proc/{operator.pid}/fd").iterdir())


@asynccontextmanager
async def flood(ports: list[int]) -> AsyncIterator[None]:
    """Begin requests at ports by turns, and end none."""
    wires = []
    try:
        for number in range(CALLERS):
            _, writer = await asyncio.open_connection("127.0.0.1", ports[number % len(ports)])
            wires.append(writer)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        yield
    finally:
        for writer in wires:
            writer.transport.abort()


def both(operator: Operator) -> Iterator[int]:
    assert operator.port is not None
    assert operator.probe_port is not None
    yield from (operator.port, operator.probe_port)


async def test_300_unfinished_requests_leave_the_probes_answered(operator: Operator) -> None:
    """Given 256 file descriptors and 300 requests that do not end, at both ports, probes and scrapes are answered."""
    before = files(operator)
    async with flood(list(both(operator))):
        probed = await operator.ask("/healthz", probe=True)
        beside, scraped = await operator.ask("/healthz"), await operator.ask("/metrics")
        during = files(operator)

    assert [200, 200, 200] == [probed[0], beside[0], scraped[0]]
    assert during - before <= 2 * 64
    assert operator.running


async def test_process_has_no_metrics_at_the_port_of_probes(operator: Operator) -> None:
    """Who may reach the probes alone reads no names of Releases and no numbers of gates."""
    assert 200 == (await operator.ask("/healthz", probe=True))[0]
    assert 404 == (await operator.ask("/metrics", probe=True))[0]
