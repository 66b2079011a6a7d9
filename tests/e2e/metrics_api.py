"""The metrics API of a cluster whose pods are as busy as a model says: what the HorizontalPodAutoscaler's controller asks."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Conflict, NotFound

Json = dict[str, Any]
GROUP = "/apis/metrics.k8s.io/v1beta1"
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
SERVICES = "/api/v1/namespaces/default/services"
NAME = "metrics-of-the-tests"
WINDOW = 2.0
"""Seconds over which a sample is taken."""
Samples = Callable[[], dict[str, tuple[datetime, float]]]


class MetricsApi:
    """Serves samples of pods behind an APIService.

    The API server reaches it by a Service of type ExternalName, which needs neither endpoints nor a cluster network.

    Args:
        cluster: the API, as an administrator.
        folder: for its certificate.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._of: dict[str, Samples] = {}
        self._runner: web.AppRunner | None = None

    def follow(self, namespace: str, samples: Samples) -> None:
        """Serve what a model says of a namespace: by pod, when it was sampled, and its use of processors in cores."""
        self._of[namespace] = samples

    async def start(self) -> None:
        """Listen, and have the API server send requests here."""
        app = web.Application()
        app.router.add_get(GROUP, self._resources)
        app.router.add_get(GROUP + "/namespaces/{namespace}/pods", self._pods)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls())
        await site.start()
        port = self._runner.addresses[0][1]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        }
        registration = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "service": {"name": NAME, "namespace": "default", "port": port},
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        }
        await self._withdraw()
        await self._cluster.create(SERVICES, service)
        await self._cluster.create(APISERVICES, registration)

    async def stop(self) -> None:
        """Take it all back."""
        await self._withdraw()
        if self._runner is not None:
            await self._runner.cleanup()

    async def served(self) -> bool:
        """Whether the API server sends requests here."""
        try:
            await self._cluster.get(f"{GROUP}/namespaces/default/pods")
        except ApiError:
            return False
        return True

    async def _withdraw(self) -> None:
        for path in (f"{APISERVICES}/v1beta1.metrics.k8s.io", f"{SERVICES}/{NAME}"):
            try:
                await self._cluster.delete(path)
            except (NotFound, Conflict):
                continue

    def _tls(self) -> ssl.SSLContext:
        key, certificate = self._folder / "key.pem", self._folder / "certificate.pem"
        arguments = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
        command = ["openssl", "req", *arguments, "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    async def _resources(self, request: web.Request) -> web.Response:
        pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1", "resources": [pods]}
        return web.json_response(body)

    async def _pods(self, request: web.Request) -> web.Response:
        namespace = request.match_info["namespace"]
        samples = self._of.get(namespace, dict)()
        items = [_pod_metrics(namespace, name, at, cores) for name, (at, cores) in samples.items()]
        return web.json_response({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items})


def _pod_metrics(namespace: str, name: str, at: datetime, cores: float) -> Json:
    usage = {"cpu": f"{round(cores * 1e9)}n", "memory": "64Mi"}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "window": f"{WINDOW:g}s",
        "containers": [{"name": "app", "usage": usage}],
    }
