"""What rules ask of a workload, answered for Deployments: by who controls which ReplicaSet, and by spec.paused.

The way of a version, in time. Its ReplicaSet is the Release's from the first step on, so the Deployment controller leaves it
alone. The adoption takes the Release out of its owners; from then on there is no way back, since the Deployment controller makes it
its own as soon as it looks, and stops the old pods.

    template changes     first step             adoption   controller looks    old pods stopped
    ------|--------------------|-------------------|--------------|------------------|--------
    old   Deployment's  .................................................................
    new                        Release's ..........nobody's .......Deployment's ..........
          paused ......................................................| let go
                                                    | committed     | adopted
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.api.policy import Step
from tidegate.engine.draft import Draft
from tidegate.engine.facts import has_pods, serves
from tidegate.engine.handover.deployment import state, writes
from tidegate.engine.handover.deployment.state import seen
from tidegate.engine.handover.deployment.view import DeploymentView, Owner, ReplicaSetView
from tidegate.engine.plan import Action
from tidegate.engine.pods import trouble
from tidegate.engine.sizing import canary_size
from tidegate.engine.waits import Wait, Waiting


@dataclass(frozen=True)
class DeploymentHandover:
    """How a Deployment comes to serve another version; it restarts by itself, can be let go and may turn round."""

    kind = "Deployment"
    arm = "ReplicaSet"

    @property
    def restarts(self) -> DeploymentHandover:
        """By `kubectl rollout restart`."""
        return self

    @property
    def bypass(self) -> DeploymentHandover:
        """By `kubectl rollout resume`."""
        return self

    @property
    def reverts(self) -> DeploymentHandover:
        """Until the old pods are stopped."""
        return self

    # What serves, and what holds.

    def observed(self, draft: Draft) -> bool:
        """Whether the Deployment controller has seen its generation."""
        return seen(draft).observed

    def serving(self, draft: Draft) -> ReplicaSetView | None:
        """Return the ReplicaSet that serves; None while the Deployment rolls by itself, which is waited for."""
        workload = seen(draft)
        own = [rs for rs in workload.arms if rs.owner is Owner.DEPLOYMENT]
        if workload.settled and not workload.paused:
            return next((rs for rs in own if rs.revision == workload.own_revision), None)
        ready = [rs for rs in own if rs.ready > 0]
        # While it is held, nothing but its biggest ReplicaSet can be stable.
        return max(ready, key=lambda rs: (rs.ready, rs.number)) if ready and workload.paused else None

    def starts_by_itself(self, draft: Draft) -> bool:
        """Whether it is held from its next template on, and none of its own ReplicaSets has a ready pod."""
        workload = seen(draft)
        return workload.labelled and not any(rs.ready > 0 for rs in workload.arms if rs.owner is Owner.DEPLOYMENT)

    def guarded(self, draft: Draft) -> bool:
        """Whether the hold policy knows it, or it is paused already where there is no such policy."""
        workload = seen(draft)
        return workload.labelled and (workload.paused or not draft.snap.keep_held)

    def unheld(self, draft: Draft) -> Waiting | None:
        """Return that it is not paused, although its own template is not stable's."""
        if seen(draft).paused or state.own_is(draft, draft.stable.revision):
            return None
        return Waiting(Wait.DEPLOYMENT_HELD, "for the Deployment to be held")

    # The way up.

    def size(self, draft: Draft, step: Step) -> int:
        """Return the pods that the new version needs at a step, beside all of stable's."""
        return canary_size(step, draft.replicas, routed=draft.routed, limit=draft.snap.step_replicas_limit)

    # Promotion.

    def unready(self, draft: Draft) -> Waiting | None:
        """Return what it lacks to adopt the new ReplicaSet, so that it does nothing but stop the old pods then."""
        workload, canary = seen(draft), state.replica_set(draft.canary_arm)
        assert canary is not None
        duplicates = [rs for rs in workload.arms if rs.owner is Owner.DEPLOYMENT and rs.revision in _same(workload, canary)]
        conditions = (
            (not workload.paused, Wait.HELD_FOR_ADOPTION, "for the Deployment to be held"),
            (not workload.observed, Wait.OBSERVED, "for the Deployment controller to observe the Deployment"),
            (
                not state.own_is(draft, canary.revision),
                Wait.TEMPLATE_WRITTEN,
                "for the Deployment to have the template of the new version",
            ),
            (bool(duplicates), Wait.DUPLICATE, "for a duplicate ReplicaSet of the same template to be deleted"),
        )
        return next((Waiting(wait, words) for missing, wait, words in conditions if missing), None)

    def committed(self, draft: Draft) -> bool:
        """Whether the Release has let the new ReplicaSet go: the Deployment controller adopts it when it looks next."""
        return state.owner_of(draft.canary_arm) in (Owner.DEPLOYMENT, Owner.NOBODY)

    def adopted(self, draft: Draft) -> bool:
        """Whether the Deployment controller has adopted the new ReplicaSet."""
        return state.owner_of(draft.canary_arm) is Owner.DEPLOYMENT

    def unsettled(self, draft: Draft) -> Waiting | None:
        """Return that it is still paused, where it need not be."""
        workload, canary = seen(draft), draft.canary_arm
        kept = draft.snap.keep_held or draft.deleting
        if canary is None or not workload.paused or kept or not state.own_is(draft, canary.revision):
            return None
        return Waiting(Wait.RELEASED, "for the Deployment to be released")

    # Writes.

    def writes(self, draft: Draft) -> Iterator[Action]:
        """Yield the writes on the Deployment, then those on its ReplicaSets."""
        yield from writes.on_deployment(draft)
        yield from writes.on_replica_sets(draft)

    def lingers(self, draft: Draft) -> bool:
        """Whether a ReplicaSet of the Release has pods, other than stable's."""
        return any(has_pods(rs) for rs in writes.ours(draft) if not serves(draft, rs))

    def hand_back(self, draft: Draft) -> Iterator[Action]:
        """Yield the deletion of what is the Release's, and let the Deployment go where that rolls nothing out."""
        yield from writes.hand_back(draft)

    # Abilities.

    def restarted(self, draft: Draft) -> ReplicaSetView | None:
        """Return its new ReplicaSet, once all pods are of it."""
        workload = seen(draft)
        fresh = workload.arm(workload.own_revision)
        done = workload.settled and not workload.paused and not workload.template.overlaid
        return fresh if done and fresh is not None and fresh.owner is Owner.DEPLOYMENT else None

    def outgrown(self, draft: Draft) -> ReplicaSetView | None:
        """Return its own ReplicaSet that was rolled out past the hold and has more pods than each that serves by right."""
        workload = seen(draft)
        known = {draft.stable.revision} | ({draft.candidate.revision} if draft.committed else set())
        rightful = [rs for rs in workload.arms if rs.revision in known]
        others = [rs for rs in workload.arms if rs.owner is Owner.DEPLOYMENT and rs.revision not in known]
        biggest = max(others, key=lambda rs: (rs.ready, rs.number), default=None)
        if biggest is None or any(biggest.ready <= rs.ready or biggest.wanted <= rs.wanted for rs in rightful):
            return None
        return biggest if biggest.ready else None

    def spare(self, draft: Draft) -> bool:
        """Whether it began pods when it was let go past the hold, which stable can do without."""
        return bool(state.bypassed(draft))

    def reverted(self, draft: Draft) -> str:
        """Return why stable serves again: the template went back, or the new pods went.

        The Deployment controller stops the pods of whatever is not its template as soon as those of its template are all there.
        Where a scaling has come between the adoption and its next look, it has scaled both versions in proportion, and may have
        left few pods to the one that has the traffic.
        """
        workload = seen(draft)
        old, canary = state.replica_set(draft.stable_arm), state.replica_set(draft.canary_arm)
        if old is None or canary is None or old.wanted == 0 or old.ready == 0:
            return ""
        if state.own_is(draft, draft.stable.revision) and old.ready >= workload.replicas:
            return f"the Deployment went back to {draft.stable.version}"
        if _scaled_amid_adoption(workload, old, canary) and (draft.routed or not state.rolls_on(draft)):
            left = f"{canary.wanted} of {workload.replicas} pods"
            return f"the Deployment was scaled during the promotion, which left the new version {left}"
        died = canary.ready == 0 and canary.owner is Owner.DEPLOYMENT
        return f"none of its pods is ready{trouble(draft)}" if died else ""


def _same(workload: DeploymentView, canary: ReplicaSetView) -> set[str]:
    """Return the revisions of the other ReplicaSets that have the canary's template."""
    names = {workload.template.revision, *workload.template.duplicates}
    return names - {canary.revision} if canary.revision in names else set()


def _scaled_amid_adoption(workload: DeploymentView, old: ReplicaSetView, canary: ReplicaSetView) -> bool:
    acted = canary.owner is Owner.DEPLOYMENT and canary.desired == workload.replicas
    # Let go, it stops the old pods next: nobody may be sent to them any more.
    return workload.paused and acted and canary.wanted < min(workload.replicas, old.ready) and old.wanted >= workload.replicas
