"""One look of one gate: which judge it is, how strict it is, and what the status says afterwards.

Also what backtests fold past readings with: whatever is decided live is decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from tidegate.api.base import format_duration
from tidegate.api.gate import BreachAction, Gate, NoDataVerdict
from tidegate.api.names import Cause, Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import GateStatus
from tidegate.judge import choice, limit
from tidegate.judge.evidence import gate as evidence
from tidegate.judge.reading import Judgement, Reading

LETTERS = {Verdict.PASS: "P", Verdict.FAIL: "F", Verdict.UNDECIDED: "U"}
MESSAGE_LENGTH = 1024


@dataclass(frozen=True)
class Breach:
    """A gate that must be acted on."""

    gate: Gate
    cause: Cause
    message: str


def alpha_of(spec: RolloutPolicySpec) -> float:
    """Return the chance of a false alarm that each gate of a policy may take, so that all together keep its confidence.

    Only gates that act share it: one that warns, holds or runs dry takes no version out of service.
    """
    acting = [gate for gate in spec.gates if choice.by_evidence(gate) and acts(gate)]
    return (1 - spec.confidence) / max(1, len(acting))


def acts(gate: Gate) -> bool:
    """Whether a breach of the gate rolls back or pauses."""
    return not gate.dry_run and gate.on_breach in (BreachAction.ROLLBACK, BreachAction.PAUSE)


def judged(gate: Gate, reading: Reading, before: GateStatus | None, *, alpha: float, alone: bool = False) -> GateStatus:
    """Return the gate's status after a look.

    Args:
        gate: the gate.
        reading: what was read.
        before: its status after the look before; None at the first.
        alpha: chance of a false alarm that it may take, for the judge Evidence; see `alpha_of`.
        alone: all traffic is on the new version, so that stable has none to be compared with, unless some still comes in.
    """
    judgement = _judgement(gate, reading, before, alpha=alpha, alone=alone)
    earlier = before.undecided_since if before else None
    return GateStatus(
        name=gate.name,
        verdict=judgement.verdict,
        stable=_finite(judgement.stable),
        canary=_finite(judgement.canary),
        limit=clip(judgement.limit),
        samples=_finite(judgement.samples),
        message=clip(judgement.message),
        at=reading.at,
        looks=((before.looks if before else "") + LETTERS[judgement.verdict])[-gate.of :],
        undecided_since=(earlier or reading.at) if judgement.starved else None,
        clear=judgement.clear,
        warned=limit.beyond_warning(gate, judgement),
        evidence=judgement.evidence,
    )


def fails(gate: Gate, reading: Reading, before: GateStatus | None, *, alpha: float, alone: bool = False) -> bool:
    """Whether `judged` would say Fail; arguments as there."""
    if choice.by_evidence(gate):
        return evidence.fails(gate, reading, before, alpha=alpha, alone=alone and _unmatched(reading))
    return limit.judge(gate, reading).verdict is Verdict.FAIL


def breach_of(gate: Gate, state: GateStatus | None, now: datetime) -> Breach | None:
    """Return the breach of a gate at a time; None where there is none."""
    if state is None:
        return None
    if limit.breached(state.looks, gate):
        return Breach(gate, Cause.GATE, f"gate {gate.name}: {state.message}")
    silent = state.undecided_since is not None and now >= state.undecided_since + gate.on_no_data.after
    if silent and gate.on_no_data.then is NoDataVerdict.FAIL:
        after = format_duration(gate.on_no_data.after)
        return Breach(gate, Cause.NO_DATA, f"gate {gate.name} was undecided for {after}, which counts as a breach: {state.message}")
    return None


def clip(text: str) -> str:
    """Cut a text to what a message in the status may hold."""
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def _judgement(gate: Gate, reading: Reading, before: GateStatus | None, *, alpha: float, alone: bool) -> Judgement:
    if choice.by_evidence(gate):
        return evidence.judge(gate, reading, before, alpha=alpha, alone=alone and _unmatched(reading))
    return limit.judge(gate, reading)


def _unmatched(reading: Reading) -> bool:
    """Whether stable has counted nothing that the new version could be compared with."""
    stable = reading.counts.stable if reading.counts is not None else None
    return stable is None or stable.total <= 0


def _finite(value: float | None) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None
