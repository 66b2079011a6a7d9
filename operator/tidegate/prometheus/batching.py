"""Many questions, few requests: what is asked of one connection for one instant goes out together.

Nobody pays for another's mistake, and nobody can read or change another's answer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tidegate.prometheus.answers import EVERYBODY, Asker, Cause, Read, Result, Trouble
from tidegate.prometheus.connections import Connection, as_read
from tidegate.prometheus.lessons import CUT_SHORT, MOST_TOGETHER, Lessons, Question

__all__ = ["COLLECTING", "MOST_TOGETHER", "TAG", "Batcher", "Observer", "RequestObserver", "join", "part"]

TAG = "tidegate_question"
"""Label that tells which question a series answers; whatever a series has under this name is replaced."""

COLLECTING = 0.015
"""Seconds for which questions for the same instant are collected."""
Observer = Callable[[str, float, bool], None]
"""Told of every query: name of the connection, seconds that it took, whether there was an answer."""
RequestObserver = Callable[[str, int], None]
"""Told of every request: name of the connection, number of queries that it carries."""


@dataclass
class _Collection:
    """Questions for one instant, each with those who wait for the answer, and for whom."""

    at: datetime
    waiting: dict[Question, asyncio.Future[Result | Trouble]] = field(default_factory=dict)
    askers: dict[Question, Asker] = field(default_factory=dict)

    def asker(self, chunk: Sequence[Question]) -> Asker:
        """Return for whom some of them are asked."""
        askers = [self.askers[question] for question in chunk]
        namespaces = {asker.namespace for asker in askers}
        return Asker(namespaces.pop() if len(namespaces) == 1 else "", any(asker.rollback for asker in askers))


class Batcher:
    """Asks one connection.

    Questions for the same instant that come within a moment are joined by `or`, each with a label that names it, in requests of
    bounded size. Where such a request fails for what is in it, it is split in halves, down to single questions, which are then
    asked as if there was no other; those that fail or cannot be joined are asked alone for a while, and cost others nothing. Where
    it fails because it takes too long, the next one is half as large. Where the server is away, all are told. Questions that are
    not known to be quick share requests within their namespace only.

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
        self._asked: dict[tuple[Question, datetime], asyncio.Future[Result | Trouble]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lessons = Lessons(clock)

    def ask(
        self, promql: str, at: datetime, most: int, *, asker: Asker = EVERYBODY, read: Read | None = None
    ) -> asyncio.Future[Result | Trouble]:
        """Evaluate a query at an instant, and return where the answer will be.

        A query that is under way for that instant is not asked again.

        Args:
            promql: the query.
            at: evaluation time, with a time zone.
            most: series that are wanted at most.
            asker: for whom.
            read: reads the answer in the thread that asks; those that are equal do it once.
        """
        question = Question(promql, most, read)
        answer = self._asked.get((question, at))
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._asked[question, at] = answer
            started = time.perf_counter()
            answer.add_done_callback(lambda done: self._told(question, at, started, done))
            self._collect(question, at, answer, asker)
        # One look may be cancelled while another waits for the same answer.
        return asyncio.shield(answer)

    def _told(self, question: Question, at: datetime, started: float, answer: asyncio.Future[Result | Trouble]) -> None:
        del self._asked[question, at]
        if self._observe is not None:
            good = not answer.cancelled() and isinstance(answer.result(), Result)
            self._observe(self.connection.config.name, time.perf_counter() - started, good)

    def _collect(self, question: Question, at: datetime, answer: asyncio.Future[Result | Trouble], asker: Asker) -> None:
        collection = self._collections.get(at)
        if collection is None:
            collection = self._collections[at] = _Collection(at)
            # A task from the first moment: a timer that makes one would do so while all tasks are being cancelled, too, and nobody
            # would cancel that.
            task = asyncio.create_task(self._answer(collection), name=f"queries to {self.connection.config.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        collection.waiting[question] = answer
        collection.askers[question] = asker

    async def _answer(self, collection: _Collection) -> None:
        try:
            try:
                await asyncio.sleep(self._collecting)
            finally:
                del self._collections[collection.at]
            chunks = self._lessons.chunks(list(collection.askers.items()), self.connection.longest_query)
            late = await asyncio.gather(*(self._ask(chunk, collection) for chunk in chunks))
        finally:
            # Nobody waits for ever, whatever went wrong here.
            for answer in (one for one in collection.waiting.values() if not one.done()):
                _tell(answer, self.connection.trouble("the answers could not be told apart"))
        # Where no request of several came back in time, it is not for what one of them asked.
        if len(chunks) == 1 or not all(late):
            for chunk, was_late in zip(chunks, late, strict=True):
                if was_late:
                    self._lessons.crowded(chunk, late=True)

    async def _ask(self, chunk: Sequence[Question], collection: _Collection, *, warned: bool = False, split: bool = False) -> bool:
        """Ask a chunk and hand out the answers; return whether they did not come in time.

        Args:
            chunk: what is asked together.
            collection: those who wait for the answers.
            warned: a larger request that had it was answered with a warning.
            split: a larger request that had it had no answer.
        """
        if len(chunk) == 1 and not warned:
            answer = await self._alone(chunk[0], collection, split=split)
            return isinstance(answer, Trouble) and answer.cause is Cause.TIME
        nonce, asker = secrets.token_hex(8), collection.asker(chunk)
        self._count(len(chunk))
        words = [self._lessons.wording(question) for question in chunk]
        scalars = tuple(wording != question.promql for wording, question in zip(words, chunk, strict=True))
        query, read = join(words, nonce), _Reading(tuple(chunk), scalars, nonce)
        result = await self.connection.joint(query, collection.at, asker=asker, read=read)
        if isinstance(result, Result):
            if len(chunk) == 1:
                self._lessons.tolerate(result.warnings)
            warned = len(chunk) > 1 and self._lessons.intolerable(result.warnings)
            if isinstance(result.data, list) and not warned:
                self._lessons.went_well(chunk, result.seconds)
                cost = _cost(result.seconds, chunk, asker)
                for question, data in zip(chunk, result.data, strict=True):
                    _tell(collection.waiting[question], Result(data, result.warnings, seconds=cost))
                return False
        elif result.cause is Cause.METHOD:
            return await self._one_by_one(chunk, collection)
        elif result.cause not in (Cause.QUERY, Cause.SIZE):
            told = replace(result, seconds=_cost(result.seconds, chunk, asker))
            for question in chunk:
                _tell(collection.waiting[question], told)
            return result.cause is Cause.TIME
        cut_short = isinstance(result, Result) and any(map(CUT_SHORT.search, result.warnings))
        large = isinstance(result, Trouble) and result.cause is Cause.SIZE
        return await self._split(chunk, collection, warned=warned, cut_short=cut_short, large=large)

    async def _split(
        self, chunk: Sequence[Question], collection: _Collection, *, warned: bool, cut_short: bool, large: bool
    ) -> bool:
        if len(chunk) == 1:
            await self._alone(chunk[0], collection, split=True)
            return False
        half = len(chunk) // 2
        halves = (chunk[:half], chunk[half:])
        late = await asyncio.gather(*(self._ask(some, collection, warned=warned, split=True) for some in halves))
        if cut_short or large:
            self._lessons.crowded(chunk, large=large)
        elif len(chunk) == 2 and not warned:
            self._lessons.parted(chunk)
        return all(late)

    async def _one_by_one(self, chunk: Sequence[Question], collection: _Collection) -> bool:
        """Ask each alone, if that is let through; then requests with several are not tried for a while."""
        first = await self._alone(chunk[0], collection, split=False)
        if isinstance(first, Trouble) and first.cause not in (Cause.QUERY, Cause.SIZE):
            for question in chunk:
                _tell(collection.waiting[question], first)
            return False
        self._lessons.only_alone()
        await asyncio.gather(*(self._alone(question, collection, split=False) for question in chunk[1:]))
        return False

    async def _alone(self, question: Question, collection: _Collection, *, split: bool) -> Result | Trouble:
        self._count(1)
        asker = collection.asker((question,))
        answer = await self.connection.alone(question.promql, collection.at, question.most, asker=asker, read=question.read)
        self._lessons.answered(question, answer, split=split)
        _tell(collection.waiting[question], answer)
        return answer

    def _count(self, queries: int) -> None:
        if self._requested is not None:
            self._requested(self.connection.config.name, queries)


@dataclass(frozen=True)
class _Reading:
    """Reads the answer to questions that were joined: a list with what each has; None where that cannot be told."""

    chunk: tuple[Question, ...]
    scalars: tuple[bool, ...]
    nonce: str

    def __call__(self, data: object) -> list[object] | None:
        parts = part(data, self.nonce, len(self.chunk))
        if parts is None:
            return None
        answers = [_scalar_of(series) if scalar else series for series, scalar in zip(parts, self.scalars, strict=True)]
        pairs = zip(self.chunk, answers, strict=True)
        return [answer if question.read is None else as_read(question.read, answer) for question, answer in pairs]


def _scalar_of(series: list[dict[str, Any]]) -> list[Any]:
    """Return what a scalar that was made a vector to be joined would have been answered with alone."""
    value = series[0].get("value") if len(series) == 1 else None
    return value if isinstance(value, list) else series


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


def _cost(seconds: float, chunk: Sequence[Question], asker: Asker) -> float:
    """Return what each of some questions has cost the server, where they are of one namespace; else nobody knows whose it was."""
    return seconds / len(chunk) if asker.namespace else 0.0


def _tell(waiting: asyncio.Future[Result | Trouble], answer: Result | Trouble) -> None:
    if not waiting.done():
        waiting.set_result(answer)
