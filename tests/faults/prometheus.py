"""A Prometheus that lies: in more ways than the scenarios' own stand-in, and with a memory of what it has said."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum

from aiohttp import web

from e2e.prometheus_stand_in import Mood, StandIn

HOUR = 3600.0


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
    """

    lie: Lie = Lie.TRUTH
    delay: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    _kept_back: asyncio.Event | None = None

    def keep_back(self) -> None:
        """Answer nothing for now: what is asked waits."""
        self._kept_back = asyncio.Event()

    def answer_all(self) -> None:
        """Answer in one instant all that has been asked meanwhile, with the numbers of this instant, and what comes as ever."""
        if self._kept_back is not None:
            self._kept_back.set()

    async def _query(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
        if self._kept_back is not None:
            await self._kept_back.wait()
        await asyncio.sleep(self.delay)
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


def _vector(at: float, value: str) -> web.Response:
    result = [{"metric": {}, "value": [at, value]}]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})
