"""The way between one operator and the API server, bent at will: traps for single requests, and watches that lag, stop or lie."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from api.fault_proxy import HOP_BY_HOP, FaultProxy, Seen
from faults.writes import Asked, Kind, kind_of, words_of
from tidegate.cluster.resources import Target

Act = Callable[[], Awaitable[None]]
EXPIRED = {
    "type": "ERROR",
    "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"},
}
REPLAYED = 6
"""Events of a watch that are sent again when it is told to repeat itself."""


@dataclass
class Trap:
    """What becomes of one request, or of a few of a kind.

    Attributes:
        wanted: which request: this one exactly, or all of a kind.
        before: what happens before it is passed on.
        after: what happens once the API server has answered.
        passes: whether it reaches the API server.
        answers: whether the operator gets the API server's answer; else the connection is cut.
        status: with what it is answered instead; 0 for nothing else.
        headers: of that answer.
        delay: seconds that it is held back before anything else.
        times: for how many requests it is there; None for all.
        sprung: for how many it was.
    """

    wanted: Asked | Kind | Callable[[Asked], bool]
    before: Act | None = None
    after: Act | None = None
    passes: bool = True
    answers: bool = True
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    times: int | None = 1
    sprung: int = 0

    def meets(self, asked: Asked) -> bool:
        """Whether it is meant for a request, and not worn out."""
        return (self.times is None or self.sprung < self.times) and self.is_for(asked)

    def is_for(self, asked: Asked) -> bool:
        """Whether it is meant for a request."""
        if isinstance(self.wanted, Asked):
            return asked == self.wanted
        return asked.kind == self.wanted if isinstance(self.wanted, Kind) else self.wanted(asked)


@dataclass(frozen=True)
class Written:
    """A write as it was answered.

    Attributes:
        asked: what it said.
        at: when it came, on the monotonic clock.
        status: what the API server answered; 0 where it never reached it.
        version: resourceVersion of the object afterwards; 0 where none is known.
        wire: by which way it came.
        name: of the object; empty where the API server makes it up.
        answered: when the API server had answered, likewise.
    """

    asked: Asked
    at: float
    status: int
    version: int
    wire: str
    name: str = ""
    answered: float = 0.0


class Mood(Enum):
    """How a watch goes."""

    HONEST = auto()
    HELD = auto()
    """What comes is kept, to be sent in order later."""
    DEAF = auto()
    """What comes is lost."""
    SILENT = auto()
    """What comes is lost, for as long as this connection lives."""


class Stream:
    """One watch on its way to the operator."""

    def __init__(self, resource: str, response: web.StreamResponse, request: web.Request) -> None:
        self.resource, self._response, self._request = resource, response, request
        self.mood = Mood.HONEST
        self.without_deletions = False
        self.delay = 0.0
        self._kept: list[bytes] = []
        self._sent: list[bytes] = []
        self._order = asyncio.Lock()

    async def take(self, line: bytes) -> None:
        """Pass on one event, or do with it what the mood says."""
        if self.mood is Mood.HELD:
            self._kept.append(line)
            return
        lost = self.without_deletions and line.startswith(b'{"type":"DELETED"')
        if self.mood is Mood.HONEST and not lost:
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._send(line)

    async def release(self) -> None:
        """Send what was kept, and be honest from now on."""
        kept, self._kept = self._kept, []
        self.mood = Mood.HONEST
        for line in kept:
            await self._send(line)

    async def repeat(self) -> None:
        """Send the last events once more."""
        for line in self._sent[-REPLAYED:]:
            await self._send(line, again=True)

    async def expire(self) -> None:
        """Say that history no longer reaches back far enough."""
        await self._send(json.dumps(EXPIRED).encode(), again=True)
        self.cut()

    def cut(self) -> None:
        """Close the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _send(self, line: bytes, *, again: bool = False) -> None:
        if not again and not line.startswith(b'{"type":"BOOKMARK"'):
            self._sent = [*self._sent[-REPLAYED:], line]
        async with self._order:
            await self._response.write(line + b"\n")


