"""The barrier of a group: its members move together, step by step, and each says whom it waits for.

Nothing here is asked by what takes traffic away.
"""

from __future__ import annotations

from datetime import datetime

from tidegate.api.base import MOST_TOLD, and_more, format_duration
from tidegate.api.grouped import MOST_MEMBERS
from tidegate.engine.decided import takes_decision
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import Wait, Waiting
from tidegate.governance import commands
from tidegate.governance.groups import GroupView, MemberView, Standing, about_to_start, has_passed


def starts(draft: Draft) -> Waiting | None:
    """Return whom the rollout of the wanted version waits for before it starts; None where nobody."""
    view = draft.snap.group
    if view is None:
        return None
    since = _since(draft)
    return _unknown(view) or _not_ready(draft, view, since) or _gathers(draft, view, since)


def step_ends(draft: Draft) -> Waiting | None:
    """Return whom the next step, or the promotion, waits for; None where nobody."""
    view, step = draft.snap.group, draft.step
    if view is None or step is None:
        return None
    if (unknown := _unknown(view)) is not None:
        return unknown
    last = step.index >= len(draft.spec.steps) - 1
    behind = [one for one in view.members if not has_passed(one, None if last else step.index)] + about_to_start(view)
    if not behind:
        return None
    what = "its last step" if last else f"step {step.index + 1}"
    behind.sort(key=lambda one: not one.how)
    return _waiting(f"group {view.name} to pass {what}: {_places(behind)}", behind[0].how)


def next_step(draft: Draft) -> int:
    """Return the index of the step after the present one: the last, where a person has asked for full promotion of it alone.

    In a group the steps are gone through one by one, without their holds and gates: the others have to come along.
    """
    step, last = draft.step, len(draft.spec.steps) - 1
    assert step is not None
    alone = draft.snap.group is None
    return last if draft.rollout.skip_to_end and alone else min(step.index + 1, last)


def _since(draft: Draft) -> datetime:
    """Return since when the wanted version is known."""
    workload, wanted = draft.workload, draft.status.wanted
    known = workload is not None and wanted is not None and wanted.revision == workload.template.revision
    return wanted.since or draft.now if known and wanted is not None else draft.now


def _unknown(view: GroupView) -> Waiting | None:
    """Return that it is not known how all of the group stand; None where it is."""
    if not view.whole:
        what = f"group {view.name} has more than {MOST_MEMBERS} members"
        cure = "take Releases out of it (spec.group)"
        return Waiting(Wait.GROUP, f"for its group to be smaller: {what}; {cure}", what=what)
    lost = [one for one in view.members if one.unread]
    if not lost:
        return None
    what = f"{_names(lost)} of group {view.name} cannot be read: {lost[0].unread}"
    cure = "take it out of the group (spec.group), or delete it"
    return Waiting(Wait.GROUP, f"for its group to be known: {what}; {cure}", what=what)


def _not_ready(draft: Draft, view: GroupView, since: datetime) -> Waiting | None:
    """Return which members have a new version that could not start with this one; None where all could."""
    own = draft.snap.release.name
    undone = [one for one in view.members if one.standing is Standing.UNDONE]
    if undone:
        return _waiting(f"{_names(undone)} of group {view.name} to be rolled back")
    for one in view.members:
        failed = one.failed
        if one.standing is not Standing.KEPT_OUT or failed is None:
            continue
        if failed.origin == own:
            return _waiting(f"{one.release} of group {view.name} to come again with {one.version}")
        if not failed.origin and failed.at is not None and failed.at >= since:
            words = f"another version of {one.release} of group {view.name}, or a retry: {one.version} was rejected there"
            return _waiting(f"{words} ({failed.message})", _command(draft, Verb.RETRY, one))
    waiting = [one for one in view.members if one.standing is Standing.WAITS and not one.ready and not one.away]
    if not waiting:
        return None
    waiting.sort(key=lambda one: not one.how)
    look = commands.on_release("status", waiting[0].release, draft.snap.release.namespace)
    return _waiting(f"group {view.name} to be able to start: {_places(waiting)}", waiting[0].how or look)


def _gathers(draft: Draft, view: GroupView, since: datetime) -> Waiting | None:
    """Return that members may still get their new versions; None where all have one, a rollout of one is on, or time is over."""
    group = draft.snap.release.spec.group
    assert group is not None
    without = [one for one in view.members if one.standing in (Standing.REST, Standing.KEPT_OUT) and not one.away]
    if not without or any(one.moves for one in view.members) or draft.reached(until := since + group.gather):
        return None
    what = f"{_names(without)} of group {view.name} may still get a new version (gather {format_duration(group.gather)})"
    return Waiting(Wait.GROUP, f"until {until:%H:%M:%S} UTC: {what}", until=until, what=what)


def _names(members: list[MemberView]) -> str:
    return ", ".join(one.release for one in members[:MOST_TOLD]) + and_more(len(members))


def _places(members: list[MemberView]) -> str:
    return ", ".join(_place(one) for one in members[:MOST_TOLD]) + and_more(len(members))


def _place(one: MemberView) -> str:
    """Say where a member is, and what it waits for."""
    if one.standing is Standing.WAITS:
        where = f"{one.version} has not started"
    else:
        where = f"step {one.step + 1} of {one.last + 1}" if one.step >= 0 and one.last >= 0 else "before its first step"
    waits = f", waits for {' and '.join(one.waits)}" if one.waits else ""
    return f"{one.release} ({where}{waits})"


def _waiting(what: str, how: str = "") -> Waiting:
    """Return what is waited for; without a command where the other member gets there by itself, as far as is known."""
    return Waiting(Wait.GROUP, f"for {what}{f'; {how}' if how else ''}", what=what, how=how)


def _command(draft: Draft, verb: Verb, member: MemberView) -> str:
    """Return how something is asked for of another member."""
    asked_by = commands.on_release if takes_decision(draft, verb) else commands.annotation
    return asked_by(verb.value, member.release, draft.snap.release.namespace)
