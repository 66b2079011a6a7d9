"""How a Deployment stands in a rollout: whose template it has, and what it began by itself. Questions and writes ask alike."""

from __future__ import annotations

from tidegate.engine.draft import Draft
from tidegate.engine.handover.deployment.view import DeploymentView, Owner, ReplicaSetView
from tidegate.engine.snapshot import Arm


def seen(draft: Draft) -> DeploymentView:
    """Return the Deployment; only to be asked while there is one."""
    workload = draft.workload
    assert isinstance(workload, DeploymentView)
    return workload


def replica_set(arm: Arm | None) -> ReplicaSetView | None:
    """Return the ReplicaSet that an arm of a Deployment is."""
    assert arm is None or isinstance(arm, ReplicaSetView)
    return arm


def owner_of(arm: Arm | None) -> Owner | None:
    """Return who controls a ReplicaSet; None where there is none."""
    rs = replica_set(arm)
    return rs.owner if rs is not None else None


def own_is(draft: Draft, revision: str) -> bool:
    """Whether the Deployment's own template, without the overlay, is that of a revision."""
    own = seen(draft).own_revision
    return own is not None and (own == revision or (draft.wants(own) and draft.wants(revision)))


def rolls_on(draft: Draft) -> bool:
    """Whether the Deployment, which has adopted the new version, is let go and finishes by itself what is left."""
    canary = draft.canary_arm
    return canary is not None and not draft.snap.keep_held and own_is(draft, canary.revision)


def bypassed(draft: Draft) -> list[ReplicaSetView]:
    """Return what a held Deployment began when it was let go past the hold, as far as stable can do without it."""
    workload, stable = seen(draft), draft.stable_arm
    if stable is None or not workload.paused:
        return []
    spared = {stable.revision}
    if draft.active and (draft.undoing or draft.step is not None):
        spared.add(draft.candidate.revision)  # It may have traffic, and is taken over instead.
    own = (rs for rs in workload.arms if rs.owner is Owner.DEPLOYMENT and rs.revision not in spared)
    return [rs for rs in own if (rs.wanted > 0 or rs.current > 0) and stable.ready >= rs.ready]
