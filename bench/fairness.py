"""What one tenant's slow queries cost another one: `python -m bench.fairness`, from the checkout's root.

Tenant B has one gate that rolls back, and its version turns bad again and again. Tenant A has 20 gates of three queries each that
take 4 s and give scalars. Both ask one server through one connection with its defaults; beside them, at the same time, is a B whose
connection nobody else uses. Measured is the time from each breach to the reading that acts on it, as the operator's looks hand it
in.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from bench import stand_in
from bench.measure import Figure, publish

from tidegate.api.gate import Gate
from tidegate.controller.looks.looks import Looks
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.plan import Look
from tidegate.prometheus.connections import Connection, ConnectionConfig
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.runtime.clock import Moment, SystemClock
from tidegate.runtime.queue import Lane

ROOT = Path(__file__).resolve().parent.parent
BREACHES = 10
PERIOD = 13
"""Seconds from one breach to the next; no multiple of an interval, so that breaches come at any time between looks."""
SLOW_GATES, SECONDS = 20, 4
INTERVAL = timedelta(seconds=5)
MOST = 1.2
"""Times as long as without A, at most."""


def main() -> int:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description="Measure a breach beside another's slow queries.")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "fairness.json", help="where figures are written")
    parser.add_argument("--breaches", type=int, default=BREACHES, help="breaches")
    options = parser.parse_args()
    with stand_in.running() as address:
        figures = asyncio.run(measured(address, options.breaches))
    return publish(figures, options.json)


class Tenant:
    """Releases of one namespace, whose gates are looked at as the operator does it.

    Args:
        namespace: of the Release.
        gates: of it.
        reader: asks.
    """

    def __init__(self, namespace: str, gates: list[Gate], reader: Reader) -> None:
        self._key = ReleaseKey(namespace, "checkout")
        self._gates = {gate.name: gate for gate in gates}
        self._names = Names(namespace, "checkout", "checkout", "checkout-stable", "checkout-canary", "s", "c", 80)
        self._clock = SystemClock()
        self._looks = Looks(clock=self._clock, reader=reader, arrived=self._arrived)
        self.beyond: list[float] = []
        self.told: Counter[str] = Counter()
        now = self._clock.now()
        self._due = dict.fromkeys(self._gates, now)
        self._watch = Subject(self._gates, self._names, "new", now - timedelta(hours=1))
        self.running = asyncio.create_task(self._looks.run())
        self._plan()

    def _arrived(self, key: ReleaseKey, lane: Lane) -> None:
        for arrival in self._looks.waiting(key):
            gate = arrival.reading.gate
            self._due[gate] = arrival.reading.at + self._gates[gate].interval
            self.told["trouble" if arrival.reading.trouble else "decided"] += 1
            if arrival.beyond:
                assert lane is Lane.URGENT
                self.beyond.append(time.time())
        self._looks.decided(key)
        asyncio.get_running_loop().call_soon(self._plan)

    def _plan(self) -> None:
        looks = [Look(gate, at) for gate, at in self._due.items()]
        self._looks.plan(self._key, looks, self._watch, Moment.of(self._clock))


async def measured(address: str, breaches: int) -> list[Figure]:
    """Let tenants live for so many breaches."""
    waits: Counter[str] = Counter()

    def waited(namespace: str, seconds: float) -> None:
        waits[namespace] += round(1000 * seconds)

    def connected() -> Reader:
        connection = Connection(ConnectionConfig(name="default", address=address), waited=waited)
        return Reader({"default": connection})

    crowded, alone = connected(), connected()
    slow = Tenant("a", [_slow(number) for number in range(SLOW_GATES)], crowded)
    ours, quiet = Tenant("b", [_quick()], crowded), Tenant("b", [_quick()], alone)
    await asyncio.sleep(PERIOD - time.time() % PERIOD)
    began = time.time()
    await asyncio.sleep(PERIOD * breaches)
    for tenant in (slow, ours, quiet):
        tenant.running.cancel()
    for reader in (crowded, alone):
        reader.close()
    beside, without = (_delays(tenant.beyond, began, breaches) for tenant in (ours, quiet))
    print("seconds from breach to reading, beside A and without:", file=sys.stderr)
    print("\n".join(f"{one:8.2f} {other:8.2f}" for one, other in zip(beside, without, strict=True)), file=sys.stderr)
    where = f"tenant A has {SLOW_GATES} gates of three queries of {SECONDS} s"
    return [
        Figure(f"seconds from a breach of B to the reading that acts on it, median, {where}", statistics.median(beside)),
        Figure("seconds from a breach of B to the reading that acts on it, median, B alone", statistics.median(without)),
        Figure(f"times as long as without A, median, {where}", statistics.median(beside) / statistics.median(without), MOST),
        Figure(f"times as long as without A, slowest, {where}", max(beside) / max(without), MOST),
        Figure(f"looks of B that were not decided, {where}", float(ours.told["trouble"]), 0.0),
        Figure(f"looks of B that were decided, {where}", float(ours.told["decided"])),
        Figure("looks of A that were decided", float(slow.told["decided"])),
        Figure("looks of A that were not decided", float(slow.told["trouble"])),
        Figure("seconds that requests of A have waited for their turn, in all", waits["a"] / 1000),
        Figure("seconds that requests of B have waited for their turn, in all", waits["b"] / 1000),
    ]


def _delays(beyond: list[float], began: float, breaches: int) -> list[float]:
    """Return, for each breach, the seconds until it was acted on; those of a whole period where it never was."""
    found = []
    for number in range(breaches):
        breach = began + PERIOD * number + PERIOD / 2
        found.append(next((at - breach for at in beyond if breach <= at < breach + PERIOD), float(PERIOD)))
    return found


def _quick() -> Gate:
    metric = {"promql": {"canary": f'errors{{flips="{PERIOD}"}}', "unit": "Ratio"}}
    return _gate("errors", metric, {"threshold": {"max": 0.01}})


def _slow(number: int) -> Gate:
    texts = {what: f'scalar(x{{gate="{number}",what="{what}",slow="{SECONDS}"}})' for what in ("canary", "stable", "samples")}
    return _gate(f"slow-{number}", {"promql": {**texts, "unit": "Ratio"}}, {"versusStable": {"maxIncrease": {"points": 5}}})


def _gate(name: str, metric: Mapping[str, object], limit: Mapping[str, object]) -> Gate:
    return Gate.model_validate({"name": name, "metric": metric, **limit, "interval": f"{INTERVAL.seconds}s"})


if __name__ == "__main__":
    sys.exit(main())
