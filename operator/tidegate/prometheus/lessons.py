"""What is known of questions: which can be asked together, which have to be asked alone, and which in smaller company."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from tidegate.prometheus.answers import Asker, Cause, Read, Result, Trouble
from tidegate.prometheus.promql import self_contained
from tidegate.prometheus.scalars import is_scalar

MOST_TOGETHER = 100
"""Questions in one request at most: the server works on them one after the other, within the time of one query."""
LONGEST_TOGETHER = 128 * 1024
"""Bytes of one request at most, where the server does not take less: some thirty looks. Proxies let a megabyte through, or more."""
_AROUND = 96
"""Bytes that joining puts around each question (`batching.join`)."""
SLOW = 1.0
"""Seconds from which on a question is slow."""
CUT_SHORT = re.compile(r"truncated|\blimit", re.IGNORECASE)
"""How servers say that series were left out because there were too many."""
_REMEMBERED = 600.0
"""Seconds for which a question that has to be asked alone is."""
_MOST_REMEMBERED = 20_000
_MOST_TOLERATED = 16
_OFFSET = re.compile(r" offset [0-9a-z]{1,32}\b")
"""How long ago a moment was: at each look it is longer ago."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        promql: the query.
        most: series that are wanted at most.
        read: reads the answer; None where it is wanted as it is.
    """

    promql: str
    most: int
    read: Read | None = None

    def __hash__(self) -> int:
        """It stands in several dicts while it is asked: what it is made of is hashed once."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.promql, self.most, self.read))

    @cached_property
    def length(self) -> int:
        """Bytes that it takes in a request with others."""
        text = self.promql
        return (len(text) if text.isascii() else len(text.encode(errors="replace"))) + _AROUND

    @cached_property
    def mark(self) -> bytes:
        """What it is remembered by, in place of its text; one that is asked again and again about a fixed moment is the same."""
        text = _OFFSET.sub(" offset", self.promql) if " offset " in self.promql else self.promql
        return blake2b(f"{self.most} {text}".encode(errors="replace"), digest_size=16).digest()


@dataclass(slots=True)
class _Known:
    """What is known of one question.

    Attributes:
        whole: its text can be put into another.
        scalar: its answer is a scalar.
        quick: it was answered quickly, and may be asked together with those of other namespaces.
        size: questions in one request with it, itself included, at most.
        until: until when that is so, on the monotonic clock.
        lasting: a good answer to it alone changes nothing about that.
    """

    whole: bool
    scalar: bool
    quick: bool = False
    size: int = MOST_TOGETHER
    until: float = 0.0
    lasting: bool = False


class Lessons:
    """What a connection's answers have told of questions.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._tolerated: dict[str, float] = {}
        self._only_alone_until = float("-inf")

    def chunks(self, questions: Sequence[tuple[Question, Asker]], longest: int = LONGEST_TOGETHER) -> list[tuple[Question, ...]]:
        """Divide questions into those that are asked in one request, of so many bytes at most.

        Until it is known of a question that it is quick, it keeps company with those of its own namespace alone: who asks slowly
        keeps nobody else waiting.
        """
        now = self._clock()
        chunks: list[tuple[Question, ...]] = []
        company: dict[tuple[int, str], list[Question]] = {}
        for question, asker in questions:
            namespace = "" if self._of(question).quick else asker.namespace
            company.setdefault((self._largest(question, now), namespace), []).append(question)
        for (most, _), some in company.items():
            chunk: list[Question] = []
            length = 0
            for question in some:
                if chunk and (len(chunk) >= most or length + question.length > longest):
                    chunks.append(tuple(chunk))
                    chunk, length = [], 0
                chunk.append(question)
                length += question.length
            chunks.append(tuple(chunk))
        return chunks

    def wording(self, question: Question) -> str:
        """Return a question as it can be joined with others: a scalar as a vector of one series."""
        return f"vector(\n{question.promql}\n)" if self._of(question).scalar else question.promql

    def answered(self, question: Question, answer: Result | Trouble, *, split: bool) -> None:
        """Learn from the answer to a question that was asked alone.

        Args:
            question: what was asked.
            answer: to it.
            split: it was asked together with others before, and that had no answer.
        """
        known = self._of(question)
        if isinstance(answer, Trouble):
            if answer.cause in (Cause.QUERY, Cause.SIZE):
                self._remember(question, 1)
            if answer.cause is Cause.TIME:
                known.quick = False
            return
        known.quick = answer.seconds < SLOW
        if not answer.vector:
            if known.scalar and split:
                # It is none that can be made a vector of.
                self._remember(question, 1, lasting=True)
            known.scalar = True
        elif not known.lasting:
            known.size = MOST_TOGETHER

    def parted(self, pair: Sequence[Question]) -> None:
        """Learn that two questions had no answer together; where each has one alone, they stay alone."""
        # A scalar tells by itself why.
        if not any(self._restricted(question) or self._of(question).scalar for question in pair):
            for question in pair:
                self._remember(question, 1, lasting=True)

    def crowded(self, chunk: Sequence[Question], *, late: bool = False, large: bool = False) -> None:
        """Learn that a request took too long, or that its answer was cut short.

        Args:
            chunk: what was asked together.
            late: it took too long, and who of them did is not known: each is asked with those of its own namespace alone.
            large: its answer was too large, which the next one would be as well.
        """
        now = self._clock()
        for question in chunk:
            if late:
                self._of(question).quick = False
            self._remember(question, max(1, min(len(chunk) // 2, self._largest(question, now))), lasting=large)

    def went_well(self, chunk: Sequence[Question], seconds: float) -> None:
        """Learn that questions go together."""
        for question in chunk:
            known = self._of(question)
            if not known.lasting:
                known.size = MOST_TOGETHER
            known.quick = known.quick or seconds < SLOW

    def tolerate(self, warnings: Sequence[str]) -> None:
        """Learn that a single question is answered with these warnings, too."""
        now = self._clock()
        self._tolerated = {warning: until for warning, until in self._tolerated.items() if until > now}
        told = [warning for warning in warnings if not CUT_SHORT.search(warning)]
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

    def _of(self, question: Question) -> _Known:
        """Return what is known of a question, which is remembered longest from now on."""
        known = self._known.pop(question.mark, None)
        if known is None:
            whole = len(question.promql) <= LONGEST_TOGETHER and self_contained(question.promql)
            known = _Known(whole, scalar=whole and is_scalar(question.promql))
            while len(self._known) >= _MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
        self._known[question.mark] = known
        return known

    def _restricted(self, question: Question) -> bool:
        return self._of(question).size < MOST_TOGETHER

    def _largest(self, question: Question, now: float) -> int:
        known = self._of(question)
        if now < self._only_alone_until or not known.whole:
            return 1
        if known.size < MOST_TOGETHER and now >= known.until:
            known.size, known.lasting = MOST_TOGETHER, False
        return known.size

    def _remember(self, question: Question, size: int, *, lasting: bool = False) -> None:
        known = self._of(question)
        known.size, known.until, known.lasting = size, self._clock() + _REMEMBERED, lasting
