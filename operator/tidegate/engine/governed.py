"""The barriers of governance: who may let a version through, when, and after what.

Each says what keeps a weight from rising, in words that name the cure, and changes nothing. They are asked by `barriers.py` alone,
so that nothing that takes traffic away ever meets them; what could not be read is closed.
"""

from __future__ import annotations

from datetime import datetime

from tidegate.api.windows import During
from tidegate.engine.draft import Draft
from tidegate.engine.waits import Wait, Waiting
from tidegate.governance import freezes, windows


def moment(at: datetime) -> str:
    """Write a time as people on call read it."""
    return f"{at:%a %Y-%m-%d %H:%M} UTC"


def freeze(draft: Draft) -> Waiting | None:
    """A ReleaseFreeze that matches the Release counts now."""
    view = draft.snap.governance
    if view.freezes_unread:
        what = f"which ReleaseFreezes there are could not be read: {view.freezes_unread}"
        return Waiting(Wait.FROZEN, f"for ReleaseFreezes to be read: {view.freezes_unread}", what=what)
    found = freezes.in_force(view.freezes, draft.now)
    if found is None:
        return None
    how = f"kubectl tidegate thaw {found.name}"
    until = f"until {moment(found.ends)}, or {how}" if found.ends is not None else f"until somebody ends it: {how}"
    what = f"ReleaseFreeze {found.name}: {found.reason}"
    return Waiting(Wait.FROZEN, f"for {what}; {until}", until=found.ends, what=what, how=how)


def window(draft: Draft, *, begins: bool) -> Waiting | None:
    """The windows of the policy are shut now.

    Args:
        draft: the decision in the making; a policy is there.
        begins: whether the rollout is about to begin, with the policy as it is now. One that is on has kept its own.
    """
    if draft.active:
        label, rules = draft.rollout.policy, draft.spec.windows
    else:
        assert draft.snap.policy is not None
        label, rules = draft.snap.policy.label, draft.snap.policy.spec.windows
    if rules is None or (rules.during is During.START and not begins):
        return None
    found = windows.state(rules, draft.now)
    if found.open:
        return None
    what = windows.closed(found, rules, draft.now)
    cure = f"fix spec.windows of {label}" if found.trouble else ""
    return Waiting(
        Wait.WINDOW, f"for its release window: {what}{f'; {cure}' if cure else ''}", until=found.until, what=what, how=cure
    )
