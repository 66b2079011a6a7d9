"""Who holds the event loop: each turn of a piece of work is measured, and marked where the mark outlives the process.

A coroutine runs from one wait to the next without a break. That is its turn, in which nothing else runs, so what takes long in it
or ends the process is that piece of work's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

LONG_SECONDS = 0.5
"""A turn that is longer keeps everybody waiting: it is told."""


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work.

    Attributes:
        namespace: of the Release that it is for.
        release: its name.
        gate: the gate that is looked at; empty for a pass over the Release.
    """

    namespace: str
    release: str
    gate: str = ""


class Mark(Protocol):
    """Where it is written down what is under way, for whoever comes after this process."""

    def begin(self, work: Work) -> int:
        """Note that a piece of work has begun, and return its place."""

    def end(self, place: int) -> None:
        """Note that it has come to its end."""

    def turn(self, place: int) -> None:
        """Note whose turn it is; 0 for nobody's."""


class Turns:
    """Measures the turns of pieces of work.

    Args:
        told: told of each turn that was long, with its seconds.
        mark: where they are written down; None for nowhere.
        clock: seconds, as they pass for everybody.
    """

    def __init__(
        self, told: Callable[[Work, float], None], *, mark: Mark | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._told, self._mark, self._clock = told, mark, clock
        self._place = 0

    async def of(self, work: Work, doing: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do a piece of work, and return what comes of it.

        What it starts as tasks of its own counts as this work's where it is started through `also`.

        Args:
            work: what it is.
            doing: begins it; not called where the task ends before its first turn.
        """
        place = self._mark.begin(work) if self._mark is not None else 0
        under_way = _UnderWay(self, work, place)
        token = _UNDER_WAY.set(under_way)
        try:
            return await _Measured(under_way, doing())
        finally:
            _UNDER_WAY.reset(token)
            # What goes on beside it has its name still, but its place is another's.
            under_way.place = 0
            if self._mark is not None:
                self._mark.end(place)

    def begin(self, place: int) -> tuple[float, int]:
        """Begin a turn; return what `end` needs."""
        before, self._place = self._place, place
        if self._mark is not None:
            self._mark.turn(place)
        return self._clock(), before

    def end(self, work: Work, began: tuple[float, int]) -> None:
        """End a turn."""
        seconds, self._place = self._clock() - began[0], began[1]
        if self._mark is not None:
            self._mark.turn(self._place)
        if seconds > LONG_SECONDS:
            self._told(work, seconds)


@dataclass(slots=True)
class _UnderWay:
    turns: Turns
    work: Work
    place: int


_UNDER_WAY: ContextVar[_UnderWay | None] = ContextVar("under_way", default=None)


async def also(doing: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do in a task of its own what is part of the work that starts it: its turns count as that work's."""
    under_way = _UNDER_WAY.get()
    return await (doing() if under_way is None else _Measured(under_way, doing()))


class _Measured(Generic[T]):
    """Awaits a coroutine, turn by turn; what is sent, thrown and given passes through."""

    def __init__(self, under_way: _UnderWay, doing: Coroutine[Any, Any, T]) -> None:
        self._under_way, self._doing = under_way, doing

    def __await__(self) -> Generator[Any, Any, T]:
        steps, turns = self._doing.__await__(), self._under_way.turns
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            began = turns.begin(self._under_way.place)
            try:
                waited = steps.send(sent) if thrown is None else steps.throw(thrown)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                turns.end(self._under_way.work, began)
            thrown = None
            try:
                sent = yield waited
            except BaseException as error:  # noqa: BLE001 - whatever is thrown into the work is the work's own
                thrown = error
