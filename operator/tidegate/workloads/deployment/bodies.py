"""The requests that change a workload: pure, from the raw objects to the body that is sent.

Where acting on an outdated view could do harm, the body carries what it rests on as a precondition (`test` of JSON patch):
the object's uid, the Deployment's generation, which moves with its template, or who controls a ReplicaSet. It does not rest
on the resourceVersion, which moves with every change of status and would make patches fail for nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from tidegate.api.names import (
    ANNOTATION_CHANGED_BY,
    ANNOTATION_DESIRED_REPLICAS,
    ANNOTATION_HANDED_BACK,
    ANNOTATION_MAX_REPLICAS,
    ANNOTATION_RELEASE_UID,
    API_VERSION,
    LABEL_POD_TEMPLATE_HASH,
    LABEL_RELEASE,
    LABEL_ROLE,
)
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.plan import Role
from tidegate.workloads.deployment.observe import DeploymentObjects
from tidegate.workloads.objects import labels_of, replicas_of
from tidegate.workloads.templates import Json

Patch: TypeAlias = list[Json]

_OWNERS = "/metadata/ownerReferences"
_NAME_LIMIT = 253
"""Characters in the name of a ReplicaSet (a DNS subdomain)."""


def label_patch(workload: DeploymentObjects, *, present: bool, note: str = "") -> Patch | None:
    """Return the patch that puts the Deployment under the hold policy, or takes it out; None where nothing changes.

    The label of another Release that is there is neither overwritten nor removed. What an earlier Release has noted on the
    Deployment that it left goes when another takes it on.

    Args:
        workload: what was seen.
        present: whether it is to be under the policy.
        note: what the Deployment is to say of the state that it is left in; empty for nothing.
    """
    noted = workload.deployment["metadata"].get("annotations") or {}
    forget = [_remove(_key("/metadata/annotations", ANNOTATION_HANDED_BACK))] if ANNOTATION_HANDED_BACK in noted else []
    labels = labels_of(workload.deployment)
    path, holder = _key("/metadata/labels", LABEL_RELEASE), labels.get(LABEL_RELEASE)
    if present and holder != workload.release and not workload.held_by_another:
        parent = [_test(path, holder)] if holder else [] if labels else [_add("/metadata/labels", {})]
        return [_same_uid(workload.deployment), *parent, _add(path, workload.release), *forget]
    if not present and holder == workload.release:
        left = _annotate(workload.deployment, {ANNOTATION_HANDED_BACK: note} if note else {})
        # From here on nobody writes who changes it.
        author = [_remove(_key("/metadata/annotations", ANNOTATION_CHANGED_BY))] if ANNOTATION_CHANGED_BY in noted else []
        return [_same_uid(workload.deployment), _test(path, workload.release), _remove(path), *author, *left]
    return None


def hold_patch(workload: DeploymentObjects, *, paused: bool) -> Patch | None:
    """Return the patch that holds the Deployment, or lets it go; None where nothing changes.

    To hold is safe at any time; to let go is safe only with the template that was seen.
    """
    deployment = workload.deployment
    if paused and not deployment["spec"].get("paused"):
        return [_same_uid(deployment), _add("/spec/paused", True)]
    if not paused and "paused" in deployment["spec"]:
        return [_same_uid(deployment), _same_generation(deployment), _remove("/spec/paused")]
    return None


def workload_scale_patch(workload: DeploymentObjects, *, replicas: int) -> Patch | None:
    """Return the patch that scales the Deployment up from the size that was seen; None where it has the size."""
    before = replicas_of(workload.deployment)
    if before == replicas:
        return None
    return [_same_uid(workload.deployment), _test("/spec/replicas", before), _replace("/spec/replicas", replicas)]


def images_patch(workload: DeploymentObjects) -> Patch | None:
    """Return the patch that writes the Release's images into the held Deployment; None where they are there already."""
    spec = workload.own_template["spec"]
    changes = [
        _replace(f"/spec/template/spec/{field}/{index}/image", workload.images[container["name"]])
        for field in ("containers", "initContainers")
        for index, container in enumerate(spec.get(field) or ())
        if workload.images.get(container["name"], container.get("image")) != container.get("image")
    ]
    if not changes:
        return None
    return [_same_uid(workload.deployment), _same_generation(workload.deployment), _test("/spec/paused", True), *changes]


