"""Running many rollouts on all processors, and what a measured figure is."""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
CHUNK = 20
"""Rollouts that a worker takes at a time."""


@dataclass(frozen=True)
class Figure:
    """One line of the results.

    Attributes:
        cell: what was measured, in words.
        measured: the figure, in the unit that `cell` names.
        limit: the greatest that it may be; None where it is only printed.
        note: reason, or what theory says, where there is something to say.
    """

    cell: str
    measured: float
    limit: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the figure is within its limit; None where it has none."""
        return None if self.limit is None else self.measured <= self.limit

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Figure:
        """Return the figure that `to_wire` wrote."""
        measured = math.inf if wire["measured"] == "never" else wire["measured"]
        return cls(wire["cell"], measured, wire["limit"], wire.get("note", ""))

    def to_wire(self) -> dict[str, object]:
        """Return the figure as JSON has it: infinite is a text, since JSON has no such number."""
        measured: object = round(self.measured, 4) if math.isfinite(self.measured) else "never"
        wire: dict[str, object] = {"cell": self.cell, "measured": measured, "limit": self.limit, "holds": self.holds}
        return {**wire, "note": self.note} if self.note else wire


def publish(figures: Sequence[Figure], path: Path) -> int:
    """Write figures as JSON, print them, and return the exit status: 1 where one is beyond its limit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([figure.to_wire() for figure in figures], indent=1) + "\n")
    for figure in figures:
        limit = "" if figure.limit is None else f", at most {figure.limit:g}"
        print(f"{figure.cell}: {figure.measured:.4g}{limit}{'' if figure.holds is not False else '   NOT HELD'}")
    return 1 if any(figure.holds is False for figure in figures) else 0


class Bench:
    """Runs rollouts in worker processes and says how far it is.

    Args:
        pool: the worker processes.
        scale: factor on all numbers of runs.
    """

    def __init__(self, pool: ProcessPoolExecutor, scale: float) -> None:
        self._pool = pool
        self._scale = scale
        self._began = time.monotonic()
        self._numbers: set[int] = set()

    def numbers(self) -> list[int]:
        """Return the numbers of rollouts of the jobs since this was asked last."""
        numbers, self._numbers = sorted(self._numbers), set()
        return numbers

    def runs(self, number: int) -> int:
        """Return how many runs to do instead of a number."""
        return max(CHUNK, round(number * self._scale))

    def each(self, name: str, job: Callable[[list[int]], list[T]], number: int) -> list[T]:
        """Do a job for the rollouts 0, 1, ... in order, and return what it gives for each of them.

        Args:
            name: for the line that is printed.
            job: takes numbers of rollouts; must be picklable.
            number: how many rollouts.
        """
        numbers = range(number)
        chunks = [list(numbers[begin : begin + CHUNK]) for begin in range(0, number, CHUNK)]
        self._numbers.add(number)
        began = time.monotonic()
        results: list[T] = []
        for done in self._pool.map(job, chunks):
            results.extend(done)
        self.say(f"{name}: {number} runs in {time.monotonic() - began:.1f} s")
        return results

    def say(self, text: str) -> None:
        """Print a line with the time since the beginning."""
        print(f"[{time.monotonic() - self._began:6.0f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def bench(workers: int, scale: float) -> Iterator[Bench]:
    """Give a bench whose worker processes end with it."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Bench(pool, scale)


def median(values: Sequence[float]) -> float:
    """Return the median, infinite where fewer than half of the values are finite."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
