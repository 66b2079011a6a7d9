"""What readings make of the gates: verdicts into the status, breaches, and when to look next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.api.gate import BreachAction, Gate, NoDataVerdict
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.engine import transitions as happened
from tidegate.engine.counted import AWAY, begun_anew, first_weight, lacking, weight_since
from tidegate.engine.disagreeing import SourcesDisagree
from tidegate.engine.draft import Draft
from tidegate.engine.gate_status import Breach, Taken, alpha_of, breach_of, take
from tidegate.engine.plan import Look
from tidegate.engine.scoring import Score, score
from tidegate.engine.waits import Wait, Waiting
from tidegate.judge import choice, limit
from tidegate.judge.evidence.gate import interval_of
from tidegate.judge.reading import Reading

_BLIND = timedelta(minutes=1)
"""How long a gate may have nothing to go by from its first look on before that is told: new pods are scraped within that."""


def watched(draft: Draft) -> bool:
    """Whether gates are looked at: the new version has traffic, and the rollout can still be undone."""
    return draft.status.weight > 0 and draft.reversible


def unlooked(draft: Draft) -> Waiting | None:
    """Return that this process has not looked at all that rolls back; None where it has.

    A process before this one may have shut a route for a breach, and died before it could say so: no weight rises until then.
    """
    gate = _unlooked(draft)
    return (
        Waiting(Wait.FIRST_LOOK, f"for the first check of gate {gate} since the operator restarted") if gate is not None else None
    )


def _unlooked(draft: Draft) -> str | None:
    """Return the first gate whose breach may be unknown to the status, as none of its looks is this process's; None without one."""
    start, exposed = draft.snap.known_since, draft.rollout.exposed_at
    if start is None or exposed is None or exposed >= start or not watched(draft):
        return None
    looked = {state.name for state in draft.status.gates if state.at >= start}
    rolling_back = (gate for gate in draft.spec.gates if _may_roll_back(draft, gate))
    active = (gate for gate in rolling_back if draft.now >= exposed + gate.initial_delay and not _over(draft, gate, draft.now))
    return next((gate.name for gate in active if gate.name not in looked), None)


def _may_roll_back(draft: Draft, gate: Gate) -> bool:
    """Whether a gate rolls back, alone or by the score that it is part of."""
    if _acts_alone(draft, gate):
        return gate.on_breach is BreachAction.ROLLBACK
    scoring = draft.spec.scoring
    return not gate.dry_run and scoring is not None and scoring.on_breach is BreachAction.ROLLBACK and gate.weight > 0


def guarded(draft: Draft) -> bool:
    """Whether gates that do not speak of the new version are looked at: a rollout is on, and has not been decided."""
    return draft.reversible


def take_readings(draft: Draft) -> None:
    """Put the verdict on each new reading into the status; say in an Event what a gate that does not act has found."""
    if not guarded(draft):
        return
    gates = {gate.name: gate for gate in draft.spec.gates if watched(draft) or _of_service(gate)}
    states = {state.name: state for state in draft.status.gates}
    # At the first weight all that was counted was counted at it, also while the route did not carry it everywhere yet.
    begun = None if first_weight(draft.status) else weight_since(draft.status)
    alpha = alpha_of(draft.spec)
    for reading in sorted(draft.snap.readings, key=lambda r: r.at):
        gate, before = gates.get(reading.gate), states.get(reading.gate)
        if gate is None or reading.revision != draft.candidate.revision or not _counts(draft, gate, reading.at):
            continue
        if before is not None and (reading.at <= before.at or _acted_on(draft, gate, before)):
            continue
        compared = _with_baseline(draft, gate, reading, before)
        found = take(gate, compared, before, alpha=alpha, alone=_alone(draft), weight_since=begun)
        states[gate.name] = found.state
        _tell(draft, gate, before, found, trouble=reading.trouble)
    draft.set(gates=tuple(states[gate.name] for gate in draft.spec.gates if gate.name in states))


def _of_service(gate: Gate) -> bool:
    """Whether a gate speaks of the whole service and keeps a rollout from beginning, too."""
    return gate.metric.error_budget is not None and gate.on_breach is BreachAction.HOLD


def _counts(draft: Draft, gate: Gate, at: datetime) -> bool:
    """Whether a look at a time says something: before the new version has traffic, only one of the whole service does."""
    if _of_service(gate):
        return at >= draft.rollout.started_at
    exposed = draft.rollout.exposed_at
    return exposed is not None and at >= exposed and not _over(draft, gate, at)


def _over(draft: Draft, gate: Gate, at: datetime) -> bool:
    """Whether the time in which a gate is active has passed."""
    exposed = draft.rollout.exposed_at
    return gate.active_for is not None and exposed is not None and at > exposed + gate.active_for


