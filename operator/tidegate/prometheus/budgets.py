"""How much may be remembered of counters: of one gate, of one Release, of one namespace, of all together.

The series are those of people's own queries and pods. Nobody may fill the operator's memory with them, nor take the room of others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tidegate.prometheus.config import Budgets

SERIES = 1024
"""Bytes that a series costs while it is followed, with one window that is still to be handed out (measured: `bench.budgets`)."""
RISE = 256
"""Those of them that are the window's."""
EDGE = 32
"""Bytes of each edge of a histogram."""
_SHARE = 2
"""One namespace may have half of what all may have together."""
_MIB = 1024 * 1024


class Size(NamedTuple):
    """How much is remembered.

    Attributes:
        series: series that are followed one by one; a histogram of one process is one.
        bytes: memory that they take, reckoned.
    """

    series: int
    bytes: int


_NOTHING = Size(0, 0)


class Holder(NamedTuple):
    """Who remembers: one gate of one Release."""

    namespace: str
    release: str
    gate: str


def of_release(holders: Iterable[Holder], namespace: str, release: str) -> list[Holder]:
    """Return those that are gates of a Release; a list, so that they can be dropped from what they came from."""
    return [one for one in holders if one[:2] == (namespace, release)]


@dataclass(frozen=True)
class _Bound:
    """One of the budgets as it is for a holder now.

    Attributes:
        whose: whose budget it is, in words.
        most: the budget.
        others: what others hold of it.
        fields: what it is called in the configuration: series, bytes.
        cure: what helps besides fewer series.
    """

    whose: str
    most: Size
    others: Size
    fields: tuple[str, str]
    cure: str


@dataclass
class _Held:
    """What is held by gates, and the sums of that."""

    gates: dict[Holder, Size] = field(default_factory=dict)
    sums: dict[tuple[str, ...], Size] = field(default_factory=dict)

    def put(self, holder: Holder, size: Size | None) -> None:
        """Let a gate hold this much; None for nothing any more."""
        before, after = self.gates.get(holder, _NOTHING), size or _NOTHING
        if size is not None:
            self.gates[holder] = size
        else:
            self.gates.pop(holder, None)
        if before == after:
            return
        for group in ((), holder[:1], holder[:2]):
            total = self.sums.get(group, Size(0, 0))
            total = Size(total.series - before.series + after.series, total.bytes - before.bytes + after.bytes)
            if total == (0, 0):
                self.sums.pop(group, None)
            else:
                self.sums[group] = total

    def others(self, holder: Holder, group: tuple[str, ...]) -> Size:
        """Return what all but one gate hold in its Release, its namespace, or altogether."""
        total, own = self.sums.get(group, _NOTHING), self.gates.get(holder, _NOTHING)
        return Size(total.series - own.series, total.bytes - own.bytes)


class Holdings:
    """What the gates of all Releases hold, within the budgets.

    Args:
        budgets: how much may be held.
    """

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self._held = _Held()

    @property
    def total(self) -> Size:
        """What all hold together."""
        return self._held.sums.get((), Size(0, 0))

    def room(self, holder: Holder) -> Size:
        """Return how much a gate may hold now, given what others hold."""
        series, size = self._left(holder)
        return Size(max(0, series), max(0, size))

    def refusal(self, holder: Holder, wanted: Size) -> str:
        """Return in words why a gate may not hold this much, and what helps; empty where it may."""
        series, size = self._left(holder)
        if wanted.series <= series and wanted.bytes <= size:
            return ""
        for bound in self._bounds(holder):
            if bound.others.series + wanted.series > bound.most.series:
                what, most, name = f"{wanted.series:,} series", f"{bound.most.series:,}", bound.fields[0]
                beside = f" beside {bound.others.series:,} of others" if bound.others.series else ""
            elif bound.others.bytes + wanted.bytes > bound.most.bytes:
                what, most, name = f"{_mib(wanted.bytes)} of counters", _mib(bound.most.bytes), bound.fields[1]
                beside = f" beside {_mib(bound.others.bytes)} of others" if bound.others.bytes else ""
            else:
                continue
            cure = f"ask for fewer series, such as sum by (pod) (...){bound.cure}"
            return f"too much to follow: {what}{beside}, {bound.whose} may have {most} (budgets.{name}): {cure}"
        return ""

    def hold(self, holder: Holder, size: Size) -> None:
        """Note how much a gate holds."""
        self._held.put(holder, size)

    def drop(self, holder: Holder) -> None:
        """A gate holds nothing any more."""
        self._held.put(holder, None)

    def forget(self, namespace: str, release: str) -> None:
        """The gates of a Release hold nothing any more."""
        for holder in of_release(self._held.gates, namespace, release):
            self._held.put(holder, None)

    def _left(self, holder: Holder) -> tuple[int, int]:
        """Return how many series, and how many bytes, the narrowest of a gate's budgets leaves it; below 0 where others have more.

        It is what `_bounds` says, without the words: every look of every gate asks for it.
        """
        given, others = self.budgets, self._held.others
        release, namespace, whole = others(holder, holder[:2]), others(holder, holder[:1]), others(holder, ())
        series = (
            given.series_per_gate,
            given.series_per_release - release.series,
            given.series // _SHARE - namespace.series,
            given.series - whole.series,
        )
        size = (
            given.bytes_per_gate,
            given.bytes_per_release - release.bytes,
            given.bytes // _SHARE - namespace.bytes,
            given.bytes - whole.bytes,
        )
        return min(series), min(size)

    def _bounds(self, holder: Holder) -> Iterator[_Bound]:
        given, others = self.budgets, self._held.others
        most, fields = Size(given.series_per_gate, given.bytes_per_gate), ("seriesPerGate", "bytesPerGate")
        yield _Bound("a gate", most, Size(0, 0), fields, "")
        most, fields = Size(given.series_per_release, given.bytes_per_release), ("seriesPerRelease", "bytesPerRelease")
        yield _Bound("all gates of a Release", most, others(holder, holder[:2]), fields, ", or fewer gates")
        all_of_them = Size(given.series, given.bytes)
        share = Size(all_of_them.series // _SHARE, all_of_them.bytes // _SHARE)
        cure = ", or wait until other rollouts have ended"
        yield _Bound(
            "all Releases of a namespace", share, others(holder, holder[:1]), ("series, half of it", "bytes, half of it"), cure
        )
        yield _Bound("all Releases together", all_of_them, others(holder, ()), ("series", "bytes"), cure)


class Unread:
    """Bytes of answers that are read and parsed at the same time, in all threads of the process together.

    A parsed answer takes several times as much memory as its text. So answers wait here for each other, the large ones; a small
    one, as of an ordinary question, never waits.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._changed = threading.Condition()
        self._mine = threading.local()

    def take(self, size: int, deadline: float) -> None:
        """Take so much for this thread in all, and wait for it until a time on the monotonic clock.

        Whoever has some does not wait for more while others wait for theirs: ask once, for the most that there may be.

        Raises:
            TimeoutError: others have too much for too long.
        """
        size = min(size, self.most)
        with self._changed:
            own = getattr(self._mine, "size", 0)
            while self.held - own + size > self.most:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise TimeoutError
            self.held += size - own
            self._mine.size = size
            self._changed.notify_all()

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Give back, at the end, what this thread has taken meanwhile."""
        try:
            yield
        finally:
            with self._changed:
                self.held -= getattr(self._mine, "size", 0)
                self._mine.size = 0
                self._changed.notify_all()


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB" if size % _MIB else f"{size // _MIB} MiB"
