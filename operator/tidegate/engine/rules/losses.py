"""The rules for pods that were lost: less weight at once, the reason as soon as it is known, and no third try."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from tidegate.api.edits import edited
from tidegate.api.names import Cause
from tidegate.api.status import LossStatus
from tidegate.engine import transitions as happened
from tidegate.engine.changes import give_back, roll_back
from tidegate.engine.draft import Draft
from tidegate.engine.pods import LOSS_PATIENCE, left_of_weight, needed, times
from tidegate.engine.sizing import carried
from tidegate.engine.waits import CHANGED, Ruling

JUST_BEFORE = timedelta(seconds=2)
"""A pod that takes the place of a deleted one is made before that one is missed, and both clocks are not quite the same."""
REPLACED = "its pods were deleted or evicted, and replaced"


def pods_were_lost(draft: Draft) -> Ruling:
    """Fewer pods are available than had the weight: it goes down to what they can carry, without waiting for a reason."""
    step = draft.step
    if draft.workload is None or step is None or draft.replicas == 0:
        return None
    before, have = draft.status.weight, draft.canary_arm.available if draft.canary_arm else 0
    # Scaled down, fewer pods are meant to have it.
    given, pods = step.given or before, max(1, min(step.pods, needed(draft)))
    stable = draft.stable_arm.available if draft.stable_arm else 0
    after = carried(have, given=given, pods=pods, stable=stable, routed=draft.routed)
    if have < pods and (left := left_of_weight(draft)) is not None:
        # The operator before this one has seen more of them missing.
        after = min(after, left)
    if before == 0 or after >= before:
        return None
    lost = pods if have == 0 else math.ceil(pods * (before - after) / given)
    _note(draft, lost)
    if have == 0:
        give_back(draft, f"none of its pods is available{_why(draft)}")
        draft.begin_step(0)
    else:
        give_back(draft, f"only {have} of {pods} pods are available{_why(draft)}", weight=after)
    return CHANGED


def loss_is_found_again(draft: Draft) -> Ruling:
    """The operator before this one has shut a route for lost pods, and could not note it: their containers tell when they ended."""
    left, workload, step, exposed = left_of_weight(draft), draft.workload, draft.step, draft.rollout.exposed_at
    if left is None or workload is None or step is None or exposed is None or draft.replicas == 0:
        return None
    ends = [end for end in workload.endings or () if end >= exposed.replace(microsecond=0)]
    gap = math.ceil(max(1, step.pods) * (draft.status.weight - left) / (step.given or draft.status.weight))
    lost = min(_not_noted(draft.rollout.lost, ends), gap)
    if lost:
        _note(draft, lost)
    return CHANGED if lost else None


def _not_noted(noted: LossStatus | None, ends: list[datetime]) -> int:
    """Return how many of the pods whose containers have ended are not counted yet.

    Nodes tell times in whole seconds: of pods lost one after another, some have ended and are not noted.
    """
    if noted is None:
        return len(ends)
    later, known = sum(end > noted.at for end in ends), noted.pods + noted.unexplained
    around = sum(end >= noted.at.replace(microsecond=0) - JUST_BEFORE for end in ends)
    return max(later, around - known) if known else later


def _why(draft: Draft) -> str:
    words = _words(draft)
    return f" ({words})" if words else ""


def _words(draft: Draft) -> str:
    """Return why pods were lost: how a container ended since there is traffic, that they were deleted, or why they are not ready.

    Nodes tell times in whole seconds: what ends in the second in which traffic began has ended after that.
    """
    workload = draft.workload
    assert workload is not None
    exposed = draft.rollout.exposed_at
    crashed = workload.ended is not None and exposed is not None and workload.ended >= exposed.replace(microsecond=0)
    return workload.ending if crashed else REPLACED if _replaced(draft) else workload.trouble


def _replaced(draft: Draft) -> bool:
    """Whether a pod was made as others were lost: in place of one that a person has deleted, or that was evicted or drained.

    A container that ends or is not ready is started again in the same pod.
    """
    workload, lost = draft.workload, draft.rollout.lost
    if workload is None or lost is None or workload.youngest is None:
        return False
    return workload.youngest >= lost.at.replace(microsecond=0) - JUST_BEFORE


def _silence(draft: Draft) -> str:
    """Say that pods give no reason, and what it may be: of a probe that has failed for a moment nothing is left to be read."""
    canary = draft.canary_arm
    if canary is not None and draft.step is not None and canary.available >= max(1, needed(draft)):
        return "its pods are ready again and give no reason; does a readiness probe fail now and then?"
    return "its pods give no reason"


def _outside(draft: Draft) -> bool:
    """Whether a loss can be no fault of the version: nodes or quotas are, or stable's pods are gone as well."""
    workload, old = draft.workload, draft.stable_arm
    assert workload is not None
    words = _words(draft)
    moved = words == REPLACED or (workload.trouble_outside and words == workload.trouble)
    return moved or (old is not None and 2 * old.available < min(old.wanted, draft.replicas))


def _note(draft: Draft, pods: int) -> None:
    lost = draft.rollout.lost or LossStatus(at=draft.now)
    draft.set_rollout(lost=edited(lost, unexplained=lost.unexplained + pods, at=draft.now))


def loss_is_explained(draft: Draft) -> Ruling:
    """The reason of a loss is known, or will not be: the steps begin anew, or the version is rolled back with that reason.

    Single pods that come and go are no reason to begin anew, but as many as have the weight are, one after another or at once.
    """
    if (lost := draft.rollout.lost) is None or not lost.unexplained:
        return None
    words = _words(draft) if draft.workload is not None else ""
    if not words and not draft.reached(lost.at + LOSS_PATIENCE):
        return None
    message = words or _silence(draft)
    if draft.workload is not None and _outside(draft):
        draft.set_rollout(lost=edited(lost, unexplained=0, message=message))
        return CHANGED
    step = draft.step
    pods, count = lost.pods + lost.unexplained, lost.count
    whole = pods >= max(1, step.pods if step is not None else 1)
    draft.set_rollout(lost=edited(lost, unexplained=0, message=message, pods=0 if whole else pods, count=count + whole))
    if whole and count + 1 > draft.spec.tolerated_losses:
        _roll_back(draft, count + 1, message)
    elif whole:
        _begin_anew(draft, message)
    return CHANGED


def _roll_back(draft: Draft, count: int, words: str) -> None:
    message = f"it lost its pods {times(count)} under traffic: {words}"
    roll_back(draft, Cause.PODS_LOST, message)


def _begin_anew(draft: Draft, words: str) -> None:
    left = draft.spec.tolerated_losses - (draft.rollout.lost.count if draft.rollout.lost else 0)
    draft.note(happened.StepsRestarted(draft.candidate.version, words, left))
    if draft.status.weight > 0:
        give_back(draft, f"as many pods as carried it were lost ({words})")
    draft.begin_step(0)
