"""How often healthy releases are rolled back."""

from __future__ import annotations

from bench.comparators import COMPARATORS
from bench.measure import Bench, Figure
from bench.report import Section, table
from bench.rollouts import AVAILABLE, EVIDENCE, ONE_POINT, P99, Rollouts, Stop, with_fault

from tidegate.backtest.traffic import Latency, Traffic

RATES = (10, 100, 1_000, 10_000)
SHARES = (0.05, 0.10, 0.25, 0.50)
BURSTS = (1.0, 5.0)
RUNS = 1_000
SIDE = 300
"""Rollouts that are shown to the comparators: their rates are so great that fewer are enough."""
FEWER = 300
"""Rollouts where a look takes ten times as long as one of the error rate alone."""
MOST = 1.0
"""Percent of healthy releases that may be rolled back."""


def healthy(bench: Bench) -> Section:
    """Measure the table's 32 cells at the hardest null: no increase is allowed, and there is none."""
    figures, rows = [], []
    for bursts in BURSTS:
        for rate in RATES:
            for share in SHARES:
                traffic = Traffic(rate=rate, share=share, bursts=bursts)
                name = f"{rate:,} rpm, share {share:.0%}, {_bursts(bursts)}"
                stops = bench.each(f"healthy, {name}", Rollouts(traffic, side=SIDE), bench.runs(RUNS))
                alarms = _alarms(stops)
                figures.append(Figure(f"healthy releases rolled back in %, {name}", alarms[EVIDENCE], MOST))
                figures += [Figure(f"healthy releases rolled back in %, {name}, {other}", alarms[other]) for other in COMPARATORS]
                rows.append([f"{rate:,}", f"{share:.0%}", _bursts(bursts), *(f"{alarms[judge]:.1f}" for judge in _judges())])
    head = ["requests/min", "share", "errors", *(f"{judge} %" for judge in _judges())]
    return Section("Healthy releases that are rolled back", HEALTHY, table(head, rows), figures)


def three_gates(bench: Bench) -> Section:
    """Measure the gates of a usual policy on one traffic."""
    figures, rows = [], []
    for share, bursts in ((0.10, 1.0), (0.10, 5.0)):
        traffic = Traffic(rate=1_000, share=share, errors=0.01, unanswered=0.001, bursts=bursts, latency=Latency())
        name = f"1,000 rpm, share {share:.0%}, {_bursts(bursts)}"
        job = Rollouts(traffic, gates=(ONE_POINT, AVAILABLE, P99))
        stops = bench.each(f"three gates, {name}", job, bench.runs(FEWER))
        alarms = _alarms(stops)[EVIDENCE]
        figures.append(Figure(f"healthy releases rolled back in %, three gates, {name}", alarms, MOST))
        rows.append(["1,000", f"{share:.0%}", _bursts(bursts), f"{alarms:.1f}"])
    head = ["requests/min", "share", "errors", "rolled back %"]
    return Section("Three gates over one rollout", THREE, table(head, rows), figures)


def boundary(bench: Bench) -> Section:
    """Measure the limits that allow something where exactly that much is there."""
    figures, rows = [], []
    for name, gate, times, runs in BOUNDARIES:
        for bursts in BURSTS:
            traffic = Traffic(rate=1_000, share=0.25, errors=0.01, unanswered=0.001, bursts=bursts)
            job = Rollouts(_canary_at(traffic, times), gates=(gate,))
            alarms = _alarms(bench.each(f"boundary, {name}, {_bursts(bursts)}", job, bench.runs(runs)))[EVIDENCE]
            figures.append(Figure(f"stopped at exactly the limit in %, {name}, {_bursts(bursts)}", alarms, MOST))
            rows.append([name, _bursts(bursts), f"{alarms:.1f}"])
    return Section("At exactly the limit", BOUNDARY, table(["limit", "errors", "stopped %"], rows), figures)


def _canary_at(traffic: Traffic, times: float) -> Traffic:
    return traffic if times == 1 else with_fault(traffic, times)


BOUNDARIES = (
    ("1 point more than stable's 1%, 2% found", ONE_POINT, 2.0, FEWER),
    ("availability of 99.9%, 99.9% found", AVAILABLE, 1.0, RUNS),
)


def _alarms(stops: list[dict[str, Stop]]) -> dict[str, float]:
    """Return the percentage of rollouts that each judge stopped, of those that it was shown."""
    result = {}
    for judge in _judges():
        seen = [one[judge] for one in stops if judge in one]
        if seen:
            result[judge] = 100 * sum(stop.look is not None for stop in seen) / len(seen)
    return result


def _judges() -> list[str]:
    return [EVIDENCE, *COMPARATORS]


def _bursts(mean: float) -> str:
    return "one at a time" if mean == 1 else f"in bursts of {mean:g}"


HEALTHY = (
    "A healthy version with 1% errors like stable's, for two hours, looked at every 5 s. Tidegate's limit is the hardest "
    "there is: no increase at all, so that the two versions are exactly at it. It has a third of the 1% that a confidence "
    "of 99% leaves, as one gate of three. The others are shown the same counts: one point more than stable in a window of 1"
    " minute (looked at every minute, stopped by the failure after the 3rd or 5th that is allowed; or every 30 s, stopped "
    "by the first), a one-sided z-test at 1% on all counts so far at every look, and Kayenta's rank test on points of 1 "
    "minute, every minute from the 10th on. In bursts of 5, errors come in groups of geometric size with mean 5, in both "
    "versions, at the same mean rate."
)
THREE = (
    "One point more errors than stable, an availability of at least 99.9%, and a P99 of less than 10% above stable's, at a "
    "confidence of 99% over all three. The new version is like stable: 1% errors, and an availability of exactly 99.9%, "
    "which is the limit itself."
)
BOUNDARY = (
    "A version that is exactly at the limit may be stopped as rarely as a better one: 1,000 requests a minute, a share of "
    "25%, two hours, a third of 1% for the gate."
)
