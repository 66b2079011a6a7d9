"""What more than one rule does to a draft: a version is rejected, loses weight, is paused, and a rollout ends."""

from __future__ import annotations

from tidegate.api.base import clip
from tidegate.api.checked import MOST_CHECKS, CheckStatus
from tidegate.api.checks import Check
from tidegate.api.decided import RejectedStatus
from tidegate.api.edits import edited
from tidegate.api.names import Cause, Phase
from tidegate.api.status import (
    GateStatus,
    LastRollout,
    Outcome,
    PauseStatus,
    RevisionStatus,
)
from tidegate.engine import transitions as happened
from tidegate.engine.begun import begun
from tidegate.engine.draft import Draft
from tidegate.engine.facts import whom_it_asks
from tidegate.engine.migrating import ended
from tidegate.engine.recording import record
from tidegate.engine.ruled import conditions

KEEP_REJECTED = 10
KEEP_SERVED = 5
_OUTCOMES = {
    Cause.PROMOTED: Outcome.PROMOTED,
    Cause.SUPERSEDED: Outcome.SUPERSEDED,
    Cause.REVERTED: Outcome.REVERTED,
}


def reject(draft: Draft, cause: Cause, message: str, *, member: str | None = None) -> None:
    """Remember the candidate as a revision that gets no traffic again; `member` is that of the group because of which."""
    assert draft.status.candidate is not None
    keep_out(draft, draft.candidate.revision, draft.status.candidate.version, cause, message, member=member)


def keep_out(draft: Draft, revision: str, version: str, cause: Cause, message: str, *, member: str | None = None) -> None:
    """Remember a revision as one that gets no traffic."""
    entry = RejectedStatus(revision=revision, version=version, cause=cause, message=clip(message), at=draft.now, member=member)
    others = tuple(one for one in draft.status.rejected if one.revision != entry.revision)
    draft.set(rejected=(*others, entry)[-KEEP_REJECTED:])


def put_in_force(draft: Draft, stable: RevisionStatus) -> None:
    """Note which version is in force from now on; the one before stays known as one that has served here."""
    before = draft.status.stable
    if before is not None and before.revision != stable.revision:
        others = (revision for revision in draft.status.served or () if revision not in (before.revision, stable.revision))
        draft.set(served=(*others, before.revision)[-KEEP_SERVED:])
    draft.set(stable=stable)


def give_back(draft: Draft, reason: str, *, weight: int = 0) -> None:
    """Take weight from the new version without a verdict on it: all of it, or down to what it can carry."""
    if draft.status.weight > weight:
        draft.note(happened.WeightLowered(draft.candidate.version, draft.status.weight, weight, reason))
    draft.give_weight(weight)
    draft.set(phase=Phase.PROGRESSING)
    if weight == 0:
        # Time without traffic is no time in which a gate was undecided.
        draft.set(gates=tuple(edited(state, undecided_since=None, quiet_since=None) for state in draft.status.gates))


def pause(draft: Draft, paused: PauseStatus) -> None:
    """Keep the weight and ask people, the roles that the gate names first."""
    draft.set_rollout(paused=edited(paused, message=clip(paused.message)))
    place = draft.candidate.version, draft.status.weight
    draft.note(happened.BreachPauses(*place, paused.gate or "", paused.message, whom_it_asks(paused)))


def record_end(draft: Draft, cause: Cause, message: str) -> None:
    """Write into the status how the rollout that is on ended, and that none is on any more."""
    rollout, candidate = draft.rollout, draft.candidate
    outcome = _OUTCOMES.get(cause, Outcome.ROLLED_BACK)
    assert draft.status.candidate is not None
    last = LastRollout(
        version=draft.status.candidate.version,
        revision=candidate.revision,
        outcome=outcome,
        cause=cause,
        message=message,
        started_at=rollout.started_at,
        finished_at=draft.now,
        gates=tuple(_at_the_end(state) for state in draft.status.gates),
    )
    record(draft, last)
    draft.note(happened.Ended(candidate.version, draft.stable.version, outcome, cause, message))
    draft.set(checks=_checks_after(draft, outcome))
    ended(draft, outcome)
    if outcome is Outcome.ROLLED_BACK and draft.status.stable is not None:
        draft.set(stable=edited(draft.status.stable, rolled_back_at=draft.now))
    draft.set(last_rollout=last, rollout=None, candidate=None, step=None, weight=0, gates=(), phase=Phase.IDLE)


def _checks_after(draft: Draft, outcome: Outcome) -> tuple[CheckStatus, ...]:
    """Return the checks with those that begin as the rollout that is on ends so; what cannot be said not to be needed is made."""
    assert draft.status.candidate is not None
    digest, applies = draft.status.candidate.digest or "", conditions(draft) if draft.workload is not None else lambda _: True

    def is_needed(check: Check) -> bool:
        try:
            return check.at == outcome and (check.when is None or applies(check.when))
        except ValueError:
            return True

    new = tuple(begun(draft, check, digest) for check in draft.spec.checks if is_needed(check))
    kept = (one for one in draft.status.checks if one.name not in {other.name for other in new})
    return (*kept, *new)[-MOST_CHECKS:]


def _at_the_end(state: GateStatus) -> GateStatus:
    """Return a gate as people want to read it afterwards: no test goes on from here."""
    if state.evidence is None:
        return state
    return edited(state, evidence=edited(state.evidence, state=""))


def roll_back(draft: Draft, cause: Cause, message: str) -> None:
    """Undo the rollout, and keep the version out until a person asks for a retry or its template changes."""
    reject(draft, cause, message)
    undo(draft, cause, message)


def undo(draft: Draft, cause: Cause, message: str, *, wanted: bool = False) -> None:
    """Undo the rollout without a word on the version.

    Args:
        draft: the decision in the making; a rollout is on.
        cause: why.
        message: why, in words.
        wanted: somebody has changed or deleted things so that it must be; nobody need look.
    """
    draft.note(happened.RollingBack(draft.candidate.version, cause, message, wanted=wanted))
    draft.begin_undo(cause, message)


def tell_that_it_waits_on(draft: Draft, message: str) -> None:
    """Say in an Event that the progressDeadline has passed, and that the policy wants it to be no end."""
    draft.note(happened.DeadlinePassed(draft.candidate.version, draft.status.weight, message))
