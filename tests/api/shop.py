"""A shop in a namespace of its own: a Release, its Deployment on fake nodes, and the writes of the operator on them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from api.cluster_access import apply, established, eventually, install_crds, kubectl, namespace, once, run
from api.cluster_client_access import api_server
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import DEPLOYMENTS, PODS, RELEASES, REPLICA_SETS
from tidegate.engine.handover.deployment.view import DeploymentView
from tidegate.workloads.deployment import actuator
from tidegate.workloads.deployment.observe import DeploymentObjects, revision_of, workload_view
from tidegate.workloads.objects import controller_of
from tidegate_sandbox import binaries, preflight, toolchain

Json = dict[str, Any]

NAME = "checkout"
LABELS = {"app": NAME}
PATIENCE = 60.0
"""Seconds that controllers get on a busy machine."""


@dataclass
class Shop:
    """What a test does in its namespace. Everything that it reads comes straight from the API server."""

    cluster: Cluster
    namespace: str
    release_uid: str = ""
    images: dict[str, str] = field(default_factory=dict)

    async def open(self, *, image: str = "checkout:v1", replicas: int = 3, **spec: Any) -> None:
        """Create the Release and the Deployment, and wait until the Deployment's pods are ready."""
        release = await self.cluster.create(RELEASES.path(self.namespace), release_body())
        self.release_uid = release["metadata"]["uid"]
        await self.cluster.create(DEPLOYMENTS.path(self.namespace), deployment_body(image, replicas=replicas, **spec))
        await self.until(lambda view: view.settled)

    async def workload(self) -> DeploymentObjects:
        """Read what is around the Deployment."""
        deployment, replica_sets, pods = await asyncio.gather(
            self.cluster.get(DEPLOYMENTS.path(self.namespace, NAME)),
            self.cluster.list(REPLICA_SETS.path(self.namespace)),
            self.cluster.list(PODS.path(self.namespace)),
        )
        return DeploymentObjects(
            release=NAME,
            release_uid=self.release_uid,
            images=self.images,
            deployment=deployment,
            replica_sets=replica_sets.items,
            pods=pods.items,
        )

    async def view(self) -> DeploymentView:
        """Return what the engine would see now."""
        return workload_view(await self.workload())

    async def until(self, holds: Callable[[DeploymentView], bool], *, within: float = PATIENCE) -> DeploymentView:
        """Wait until the engine would see what is wanted, and return it."""
        deadline = time.monotonic() + within
        while not holds(view := await self.view()):
            assert time.monotonic() < deadline, f"not within {within:g} s; seen last: {view}"
            await asyncio.sleep(0.1)
        return view

    async def perform(self, action: actuator.WorkloadAction, *, on: DeploymentObjects | None = None) -> bool:
        """Carry out an action on what is there now, or on what was seen earlier."""
        return await actuator.perform(action, workload=on or await self.workload(), cluster=self.cluster)

    async def pods(self, revision: str) -> set[str]:
        """Return the uids of a revision's pods that are not being deleted."""
        found = (await self.cluster.list(PODS.path(self.namespace), label_selector=f"pod-template-hash={revision}")).items
        return {pod["metadata"]["uid"] for pod in found if not pod["metadata"].get("deletionTimestamp")}

    async def replica_set(self, revision: str) -> Json:
        """Return the ReplicaSet of a revision."""
        found = (await self.cluster.list(REPLICA_SETS.path(self.namespace))).items
        return next(rs for rs in found if revision_of(rs) == revision)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl says in the namespace."""
        return kubectl(*arguments, "-n", self.namespace, stdin=stdin)

    def set_image(self, image: str) -> None:
        """Change the template as people do."""
        self.kubectl("set", "image", f"deployment/{NAME}", f"app={image}")


@asynccontextmanager
async def shop_of(prefix: str) -> AsyncIterator[Shop]:
    """Open a namespace with the kinds of Tidegate; deleted afterwards without waiting."""
    await asyncio.to_thread(install_crds)
    async with api_server() as cluster:
        with namespace(prefix) as name:
            try:
                yield Shop(cluster, name)
            finally:
                # No operator runs here that would let a Release with its finalizer go.
                run("kubectl", "patch", "release", NAME, "-n", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def release_body(**metadata: Any) -> Json:
    """A Release, with which the garbage collector must be content."""
    return {
        "apiVersion": RELEASES.api_version,
        "kind": "Release",
        "metadata": {"name": NAME} | metadata,
        "spec": {"targetRef": {"name": NAME}, "policyRef": {"name": "production"}},
    }


def deployment_body(image: str, *, replicas: int, **spec: Any) -> Json:
    """A Deployment whose pods run on the fake nodes of kwok."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "labels": {"tidegate.dev/release": NAME}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "containers": [{"name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}],
                    "nodeSelector": {"type": "kwok"},
                    "tolerations": [{"operator": "Exists"}],
                    "terminationGracePeriodSeconds": 1,
                },
            },
            **spec,
        },
    }


def install_gateway_api(*plurals: str) -> None:
    """Install kinds of Gateway API, HTTPRoute and BackendTLSPolicy unless others are named, where there is no gateway."""
    wanted = plurals or ("httproutes", "backendtlspolicies")
    once("-".join(["gateway-api", *plurals]), lambda: _install_gateway_api(wanted))


def _install_gateway_api(plurals: Iterable[str]) -> None:
    names = [f"{plural}.gateway.networking.k8s.io" for plural in plurals]
    if run("kubectl", "get", "crd", *names).returncode:
        try:
            files = binaries.files("contour", "crds")
        except (binaries.BuildError, preflight.LackingError, toolchain.ToolchainError) as missing:
            pytest.skip(f"no CRDs of Gateway API: {missing}")
        wanted = tuple(f"_{name.partition('.')[0]}.yaml" for name in names)
        apply("\n---\n".join(file.read_text() for file in files if file.name.endswith(wanted)))
    established(*(f"crd/{name}" for name in names))


def garbage_collector_knows_releases(shop: Shop) -> None:
    """Wait until a foreground deletion takes what a Release alone owns: the kind may be new to the garbage collector."""
    shop.kubectl("apply", "-f", "-", stdin=json.dumps(release_body(name="probe")))
    uid = shop.kubectl("get", "release", "probe", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": RELEASES.api_version, "kind": "Release", "name": "probe", "uid": uid}
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "ownerReferences": [owner]}}
    shop.kubectl("apply", "-f", "-", stdin=json.dumps(probe))
    shop.kubectl("delete", "release", "probe", "--cascade=foreground", "--wait=false")
    eventually(lambda: shop.kubectl("get", "configmap", "-o", "name"), wanted=lambda names: "/probe" not in names, timeout=90)


def controller_kind(replica_set: Json) -> str | None:
    """Return the kind of a ReplicaSet's controller."""
    controller = controller_of(replica_set)
    return controller["kind"] if controller else None
