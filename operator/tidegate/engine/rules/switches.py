"""The rule for switches: a decision forces one variant of a flag on everybody, whatever a rollout does, until one takes it back.

It waits for nothing that other commands wait for, and nothing waits for it.
"""

from __future__ import annotations

from tidegate.api.decision import DecisionOutcome
from tidegate.api.edits import edited
from tidegate.api.flagged import MOST_FLAG_STATUSES, FlagStatus
from tidegate.api.flags import Position
from tidegate.engine.carrying import has_room, make_room, note_carried
from tidegate.engine.commanded import DecisionRefused
from tidegate.engine.decided import is_entitled, switches_pending, too_late, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.flagged import Switched
from tidegate.engine.flagging import entry_of, flag_named, put
from tidegate.engine.waits import CHANGED, Inquiry, Ruling, Wait, Waiting
from tidegate.governance.decisions import DecisionView, called
from tidegate.governance.flags import target_of

_CARRIED = DecisionOutcome.CARRIED_OUT, ""


def switches_are_carried_out(draft: Draft) -> Ruling:
    """The last decision on each flag counts; those before it that nobody has carried out yet are superseded."""
    if draft.deleting:
        return None
    ruling: Ruling = None
    pending = switches_pending(draft)
    for place, one in enumerate(pending):
        later = next((other for other in pending[place + 1 :] if other.flag == one.flag and _counts(draft, other)), None)
        before = draft.status.flags
        settled = _settled(draft, one, later)
        if isinstance(settled, Waiting):
            ruling = ruling or settled
            continue
        if has_room(draft) or make_room(draft, one.created):
            note_carried(draft, one, *settled)
            if settled[0] is not DecisionOutcome.CARRIED_OUT:
                draft.note(DecisionRefused(f"Switch of {one.flag} by {called(one.by)}", settled[1]))
            ruling = CHANGED
        elif draft.status.flags is not before:
            ruling = CHANGED
    return ruling


def _counts(draft: Draft, one: DecisionView) -> bool:
    """Whether a decision takes the place of those before it: a kill switch is not given up for one that may yet be refused."""
    return too_late(draft, one) is None and (one.switch is Position.OFF or is_entitled(draft, one))


def _settled(draft: Draft, one: DecisionView, later: DecisionView | None) -> tuple[DecisionOutcome, str] | Waiting:
    """Carry a decision out, and return what became of it; or what it waits for."""
    if (why := too_late(draft, one)) is not None:
        return why
    if later is not None:
        return DecisionOutcome.SUPERSEDED, f"a switch of {one.flag} by {called(later.by)} was decided after it"
    entry = _entry(draft, one)
    if isinstance(entry, str):
        return DecisionOutcome.REFUSED, entry
    if one.switch is Position.OFF:
        return _force(draft, one, *entry)
    # What is switched off comes back, or users get what they did not have: that can wait for an answer.
    back = one.switch is Position.BACK
    if back and (entry[1] is None or not entry[1].forced):
        return DecisionOutcome.REFUSED, f"flag {one.flag} is not switched off or on"
    if unasked(draft, [one.uid]):
        to = "back" if back else "on"
        words = f"to ask the API server whether {called(one.by)} still has the right to switch flag {one.flag} {to}"
        return Waiting(Wait.RIGHTS, words, asks=frozenset({Inquiry.RIGHTS}))
    if not is_entitled(draft, one):
        return DecisionOutcome.REFUSED, f"{called(one.by)} may not switch flags of this Release any more"
    if not back:
        return _force(draft, one, *entry)
    assert entry[1] is not None
    if not entry[1].released:
        put(draft, edited(entry[1], released=True, by=called(one.by), decided=one.created, since=draft.now, message=""), entry[1])
        draft.note(Switched(target_of(entry[0].target).words, Position.BACK, "", _by(one)))
    return _CARRIED


def _entry(draft: Draft, one: DecisionView) -> tuple[FlagStatus, FlagStatus | None] | str:
    """Return what the status is to have of a flag, and what it has; or why nothing can be switched, in words."""
    there = next((entry for entry in draft.status.flags if entry.name == one.flag and entry.forced), None)
    if there is not None:
        return there, there
    found = flag_named(draft, one.flag)
    if found is None:
        flags = draft.snap.release.spec.flags
        named = ", ".join(flag.name for flag in flags.items) if flags is not None else "none"
        return f"Release {draft.snap.release.name} has no flag {one.flag} (spec.flags); there are: {named}"
    flag, where = found
    there = entry_of(draft, where)
    if there is None and len(draft.status.flags) >= MOST_FLAG_STATUSES:
        return "the status has no room for another flag: too many of an earlier spec.flags are not as they were yet"
    return there or FlagStatus(target=where.id, name=flag.name, on=flag.on, off=flag.off, since=draft.now), there


def _force(draft: Draft, one: DecisionView, entry: FlagStatus, there: FlagStatus | None) -> tuple[DecisionOutcome, str]:
    forced = entry.on if one.switch is Position.ON else entry.off
    if entry.forced == forced and not entry.released:
        return _CARRIED
    after = edited(
        entry, forced=forced, released=False, by=called(one.by), decided=one.created, in_force=None, since=draft.now, message=""
    )
    put(draft, after, there)
    assert one.switch is not None
    draft.note(Switched(target_of(entry.target).words, one.switch, forced, _by(one)))
    return _CARRIED


def _by(one: DecisionView) -> str:
    return f"by {called(one.by)}" + (f": {one.reason}" if one.reason else "")
