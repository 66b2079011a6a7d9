"""How fast faults are found, and what they cost until then."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.comparators import COMPARATORS
from bench.measure import Bench, Figure, median
from bench.report import Section, minutes, table
from bench.rollouts import ALPHA, EVIDENCE, LOOK, Rollouts, Stop, with_fault

from tidegate.backtest.traffic import Traffic, generate
from tidegate.judge.evidence.ratio import RatioFactors

USUAL = Traffic(rate=3_000, share=0.10, errors=0.01)
RUNS = 1_000
SIDE = 300
MEDIANS = ((2.0, 0, 480.0), (5.0, 0, 60.0), (math.inf, 0, LOOK), (2.0, 30, 540.0), (5.0, 30, 72.0))
"""Fault size, the minute at which it begins, and the greatest median delay in seconds."""
BETWEEN = ((3.0, 0), (1.5, 0), (3.0, 30), (math.inf, 30), (5.0, 33), (5.0, 90), (2.0, 90))
"""Faults that are only printed."""
SIZES = (2.0, 5.0, math.inf)
MOST_SERVED = 0.5
"""Share of the failed requests of the best alternative that may be served."""
FEW_ALARMS = 1.0
"""Percent of healthy releases that a judge may stop and still be compared with."""


def delays(bench: Bench) -> Section:
    """Measure the time from the beginning of a fault to the stop."""
    figures, rows = [], []
    for times, minute, limit in [*MEDIANS, *((times, minute, None) for times, minute in BETWEEN)]:
        stops = _stops(bench, times, minute)
        waits = [_delay(stop, minute) for stop in stops]
        early = sum(stop.look is not None and stop.look * LOOK <= minute * 60 for stop in stops)
        waits = [wait for wait in waits if wait > 0]
        middle, most = median(waits), sorted(waits)[math.ceil(0.9 * len(waits)) - 1]
        name = f"{_size(times)}, from minute {minute}"
        note = _why_late(times, middle) if limit is not None and middle > limit else ""
        figures.append(Figure(f"median seconds to detection, {name}", middle, limit, note))
        bound = minutes(_least_seconds(times))
        wanted = minutes(limit) if limit is not None else ""
        rows.append([_size(times), str(minute), minutes(middle), minutes(most), wanted, bound, f"{100 * early / len(stops):.1f}"])
    head = ["fault", "from minute", "median", "9 of 10 within", "at most", "best possible mean", "alarms before it %"]
    return Section("How fast faults are found", DELAYS, table(head, rows), figures)


def lower_bound(bench: Bench) -> Section:
    """Compare the new version's errors that are needed with the least that any test needs."""
    figures, rows = [], []
    for times in (1.5, 2.0, 3.0, 5.0, 10.0):
        least = _least_errors(times)
        errors = bench.each(f"known fault of {times:g}x", KnownFault(times), bench.runs(RUNS))
        known = statistics.fmean(errors)
        stops = _stops(bench, times, 0)
        found = statistics.fmean([stop.bad for stop in stops])
        figures.append(Figure(f"errors needed over the lower bound, {_size(times)}, fault size known", known / least, 2.0))
        figures.append(Figure(f"errors needed over the lower bound, {_size(times)}, as shipped", found / least))
        cells = [f"{least:.1f}", f"{known:.1f}", f"{known / least:.2f}", f"{found:.1f}", f"{found / least:.2f}"]
        rows.append([_size(times), *cells])
    head = ["fault", "no test needs fewer than", "fault size known", "times the bound", "as shipped", "times the bound"]
    return Section("How far from the best possible", BOUND, table(head, rows), figures)


def failed_requests(bench: Bench) -> Section:
    """Compare what faults cost before the new version is shut off."""
    healthy = bench.each("healthy at 3,000 rpm", Rollouts(USUAL, side=RUNS), bench.runs(RUNS))
    judges = [EVIDENCE, *COMPARATORS]
    alarms = {judge: 100 * sum(one[judge].look is not None for one in healthy) / len(healthy) for judge in judges}
    served = {times: _median_served(bench, times, judges) for times in SIZES}
    figures = [
        Figure(f"failed requests served, {_size(times)}, {judge}", served[times][judge]) for times in SIZES for judge in judges
    ]
    fair = [judge for judge in COMPARATORS if alarms[judge] <= FEW_ALARMS]
    least_bad = min(COMPARATORS, key=lambda judge: alarms[judge])
    rivals = fair or [least_bad]
    for times in SIZES:
        rival = min(rivals, key=lambda judge: served[times][judge])
        note = f"best alternative with at most {FEW_ALARMS:g}% false alarms here: {rival}, {alarms[rival]:.1f}%"
        if not fair:
            note = f"no alternative keeps {FEW_ALARMS:g}% false alarms here; the least bad is {rival}, {alarms[rival]:.1f}%"
        share = served[times][EVIDENCE] / served[times][rival]
        if share > MOST_SERVED:
            least = _least_errors(min(times, 1 / USUAL.errors))
            possible = least / served[times][rival]
            note += f"; a test that knows the fault needs {least:.0f} errors on average, which would be {possible:.2f}"
        figures.append(
            Figure(f"failed requests served over those of the best alternative, {_size(times)}", share, MOST_SERVED, note)
        )
    rows = [[judge, f"{alarms[judge]:.1f}", *(_count(served[times][judge]) for times in SIZES)] for judge in judges]
    head = ["judge", "healthy releases stopped %", *(_size(times) for times in SIZES)]
    return Section("Failed requests served before the shut-off", SERVED, table(head, rows), figures)


