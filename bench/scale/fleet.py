"""Many services, each with what its owner writes: Deployment, Service, route, Release; and one policy for all of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.scale.progress import say

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import AlreadyExists, ApiError
from tidegate.cluster.resources import (
    CLUSTER_ROLLOUT_POLICIES,
    DEPLOYMENTS,
    HTTP_ROUTES,
    NAMESPACES,
    RELEASES,
    REPLICA_SETS,
    SERVICES,
    Resource,
)
from tidegate.cluster.sending import Json

PER_NAMESPACE = 250
AT_ONCE = 24
BUILD_AT_ONCE = 64
"""Services that are created at a time, each by three requests side by side: as many as keep two cores busy."""
TOLD = 1000
"""Services after which it is said how many are done."""
POLICY = "bench"
Name = tuple[str, str]


@dataclass
class Fleet:
    """Services under one policy.

    Args:
        cluster: the API, with the rights of an administrator.
        number: how many services.
        replicas: of each Deployment.
        history: old ReplicaSets that each Deployment keeps.
        together: services of each namespace.
    """

    cluster: Cluster
    number: int
    replicas: int = 1
    history: int = 3
    together: int = PER_NAMESPACE
    names: list[Name] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [(f"bench-{number // self.together}", f"shop-{number:04}") for number in range(self.number)]

    async def build(self, interval: float, gates: Iterable[Json] | None = None, **policy: Any) -> None:
        """Create everything but the Releases, and wait until all pods are ready.

        Args:
            interval: seconds between looks.
            gates: of the policy; by default one, on the error rate against stable's.
            policy: other fields of its spec; by default a first step at 20% that lasts longer than any run.
        """
        for namespace in sorted({namespace for namespace, _ in self.names}):
            await self._create(NAMESPACES, None, {"metadata": {"name": namespace}})
        spec = {
            "steps": [{"weight": 20, "hold": "2h"}, {"weight": 100}],
            "gates": list(gates or [error_rate(interval)]),
            "progressDeadline": "30m",
            **policy,
        }
        await self._create(CLUSTER_ROLLOUT_POLICIES, None, {"metadata": {"name": POLICY}, "spec": spec})
        await self.each(self._build_one, at_once=BUILD_AT_ONCE)
        await self.ready()

    async def adopt(self) -> None:
        """Create the Releases."""
        await self.each(self.adopt_one, at_once=BUILD_AT_ONCE)

    async def adopt_one(self, name: Name) -> None:
        """Create the Release of one service."""
        await self._create(RELEASES, name[0], _release(name[1]))

    async def roll_out(self, version: str) -> None:
        """Change the image of every Deployment, as its owner would."""
        await self.each(lambda name: self.roll_out_one(name, version))

    async def roll_out_one(self, name: Name, version: str) -> None:
        """Change the image of one Deployment, as its owner would."""
        operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image(version)}]
        await self.cluster.json_patch(DEPLOYMENTS.path(*name), operations, manager="author")

    async def stable_revisions(self) -> dict[Name, str]:
        """Return the revision that serves of each service: the one ReplicaSet that has replicas and belongs to the Deployment."""
        found: dict[Name, str] = {}
        for replica_set in (await self.cluster.list(REPLICA_SETS.path())).items:
            metadata = replica_set["metadata"]
            owners: list[Json] = metadata.get("ownerReferences") or []
            if replica_set["spec"].get("replicas") and any(owner["kind"] == "Deployment" for owner in owners):
                found[metadata["namespace"], owners[0]["name"]] = metadata["labels"]["pod-template-hash"]
        return found

    async def ready(self) -> None:
        """Wait until every Deployment has its pods."""
        while True:
            items = (await self.cluster.list(DEPLOYMENTS.path())).items
            if sum((one.get("status") or {}).get("readyReplicas", 0) >= self.replicas for one in items) >= self.number:
                return
            # A list of thousands keeps the API server from what is waited for.
            await asyncio.sleep(max(0.5, self.number / 500))

    async def each(self, do: Callable[[Name], Awaitable[object]], *, at_once: int = AT_ONCE) -> None:
        """Do something for every service, some at a time."""
        few, done = asyncio.Semaphore(at_once), 0

        async def one(name: Name) -> None:
            nonlocal done
            async with few:
                for patience in (0.5, 1.0, 2.0, 4.0, None):
                    try:
                        await do(name)
                    except ApiError as error:
                        if patience is None or error.status not in {0, 429, 500, 503, 504}:
                            raise
                        await asyncio.sleep(patience)
                    else:
                        done += 1
                        if done % TOLD == 0:
                            say(f"{done} of {self.number}")
                        return

        await asyncio.gather(*(one(name) for name in self.names))

    async def _build_one(self, name: Name) -> None:
        namespace, service = name
        await asyncio.gather(
            self._create(SERVICES, namespace, _service(service)),
            self._create(HTTP_ROUTES, namespace, _route(service)),
            self._create(DEPLOYMENTS, namespace, _deployment(service, self.replicas, self.history)),
        )

    async def _create(self, resource: Resource, namespace: str | None, body: Json) -> None:
        try:
            whole = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
            await self.cluster.create(resource.path(namespace), whole, manager="author")
        except AlreadyExists:
            return


def image(version: str) -> str:
    """Return the image of a version, pinned by a digest as in production."""
    return f"registry.example/team/shop:{version}@sha256:{hashlib.sha256(version.encode()).hexdigest()}"


def error_rate(interval: float) -> Json:
    """Return the gate of most cells: failed requests, at most one percentage point more than stable's, judged by Evidence."""
    return _gate("error-rate", "ErrorRate", interval, versusStable={"maxIncrease": {"points": 1}})


