"""What people command by ReleaseDecisions: each is carried out once, in the order in which they were made.

The status has the uid of a command, and what became of it, from the very write with which the command takes effect, and before
anything is done about it. Who dies in between finds it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tidegate.api.base import clip
from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.names import Cause
from tidegate.engine.asked import carry_out, no_way_back
from tidegate.engine.carrying import has_room, make_room, note_carried
from tidegate.engine.changes import keep_out, reject, undo
from tidegate.engine.commanded import DecisionRefused, KeptOut
from tidegate.engine.decided import about_candidate, about_wanted, is_entitled, pending, text_of, too_late, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.facts import rejection
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import CHANGED, Inquiry, Ruling, Wait, Waiting
from tidegate.governance.decisions import CAREFUL, DecisionView, called

_VERBS = {
    Action.PROMOTE: Verb.PROMOTE,
    Action.ROLLBACK: Verb.ROLLBACK,
    Action.PAUSE: Verb.PAUSE,
    Action.RESUME: Verb.RESUME,
    Action.RETRY: Verb.RETRY,
}


def commands_are_carried_out(draft: Draft) -> Ruling:
    """All commands that were not yet, in their order; a retry waits for the end of a rollback, and what was made after it, too.

    Where the status has no room for one, it waits until those before it say what became of them. What takes traffic away waits for
    nothing: it is carried out, and stands in the status as soon as there is room.
    """
    if draft.deleting:
        return None
    ruling: Ruling = None
    full_for: datetime | None = None
    commands = pending(draft)
    for place, one in enumerate(commands):
        is_noted = one.created != full_for and (has_room(draft) or make_room(draft, one.created))
        full_for = None if is_noted else one.created
        if not is_noted and not _takes_away(draft, one):
            continue
        settled = _settled(draft, one, commands[place + 1 :])
        if isinstance(settled, Waiting):
            return ruling or settled
        if is_noted:
            _note(draft, one, *settled)
        ruling = CHANGED if is_noted or settled[0] is DecisionOutcome.CARRIED_OUT else ruling
    return ruling


def _takes_away(draft: Draft, one: DecisionView) -> bool:
    """Whether a command may take traffic from the new version, or keep it from more, that nothing has done yet."""
    return one.action in CAREFUL and draft.reversible and (one.action is not Action.PAUSE or draft.rollout.paused is None)


def _settled(draft: Draft, one: DecisionView, later: Sequence[DecisionView]) -> tuple[DecisionOutcome, str] | Waiting:
    """Carry a command out, and return what became of it; or what it waits for."""
    if (why := too_late(draft, one)) is not None:
        return why
    if one.action not in CAREFUL and (words := _overtaken(draft, one, later)):
        return DecisionOutcome.SUPERSEDED, words
    if one.action is Action.RETRY and draft.undoing:
        return Waiting(Wait.ROLLBACK_FIRST, f"for the rollback to end before {text_of(one)} is carried out")
    if one.action not in CAREFUL and unasked(draft, [one.uid]):
        words = f"to ask the API server whether {called(one.by)} still has the right before {text_of(one)} is carried out"
        return Waiting(Wait.RIGHTS, words, asks=frozenset({Inquiry.RIGHTS}))
    if one.action is Action.REJECT:
        refusal = _reject(draft, one)
    elif one.action not in CAREFUL and not is_entitled(draft, one):
        refusal = f"{called(one.by)} may not {one.action.lower()} this Release any more"
    elif words := _of_another(draft, one):
        return DecisionOutcome.SUPERSEDED, words
    elif words := _to_another(draft, one):
        refusal = words
    else:
        verb = Verb.ROLLBACK_AND_HOLD if one.action is Action.ROLLBACK and one.hold else _VERBS[one.action]
        refusal = carry_out(draft, verb, _request(one), names=bool(one.revision or one.digest))
    return (DecisionOutcome.REFUSED, refusal) if refusal else (DecisionOutcome.CARRIED_OUT, "")


def _overtaken(draft: Draft, one: DecisionView, later: Sequence[DecisionView]) -> str:
    """Return which command that was made later makes void one that gives traffic, in words; empty where none does.

    Another one may be seen late, as where two API servers have clocks of their own; and what was made after it may be known before
    it is carried out.
    """
    done = (each for each in draft.status.carried_out if each.outcome is DecisionOutcome.CARRIED_OUT)
    after = [each for each in done if each.made > one.created and each.action is not Action.SWITCH]
    if after:
        return f"{after[-1].action.lower()} by {after[-1].by or 'somebody'} was decided later, and was carried out before this one"
    careful = next((other for other in later if other.action in CAREFUL and too_late(draft, other) is None), None)
    return f"{text_of(careful)} was decided after it" if careful is not None else ""


def _of_another(draft: Draft, one: DecisionView) -> str:
    """Return that a command is about a version which is not the one that it would concern, in words; empty where it is."""
    if not one.revision and not one.digest:
        return ""
    if draft.active and one.action is not Action.RETRY:
        if about_candidate(draft, one):
            return ""
        return f"it is about revision {one.revision}; {draft.candidate.version} (revision {draft.candidate.revision}) is rolled out"
    if about_wanted(draft, one):
        return ""
    template = draft.workload.template if draft.workload is not None else None
    wanted = f"; {template.version} (revision {template.revision}) is the wanted version" if template is not None else ""
    return f"it is about revision {one.revision}{wanted}"


def _to_another(draft: Draft, one: DecisionView) -> str:
    """Return why a rollback cannot lead to the version that it names, in words; empty where it can, or names none."""
    if one.action is not Action.ROLLBACK or not one.to_version or draft.status.stable is None:
        return ""
    if one.to_version in (draft.status.stable.version, draft.stable.version):
        return ""
    return (
        f"a rollback leads to the version in force, which is {draft.stable.version} and not {one.to_version}; "
        f"to have {one.to_version} again, write its template into the {draft.handover.kind}"
    )


def _reject(draft: Draft, one: DecisionView) -> str:
    """Keep a version out, and take it back where it is rolled out."""
    message = clip(_rejection(one))
    if draft.active and about_candidate(draft, one):
        if draft.committed:
            return no_way_back(draft)
        reject(draft, Cause.REJECTED, message)
        if not draft.undoing:
            undo(draft, Cause.REJECTED, message)
        return ""
    template = draft.workload.template if draft.workload is not None else None
    stable = draft.status.stable
    if template is None or stable is None or draft.wants(stable.revision) or not about_wanted(draft, one):
        return f"revision {one.revision or 'of this digest'} is neither wanted nor rolled out"
    if rejection(draft) is None:
        keep_out(draft, template.revision, template.version, Cause.REJECTED, message)
        draft.note(KeptOut(template.version, message))
    return ""


def _rejection(one: DecisionView) -> str:
    role = f" as {one.role}" if one.role else ""
    return f"rejected by {called(one.by)}{role}" + (f": {one.reason}" if one.reason else "")


def _request(one: DecisionView) -> str:
    """Return by whom it is, in the place where a request by annotation has its text."""
    return f"by {called(one.by)}" + (f": {one.reason}" if one.reason else "")


def _note(draft: Draft, one: DecisionView, outcome: DecisionOutcome, why: str) -> None:
    """Write down what became of a command; that nothing was done, and why, is an Event, too."""
    note_carried(draft, one, outcome, why)
    if why and outcome is not DecisionOutcome.CARRIED_OUT:
        draft.note(DecisionRefused(text_of(one).capitalize(), why))
