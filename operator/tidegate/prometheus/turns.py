"""Whose turn it is to ask a server: all namespaces have theirs, however much one of them asks and however slowly it is answered."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.prometheus.answers import Asker

LATELY = 60.0
"""Seconds for which a namespace that has asked is thought to ask again."""
_FEW = 2
"""Slots of which none is kept for those who have not asked for long: it would be half of all."""

Waited = Callable[[str, float], None]
"""Told of every wait: the namespace, and seconds until its turn or until it gave up."""


@dataclass(eq=False)
class _Waiter:
    asker: Asker
    turn: asyncio.Future[None]


@dataclass
class _Queue:
    """Those of one namespace who wait; gates that roll back come first."""

    urgent: deque[_Waiter] = field(default_factory=deque)
    others: deque[_Waiter] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.urgent) + len(self.others)

    def of(self, asker: Asker) -> deque[_Waiter]:
        return self.urgent if asker.rollback else self.others


class Turns:
    """Gives out slots.

    - Namespaces take turns: the one that has fewest slots is next, and of those the one whose last turn is longest ago.
    - One namespace has at most half of the slots while another one asks, too, or has asked in the last minute. Requests that are
      for several namespaces are of questions that are known to be quick: they may have all but the slot that is kept.
    - One slot is kept for a gate that rolls back, of a namespace that has no slot at all; of two only while another one asks.

    Args:
        slots: requests that may be under way at once.
        most_waiting: of each namespace.
        waited: told of every wait.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        slots: int,
        most_waiting: int,
        waited: Waited | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self._most_waiting = most_waiting
        self._waited = waited
        self._clock = clock
        self._busy: dict[str, int] = {}
        self._queues: dict[str, _Queue] = {}
        self._lately: dict[str, float] = {}
        self._last: dict[str, int] = {}
        self._given = 0

    def busy(self, namespace: str | None = None) -> int:
        """Return how many slots are taken by a namespace, or by all."""
        return sum(self._busy.values()) if namespace is None else self._busy.get(namespace, 0)

    async def take(self, asker: Asker, seconds: float, room: int = 1) -> bool:
        """Wait for a slot, and return whether there was one in time.

        Args:
            asker: for whom.
            seconds: how long to wait at most.
            room: factor on the number of those of one namespace who may wait.
        """
        queue = self._queues.setdefault(asker.namespace, _Queue())
        if len(queue) >= self._most_waiting * room:
            return False
        began = self._clock()
        self._asks(asker.namespace, began)
        waiter = _Waiter(asker, asyncio.get_running_loop().create_future())
        queue.of(asker).append(waiter)
        self._serve()
        try:
            if not waiter.turn.done():
                await asyncio.wait({waiter.turn}, timeout=seconds)
            return waiter.turn.done()
        except asyncio.CancelledError:
            if waiter.turn.done():
                self.give_back(asker)
            raise
        finally:
            if not waiter.turn.done():
                queue.of(asker).remove(waiter)
            if not queue and self._queues.get(asker.namespace) is queue:
                del self._queues[asker.namespace]
            if self._waited is not None:
                self._waited(asker.namespace, self._clock() - began)

    def give_back(self, asker: Asker) -> None:
        """Give a slot back, to whoever is next."""
        left = self._busy[asker.namespace] - 1
        if left:
            self._busy[asker.namespace] = left
        else:
            del self._busy[asker.namespace]
        self._serve()

    def _asks(self, namespace: str, now: float) -> None:
        self._lately.pop(namespace, None)
        self._lately[namespace] = now
        while self._lately and now - next(iter(self._lately.values())) > LATELY:
            gone = next(iter(self._lately))
            del self._lately[gone]
            self._last.pop(gone, None)

    def _serve(self) -> None:
        """Give free slots to those who are next."""
        while self.busy() < self.slots:
            able = [one for one in self._queues if self._next(one) is not None]
            if not able:
                return
            chosen = min(able, key=lambda one: (self.busy(one), self._last.get(one, 0)))
            queue = self._next(chosen)
            if queue is None:
                return
            self._given += 1
            self._last[chosen] = self._given
            self._busy[chosen] = self.busy(chosen) + 1
            queue.popleft().turn.set_result(None)

    def _next(self, namespace: str) -> deque[_Waiter] | None:
        """Return where the one of a namespace stands that may have a slot now; None where none may."""
        queue, free, own = self._queues[namespace], self.slots - self.busy(), self.busy(namespace)
        if not queue or (own >= self._share(namespace)):
            return None
        if free > 1 or self.slots == 1 or (self.slots == _FEW and not self._others(namespace)):
            return queue.urgent or queue.others
        return queue.urgent if queue.urgent and own == 0 else None

    def _share(self, namespace: str) -> int:
        """Return how many slots a namespace may have."""
        return max(1, self.slots // 2) if namespace and self._others(namespace) else self.slots

    def _others(self, namespace: str) -> bool:
        """Whether another namespace asks as well."""
        return any(one != namespace for one in self._lately if one)
