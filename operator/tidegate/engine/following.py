"""A Release that follows another: whether there is something to take over, for the rule that does it and for people."""

from __future__ import annotations

from datetime import datetime

from tidegate.api.base import clip
from tidegate.api.waiting import HoldStatus
from tidegate.engine import asking
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import Verb
from tidegate.governance.upstreams import Proved, Unproved, to_take


def next_one(draft: Draft) -> Proved | Unproved | None:
    """Return whether the version that the other Release has in force is to be taken over, or why not; None where it has been."""
    view, followed = draft.snap.following, draft.status.followed
    if view is None:
        return None
    taken = followed.images if followed is not None else {}
    return to_take(view, taken, [entry.revision for entry in draft.status.rejected], draft.now)


def taken_anew(draft: Draft) -> bool:
    """Whether something was taken over, or given up, in this decision: what is seen of the workload does not have it yet."""
    before, now = draft.snap.status.followed, draft.status.followed
    return (before.images if before is not None else {}) != (now.images if now is not None else {})


def next_one_waits(draft: Draft) -> tuple[str, datetime | None, HoldStatus | None] | None:
    """Return why nothing is taken over now, until when, and the hold of whoever has asked for that; None where something is."""
    view, followed = draft.snap.following, draft.status.followed
    if view is None:
        return None
    if followed is not None and followed.held is not None:
        return f"{view.upstream.name}: {followed.held.message}", None, followed.held
    found = next_one(draft)
    return (f"{view.upstream.name}: {found.why}", found.until, None) if isinstance(found, Unproved) else None


def words(draft: Draft) -> str:
    """Say whom the Release follows, and what keeps it from taking over what that has; empty where it follows nobody."""
    view, followed = draft.snap.following, draft.status.followed
    if view is None:
        return ""
    if followed is not None and followed.held is not None:
        why, cure = clip(followed.held.message, asking.BRIEF), asking.cure(draft, "to follow it again", Verb.RESUME)
        return f"; follows {view.upstream.name} again after a request to resume: {why}; {cure}"
    found = next_one_waits(draft)
    return f"; follows {found[0] if found is not None else view.upstream.name}"
