"""Many questions, few requests: what is asked of one connection for one instant goes out together.

Nobody pays for another's mistake, and nobody can read or change another's answer.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from tidegate.prometheus.answers import Cause, Result, Trouble
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.promql import self_contained

TAG = "tidegate_question"
"""Label that tells which question a series answers; whatever a series has under this name is replaced."""

COLLECTING = 0.015
"""Seconds for which questions for the same instant are collected."""
MOST_TOGETHER = 100
"""Questions in one request at most: the server works on them one after the other, within the time of one query."""
LONGEST_TOGETHER = 96 * 1024
"""Characters of one request at most."""
_REMEMBERED = 600.0
"""Seconds for which a question that has to be asked alone is."""
_MOST_REMEMBERED = 20_000
_MOST_TOLERATED = 16
_CUT_SHORT = re.compile(r"truncated|\blimit", re.IGNORECASE)
"""How servers say that series were left out because there were too many."""

Observer = Callable[[str, float, bool], None]
"""Told of every query: name of the connection, seconds that it took, whether there was an answer."""
RequestObserver = Callable[[str, int], None]
"""Told of every request: name of the connection, number of queries that it carries."""


@dataclass(frozen=True)
class _Question:
    promql: str
    most: int


@dataclass
class _Collection:
    """Questions for one instant, each with those who wait for the answer."""

    at: datetime
    waiting: dict[_Question, asyncio.Future[Result | Trouble]] = field(default_factory=dict)


class Batcher:
    """Asks one connection.

    Questions for the same instant that come within a moment are joined by `or`, each with a label that names it, in requests of
    bounded size. Where such a request fails for what is in it, it is split in halves, down to single questions, which are then
    asked as if there was no other; those that fail or cannot be joined are asked alone for a while, and cost others nothing. Where
    it fails because it takes too long, the next one is half as large. Where the server is away, all are told.

    Args:
        connection: whom to ask.
        observe: told of every query.
        requested: told of every request.
        collecting: seconds for which questions are collected.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        connection: Connection,
        observe: Observer | None = None,
        requested: RequestObserver | None = None,
        *,
        collecting: float = COLLECTING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self._observe = observe
        self._requested = requested
        self._collecting = collecting
        self._collections: dict[datetime, _Collection] = {}
        self._asked: dict[tuple[_Question, datetime], asyncio.Future[Result | Trouble]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lessons = _Lessons(clock)

    def ask(self, promql: str, at: datetime, most: int) -> asyncio.Future[Result | Trouble]:
        """Evaluate a query at an instant, and return where the answer will be.

        A query that is under way for that instant is not asked again.

        Args:
            promql: the query.
            at: evaluation time, with a time zone.
            most: series that are wanted at most.
        """
        question = _Question(promql, most)
        answer = self._asked.get((question, at))
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._asked[question, at] = answer
            started = time.perf_counter()
            answer.add_done_callback(lambda done: self._told(question, at, started, done))
            self._collect(question, at, answer)
        # One look may be cancelled while another waits for the same answer.
        return asyncio.shield(answer)

    def _told(self, question: _Question, at: datetime, started: float, answer: asyncio.Future[Result | Trouble]) -> None:
        del self._asked[question, at]
        if self._observe is not None:
            good = not answer.cancelled() and isinstance(answer.result(), Result)
            self._observe(self.connection.config.name, time.perf_counter() - started, good)

    def _collect(self, question: _Question, at: datetime, answer: asyncio.Future[Result | Trouble]) -> None:
        collection = self._collections.get(at)
        if collection is None:
            collection = self._collections[at] = _Collection(at)
            asyncio.get_running_loop().call_later(self._collecting, self._send, collection)
        collection.waiting[question] = answer

    def _send(self, collection: _Collection) -> None:
        del self._collections[collection.at]
        task = asyncio.create_task(self._answer(collection), name=f"queries to {self.connection.config.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, collection: _Collection) -> None:
        chunks = self._lessons.chunks(list(collection.waiting))
        try:
            late = await asyncio.gather(*(self._ask(chunk, collection) for chunk in chunks))
        finally:
            # Nobody waits for ever, whatever went wrong here.
            for answer in collection.waiting.values():
                _tell(answer, self.connection.trouble("the answers could not be told apart"))
        # Where no request of several came back in time, it is not for what one of them asked.
        if len(chunks) == 1 or not all(late):
            for chunk, was_late in zip(chunks, late, strict=True):
                if was_late:
                    self._lessons.crowded(chunk)

    async def _ask(self, chunk: Sequence[_Question], collection: _Collection, *, warned: bool = False) -> bool:
        """Ask a chunk and hand out the answers; return whether they did not come in time.

        Args:
            chunk: what is asked together.
            collection: those who wait for the answers.
            warned: a larger request that had it was answered with a warning.
        """
        if len(chunk) == 1 and not warned:
            answer = await self._alone(chunk[0], collection)
            return isinstance(answer, Trouble) and answer.cause is Cause.TIME
        nonce = secrets.token_hex(8)
        self._count(len(chunk))
        result = await self.connection.joint(join([question.promql for question in chunk], nonce), collection.at)
        if isinstance(result, Result):
            if len(chunk) == 1:
                self._lessons.tolerate(result.warnings)
            warned = len(chunk) > 1 and self._lessons.intolerable(result.warnings)
            parts = part(result.data, nonce, len(chunk))
            if parts is not None and not warned:
                self._lessons.went_well(chunk)
                for question, series in zip(chunk, parts, strict=True):
                    _tell(collection.waiting[question], Result(series, result.warnings))
                return False
        elif result.cause is Cause.METHOD:
            return await self._one_by_one(chunk, collection)
        elif result.cause is not Cause.QUERY:
            for question in chunk:
                _tell(collection.waiting[question], result)
            return result.cause is Cause.TIME
        cut_short = isinstance(result, Result) and any(map(_CUT_SHORT.search, result.warnings))
        return await self._split(chunk, collection, warned=warned, cut_short=cut_short)

    async def _split(self, chunk: Sequence[_Question], collection: _Collection, *, warned: bool, cut_short: bool) -> bool:
        if len(chunk) == 1:
            await self._alone(chunk[0], collection)
            return False
        half = len(chunk) // 2
        halves = (chunk[:half], chunk[half:])
        late = await asyncio.gather(*(self._ask(some, collection, warned=warned) for some in halves))
        if cut_short:
            self._lessons.crowded(chunk)
        elif len(chunk) == 2 and not warned:
            self._lessons.parted(chunk)
        return all(late)

    async def _one_by_one(self, chunk: Sequence[_Question], collection: _Collection) -> bool:
        """Ask each alone, if that is let through; then requests with several are not tried for a while."""
        first = await self._alone(chunk[0], collection)
        if isinstance(first, Trouble) and first.cause is not Cause.QUERY:
            for question in chunk:
                _tell(collection.waiting[question], first)
            return False
        self._lessons.only_alone()
        await asyncio.gather(*(self._alone(question, collection) for question in chunk[1:]))
        return False

    async def _alone(self, question: _Question, collection: _Collection) -> Result | Trouble:
        self._count(1)
        answer = await self.connection.alone(question.promql, collection.at, question.most)
        self._lessons.answered(question, answer)
        _tell(collection.waiting[question], answer)
        return answer

    def _count(self, queries: int) -> None:
        if self._requested is not None:
            self._requested(self.connection.config.name, queries)


@dataclass(frozen=True)
class _Company:
    """How a question is asked for a while.

    Attributes:
        size: questions in one request with it, itself included, at most.
        until: until when, on the monotonic clock.
        lasting: a good answer to it alone changes nothing about that.
    """

    size: int
    until: float
    lasting: bool


class _Lessons:
    """What is known of questions: which have to be asked alone, and which in smaller company."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._company: dict[_Question, _Company] = {}
        self._tolerated: dict[str, float] = {}
        self._only_alone_until = float("-inf")

    def chunks(self, questions: Sequence[_Question]) -> list[tuple[_Question, ...]]:
        """Divide questions into those that are asked in one request."""
        now = self._clock()
        chunks: list[tuple[_Question, ...]] = []
        company: dict[int, list[_Question]] = {}
        for question in questions:
            company.setdefault(self._largest(question, now), []).append(question)
        for most, some in company.items():
            chunk: list[_Question] = []
            length = 0
            for question in some:
                if chunk and (len(chunk) >= most or length + len(question.promql) > LONGEST_TOGETHER):
                    chunks.append(tuple(chunk))
                    chunk, length = [], 0
                chunk.append(question)
                length += len(question.promql)
            chunks.append(tuple(chunk))
        return chunks

    def answered(self, question: _Question, answer: Result | Trouble) -> None:
        """Learn from the answer to a question that was asked alone."""
        if isinstance(answer, Trouble):
            if answer.cause is Cause.QUERY:
                self._remember(question, 1)
        elif not _joinable(answer.data):
            self._remember(question, 1, lasting=True)
        elif question in self._company and not self._company[question].lasting:
            del self._company[question]

    def parted(self, pair: Sequence[_Question]) -> None:
        """Learn that two questions had no answer together; where each has one alone, they stay alone."""
        if not any(question in self._company for question in pair):
            for question in pair:
                self._remember(question, 1, lasting=True)

    def crowded(self, chunk: Sequence[_Question]) -> None:
        """Learn that a request took too long, or that its answer was cut short."""
        now = self._clock()
        for question in chunk:
            self._remember(question, max(1, min(len(chunk) // 2, self._largest(question, now))))

    def went_well(self, chunk: Sequence[_Question]) -> None:
        """Learn that questions go together."""
        for question in chunk:
            self._company.pop(question, None)

    def tolerate(self, warnings: Sequence[str]) -> None:
        """Learn that a single question is answered with these warnings, too."""
        now = self._clock()
        self._tolerated = {warning: until for warning, until in self._tolerated.items() if until > now}
        told = [warning for warning in warnings if not _CUT_SHORT.search(warning)]
        self._tolerated.update(dict.fromkeys(told[:_MOST_TOLERATED], now + _REMEMBERED))

    def intolerable(self, warnings: Sequence[str]) -> bool:
        """Whether a warning may mean that something is missing that a single question would have got.

        What begins with `PromQL` is about an expression, and not about the answer (util/annotations of prometheus/prometheus).
        """
        now = self._clock()
        return any(not one.startswith("PromQL ") and self._tolerated.get(one, now) <= now for one in warnings)

    def only_alone(self) -> None:
        """Ask nothing together for a while."""
        self._only_alone_until = self._clock() + _REMEMBERED

    def _largest(self, question: _Question, now: float) -> int:
        if now < self._only_alone_until or not _can_be_joined(question.promql):
            return 1
        company = self._company.get(question)
        if company is not None and now >= company.until:
            del self._company[question]
            company = None
        return MOST_TOGETHER if company is None else company.size

    def _remember(self, question: _Question, size: int, *, lasting: bool = False) -> None:
        while len(self._company) >= _MOST_REMEMBERED:
            del self._company[next(iter(self._company))]
        self._company[question] = _Company(size, self._clock() + _REMEMBERED, lasting)


def join(queries: Sequence[str], nonce: str, tag: str = TAG) -> str:
    """Return one query for the series of all, each with the label that names its query.

    Args:
        queries: instant vector expressions that are self-contained.
        nonce: what no query can know, so that none can pass its series off as another's.
        tag: the label.
    """
    # The line breaks end a comment at the end of a query.
    parts = [f'label_replace((\n{query}\n), "{tag}", "{nonce}-{number}", "", "")' for number, query in enumerate(queries)]
    # As a tree: `or` looks at all series on its left, and a chain would look at the first ones again and again.
    while len(parts) > 1:
        pairs = [f"({' or '.join(parts[at : at + 2])})" for at in range(0, len(parts), 2)]
        parts = pairs
    return parts[0]


def part(data: object, nonce: str, count: int, tag: str = TAG) -> list[list[dict[str, Any]]] | None:
    """Return the series of each query, without the label; None where the answer is no vector, or no series of it is anybody's.

    Series that no query was given the name of are left out. Where there are no others, somebody on the way lost the label, and
    that no query has series does not follow.
    """
    if not isinstance(data, list):
        return None
    names = {f"{nonce}-{number}": number for number in range(count)}
    parts: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    for series in data:
        if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
            return None
        number = names.get(series["metric"].pop(tag, ""))
        if number is not None:
            parts[number].append(series)
    return parts if any(parts) or not data else None


@lru_cache(maxsize=8192)
def _can_be_joined(promql: str) -> bool:
    return len(promql) <= LONGEST_TOGETHER and self_contained(promql)


def _joinable(data: object) -> bool:
    """Whether an answer is a vector: a scalar is none."""
    return isinstance(data, list) and all(isinstance(series, dict) for series in data)


def _tell(waiting: asyncio.Future[Result | Trouble], answer: Result | Trouble) -> None:
    if not waiting.done():
        waiting.set_result(answer)
