"""The writes on a workload: each action of the engine on a Deployment or one of its ReplicaSets, as requests with preconditions.

What is sent is made in `bodies.py`; here is what each answer means: done already, seen too late, or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidegate.api.names import Reason
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import AlreadyExists, NotFound
from tidegate.cluster.resources import DEPLOYMENTS, REPLICA_SETS
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
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.plan import OfWorkload, ScaleWorkload
from tidegate.runtime.errors import Retry, Terminal
from tidegate.workloads.deployment import bodies
from tidegate.workloads.deployment.observe import DeploymentObjects
from tidegate.workloads.objects import replicas_of
from tidegate.workloads.templates import Json, same_template


async def perform(action: OfWorkload, *, workload: DeploymentObjects, cluster: Cluster) -> bool:
    """Carry out one action of the engine on the Deployment or one of its ReplicaSets.

    Args:
        action: what is wanted.
        workload: the raw objects that the decision was made on.
        cluster: the API.

    Returns:
        Whether anything was written. False: it was so already.

    Raises:
        ApiError: the API refused; a `Conflict` means that the objects are not as they were seen.
        Retry: the objects have moved on since the decision.
        Terminal: a ReplicaSet of the name that is needed exists with another template.
    """
    match action:
        case LabelWorkload(present, note):
            return await _patch_deployment(bodies.label_patch(workload, present=present, note=note), workload, cluster)
        case Hold(paused):
            return await _patch_deployment(bodies.hold_patch(workload, paused=paused), workload, cluster)
        case ScaleWorkload(replicas):
            return await _patch_deployment(bodies.workload_scale_patch(workload, replicas=replicas), workload, cluster)
        case SetImages():
            return await _patch_deployment(bodies.images_patch(workload), workload, cluster)
        case CreateCanary(revision, replicas):
            return await _create_canary(workload, revision, replicas, cluster)
        case Detach(name):
            return await _take_over(workload, name, cluster)
        case Adopt(name):
            return await _adopt(workload, name, cluster)
        case Scale(name, replicas):
            patch = bodies.scale_patch(workload, _known(workload, name), replicas=replicas)
            return await _patch_replica_set(patch, workload, name, cluster)
        case DeleteReplicaSet(name):
            return await _delete(workload, name, cluster)
        case _:
            raise TypeError(f"{type(action).__name__} is no write on a Deployment")


async def _patch_deployment(patch: bodies.Patch | None, workload: DeploymentObjects, cluster: Cluster) -> bool:
    if patch is None:
        return False
    await cluster.json_patch(DEPLOYMENTS.path(workload.namespace, workload.name), patch)
    return True


async def _patch_replica_set(patch: bodies.Patch | None, workload: DeploymentObjects, name: str, cluster: Cluster) -> bool:
    if patch is None:
        return False
    await cluster.json_patch(REPLICA_SETS.path(workload.namespace, name), patch)
    return True


async def _create_canary(workload: DeploymentObjects, revision: str, replicas: int, cluster: Cluster) -> bool:
    uid = await _namespace_uid(workload, cluster)
    body = bodies.canary_body(workload, revision=revision, replicas=replicas, namespace_uid=uid)
    try:
        await cluster.create(REPLICA_SETS.path(workload.namespace), body)
    except AlreadyExists:
        await _accept_existing(workload, body, cluster)
        return False
    return True


async def _accept_existing(workload: DeploymentObjects, body: Json, cluster: Cluster) -> None:
    """Return if the ReplicaSet that has the name is the canary, which the caches do not show yet."""
    name = body["metadata"]["name"]
    existing = await cluster.get(REPLICA_SETS.path(workload.namespace, name))
    if existing["metadata"].get("deletionTimestamp"):
        raise Retry(f"ReplicaSet {name} is being deleted", reason=Reason.CONFLICT)
    if not same_template(existing["spec"]["template"], body["spec"]["template"]):
        words = f"ReplicaSet {name} exists with another pod template: rename or delete it"
        raise Terminal(words, reason=Reason.CONFLICT)
    if workload.owner_of(existing) is not Owner.RELEASE:
        raise Retry(f"ReplicaSet {name} exists and is not controlled by Release {workload.release}", reason=Reason.CONFLICT)


async def _take_over(workload: DeploymentObjects, name: str, cluster: Cluster) -> bool:
    owner = workload.owner_of(_known(workload, name))
    if owner is Owner.RELEASE:
        return False
    if owner is not Owner.DEPLOYMENT:
        raise Retry(f"ReplicaSet {name} is not controlled by Deployment {workload.name}", reason=Reason.CONFLICT)
    fresh, uid = await asyncio.gather(_read_held(workload, cluster), _namespace_uid(workload, cluster))
    patch = bodies.take_over_patch(fresh, _known(fresh, name), namespace_uid=uid)
    return await _patch_replica_set(patch, fresh, name, cluster)


async def _adopt(workload: DeploymentObjects, name: str, cluster: Cluster) -> bool:
    if workload.owner_of(_known(workload, name)) in {Owner.DEPLOYMENT, Owner.NOBODY}:
        return False
    replica_set = await cluster.get(REPLICA_SETS.path(workload.namespace, name))
    # The Deployment last: nothing but this says that its size is as it was, and a scaling may come at any time.
    fresh = await _read_held(workload, cluster)
    if fresh.owner_of(replica_set) is not Owner.RELEASE:
        raise Retry(f"ReplicaSet {name} is not controlled by Release {workload.release}", reason=Reason.CONFLICT)
    if not same_template(replica_set["spec"]["template"], fresh.own_template):
        words = f"the pod template of Deployment {workload.name} is not that of ReplicaSet {name}"
        raise Retry(words, reason=Reason.CONFLICT)
    wanted, available = replicas_of(fresh.deployment), (replica_set.get("status") or {}).get("availableReplicas") or 0
    if replicas_of(replica_set) != wanted or available != wanted:
        # The Deployment controller would scale it and the old one in proportion, instead of stopping the old one.
        words = f"ReplicaSet {name} has {available} available pods of {replicas_of(replica_set)}, the Deployment wants {wanted}"
        raise Retry(words, after=1.0)
    return await _patch_replica_set(bodies.adopt_patch(fresh, replica_set), fresh, name, cluster)


async def _delete(workload: DeploymentObjects, name: str, cluster: Cluster) -> bool:
    replica_set = workload.get(name)
    if replica_set is None:
        return False
    if workload.owner_of(replica_set) is not Owner.RELEASE:
        raise Retry(f"ReplicaSet {name} is not controlled by Release {workload.release}", reason=Reason.CONFLICT)
    return await delete(replica_set, cluster)


async def delete(replica_set: Mapping[str, Any], cluster: Cluster) -> bool:
    """Delete a ReplicaSet with its pods as it was seen.

    Returns:
        Whether anything was deleted.

    Raises:
        ApiError: the API refused; a `Conflict` means that it is not as it was seen.
    """
    metadata = replica_set["metadata"]
    path = REPLICA_SETS.path(metadata["namespace"], metadata["name"])
    try:
        # Somebody may want its template again before a request that the network keeps back arrives.
        await cluster.delete(path, uid=metadata["uid"], resource_version=metadata["resourceVersion"], propagation="Background")
    except NotFound:
        return False
    return True


async def _read_held(workload: DeploymentObjects, cluster: Cluster) -> DeploymentObjects:
    """Return the workload with its Deployment as it is now: control moves safely only while it is held.

    The API has no precondition on another object, so it is read just before.
    """
    deployment = await cluster.get(DEPLOYMENTS.path(workload.namespace, workload.name))
    if deployment["metadata"]["uid"] != workload.deployment["metadata"]["uid"]:
        raise Retry(f"Deployment {workload.name} was recreated", reason=Reason.CONFLICT)
    if deployment["metadata"].get("deletionTimestamp"):
        raise Retry(f"Deployment {workload.name} is being deleted", reason=Reason.CONFLICT)
    if not deployment["spec"].get("paused"):
        raise Retry(f"Deployment {workload.name} is not held", reason=Reason.CONFLICT)
    return replace(workload, deployment=deployment)


async def _namespace_uid(workload: DeploymentObjects, cluster: Cluster) -> str:
    return await cluster.namespace_uid(workload.namespace, release=workload.release)


def _known(workload: DeploymentObjects, name: str) -> Json:
    replica_set = workload.get(name)
    if replica_set is None:
        raise Retry(f"ReplicaSet {name} is gone", reason=Reason.CONFLICT)
    return replica_set
