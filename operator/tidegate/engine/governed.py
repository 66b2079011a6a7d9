"""The barriers of governance: who may let a version through, when, and after what.

Each says what keeps a weight from rising, in words that name the cure, and changes nothing. They are asked by `barriers.py` alone,
so that nothing that takes traffic away ever meets them; what could not be read is closed.
"""

from __future__ import annotations

from tidegate.api.windows import During
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import policy_to_come
from tidegate.engine.waits import Wait, Waiting
from tidegate.governance import commands, freezes, windows
from tidegate.governance.times import moment
from tidegate.governance.upstreams import Proved, Wanted, demand, proved


def freeze(draft: Draft) -> Waiting | None:
    """A ReleaseFreeze that matches the Release counts now."""
    view = draft.snap.governance
    if view.freezes_unread:
        what = f"which ReleaseFreezes there are could not be read: {view.freezes_unread}"
        return Waiting(Wait.FROZEN, f"for ReleaseFreezes to be read: {view.freezes_unread}", what=what)
    found = freezes.in_force(view.freezes, draft.now)
    if found is None:
        return None
    how = commands.thaw(found.name)
    until = f"until {moment(found.ends)}, or {how}" if found.ends is not None else f"until somebody ends it: {how}"
    what = f"ReleaseFreeze {found.name}: {found.reason}"
    return Waiting(Wait.FROZEN, f"for {what}; {until}", until=found.ends, what=what, how=how)


def rules(draft: Draft) -> Waiting | None:
    """Which policy a rollout would have is not known: a rule of it cannot be evaluated."""
    assert draft.snap.policy is not None
    trouble = policy_to_come(draft).trouble
    if not trouble:
        return None
    cure = f"fix the rule in {draft.snap.policy.label}, or give the Release the label that it needs"
    return Waiting(Wait.RULE, f"for its policy to be known: {trouble}; {cure}", what=trouble, how=cure)


def window(draft: Draft, *, begins: bool) -> Waiting | None:
    """The windows of the policy are shut now.

    Args:
        draft: the decision in the making; a policy is there.
        begins: whether the rollout is about to begin, with the policy as it is now. One that is on has kept its own.
    """
    if draft.active:
        label, calendar = draft.rollout.policy, draft.spec.windows
    else:
        assert draft.snap.policy is not None
        label, calendar = draft.snap.policy.label, policy_to_come(draft).spec.windows
    if calendar is None or (calendar.during is During.START and not begins):
        return None
    found = windows.state(calendar, draft.now)
    if found.open:
        return None
    what = windows.closed(found, calendar, draft.now)
    cure = f"fix spec.windows of {label}" if found.trouble else ""
    return Waiting(
        Wait.WINDOW, f"for its release window: {what}{f'; {cure}' if cure else ''}", until=found.until, what=what, how=cure
    )


def upstream(draft: Draft) -> Waiting | None:
    """A Release that this one comes after has not proved the wanted version.

    A version that was in force here before needs no proof: who goes back to it is not kept waiting.
    """
    assert draft.workload is not None
    template = draft.workload.template
    if {template.revision, template.new_revision, *template.duplicates} & set(draft.status.served or ()):
        return None
    wanted = Wanted(template.version, template.images)
    for after in draft.snap.governance.upstreams:
        found = proved(after.upstream, wanted, after.soak, after.match, draft.now)
        if not isinstance(found, Proved):
            asked = demand(after.upstream, wanted, after.soak)
            return Waiting(Wait.UPSTREAM, f"{asked}: {found.why}", until=found.until, what=f"{after.upstream.name}: {found.why}")
    return None
