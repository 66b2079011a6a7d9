"""The rules that turn a rollout round: breach, deletion, a template that changed, a workload without pods.

Each rule looks at the draft, changes it if it applies, and says what it comes to.
"""

from __future__ import annotations

from tidegate.api.gate import BreachAction
from tidegate.api.names import Cause
from tidegate.api.status import PauseStatus
from tidegate.engine import gates
from tidegate.engine import transitions as happened
from tidegate.engine.changes import give_back, pause, reject, undo
from tidegate.engine.draft import Draft
from tidegate.engine.facts import rejection
from tidegate.engine.scoring import Result
from tidegate.engine.waits import CHANGED, Ruling


def breach_rolls_back(draft: Draft) -> Ruling:
    """A breached gate with the action Rollback: all traffic to stable, and the revision is remembered as rejected."""
    found = gates.breaches(draft, BreachAction.ROLLBACK)
    if not found:
        return None
    message = "; ".join(breach.message for breach in found)
    reject(draft, found[0].cause, message)
    names = tuple(breach.gate.name for breach in found)
    draft.note(happened.BreachRollsBack(draft.candidate.version, names, message))
    draft.begin_undo(found[0].cause, message)
    return CHANGED


def deletion_undoes(draft: Draft) -> Ruling:
    """The Release is being deleted: a rollout that is on is undone, so that what served before serves on."""
    if not draft.deleting:
        return None
    message = "the Release is being deleted"
    undo(draft, Cause.DELETED, message, wanted=True)
    return CHANGED


def workload_went_back(draft: Draft) -> Ruling:
    """While the workload took the new version over, its template went back, or the new pods went: stable serves again."""
    reverts = draft.handover.reverts
    if reverts is None or draft.workload is None or not (why := reverts.reverted(draft)):
        return None
    undo(draft, Cause.REVERTED, why)
    return CHANGED


def template_changed(draft: Draft) -> Ruling:
    """The wanted template is no longer the candidate's: a newer version supersedes it, or stable's own template is back."""
    if draft.workload is None or draft.wants(draft.candidate.revision):
        return None
    template = draft.workload.template
    if draft.wants(draft.stable.revision) or draft.stable.revision in template.restart_of:
        message = f"the template was changed back to {draft.stable.version}"
        undo(draft, Cause.REVERTED, message, wanted=True)
        return CHANGED
    message = f"{template.version} replaces it"
    if rejection(draft) is not None:
        message = f"{template.version} is wanted again, but was rejected earlier"
    undo(draft, Cause.SUPERSEDED, message, wanted=True)
    return CHANGED


def scaled_to_zero(draft: Draft) -> Ruling:
    """The workload is to have no pods: nothing can be judged, and the steps begin anew once it is scaled up."""
    if draft.step is None or draft.workload is None or draft.replicas > 0:
        return None
    give_back(draft, f"the {draft.handover.kind} is scaled to 0")
    draft.set(step=None)
    return CHANGED


def breach_pauses(draft: Draft) -> Ruling:
    """A breached gate with the action Pause: the weight stays, and a person is asked, unless one has asked for full promotion."""
    if draft.rollout.paused is not None or draft.rollout.skip_to_end:
        return None
    found = gates.breaches(draft, BreachAction.PAUSE)
    if not found:
        return None
    first = found[0]
    pause(draft, PauseStatus(cause=first.cause, gate=first.gate.name, message=first.message, ask=first.gate.ask, since=draft.now))
    return CHANGED


def score_is_too_low(draft: Draft) -> Ruling:
    """A step would end, and the gates together did not earn enough."""
    if (scoring := draft.spec.scoring) is None:
        return None
    score = gates.score_now(draft)
    if score is None or score.result is not Result.BREACH:
        return None
    if scoring.on_breach is BreachAction.PAUSE:
        pause(draft, PauseStatus(cause=Cause.GATE, message=score.words, since=draft.now))
        return CHANGED
    reject(draft, Cause.GATE, score.words)
    draft.note(happened.BreachRollsBack(draft.candidate.version, (), score.words))
    draft.begin_undo(Cause.GATE, score.words)
    return CHANGED
