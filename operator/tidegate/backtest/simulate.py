"""Rollouts on generated traffic, judged as if they were live: how often healthy ones are stopped, and how fast bad ones.

    summary = simulate(spec, Traffic(rate=3000, fault=Fault(times=5)), runs=200)

Every look goes through the same function as a look of the operator (`engine.gate_status.judged`).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidegate.api.gate import BreachAction, Gate
from tidegate.api.metric import Measure
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus
from tidegate.backtest.traffic import Arm, Traffic, generate, share_at
from tidegate.engine.gate_status import Breach, acts, alpha_of, breach_of, judged
from tidegate.judge import choice
from tidegate.judge.reading import Counts, Reading, Tally

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""When generated rollouts begin: any time will do."""

_ENDS = (BreachAction.ROLLBACK, BreachAction.PAUSE)
_SIMULATED = (Measure.ERROR_RATE, Measure.AVAILABILITY, Measure.LATENCY, Measure.TAIL)
_CHUNK = 8
"""Runs that a worker takes at a time."""


@dataclass(frozen=True)
class Outcome:
    """How one rollout went.

    Attributes:
        stopped: seconds from the first request to the breach that rolled it back or paused it; None where nothing did.
        gate: the gate that did; empty where none.
        action: what the breach did; None where there was none.
        requests: requests that the new version had served by then, or in all.
        bad: bad ones among them.
    """

    stopped: float | None
    gate: str = ""
    action: BreachAction | None = None
    requests: int = 0
    bad: int = 0


@dataclass(frozen=True)
class Summary:
    """What many rollouts come to.

    Attributes:
        runs: number of rollouts.
        false_alarms: those that were stopped while the new version was healthy.
        detected: those that were stopped after its fault had begun; 0 where there is no fault.
        delay: median seconds from the beginning of the fault to the stop, over all runs that were not false alarms; infinite
            where fewer than half of them were stopped.
        delay_90: the same for nine of ten.
        bad: median of bad requests that the new version served; in runs without a stop until the end.
        gates: how often each gate was the one that stopped a rollout.
    """

    runs: int
    false_alarms: int
    detected: int
    delay: float
    delay_90: float
    bad: float
    gates: dict[str, int]

    @property
    def false_alarm_rate(self) -> float:
        """Share of rollouts that were stopped while healthy."""
        return self.false_alarms / self.runs if self.runs else math.nan


def can_simulate(gate: Gate) -> bool:
    """Whether generated traffic has what the gate looks at: errors, answers and latencies; not queries, budgets or containers."""
    preset = gate.metric.preset
    return gate.metric.counters is not None or (preset is not None and preset.measure in _SIMULATED)


def needs_latency(spec: RolloutPolicySpec) -> bool:
    """Whether a gate of the policy looks at response times, so that `Traffic.latency` must be given."""
    return any(_measure(gate) in (Measure.LATENCY, Measure.TAIL) for gate in spec.gates)


def shares_of(spec: RolloutPolicySpec) -> tuple[tuple[float, float], ...]:
    """Return the new version's shares by the policy's steps and holds, as (seconds from the first request, share)."""
    passed, result = 0.0, []
    for step in spec.steps:
        if step.weight > 0:
            result.append((passed, step.weight / 100))
            passed += step.hold.total_seconds()
    return tuple(result)


def run(spec: RolloutPolicySpec, traffic: Traffic, seed: str) -> Outcome:
    """Judge one generated rollout, and stop at the first breach that rolls back or pauses.

    Args:
        spec: the policy; gates that `can_simulate` does not name are left out, and so are the steps.
        traffic: what is generated; with `latency` where `needs_latency`.
        seed: the same seed gives the same rollout.
    """
    canary, stable = generate(traffic, random.Random(seed))  # noqa: S311 - nothing secret about it
    alpha = alpha_of(spec)
    gates = [_Watched(gate, canary, stable, traffic) for gate in spec.gates if can_simulate(gate)]
    acting = [watched for watched in gates if _stops(watched.gate, spec)]
    for tick in range(1, traffic.ticks + 1):
        for watched in acting:
            breach = watched.look(tick, alpha)
            if breach is not None:
                return Outcome(
                    stopped=tick * traffic.tick,
                    gate=watched.gate.name,
                    action=watched.gate.on_breach,
                    requests=sum(canary.total[:tick]),
                    bad=sum(canary.bad[:tick]),
                )
    return Outcome(stopped=None, requests=sum(canary.total), bad=sum(canary.bad))