def canary_body(workload: DeploymentObjects, *, revision: str, replicas: int, namespace_uid: str) -> Json:
    """Return the ReplicaSet of the wanted template, as the Deployment controller would make it, but for its controller.

    Its own marks stand on its metadata alone: in the pod template they would make it another template, and the Deployment
    would not adopt it.
    """
    deployment, template = workload.deployment, workload.template
    labels = labels_of(template) | {LABEL_POD_TEMPLATE_HASH: revision}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    template["metadata"].pop("creationTimestamp", None)
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), LABEL_POD_TEMPLATE_HASH: revision}
    spec: Json = {"replicas": replicas, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{workload.name[: _NAME_LIMIT - len(revision) - 1]}-{revision}",
            "namespace": workload.namespace,
            "labels": labels | _marks(workload),
            "annotations": _sizes(deployment) | _uid_of_release(workload),
            "ownerReferences": owners(workload, namespace_uid=namespace_uid),
        },
        "spec": spec,
    }


def take_over_patch(workload: DeploymentObjects, replica_set: Mapping[str, Any], *, namespace_uid: str) -> Patch:
    """Return the patch that moves control of a ReplicaSet from the Deployment to the Release."""
    before = replica_set["metadata"].get("ownerReferences") or []
    rest = [owner for owner in before if owner["uid"] != workload.deployment["metadata"]["uid"]]
    marks = [_add(_key("/metadata/labels", label), value) for label, value in _marks(workload).items()]
    return [
        _same_uid(replica_set),
        _same_owners(replica_set),
        _replace(_OWNERS, [*rest, *owners(workload, namespace_uid=namespace_uid)]),
        *([] if labels_of(replica_set) else [_add("/metadata/labels", {})]),
        *marks,
        *_annotate(replica_set, _uid_of_release(workload)),
    ]


def adopt_patch(workload: DeploymentObjects, replica_set: Mapping[str, Any]) -> Patch:
    """Return the patch that frees a ReplicaSet of the Release, with all its marks, so that the Deployment adopts it.

    The annotations say that the ReplicaSet has the Deployment's size. With them the Deployment controller takes it for
    saturated and stops the old ReplicaSet; without them it would scale both in proportion (IsSaturated in
    pkg/controller/deployment/util).
    """
    metadata, annotations = replica_set["metadata"], replica_set["metadata"].get("annotations") or {}
    rest = [owner for owner in metadata["ownerReferences"] if owner["kind"] not in {"Namespace", "Release"}]
    return [
        _same_uid(replica_set),
        _same_generation(replica_set),
        _same_owners(replica_set),
        _replace(_OWNERS, rest) if rest else _remove(_OWNERS),
        *(_remove(_key("/metadata/labels", label)) for label in _marks(workload) if label in labels_of(replica_set)),
        *([_remove(_key("/metadata/annotations", ANNOTATION_RELEASE_UID))] if ANNOTATION_RELEASE_UID in annotations else []),
        *_annotate(replica_set, _sizes(workload.deployment)),
    ]


def scale_patch(workload: DeploymentObjects, replica_set: Mapping[str, Any], *, replicas: int) -> Patch | None:
    """Return the patch that scales a ReplicaSet while its controller is the one that was seen; None where it has the size.

    It rests on the generation, too: one that comes late must not bring back pods of a version that was taken back since.

    One of the Deployment's that gets its size is annotated with it. Without that, the Deployment controller would take the
    Deployment to have been scaled for ever, since it leaves what has the right size already as it is, and would roll nothing out
    (isScalingEvent in pkg/controller/deployment).
    """
    notes: dict[str, str] = {}
    if workload.owner_of(replica_set) is Owner.DEPLOYMENT and replicas == replicas_of(workload.deployment) > 0:
        before = replica_set["metadata"].get("annotations") or {}
        notes = {name: value for name, value in _sizes(workload.deployment).items() if before.get(name) != value}
    if replicas_of(replica_set) == replicas and not notes:
        return None
    return [
        *(_same_uid(replica_set), _same_generation(replica_set), _same_owners(replica_set)),
        _replace("/spec/replicas", replicas),
        *_annotate(replica_set, notes),
    ]


