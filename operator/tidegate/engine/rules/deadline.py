"""The rule for waits on a route: the policy's progressDeadline bounds them as it bounds those on pods."""

from __future__ import annotations

from tidegate.api.base import format_duration
from tidegate.api.names import Cause
from tidegate.api.policy import DeadlineAction
from tidegate.engine.changes import roll_back, tell_that_it_waits_on
from tidegate.engine.draft import Draft
from tidegate.engine.facts import obstacles
from tidegate.engine.waits import CHANGED, FOR_A_PERSON, Bound, Ruling, Waiting


def route_is_waited_for(draft: Draft) -> Ruling:
    """The rollout waits for its route: that is timed, and its end is what the policy's onDeadline says.

    It is asked last, when all that is waited for is known. Time in which a person is called for, or has paused the rollout, does
    not count; nor does time in which no operator was there, for part of what a route waits for is the operator's to do.
    """
    waiting, since = _awaited(draft), draft.rollout.route_awaited
    if waiting is None:
        if since is None:
            return None
        draft.set_rollout(route_awaited=None, route_overdue=None)
        return CHANGED
    if since is None:
        draft.set_rollout(route_awaited=draft.now)
        return CHANGED
    deadline = draft.timed_from(since) + draft.spec.progress_deadline
    return _ends(draft, waiting) if draft.reached(deadline) else None


def _awaited(draft: Draft) -> Waiting | None:
    """Return what the rollout waits for on its route; None where it does not, or where that is not timed."""
    called = any(blocker.reason in FOR_A_PERSON for blocker in obstacles(draft))
    if draft.rollout.paused is not None or called:
        return None
    return next((waiting for waiting in draft.waits if waiting.wait.terms.bound is Bound.ROUTE), None)


def _ends(draft: Draft, waiting: Waiting) -> Ruling:
    said = "; ".join(f"{route.label}: {route.trouble}" for route in draft.routes if route.trouble)
    within = format_duration(draft.spec.progress_deadline)
    message = f"its route did not take effect within {within}; it waited {waiting.words}{f' ({said})' if said else ''}"
    if draft.spec.on_deadline is DeadlineAction.UNDO:
        roll_back(draft, Cause.DEADLINE, message)
        return CHANGED
    if draft.rollout.route_overdue:
        return None
    draft.set_rollout(route_overdue=True)
    tell_that_it_waits_on(draft, message)
    return CHANGED
