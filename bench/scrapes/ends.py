"""The cells that were measured end to end beside other tools, as a simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from bench.measure import Bench, Figure, median
from bench.report import Section, table
from bench.rollouts import increase
from bench.scrapes.rollout import Ran, Scraped
from bench.scrapes.scene import Scene

from tidegate.api.gate import Gate
from tidegate.backtest.traffic import Fault, Latency

RUNS = 200
HEALTHY_RUNS = 1_000
ALPHA = 0.005
"""Two gates share 1%."""
REACTION = 0.2
"""Seconds for query, write and gateway."""
ENVOY_BOUNDS = tuple(
    bound / 1000
    for bound in (
        *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000),
        *(30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000),
    )
)
"""The bounds in seconds that Envoy has by default."""
LATENCY = Latency(median=0.045, sigma=0.8, bounds=ENVOY_BOUNDS)
CLUSTER = Scene(rate=12_000, share=0.10, stable=1, errors=0.0, gateway=True, minutes=10)
"""20 requests a second of 200, stable without errors, one Envoy."""
INTERVALS = ((5, 10), (5, 2), (15, 10))
"""Seconds between two scrapes, and between two looks."""


def _gate(measure: str, **limit: object) -> Gate:
    metric = {"preset": {"source": "Envoy", "measure": measure}}
    return Gate.model_validate({"name": measure.lower(), "metric": metric, **limit})


ERRORS, P99 = _gate("ErrorRate", **increase(points=1)), _gate("Latency", **increase(percent=20))
TAIL = _gate("Tail", **increase(percent=20))


@dataclass(frozen=True)
class Cell:
    """One fault.

    Attributes:
        name: in words.
        scene: what happens, but for intervals.
        gate: what looks at it.
        seconds: greatest median time to the shut-off where scrapes come every 5 s; None where it is only printed.
        bad: greatest median of bad requests, likewise.
        peers: medians on a cluster by (scrape, look): seconds and bad requests, in words.
        why: why it takes longer, where it does.
    """

    name: str
    scene: Scene
    gate: Gate = ERRORS
    seconds: float | None = None
    bad: float | None = None
    peers: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    why: str = ""


CELLS = (
    Cell(
        "all requests fail from the start",
        replace(CLUSTER, fault=Fault(math.inf)),
        peers={
            (5, 10): ("10.2 s, 205", "10.8 s, 222", "19.8 s, 392"),
            (5, 2): ("3.5 s, 68", "4.2 s, 72", ""),
            (15, 10): ("12.6 s, 272", "10.3 s, 226", "19.9 s, 406"),
        },
    ),
    Cell(
        "5% fail from the start",
        replace(CLUSTER, fault=Fault(1.0), failing=0.05),
        seconds=15,
        bad=16,
        peers={
            (5, 10): ("31.9 s, 33", "10.6 s, 11", "19.8 s, 20"),
            (5, 2): ("23.0 s, 24", "5.8 s, 5", ""),
            (15, 10): ("56.4 s, 57", "12.6 s, 13", "29.9 s, 26"),
        },
    ),
    Cell(
        "20% fail from second 60 on",
        replace(CLUSTER, fault=Fault(1.0, 60.0), failing=0.20),
        seconds=12,
        peers={
            (5, 10): ("33.3 s, 134", "10.2 s, 38", "19.9 s, 78"),
            (15, 10): ("33.1 s, 128", "20.0 s, 84", "29.8 s, 118"),
        },
    ),
    Cell(
        "everything takes twice as long, requests slower than any bound (Tail)",
        replace(CLUSTER, fault=Fault(1.0, slower=2.0), latency=LATENCY),
        gate=TAIL,
        seconds=25,
        peers={(5, 10): ("55.8 s, 1144", "", ""), (15, 10): ("66.4 s, 1352", "", "")},
    ),
    Cell(
        "everything takes twice as long, P99",
        replace(CLUSTER, fault=Fault(1.0, slower=2.0), latency=LATENCY),
        gate=P99,
        seconds=25,
        why="in Envoy's buckets no test of this quantile is faster than 17 s on average (docs/adr/0028)",
        peers={
            (5, 10): ("83.0 s, 1641", "9.9 s, 215", "19.8 s, 409"),
            (15, 10): ("108.0 s, 2147", "21.9 s, 373", "29.6 s, 564"),
        },
    ),
)


HEALTHY = (
    ("0.5% errors in both", replace(CLUSTER, errors=0.005, minutes=30), ERRORS),
    ("0.1% errors in both", replace(CLUSTER, errors=0.001, minutes=30), ERRORS),
    ("equally slow, P99", replace(CLUSTER, latency=LATENCY, minutes=30), P99),
    ("equally slow, Tail", replace(CLUSTER, latency=LATENCY, minutes=30), TAIL),
)
"""What a limit on a short window stops, and this must not."""


def end_to_end(bench: Bench) -> Section:
    """Measure the time from the fault to the shut-off, and what it costs until then."""
    figures, rows = [], []
    for cell in CELLS:
        for scrape, look in INTERVALS:
            # The first look comes when an interval has passed since the weight was given.
            scene = replace(cell.scene, scrape=scrape, look=look, first=float(look))
            name = f"{cell.name}, scraped every {scrape} s, looked at every {look} s"
            ran = bench.each(name, Scraped(scene, (cell.gate,), ALPHA), bench.runs(RUNS))
            late = [one for one in ran if one.failed[0] > scene.onset]
            waits, bad = sorted(one.failed[0] - scene.onset + REACTION for one in late), [_bad(one, scene) for one in late]
            fast = scrape == 5
            figures += [
                Figure(f"median seconds to the shut-off, {name}", median(waits), cell.seconds if fast else None, cell.why),
                Figure(f"median bad requests served, {name}", median(bad), cell.bad if fast else None),
                Figure(f"stopped before the fault in %, {name}", 100 * (len(ran) - len(late)) / len(ran), 1.0),
            ]
            limit = f"{cell.seconds:g} s" + (f", {cell.bad:g}" if cell.bad else "") if cell.seconds and fast else ""
            spread = [_seconds(waits[min(len(waits) - 1, int(part * len(waits)))]) for part in (0.1, 0.5, 0.9, 1.0)]
            peers = (*cell.peers.get((scrape, look), ()), "", "", "")[:3]
            rows.append([cell.name, f"{scrape} s", f"{look} s", *spread, f"{median(bad):,.0f}", limit, *peers])
    for name, scene, gate in HEALTHY:
        for scrape, look in INTERVALS[:2]:
            told = f"healthy, {name}, scraped every {scrape} s, looked at every {look} s"
            job = Scraped(replace(scene, scrape=scrape, look=look, first=float(look)), (gate,), ALPHA)
            ran = bench.each(told, job, bench.runs(HEALTHY_RUNS))
            alarms = 100 * sum(math.isfinite(one.failed[0]) for one in ran) / len(ran)
            figures.append(Figure(f"healthy releases rolled back in %, {told}", alarms, 1.0))
            rows.append([f"none, {name}, 30 min", f"{scrape} s", f"{look} s", f"{alarms:.1f}% stopped", *[""] * 8])
    head = ["fault", "scrapes", "looks", "1 of 10 within", "median", "9 of 10 within", "longest", "bad requests", "at most"]
    return Section("End to end, simulated", ENDS, table([*head, "Tidegate 0.2", "Argo Rollouts", "Flagger"], rows), figures)


def _bad(one: Ran, scene: Scene) -> float:
    """Return what was served until the gateway had been told."""
    return one.bad * (1 + REACTION / (one.failed[0] - scene.onset)) if math.isfinite(one.failed[0]) else one.bad


def _seconds(wait: float) -> str:
    return "never" if math.isinf(wait) else f"{wait:.1f} s"


ENDS = (
    "20 requests a second on the new version, 180 on stable, which has no errors; Envoy counts both, at the same scrapes. Looks "
    "come at whole intervals after the weight was given, and 0.2 s are added for query, write and gateway. Limits: less than 1 "
    "point more errors, or a P99 of less than 20% above stable's, with half of 1%. Beside it what the same faults took on a local "
    "cluster: Tidegate before this was measured, Argo Rollouts and Flagger tuned as fast as they allow (one failure enough), "
    "median of 1 to 3 runs."
)
