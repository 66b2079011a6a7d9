"""How often healthy releases are stopped where telemetry is as it is, and whether all requests are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bench.measure import Bench, Figure
from bench.report import Section, table
from bench.rollouts import NO_INCREASE, ONE_POINT, gate, increase
from bench.scrapes.rollout import Ran, Scraped
from bench.scrapes.scene import Drift, Outage, Scene

RUNS = 1_000
COUNTED = 100
MOST = 1.0
"""Percent of healthy releases that may be stopped."""
HALF_MORE = gate("ErrorRate", "error-rate", **increase(percent=50))
LIMITS = ((NO_INCREASE, "no increase"), (HALF_MORE, "50% more"), (ONE_POINT, "1 point more"))
EVERY = ((15, 5), (15, 30), (60, 5), (60, 30))
"""Seconds between two scrapes, and between two looks."""
SOME = ((15, 5), (60, 30))

_SHARED = [
    (f"{share:.0%} of both fail for {seconds} s at minute 5", Scene(outages=(Outage(300, seconds, share),)), EVERY)
    for seconds in (20, 60)
    for share in (0.2, 1.0)
]
HEALTHY: tuple[tuple[str, Scene, Sequence[tuple[int, int]]], ...] = (
    ("nothing happens", Scene(), EVERY),
    *_SHARED,
    ("half of both fail for 5 s every 3 minutes", Scene(outages=(Outage(60, 5, 0.5, 180),)), EVERY),
    ("errors of both rise from 0.1% to 5% and fall again in 10 minutes", Scene(drift=Drift(0.001, 0.05, 300, 600)), EVERY),
    ("one pod of stable has 5 times the errors", Scene(worse=5), SOME),
    ("1 pod against 30", Scene(stable=30), EVERY),
    ("1 pod against 30, all of both fail for 20 s at minute 5", Scene(stable=30, outages=(Outage(300, 20, 1.0),)), SOME),
    ("no errors, then 20% of both fail for 20 s at minute 5", Scene(errors=0, outages=(Outage(300, 20, 0.2),)), SOME),
    ("0.1% errors, 12,000 rpm", Scene(rate=12_000, errors=0.001), SOME),
    ("errors in bursts of 5", Scene(bursts=5), EVERY),
    ("errors in bursts of 5, all of both fail for 20 s at minute 5", Scene(bursts=5, outages=(Outage(300, 20, 1.0),)), SOME),
    ("two Prometheus servers answer by turns", Scene(replicas=2), SOME),
    ("the newest 30 s are hidden", Scene(hidden=30), SOME),
    ("processes restart every 20 to 60 s", Scene(restarts=(20, 60)), SOME),
    ("series appear up to 60 s late", Scene(canary=2, stable=4, late=60), SOME),
    ("a gateway counts both, all of both fail for 20 s at minute 5", Scene(gateway=True, outages=(Outage(300, 20, 1.0),)), SOME),
)


def calm(bench: Bench) -> Section:
    """Measure three limits on the same rollouts of versions that are as good as stable."""
    figures, rows = [], []
    for name, scene, intervals in HEALTHY:
        for scrape, look in intervals:
            told = f"{name}, scraped every {scrape} s, looked at every {look} s"
            gates = tuple(gate for gate, _ in LIMITS)
            ran = bench.each(told, Scraped(replace(scene, scrape=scrape, look=look), gates), bench.runs(RUNS))
            cells = []
            for place, (_, limit) in enumerate(LIMITS):
                alarms = 100 * sum(math.isfinite(one.failed[place]) for one in ran) / len(ran)
                figures.append(Figure(f"healthy releases rolled back in %, {limit}, {told}", alarms, MOST))
                cells.append(f"{alarms:.1f}")
            rows.append([name, f"{scrape} s", f"{look} s", *cells])
    head = ["what happens", "scrapes", "looks", *(f"{limit}: stopped %" for _, limit in LIMITS)]
    return Section("Healthy releases as scrapes show them", CALM, table(head, rows), figures)


_FOUR = (5, 15, 30, 60)
COUNTS: tuple[tuple[str, Scene], ...] = (
    *(
        (f"scraped every {scrape} s, looked at every {look} s", Scene(scrape=scrape, look=look))
        for scrape in _FOUR
        for look in (1, *_FOUR)
    ),
    *((f"two Prometheus servers, scraped every {scrape} s", Scene(scrape=scrape, replicas=2)) for scrape in _FOUR),
    *((f"the newest 30 s hidden, scraped every {scrape} s", Scene(scrape=scrape, hidden=30)) for scrape in _FOUR),
    *((f"restarts every 20 to 60 s, scraped every {scrape} s", Scene(scrape=scrape, restarts=(20, 60))) for scrape in _FOUR),
    *((f"restarts every 1 to 2 min, scraped every {scrape} s", Scene(scrape=scrape, restarts=(60, 120))) for scrape in _FOUR),
    *((f"series up to 60 s late, scraped every {scrape} s", Scene(scrape=scrape, canary=2, stable=4, late=60)) for scrape in _FOUR),
    *((f"a gateway, scraped every {scrape} s", Scene(scrape=scrape, gateway=True)) for scrape in _FOUR),
    ("1 pod against 30", Scene(stable=30)),
)


def counted(bench: Bench) -> Section:
    """Compare what the ledger counted with what scrapes have seen, and with the truth."""
    figures, rows = [], []
    for name, scene in COUNTS:
        ran = bench.each(f"counted, {name}", Scraped(scene, (HALF_MORE,)), bench.runs(COUNTED))
        cells = []
        for version, told in enumerate(("the new version", "stable")):
            share = _share(ran, version)
            most = max((one.counted[version] / one.true[version] for one in ran if one.true[version] > 0), default=0.0)
            over = 100 * sum(one.counted[version] > one.scraped[version] * (1 + 1e-9) for one in ran) / len(ran)
            bad = 100 * sum(one.counted_bad[version] > one.scraped_bad[version] * (1 + 1e-9) for one in ran) / len(ran)
            figures += [
                Figure(f"requests of {told} that were scraped and not counted in %, {name}", 100 * (1 - share), 5.0),
                Figure(f"rollouts in which more requests of {told} were counted than there were in %, {name}", over, 0.0),
                Figure(f"rollouts in which more bad requests of {told} were counted than there were in %, {name}", bad, 0.0),
            ]
            true = sum(one.counted[version] for one in ran) / max(1.0, sum(one.true[version] for one in ran))
            cells += [f"{share:.3f}", f"{true:.3f}", f"{most:.3f}", f"{over:.0f}, {bad:.0f}"]
        rows.append([name, *cells])
    head = [
        "telemetry",
        *(
            f"{version}: {what}"
            for version in ("new", "stable")
            for what in ("of scraped", "of all", "most of all", "too many, too many bad: %")
        ),
    ]
    return Section("Requests counted", COUNTED_TEXT, table(head, rows), figures)


def _share(ran: Sequence[Ran], version: int) -> float:
    return sum(one.counted[version] for one in ran) / max(1.0, sum(one.scraped[version] for one in ran))


CALM = (
    "A version that is as good as stable, for half an hour: 3,000 requests a minute, a share of 10%, 1% errors, 1+3 pods, if "
    "nothing else is said; each pod is scraped at a time of its own. Each limit has a third of 1%."
)
COUNTED_TEXT = (
    "Requests that the ledger counted over those that a scrape has seen (what was counted between the last scrape and a restart "
    "no scrape sees), over all, the most of them in any rollout, and the share of rollouts in which more were counted than "
    "scraped; up to the last scrape that a look was shown. Half an hour, 3,000 requests a minute, 1+3 pods, a look every 5 s if "
    "nothing else is said."
)
