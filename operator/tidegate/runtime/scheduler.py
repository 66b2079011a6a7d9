"""Due times: one heap for all keys instead of a timer per object.

A thousand Releases wait for holds, looks and deadlines at once, by times in their statuses that a stepped clock must not lose.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from tidegate.runtime.clock import Clock, Moment

K = TypeVar("K", bound=Hashable)

SLICE = 10.0
"""Longest sleep in seconds: bounds how late a forward step of the wall clock is noticed."""
STEP = 0.5
"""Seconds by which the wall clock may gain on the monotonic one before it counts as a step; slewing stays below."""
STALE_ENTRIES = 64
"""Replaced entries that may stay in the heap whatever its size; beyond that and the live ones it is rebuilt."""


@dataclass(frozen=True, slots=True)
class _Due:
    at: datetime | None
    """The moment that was asked for; None for a wait that the wall clock has no say in."""
    deadline: float


class Scheduler(Generic[K]):
    """Fires each key once when its due time has come.

    A due time is a moment of the wall clock, because it comes from status and must survive a restart. It is turned into
    a deadline of the monotonic clock by the moment that it was reckoned from, so a wall clock that is stepped back an
    hour, be it between the reckoning and here, does not silence a rollout for an hour. A step forward makes the due
    times that it jumped over come at once. Either way the key may fire too early, never too late: a pass that finds
    nothing due sets its due time again, while one that comes late has left a bad version serving.

    Args:
        clock: what time it is, and how to wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[K, _Due] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()
        self._offset = Moment.of(clock).offset

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: K, due: datetime | None, reckoned: Moment) -> None:
        """Replaces the due time of `key`; None removes it.

        Args:
            key: what to fire.
            due: an aware moment; one in the past fires at once.
            reckoned: the moment that `due` was reckoned from.

        Raises:
            ValueError: if `due` is naive.
        """
        if due is None:
            self.drop(key)
            return
        if due.tzinfo is None:
            raise ValueError(f"due time of {key} has no time zone")
        current = self._due.get(key)
        if current is not None and current.at == due:
            return
        now = Moment.of(self._clock)
        self._push(key, _Due(due, max(now.monotonic, min(now.monotonic_at(due), reckoned.monotonic_at(due)))))

    def drop(self, key: K) -> None:
        """Removes the due time of `key`, if it has one."""
        self._due.pop(key, None)

    def set_after(self, key: K, seconds: float) -> None:
        """Replaces the due time of `key` by one that lies `seconds` ahead, whatever the wall clock does."""
        self._push(key, _Due(None, self._clock.monotonic() + max(0.0, seconds)))

    def due(self, key: K) -> datetime | None:
        """The moment that `set` has been given for `key`, or None."""
        entry = self._due.get(key)
        return None if entry is None else entry.at

    def next_in(self) -> float | None:
        """Seconds until the next key is due (0.0 if one is overdue); None if nothing is set."""
        self._drop_stale()
        return max(0.0, self._heap[0][0] - self._clock.monotonic()) if self._heap else None

    def pop_due(self) -> list[K]:
        """Removes and returns the keys whose time has come, the longest overdue first."""
        self._notice_step()
        now = self._clock.monotonic()
        fired: list[K] = []
        self._drop_stale()
        while self._heap and self._heap[0][0] <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            fired.append(key)
            self._drop_stale()
        return fired

    async def run(self, fire: Callable[[K], None]) -> None:
        """Fires keys as they become due, until cancelled.

        Args:
            fire: called once per due key; must not block and may set due times.
        """
        while True:
            self._earlier.clear()
            for key in self.pop_due():
                fire(key)
            wait = self.next_in()
            await self._clock.sleep(SLICE if wait is None else min(wait, SLICE), wake=self._earlier)

    def _push(self, key: K, due: _Due) -> None:
        self._due[key] = due
        heapq.heappush(self._heap, (due.deadline, next(self._order), key))
        if self._heap[0][2] == key:
            self._earlier.set()
        if len(self._heap) > 2 * len(self._due) + STALE_ENTRIES:
            self._rebuild()

    def _drop_stale(self) -> None:
        """Removes replaced entries from the top; searching the heap for them on every `set` would cost more."""
        while self._heap:
            deadline, _, key = self._heap[0]
            entry = self._due.get(key)
            if entry is not None and entry.deadline == deadline:
                return
            heapq.heappop(self._heap)

    def _rebuild(self) -> None:
        self._heap = [(entry.deadline, next(self._order), key) for key, entry in self._due.items()]
        heapq.heapify(self._heap)

    def _notice_step(self) -> None:
        now = Moment.of(self._clock)
        stepped, self._offset = now.offset - self._offset, now.offset
        if stepped <= STEP:
            return
        for key, entry in self._due.items():
            if entry.at is not None:
                deadline = max(now.monotonic, now.monotonic_at(entry.at))
                self._due[key] = _Due(entry.at, min(deadline, entry.deadline))
        self._rebuild()
