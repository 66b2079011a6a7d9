"""From the status to writes on a Deployment and its ReplicaSets: what differs from what was seen, in an order that is safe."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from tidegate.api.names import Condition
from tidegate.engine import asking
from tidegate.engine.draft import Draft
from tidegate.engine.facts import (
    has_pods,
    is_native,
    pods_wanted,
    promotion_waits,
    rejection,
    rolls_natively,
    serves,
)
from tidegate.engine.handover.deployment import happened
from tidegate.engine.handover.deployment.actions import (
    Adopt,
    CreateCanary,
    DeleteReplicaSet,
    Detach,
    Hold,
    LabelWorkload,
    Scale,
    SetImages,
)
from tidegate.engine.handover.deployment.state import bypassed, own_is, replica_set, rolls_on, seen
from tidegate.engine.handover.deployment.view import Owner, ReplicaSetView
from tidegate.engine.plan import Action
from tidegate.engine.snapshot import Verb
from tidegate.engine.words import words

# The Deployment


def on_deployment(draft: Draft) -> Iterator[Action]:
    """Yield the writes on the Deployment itself."""
    workload = seen(draft)
    if draft.committed:
        yield from _hold_while_adopted(draft)
        return
    if draft.deleting:
        if _to_be_taken_over(draft) and not workload.paused:
            yield Hold(paused=True)
        return
    if not workload.labelled:
        yield LabelWorkload(present=True)
    if is_native(draft):
        yield from _let_go(draft)
    elif draft.status.stable is not None:
        yield from _hold(draft)


def _let_go(draft: Draft) -> Iterator[Action]:
    """The Deployment is to roll its template out by itself, with the Release's images in it."""
    workload = seen(draft)
    if workload.template.overlaid or not rolls_natively(draft):
        if not workload.paused:
            yield Hold(paused=True)
        if workload.template.overlaid:
            yield SetImages()
    elif workload.paused:
        yield from _set_free(draft, replica_set(draft.stable_arm))


def _set_free(draft: Draft, serving: ReplicaSetView | None) -> Iterator[Action]:
    """Let the Deployment go, and see to it that it can roll out what comes next.

    As long as a ReplicaSet with pods is annotated with another size than the Deployment has, its controller takes that for a
    scaling, and rolls nothing out before it has acted on it. But it leaves the only one as it is that has the right size.
    """
    workload = seen(draft)
    if (
        serving is not None
        and serving.owner is Owner.DEPLOYMENT
        and serving.wanted == workload.replicas > 0
        and serving.desired not in {None, workload.replicas}
    ):
        yield Scale(serving.name, workload.replicas)
    yield Hold(paused=False)


def _hold(draft: Draft) -> Iterator[Action]:
    """The Deployment is held while its template is not stable's, and where no admission policy would hold it in time."""
    workload = seen(draft)
    own_is_stable = own_is(draft, draft.stable.revision)
    images_wanted = draft.promoting and workload.template.overlaid and draft.wants(draft.candidate.revision)
    if not workload.paused and (not own_is_stable or images_wanted or _to_be_taken_over(draft) or draft.snap.keep_held):
        if not own_is_stable:
            draft.note(happened.HeldAgain(asking.cure(draft, "to roll it out", _verb(draft))))
        yield Hold(paused=True)
    if images_wanted:
        yield SetImages()
    if workload.paused and own_is_stable and not draft.active and not draft.snap.keep_held:
        if _was_at_rest(draft):
            draft.note(happened.PauseUndone())
        yield from _set_free(draft, replica_set(draft.stable_arm))


def _was_at_rest(draft: Draft) -> bool:
    """Whether the last decision has left nothing to be done, so that it was somebody else who has paused the Deployment since."""
    return any(c.type == Condition.READY and c.status == "True" for c in draft.status.conditions)


def _verb(draft: Draft) -> Verb:
    """Return the request by which a person gets what resuming the Deployment was meant to bring."""
    return Verb.RETRY if not draft.active and rejection(draft) is not None else Verb.PROMOTE


def _hold_while_adopted(draft: Draft) -> Iterator[Action]:
    workload, canary = seen(draft), replica_set(draft.canary_arm)
    assert canary is not None
    keep = draft.snap.keep_held and not draft.deleting
    if not own_is(draft, canary.revision):
        if not workload.paused:
            yield Hold(paused=True)
    elif workload.paused and canary.owner is Owner.DEPLOYMENT and not keep and not _about_to_be_scaled(draft):
        yield from _set_free(draft, canary)


def _about_to_be_scaled(draft: Draft) -> bool:
    """Whether a scaling has come amid the adoption, and the controller has not looked at both versions since.

    It is about to scale them in proportion. Let go now, it would stop the old pods next, which may have to serve again.
    """
    workload, old, canary = seen(draft), replica_set(draft.stable_arm), replica_set(draft.canary_arm)
    assert canary is not None
    both = old is not None and old.owner is Owner.DEPLOYMENT and old.wanted > 0 and canary.wanted > 0
    return both and canary.desired not in {None, workload.replicas}


# ReplicaSets


def on_replica_sets(draft: Draft) -> Iterator[Action]:
    """Yield the writes on its ReplicaSets."""
    if draft.committed:
        yield from _old(draft)
        return
    if draft.active:
        yield from _canary(draft)
    elif draft.status.stable is not None:
        yield from _memory(draft)
    if draft.status.stable is not None and not is_native(draft):
        yield from _bypassed(draft)
    yield from _forgotten(draft)


