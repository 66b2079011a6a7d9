"""Deployments for adapters: which ReplicaSets count is read from owners, labels and the status together.

Owners change in the midst of a promotion, so none of the three alone tells which ReplicaSets are a Release's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import DEPLOYMENTS, REPLICA_SETS
from tidegate.engine.handover.deployment.actions import CreateCanary, DeleteReplicaSet, Hold, SetImages
from tidegate.engine.plan import OfWorkload
from tidegate.runtime.errors import Retry
from tidegate.runtime.store import Object, Store
from tidegate.workloads.authors import authors_of
from tidegate.workloads.commits import committed_by
from tidegate.workloads.deployment import actuator
from tidegate.workloads.deployment.observe import DeploymentObjects
from tidegate.workloads.kind import WorkloadObjects
from tidegate.workloads.objects import annotations_of, controller_of, labels_of


class DeploymentKind:
    """What adapters ask of Deployments."""

    resource = DEPLOYMENTS
    keepers = (REPLICA_SETS,)

    def around(
        self,
        store: Store,
        *,
        release: Object,
        spec: ReleaseSpec,
        status: ReleaseStatus,
        pods: Iterable[Object] | None,
        stable_pods: Iterable[Object] | None,
        manages: Callable[[str], bool],
    ) -> DeploymentObjects | None:
        """Return the Deployment of a Release with its ReplicaSets; None where there is none."""
        namespace, name = release["metadata"]["namespace"], release["metadata"]["name"]
        deployment = store.get(DEPLOYMENTS.kind, namespace, spec.target_ref.name)
        if deployment is None:
            return None
        found = store.owned_by(deployment["metadata"]["uid"], REPLICA_SETS.kind)
        # By label and not by owner: the garbage collector takes a Release that is being deleted out of the owners.
        found += store.by_label(REPLICA_SETS.kind, namespace, LABEL_RELEASE, name)
        if status.candidate is not None:
            # Between the Release's letting go and the Deployment's adoption nobody owns it.
            found += store.by_label(REPLICA_SETS.kind, namespace, LABEL_POD_TEMPLATE_HASH, status.candidate.revision)
        holder = labels_of(deployment).get(LABEL_RELEASE)
        return DeploymentObjects(
            release=name,
            release_uid=release["metadata"]["uid"],
            images=spec.images,
            version=spec.version,
            authors=authors_of(annotations_of(deployment), annotations_of(release), overlaid=bool(spec.images)),
            committed=committed_by(spec, annotations_of(deployment)),
            follows=spec.follow is not None,
            deployment=dict(deployment),
            replica_sets=[dict(rs) for rs in {rs["metadata"]["uid"]: rs for rs in found}.values()],
            pods=None if pods is None else [dict(pod) for pod in pods],
            stable=status.stable.revision if status.stable is not None else None,
            stable_pods=[dict(pod) for pod in stable_pods] if stable_pods is not None else None,
            label_is_stale=holder is not None and not manages(holder),
        )

    def orphans(self, store: Store, release: Object, workload: WorkloadObjects | None) -> tuple[Object, ...]:
        """Return the ReplicaSets that a Release leaves behind, of a Deployment that is gone or that it does not name any more.

        Their controller is the namespace: the garbage collector takes them neither with the Deployment nor with the Release.
        None are returned as long as the Release stays: the Deployment may come back.
        """
        metadata = release["metadata"]
        if not metadata.get("deletionTimestamp"):
            return ()
        known = {rs["metadata"]["uid"] for rs in workload.siblings} if isinstance(workload, DeploymentObjects) else set()
        found = store.by_label(REPLICA_SETS.kind, metadata["namespace"], LABEL_RELEASE, metadata["name"])
        others = (rs for rs in found if rs["metadata"]["uid"] not in known)
        return tuple(rs for rs in others if (controller_of(rs) or {}).get("kind") == "Namespace")

    def check(self, action: OfWorkload, decided: WorkloadObjects, now: WorkloadObjects) -> None:
        """Check that what lets a template go, or makes pods of it, meets the template that was decided on.

        Raises:
            Retry: the template has changed since.
        """
        if not isinstance(action, CreateCanary | SetImages | Hold) or (isinstance(action, Hold) and action.paused):
            return
        assert isinstance(decided, DeploymentObjects)
        assert isinstance(now, DeploymentObjects)
        own_too = isinstance(action, Hold)
        if now.template != decided.template or (own_too and now.own_template != decided.own_template):
            raise Retry(f"the pod template of {now.label} has changed meanwhile")

    async def perform(
        self, action: OfWorkload, *, workload: WorkloadObjects | None, orphans: Sequence[Object], cluster: Cluster
    ) -> bool:
        """Carry out a write on the Deployment or one of its ReplicaSets; see `Kind.perform`."""
        if isinstance(action, DeleteReplicaSet):
            name = action.replica_set
            if (orphan := next((rs for rs in orphans if rs["metadata"]["name"] == name), None)) is not None:
                return await actuator.delete(orphan, cluster)
        if workload is None:
            raise Retry("the Deployment is gone")
        assert isinstance(workload, DeploymentObjects)
        return await actuator.perform(action, workload=workload, cluster=cluster)
