"""What the caches have of the workload of a Release, whatever its kind, and whose the pods around it are."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import target_of
from tidegate.runtime.store import Object, Store
from tidegate.traffic.selection import Pods
from tidegate.traffic.targets import declared_ports
from tidegate.workloads.kind import WorkloadObjects
from tidegate.workloads.kinds import KEEPERS, KINDS
from tidegate.workloads.objects import controller_of, labels_of

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
) -> WorkloadObjects | None:
    """Return the workload of a Release with what keeps its pods; None where there is none.

    Args:
        store: the caches.
        key: which Release.
        release: the Release as stored.
        spec: what it asks for.
        status: what has been decided.
        pods: pods of the new version; None where they were not read.
        stable_pods: pods of the version in force; None where they were not read.
    """

    def manages(name: str) -> bool:
        # Anybody may write any name into a label.
        other = store.get("Release", key.namespace, name)
        return other is not None and target_of(key.namespace, other) == target_of(key.namespace, release)

    kind = KINDS[spec.target_ref.kind]
    return kind.around(store, release=release, spec=spec, status=status, pods=pods, stable_pods=stable_pods, manages=manages)


def pods_of(workload: WorkloadObjects) -> Pods:
    """Return what tells the pods of a workload from those of others."""
    templates = workload.templates
    return Pods(
        workload=workload.label,
        label=workload.version_label,
        labels=labels_of(workload.own_template),
        revisions={revision: labels_of(template) for revision, template in templates.items()},
        declared={revision: declared_ports(template) for revision, template in templates.items()},
        selector=workload.own["spec"]["selector"].get("matchLabels") or {},
    )


def strangers_among(store: Store, workload: WorkloadObjects, pods: Iterable[Object]) -> tuple[str, ...]:
    """Return the workloads, by kind and name, that pods belong to and that are not the Release's, each once.

    Pods that are over or about to go do not count, nor do those of a keeper, such as a ReplicaSet, that is not known yet.

    Args:
        store: the caches.
        workload: the Release's.
        pods: pods of its namespace.
    """
    own = {obj["metadata"]["uid"] for obj in workload.objects}
    found: dict[str, None] = {}
    for pod in pods:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp") or (pod.get("status") or {}).get("phase") in _OVER:
            continue
        owner = controller_of(pod)
        if owner is not None and owner["kind"] in KEEPERS and owner["uid"] not in own:
            keeper = store.get(owner["kind"], workload.namespace, owner["name"])
            if keeper is None:
                continue
            owner = controller_of(keeper) or owner
        if owner is None:
            found[f"Pod {metadata['name']}"] = None
        elif owner["uid"] not in own:
            found[f"{owner['kind']} {owner['name']}"] = None
    return tuple(sorted(found))
