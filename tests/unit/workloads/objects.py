"""Objects as the API server returns them, for the stories about workloads."""

from __future__ import annotations

from typing import Any

from tidegate.workloads.deployment.observe import DeploymentObjects

Json = dict[str, Any]

RELEASE_UID = "release-uid"
DEPLOYMENT_UID = "deployment-uid"
NAMESPACE_UID = "namespace-uid"
NO_BLOCK = {"blockOwnerDeletion": False}
BY_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "name": "shop", "uid": NAMESPACE_UID, "controller": True, **NO_BLOCK}
OF_RELEASE = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "Release",
    "name": "checkout",
    "uid": RELEASE_UID,
    "controller": False,
    **NO_BLOCK,
}
BY_RELEASE = [BY_NAMESPACE, OF_RELEASE]
_DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "name": "checkout",
    "uid": DEPLOYMENT_UID,
    "controller": True,
    "blockOwnerDeletion": True,
}
BY_DEPLOYMENT = [_DEPLOYMENT]
BY_ANOTHER = [{**_DEPLOYMENT, "name": "other", "uid": "another-uid"}]
BY_NOBODY: list[Json] = []


def template(image: str = "registry.example/checkout:v1", **annotations: str) -> Json:
    """A pod template with the API server's defaults."""
    metadata: Json = {"labels": {"app": "checkout"}}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "metadata": metadata,
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        },
    }


def deployment(pod_template: Json, *, replicas: int = 3, paused: bool = False, **status: int) -> Json:
    """A Deployment whose own rollout is complete, unless the status says otherwise."""
    complete = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas, "observedGeneration": 4}
    spec: Json = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "checkout"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": pod_template,
    }
    if paused:
        spec["paused"] = True
    return {
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "uid": DEPLOYMENT_UID,
            "generation": 4,
            "labels": {"tidegate.dev/release": "checkout"},
        },
        "spec": spec,
        "status": {**complete, **status},
    }


def replica_set(
    revision: str,
    pod_template: Json,
    *,
    replicas: int = 0,
    owner: list[Json] = BY_DEPLOYMENT,
    created: str = "2026-11-21T08:00:00Z",
    number: str = "",
) -> Json:
    """A ReplicaSet of the Deployment's, with all its pods available."""
    labels = {**pod_template["metadata"]["labels"], "pod-template-hash": revision}
    metadata: Json = {
        "name": f"checkout-{revision}",
        "namespace": "shop",
        "uid": f"{revision}-uid",
        "generation": 1,
        "resourceVersion": "1",
        "labels": labels,
        "creationTimestamp": created,
    }
    if owner:
        metadata["ownerReferences"] = owner
    if owner is BY_RELEASE:
        metadata["labels"] = labels | {"tidegate.dev/release": "checkout", "tidegate.dev/role": "canary"}
    if number:
        metadata["annotations"] = {"deployment.kubernetes.io/revision": number}
    return {
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {**pod_template, "metadata": {**pod_template["metadata"], "labels": dict(labels)}},
        },
        "status": {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas},
    }


def workload(
    deployment: Json,
    *replica_sets: Json,
    images: dict[str, str] | None = None,
    pods: tuple[Json, ...] = (),
    stable: str | None = None,
    stable_pods: tuple[Json, ...] | None = None,
    version: str | None = None,
) -> DeploymentObjects:
    """What a pass reads for the Release `checkout`."""
    return DeploymentObjects(
        release="checkout",
        release_uid=RELEASE_UID,
        images=images or {},
        version=version,
        deployment=deployment,
        replica_sets=replica_sets,
        pods=pods,
        stable=stable,
        stable_pods=stable_pods,
    )


def pod(name: str, *, owner: str = "new", deleting: bool = False, **status: Any) -> Json:
    """A pod of the ReplicaSet with this revision."""
    metadata: Json = {"name": name, "ownerReferences": [{"kind": "ReplicaSet", "uid": f"{owner}-uid", "controller": True}]}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-21T08:05:00Z"
    return {"metadata": metadata, "status": status}
