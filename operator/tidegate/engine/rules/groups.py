"""The rules of a Release that moves with others: what happens to one happens to all, and with whom it has moved is noted."""

from __future__ import annotations

from tidegate.api.grouped import MOST_MEMBERS, MateStatus
from tidegate.api.names import Cause
from tidegate.engine import transitions as happened
from tidegate.engine.changes import reject, undo
from tidegate.engine.draft import Draft
from tidegate.engine.facts import rejection
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance.groups import Standing, aborted


def group_rolls_back(draft: Draft) -> Ruling:
    """Another member that moved with this one was rolled back: so is this one, and it is kept out until that one comes again."""
    view = draft.snap.group
    if view is None:
        return None
    found = aborted(view, draft.snap.release.name, {mate.release: mate.revision for mate in draft.rollout.moves_with})
    if found is None:
        return None
    member, failure = found
    message = failure.message if failure.origin else f"{member.release} {failure.version} was rolled back: {failure.message}"
    reject(draft, Cause.GROUP, message, member=failure.origin or member.release)
    undo(draft, Cause.GROUP, message)
    return CHANGED


def mates_are_noted(draft: Draft) -> Ruling:
    """Who is rolled out at the same time stands in the status: how they end is to be known after a restart, too."""
    view = draft.snap.group
    if view is None:
        return None
    known = {mate.release: mate for mate in draft.rollout.moves_with}
    moving = {one.release: MateStatus(release=one.release, revision=one.revision) for one in view.members if one.moves}
    noted = tuple((known | moving).values())[-MOST_MEMBERS:]
    if noted == draft.rollout.moves_with:
        return None
    draft.set_rollout(moves_with=noted)
    return CHANGED


def version_comes_again(draft: Draft) -> Ruling:
    """The member because of which this version was kept out has a new version, or tries its own again: this one goes with it."""
    view, entry = draft.snap.group, rejection(draft)
    if view is None or entry is None or entry.cause is not Cause.GROUP or entry.member is None or draft.deleting:
        return None
    member = view.member(entry.member)
    if member is None or not (member.moves or member.standing is Standing.WAITS):
        return None
    kept = tuple(one for one in draft.status.rejected if one.cause is not Cause.GROUP or one.member != entry.member)
    draft.set(rejected=kept)
    draft.note(happened.Retried(entry.version, f"{member.release} of group {view.name} comes again with {member.version}"))
    return CHANGED
