"""A proxy on loopback in front of the API server, which lets requests pass, refuses them, delays them or cuts them off."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tidegate.cluster.connection import Connection, connect

HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "content-encoding", "keep-alive", "host"}


@dataclass
class Fault:
    """What becomes of the requests that match.

    Attributes:
        method: of the requests; empty for any.
        path: regular expression that is looked for in their paths with their queries.
        status: what they are answered with; 0 lets them through.
        reason: the API's machine-readable reason, such as `Conflict`.
        text: body of the answer; by default the API's own kind of refusal.
        delay: seconds that the answer is held back.
        after: whether a refused write reaches the API server all the same, as when an answer is lost.
        cut: whether the connection is closed without an answer.
        times: how often; None for as long as the fault is there.
        hits: how often it was met.
    """

    method: str
    path: str
    status: int = 0
    reason: str = ""
    text: str = ""
    delay: float = 0.0
    after: bool = False
    cut: bool = False
    times: int | None = None
    hits: int = 0

    def meets(self, request: web.Request) -> bool:
        """Whether it applies to a request."""
        worn = self.times is not None and self.hits >= self.times
        return not worn and self.method in {"", request.method} and re.search(self.path, request.path_qs) is not None


@dataclass
class Seen:
    """One request as it came in.

    Attributes:
        method: such as PATCH.
        path: with its query.
        at: when, on the monotonic clock.
        status: what it was answered with; 0 before, or if it was cut off.
    """

    method: str
    path: str
    at: float
    status: int = 0


@dataclass
class FaultProxy:
    """The proxy.

    Attributes:
        faults: the first that matches counts.
        seen: all requests, in order.
    """

    upstream: Connection
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1")
        self._session: aiohttp.ClientSession | None = None
        self._open: dict[int, web.Request] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self._server.make_url("/")).rstrip("/")

    def fault(self, method: str, path: str, **what: Any) -> Fault:
        """Let requests fail from now on."""
        fault = Fault(method, path, **what)
        self.faults.append(fault)
        return fault

    def mend(self, *faults: Fault) -> None:
        """Let requests pass again: all, or those that these faults met."""
        self.faults = [fault for fault in self.faults if faults and fault not in faults]

    def writes(self, path: str = "") -> list[Seen]:
        """Return the requests on matching paths that were not mere reading."""
        return [one for one in self.seen if one.method != "GET" and re.search(path, one.path)]

    def sever(self) -> None:
        """Close every connection that is open, as a load balancer does that is restarted."""
        for request in tuple(self._open.values()):
            if request.transport is not None:
                request.transport.abort()

    def kubeconfig(self, token: str, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "operator", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    async def start(self) -> None:
        """Listen."""
        # Not the administrator's session, which would put its own token on every request.
        administrator = self.upstream.open_session()
        self._session = aiohttp.ClientSession(connector=administrator.connector, auto_decompress=False)
        administrator.detach()
        await self._server.start_server()

    async def stop(self) -> None:
        """Close everything."""
        self.sever()
        await self._server.close()
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path_qs, time.monotonic())
        self.seen.append(seen)
        fault = next((fault for fault in self.faults if fault.meets(request)), None)
        self._open[id(request)] = request
        try:
            if fault is not None:
                fault.hits += 1
                if (answer := await self._refuse(fault, request)) is not None:
                    seen.status = answer.status
                    return answer
            return await self._pass_on(request, seen)
        finally:
            del self._open[id(request)]

    async def _refuse(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        await asyncio.sleep(fault.delay)
        if fault.after:
            async with self._send(request, await request.read()) as lost:
                await lost.read()
        if fault.cut and request.transport is not None:
            request.transport.abort()
            return web.Response(status=502)
        if not fault.status:
            return None
        if fault.text:
            return web.Response(status=fault.status, text=fault.text, content_type="application/json")
        message = f"refused by the test: {fault.reason or fault.status}"
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
        return web.json_response(body | {"code": fault.status, "reason": fault.reason}, status=fault.status)

    async def _pass_on(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        async with self._send(request, await request.read()) as answer:
            seen.status = answer.status
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                return response
            return response

    def _send(self, request: web.Request, payload: bytes) -> Any:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP | {"accept-encoding"}}
        # Or the API server compresses what is long.
        headers["Accept-Encoding"] = "identity"
        return self._session.request(
            request.method,
            self.upstream.server + request.path_qs,
            data=payload or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )


@asynccontextmanager
async def fault_proxy() -> AsyncIterator[FaultProxy]:
    """Put a proxy in front of the sandbox's API server."""
    proxy = FaultProxy(await connect())
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