def seed_gates(interval: float) -> list[Json]:
    """Return the three gates of the policy that ships as the example, for pods that count their own requests."""
    return [
        error_rate(interval),
        _gate("p99-latency", "Latency", interval, versusStable={"maxIncrease": {"percent": 10}}, onBreach="Pause"),
        _gate("availability", "Availability", interval, threshold={"min": 0.99}),
    ]


def _gate(name: str, measure: str, interval: float, **limit: Any) -> Json:
    metric = {"preset": {"source": "HTTP", "measure": measure}}
    return {"name": name, "metric": metric, "interval": f"{interval:g}s", "connection": "stand-in", **limit}


def _service(name: str) -> Json:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"metadata": {"name": name, "labels": _labels(name)}, "spec": spec}


def _route(name: str) -> Json:
    spec = {
        "parentRefs": [{"name": "gateway", "namespace": "default"}],
        "hostnames": [f"{name}.example"],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": name, "port": 80}]}],
    }
    return {"metadata": {"name": name, "labels": _labels(name)}, "spec": spec}


def _release(name: str) -> Json:
    spec = {
        "targetRef": {"name": name},
        "policyRef": {"kind": CLUSTER_ROLLOUT_POLICIES.kind, "name": POLICY},
        "traffic": {"service": name, "gatewayAPI": {"httpRoutes": [{"name": name}]}},
    }
    return {"metadata": {"name": name, "labels": _labels(name)}, "spec": spec}


def _labels(name: str) -> dict[str, str]:
    return {
        "app": name,
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/managed-by": "gitops",
    }


def _deployment(name: str, replicas: int, history: int) -> Json:
    """Return a Deployment of the size that they have in production: probes, resources, a security context, some environment."""
    env = [{"name": f"SETTING_{number}", "value": f"value-of-setting-{number}"} for number in range(8)]
    container = {
        "name": "app",
        "image": image("v1"),
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": env,
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "containers": [container],
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    labels = _labels(name)
    template = {"metadata": {"labels": labels, "annotations": {"prometheus.io/scrape": "true"}}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, "revisionHistoryLimit": history}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}
