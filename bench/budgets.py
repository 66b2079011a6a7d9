"""What many series cost in memory: `python -m bench.budgets`, from the checkout's root.

100 Releases in 10 namespaces, each with five gates of 1,000 series by own counters: the first four are as much as a Release
may have, and all of them more than the operator may. They look at a server that gives valid answers, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import re
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import stand_in
from bench.measure import Figure, publish

from tidegate.api.gate import Gate
from tidegate.cli.main import COLLECT_AFTER
from tidegate.prometheus.connections import Connection, ConnectionConfig
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.runtime import allocator

ROOT = Path(__file__).resolve().parent.parent
RELEASES, NAMESPACES, GATES = 100, 10, 5
PODS = 250
"""Of each version. Each has a counter of all requests and one of bad ones."""
LOOKS = 3
INTERVAL = timedelta(seconds=5)
MOST = 300.0
"""MB resident at most."""


def main() -> int:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.budgets", description="Measure the memory of gates with many series.")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "budgets.json", help="where figures are written")
    parser.add_argument("--releases", type=int, default=RELEASES, help="Releases")
    options = parser.parse_args()
    # As the operator is run.
    gc.set_threshold(COLLECT_AFTER)
    allocator.gives_back()
    with stand_in.running() as address:
        figures = asyncio.run(measured(address, options.releases))
    return publish(figures, options.json)


async def measured(address: str, releases: int) -> list[Figure]:
    """Let all gates look, and return what that took."""
    config = ConnectionConfig(name="default", address=address, timeout=timedelta(seconds=60))
    reader = Reader({"default": Connection(config)})
    empty, slowest, told = _resident("VmRSS"), 0.0, Counter[str]()
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    stalls = asyncio.create_task(_longest_stall())
    try:
        for look in range(LOOKS + 1):
            told.clear()
            at = start + look * INTERVAL
            began = asyncio.get_running_loop().time()
            pairs = [(_names(number), gate) for number in range(releases) for gate in range(GATES)]
            # As the operator's looks do: what is due together is asked together.
            found = await asyncio.gather(*(_look(reader, names, _gate(gate), at, first=look == 0) for names, gate in pairs))
            told.update(re.sub(r"[0-9,.]+", "N", words) or "counted" for words in found)
            slowest = max(slowest, asyncio.get_running_loop().time() - began)
            print(f"look {look}: {_resident('VmRSS'):.0f} MB, peak {_resident('VmHWM'):.0f} MB, {dict(told)}", file=sys.stderr)
        held = reader.holdings.total
    finally:
        stalls.cancel()
        reader.close()
    longest = (await asyncio.gather(stalls, return_exceptions=True))[0]
    where = f"{releases} Releases with {GATES} gates of {4 * PODS} series each"
    return [
        Figure(f"MB resident before, {where}", empty),
        Figure(f"MB resident after {LOOKS} looks, {where}", _resident("VmRSS"), MOST),
        Figure(f"MB resident at the peak, {where}", _resident("VmHWM"), MOST),
        Figure(f"series that are followed, {where}", float(held.series), 100_000.0),
        Figure(f"MB that these are reckoned at, {where}", held.bytes / 1e6),
        Figure(f"gates that count, {where}", float(told["counted"])),
        Figure(f"gates that say why they do not, {where}", float(told.total() - told["counted"])),
        Figure(f"seconds of all looks together, slowest, {where}", slowest),
        Figure(f"seconds for which the event loop stood still, longest, {where}", longest if isinstance(longest, float) else 0.0),
    ]


async def _look(reader: Reader, names: Names, gate: Gate, at: datetime, *, first: bool) -> str:
    if first:
        return await reader.prime(gate, names, "new", at)
    reading = await reader.read(gate, names, "new", at)
    return reading.trouble or ("" if reading.counts is not None else "nothing")


async def _longest_stall() -> float:
    """Return, when it is cancelled, for how long the loop had no turn for others at the longest."""
    longest, loop = 0.0, asyncio.get_running_loop()
    try:
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            longest = max(longest, loop.time() - before - 0.01)
    except asyncio.CancelledError:
        return longest


def _gate(number: int) -> Gate:
    def of(version: str) -> Mapping[str, str]:
        what = f'version="{version}",gate="{number}",many="{PODS}"'
        return {"total": f'requests_total{{{what},value="10"}}', "bad": f'errors_total{{{what},value="1"}}'}

    metric = {"counters": {"canary": of("{{canaryService}}"), "stable": of("{{stableService}}")}}
    limit = {"versusStable": {"maxIncrease": {"percent": 10}}}
    return Gate.model_validate({"name": f"gate-{number}", "metric": metric, **limit})


def _names(number: int) -> Names:
    name = f"app-{number}"
    return Names(f"team-{number % NAMESPACES}", name, name, f"{name}-stable", f"{name}-canary", "s", "c", 80)


def _resident(what: str) -> float:
    """Return this process's resident memory in MB, now (VmRSS) or at the most (VmHWM)."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 0.0 if found is None else int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