def _acted_on(draft: Draft, gate: Gate, state: GateStatus) -> bool:
    """Whether a gate is breached and that is still to be answered: a better look that came in right after must not hide it."""
    waiting = draft.rollout.paused is None and not draft.rollout.skip_to_end
    answered = gate.on_breach is BreachAction.ROLLBACK or (gate.on_breach is BreachAction.PAUSE and waiting)
    return answered and _acts_alone(draft, gate) and limit.breached(state.looks, gate)


def _acts_alone(draft: Draft, gate: Gate) -> bool:
    """Whether a breach of the gate is acted on at once, and not only with all others when a step would end."""
    return not gate.dry_run and (draft.spec.scoring is None or gate.key_objective)


def _alone(draft: Draft) -> bool:
    """Whether all traffic is on the new version, so that stable has none to be compared with."""
    return draft.status.weight == 100 and draft.routed


def _with_baseline(draft: Draft, gate: Gate, reading: Reading, before: GateStatus | None) -> Reading:
    """With all traffic on the new version stable has none to be read: what it had last is what the new one is compared with."""
    if choice.by_evidence(gate) or not _alone(draft) or before is None or before.stable is None:
        return reading
    return replace(reading, stable=before.stable, stable_samples=None)


def weight_begins(draft: Draft) -> None:
    """A route carries a weight: what is counted from here on counts for it, and nothing that was counted before."""
    if not first_weight(draft.status):
        draft.set(gates=tuple(begun_anew(state) for state in draft.status.gates))


def _tell(draft: Draft, gate: Gate, before: GateStatus | None, found: Taken, *, trouble: str) -> None:
    # A first look with too little data is how every rollout begins; it stands in the status, and is told where it lasts. So is
    # evidence that is not enough yet.
    after = found.state
    starved = after.undecided_since is not None
    changed = bool(trouble) if before is None else before.undecided_since is None
    if found.unjudged is not None:
        draft.unjudged.append(found.unjudged)
        changed = before is None or before.message != after.message
    if (starved and changed) or found.anew or (not trouble and _blind_from_the_first(draft, gate, before, after)):
        draft.note(happened.GateUndecided(gate.name, after.message))
    if after.disagrees and not (before is not None and before.disagrees):
        draft.note(SourcesDisagree(gate.name, after.disagrees))
    inaction = _inaction(draft, gate)
    if inaction and breach_of(gate, after, draft.now) and not breach_of(gate, before, draft.now):
        draft.note(happened.BreachTold(gate.name, inaction, after.message))


def _blind_from_the_first(draft: Draft, gate: Gate, before: GateStatus | None, after: GateStatus) -> bool:
    """Whether with this look a gate has had nothing to go by for a while, and has had nothing else since its first look."""
    since, exposed = after.undecided_since, draft.rollout.exposed_at
    if before is None or since is None or exposed is None:
        return False
    first = exposed + max(gate.interval, gate.initial_delay) + gate.interval
    return since <= first and before.at - since < _BLIND <= after.at - since


def _inaction(draft: Draft, gate: Gate) -> str:
    """Return why a breach of a gate is told and not acted on, in words; empty where it is acted on."""
    if gate.dry_run:
        return "dry run"
    if gate.on_breach is BreachAction.WARN:
        return "warning only"
    if gate.on_breach is BreachAction.HOLD:
        return "the weight does not rise until it passes"
    if gate.on_breach is BreachAction.PAUSE and draft.rollout.skip_to_end:
        return "full promotion was requested"
    return "" if _acts_alone(draft, gate) else "it counts towards the score"


def breaches(draft: Draft, action: BreachAction) -> list[Breach]:
    """Return the gates with this action that are breached and act alone, in the policy's order."""
    if not watched(draft):
        return []
    states = {state.name: state for state in draft.status.gates}
    acting = [gate for gate in draft.spec.gates if gate.on_breach is action and _acts_alone(draft, gate)]
    found = (breach_of(gate, states.get(gate.name), draft.now) for gate in acting if not _over(draft, gate, draft.now))
    return [breach for breach in found if breach is not None]


def unmet(draft: Draft, since: datetime | None) -> Waiting | None:
    """Return what a gate is waiting for before the weight may rise, None where all have passed at this weight.

    Args:
        draft: the decision in the making.
        since: looks before this do not count; None where all of this rollout do.
    """
    counts = (gate for gate in draft.spec.gates if (watched(draft) or _of_service(gate)) and _waited_for(draft, gate))
    return _first(_unmet(draft, gate, since) for gate in counts)


def _waited_for(draft: Draft, gate: Gate) -> bool:
    """Whether a weight may not rise without the gate."""
    informs = draft.spec.scoring is not None and gate.weight == 0 and not gate.key_objective
    return not (gate.on_breach is BreachAction.WARN or gate.dry_run or informs or _over(draft, gate, draft.now))


