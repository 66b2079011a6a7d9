"""Counters that are read every second, as direct readings are: healthy versions that are stopped, and faults that are found."""

from __future__ import annotations

import math
from dataclasses import replace

from bench.measure import Bench, Figure, median
from bench.report import Section, table
from bench.rollouts import NO_INCREASE, ONE_POINT
from bench.scrapes.calm import HALF_MORE, LIMITS, MOST
from bench.scrapes.rollout import Ran, Scraped
from bench.scrapes.scene import Outage, Scene

from tidegate.backtest.traffic import Fault

HEALTHY_RUNS = 300
RUNS = 200
EVERY = (1, 5)
"""Seconds between two readings, and between two looks."""
SLOWEST = 15
"""Seconds between two scrapes and two looks of Prometheus alone, beside which faults are set."""
_DOWN = Outage(300, 20, 1.0)
_BURSTS = Scene(bursts=5)
_LONG = Scene(bursts=5, within=3)

HEALTHY: tuple[tuple[str, Scene], ...] = (
    ("nothing happens", Scene()),
    ("all of both fail for 20 s at minute 5", Scene(outages=(_DOWN,))),
    ("half of both fail for 5 s every 3 minutes", Scene(outages=(Outage(60, 5, 0.5, 180),))),
    ("errors in bursts of 5 within 1 s", _BURSTS),
    ("the same, all of both fail for 20 s at minute 5", replace(_BURSTS, outages=(_DOWN,))),
    ("the same, 20% of both fail for 60 s at minute 5", replace(_BURSTS, outages=(Outage(300, 60, 0.2),))),
    ("errors in bursts of 5 within 3 s", _LONG),
    ("the same, all of both fail for 20 s at minute 5", replace(_LONG, outages=(_DOWN,))),
)

_FAST = Scene(rate=12_000, stable=4, errors=0.0, minutes=10)
FAULTS: tuple[tuple[str, Scene, float | None], ...] = (
    ("all requests fail from the start", replace(_FAST, fault=Fault(math.inf)), 1 / 5),
    ("all requests fail from minute 2 on", replace(_FAST, fault=Fault(math.inf, 120.0)), 1 / 5),
    ("5% fail from the start", replace(_FAST, fault=Fault(1.0), failing=0.05), 1 / 3),
    ("5% fail from minute 2 on", replace(_FAST, fault=Fault(1.0, 120.0), failing=0.05), 1 / 3),
    ("20% fail from minute 2 on, 0.5% before", replace(_FAST, errors=0.005, fault=Fault(1.0, 120.0), failing=0.20), None),
)
"""What happens, and what part of the bad requests that are served with Prometheus alone may be served."""


def secondly(bench: Bench) -> Section:
    """Measure both, beside readings that come every five seconds and scrapes that come every fifteen."""
    figures, rows = [], []
    gates = (NO_INCREASE, HALF_MORE, ONE_POINT)
    before = ""
    for name, scene in HEALTHY:
        before = name if not name.startswith("the same") else f"{before.partition(', ')[0]}, {name.removeprefix('the same, ')}"
        for every in EVERY:
            told = f"{before}, read every {every} s"
            ran = bench.each(told, Scraped(replace(scene, scrape=every, look=every), gates), bench.runs(HEALTHY_RUNS))
            alarms = [100 * sum(math.isfinite(one.failed[place]) for one in ran) / len(ran) for place in range(len(LIMITS))]
            for (_, limit), share in zip(LIMITS, alarms, strict=True):
                figures.append(Figure(f"healthy releases rolled back in %, {limit}, {told}", share, MOST))
            rows.append([before, f"{every} s", *(f"{share:.1f}" for share in alarms)])
    head = ["what happens", "read every", *(f"{limit}: stopped %" for _, limit in LIMITS)]
    healthy = table(head, rows)
    rows = []
    for name, scene, most in FAULTS:
        waits, bad = {}, {}
        for every in (*EVERY, SLOWEST):
            job = Scraped(replace(scene, scrape=every, look=every), (ONE_POINT,))
            ran = bench.each(f"{name}, read every {every} s", job, bench.runs(RUNS))
            waits[every], bad[every] = _found(ran, scene)
            figures.append(Figure(f"median seconds to detection, {name}, read every {every} s", waits[every]))
        part = bad[1] / max(1.0, bad[SLOWEST])
        figures.append(Figure(f"bad requests served, read every second, over those read every {SLOWEST} s, {name}", part, most))
        cells = [f"{waits[every]:.1f} s, {bad[every]:.0f}" for every in (*EVERY, SLOWEST)]
        rows.append([name, *cells, f"{part:.2f}", f"{most:.2f}" if most else ""])
    head = ["fault", *(f"read every {every} s: median, bad requests" for every in (*EVERY, SLOWEST)), "part", "at most"]
    return Section("Counters that are read every second", SECONDLY, [*healthy, "", *table(head, rows)], figures)


def _found(ran: list[Ran], scene: Scene) -> tuple[float, float]:
    """Return the medians of the seconds from the fault to the stop, and of the bad requests that were served until then."""
    late = [one for one in ran if one.failed[0] > scene.onset]
    return median([one.failed[0] - scene.onset for one in late]), median([one.bad for one in late])


SECONDLY = (
    "As direct readings are, and a Prometheus that scrapes each second. Healthy: 3,000 requests a minute, a share of 10%, 1% "
    "errors, 1+3 pods, half an hour, a third of 1% for each limit; each pod is read at a time of its own. Faults: 200 requests a "
    "second, a share of 10%, no errors if nothing else is said, 1+4 pods, less than 1 point above stable."
)