def rare_errors(bench: Bench) -> Section:
    """Show a fault that a limit in points cannot see."""
    traffic = Traffic(rate=12_000, share=0.10, errors=0.001)
    stops = bench.each("5x at 12,000 rpm", Rollouts(with_fault(traffic, 5), side=SIDE), bench.runs(RUNS))
    figures, rows = [], []
    for judge in (EVIDENCE, *COMPARATORS):
        seen = [one[judge] for one in stops if judge in one]
        found = 100 * sum(stop.look is not None for stop in seen) / len(seen)
        middle = median([_delay(stop, 0) for stop in seen])
        figures.append(Figure(f"5x fault found in %, 12,000 rpm, 0.1% base, {judge}", found))
        figures.append(Figure(f"median seconds to detection, 5x, 12,000 rpm, 0.1% base, {judge}", middle))
        rows.append([judge, f"{found:.0f}", minutes(middle)])
    return Section("A fivefold error rate that stays below one point", RARE, table(["judge", "found %", "median"], rows), figures)


@dataclass(frozen=True)
class KnownFault:
    """A job: the judge's own factors with the true fault size as the only alternative, all weight on the first request.

    Attributes:
        times: the fault's size.
    """

    times: float

    def __call__(self, numbers: list[int]) -> list[int]:
        """Return for each rollout the new version's errors when the evidence was enough."""
        return [self._one(number) for number in numbers]

    def _one(self, number: int) -> int:
        canary, stable = generate(with_fault(USUAL, self.times), random.Random(f"known:{number}"))
        factors, evidence = RatioFactors(1.0, (self.times,)), 0.0
        for look in range(USUAL.ticks):
            counts = (canary.total[look], canary.bad[look], stable.total[look], stable.bad[look])
            evidence += factors.of(*counts)[0]
            if evidence >= math.log(1 / ALPHA):
                return sum(canary.bad[: look + 1])
        return sum(canary.bad)


def _stops(bench: Bench, times: float, minute: int) -> list[Stop]:
    job = Rollouts(with_fault(USUAL, times, minute=minute))
    return [one[EVIDENCE] for one in bench.each(f"{_size(times)} from minute {minute}", job, bench.runs(RUNS))]


def _median_served(bench: Bench, times: float, judges: Sequence[str]) -> dict[str, float]:
    stops = bench.each(f"{_size(times)}, all judges", Rollouts(with_fault(USUAL, times), side=SIDE), bench.runs(SIDE))
    return {judge: median([one[judge].bad if one[judge].look is not None else math.inf for one in stops]) for judge in judges}


def _delay(stop: Stop, minute: float) -> float:
    return math.inf if stop.look is None else stop.look * LOOK - minute * 60


def _least_errors(times: float) -> float:
    """Return the least mean number of the new version's errors for a power of 1: Wald's bound ln(1/alpha) / KL.

    The information is in which version an error belongs to: with probability share / 1 without a fault, and more with it.
    """
    healthy = USUAL.share
    faulty = times * healthy / (times * healthy + 1 - healthy)
    information = faulty * math.log(faulty / healthy) + (1 - faulty) * math.log((1 - faulty) / (1 - healthy))
    return faulty * math.log(1 / ALPHA) / information


def _least_seconds(times: float) -> float:
    finite = min(times, 1 / USUAL.errors)
    return 60 * _least_errors(finite) / (USUAL.rate * USUAL.share * USUAL.errors * finite)


def _why_late(times: float, middle: float) -> str:
    return f"no test that knows the fault is faster than {minutes(_least_seconds(times))} on average; this is {minutes(middle)}"


def _size(times: float) -> str:
    return "all requests fail" if math.isinf(times) else f"{times:g}x errors"


def _count(number: float) -> str:
    return "never" if math.isinf(number) else f"{number:,.0f}"


DELAYS = (
    "3,000 requests a minute, a share of 10%, 1% errors, the limit no increase, confidence 99% over three gates. The bound "
    "of the last column but one is Wald's: a test that knows the size and the beginning of the fault, and may raise a false"
    " alarm as often, needs ln(1/alpha) / KL observations on average."
)
BOUND = (
    "Errors of the new version until the stop, on average, from a fault that is there from the beginning. With the fault "
    "size known, the judge's own factors have one alternative and one start; what is above 1 there is the overshoot of the "
    "last look. What is shipped knows neither the size nor the beginning, nor whether errors come in bursts."
)
SERVED = (
    "Requests of the new version that failed until it was shut off, in the median over runs, the healthy share of errors "
    "among them; beside it how many healthy releases the same judge stops within two hours at this rate. Faults are there "
    "from the beginning."
)
RARE = (
    "12,000 requests a minute, a share of 10%, and 0.1% errors that become 0.5%: a limit of one point more than stable is "
    "not exceeded in any window of 1 minute, with two hours of traffic."
)
