"""The rules that take a rollout forward: from the first step over pods, weight, hold and gates to the last."""

from __future__ import annotations

from datetime import timedelta

from tidegate.api.base import format_duration
from tidegate.api.names import Cause, Phase
from tidegate.api.policy import DeadlineAction
from tidegate.api.status import StepStatus
from tidegate.engine import gates
from tidegate.engine import transitions as happened
from tidegate.engine.barriers import Rise, barrier
from tidegate.engine.changes import roll_back, tell_that_it_waits_on
from tidegate.engine.draft import Draft, carries, leans, silence
from tidegate.engine.grouped import next_step
from tidegate.engine.migrations import is_prepared
from tidegate.engine.pods import _gap, needed, not_yet, pods_missing, pods_ready
from tidegate.engine.route import labels
from tidegate.engine.running import held_up
from tidegate.engine.scoring import Result
from tidegate.engine.snapshot import Warm
from tidegate.engine.waits import CHANGED, Ruling, Wait, Waiting


def first_step_begins(draft: Draft) -> Ruling:
    """The routes go through the operator's own Services: pods of the new version may come up without getting stray requests."""
    if draft.step is not None or not is_prepared(draft):
        return None
    if draft.replicas == 0:
        return Waiting(Wait.SCALED_UP, f"for the {draft.handover.kind} to be scaled up from 0")
    if _went_through_the_split(draft):
        draft.set_rollout(split_at=draft.now)
        return CHANGED
    if not draft.routes_carry(0):
        waiting = [r for r in draft.snap.routes if not (r.exists and r.matches and r.accepted and carries(r, 0))]
        named = f"for {labels(waiting)} to be prepared" if waiting else "for a route to be named"
        return Waiting(Wait.ROUTE_PREPARED, silence(waiting) or named)
    if (first := draft.arrives("the route") or barrier(draft, Rise.START)) is not None:
        return held_up(draft, first)
    if draft.routed and draft.rollout.split_at is None:
        draft.set_rollout(split_at=draft.now)
    draft.begin_step(0)
    return CHANGED


def _went_through_the_split(draft: Draft) -> bool:
    """Whether requests take the operator's Services already, while the user's backend is still kept warm; it is to be noted."""
    warm = any(route.warm is Warm.USER for route in draft.routes)
    if not warm or draft.rollout.split_at is not None:
        return False
    return all(route.accepted and leans(route, 0) and (route.since or draft.now) <= draft.now for route in draft.routes)


def missing_pods_are_noted(draft: Draft) -> Ruling:
    """Once a step's weight was given, it is noted since when pods are missing: it cannot end, and its deadline counts from then."""
    step = draft.step
    if step is None or draft.workload is None:
        return None
    unready = _was_given(step) and draft.replicas > 0 and not pods_ready(draft)
    if unready == (step.missing is not None):
        return None
    draft.set_step(missing=draft.now if unready else None, overdue=None)
    return CHANGED


def _was_given(step: StepStatus) -> bool:
    return step.since is not None or step.given == step.weight > 0


def deadline_passes(draft: Draft) -> Ruling:
    """The pods of the new version did not become ready in time: the rollout is undone, with the pods' own reason."""
    step = draft.step
    if step is None or draft.workload is None or pods_ready(draft):
        return None
    if draft.canary_arm is None:
        return _time_does_not_count(draft, step)
    begun = step.missing if _was_given(step) else step.entered
    if begun is None:
        return None
    deadline = draft.timed_from(begun) + draft.spec.progress_deadline
    if not draft.reached(deadline):
        return None
    gap = _gap(draft)
    reason = f": {gap or draft.workload.trouble}" if gap or draft.workload.trouble else ""
    what = "could not be reached" if gap else "did not become ready"
    message = f"its pods {what} within {format_duration(draft.spec.progress_deadline)}{reason}"
    if draft.spec.on_deadline is DeadlineAction.UNDO:
        roll_back(draft, Cause.DEADLINE, message)
        return CHANGED
    if step.overdue:
        return None
    draft.set_step(overdue=True)
    tell_that_it_waits_on(draft, message)
    return CHANGED


def _time_does_not_count(draft: Draft, step: StepStatus) -> Ruling:
    """No pods could be asked for yet, e.g. for want of a permission: that is no word on the version."""
    while_ago = step.entered + draft.spec.progress_deadline / 10
    if not draft.reached(while_ago):
        return None
    draft.set_step(entered=draft.now, missing=None)
    return CHANGED


def _route(draft: Draft, words: str) -> Waiting:
    """A weight which was given is not in force; a router that says nothing at all is told from a parent that does not."""
    waiting = [route for route in draft.snap.routes if not route.accepted]
    away = bool(waiting) and not any(route.heard or route.trouble for route in waiting)
    return Waiting(Wait.ROUTER_AWAY if away else Wait.ROUTE_CARRIES, silence(waiting) or words)


