"""A Prometheus that lies: in more ways than the scenarios' own stand-in, and with a memory of what it has said."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from dataclasses import dataclass, field
from enum import Enum

from aiohttp import web

from e2e.prometheus_stand_in import JOINED, Mood, StandIn, tells_time
from tidegate.prometheus.batching import TAG

HOUR = 3600.0
SLOW, HANGING, HUGE, POISONOUS = "hostile_slow", "hostile_hanging", "hostile_huge", "hostile_poisonous"
"""What hostile queries are known by."""
SECONDS = 4.0
"""That a slow one takes: it is answered in time, but barely."""
SERIES = (450, 8000)
"""That each huge one finds, of which a gate has two: nearly as many as it may follow, and far more."""


class Lie(Enum):
    """What it answers with, beside the moods of the stand-in."""

    TRUTH = "truth"
    OLD = "old"
    """A good value of an hour ago, as a cache on the way may give."""
    AHEAD = "ahead"
    """A good value of an hour from now."""
    BACK = "back"
    """Values whose times go back from answer to answer."""
    GARBAGE = "garbage"
    """Something that is no JSON."""
    HALF = "half"
    """The connection ends in the middle of the answer."""
    TRICKLE = "trickle"
    """Byte by byte, without end."""
    TEXT = "text"
    """A value that is no number."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        at: when it was given (time.time).
        mood: in which mood.
        canary: the value that it gave for the new version, where it told the truth.
    """

    at: float
    mood: Mood | Lie
    canary: float


@dataclass
class Prometheus(StandIn):
    """The stand-in, with lies.

    Attributes:
        lie: what it does instead of its mood.
        delay: seconds that each answer takes.
        answers: what it has said, oldest first.
        attacks: when each kind of hostile query came.
    """

    lie: Lie = Lie.TRUTH
    delay: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    attacks: list[tuple[float, str]] = field(default_factory=list)
    _kept_back: asyncio.Event | None = None

    def keep_back(self) -> None:
        """Answer nothing for now: what is asked waits."""
        self._kept_back = asyncio.Event()

    def answer_all(self) -> None:
        """Answer in one instant all that has been asked meanwhile, with the numbers of this instant, and what comes as ever."""
        if self._kept_back is not None:
            self._kept_back.set()

    async def _query(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
        form = await request.post()
        query = str(request.query.get("query") or form.get("query") or "")
        if "hostile_" in query:
            return await self._hostile(query)
        if self._kept_back is not None:
            await self._kept_back.wait()
        await asyncio.sleep(self.delay)
        if tells_time(query) and self.lie in (Lie.TRUTH, Lie.OLD):
            # Its clock is right, and a cache does not know the query.
            return await super()._query(request)
        told: Mood | Lie = self._mood if self.lie is Lie.TRUTH else self.lie
        self.answers.append(Answer(time.time(), told, self.numbers.canary))
        match self.lie:
            case Lie.TRUTH:
                return await super()._query(request)
            case Lie.GARBAGE:
                return web.Response(text="<html>gateway time-out</html>", content_type="text/html")
            case Lie.HALF:
                return await self._cut(request)
            case Lie.TRICKLE:
                return await self._trickle(request)
            case Lie.TEXT:
                return _vector(time.time(), "a lot")
            case Lie.OLD:
                return _vector(time.time() - HOUR, "0")
            case Lie.AHEAD:
                return _vector(time.time() + HOUR, "0")
            case Lie.BACK:
                return _vector(time.time() - HOUR / 4 * len(self.answers), "0")

    async def _hostile(self, query: str) -> web.StreamResponse:
        """Answer what a tenant asks who means ill, and whatever is in the same request."""
        joined = {found["name"]: found["query"] for found in JOINED.finditer(query)}
        if any(one.startswith("scalar(") for one in joined.values()):
            # At once: it is refused before it is evaluated.
            words = "expected type instant vector in call to function label_replace, got scalar"
            return web.json_response({"status": "error", "errorType": "bad_data", "error": words}, status=400)
        self.attacks += [(time.time(), kind) for kind in (SLOW, HANGING, HUGE, POISONOUS) if kind in query]
        if HANGING in query:
            await asyncio.sleep(30)
        if POISONOUS in query:
            texts = (b"[" * 200_000, b'{"status":"success","data":{"result":["\xff', b'{"a":' * 100_000, b"NaN")
            return web.Response(body=texts[len(query) % len(texts)], content_type="application/json")
        if HUGE in query:
            return web.Response(body=_many(SERIES["_3" in query]), content_type="application/json")
        await asyncio.sleep(SECONDS)
        if joined:
            numbers = {name: 0.0 if "hostile_" in one else self._number(one) for name, one in joined.items()}
            result = [{"metric": {TAG: name}, "value": [0, str(number)]} for name, number in numbers.items()]
            return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})
        return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [time.time(), "0"]}})

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
        await response.prepare(request)
        await response.write(b'{"status":"success","data":{"resultType":"vec')
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(300):
            try:
                await response.write(b" ")
            except ConnectionError:
                break
            await asyncio.sleep(0.1)
        return response

    def good_between(self, since: float, until: float, *, most: float) -> bool:
        """Whether it truly said in that time that the new version is within its limit."""
        return any(since <= one.at <= until and one.mood is Mood.NUMBERS and one.canary <= most for one in self.answers)

    def first_bad(self, *, most: float) -> float | None:
        """Return when it first said that the new version is beyond its limit."""
        return next((one.at for one in self.answers if one.mood is Mood.NUMBERS and one.canary > most), None)


@functools.cache
def _many(series: int) -> bytes:
    """Return an answer of so many series."""
    labels = [{"pod": f"app-canary-{number}", "path": f"/{number:0200}"} for number in range(series)]
    result = [{"metric": one, "value": [time.time(), "1"]} for one in labels]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


def _vector(at: float, value: str) -> web.Response:
    result = [{"metric": {}, "value": [at, value]}]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})
