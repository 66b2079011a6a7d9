"""What readings make of the gates: verdicts into the status, breaches, and when to look next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate.api.base import format_duration
from tidegate.api.names import Cause, EventReason, Verdict
from tidegate.api.policy import BreachAction, Gate, NoDataVerdict
from tidegate.api.release import GateStatus
from tidegate.engine.draft import Draft, clip
from tidegate.engine.plan import Look
from tidegate.judge import limit
from tidegate.judge.reading import Reading

LETTERS = {Verdict.PASS: "P", Verdict.FAIL: "F", Verdict.UNDECIDED: "U"}


LATE = timedelta(seconds=10)
"""How late a look may come in before the one before it is too old to let the weight rise: the operator may have been away."""


@dataclass(frozen=True)
class Breach:
    """A gate that must be acted on."""

    gate: Gate
    cause: Cause
    message: str


def watched(draft: Draft) -> bool:
    """Whether gates are looked at: the new version has traffic, and the rollout can still be undone."""
    return draft.active and draft.status.weight > 0 and not draft.undoing and not draft.committed


def take_readings(draft: Draft) -> None:
    """Put the verdict on each new reading into the status; say in an Event what a gate that only warns has found."""
    if not watched(draft):
        return
    gates = {gate.name: gate for gate in draft.spec.gates}
    states = {state.name: state for state in draft.status.gates if state.name in gates}
    for reading in sorted(draft.snap.readings, key=lambda r: r.at):
        gate, before = gates.get(reading.gate), states.get(reading.gate)
        exposed = draft.rollout.exposed_at
        if gate is None or exposed is None or reading.revision != draft.candidate.revision or reading.at < exposed:
            continue
        if before is not None and (reading.at <= before.at or _acted_on(draft, gate, before)):
            continue
        compared = _with_baseline(draft, reading, before)
        states[gate.name] = after = _judge(gate, compared, before)
        _tell(draft, gate, before, after, trouble=reading.trouble)
    draft.set(gates=tuple(states[gate.name] for gate in draft.spec.gates if gate.name in states))


def _acted_on(draft: Draft, gate: Gate, state: GateStatus) -> bool:
    """Whether a gate is breached and that is still to be answered: a better look that came in right after must not hide it."""
    waiting = draft.rollout.paused is None and not draft.rollout.skip_to_end
    answered = gate.on_breach is BreachAction.ROLLBACK or (gate.on_breach is BreachAction.PAUSE and waiting)
    return answered and limit.breached(state.looks, gate)


def _with_baseline(draft: Draft, reading: Reading, before: GateStatus | None) -> Reading:
    """With all traffic on the new version stable has none to be read: what it had last is what the new one is compared with."""
    if draft.status.weight < 100 or not draft.routed or before is None or before.stable is None:
        return reading
    return replace(reading, stable=before.stable, stable_samples=None)


def _judge(gate: Gate, reading: Reading, before: GateStatus | None) -> GateStatus:
    judgement = limit.judge(gate, reading)
    undecided = judgement.verdict is Verdict.UNDECIDED
    earlier = before.undecided_since if before else None
    return GateStatus(
        name=gate.name,
        verdict=judgement.verdict,
        stable=_finite(reading.stable),
        canary=_finite(reading.canary),
        limit=clip(judgement.limit),
        samples=_finite(reading.canary_samples),
        message=clip(judgement.message),
        at=reading.at,
        looks=((before.looks if before else "") + LETTERS[judgement.verdict])[-gate.of :],
        undecided_since=(earlier or reading.at) if undecided else None,
    )


def _finite(value: float | None) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None


def _tell(draft: Draft, gate: Gate, before: GateStatus | None, after: GateStatus, *, trouble: str) -> None:
    # A first look with too little data is how every rollout begins; it stands in the status.
    changed = bool(trouble) if before is None else before.verdict is not after.verdict
    if after.verdict is Verdict.UNDECIDED and changed:
        draft.notice(EventReason.GATE_UNDECIDED, f"Gate {gate.name} is undecided: {after.message}", warn=True)
    overruled = gate.on_breach is BreachAction.PAUSE and draft.rollout.skip_to_end
    only_warns = gate.on_breach is BreachAction.WARN or overruled
    if only_warns and _breach(gate, after, draft.now) and not _breach(gate, before, draft.now):
        reason = "full promotion was requested" if overruled else "it only warns"
        draft.notice(EventReason.GATE_BREACHED, f"Gate {gate.name} is breached ({reason}): {after.message}", warn=True)


def _breach(gate: Gate, state: GateStatus | None, now: datetime) -> Breach | None:
    if state is None:
        return None
    if limit.breached(state.looks, gate):
        return Breach(gate, Cause.GATE, f"gate {gate.name}: {state.message}")
    silent = state.undecided_since is not None and now >= state.undecided_since + gate.on_no_data.after
    if silent and gate.on_no_data.then is NoDataVerdict.FAIL:
        after = format_duration(gate.on_no_data.after)
        return Breach(gate, Cause.NO_DATA, f"gate {gate.name} was undecided for {after}, which counts as a breach: {state.message}")
    return None


def breaches(draft: Draft, action: BreachAction) -> list[Breach]:
    """Return the gates with this action that are breached, in the policy's order."""
    if not watched(draft):
        return []
    states = {state.name: state for state in draft.status.gates}
    found = (_breach(gate, states.get(gate.name), draft.now) for gate in draft.spec.gates if gate.on_breach is action)
    return [breach for breach in found if breach is not None]


def unmet(draft: Draft, since: datetime | None) -> str | None:
    """Return what a gate is waiting for before the weight may rise, None where all have passed at this weight.

    Args:
        draft: the decision in the making.
        since: looks before this do not count; None where all of this rollout do.
    """
    states = {state.name: state for state in draft.status.gates}
    for gate in draft.spec.gates:
        if gate.on_breach is BreachAction.WARN:
            continue
        state = states.get(gate.name)
        if state is None or (since is not None and state.at < since):
            return f"for the first look of gate {gate.name} at this weight"
        if state.at < draft.now - 2 * gate.interval - LATE:
            return f"for a fresh look of gate {gate.name}"
        if state.verdict is Verdict.PASS:
            continue
        if state.undecided_since is not None and gate.on_no_data.then is NoDataVerdict.PASS:
            passes = state.undecided_since + gate.on_no_data.after
            if draft.now >= passes:
                continue
            draft.wake(passes)
        return f"for gate {gate.name}: {state.message}"
    return None


def next_looks(draft: Draft) -> tuple[Look, ...]:
    """Return the next look of each gate; none while the new version has no traffic."""
    if not watched(draft):
        return ()
    exposed = draft.rollout.exposed_at or draft.now
    states = {state.name: state for state in draft.status.gates}
    looks = []
    for gate in draft.spec.gates:
        state = states.get(gate.name)
        first = exposed + max(gate.interval, gate.initial_delay)
        looks.append(Look(gate.name, max(first, state.at + gate.interval) if state else first))
        if state is not None and state.undecided_since is not None and gate.on_no_data.then is not NoDataVerdict.HOLD:
            draft.wake(state.undecided_since + gate.on_no_data.after)
    return tuple(looks)
