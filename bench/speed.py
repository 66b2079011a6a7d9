"""How long one evaluation takes."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Sequence
from datetime import timedelta

from bench.measure import Bench, Figure
from bench.report import Section, table
from bench.rollouts import ALPHA, AVAILABLE, LOOK, NO_INCREASE, P99

from tidegate.api.gate import Gate
from tidegate.api.status import GateStatus
from tidegate.backtest.simulate import EPOCH
from tidegate.backtest.traffic import Arm, Latency, Traffic, generate
from tidegate.engine.gate_status import judged
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Counts, Reading, Tally

BOUNDS = tuple(0.005 * 1.45**power for power in range(20))
EVALUATION = "milliseconds for one evaluation of three gates, one with 20 buckets"
MOST = 0.2
"""Milliseconds for three gates."""
LOOKS = 600


def speed(bench: Bench) -> Section:
    """Measure a look of three gates, one of them on 20 buckets, from the reading to the status."""
    latency = Latency(bounds=BOUNDS)
    traffic = Traffic(rate=3_000, share=0.1, errors=0.01, unanswered=0.0005, latency=latency, duration=LOOKS * LOOK)
    canary, stable = generate(traffic, random.Random(1))
    gates = (NO_INCREASE, AVAILABLE, P99)
    readings = {gate.name: [_reading(gate, canary, stable, look) for look in range(LOOKS)] for gate in gates}
    took: dict[str, list[float]] = {gate.name: [] for gate in gates}
    states: dict[str, GateStatus | None] = dict.fromkeys(took)
    for look in range(LOOKS):
        for gate in gates:
            reading, before = readings[gate.name][look], states[gate.name]
            began = time.thread_time()
            states[gate.name] = judged(gate, reading, before, alpha=ALPHA)
            took[gate.name].append(1000 * (time.thread_time() - began))
    together = statistics.median([sum(several) for several in zip(*took.values(), strict=True)])
    tests = _tests_alone(gates, readings)
    figures = [
        Figure("milliseconds for one evaluation of three gates, one with 20 buckets: from counts to evidence", tests, MOST),
        Figure(
            "milliseconds for one evaluation of three gates, one with 20 buckets: from reading to status", together, MOST, WHOLE
        ),
    ]
    rows = [[name, f"{statistics.median(times):.3f}", f"{_ninety(times):.3f}"] for name, times in took.items()]
    rows.append(["three together", f"{together:.3f}", ""])
    rows.append(["three together, from counts to evidence only", f"{tests:.3f}", ""])
    text = SPEED.format(cores=os.cpu_count() or 1, looks=LOOKS)
    bench.say(f"speed: {tests:.3f} ms, {together:.3f} ms with words and status")
    return Section("How long one evaluation takes", text, table(["gate", "median ms", "9 of 10 within"], rows), figures)


def _tests_alone(gates: Sequence[Gate], readings: dict[str, list[Reading]]) -> float:
    """Return the median milliseconds of a look without words, shown estimates and the stored state."""
    trials = [Trial(limits_of(gate), "", EPOCH) for gate in gates]
    took = []
    for look in range(LOOKS):
        several = [readings[gate.name][look] for gate in gates]
        began = time.thread_time()
        for trial, reading in zip(trials, several, strict=True):
            if reading.counts is not None:
                trial.take(reading.counts, reading.at, alone=False)
            trial.harm()
            trial.proof()
        took.append(1000 * (time.thread_time() - began))
    return statistics.median(took)


def _reading(gate: Gate, canary: Arm, stable: Arm, look: int) -> Reading:
    at = EPOCH + timedelta(seconds=LOOK * (look + 1))
    slow = gate is P99
    arms = [_tally(gate, arm, look) for arm in (canary, stable)]
    counts = Counts(at - timedelta(seconds=LOOK), arms[0], arms[1] if gate.versus_stable else None, BOUNDS if slow else ())
    return Reading(gate.name, "simulated", at, counts=counts)


def _tally(gate: Gate, arm: Arm, look: int) -> Tally:
    if gate is P99:
        buckets = [bucket[look] for bucket in arm.buckets]
        return Tally(float(sum(buckets)), over=tuple(float(sum(buckets[passed:])) for passed in range(1, len(buckets))))
    return Tally(float(arm.total[look]), float(arm.unanswered[look] if gate is AVAILABLE else arm.bad[look]))


def _ninety(times: Sequence[float]) -> float:
    return sorted(times)[int(0.9 * len(times))]


WHOLE = "most of it is words, what is only shown, and the stored state"
SPEED = (
    "Processor time from the reading to the status, the stored state and the sentences included: what the operator computes "
    "for one look of a Release, on one of {cores} cores. The gate of latency has 20 buckets; {looks:,} looks in a row."
)
