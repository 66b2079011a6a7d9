"""Raw objects as the API has them: a shop with one Release, its Deployment, Services and route."""

from __future__ import annotations

from typing import Any

from tidegate.cluster.resources import CLUSTER_ROLLOUT_POLICIES, RELEASES, ROLLOUT_POLICIES

Json = dict[str, Any]
NAMESPACE, NAME = "shop", "checkout"


def release(name: str = NAME, *, route: bool = True, status: Json | None = None, metadata: Json | None = None, **spec: Any) -> Json:
    traffic = {"traffic": {"service": NAME, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}} if route else {}
    return {
        "apiVersion": RELEASES.api_version,
        "kind": "Release",
        "metadata": {"namespace": NAMESPACE, "name": name, **(metadata or {})},
        "spec": {"targetRef": {"name": NAME}, "policyRef": {"name": "production"}, **traffic, **spec},
        **({"status": status} if status is not None else {}),
    }


def policy(*, cluster: bool = False, **spec: Any) -> Json:
    resource = CLUSTER_ROLLOUT_POLICIES if cluster else ROLLOUT_POLICIES
    gate = {
        "name": "error-rate",
        "metric": {"promql": {"canary": "canary", "stable": "stable", "unit": "Ratio"}},
        "threshold": {"max": 0.01},
        "interval": "2s",
        "window": "10s",
    }
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": "production", **({} if cluster else {"namespace": NAMESPACE})},
        "spec": {"steps": [{"weight": 10, "hold": "1m"}, {"weight": 100}], "bake": "5s", "gates": [gate], **spec},
    }


def template(image: str) -> Json:
    return {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [{"name": "app", "image": image}]}}


def deployment(image: str = "checkout:v1", *, replicas: int = 2, paused: bool = False, labels: Json | None = None) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": NAMESPACE, "name": NAME, **({"labels": labels} if labels else {})},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": NAME}},
            "template": template(image),
            **({"paused": True} if paused else {}),
        },
        "status": {
            "observedGeneration": 99,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": replicas,
            "readyReplicas": replicas,
        },
    }


def replica_set(owner: Json, image: str = "checkout:v1", *, hashed: str = "aaaa", replicas: int = 2) -> Json:
    body = template(image)
    body["metadata"]["labels"] = {**body["metadata"]["labels"], "pod-template-hash": hashed}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{NAME}-{hashed}",
            "labels": dict(body["metadata"]["labels"]),
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [owned_by(owner)],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": NAME, "pod-template-hash": hashed}}, "template": body},
        "status": {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas},
    }


def owned_by(owner: Json, *, controller: bool = True) -> Json:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": controller,
    }


def service(name: str = NAME) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def route(name: str = NAME, *backends: Json) -> Json:
    parent = {"name": "contour", "namespace": "projectcontour"}
    conditions = [{"type": kind, "status": "True", "reason": kind, "message": ""} for kind in ("Accepted", "ResolvedRefs")]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {"parentRefs": [parent], "rules": [{"backendRefs": list(backends) or [{"name": NAME, "port": 80}]}]},
        "status": {"parents": [{"parentRef": parent, "controllerName": "x", "conditions": conditions}]},
    }
