"""How many HTTP requests the gates of many Releases cost: `python -m bench.batching`, from the checkout's root.

N Releases with three gates that are judged by Evidence (error rate, availability, P99 latency) look once in every interval, at a
real Prometheus that scrapes counters of all their pods. Asked one by one, each look would cost as many requests as it has queries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.measure import Figure

from tidegate.api.gate import Gate
from tidegate.prometheus.connections import Connection, ConnectionConfig, Value
from tidegate.prometheus.promql import Names, pods_of
from tidegate.prometheus.reader import Reader
from tidegate_sandbox import binaries, cache

ROOT = Path(__file__).resolve().parent.parent
RELEASES = (1, 10, 100, 500)
MEASURES = ("ErrorRate", "Availability", "Latency")
LOOKS = 3
"""Intervals that are measured; the baseline and the first look, which finds out how histograms are stored, come before."""
INTERVAL = timedelta(seconds=30)
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
MOST_REQUESTS = {True: {1: 1.0, 10: 0.2, 100: 0.1, 500: 0.1}, False: {1: 1.0, 10: 1.0, 100: 0.35, 500: 0.15}}
"""HTTP requests per Release and interval at most: where all looks of an interval are due together, and where they are spread evenly
over the seconds of an interval, as the operator's grid of 1 s leaves those of Releases that began at any time."""


@dataclass
class Tallies:
    """What one run cost."""

    requests: int = 0
    queries: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)