class Wire(FaultProxy):
    """A proxy of the tests that knows writes by what they say.

    Attributes:
        name: of the operator behind it.
        traps: the first that meets a request counts.
        asked: what came since it was told to listen, reads and writes, in order.
        written: the writes among them, as they were answered.
        streams: watches that are open.
        cut_off: whether nothing passes any more, in either direction.
        neighbours: namespaces whose requests pass as they are, and are not counted.
    """

    neighbours: frozenset[str] = frozenset()

    def setup(self, name: str) -> Wire:
        """Begin without traps."""
        self.name = name
        self.traps: list[Trap] = []
        self.asked: list[Asked] = []
        self.written: list[Written] = []
        self.streams: list[Stream] = []
        self.lag: dict[str, float] = {}
        self.cut_off = False
        self._under_way: set[asyncio.Task[web.StreamResponse]] = set()
        self._counts: Counter[tuple[Kind, str]] = Counter()
        return self

    def listen(self) -> None:
        """Count what is said from now on."""
        self._counts.clear()
        self.asked.clear()
        self.written.clear()

    @property
    def work(self) -> list[Written]:
        """The writes that are work: those of the Lease never end, and Events come when there is time."""
        return [one for one in self.written if one.asked.kind.resource not in {"leases.coordination.k8s.io", "events"}]

    def of(self, resource: str) -> list[Stream]:
        """Return the open watches of a resource; of all where none is named."""
        return [stream for stream in self.streams if resource in {"", stream.resource.split(".")[0]}]

    async def start(self) -> None:
        """Listen; what the API server says comes plain, however much it is."""
        await super().start()
        assert self._session is not None
        self._session.headers["Accept-Encoding"] = "identity"

    async def stop(self) -> None:
        """Close everything; what is under way is given up."""
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await super().stop()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.cut_off:
            return await self._swallow(request)
        if Target.of(request.path).namespace in self.neighbours:
            return await self._let_by(request)
        kind = kind_of(request.method, request.path_qs)
        payload = await request.read()
        said = words_of(kind, request.path_qs, payload) if kind.writes else ""
        asked = Asked(kind, said, self._counts[kind, said])
        self._counts[kind, said] += 1
        self.asked.append(asked)
        seen = Seen(request.method, request.path_qs, time.monotonic())
        self.seen.append(seen)
        trap = next((trap for trap in self.traps if trap.meets(asked)), None)
        self._open[id(request)] = request
        try:
            if not kind.writes:
                return await self._through(trap, request, asked, seen)
            # What the operator has sent goes its way, whether it still waits for the answer or not.
            under_way = asyncio.create_task(self._through(trap, request, asked, seen))
            self._under_way.add(under_way)
            under_way.add_done_callback(self._under_way.discard)
            return await asyncio.shield(under_way)
        except (ConnectionError, aiohttp.ClientError):
            return _aborted(request)
        finally:
            self._open.pop(id(request), None)

    async def _let_by(self, request: web.Request) -> web.StreamResponse:
        """Pass on what is not the test's own affair."""
        self._open[id(request)] = request
        try:
            return await self._pass_on(request, Seen(request.method, request.path_qs, time.monotonic()))
        except (ConnectionError, aiohttp.ClientError):
            return _aborted(request)
        finally:
            self._open.pop(id(request), None)

    async def _swallow(self, request: web.Request) -> web.StreamResponse:
        """Be a network that has lost its way: nothing comes back, not even a refusal."""
        self._open[id(request)] = request
        try:
            while self.cut_off:  # noqa: ASYNC110 - a test flips it, and has nothing to wake
                await asyncio.sleep(0.05)
            return _aborted(request)
        finally:
            self._open.pop(id(request), None)

    async def _through(self, trap: Trap | None, request: web.Request, asked: Asked, seen: Seen) -> web.StreamResponse:
        if trap is None:
            return await self._relay(request, asked, seen)
        trap.sprung += 1
        await asyncio.sleep(trap.delay)
        if trap.before is not None:
            await trap.before()
        if trap.passes and trap.answers and not trap.status:
            answer = await self._relay(request, asked, seen)
            if trap.after is not None:
                await trap.after()
            return answer
        if trap.passes:
            async with self._send(request, await request.read()) as lost:
                self._note(asked, seen, lost.status, await lost.read())
        if trap.after is not None:
            await trap.after()
        return _refusal(trap) if trap.status else _aborted(request)

    async def _relay(self, request: web.Request, asked: Asked, seen: Seen) -> web.StreamResponse:
        if asked.kind.verb == "watch":
            return await self._relay_watch(request, asked, seen)
        if not asked.kind.writes:
            return await self._pass_on(request, seen)
        async with self._send(request, await request.read()) as answer:
            body = await answer.read()
            self._note(asked, seen, answer.status, body)
            if self.cut_off:
                return await self._swallow(request)
            return web.Response(status=answer.status, body=body, headers=_headers(answer))

    def _note(self, asked: Asked, seen: Seen, status: int, body: bytes) -> None:
        seen.status = status
        version = 0
        if status < 300:
            found = json.loads(body)
            version = int(found.get("metadata", {}).get("resourceVersion") or 0)
        name = Target.of(urlsplit(seen.path).path).name or ""
        self.written.append(Written(asked, seen.at, status, version, self.name, name, time.monotonic()))

    async def _relay_watch(self, request: web.Request, asked: Asked, seen: Seen) -> web.StreamResponse:
        async with self._send(request, b"") as answer:
            seen.status = answer.status
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            await response.prepare(request)
            stream = Stream(asked.kind.resource, response, request)
            stream.delay = self.lag.get(stream.resource.split(".")[0], 0.0)
            self.streams.append(stream)
            rest = b""
            try:
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        await stream.take(line)
                if stream.mood is Mood.SILENT:
                    await asyncio.sleep(3600)
            except (ConnectionError, aiohttp.ClientError):
                return response
            finally:
                self.streams.remove(stream)
            return response


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}


def _aborted(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _refusal(trap: Trap) -> web.Response:
    reasons = {
        403: "Forbidden",
        409: "Conflict",
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
        410: "Expired",
    }
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"refused by the test: {trap.status}",
    }
    body |= {"code": trap.status, "reason": reasons.get(trap.status, "")}
    if "Retry-After" in trap.headers:
        body["details"] = {"retryAfterSeconds": int(trap.headers["Retry-After"])}
    return web.json_response(body, status=trap.status, headers=trap.headers)