def weight_is_given(draft: Draft) -> Ruling:
    """Enough pods of the new version are available: it gets the weight of its step, or gets it back."""
    step, before = draft.step, draft.status.weight
    if step is None or before == step.weight:
        return None
    if (waiting := not_yet(draft)) is not None:
        return held_up(draft, waiting)
    if before == 0 and any(route.warms for route in draft.routes) and not draft.rollout.warmed_at:
        draft.set_rollout(warmed_at=draft.now)
        return CHANGED
    if before == 0 and (waiting := _warms_up(draft)) is not None:
        return waiting
    draft.give_weight(step.weight)
    draft.set_step(given=step.weight, pods=needed(draft))
    if draft.rollout.exposed_at is None:
        draft.set_rollout(exposed_at=draft.now)
    place = step.index + 1, len(draft.spec.steps)
    draft.note(happened.WeightRaised(draft.candidate.version, before, step.weight, *place, _why(draft)))
    return CHANGED


def _warms_up(draft: Draft) -> Waiting | None:
    """Return that a data plane which leaves out backends of weight 0 may not know the new version yet; None where all do."""
    cold = [route for route in draft.routes if route.warms]
    if all(route.warm is Warm.CANARY and draft.warmed_up(route) for route in cold):
        return None
    words = f"for the data plane to learn of {draft.candidate.version}, which gets one request in 10,000 meanwhile"
    return Waiting(Wait.WARMED, silence(cold) or words)


def more_pods_have_it(draft: Draft) -> Ruling:
    """The workload was scaled, and the new version with it: its weight is carried by so many pods from now on."""
    step = draft.step
    if step is None or draft.status.weight != step.weight or step.weight == 0 or draft.replicas == 0:
        return None
    if step.pods == needed(draft) or not pods_ready(draft):
        return None
    draft.set_step(given=step.weight, pods=needed(draft))
    return CHANGED


def _why(draft: Draft) -> str:
    if draft.rollout.skip_to_end:
        return ": full promotion was requested"
    passed = "; ".join(state.message for state in draft.status.gates)
    return f": {passed}" if passed else ""


def hold_begins(draft: Draft) -> Ruling:
    """The route carries the weight of the step: its hold is counted from here."""
    step = draft.step
    if step is None or step.since is not None or draft.status.weight != step.weight:
        return None
    if not draft.routes_carry(step.weight):
        return _route(draft, f"for the route to carry {step.weight}%")
    if (waiting := draft.arrives(f"{step.weight}%")) is not None:
        return waiting
    if step.weight == 0 and not pods_ready(draft):
        return pods_missing(draft)
    hold = draft.spec.steps[step.index].hold
    if step.weight == 100:
        hold = max(hold, draft.spec.bake)
        share = "all traffic" if draft.routed else f"as many pods as {draft.stable.version}"
        draft.note(happened.Baking(draft.candidate.version, draft.stable.version, share, hold))
    elif draft.rollout.skip_to_end:
        hold = timedelta(0)
    draft.set_step(since=draft.now, until=draft.now + hold)
    gates.weight_begins(draft)
    return CHANGED


def _proven(draft: Draft, step: StepStatus) -> bool:
    """Whether the policy lets a step end before its hold is over, and the evidence does."""
    early = draft.spec.advance_on_proof and 0 < step.weight < 100
    return early and step.since is not None and gates.proven(draft, step.since)


def step_ends(draft: Draft) -> Ruling:
    """The hold is over and every gate has passed at this weight: the next step, or promotion after the last."""
    step = draft.step
    if step is None or step.since is None or step.until is None:
        return None
    if draft.now < step.until and not _proven(draft, step):
        what = "bake" if step.weight == 100 else f"hold of step {step.index + 1}"
        return Waiting(Wait.HOLD_ENDS, f"until {step.until:%H:%M:%S} UTC ({what})", until=step.until)
    if not pods_ready(draft):
        return pods_missing(draft)
    if draft.status.weight != step.weight or not draft.routes_carry(step.weight):
        return _route(draft, f"for the route to carry {step.weight}% again")
    if (waiting := barrier(draft, Rise.STEP_END)) is not None:
        return held_up(draft, waiting)
    if (total := gates.score_now(draft)) is not None and total.result is Result.WARN:
        draft.note(happened.ScoreWarns(step.index + 1, total.words))
    last = len(draft.spec.steps) - 1
    if step.index < last:
        draft.begin_step(next_step(draft))
    else:
        draft.set(phase=Phase.PROMOTING)
        draft.note(happened.Promoting(draft.handover.kind, draft.candidate.version, _why(draft)))
    return CHANGED
