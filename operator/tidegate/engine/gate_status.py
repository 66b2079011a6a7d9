"""One look of one gate: which judge it is, how strict it is, and what the status says afterwards.

Also what backtests fold past readings with: whatever is decided live is decided here.
"""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from datetime import datetime

from tidegate.api.base import clip, format_duration
from tidegate.api.edits import edited
from tidegate.api.gate import BreachAction, Gate, NoDataVerdict
from tidegate.api.names import Cause, Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus
from tidegate.engine import counted
from tidegate.engine.plan import Unjudged
from tidegate.judge import choice, limit, telemetry
from tidegate.judge.evidence import gate as evidence
from tidegate.judge.reading import Judgement, Reading

LETTERS = {Verdict.PASS: "P", Verdict.FAIL: "F", Verdict.UNDECIDED: "U"}
_WORDS = 200
"""Most characters of an exception's own words in a message."""


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


@dataclass(frozen=True)
class Taken:
    """What came of a look.

    Attributes:
        state: the gate's status.
        anew: whether evidence had to begin anew, since what was stored of it cannot be read.
        unjudged: set where the gate's own judging has failed.
    """

    state: GateStatus
    anew: bool = False
    unjudged: Unjudged | None = None


def take(
    gate: Gate,
    reading: Reading,
    before: GateStatus | None,
    *,
    alpha: float,
    alone: bool = False,
    weight_since: datetime | None = None,
) -> Taken:
    """Return what comes of a look, whatever its judging raises: that gate is undecided then, and no other suffers.

    What it went on from is dropped, for it may be what the judge stumbles over. So its evidence begins anew at the next look: until
    there is enough of it, the gate is not clear, and the weight is held.

    Args:
        gate: the gate.
        reading: what was read.
        before: its status after the look before; None at the first.
        alpha: chance of a false alarm that it may take, for the judge Evidence; see `alpha_of`.
        alone: all traffic is on the new version, so that stable has none to be compared with, unless some still comes in.
        weight_since: since when the new version has its present weight; None where all that is counted counts for it.
    """
    try:
        return _take(gate, reading, before, alpha=alpha, alone=alone, weight_since=weight_since)
    except Exception as error:  # noqa: BLE001 - whatever it is: every other gate is to be judged, and acted on
        state = before.model_dump_json(by_alias=True) if before is not None else ""
        told = "".join(traceback.format_exception(error))
        return Taken(_not_judged(gate, reading, before, error), unjudged=Unjudged(gate.name, told, state))


def judged(
    gate: Gate,
    reading: Reading,
    before: GateStatus | None,
    *,
    alpha: float,
    alone: bool = False,
    weight_since: datetime | None = None,
) -> GateStatus:
    """Return the gate's status after a look; arguments as for `take`.

    Raises:
        Exception: whatever the judge has raised, which is a bug.
    """
    return _take(gate, reading, before, alpha=alpha, alone=alone, weight_since=weight_since).state


def _take(
    gate: Gate, reading: Reading, before: GateStatus | None, *, alpha: float, alone: bool, weight_since: datetime | None
) -> Taken:
    judgement = _sound(_judgement(gate, reading, before, alpha=alpha, alone=alone))
    seen = counted.seen(gate, reading, before, weight_since=weight_since)
    silent = seen.silent and judgement.verdict is not Verdict.FAIL and gate.metric.error_budget is None
    verdict = Verdict.UNDECIDED if silent else judgement.verdict
    earlier = before.undecided_since if before is not None else None
    starved = judgement.starved or silent
    state = GateStatus(
        name=gate.name,
        verdict=verdict,
        stable=_finite(judgement.stable),
        canary=_finite(judgement.canary),
        limit=clip(judgement.limit),
        samples=_finite(judgement.samples),
        message=clip(_message(gate, reading, judgement, seen, silent=silent)),
        at=reading.at,
        looks=_letters(gate, before, verdict),
        telemetry=clip(telemetry.in_words(gate, reading)),
        disagrees=clip(reading.disagrees),
        # Nothing was counted since the last request, and not only since it was missed.
        undecided_since=(earlier or seen.quiet_since) if starved else None,
        clear=judgement.clear and not silent,
        blind=bool(reading.trouble),
        warned=limit.beyond_warning(gate, judgement),
        newest=seen.newest,
        newest_stable=seen.newest_stable,
        weight_requests=seen.weight_requests,
        quiet_since=seen.quiet_since,
        usual_gap=seen.usual_gap,
        evidence=judgement.evidence,
    )
    return Taken(state, anew=judgement.anew)


def _letters(gate: Gate, before: GateStatus | None, verdict: Verdict) -> str:
    return ((before.looks if before is not None else "") + LETTERS[verdict])[-gate.of :]


def _message(gate: Gate, reading: Reading, judgement: Judgement, seen: counted.Seen, *, silent: bool) -> str:
    if silent:
        # What the judge says of want of data it knows best; what else it says is about requests that were counted long ago.
        reason = judgement.message if judgement.starved else counted.why(seen, reading)
        said = f"{counted.in_words(gate, seen, reading)}: {reason}"
    elif judgement.anew:
        said = f"{judgement.message}; its stored evidence cannot be read, so it starts again from zero"
    else:
        said = judgement.message
    # Whoever looks for what is missing is to know of the clocks; what was found does not depend on them.
    return f"{said}; {reading.clock}" if reading.clock and (silent or judgement.starved) else said


def _sound(judgement: Judgement) -> Judgement:
    """Return a judgement whose evidence is made of numbers that JSON knows: any other would keep the status from being stored.

    Raises:
        ArithmeticError: it is not.
    """
    values = {} if judgement.evidence is None else vars(judgement.evidence)
    if not all(map(math.isfinite, [value for value in values.values() if isinstance(value, float)])):
        found = ((name, value) for name, value in values.items() if isinstance(value, float) and not math.isfinite(value))
        name, value = next(found)
        msg = f"{name} is {value}"
        raise ArithmeticError(msg)
    return judgement


def _not_judged(gate: Gate, reading: Reading, before: GateStatus | None, error: Exception) -> GateStatus:
    words = clip(" ".join(f"{type(error).__name__}: {error}".split()), _WORDS)
    anew = "its evidence starts again with the next check" if choice.by_evidence(gate) else "it is judged again at the next check"
    known = GateStatus(name=gate.name, verdict=Verdict.UNDECIDED, at=reading.at) if before is None else before
    return edited(
        known,
        verdict=Verdict.UNDECIDED,
        stable=None,
        canary=None,
        samples=None,
        message=f"{gate.name} could not be judged because of a bug in Tidegate ({words}); {anew}, and the weight does not "
        "rise until then; the operator's log has the details",
        at=reading.at,
        telemetry=clip(telemetry.in_words(gate, reading)),
        looks=_letters(gate, before, Verdict.UNDECIDED),
        undecided_since=known.undecided_since or reading.at,
        clear=False,
        warned=False,
        evidence=None,
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
        return Breach(gate, Cause.NO_DATA, f"gate {gate.name} was undecided for {after} (onNoData: Fail): {state.message}")
    return None


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
