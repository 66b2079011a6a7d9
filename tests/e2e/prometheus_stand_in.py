"""A server that answers as a test tells it to, where answers must be exact or wrong in a chosen way."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from aiohttp import web

from tidegate.prometheus.batching import TAG

JOINED = re.compile(rf'label_replace\(\(\n(?P<query>.*?)\n\), "{TAG}", "(?P<name>[^"]*)", "", ""\)', re.DOTALL)
"""One of the questions of a request that has several."""


class Mood(Enum):
    """What it answers with."""

    NUMBERS = auto()
    """One series with the number that was set."""
    REFUSES = auto()
    """Nobody listens."""
    ERROR = auto()
    """Status 500, in the way of Prometheus."""
    HANGS = auto()
    """No answer until the client gives up."""
    NAN = auto()
    EMPTY = auto()
    SEVERAL = auto()
    SCALAR = auto()
    TELLTALE = auto()
    """Status 401, with the credentials of the request in its words."""


@dataclass
class Numbers:
    """What the versions' queries are answered with."""

    canary: float = 0.0
    stable: float = 0.0
    samples: float = 1000.0


@dataclass
class StandIn:
    """The part of the HTTP API of Prometheus that answers instant queries, several in one request as the operator joins them, too.

    A query for the time of a sample gets the present one, one for the number of requests (`increase`, or the text `samples`)
    `numbers.samples`; any other that names stable gets `numbers.stable`, and all the rest get `numbers.canary`. One for the
    time here gets that, and is not noted.

    Attributes:
        port: where it listens on loopback.
        numbers: what it answers with in the mood NUMBERS.
        asked: the queries that came, oldest first.
        credentials: what the requests had in their header Authorization.
    """

    port: int = 0
    numbers: Numbers = field(default_factory=Numbers)
    asked: list[str] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)
    _mood: Mood = Mood.NUMBERS
    _runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before if it has listened before."""
        app = web.Application()
        app.router.add_route("*", "/api/v1/query", self._query)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def be(self, mood: Mood) -> None:
        """Answer in another way from now on."""
        self._mood = mood
        if mood is Mood.REFUSES:
            await self.stop()
        elif self._runner is None:
            await self.start()

    async def _query(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = str(request.query.get("query") or form.get("query") or "")
        if tells_time(query) and self._mood is Mood.NUMBERS:
            return present()
        self.asked.append(query)
        credentials = request.headers.get("Authorization", "")
        self.credentials.add(credentials)
        joined = {found["name"]: found["query"] for found in JOINED.finditer(query)}
        numbers = [({TAG: name}, str(self._number(one))) for name, one in joined.items()] or [({}, str(self._number(query)))]
        match self._mood:
            case Mood.HANGS:
                await asyncio.sleep(30)
                return web.Response()
            case Mood.ERROR:
                return _refusal(500, "internal", "the query engine is on fire")
            case Mood.TELLTALE:
                return _refusal(401, "unauthorized", f"I do not know {credentials}")
            case Mood.SCALAR if joined:
                return _refusal(400, "bad_data", "expected type instant vector in call to function label_replace, got scalar")
            case Mood.SCALAR:
                return _answer("scalar", [0, numbers[0][1]])
            case Mood.EMPTY:
                return _answer("vector", [])
            case Mood.NAN:
                return _answer("vector", [_series("NaN", labels) for labels, _ in numbers])
            case Mood.SEVERAL:
                twice = [(labels | {"pod": pod}, number) for labels, number in numbers for pod in ("a", "b")]
                return _answer("vector", [_series(number, labels) for labels, number in twice])
            case _:
                return _answer("vector", [_series(number, labels) for labels, number in numbers])

    def _number(self, query: str) -> float:
        if "timestamp(" in query:
            return time.time()
        if "increase(" in query or "samples" in query:
            return self.numbers.samples
        return self.numbers.stable if "stable" in query else self.numbers.canary


def tells_time(query: str) -> bool:
    """Whether a query asks what the time is here."""
    return query.startswith("time() #")


def present() -> web.Response:
    """Answer what the time is here; with a comment of its own in each such query, no cache can."""
    now = time.time()
    return _answer("scalar", [now, str(now)])


def _series(value: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"metric": labels, "value": [0, value]}


def _answer(kind: str, result: list[Any]) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})


def _refusal(status: int, kind: str, words: str) -> web.Response:
    return web.json_response({"status": "error", "errorType": kind, "error": words}, status=status)