def owners(workload: DeploymentObjects, *, namespace_uid: str) -> list[Json]:
    """Return the owners of a ReplicaSet that the Release has.

    It must have a controller that is not the Deployment, or the Deployment adopts it; and that must not be the Release. A
    foreground deletion of the Release, which is what Argo CD does, has the garbage collector delete at once whatever has no
    other owner, although the Release's finalizer keeps the Release itself: with `blockOwnerDeletion` or without, the pods
    would be gone before the traffic has left them. Without another controller they would be adopted instead. The namespace
    is there for as long as they are. The Release stands beside it for people and tools that show what belongs to what.
    """
    plain: Json = {"blockOwnerDeletion": False}
    return [
        {**plain, "apiVersion": "v1", "kind": "Namespace", "name": workload.namespace, "uid": namespace_uid, "controller": True},
        {
            **plain,
            "apiVersion": API_VERSION,
            "kind": "Release",
            "name": workload.release,
            "uid": workload.release_uid,
            "controller": False,
        },
    ]


def _marks(workload: DeploymentObjects) -> dict[str, str]:
    return {LABEL_RELEASE: workload.release, LABEL_ROLE: Role.CANARY.value}


def _uid_of_release(workload: DeploymentObjects) -> dict[str, str]:
    """Return the annotation that stays where the garbage collector takes a Release that is gone out of the owners."""
    return {ANNOTATION_RELEASE_UID: workload.release_uid}


def _sizes(deployment: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations by which the Deployment controller tells a scaling of the Deployment from a rollout."""
    replicas = replicas_of(deployment)
    return {ANNOTATION_DESIRED_REPLICAS: str(replicas), ANNOTATION_MAX_REPLICAS: str(replicas + _surge(deployment))}


def _annotate(replica_set: Mapping[str, Any], notes: Mapping[str, str]) -> Patch:
    """Return the operations that write annotations; none for none."""
    parent = [] if not notes or replica_set["metadata"].get("annotations") else [_add("/metadata/annotations", {})]
    return [*parent, *(_add(_key("/metadata/annotations", name), value) for name, value in notes.items())]


def _surge(deployment: Mapping[str, Any]) -> int:
    """Return the pods beyond its replicas that a Deployment's own rollout may have (MaxSurge: percentages round up)."""
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") != "RollingUpdate":
        return 0
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", 0)
    if isinstance(surge, str):
        return math.ceil(replicas_of(deployment) * int(surge.removesuffix("%")) / 100)
    return int(surge)


def _same_uid(obj: Mapping[str, Any]) -> Json:
    return _test("/metadata/uid", obj["metadata"]["uid"])


def _same_generation(obj: Mapping[str, Any]) -> Json:
    return _test("/metadata/generation", obj["metadata"].get("generation"))


def _same_owners(replica_set: Mapping[str, Any]) -> Json:
    return _test(_OWNERS, replica_set["metadata"].get("ownerReferences"))


def _key(parent: str, key: str) -> str:
    """Return a JSON pointer to a key (RFC 6901)."""
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}"


def _test(path: str, value: object) -> Json:
    return {"op": "test", "path": path, "value": value}


def _add(path: str, value: object) -> Json:
    return {"op": "add", "path": path, "value": value}


def _replace(path: str, value: object) -> Json:
    return {"op": "replace", "path": path, "value": value}


def _remove(path: str) -> Json:
    return {"op": "remove", "path": path}
