"""What policies make of generated traffic: how often healthy versions are stopped, and how soon faulty ones are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import typer
from rich.progress import Progress

from tidegate.api.base import format_duration
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.simulate import Summary, can_simulate, needs_latency, shares_of, simulate
from tidegate.backtest.traffic import Fault, Latency, Traffic
from tidegate.cli import output, tables
from tidegate.cli.output import Format
from tidegate.judge import words

_TICK = 5.0
"""Seconds of an interval of generated traffic, unless a gate looks more often."""


@dataclass(frozen=True)
class Faulty:
    """What is wrong with the faulty version.

    Attributes:
        times: bad requests as a multiple of stable's; infinite where all fail; None where there are no more than usual.
        slower: factor on its response times.
        onset: seconds after the first traffic.
    """

    times: float | None
    slower: float
    onset: float

    @property
    def any(self) -> bool:
        """Whether there is a fault at all."""
        return self.times is not None or self.slower > 1


@dataclass(frozen=True)
class Setting:
    """What the command line asks for; see there."""

    rate: float
    share: float | None
    error_rate: float
    bursts: float
    duration: float
    fault: Faulty
    runs: int
    seed: int


@dataclass(frozen=True)
class Simulated:
    """What one policy made of it.

    Attributes:
        healthy: rollouts of a healthy version.
        faulty: rollouts of a faulty one; None where no fault was asked for.
        left_out: gates that generated traffic says nothing about.
        share: share of the new version at the beginning.
    """

    healthy: Summary
    faulty: Summary | None
    left_out: tuple[str, ...]
    share: float


def run(label: str, spec: RolloutPolicySpec, setting: Setting, bar: Progress) -> Simulated:
    """Judge generated rollouts under a policy; the command ends where none of its gates can be simulated."""
    left_out = tuple(gate.name for gate in spec.gates if not can_simulate(gate))
    if len(left_out) == len(spec.gates):
        output.fail(f"{label}: none of its gates measures what is generated (errors, answers, response times)")
    traffic = _traffic(spec, setting)
    kinds = 1 + setting.fault.any
    task = bar.add_task(label, total=setting.runs * kinds)

    def judge(one: Traffic) -> Summary:
        return simulate(spec, one, runs=setting.runs, seed=setting.seed, progress=lambda done: bar.advance(task, done))

    healthy, faulty = judge(traffic), None
    if setting.fault.any:
        fault = Fault(times=setting.fault.times or 1.0, onset=setting.fault.onset, slower=setting.fault.slower)
        faulty = judge(replace(traffic, fault=fault))
    return Simulated(healthy, faulty, left_out, traffic.share)


def tell(found: Sequence[tuple[str, Simulated]], setting: Setting, form: Format) -> None:
    """Write what came out."""
    if form is Format.JSON:
        output.write_json([_to_wire(label, one, setting) for label, one in found])
        return
    typer.echo(f"{_setting(setting)}\n")
    headings = ["POLICY", "SHARE", "HEALTHY STOPPED"]
    if setting.fault.any:
        headings += ["FAULTY STOPPED", "DELAY", "DELAY 90%", "BAD REQUESTS", "BY GATE"]
    rows = [
        (label, words.percent(one.share * 100), _of(one.healthy.false_alarms, one.healthy.runs), *_faulty(one.faulty))
        for label, one in found
    ]
    tables.write(headings, rows)
    for label, one in found:
        if one.left_out:
            typer.echo(f"{label}: left out, since generated traffic cannot test them: {', '.join(one.left_out)}", err=True)


def _traffic(spec: RolloutPolicySpec, setting: Setting) -> Traffic:
    shares = shares_of(spec) if setting.share is None else ((0.0, setting.share / 100),)
    shortest = min((gate.interval.total_seconds() for gate in spec.gates), default=_TICK)
    return Traffic(
        rate=setting.rate,
        share=shares[0][1],
        errors=setting.error_rate,
        bursts=setting.bursts,
        duration=setting.duration,
        tick=min(_TICK, shortest),
        steps=shares[1:],
        latency=Latency() if needs_latency(spec) else None,
    )


def _setting(setting: Setting) -> str:
    text = f"{words.number(setting.rate)} requests per minute, {words.percent(setting.error_rate * 100)} of them bad"
    if setting.bursts > 1:
        text += f" in bursts of {words.number(setting.bursts)}"
    text += f", for {_span(setting.duration)}; {setting.runs} rollouts of a healthy version"
    if not setting.fault.any:
        return f"{text}."
    faults = []
    if setting.fault.times is not None:
        all_bad = math.isinf(setting.fault.times)
        faults.append("fails every request" if all_bad else f"has {words.number(setting.fault.times)} times as many bad requests")
    if setting.fault.slower > 1:
        faults.append(f"is {words.number(setting.fault.slower)} times slower")
    begins = f" from {_span(setting.fault.onset)} on" if setting.fault.onset else " from the start"
    return f"{text}, and {setting.runs} of a version that {' and '.join(faults)}{begins}."


def _faulty(summary: Summary | None) -> list[str]:
    if summary is None:
        return []
    gates = ", ".join(f"{name} {number}" for name, number in sorted(summary.gates.items(), key=lambda one: -one[1]))
    late = summary.runs - summary.false_alarms
    return [_of(summary.detected, late), _delay(summary.delay), _delay(summary.delay_90), words.count(summary.bad), gates or "-"]


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({words.percent(100 * part / whole, 2) if whole else 'none'})"


def _delay(seconds: float) -> str:
    return _span(seconds) if math.isfinite(seconds) else "never"


def _span(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds)))


def _to_wire(label: str, one: Simulated, setting: Setting) -> dict[str, Any]:
    return {
        "policy": label,
        "setting": {
            "rate": setting.rate,
            "share": one.share,
            "errorRate": setting.error_rate,
            "bursts": setting.bursts,
            "durationSeconds": setting.duration,
            "runs": setting.runs,
            "seed": setting.seed,
            "fault": _fault_to_wire(setting.fault),
        },
        "leftOut": list(one.left_out),
        "healthy": {"runs": one.healthy.runs, "stopped": one.healthy.false_alarms, "stoppedRate": one.healthy.false_alarm_rate},
        "faulty": None if one.faulty is None else _summary_to_wire(one.faulty),
    }


def _fault_to_wire(fault: Faulty) -> dict[str, Any] | None:
    if not fault.any:
        return None
    times = "all" if fault.times is not None and math.isinf(fault.times) else fault.times
    return {"times": times, "slower": fault.slower, "onsetSeconds": fault.onset}


def _summary_to_wire(summary: Summary) -> dict[str, Any]:
    return {
        "runs": summary.runs,
        "stoppedBeforeFault": summary.false_alarms,
        "detected": summary.detected,
        "delayMedianSeconds": _finite(summary.delay),
        "delay90Seconds": _finite(summary.delay_90),
        "badRequestsServed": summary.bad,
        "gates": summary.gates,
    }


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity: null is never."""
    return value if value is not None and math.isfinite(value) else None
