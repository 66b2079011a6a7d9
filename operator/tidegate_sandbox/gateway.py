"""The data plane: Gateway API CRDs, Contour as their controller, Envoy in front of the pods."""

import asyncio
import json
from pathlib import Path
from typing import Any

import yaml

from tidegate_sandbox import binaries
from tidegate_sandbox.apiclient import Object, answering, condition
from tidegate_sandbox.cluster import (
    ENVOY_ADMIN_PORT,
    GATEWAY_CLASS,
    GATEWAY_NAME,
    GATEWAY_NAMESPACE,
    GATEWAY_PORT,
    Layout,
)
from tidegate_sandbox.programs import PartError, until
from tidegate_sandbox.sandbox import Sandbox

XDS_PORT = 6991
_CONTOUR_METRICS_PORT = 6992
_CONTOUR_DEBUG_PORT = 6993
_ENVOY_HEALTH_PORT = 6994

LISTENER_PORT = GATEWAY_PORT - 8000
"""Port of the Gateway's listener; Contour has Envoy listen on the one 8000 above it."""

_STATS_FLUSH = "0.5s"
"""Envoy merges its histograms that often; at the default of 5 s, latencies would lag five scrapes behind counters."""

_GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"


async def start_gateway(sandbox: Sandbox) -> None:
    """Bring up the CRDs, Contour, Envoy and the Gateway ``projectcontour/contour``, open to routes of all namespaces.

    Raises:
        PartError: one of them did not come up.
    """
    await asyncio.gather(_install(sandbox), _write_bootstrap(sandbox))
    await _start_contour(sandbox)
    await _start_envoy(sandbox)
    gateway = f"{_GATEWAY_API}/namespaces/{GATEWAY_NAMESPACE}/gateways/{GATEWAY_NAME}"
    await until(sandbox.api.finding(gateway, condition("Programmed")), "the Gateway")


async def _install(sandbox: Sandbox) -> None:
    crds = await asyncio.to_thread(_read_crds)
    collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    async def install(crd: Object) -> None:
        name = crd["metadata"]["name"]
        await until(sandbox.api.creating(collection, crd), f"CRD {name}")
        await until(sandbox.api.finding(f"{collection}/{name}", condition("Established")), f"CRD {name}")

    # The API server lets the first object of a kind wait until two seconds after the CRD is established: these two kinds
    # go first, and wait while the others are installed.
    urgent = [crd for crd in crds if crd["spec"]["names"]["kind"] in {"GatewayClass", "Gateway"}]
    await asyncio.gather(*(install(crd) for crd in urgent))
    await asyncio.gather(_create_objects(sandbox), *(install(crd) for crd in crds if crd not in urgent))


async def _create_objects(sandbox: Sandbox) -> None:
    for collection, body in _objects():
        await until(sandbox.api.creating(collection, body), f"{body['kind']} {body['metadata']['name']}")


def _read_crds() -> list[Object]:
    # The loader written in C takes a tenth of the second that the other one needs for a megabyte of CRDs.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents: list[Object] = []
    for path in binaries.files("contour", "crds"):
        documents += [document for document in yaml.load_all(path.read_text(), Loader=loader) if document]
    return documents


def _objects() -> list[tuple[str, Object]]:
    """Return what Contour looks for, with the collection that each is created in."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAY_NAMESPACE}}
    services = f"/api/v1/namespaces/{GATEWAY_NAMESPACE}/services"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "envoy", "namespace": GATEWAY_NAMESPACE},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80, "targetPort": GATEWAY_PORT}]},
    }
    gateway_class = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": GATEWAY_CLASS},
        "spec": {"controllerName": "projectcontour.io/gateway-controller"},
    }
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": LISTENER_PORT,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": GATEWAY_NAME, "namespace": GATEWAY_NAMESPACE},
        "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
    }
    gateways = f"{_GATEWAY_API}/namespaces/{GATEWAY_NAMESPACE}/gateways"
    return [
        ("/api/v1/namespaces", namespace),
        (services, service),
        (f"{_GATEWAY_API}/gatewayclasses", gateway_class),
        (gateways, gateway),
    ]


async def _start_contour(sandbox: Sandbox) -> None:
    configuration = {
        "gateway": {"gatewayRef": {"name": GATEWAY_NAME, "namespace": GATEWAY_NAMESPACE}},
        "accesslog-level": "error",
    }
    path = sandbox.layout.directory / "contour.yaml"
    path.write_text(yaml.safe_dump(configuration))
    arguments = [
        "serve",
        f"--kubeconfig={sandbox.layout.kubeconfig}",
        f"--config-path={path}",
        "--insecure",
        "--disable-leader-election",
        "--xds-address=127.0.0.1",
        f"--xds-port={XDS_PORT}",
        "--envoy-service-http-address=127.0.0.1",
        f"--envoy-service-http-port={GATEWAY_PORT}",
        # Everything else that it and Envoy listen on keeps off the ports and addresses that pods like.
        "--http-address=127.0.0.1",
        f"--http-port={_CONTOUR_METRICS_PORT}",
        "--health-address=127.0.0.1",
        f"--health-port={_CONTOUR_METRICS_PORT}",
        "--debug-http-address=127.0.0.1",
        f"--debug-http-port={_CONTOUR_DEBUG_PORT}",
        "--stats-address=127.0.0.1",
        f"--stats-port={_ENVOY_HEALTH_PORT}",
        "--kubernetes-client-qps=200",
        "--kubernetes-client-burst=400",
    ]

    async def listening() -> str | None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", XDS_PORT)
        except OSError as error:
            return f"its xDS port: {error}"
        writer.close()
        return None

    await sandbox.run("contour", arguments, listening)


async def _start_envoy(sandbox: Sandbox) -> None:
    arguments = [
        "--config-path",
        str(_bootstrap(sandbox.layout)),
        "--service-cluster",
        GATEWAY_NAMESPACE,
        "--service-node",
        "envoy",
        # Would share memory with the Envoys of other sandboxes on this machine.
        "--disable-hot-restart",
        "--concurrency",
        "2",
    ]
    await sandbox.run("envoy", arguments, answering(f"http://127.0.0.1:{ENVOY_ADMIN_PORT}/ready"))


async def _write_bootstrap(sandbox: Sandbox) -> None:
    path = _bootstrap(sandbox.layout)
    socket = "admin.sock"
    contour = await asyncio.create_subprocess_exec(
        sandbox.bin_dir / "contour",
        "bootstrap",
        "--xds-address=127.0.0.1",
        f"--xds-port={XDS_PORT}",
        f"--admin-address={socket}",
        path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await contour.communicate()
    if contour.returncode != 0:
        raise PartError(f"contour bootstrap ended with status {contour.returncode}: {output.decode()}")
    path.write_text(json.dumps(adapt_bootstrap(json.loads(path.read_text()))))


def adapt_bootstrap(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Return Contour's bootstrap with Envoy's administration on a port, where Prometheus can scrape it."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "pipe" in value:
            return {"socket_address": {"address": "127.0.0.1", "port_value": ENVOY_ADMIN_PORT}}
        return {name: moved(item) for name, item in value.items()}

    return {**moved(bootstrap), "stats_flush_interval": _STATS_FLUSH}


def _bootstrap(layout: Layout) -> Path:
    return layout.directory / "envoy.json"
