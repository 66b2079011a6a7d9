"""Weighted scoring: what each gate earns, what all earn together, and whether that is enough for a step to end.

The semantics are those that people know from quality gates and canary analysis elsewhere:

- A gate that passes earns its weight, one in its warning range half of it, one that fails nothing; the score is the sum in
  percent of all weights, and the comparison with the wanted scores is `>=` (Keptn, Service Level Objectives, "Scoring":
  https://github.com/keptn/spec/blob/master/service_level_objective.md). Keptn's `pass` criteria are the gate's `warning`
  here, its `warning` criteria are the gate's own limit, its `key_sli` is `keyObjective`.
- Where no gate has a weight there is nothing to be earned, and the score is 100% (so it is in Keptn, too).
- The two limits are the `pass` and `marginal` scores of Kayenta, and `keyObjective` is its `critical`
  (https://spinnaker.io/docs/guides/user/canary/judge/). Unlike both, no data is no failure: the step waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tidegate.api.gate import BreachAction, Gate, NoDataVerdict
from tidegate.api.names import Verdict
from tidegate.api.policy import RolloutPolicySpec, Scoring
from tidegate.api.status import GateStatus
from tidegate.judge import words

_ROUNDING = 1e-9
"""Percent by which a score may miss a limit: three times 100/3 is 100."""


class Result(StrEnum):
    """What a score means for a step that would end."""

    PASS = "Pass"  # noqa: S105 - a result, not a password
    WARN = "Warn"
    BREACH = "Breach"
    WAIT = "Wait"


class _Mark(StrEnum):
    """How a gate did, in the words of a message."""

    PASSED = "within the limit"
    WARNED = "warning"
    FAILED = "beyond the limit"
    WAITING = "undecided"
    UNSEEN = "not checked yet"


_OPEN = frozenset({_Mark.WAITING, _Mark.UNSEEN})


@dataclass(frozen=True)
class GateScore:
    """What one gate contributes.

    Attributes:
        gate: its name.
        earned: its weight, half of it, or 0.
        weight: what it could have earned; 0 where it is for information.
        words: the same in words, with the gate's own where it did not earn all, e.g. `p99-latency 1 of 2 (warning: ...)`.
    """

    gate: str
    earned: float
    weight: int
    words: str


@dataclass(frozen=True)
class Score:
    """What the gates of a policy say together.

    Attributes:
        percent: earned weights in percent of all, 0 to 100.
        result: what follows when a step would end.
        gates: what each gate contributes, in the policy's order; gates that do not count are left out.
        waiting: gates that count and are undecided; the result waits for them as long as they can make a difference.
        key_breaches: key objectives beyond their limits, but for those that only warn; they act on their own.
        words: the score and what each gate contributes, in one sentence.
    """

    percent: float
    result: Result
    gates: tuple[GateScore, ...]
    waiting: tuple[str, ...]
    key_breaches: tuple[str, ...]
    words: str


def score(
    spec: RolloutPolicySpec, states: Iterable[GateStatus], *, now: datetime | None = None, over: Collection[str] = ()
) -> Score:
    """Count the gates of a policy together, but for those that run dry.

    The result is Breach as soon as the score would be below `warn` even if all gates that are undecided passed; else Wait
    while any of them is undecided or a key objective is beyond its limit; else Pass, Warn or Breach by the limits.

    Args:
        spec: the policy; without `scoring` the defaults of its fields count.
        states: what the gates said last.
        now: with it, a gate that stayed undecided for longer than its `onNoData` counts as that says.
        over: gates that are not looked at any more (`activeFor`): without a verdict they do not count.
    """
    scoring = spec.scoring or Scoring()
    known = {state.name: state for state in states}
    asked = [gate for gate in spec.gates if not gate.dry_run]
    marks = [(gate, known.get(gate.name), _mark(gate, known.get(gate.name), now)) for gate in asked]
    marks = [each for each in marks if each[0].name not in over or each[2] not in _OPEN]
    gates = tuple(_gate_score(gate, state, mark) for gate, state, mark in marks)
    open_gates = [gate for gate, _, mark in marks if _waited_for(gate) and mark in _OPEN]
    broken = tuple(
        gate.name
        for gate, _, mark in marks
        if gate.key_objective and mark is _Mark.FAILED and gate.on_breach is not BreachAction.WARN
    )
    total, earned = sum(one.weight for one in gates), sum(one.earned for one in gates)
    percent = _percent(earned, total)
    best = _percent(earned + sum(gate.weight for gate in open_gates), total)
    result = _result(scoring, percent, best, held=bool(open_gates or broken))
    return Score(
        percent=percent,
        result=result,
        gates=gates,
        waiting=tuple(gate.name for gate in open_gates),
        key_breaches=broken,
        words=_sentence(scoring, percent, gates),
    )


def _mark(gate: Gate, state: GateStatus | None, now: datetime | None) -> _Mark:
    if state is None:
        return _Mark.UNSEEN
    if state.verdict is Verdict.FAIL:
        return _Mark.FAILED
    if state.verdict is Verdict.UNDECIDED and not (state.clear and not gate.require_proof):
        return _silence(gate, state, now)
    return _Mark.WARNED if state.warned else _Mark.PASSED


def _silence(gate: Gate, state: GateStatus, now: datetime | None) -> _Mark:
    """What an undecided gate counts as once it has been so for long enough."""
    since, rule = state.undecided_since, gate.on_no_data
    if now is None or since is None or now < since + rule.after or rule.then is NoDataVerdict.HOLD:
        return _Mark.WAITING
    return _Mark.PASSED if rule.then is NoDataVerdict.PASS else _Mark.FAILED


def _waited_for(gate: Gate) -> bool:
    """Whether a step must wait for the gate: one of weight 0 is for information, unless it is a key objective."""
    return gate.weight > 0 or (gate.key_objective and gate.on_breach is not BreachAction.WARN)


def _gate_score(gate: Gate, state: GateStatus | None, mark: _Mark) -> GateScore:
    share = {_Mark.PASSED: 1.0, _Mark.WARNED: 0.5}.get(mark, 0.0)
    earned = share * gate.weight
    said = f": {state.message}" if state is not None and state.message else ""
    note = f"{mark}{said}" if mark is not _Mark.PASSED else ""
    if gate.weight == 0:
        note = f"for information, {mark}{said}" if note else "for information"
    if gate.key_objective and mark is _Mark.FAILED:
        note = f"key objective, {note}"
    text = f"{gate.name} {words.number(earned)} of {gate.weight}"
    return GateScore(gate.name, earned, gate.weight, f"{text} ({note})" if note else text)


def _percent(earned: float, total: float) -> float:
    return 100 * earned / total if total else 100.0


def _result(scoring: Scoring, percent: float, best: float, *, held: bool) -> Result:
    if best < scoring.warn_at - _ROUNDING:
        return Result.BREACH
    if held:
        return Result.WAIT
    return Result.PASS if percent >= scoring.pass_at - _ROUNDING else Result.WARN


def _sentence(scoring: Scoring, percent: float, gates: tuple[GateScore, ...]) -> str:
    """The numbers come first: a message in the status may be cut."""
    wanted = f"pass at {words.number(scoring.pass_at)}%, warn at {words.number(scoring.warn_at)}%"
    parts = ", ".join(gate.words for gate in gates)
    return f"score {words.number(percent)}% ({wanted}){f'; {parts}' if parts else ''}"
