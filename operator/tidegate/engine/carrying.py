"""What the status keeps of decisions that were dealt with: the last of them, so that each is carried out once and told of once."""

from __future__ import annotations

from datetime import datetime, timedelta

from tidegate.api.base import clip
from tidegate.api.decided import LONGEST_WHY, MOST_CARRIED, CarriedStatus
from tidegate.api.decision import DecisionOutcome
from tidegate.engine.decided import untold
from tidegate.engine.draft import Draft
from tidegate.governance.decisions import COMMANDS, DecisionView, called

KEEP = 16
"""Decisions that the status shows although they say themselves what became of them."""
_REST_OF_A_SECOND = timedelta(milliseconds=999)


def has_room(draft: Draft) -> bool:
    """Whether the status has room for one more; those that say themselves what became of them make room."""
    return len(untold(draft)) < MOST_CARRIED - 1


def make_room(draft: Draft, before: datetime) -> bool:
    """Let go of the oldest commands although their decisions do not say what became of them; return whether there is room then.

    Their whole second is over with them, or they would be carried out again. What was noted in this decision stays.

    Args:
        draft: the decision in the making, which has no room.
        before: they were made in an earlier second.
    """
    there = {one.uid for one in draft.snap.status.carried_out}
    old = [one.made for one in draft.status.carried_out if one.made < before and one.action in COMMANDS and one.uid in there]
    if not old:
        return False
    first, until = min(old), draft.status.carried_until
    over = first + _REST_OF_A_SECOND
    kept = tuple(one for one in draft.status.carried_out if one.made != first or one.action not in COMMANDS)
    draft.set(carried_out=kept, carried_until=over if until is None else max(until, over))
    return has_room(draft)


def note_carried(draft: Draft, one: DecisionView, outcome: DecisionOutcome, why: str) -> None:
    """Write a decision down; a command that has to make room for it is never carried out again, for all up to its time is over.

    Args:
        draft: the decision in the making, which has room.
        one: what was dealt with.
        outcome: what became of it.
        why: the same in words.
    """
    entry = CarriedStatus(
        uid=one.uid,
        name=one.name,
        action=one.action,
        by=called(one.by),
        made=one.created,
        outcome=outcome,
        message=clip(why, LONGEST_WHY),
    )
    # Times have whole seconds: what was dealt with later stands behind others of its second.
    kept = sorted((*draft.status.carried_out, entry), key=lambda done: done.made)
    needed = {entry.uid, *untold(draft)}
    gone = [done for done in kept if done.uid not in needed][: max(0, len(kept) - KEEP)]
    before = draft.status.carried_until
    commands = (done.made for done in gone if done.action in COMMANDS)
    until = max((*([before] if before is not None else []), *commands), default=None)
    draft.set(carried_out=tuple(done for done in kept if done not in gone), carried_until=until)
