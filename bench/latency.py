"""Slower versions: false alarms and detection on the buckets of histograms."""

from __future__ import annotations

from dataclasses import replace

from bench.measure import Bench, Figure, median
from bench.report import Section, minutes, table
from bench.rollouts import EVIDENCE, LOOK, P99, TAIL, Rollouts

from tidegate.backtest.traffic import Fault, Latency, Traffic

USUAL = Traffic(rate=3_000, share=0.10, errors=0.01, duration=3600, latency=Latency())
FALSE_ALARM_RUNS = 200
RUNS = 60
SLOWER = (1.2, 1.5, 2.0)
GATES = (("Tail, no increase", TAIL), ("P99, less than 10% more", P99))
MANNERS = ((1.0, "one at a time"), (5.0, "in bursts of 5"))
"""How slow requests come, those of the slowest tenth: the mean size of a group."""
MOST = 1.0


def latency(bench: Bench) -> Section:
    """Measure both kinds of latency gates on equal and on slower versions."""
    figures, rows = [], []
    for name, gate in GATES:
        cells = [name]
        for bursts, manner in MANNERS:
            traffic = replace(USUAL, latency=Latency(bursts=bursts))
            stops = bench.each(f"{name}, equal, slow {manner}", Rollouts(traffic, gates=(gate,)), bench.runs(FALSE_ALARM_RUNS))
            alarms = 100 * sum(one[EVIDENCE].look is not None for one in stops) / len(stops)
            told = f"healthy releases rolled back in %, {name}, 3,000 rpm, share 10%, 1 h, slow requests {manner}"
            figures.append(Figure(told, alarms, MOST))
            cells.append(f"{alarms:.1f}")
        for slower in SLOWER:
            traffic = replace(USUAL, fault=Fault(times=1.0, slower=slower))
            seen = bench.each(f"{name}, {slower:g}x slower", Rollouts(traffic, gates=(gate,)), bench.runs(RUNS))
            looks = [one[EVIDENCE].look for one in seen]
            middle = median([float("inf") if look is None else look * LOOK for look in looks])
            found = 100 * sum(look is not None for look in looks) / len(looks)
            figures.append(Figure(f"median seconds to detection, {name}, {slower:g}x slower", middle))
            cells.append(f"{minutes(middle)} ({found:.0f}%)")
        rows.append(cells)
    head = [
        "gate",
        *(f"equal, slow {manner}: stopped %" for _, manner in MANNERS),
        *(f"{slower:g}x slower: median (found)" for slower in SLOWER),
    ]
    return Section("Slower versions", LATENCY, table(head, rows), figures)


LATENCY = (
    "3,000 requests a minute, a share of 10%, log-normal response times (sigma 0.8, P99 at 6.4 times the median) in the "
    "buckets that Prometheus clients have by default, for one hour. `Tail` compares the shares of slow requests at every "
    "bound; the P99 can only be told apart by whole buckets, and 1.2 times slower may stay within one. In bursts of 5, "
    "requests in the buckets of the slowest tenth come in groups of geometric size with mean 5, in both versions."
)
