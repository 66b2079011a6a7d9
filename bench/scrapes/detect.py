"""How fast faults are found where scrapes and looks keep no common time, and after outages that both versions shared."""

from __future__ import annotations

import math

from bench.measure import Bench, Figure, median
from bench.report import Section, minutes, table
from bench.rollouts import NO_INCREASE, ONE_POINT
from bench.scrapes.rollout import Ran, Scraped
from bench.scrapes.scene import Outage, Scene

from tidegate.backtest.traffic import Fault

RUNS = 100
SCRAPES = (5, 15, 30, 60)
LOOKS = (1, 5, 15, 30, 60)
STABLE = (1, 3)
"""Stable's pods, against one of the new version."""
SLOWER = 1.5
"""Times a median may be that of the same fault without what is in its way."""
WITHIN = 30.0
"""Minutes in which a fault must be found."""
FAULTS = ((5.0, "5x"), (math.inf, "all fail"))


def combinations(bench: Bench) -> Section:
    """Measure faults for every interval of scrapes and of looks."""
    figures, rows = [], []
    for stable in STABLE:
        for times, fault in FAULTS:
            waits = {
                (scrape, look): _waits(bench, Scene(stable=stable, scrape=scrape, look=look, minutes=WITHIN, fault=Fault(times)))
                for scrape in SCRAPES
                for look in LOOKS
            }
            for scrape in SCRAPES:
                cells = []
                for look in LOOKS:
                    name = f"{fault}, 1+{stable} pods, scraped every {scrape} s, looked at every {look} s"
                    mine, slowest = waits[scrape, look], max(scrape, look)
                    figures += _found(name, mine, waits[slowest, slowest])
                    cells.append(_cell(mine))
                rows.append([f"1+{stable}", fault, f"{scrape} s", *cells])
    head = ["pods", "fault", "scrapes", *(f"look {look} s" for look in LOOKS)]
    return Section("Scrapes and looks that keep no common time", COMBINATIONS, table(head, rows), figures)


OUTAGES = (
    ("nothing", ()),
    ("all requests of both fail for 60 s at minute 5", (Outage(300, 60, 1.0),)),
    ("30% of both fail for 20 s at minute 5", (Outage(300, 20, 0.3),)),
)
LATE = 15.0
LIMITS = ((NO_INCREASE, "no increase"), (ONE_POINT, "1 point more"))


def after_outages(bench: Bench) -> Section:
    """Measure a late fault after outages that both versions had."""
    figures, rows = [], []
    usual: dict[str, list[float]] = {}
    for before, outages in OUTAGES:
        scene = Scene(canary=1, stable=9, scrape=15, look=5, minutes=LATE + WITHIN, outages=outages, fault=Fault(5, LATE * 60))
        gates = tuple(gate for gate, _ in LIMITS)
        ran = bench.each(f"5x from minute 15, before it {before}", Scraped(scene, gates), bench.runs(RUNS))
        cells = []
        for place, (_, limit) in enumerate(LIMITS):
            mine = [wait for wait in (one.failed[place] - LATE * 60 for one in ran) if wait > 0]
            early = len(ran) - len(mine)
            figures += _found(f"5x from minute 15, limit {limit}, before it {before}", mine, usual.setdefault(limit, mine))
            figures.append(Figure(f"stopped before the fault in %, limit {limit}, before it {before}", 100 * early / len(ran), 1.0))
            cells += [_cell(mine), f"{100 * early / len(ran):.1f}"]
        rows.append([before, *cells])
    head = ["before the fault", *(text for _, limit in LIMITS for text in (f"{limit}: median", "stopped before %"))]
    return Section("A fault after an outage of both versions", AFTER, table(head, rows), figures)


def _waits(bench: Bench, scene: Scene) -> list[float]:
    assert scene.fault is not None
    name = f"{scene.fault.times:g}x, 1+{scene.stable} pods, scrape {scene.scrape:g} s, look {scene.look:g} s"
    ran: list[Ran] = bench.each(name, Scraped(scene, (NO_INCREASE,)), bench.runs(RUNS))
    return [one.failed[0] for one in ran]


def _found(name: str, waits: list[float], usual: list[float]) -> list[Figure]:
    missed = sum(math.isinf(wait) for wait in waits)
    middle, reference = median(waits), median(usual)
    ratio = middle / reference if math.isfinite(reference) else math.inf
    return [
        Figure(f"not found within {WITHIN:g} min in %, {name}", 100 * missed / len(waits), 0.0),
        Figure(f"median seconds to detection, {name}", middle),
        Figure(f"median over that of the reference, {name}", ratio, SLOWER),
    ]


def _cell(waits: list[float]) -> str:
    found = sum(math.isfinite(wait) for wait in waits)
    return minutes(median(waits)) + ("" if found == len(waits) else f" ({100 * found / len(waits):.0f}% found)")


COMBINATIONS = (
    "3,000 requests a minute, a share of 10%, 1% errors, a fault from the first request on, the limit no increase with a third "
    "of 1%. Every pod is scraped at a time of its own within the interval, the same each time. The median is compared with that "
    "of looks which come as often as scrapes, both at the longer one of the two intervals."
)
AFTER = (
    "3,000 requests a minute, a share of 10%, 1% errors, 1+9 pods that are scraped every 15 s at times of their own, a look every "
    "5 s, five times the errors from minute 15 on; a third of 1% for each gate. Delays count from the beginning of the fault."
)
