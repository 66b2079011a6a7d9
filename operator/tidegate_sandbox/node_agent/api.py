"""A small client of the Kubernetes API: JSON in, JSON out, and watches that survive drops."""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import os
import pathlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import orjson
import yaml

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

_log = logging.getLogger(__name__)
_REQUEST_SECONDS = 10.0
_WATCH_SECONDS = 240
_WATCH_SLACK_SECONDS = 30.0
_MAX_EVENT_BYTES = 4 * 1024 * 1024
_RETRY_FIRST_SECONDS = 0.2
_RETRY_MOST_SECONDS = 5.0


class KubeconfigError(ValueError):
    """The kubeconfig cannot be used; the message names the missing or malformed part."""


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


def describe(error: Exception) -> str:
    """Return what an error says, or its name where it says nothing, as timeouts do."""
    return str(error) or type(error).__name__


TRANSIENT = (ApiError, aiohttp.ClientError, TimeoutError, OSError)
"""What a request may raise while the API server is away or overloaded."""


@dataclass(frozen=True)
class Access:
    """Where the API server is and how to speak to it."""

    server: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None


async def attempts() -> AsyncIterator[int]:
    """Count attempts from 0, pausing before each after the first: 0.2 s, 0.4 s ... 5 s."""
    delay = _RETRY_FIRST_SECONDS
    for attempt in itertools.count():
        yield attempt
        await asyncio.sleep(delay)
        delay = min(_RETRY_MOST_SECONDS, delay * 2)


def load_kubeconfig(path: pathlib.Path, context: str | None = None) -> Access:
    """Read server, CA and credentials (token or client certificate) of a context, by default the current one.

    Raises KubeconfigError for a file that is missing, malformed or names no such context.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        chosen = _entry(config, "contexts", context or config["current-context"])["context"]
        cluster = _entry(config, "clusters", chosen["cluster"])["cluster"]
        user = _entry(config, "users", chosen["user"])["user"]
        server = str(cluster["server"]).rstrip("/")
        tls = _tls(cluster, user, path.parent) if server.startswith("https:") else None
        token = _token(user, path.parent)
    except KubeconfigError:
        raise
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise KubeconfigError(f"kubeconfig {path}: {error}") from error
    return Access(server, {"Authorization": f"Bearer {token}"} if token else {}, tls)


def _token(user: Mapping[str, Any], folder: pathlib.Path) -> str | None:
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return (folder / str(user["tokenFile"])).read_text(encoding="utf-8").strip()
    return None


def _entry(config: Mapping[str, Any], kind: str, name: str) -> Json:
    for entry in config.get(kind) or ():
        if entry.get("name") == name:
            return dict(entry)
    raise KubeconfigError(f"kubeconfig: no entry {name!r} in {kind}")


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: pathlib.Path) -> ssl.SSLContext:
    authority = _material(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _material(user, "client-certificate", folder), _material(user, "client-key", folder)
    if certificate and key:
        _load_client_certificate(context, certificate, key)
    return context


def _material(section: Mapping[str, Any], name: str, folder: pathlib.Path) -> bytes | None:
    if section.get(f"{name}-data"):
        return base64.b64decode(section[f"{name}-data"])
    if section.get(name):
        return (folder / str(section[name])).read_bytes()
    return None


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module reads certificate chains from files only. mkstemp makes the file readable by its owner alone.
    descriptor, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(name)
    finally:
        pathlib.Path(name).unlink()


class ApiClient:
    """Requests to one API server. Use as an async context manager."""

    def __init__(self, access: Access, user_agent: str) -> None:
        self._access = access
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={**self._access.headers, "User-Agent": self._user_agent, "Accept": "application/json"},
            connector=aiohttp.TCPConnector(limit=32, ssl=self._access.tls if self._access.tls is not None else True),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            read_bufsize=_MAX_EVENT_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """Send a request and return the object that the server answers with.

        Raises ApiError for a refusal; aiohttp.ClientError, OSError or TimeoutError where no answer came.
        """
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self._open().request(method, self._access.server + path, params=params, data=data, headers=headers) as response:
            content = await response.read()
        if response.status >= 400:
            raise _api_error(response.status, content)
        return _decoded(content)

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[tuple[str, Json]]:
        """Yield (type, object) of each event until the server ends the watch. Raises as :meth:`request` does."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_SECONDS + _WATCH_SLACK_SECONDS)
        query = {**params, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        async with self._open().get(self._access.server + path, params=query, timeout=timeout) as response:
            if response.status >= 400:
                raise _api_error(response.status, await response.read())
            async for line in response.content:
                event = _decoded(line)
                if event.get("type") == "ERROR":
                    status = event.get("object") or {}
                    raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                yield event.get("type", ""), event.get("object") or {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is not open: use it as an async context manager")
        return self._session


def _decoded(content: bytes) -> Json:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        # A proxy's page or a stream cut off in the middle of a line: to be tried again like any lost connection.
        raise aiohttp.ClientPayloadError(f"the answer is not JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def _api_error(status: int, content: bytes) -> ApiError:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        return ApiError(status, "", content[:200].decode("utf-8", "replace"))
    return ApiError(status, answer.get("reason", ""), answer.get("message", ""))


class Reflector:
    """Keeps its owner told about a collection: a list first, then every change, across drops and expiries.

    ``on_list`` gets all objects after each list, ``on_event`` each change (ADDED, MODIFIED, DELETED).
    """

    def __init__(
        self,
        client: ApiClient,
        path: str,
        params: Mapping[str, str],
        on_list: Callable[[list[Json]], None],
        on_event: Callable[[str, Json], None],
    ) -> None:
        self._client = client
        self._path = path
        self._params = params
        self._on_list = on_list
        self._on_event = on_event

    async def run(self) -> None:
        """List and watch until cancelled."""
        version: str | None = None
        delay = 0.0
        while True:
            try:
                if version is None:
                    version = await self._list()
                async for kind, obj in self._client.watch(self._path, {**self._params, "resourceVersion": version}):
                    delay = 0.0
                    version = obj.get("metadata", {}).get("resourceVersion", version)
                    if kind != "BOOKMARK":
                        self._on_event(kind, obj)
            except ApiError as error:
                # 410: the version is too old to continue from. After any other refusal a fresh list is as cheap.
                version = None
                expired = error.status == 410
                delay = 0.0 if expired and delay == 0.0 else _longer(delay)
                _log.log(logging.INFO if expired else logging.WARNING, "watch of %s: %s", self._path, error)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                delay = _longer(delay)
                _log.warning("watch of %s dropped: %s; next try in %.1fs", self._path, describe(error), delay)
            await asyncio.sleep(delay)

    async def _list(self) -> str:
        answer = await self._client.request("GET", self._path, params=self._params)
        self._on_list(answer.get("items") or [])
        return str(answer.get("metadata", {}).get("resourceVersion", ""))


def _longer(delay: float) -> float:
    return min(_RETRY_MOST_SECONDS, max(_RETRY_FIRST_SECONDS, delay * 2))
