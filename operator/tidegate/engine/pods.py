"""Questions about the pods of the new version: how many a step needs, whether they are there, and what was lost of them."""

from __future__ import annotations

from datetime import timedelta

from tidegate.engine.barriers import Rise, barrier
from tidegate.engine.draft import Draft, Stage
from tidegate.engine.sizing import cut_from
from tidegate.engine.waits import Inquiry, Wait, Waiting

_TIMES = ("", "once", "twice", "three times")
LOSS_PATIENCE = timedelta(seconds=10)
"""How long the reason of a loss is waited for. Pods are read only when somebody waits for them, and nothing goes up meanwhile."""


def trouble(draft: Draft) -> str:
    """Return the pods' own reason in brackets; empty where none is known."""
    return f" ({draft.workload.trouble})" if draft.workload and draft.workload.trouble else ""


def needed(draft: Draft) -> int:
    """Return the pods that the new version needs at the step that the rollout is at."""
    assert draft.step is not None
    return draft.handover.size(draft, draft.spec.steps[draft.step.index])


def cut(draft: Draft) -> str:
    """Say that the step has fewer pods than its policy asks for; empty where it has as many."""
    if draft.step is None:
        return ""
    limit = draft.snap.step_replicas_limit
    asks = cut_from(draft.spec.steps[draft.step.index], draft.replicas, limit=limit)
    if asks is None:
        return ""
    why = f"the {draft.handover.kind} has {draft.replicas}, and the operator's stepReplicasLimit is {limit}"
    return f", limited to {needed(draft)} of the {asks} pods that the step wants ({why})"


def lost_words(draft: Draft) -> str:
    """Say that pods with traffic were lost, how often, and why; empty where none were."""
    lost = draft.rollout.lost
    if lost is None or not lost.message:
        return ""
    often = f" {times(lost.count)}" if lost.count else ""
    return f"; lost pods{often} under traffic: {lost.message}"


def times(count: int) -> str:
    """Return how often, in words."""
    return _TIMES[count] if count < len(_TIMES) else f"{count} times"


def loss_unlooked(draft: Draft) -> Waiting | None:
    """Return that it is not known if pods were lost that the operator before this one could not note any more; None where it is.

    Nothing rises until then. A shut route alone tells nothing: it may have been for a breach, which the gates see again.
    """
    start = draft.snap.known_since
    if start is None or left_of_weight(draft) is None or (draft.workload is not None and draft.workload.endings is not None):
        return None
    if draft.now >= start + LOSS_PATIENCE:
        return None
    words = f"to find out whether {draft.candidate.version} lost pods: its route carries less weight than it was given"
    return Waiting(Wait.LOSS_EXPLAINED, words, cause=True, until=start + LOSS_PATIENCE)


def loss_inquiries(draft: Draft) -> frozenset[Inquiry]:
    """Return that the new version's pods are read as long as its route has less than it was given."""
    return frozenset({Inquiry.PODS} if left_of_weight(draft) is not None else ())


def left_of_weight(draft: Draft) -> int | None:
    """Return the weight that routes have, where an operator before this one gave more; None where they have what was given.

    It has shut them for a breach or for lost pods, and was killed before that stood in the status; or before it could open them.
    """
    start, step = draft.snap.known_since, draft.step
    if start is None or step is None or step.entered >= start or not draft.reversible:
        return None
    least = min((round(route.weight) for route in draft.routes), default=None)
    return least if least is not None and least < draft.status.weight else None


def pods_ready(draft: Draft) -> bool:
    """Whether the new version has the pods that its step needs, and its Service leads to them."""
    wanted, canary, service = needed(draft), draft.canary_arm, draft.snap.canary_service
    if wanted == 0:
        return True
    if canary is None or canary.available < wanted:
        return False
    return not draft.routed or (service is not None and service.revision == canary.revision and service.endpoints >= wanted)


def _gap(draft: Draft) -> str:
    """Return why the route reaches no pods of the new version, although enough are ready; empty where that is not so."""
    service, canary = draft.snap.canary_service, draft.canary_arm
    if service is None or canary is None or canary.available < needed(draft) or service.revision != canary.revision:
        return ""
    return service.gap


def pods_missing(draft: Draft) -> Waiting:
    """Return that pods of the new version are waited for, with how many are missing and why."""
    return Waiting(Wait.PODS, _missing(draft))


def _missing(draft: Draft) -> str:
    canary, wanted, version = draft.canary_arm, needed(draft), draft.candidate.version
    ready, available = (canary.ready, canary.available) if canary else (0, 0)
    if available < wanted <= ready:
        counts = f"a pod is available once it has been ready for the {draft.handover.kind}'s minReadySeconds"
        words = f"({available} of {wanted} pods; {counts})"
        return f"for pods of {version} to be available {words}"
    if gap := _gap(draft):
        return f"for pods of {version} that the route can reach: {gap}"
    what = "pods" if available < wanted else "endpoints"
    return f"for {what} of {version} to be ready ({ready} of {wanted} pods){trouble(draft)}"


def not_yet(draft: Draft) -> Waiting | None:
    """Return what keeps the new version from the weight of its step, whatever its route is like; None where nothing does."""
    lost = draft.rollout.lost
    if not pods_ready(draft):
        return pods_missing(draft)
    if lost is not None and lost.unexplained:
        return Waiting(Wait.LOSS_EXPLAINED, f"to find out why {draft.candidate.version} lost pods")
    return barrier(draft, Rise.WEIGHT)


def is_next(draft: Draft) -> bool:
    """Whether the new version, which has no weight, is to get some as soon as all data planes know it."""
    step = draft.step
    if draft.stage is not Stage.CLIMBING or step is None or draft.status.weight > 0 or step.weight == 0:
        return False
    return draft.rollout.warmed_at is not None and not_yet(draft) is None