def _to_be_taken_over(draft: Draft) -> bool:
    """Whether the new version's pods are the Deployment's to stop: those of an older ReplicaSet, or right after an adoption."""
    canary = replica_set(draft.canary_arm)
    if not draft.active or canary is None or canary.owner is not Owner.DEPLOYMENT:
        return False
    return has_pods(canary) if draft.undoing else draft.step is not None


def _canary(draft: Draft) -> Iterator[Action]:
    workload, canary = seen(draft), replica_set(draft.canary_arm)
    size = pods_wanted(draft)
    if canary is None:
        if size and workload.template.revision == draft.candidate.revision:
            yield CreateCanary(draft.candidate.revision, size)
    elif _to_be_taken_over(draft):
        if workload.paused:
            yield Detach(canary.name)
    elif canary.owner is Owner.RELEASE:
        if size is not None and canary.wanted != size:
            yield Scale(canary.name, size)
        elif draft.promoting and draft.rollout.paused is None and promotion_waits(draft) is None:
            yield Adopt(canary.name)


def _old(draft: Draft) -> Iterator[Action]:
    """The Deployment controller stops the old pods by itself, unless it is held or its template has changed again.

    Nor does it where the strategy is Recreate and a scaling has come between the adoption and its look: it waits for one of the
    two to have its size, and scales neither.
    """
    workload, old, canary = seen(draft), replica_set(draft.stable_arm), replica_set(draft.canary_arm)
    assert canary is not None
    if old is None or old.wanted == 0 or canary.owner is not Owner.DEPLOYMENT or canary.ready == 0:
        return
    left_over = not workload.rolling if _about_to_be_scaled(draft) else workload.paused and not rolls_on(draft)
    if left_over:
        yield Scale(old.name, 0)


def _memory(draft: Draft) -> Iterator[Action]:
    """A rejected version is known by its ReplicaSet, also after a restart annotation: there is one, if with no pods."""
    workload = seen(draft)
    rejected = rejection(draft)
    if rejected is not None and not workload.template.exists and rejected.revision == workload.template.revision:
        yield CreateCanary(workload.template.revision, 0)


def _bypassed(draft: Draft) -> Iterator[Action]:
    workload = seen(draft)
    stable = replica_set(draft.stable_arm)
    if stable is not None and stable.owner is Owner.DEPLOYMENT and workload.paused and stable.wanted == 0 and workload.replicas > 0:
        # Scaled up from 0, a held Deployment starts its newest ReplicaSet, whatever served before.
        yield Scale(stable.name, workload.replicas)
    for rs in bypassed(draft):
        if rs.wanted > 0:
            yield Scale(rs.name, 0)
    for rs in workload.arms:
        # The Deployment would adopt the older of two with one template: the second is taken away from it, and then deleted.
        duplicate = (
            draft.active and workload.template.duplicates and rs.revision not in {draft.candidate.revision, draft.stable.revision}
        )
        if duplicate and draft.wants(rs.revision) and workload.paused and rs.owner is Owner.DEPLOYMENT and not has_pods(rs):
            yield Detach(rs.name)


def _forgotten(draft: Draft) -> Iterator[Action]:
    """ReplicaSets of versions that are not rolled out get no pods; those that were not rejected serve no memory."""
    workload = seen(draft)
    kept = {entry.revision for entry in draft.status.rejected}
    if draft.status.stable is not None:
        kept.add(draft.stable.revision)
    current = draft.candidate.revision if draft.active else None
    quiet = draft.routes_back or draft.routes_carry(0)
    for rs in workload.arms:
        if rs.owner is not Owner.RELEASE or rs.revision == current:
            continue
        if rs.wanted > 0 and quiet and not serves(draft, rs):
            yield Scale(rs.name, 0)
        elif not has_pods(rs) and rs.revision not in kept and not draft.deleting:
            yield DeleteReplicaSet(rs.name)


# The end


def ours(draft: Draft) -> list[ReplicaSetView]:
    """Return the ReplicaSets of the Release; none where the Deployment is gone."""
    return [rs for rs in seen(draft).arms if rs.owner is Owner.RELEASE] if draft.workload is not None else []


def hand_back(draft: Draft) -> Iterator[Action]:
    """Yield the writes that leave nothing of the Release's behind."""
    for rs in ours(draft):
        if not serves(draft, rs):
            yield DeleteReplicaSet(rs.name)
    for name in draft.snap.orphans:
        yield DeleteReplicaSet(name)
    if draft.workload is not None:
        yield from _hand_deployment_back(draft)


def _hand_deployment_back(draft: Draft) -> Iterator[Action]:
    workload, stable = seen(draft), draft.status.stable
    stays = workload.paused and stable is not None and not own_is(draft, stable.revision)
    left = _left_paused(draft) if stays else None
    if workload.labelled:
        # The Event is on a Release that is gone soon: whoever wonders why nothing rolls out looks at the Deployment.
        of = f" (Release {draft.snap.release.name}, {_minute(draft)})"
        yield LabelWorkload(present=False, note=words(left) + of if left is not None else "")
    if workload.paused and not stays:
        yield from _set_free(draft, replica_set(draft.stable_arm))
    elif left is not None and workload.labelled:
        draft.note(left)


def _left_paused(draft: Draft) -> happened.HandedBack:
    """Return that the Deployment stays paused, and why."""
    rejected = rejection(draft)
    return happened.HandedBack(draft.stable.version, rejected.message if rejected is not None else "")


def _minute(draft: Draft) -> str:
    return draft.now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
