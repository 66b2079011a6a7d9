"""The demo's own way to the API server, as the sandbox's administrator: kubectl for files, plain requests for the rest."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tidegate_sandbox.cluster import ClusterInfo

Object = dict[str, Any]

_AGENT = "demo"
"""Must not begin like the operator's, whose requests are counted by it."""
_AGAIN_SECONDS = 0.2
_NOT_YET = "There can be a delay between when CustomResourceDefinitions are created"
"""What the API server answers for a while after a kind was installed together with policies that mutate its objects."""
_ATTEMPTS = 61
_NOT_YET_SECONDS = 1.0
_LONGEST_LINE = 4 * 1024 * 1024


class KubeError(Exception):
    """The API server refused something, or kubectl failed; the message says what and why."""


class Kube:
    """Requests to the API server while the context is open."""

    def __init__(self, cluster: ClusterInfo) -> None:
        self._cluster = cluster
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        trust = ssl.create_default_context(cafile=str(self._cluster.ca_file))
        self._session = aiohttp.ClientSession(
            self._cluster.api_url,
            connector=aiohttp.TCPConnector(ssl=trust),
            headers={"Authorization": f"Bearer {self._cluster.token}", "User-Agent": _AGENT},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            read_bufsize=_LONGEST_LINE,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> Object:
        """Return the object or list at a path. Raises KubeError unless it is there."""
        return await self._request("GET", path)

    async def patch(self, path: str, body: Object) -> Object:
        """Apply a JSON merge patch and return the object. Raises KubeError where it is refused."""
        return await self._request("PATCH", path, json.dumps(body), "application/merge-patch+json")

    async def follow(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield all objects of a collection as they change, for ever: the type of the change, and the object.

        What is there already comes as ADDED, again after each interruption.
        """
        while True:
            try:
                listed = await self.get(path)
                for item in listed["items"]:
                    yield "ADDED", item
                async for change in self._watch(path, listed["metadata"]["resourceVersion"]):
                    yield change
            except (KubeError, aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return its output. Raises KubeError with what it complained about."""
        kubectl = await asyncio.create_subprocess_exec(
            self._cluster.bin_dir / "kubectl",
            *arguments,
            env={**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await kubectl.communicate()
        if kubectl.returncode != 0:
            raise KubeError(f"kubectl {' '.join(arguments)}: {complaint.decode().strip()}")
        return output.decode()

    async def apply(self, *paths: Path) -> None:
        """Apply files, server-side, again while policies do not know a new kind yet. Raises KubeError where one is refused."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                await self.kubectl("apply", "--server-side", *(f"--filename={path}" for path in paths))
            except KubeError as error:
                if _NOT_YET not in str(error) or not left:
                    raise
                await asyncio.sleep(_NOT_YET_SECONDS)
            else:
                return

    async def _request(self, method: str, path: str, body: str | None = None, kind: str = "application/json") -> Object:
        assert self._session is not None
        try:
            async with self._session.request(method, path, data=body, headers={"Content-Type": kind}) as response:
                found: Object = await response.json(content_type=None)
                if response.status >= 300:
                    raise KubeError(f"{method} {path}: {response.status} {found.get('message', '')}")
                return found
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise KubeError(f"{method} {path}: {error}") from error

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        assert self._session is not None
        async with self._session.get(path, params={"watch": "1", "resourceVersion": version}) as response:
            async for line in response.content:
                change = json.loads(line)
                if change["type"] == "ERROR":
                    return
                yield change["type"], change["object"]