def simulate(
    spec: RolloutPolicySpec,
    traffic: Traffic,
    *,
    runs: int,
    seed: int = 1,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Judge many generated rollouts.

    Args:
        spec: the policy; see `run`.
        traffic: what is generated.
        runs: number of rollouts.
        seed: the same seed gives the same rollouts, whatever the number of workers.
        workers: processes; by default one for each processor, and none beside this one for few runs.
        progress: called with the number of rollouts done since the call before.
    """
    seeds = [f"{seed}:{number}" for number in range(runs)]
    workers = min(workers or os.cpu_count() or 1, math.ceil(runs / _CHUNK))
    outcomes: list[Outcome] = []
    for done in _chunks(spec, traffic, seeds, workers):
        outcomes.extend(done)
        if progress is not None:
            progress(len(done))
    return summarize(outcomes, traffic)


def summarize(outcomes: Sequence[Outcome], traffic: Traffic) -> Summary:
    """Count what many rollouts came to."""
    onset = traffic.fault.onset if traffic.fault else math.inf
    early = [outcome for outcome in outcomes if outcome.stopped is not None and outcome.stopped <= onset]
    late = [outcome for outcome in outcomes if outcome.stopped is None or outcome.stopped > onset]
    delays = sorted(math.inf if outcome.stopped is None else outcome.stopped - onset for outcome in late)
    gates: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.gate:
            gates[outcome.gate] = gates.get(outcome.gate, 0) + 1
    return Summary(
        runs=len(outcomes),
        false_alarms=len(early),
        detected=sum(delay < math.inf for delay in delays) if traffic.fault else 0,
        delay=quantile(delays, 0.5) if traffic.fault else math.nan,
        delay_90=quantile(delays, 0.9) if traffic.fault else math.nan,
        bad=statistics.median(outcome.bad for outcome in outcomes) if outcomes else math.nan,
        gates=gates,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the least of sorted values that at least a share of them does not exceed; NaN of none."""
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))] if ordered else math.nan