def main() -> int:
    """Run all sizes, print the table and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.batching", description="Count HTTP requests to Prometheus.")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "batching.json", help="where figures are written")
    options = parser.parse_args()
    with prometheus(max(RELEASES)) as address:
        figures = asyncio.run(measured(address))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([figure.to_wire() for figure in figures], indent=1) + "\n")
    failed = [figure for figure in figures if figure.holds is False]
    for figure in failed:
        print(f"not within its limit: {figure.cell}: {figure.measured:.4g}, at most {figure.limit:g}", file=sys.stderr)
    print(f"wrote {options.json}", file=sys.stderr)
    return 1 if failed else 0


async def measured(address: str) -> list[Figure]:
    """Return the figures of all sizes and of both ways in which looks fall due."""
    figures: list[Figure] = []
    print(
        f"{'Releases':>8}  {'due':>14}  {'queries':>8}  {'requests':>8}  {'requests per':>16}  {'median time':>12}  {'slowest':>8}"
    )
    print(f"{'':>8}  {'':>14}  {'a look':>8}  {'a look':>8}  {'Release-interval':>16}  {'to an answer':>12}  {'':>8}")
    for together in (True, False):
        for releases in RELEASES:
            tallies = await run(address, releases, together=together)
            figures += _figures(tallies, releases, together=together)
    return figures


def _figures(tallies: Tallies, releases: int, *, together: bool) -> list[Figure]:
    due = "together" if together else "on any second"
    per_release = tallies.requests / LOOKS / releases
    queries = tallies.queries / LOOKS / releases
    median, slowest = statistics.median(tallies.seconds), max(tallies.seconds)
    print(
        f"{releases:>8}  {due:>14}  {tallies.queries // LOOKS:>8}  {tallies.requests // LOOKS:>8}  {per_release:>16.2f}  "
        f"{median * 1000:>9.0f} ms  {slowest * 1000:>5.0f} ms"
    )
    where = f"{releases} Releases with three gates, looks due {due}"
    return [
        Figure(
            f"HTTP requests per Release and interval, {where}",
            per_release,
            MOST_REQUESTS[together][releases],
            f"{queries:.0f} if each query was asked alone",
        ),
        Figure(f"seconds from a look to its answers, median, {where}", median),
        Figure(f"seconds from a look to its answers, slowest, {where}", slowest),
        Figure(f"looks without counts, {where}", float(tallies.failed), 0.0),
    ]


async def run(address: str, releases: int, *, together: bool) -> Tallies:
    """Let so many Releases look for some intervals; time between looks is not waited for."""
    tallies, counting = Tallies(), False

    def requested(_: str, queries: int) -> None:
        if counting:
            tallies.requests += 1
            tallies.queries += queries

    async with reading(address, requested) as reader:
        start = datetime.now(UTC).replace(microsecond=0) - INTERVAL
        # The instants of a look are never waited for, so they lie within what was scraped already, a little apart from each other.
        slots = 1 if together else int(INTERVAL.total_seconds())
        for look in range(LOOKS + 2):
            counting = look >= 2
            for slot in range(slots):
                due = [number for number in range(releases) if number % slots == slot]
                at = start + timedelta(milliseconds=10 * (look * slots + slot))
                await _look(reader, due, at, tallies if counting else None, prime=look == 0)
    return tallies


async def _look(reader: Reader, due: Sequence[int], at: datetime, tallies: Tallies | None, *, prime: bool) -> None:
    async def one(number: int, measure: str) -> None:
        gate, names, began = _gate(measure), _names(number), time.perf_counter()
        if prime:
            trouble = await reader.prime(gate, names, "new", at)
            assert not trouble, trouble
            return
        reading = await reader.read(gate, names, "new", at)
        if tallies is not None:
            tallies.seconds.append(time.perf_counter() - began)
            tallies.failed += reading.counts is None

    await asyncio.gather(*(one(number, measure) for number in due for measure in MEASURES))


@asynccontextmanager
async def reading(address: str, requested: Any) -> AsyncIterator[Reader]:
    """Give a reader that is closed afterwards."""
    config = ConnectionConfig(name="default", address=address, timeout=timedelta(seconds=10))
    reader = Reader({"default": Connection(config)}, requested=requested)
    try:
        yield reader
    finally:
        reader.close()


def _gate(measure: str) -> Gate:
    preset = {"source": "HTTP", "measure": measure}
    limit = {"versusStable": {"maxIncrease": {"percent": 10}}}
    return Gate.model_validate({"name": measure.lower(), "metric": {"preset": preset}, **limit})


def _names(number: int) -> Names:
    name = f"app-{number}"
    stable, canary = pods_of([f"{name}-aaaaa"]), pods_of([f"{name}-bbbbb"])
    return Names("shop", name, name, f"{name}-stable", f"{name}-canary", stable, canary, 80)


def exposition(releases: int) -> bytes:
    """Return counters of two pods of each Release, one of each version."""
    lines = []
    for number in range(releases):
        for version in ("aaaaa", "bbbbb"):
            labels = f'namespace="shop",pod="app-{number}-{version}-x2x4z"'
            lines += [f'http_requests_total{{{labels},code="{code}"}} {count}' for code, count in (("200", 990), ("500", 10))]
            lines += [f'http_request_duration_seconds_bucket{{{labels},le="{le}"}} {80 * at}' for at, le in enumerate(BOUNDS)]
    return ("\n".join(lines) + "\n").encode()


@contextmanager
def prometheus(releases: int) -> Iterator[str]:
    """Run a Prometheus that has scraped the counters of so many Releases, and give its address."""
    body = exposition(releases)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name, socket.socket() as listener:
        folder = Path(name)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        job = {"job_name": "bench", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]}
        settings = {"global": {"scrape_interval": "5s"}, "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        address = f"http://127.0.0.1:{port}"
        arguments = [
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address[7:]}",
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([_binary(), *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            asyncio.run(_scraped(address, releases))
            yield address
        finally:
            process.kill()
            process.wait()
            server.shutdown()


def _binary() -> str:
    built = cache.directory() / f"{binaries.GROUPS['prometheus'].name}-{binaries.GROUPS['prometheus'].key}" / "bin" / "prometheus"
    found = os.environ.get("TIDEGATE_PROMETHEUS") or shutil.which("prometheus") or (str(built) if built.exists() else "")
    if not found:
        raise SystemExit("there is no prometheus: run `tidegate-sandbox build`, or name one in TIDEGATE_PROMETHEUS")
    return found


async def _scraped(address: str, releases: int) -> None:
    """Wait until the counters have been there for an interval: looks are evaluated in the past."""
    connection = Connection(ConnectionConfig(name="setup", address=address))
    print("waiting until Prometheus has scraped for an interval...", file=sys.stderr)
    try:
        for _ in range(600):
            at = datetime.now(UTC) - INTERVAL - timedelta(seconds=1)
            if await connection.query("count(http_requests_total)", at) == Value(4.0 * releases):
                return
            await asyncio.sleep(0.2)
    finally:
        connection.close()
    raise SystemExit("Prometheus has scraped nothing")


if __name__ == "__main__":
    sys.exit(main())
