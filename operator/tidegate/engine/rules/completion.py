"""The rules that end a rollout: promotion, and what is left to do after it was undone."""

from __future__ import annotations

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.names import Cause, Verdict
from tidegate.api.status import RevisionStatus
from tidegate.engine.changes import put_in_force, record_end
from tidegate.engine.draft import Draft
from tidegate.engine.facts import drained, has_pods, off_course, promotion_waits, router_silent, routes_return, targets_of_candidate
from tidegate.engine.recording import commit_time
from tidegate.engine.waits import CHANGED, Ruling, Wait, Waiting


def promotion_is_done(draft: Draft) -> Ruling:
    """The workload has taken the pods over, the old ones are gone, and the routes are as the user wrote them."""
    canary, old = draft.canary_arm, draft.stable_arm
    committed = draft.workload is not None and canary is not None and draft.committed
    if not committed and (waiting := promotion_waits(draft)) is not None:
        return waiting
    if canary is None or not committed or not draft.handover.adopted(draft):
        return Waiting(Wait.ADOPTED, f"for the {draft.handover.kind} to adopt the new {draft.handover.arm}")
    if old is not None and (old.wanted > 0 or old.current > 0):
        return Waiting(Wait.OLD_PODS, f"for the pods of {draft.stable.version} to stop")
    if (waiting := routes_return(draft)) is not None:
        return waiting
    if (waiting := draft.handover.unsettled(draft)) is not None:
        return waiting
    assert draft.status.candidate is not None
    stable = RevisionStatus(
        revision=canary.revision,
        version=draft.status.candidate.version,
        images=dict(canary.images) or None,
        committed_at=commit_time(draft, canary.revision),
        promoted_at=draft.now,
    )
    targets = targets_of_candidate(draft)
    record_end(draft, Cause.PROMOTED, _why_promoted(draft))
    put_in_force(draft, stable)
    draft.set(stable_targets=targets)
    return CHANGED


def _why_promoted(draft: Draft) -> str:
    """Return why a version was promoted: a person who has asked for it answers for what no step and no gate has."""
    if not draft.rollout.skip_to_end:
        return "all steps passed"
    by = f" ({request})" if (request := _who_promotes(draft)) else ""
    unconvinced = [
        f"{state.name} ({state.verdict})" for state in draft.status.gates if state.verdict is not Verdict.PASS and not state.clear
    ]
    said = f"; gates not passed: {', '.join(unconvinced)}" if unconvinced else ""
    return f"full promotion was requested{by}, which skips steps and gates{said}"


def _who_promotes(draft: Draft) -> str:
    """Return who or what has asked for full promotion last, as far as the status has it."""
    began = draft.rollout.started_at.replace(microsecond=0)
    promoted = [
        one
        for one in draft.status.carried_out
        if (one.action, one.outcome) == (Action.PROMOTE, DecisionOutcome.CARRIED_OUT) and one.made >= began
    ]
    if promoted:
        return f"by {promoted[-1].by}"
    request = draft.status.handled_request or ""
    return request if request.startswith("promote/") else ""


def undo_is_done(draft: Draft) -> Ruling:
    """The pods of the new version are gone; the routes are as the user wrote them, unless a newer version needs them at once."""
    canary, undo = draft.canary_arm, draft.rollout.undo
    assert undo is not None
    if has_pods(canary):
        silent = router_silent(draft) if drained(draft) is None else None
        return silent or Waiting(Wait.NEW_PODS, f"for the pods of {draft.candidate.version} to stop")
    next_one = undo is Cause.SUPERSEDED and draft.workload is not None and not draft.deleting
    # A route that cannot go back, for the Service leads elsewhere, stays where stable serves: that is no reason to undo for ever.
    stays = next_one or (off_course(draft) and draft.routes_are_shut())
    if not stays and (waiting := routes_return(draft)) is not None:
        return waiting
    record_end(draft, undo, draft.rollout.undo_message)
    return CHANGED
