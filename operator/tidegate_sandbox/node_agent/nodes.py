"""Node objects: registration and heartbeats.

The scheduler gives pods to Nodes that are Ready, and the node controller takes them from one whose heartbeats have stopped.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate_sandbox.node_agent import api, logs, status

_log = logging.getLogger(__name__)

LEASE_SECONDS = 40
"""How long a heartbeat is good for, as in the kubelet."""

RENEW_SECONDS = 10.0
"""Pause between heartbeats."""

STATUS_EVERY = 30
"""Every how many heartbeats the Node's status is written too: every 5 minutes, as in the kubelet."""

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_NOT_READY_TAINT = "node.kubernetes.io/not-ready"


@dataclass(frozen=True)
class NodeSettings:
    """How a Node presents itself. Its CPU and memory are not this machine's: process pods share what there is."""

    address: str
    pod_cidr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    max_pods: int = 110
    cpu: str = "64"
    memory: str = "256Gi"


class NodeKeeper:
    """Registers one Node and keeps it Ready."""

    def __init__(self, client: api.ApiClient, name: str, settings: NodeSettings, now: Callable[[], dt.datetime]) -> None:
        self._client = client
        self._name = name
        self._settings = settings
        self._now = now

    async def run(self) -> None:
        """Register the Node, then send heartbeats until cancelled. API errors are retried."""
        async for _ in api.attempts():
            try:
                await self._register()
                break
            except api.TRANSIENT as error:
                _log.warning("registration of node %s: %s", self._name, api.describe(error))
        _log.info("node %s is registered", self._name)
        beats, trusted = 0, True
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            beats += 1
            try:
                await self._renew_lease()
                # After an outage the node controller may hold the Node for lost: say at once that it is not.
                if not trusted or beats % STATUS_EVERY == 0:
                    await self._register()
                trusted = True
            except api.TRANSIENT as error:
                trusted = False
                _log.warning("heartbeat of node %s: %s", self._name, api.describe(error))

    async def _register(self) -> None:
        path = f"/api/v1/nodes/{self._name}"
        try:
            node = await self._client.request("POST", "/api/v1/nodes", body=self._node())
        except api.ApiError as error:
            if error.status != 409:
                raise
            labels = {"metadata": {"labels": self._labels()}}
            node = await self._client.request("PATCH", path, body=labels, content_type=api.STRATEGIC_MERGE_PATCH)
        await self._renew_lease()
        node = await self._client.request(
            "PATCH", path + "/status", body={"status": self._status(node)}, content_type=api.STRATEGIC_MERGE_PATCH
        )
        await self._drop_not_ready_taint(path, node)

    async def _drop_not_ready_taint(self, path: str, node: Mapping[str, Any]) -> None:
        # Admission puts the taint on each new Node, and the node lifecycle controller takes it off; a cluster may run
        # without that controller.
        taints = node.get("spec", {}).get("taints") or []
        kept = [taint for taint in taints if taint.get("key") != _NOT_READY_TAINT]
        if len(kept) == len(taints):
            return
        patch = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": kept or None},
        }
        try:
            await self._client.request("PATCH", path, body=patch, content_type=api.MERGE_PATCH)
        except api.ApiError as error:
            if error.status != 409:
                raise
            await self._drop_not_ready_taint(path, await self._client.request("GET", path))

    async def _renew_lease(self) -> None:
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": self._now().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            await self._client.request("PATCH", f"{_LEASES}/{self._name}", body={"spec": spec}, content_type=api.MERGE_PATCH)
        except api.ApiError as error:
            if error.status != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            await self._client.request("POST", _LEASES, body=lease)

    def _labels(self) -> dict[str, str]:
        return {
            "kubernetes.io/hostname": self._name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
            "type": "process",
            **self._settings.labels,
        }

    def _node(self) -> api.Json:
        spec: api.Json = {"podCIDR": self._settings.pod_cidr, "podCIDRs": [self._settings.pod_cidr]}
        if self._settings.taints:
            spec["taints"] = [dict(taint) for taint in self._settings.taints]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self._name, "labels": self._labels()},
            "spec": spec,
        }

    def _status(self, node: Mapping[str, Any]) -> api.Json:
        settings, now = self._settings, status.timestamp(self._now())
        before = {condition["type"]: condition for condition in node.get("status", {}).get("conditions") or ()}
        since = {kind: old.get("lastTransitionTime") for kind, old in before.items()}
        capacity = {"cpu": settings.cpu, "memory": settings.memory, "pods": str(settings.max_pods)}
        facts = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node agent does not track memory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node agent does not track disks"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "the node agent does not track processes"),
            ("Ready", "True", "KubeletReady", "the node agent runs pods as local processes"),
        ]
        return {
            "capacity": capacity,
            "allocatable": capacity,
            # No Hostname: API servers would look it up in the DNS before they tried the address.
            "addresses": [{"type": "InternalIP", "address": settings.address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": logs.PORT}},
            "conditions": [
                {
                    "type": kind,
                    "status": value,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": (before.get(kind, {}).get("status") == value and since[kind]) or now,
                }
                for kind, value, reason, message in facts
            ],
            "nodeInfo": _node_info(),
        }


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _node_info() -> api.Json:
    return {
        "architecture": _architecture(),
        "operatingSystem": "linux",
        "kernelVersion": os.uname().release,
        "osImage": "local processes",
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": "v1.36.3-process",
        "kubeProxyVersion": "",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }
