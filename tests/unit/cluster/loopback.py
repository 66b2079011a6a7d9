"""A loopback server that answers as the test's script says, so that awkward answers can be had at will."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from tidegate.cluster.connection import Connection
from tidegate.runtime.clock import ManualClock

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AutoClock(ManualClock):
    """A clock on which every sleep is over at once, its time having passed; waits for an event are real."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float, *, wake: asyncio.Event | None = None) -> None:
        if wake is not None:
            async with asyncio.timeout(10):
                await wake.wait()
            return
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


class Loopback:
    """The server. What the script leaves open is answered by a watch that stays silent."""

    def __init__(self) -> None:
        self.lists: deque[Answer] = deque()
        self.watches: deque[Answer] = deque()
        self.others: deque[Answer] = deque()
        self.otherwise: Answer | None = None
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.watched: asyncio.Queue[web.Request] = asyncio.Queue()
        self.server = TestServer(self._app(), host="127.0.0.1")

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        payload = await request.read()
        self.bodies.append(json.loads(payload) if payload else None)
        if request.method == "GET" and request.query.get("watch"):
            self.watched.put_nowait(request)
            answer = self.watches.popleft() if self.watches else stream()
        elif request.method == "GET" and self.lists:
            answer = self.lists.popleft()
        else:
            answer = self.others.popleft() if self.others or self.otherwise is None else self.otherwise
        return await answer(request)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/")).rstrip("/")

    def asked(self) -> list[tuple[str, str]]:
        """Method and path of every request so far."""
        return [(request.method, request.path) for request in self.requests]

    def connection(self, **options: Any) -> Connection:
        async def load() -> Configuration:
            return Configuration(host=self.url)

        return Connection(load, Configuration(host=self.url), refresh=1e9, **options)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer with a body: JSON, or text as it is."""

    async def answer(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


def refuse(code: int, reason: str, **fields: Any) -> Answer:
    """A Status as the API sends it."""
    return reply({"kind": "Status", "code": code, "reason": reason, "message": reason, **fields}, status=code)


def listing(*items: dict[str, Any], version: int, **metadata: Any) -> Answer:
    """A page of a list of pods; as in the API, its items do not say what they are."""
    bare = [{field: value for field, value in item.items() if field not in ("kind", "apiVersion")} for item in items]
    metadata["resourceVersion"] = str(version)
    return reply({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": bare})


def stream(*events: dict[str, Any] | bytes, then: str = "silence", after: asyncio.Event | None = None) -> Answer:
    """A watch: sends the events; then stays silent, ends well (`end`) or breaks off (`drop`)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if after is not None:
            await after.wait()
        for event in events:
            await response.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
        if then == "silence":
            # Cancelled as soon as the client hangs up.
            await asyncio.Event().wait()
        elif then == "drop" and request.transport is not None:
            request.transport.abort()
        return response

    return answer


def event(type_: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"type": type_, "object": obj}


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": str(version)}})


def pod(name: str, version: int, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": str(version), **metadata},
    }


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop run until the condition holds: for what happens behind a socket, where nothing can be awaited."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the condition is a property of the code under test
            await asyncio.sleep(0.001)
