"""What a person may ask for, by whichever way: promote, rollback, rollback-and-hold, pause, resume, retry."""

from __future__ import annotations

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.api.gate import BreachAction
from tidegate.api.names import Cause
from tidegate.api.status import (
    GateStatus,
    PauseStatus,
)
from tidegate.api.waiting import HoldStatus
from tidegate.engine import transitions as happened
from tidegate.engine.changes import roll_back
from tidegate.engine.counted import begun_anew
from tidegate.engine.draft import Draft
from tidegate.engine.facts import rejection, wanted_name
from tidegate.engine.migrating import is_in_its_own_way, why_not_again
from tidegate.engine.migrating import run_again as run_migration_again
from tidegate.engine.running import run_again
from tidegate.engine.snapshot import Verb
from tidegate.engine.taken_over import FollowingHeld, FollowingResumed
from tidegate.governance.upstreams import called
from tidegate.judge.limit import breached


def carry_out(draft: Draft, verb: Verb, request: str, *, names: bool = False) -> str:
    """Do what a person asks for.

    Args:
        draft: the decision in the making.
        verb: what is asked for.
        request: by whom or by what, for people.
        names: it says which version it is about, which is the wanted one.

    Returns:
        Why it is refused, in words; empty where it was done.
    """
    if verb is Verb.RETRY:
        return _retry(draft, request, names=names)
    return _HANDLERS[verb](draft, request)


def no_way_back(draft: Draft) -> str:
    """Return why nothing can be asked of a rollout, in words; empty where one is on that can still be undone."""
    if not draft.active:
        return "no rollout is in progress"
    if draft.undoing:
        return "a rollback is already in progress"
    if draft.committed:
        return "the new version has already been promoted"
    return ""


def _promote(draft: Draft, request: str) -> str:
    if refusal := no_way_back(draft):
        return refusal
    draft.set_rollout(skip_to_end=True)
    _go_on(draft)
    if draft.step is not None and draft.step.until is not None:
        draft.set_step(until=min(draft.now, draft.step.until))
    draft.note(happened.PromotionRequested(draft.candidate.version, request))
    return ""


def _rollback(draft: Draft, request: str) -> str:
    if refusal := no_way_back(draft):
        return refusal
    message = f"rollback was requested ({request})"
    if draft.rollout.paused is not None and draft.rollout.paused.gate:
        message += f" after {draft.rollout.paused.message}"
    roll_back(draft, Cause.REQUEST, message)
    _hold_following(draft, message)
    return ""


def _hold_following(draft: Draft, message: str) -> None:
    """A person has taken back what may have come from the Release that this one follows: nothing more comes until they resume."""
    view, followed = draft.snap.following, draft.status.followed
    if view is None or followed is None or followed.held is not None:
        return
    held = HoldStatus(message=clip(message), since=draft.now)
    draft.set(followed=edited(followed, held=held))
    draft.note(FollowingHeld(view.upstream.name, message))


def _rollback_and_hold(draft: Draft, request: str) -> str:
    """Roll back what is on, if something is, and start nothing after it: what comes next may be as bad, or hide what was seen."""
    if draft.active and not draft.undoing and (refusal := _rollback(draft, request)):
        return refusal
    message = f"a hold was requested ({request})"
    draft.set(held=HoldStatus(message=clip(message), since=draft.now))
    draft.note(happened.NextHeld(message))
    return ""


def _pause(draft: Draft, request: str) -> str:
    if refusal := no_way_back(draft):
        return refusal
    if draft.rollout.paused is not None:
        return "the rollout is already paused"
    message = f"pause was requested ({request})"
    draft.set_rollout(paused=PauseStatus(cause=Cause.REQUEST, message=clip(message), since=draft.now))
    draft.note(happened.Paused(draft.candidate.version, draft.status.weight, request))
    return ""


def _resume(draft: Draft, request: str) -> str:
    if draft.status.held is not None:
        draft.set(held=None)
        draft.note(happened.NextReleased(request))
        _follow_again(draft, request)
        return ""
    paused = draft.active and draft.rollout.paused is not None
    if not paused and _follow_again(draft, request):
        return ""
    if refusal := no_way_back(draft):
        return refusal
    if draft.rollout.paused is None:
        return "the rollout is not paused"
    _go_on(draft)
    draft.set(gates=_answered(draft))
    draft.note(happened.Resumed(draft.candidate.version, draft.status.weight, request))
    return ""


def _follow_again(draft: Draft, request: str) -> bool:
    """Take over what the other Release proves from now on; return whether that was held."""
    followed = draft.status.followed
    if followed is None or followed.held is None:
        return False
    draft.set(followed=edited(followed, held=None))
    draft.note(FollowingResumed(called(followed.release, followed.namespace, followed.cluster), request))
    return True


def _go_on(draft: Draft) -> None:
    if draft.rollout.paused is not None and draft.step is not None:
        # The time of the pause is not counted against pods that are waited for.
        draft.set_step(missing=None, entered=draft.now if draft.step.since is None else draft.step.entered)
    if draft.rollout.paused is not None and draft.rollout.paused.cause is Cause.GATE and draft.rollout.paused.gate is None:
        # What the score was made of has been answered: the hold begins anew, and counts new looks only.
        draft.set_step(since=None, until=None)
    draft.set_rollout(paused=None)


def _answered(draft: Draft) -> tuple[GateStatus, ...]:
    """Return the gates without the looks that led to a pause: only new ones can pause again, and only on new evidence."""
    pausing = {gate.name: gate for gate in draft.spec.gates if gate.on_breach is BreachAction.PAUSE}
    return tuple(
        _looked_at_anew(state, breached=breached(state.looks, pausing[state.name])) if state.name in pausing else state
        for state in draft.status.gates
    )


def _looked_at_anew(state: GateStatus, *, breached: bool) -> GateStatus:
    anew = edited(begun_anew(state), looks="", undecided_since=None, quiet_since=None)
    return edited(anew, evidence=None, clear=False) if breached else anew


def _retry(draft: Draft, request: str, *, names: bool) -> str:
    if not draft.undoing and run_again(draft):
        draft.note(happened.Retried(wanted_name(draft), request))
        return ""
    if draft.active:
        return "a rollout is in progress"
    rejected = rejection(draft)
    if rejected is None or is_in_its_own_way(draft):
        if refusal := why_not_again(draft, names=names):
            return refusal
        if again := run_migration_again(draft):
            draft.note(happened.Retried(again, request))
            return ""
    if rejected is None:
        return "the wanted version has not been rejected"
    # The same template may have been rejected under more than one name.
    while (entry := rejection(draft)) is not None:
        draft.set(rejected=tuple(one for one in draft.status.rejected if one is not entry))
    draft.note(happened.Retried(rejected.version, request))
    return ""


_HANDLERS = {
    Verb.PROMOTE: _promote,
    Verb.ROLLBACK: _rollback,
    Verb.ROLLBACK_AND_HOLD: _rollback_and_hold,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
}