def held(draft: Draft) -> Waiting | None:
    """Return which gate of the whole service keeps the rollout from beginning; None where none does."""
    guards = (gate for gate in draft.spec.gates if _of_service(gate) and not gate.dry_run)
    return _first(_unmet(draft, gate, draft.rollout.started_at) for gate in guards)


def _first(found: Iterable[Waiting | None]) -> Waiting | None:
    return next((waiting for waiting in found if waiting is not None), None)


def _unmet(draft: Draft, gate: Gate, since: datetime | None) -> Waiting | None:
    state = next((state for state in draft.status.gates if state.name == gate.name), None)
    if state is None or (since is not None and state.at < since):
        return Waiting(Wait.GATE, f"for the first check of gate {gate.name} at this weight")
    if state.at < draft.now - 2 * gate.interval - AWAY:
        return Waiting(Wait.GATE, f"for a new check of gate {gate.name}")
    scored = draft.spec.scoring is not None and not gate.key_objective and state.undecided_since is None
    decided = state.verdict is not Verdict.UNDECIDED or state.clear
    if _passed(gate, state) or (scored and decided):
        return None if _of_service(gate) else _lacking(draft, gate, state)
    return _undecided(draft, gate, state.message, state.undecided_since)


def _lacking(draft: Draft, gate: Gate, state: GateStatus) -> Waiting | None:
    """Return what has not been seen yet of the new version at its weight; where that may pass for good, it does after as long."""
    since = weight_since(draft.status)
    # While pods are waited for, the weight is what it was when the step before has ended: all was seen then.
    missing = lacking(gate, state, since) if since is not None else ""
    return _undecided(draft, gate, missing, since) if missing and since is not None else None


def _undecided(draft: Draft, gate: Gate, words: str, since: datetime | None) -> Waiting | None:
    """Return that a gate is waited for; None where it has been undecided for so long that the policy lets it pass."""
    passes = since + gate.on_no_data.after if since is not None and gate.on_no_data.then is NoDataVerdict.PASS else None
    if passes is not None and draft.now >= passes:
        return None
    return Waiting(Wait.GATE, f"for gate {gate.name}: {words}", until=passes)


def _passed(gate: Gate, state: GateStatus) -> bool:
    return state.verdict is Verdict.PASS or (state.clear and not gate.require_proof and state.verdict is not Verdict.FAIL)


def score_now(draft: Draft) -> Score | None:
    """Return what the gates earn together where a step would end now; None where it would not, or nothing is scored."""
    step = draft.step
    if draft.spec.scoring is None or step is None or step.since is None or step.until is None or not watched(draft):
        return None
    if draft.now < step.until or draft.rollout.paused is not None or draft.rollout.skip_to_end or draft.promoting:
        return None
    over = {gate.name for gate in draft.spec.gates if _over(draft, gate, draft.now)}
    return score(draft.spec, (state for state in draft.status.gates if state.at >= step.since), now=draft.now, over=over)


def proven(draft: Draft, since: datetime) -> bool:
    """Whether every gate has shown at this weight that the new version is within its limit, by evidence wherever there is any."""
    states = {state.name: state for state in draft.status.gates}
    waited_for = [gate for gate in draft.spec.gates if _waited_for(draft, gate)]
    passed = all(
        (state := states.get(gate.name)) is not None and state.verdict is Verdict.PASS and state.at >= since for gate in waited_for
    )
    return passed and any(choice.by_evidence(gate) for gate in waited_for) and unmet(draft, since) is None


def next_looks(draft: Draft) -> tuple[Look, ...]:
    """Return the next look of each gate that is looked at."""
    if not guarded(draft):
        return ()
    states = {state.name: state for state in draft.status.gates}
    exposed = draft.rollout.exposed_at or draft.now
    looks = []
    for gate in draft.spec.gates:
        state = states.get(gate.name)
        if _of_service(gate):
            looks.append(Look(gate.name, state.at + gate.interval if state else draft.rollout.started_at))
        elif watched(draft):
            first = exposed + max(gate.interval, gate.initial_delay)
            at = max(first, state.at + interval_of(gate, state)) if state else first
            if not _over(draft, gate, max(at, draft.now)):
                looks.append(Look(gate.name, at))
    return tuple(looks)


def patience_ends(draft: Draft) -> Iterator[datetime]:
    """Yield when undecided gates count as what their policy says, though nothing be found."""
    if not guarded(draft):
        return
    states = {state.name: state for state in draft.status.gates}
    for gate in draft.spec.gates:
        state = states.get(gate.name)
        if state is not None and state.undecided_since is not None and gate.on_no_data.then is not NoDataVerdict.HOLD:
            yield state.undecided_since + gate.on_no_data.after
