"""What direct readings cost: processor time of the operator's part, for many rollouts whose pods are read every second.

`python -m bench.direct` has pages of 2,000 series served by another process, follows 50 rollouts of 2 + 10 pods, and writes
bench/results/direct.json. Nothing of a cluster takes part: pods are listed by the bench, and passes are not made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from bench.direct_pages import page

from tidegate.api.gate import Gate
from tidegate.controller.looks.direct import DirectLane
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.prometheus.config import Budgets, ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct import targets
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import SystemClock

RESULTS = Path(__file__).parent / "results" / "direct.json"
MOST = 0.5
"""Cores."""
WARM = 5.0
"""Seconds until it is measured."""


def serve(port: Any, series: int) -> None:
    """Serve one page on every path; in a process of its own, which is not measured."""
    body = page(series)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(run())


@dataclass(frozen=True)
class Pods:
    """An API server that lists the pods of every Release alike."""

    port: int
    canary: int
    stable: int

    async def list(self, path: str, **_: Any) -> Any:
        """Return the pods of both versions."""
        pods = [self._pod(path, "bbbb", number) for number in range(self.canary)]
        pods += [self._pod(path, "aaaa", number) for number in range(self.stable)]
        return mock.Mock(items=[targets.slim(pod) for pod in pods])

    def _pod(self, path: str, revision: str, number: int) -> dict[str, Any]:
        name = f"checkout-{revision}-{number:05}"
        annotations = {targets.PORT: str(self.port)}
        metadata = {"name": name, "uid": f"{path}/{name}", "labels": {"hash": revision}, "annotations": annotations}
        return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "10.0.0.1"}}


def gates() -> dict[str, Gate]:
    """Return a gate on errors and one on latency."""
    limit = {"versusStable": {"maxIncrease": {"percent": 50}}, "direct": {}}
    measures = {"errors": "ErrorRate", "latency": "Latency"}
    return {
        name: Gate.model_validate({"name": name, "metric": {"preset": {"source": "HTTP", "measure": measure}}} | limit)
        for name, measure in measures.items()
    }


async def measure(options: argparse.Namespace, port: int) -> tuple[float, float, float]:
    """Return cores, pages a second and MB a second."""
    clock, seconds = SystemClock(), options.seconds
    given = {"stablePods": options.stable} if options.all else {}
    config = ConnectionConfig.model_validate({"name": "default", "address": "http://127.0.0.1:1", "direct": given})
    connections = {"default": Connection(config)}
    asks = Reader(connections, budgets=Budgets())
    readings = DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)
    assert config.direct is not None
    scraper = Scraper(config.direct, clock)
    lane = DirectLane(readings, {"default": scraper}, Pods(port, options.canary, options.stable), clock)  # type: ignore[arg-type]
    known, pods = gates(), "checkout-{}-[a-z0-9]{{5}}"
    for number in range(options.rollouts):
        key = ReleaseKey(f"team-{number % 10}", f"shop-{number}")
        names = Names(key.namespace, key.name, "", "", "", pods.format("aaaa"), pods.format("bbbb"), 0)
        since = clock.now() - timedelta(seconds=1)
        lane.follow(key, Subject(known, names, "bbbb", since, stable_revision="aaaa", version_label="hash"), known)
    await asyncio.sleep(WARM)
    began, cpu, pages, size = time.monotonic(), time.process_time(), scraper.scrapes, scraper.bytes
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    found = (time.process_time() - cpu) / passed, (scraper.scrapes - pages) / passed, (scraper.bytes - size) / passed / 1e6
    await lane.close()
    readings.close()
    return found


def main() -> None:
    """Measure, print, and write what is measured in the full size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rollouts", type=int, default=50)
    options.add_argument("--canary", type=int, default=2)
    options.add_argument("--stable", type=int, default=10)
    options.add_argument("--all", action="store_true", help="read all pods of stable, and not the sample that is usual")
    options.add_argument("--series", type=int, default=2000)
    options.add_argument("--seconds", type=float, default=20.0)
    given = options.parse_args()
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port, given.series), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.01)
    with mock.patch.object(targets, "is_own", return_value=False):
        cores, pages, size = asyncio.run(measure(given, port.value))
    server.terminate()
    pods = f"{given.canary} + {given.stable} pods, {given.series} series each"
    cell = f"cores for direct readings of {given.rollouts} rollouts of {pods}"
    note = f"{pages:.0f} pages, {size:.0f} MB a second; errors and latency; without passes"
    print(f"{cell}: {cores:.2f} ({note})")
    if (given.rollouts, given.canary, given.stable, given.series, given.all) == (50, 2, 10, 2000, False):
        told = {"cell": cell, "measured": round(cores, 3), "limit": MOST, "holds": cores <= MOST, "note": note}
        RESULTS.write_text(json.dumps([told], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
