"""What is allowed in a policy and will surprise its author: no error, but not what was probably meant."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tidegate.api.base import format_duration
from tidegate.api.gate import BreachAction, Gate, NoDataVerdict
from tidegate.api.metric import Measure, PromQL, Source, Unit
from tidegate.api.policy import RolloutPolicySpec
from tidegate.cli.buckets import percent_of
from tidegate.cli.governed import of_governance
from tidegate.cli.manifests import Finding, Place, Severity
from tidegate.cli.there import unseen
from tidegate.engine.gate_status import acts, alpha_of
from tidegate.judge import choice, limit, words

_RATES = re.compile(r"\b(rate|irate|increase|delta|idelta)\s*+\(")
_VARIABLE = re.compile(r"{{\s*+(canary|stable)(Pods|Service)\s*+}}")


def advice(spec: RolloutPolicySpec, written: dict[str, Any]) -> Iterator[Finding]:
    """Give what is worth a second thought in a policy.

    Args:
        spec: the policy; it is valid.
        written: its spec as it was written, to tell what was said from what is a default.
    """
    yield from _of_policy(spec)
    yield from of_governance(spec)
    gates = written.get("gates") or []
    for index, gate in enumerate(spec.gates):
        place: Place = ("spec", "gates", index)
        if choice.by_evidence(gate) and (percent := percent_of(gate)) is not None and percent < 100:
            yield Finding(Severity.NOTE, (*place, "versusStable"), _resolution(gate, percent))
        if message := unseen(gate):
            yield Finding(Severity.NOTE, (*place, "metric"), message)
        for field, message in _of_gate(gate, gates[index], spec):
            yield Finding(Severity.WARNING, (*place, *field), message)


def _warning(place: Place, message: str) -> Finding:
    return Finding(Severity.WARNING, ("spec", *place), message)


def _of_policy(spec: RolloutPolicySpec) -> Iterator[Finding]:
    acting = [gate for gate in spec.gates if acts(gate)]
    if not spec.gates:
        yield _warning((), "there are no gates: only pods that do not become ready stop a bad version")
    elif not acting:
        yield _warning(
            ("gates",), "no gate acts: all of them warn, hold or are dry runs, so nothing takes traffic from a bad version"
        )
    counted = [gate for gate in acting if choice.by_evidence(gate)]
    if counted:
        share = f"1 of {round(1 / alpha_of(spec)):,}"
        text = (
            f"{len(counted)} gates share the confidence {spec.confidence:g}"
            if len(counted) > 1
            else f"one gate has all of the confidence {spec.confidence:g}"
        )
        yield Finding(Severity.NOTE, ("spec", "confidence"), f"{text}: a gate stops at most {share} healthy versions")
    if spec.advance_on_proof and not any(choice.by_evidence(gate) for gate in spec.gates):
        yield _warning(("advanceOnProof",), "has no effect: no gate is judged by Evidence, so there is no proof")
    yield from _of_steps(spec)


def _of_steps(spec: RolloutPolicySpec) -> Iterator[Finding]:
    first = next(step for step in spec.steps if step.weight > 0)
    compared = [index for index, gate in enumerate(spec.gates) if gate.versus_stable is not None and gate.threshold is None]
    if first.weight == 100 and compared:
        names = ", ".join(spec.gates[index].name for index in compared)
        where = ("gates", compared[0], "versusStable")
        yield _warning(
            where, f"{names}: the first step has all traffic, so stable has no requests to compare with; give a threshold"
        )
    waited_for = [gate for gate in spec.gates if acts(gate)]
    latest = max((max(gate.interval, gate.initial_delay) for gate in waited_for), default=timedelta(0))
    for index, step in enumerate(spec.steps):
        if step is first and step.weight < 100 and step.hold < latest:
            hold, look = format_duration(step.hold), format_duration(latest)
            message = f"a hold of {hold} ends before the first check of every gate; the step waits for that, about {look}"
            yield _warning(("steps", index, "hold"), message)
    if spec.bake < latest and spec.gates:
        message = f"a bake of {format_duration(spec.bake)} ends with the first checks at weight 100: most faults show later"
        yield _warning(("bake",), message)


def _of_gate(gate: Gate, written: dict[str, Any], spec: RolloutPolicySpec) -> Iterator[tuple[Place, str]]:
    yield from _of_evidence(written) if choice.by_evidence(gate) else _of_limit(gate, written)
    yield from _without_effect(gate, written, spec)
    yield from _of_queries(gate)
    first = max(gate.interval, gate.initial_delay)
    if gate.active_for is not None and gate.active_for < first:
        yield ("activeFor",), f"ends before the first check, which is {format_duration(first)} after the first traffic"
    if gate.metric.error_budget is not None and gate.on_breach is BreachAction.ROLLBACK:
        yield (
            ("onBreach",),
            "an error budget belongs to the whole service and is mostly spent by stable; onBreach: Hold keeps rollouts back",
        )


def _of_evidence(written: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    for field in ("failureLimit", "of", "window"):
        if field in written:
            yield (field,), "has no effect with the judge Evidence, which counts all requests since the first traffic"


def _resolution(gate: Gate, percent: float) -> str:
    apart, name = words.number(1 + percent / 100, 3), limit.measure_in_words(gate)
    bounds = f"to detect {words.number(percent)}% more, the histogram needs bounds at most {apart} times apart there"
    return f"within a bucket the {name} is interpolated: {bounds}; the measure Tail sees what stays in one bucket"


def _of_limit(gate: Gate, written: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    if gate.require_proof:
        yield ("requireProof",), "has no effect with the judge Limit, which proves nothing"
    noisy = gate.versus_stable is not None or limit.unit_of(gate) is not Unit.NUMBER
    if acts(gate) and noisy and gate.failure_limit == 1 and gate.metric.error_budget is None:
        yield (
            ("failureLimit",),
            "a single value beyond the limit is a breach, which noise alone can cause; failureLimit: 2, of: 3 tolerates one",
        )
    threshold, preset = gate.threshold, gate.metric.preset
    if preset is not None and preset.measure is Measure.AVAILABILITY and threshold is not None and threshold.min is not None:
        needed = round(1 / (1 - threshold.min)) if threshold.min < 1 else 0
        if needed > gate.min_samples:
            yield ("minSamples",), f"with fewer than {needed:,} requests in the window a single unanswered one is beyond the limit"
    if preset is not None and preset.source is Source.KUBERNETES and "minSamples" in written:
        yield ("minSamples",), f"has no effect: {limit.measure_in_words(gate)} is measured without counting requests"
    if preset is not None and preset.measure is Measure.RESTARTS:
        yield from _of_restarts(gate)
    promql = gate.metric.promql
    if promql is not None and promql.samples is None and "minSamples" in written:
        yield ("minSamples",), "has no effect without metric.promql.samples"


def _of_restarts(gate: Gate) -> Iterator[tuple[Place, str]]:
    """Say how coarse a rate per hour is that is taken over a short window."""
    most = gate.threshold.max if gate.threshold is not None else None
    one = timedelta(hours=1) / gate.window
    if most is not None and most < one:
        window, fewest = format_duration(gate.window), math.ceil(one / most) if most else None
        allowed = f"fewer than {fewest:,} pods allow none at all" if fewest else "none is allowed"
        rate = f"one restart in a window of {window} is {words.number(one)} per hour, divided by the number of pods"
        yield ("window",), f"{rate}: with this limit {allowed}; the judge Evidence counts from the first traffic on"


def _without_effect(gate: Gate, written: dict[str, Any], spec: RolloutPolicySpec) -> Iterator[tuple[Place, str]]:
    if spec.scoring is None:
        for field in ("weight", "keyObjective", "warning"):
            if field in written:
                yield (field,), "has no effect without spec.scoring"
    if gate.ask and gate.on_breach is not BreachAction.PAUSE:
        yield ("ask",), "has no effect: only onBreach: Pause waits for a decision"
    if gate.on_no_data.then is NoDataVerdict.HOLD and "after" in (written.get("onNoData") or {}):
        yield ("onNoData", "after"), "has no effect with then: Hold, which waits for as long as it takes"


def _of_queries(gate: Gate) -> Iterator[tuple[Place, str]]:
    counters = gate.metric.counters
    if counters is not None:
        for arm, pair in (("canary", counters.canary), ("stable", counters.stable)):
            for name in ("bad", "total") if pair is not None else ():
                if found := _RATES.search(getattr(pair, name)):
                    yield (
                        ("metric", "counters", arm, name),
                        f"{found[1]}() is not a raw counter: give the counter itself, Tidegate computes its increase",
                    )
    promql = gate.metric.promql
    if promql is not None:
        yield from _of_promql(promql)


def _of_promql(promql: PromQL) -> Iterator[tuple[Place, str]]:
    if promql.stable is not None and " ".join(promql.stable.split()) == " ".join(promql.canary.split()):
        yield ("metric", "promql", "stable"), "is the same query as canary, so both values are always equal"
    elif promql.stable is not None and not _VARIABLE.search(promql.canary):
        yield ("metric", "promql", "canary"), "does not tell the new version from stable: use {{canaryPods}} or {{canaryService}}"
