"""What the caches have of the workload of a Release: its Deployment, the ReplicaSets that count, and what it has left behind.

Which ReplicaSets count is read from owners, labels and the status together, since owners change in the midst of a promotion.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import target_of
from tidegate.runtime.store import Object, Store
from tidegate.traffic.selection import Pods
from tidegate.traffic.targets import declared_ports
from tidegate.workloads.observe import Workload, controller_of, labels_of, revision_of

_OVER = {"Succeeded", "Failed"}


def workload_around(
    store: Store,
    key: ReleaseKey,
    *,
    release: Object,
    spec: ReleaseSpec,
    status: ReleaseStatus,
    pods: Iterable[Object] | None,
    stable_pods: Iterable[Object] | None = None,
) -> Workload | None:
    """Return the Deployment of a Release with its ReplicaSets; None where there is none.

    Args:
        store: the caches.
        key: which Release.
        release: the Release as stored.
        spec: what it asks for.
        status: what has been decided.
        pods: pods of the new version; None where they were not read.
        stable_pods: pods of the version in force; None where they were not read.
    """
    deployment = store.get("Deployment", key.namespace, spec.target_ref.name)
    if deployment is None:
        return None
    found = store.owned_by(deployment["metadata"]["uid"], "ReplicaSet")
    # By label and not by owner: the garbage collector takes a Release that is being deleted out of the owners.
    found += store.by_label("ReplicaSet", key.namespace, LABEL_RELEASE, key.name)
    if status.candidate is not None:
        # Between the Release's letting go and the Deployment's adoption nobody owns it.
        found += store.by_label("ReplicaSet", key.namespace, LABEL_POD_TEMPLATE_HASH, status.candidate.revision)
    holder = labels_of(deployment).get(LABEL_RELEASE)
    return Workload(
        release=key.name,
        release_uid=release["metadata"]["uid"],
        images=spec.images,
        version=spec.version,
        deployment=dict(deployment),
        replica_sets=[dict(rs) for rs in {rs["metadata"]["uid"]: rs for rs in found}.values()],
        pods=None if pods is None else [dict(pod) for pod in pods],
        stable=status.stable.revision if status.stable is not None else None,
        stable_pods=[dict(pod) for pod in stable_pods] if stable_pods is not None else None,
        label_is_stale=holder is not None and not _manages(store, ReleaseKey(key.namespace, holder), spec.target_ref.name),
    )


def _manages(store: Store, key: ReleaseKey, deployment: str) -> bool:
    """Whether there is a Release of that name, and it is about that Deployment: anybody may write any name into a label."""
    release = store.get("Release", *key)
    return release is not None and target_of(key.namespace, release)[2] == deployment


def pods_of(workload: Workload) -> Pods:
    """Return what tells the pods of a Deployment from those of others."""
    sets = {revision_of(rs): labels_of(rs["spec"].get("template") or {}) for rs in workload.siblings}
    return Pods(
        deployment=workload.name,
        labels=labels_of(workload.own_template),
        revisions=sets,
        declared={revision_of(rs): declared_ports(rs["spec"].get("template") or {}) for rs in workload.siblings},
        selector=workload.deployment["spec"]["selector"].get("matchLabels") or {},
    )


def strangers_among(store: Store, workload: Workload, pods: Iterable[Object]) -> tuple[str, ...]:
    """Return the workloads, by kind and name, that pods belong to and that are not the Deployment, each once.

    Pods that are over or about to go do not count, nor do those of a ReplicaSet that is not known yet.

    Args:
        store: the caches.
        workload: the Deployment.
        pods: pods of its namespace.
    """
    own = {workload.deployment["metadata"]["uid"], *(rs["metadata"]["uid"] for rs in workload.replica_sets)}
    found: dict[str, None] = {}
    for pod in pods:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp") or (pod.get("status") or {}).get("phase") in _OVER:
            continue
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "ReplicaSet" and owner["uid"] not in own:
            replica_set = store.get("ReplicaSet", workload.namespace, owner["name"])
            if replica_set is None:
                continue
            owner = controller_of(replica_set) or owner
        if owner is None:
            found[f"Pod {metadata['name']}"] = None
        elif owner["uid"] not in own:
            found[f"{owner['kind']} {owner['name']}"] = None
    return tuple(sorted(found))


def orphans_of(store: Store, key: ReleaseKey, release: Object, workload: Workload | None) -> tuple[Object, ...]:
    """Return the ReplicaSets that a Release leaves behind, of a Deployment that is gone or that it does not name any more.

    Their controller is the namespace: the garbage collector takes them neither with the Deployment nor with the Release. None
    are returned as long as the Release stays: the Deployment may come back.
    """
    if not release["metadata"].get("deletionTimestamp"):
        return ()
    known = {rs["metadata"]["uid"] for rs in workload.siblings} if workload is not None else set()
    found = store.by_label("ReplicaSet", key.namespace, LABEL_RELEASE, key.name)
    return tuple(rs for rs in found if rs["metadata"]["uid"] not in known and (controller_of(rs) or {}).get("kind") == "Namespace")