class _Watched:
    """A gate over one rollout: its state, and when it looks."""

    def __init__(self, gate: Gate, canary: Arm, stable: Arm, traffic: Traffic) -> None:
        self.gate = gate
        self._arms = (canary, stable)
        self._traffic = traffic
        self._every = max(1, round(gate.interval.total_seconds() / traffic.tick))
        self._first = round(gate.initial_delay.total_seconds() / traffic.tick)
        self._last = traffic.ticks if gate.active_for is None else round(gate.active_for.total_seconds() / traffic.tick)
        self._by_evidence = choice.by_evidence(gate)
        self._state: GateStatus | None = None

    def look(self, tick: int, alpha: float) -> Breach | None:
        """Look at the end of an interval, if the gate is due then."""
        if tick <= self._first or tick > self._last or (tick - self._first) % self._every:
            return None
        alone = share_at(self._traffic, tick - 1) >= 1
        self._state = judged(self.gate, self._reading(tick), self._state, alpha=alpha, alone=alone)
        return breach_of(self.gate, self._state, self._state.at)

    def _reading(self, tick: int) -> Reading:
        at = EPOCH + timedelta(seconds=tick * self._traffic.tick)
        if self._by_evidence:
            return Reading(self.gate.name, "simulated", at, counts=self._counts(tick))
        begin = max(0, tick - round(self.gate.window.total_seconds() / self._traffic.tick))
        canary, stable = self._arms
        return Reading(
            gate=self.gate.name,
            revision="simulated",
            at=at,
            canary=self._value(canary, begin, tick),
            stable=self._value(stable, begin, tick),
            canary_samples=float(sum(canary.total[begin:tick])),
            stable_samples=float(sum(stable.total[begin:tick])),
        )

    def _counts(self, tick: int) -> Counts:
        begin = tick - self._every
        latency = self._traffic.latency
        slow = _measure(self.gate) in (Measure.LATENCY, Measure.TAIL)
        canary, stable = (self._tally(arm, begin, tick) for arm in self._arms)
        return Counts(
            since=EPOCH + timedelta(seconds=begin * self._traffic.tick),
            canary=canary,
            stable=stable if self.gate.versus_stable is not None else None,
            bounds=latency.bounds if slow and latency is not None else (),
        )

    def _tally(self, arm: Arm, begin: int, end: int) -> Tally:
        match _measure(self.gate):
            case Measure.LATENCY | Measure.TAIL:
                buckets = _sums(arm, begin, end)
                over = tuple(float(sum(buckets[passed:])) for passed in range(1, len(buckets)))
                return Tally(float(sum(buckets)), over=over)
            case Measure.AVAILABILITY:
                return Tally(float(sum(arm.total[begin:end])), float(sum(arm.unanswered[begin:end])))
            case _:
                return Tally(float(sum(arm.total[begin:end])), float(sum(arm.bad[begin:end])))

    def _value(self, arm: Arm, begin: int, end: int) -> float | None:
        """Return what a query over the window would give."""
        measure = _measure(self.gate)
        if measure is Measure.LATENCY and self.gate.metric.preset is not None and self._traffic.latency is not None:
            return bucket_quantile(self.gate.metric.preset.quantile, self._traffic.latency.bounds, _sums(arm, begin, end))
        total = sum(arm.total[begin:end])
        if not total:
            return None
        if measure is Measure.AVAILABILITY:
            return 1 - sum(arm.unanswered[begin:end]) / total
        return sum(arm.bad[begin:end]) / total


def bucket_quantile(quantile: float, bounds: Sequence[float], buckets: Sequence[int]) -> float | None:
    """Return a quantile as histogram_quantile() of Prometheus interpolates it; None without requests.

    Args:
        quantile: between 0 and 1.
        bounds: upper bounds of the buckets, without infinity.
        buckets: requests in each bucket, not cumulative, the last one beyond all bounds.
    """
    rank = quantile * sum(buckets)
    if rank <= 0:
        return None
    below, passed = 0.0, 0
    for bound, count in zip(bounds, buckets, strict=False):
        if passed + count >= rank:
            return below + (bound - below) * (rank - passed) / count
        below, passed = bound, passed + count
    return below


def _sums(arm: Arm, begin: int, end: int) -> list[int]:
    if not arm.buckets:
        msg = "the policy looks at response times: traffic needs latency"
        raise ValueError(msg)
    return [sum(bucket[begin:end]) for bucket in arm.buckets]


def _measure(gate: Gate) -> Measure:
    return gate.metric.preset.measure if gate.metric.preset is not None else Measure.ERROR_RATE


def _stops(gate: Gate, spec: RolloutPolicySpec) -> bool:
    """Whether a breach of the gate by itself ends a rollout; with scoring only key objectives act by themselves."""
    return acts(gate) and gate.on_breach in _ENDS and (spec.scoring is None or gate.key_objective)


def _chunks(spec: RolloutPolicySpec, traffic: Traffic, seeds: Sequence[str], workers: int) -> Iterator[list[Outcome]]:
    chunks = [seeds[begin : begin + _CHUNK] for begin in range(0, len(seeds), _CHUNK)]
    if workers <= 1:
        for chunk in chunks:
            yield _run_several(spec, traffic, chunk)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_run_several, spec, traffic, chunk) for chunk in chunks]):
            yield future.result()


def _run_several(spec: RolloutPolicySpec, traffic: Traffic, seeds: Sequence[str]) -> list[Outcome]:
    return [run(spec, traffic, seed) for seed in seeds]
