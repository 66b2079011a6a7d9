"""A client of the sandbox's API server for tests, with a namespace of their own."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import connect
from tidegate.cluster.errors import NotFound, TooManyRequests, Unavailable
from tidegate.cluster.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource
from tidegate_sandbox.cluster import ClusterInfo

needs_api_server = [
    pytest.mark.api,
    pytest.mark.skipif(
        not (os.environ.get("KUBECONFIG") and os.environ.get("TIDEGATE_SANDBOX")),
        reason="no API server: run it inside `tidegate-sandbox run --parts api -- pytest`",
    ),
]


@asynccontextmanager
async def api_server(kubeconfig: Path | None = None) -> AsyncIterator[Cluster]:
    """A client with the rights of the kubeconfig; by default the sandbox's administrator."""
    async with Cluster(await connect(str(kubeconfig) if kubeconfig else None)) as cluster:
        yield cluster


@asynccontextmanager
async def fresh_namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace that nobody else has; deleted afterwards without waiting."""
    name = f"tidegate-client-{uuid.uuid4().hex[:8]}"
    await cluster.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    if "controllers" in ClusterInfo.from_environment().parts:
        # One of them puts a ConfigMap into every namespace: let that happen before a test begins to count.
        async with asyncio.timeout(60):
            while not (await cluster.list(CONFIG_MAPS.path(name))).items:  # noqa: ASYNC110 - there is nothing else to wait on
                await asyncio.sleep(0.05)
    try:
        yield name
    finally:
        await cluster.delete(NAMESPACES.path(None, name))


@asynccontextmanager
async def fresh_kind(cluster: Cluster) -> AsyncIterator[Resource]:
    """A kind that nobody else has, and whose history begins now; deleted afterwards."""
    group = f"{uuid.uuid4().hex[:8]}.test.tidegate.dev"
    name = f"things.{group}"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    await cluster.create(CUSTOM_RESOURCE_DEFINITIONS.path(), definition)
    resource = Resource(group, "v1", "things", "Thing")
    try:
        async with asyncio.timeout(30):
            while not await _served(cluster, resource):  # noqa: ASYNC110 - the API server has no event to wait for
                await asyncio.sleep(0.05)
        yield resource
    finally:
        await cluster.delete(CUSTOM_RESOURCE_DEFINITIONS.path(None, name))


async def _served(cluster: Cluster, resource: Resource) -> bool:
    try:
        await cluster.list(resource.path())
    except (NotFound, Unavailable, TooManyRequests):
        return False
    return True


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data}


def config_map_path(namespace: str, name: str) -> str:
    return CONFIG_MAPS.path(namespace, name)


def kubeconfig_with(token: str, path: Path) -> Path:
    """The sandbox's kubeconfig with another user's token."""
    content = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    content["users"] = [{"name": user["name"], "user": {"token": token}} for user in content["users"]]
    path.write_text(yaml.safe_dump(content))
    return path


async def until(holds: Callable[[], bool], *, within: float = 20.0) -> None:
    """Waits for what the API server brings about in its own time."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - the condition is a property of the code under test
            await asyncio.sleep(0.01)
