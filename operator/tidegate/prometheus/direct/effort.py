"""What pages of pods may cost of the one processor that all else of the operator runs on: each namespace has its share.

A page is read piece by piece, and between two pieces, whosesoever they are, the event loop has its turn. What that has cost is
measured and charged to the namespace, whose debt is worked off with time; while it is too large, its pods' pages are put off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

SHARE = 0.1
"""Part of the processor that pages of one namespace's pods may take in the long run."""
OF_ALL = 0.3
"""Part that all namespaces' may take together: who has debts shares it out."""
CREDIT = 0.5
"""Seconds of processor time that a namespace may take at once; pages that are begun may go on to twice as much."""
REST = 20.0
"""So many times as long as its page took of the processor, a pod is left alone."""
PIECE = 20e-6
"""Seconds that it takes to be woken up for a piece, before it is looked at."""
_LATEST = 0.2
"""Weight of the last page in what one costs typically."""
_WAITS = 12.0
"""Seconds for which room is kept for whoever was put off; all ask again within ten, the longest interval."""
_AT_MOST = 10.0
"""Seconds for which others go before whoever waits longest, if they leave room for it."""
_REMEMBERED = 60.0
"""Seconds for which a namespace without readings is remembered."""
PUT_OFF = f"put off: pages of this namespace's pods take more than {SHARE:.0%} of the operator's processor time"

_T = TypeVar("_T")


class PutOffError(Exception):
    """A namespace has used up its share; what it wants comes later."""

    def __init__(self) -> None:
        super().__init__(PUT_OFF)


@dataclass
class Cost:
    """What one page has cost.

    Attributes:
        namespace: whose it is.
        seconds: of processor time.
        begun: whether it is under way.
        by: who reads it; of several in one namespace each has its turn.
    """

    namespace: str
    seconds: float = 0.0
    begun: bool = False
    by: Hashable = None


@dataclass
class _Account:
    """What one namespace has used.

    Attributes:
        debt: seconds of processor time that are not worked off.
        pages: how many are under way.
        typical: what a page has cost lately.
        last: when it last had one.
        waiting: who was put off, the first one first: since when, and when it last asked.
    """

    debt: float = 0.0
    pages: int = 0
    typical: float = 0.0
    last: float = 0.0
    waiting: dict[Hashable, tuple[float, float]] = field(default_factory=dict)

    def full(self, by: Hashable, now: float) -> bool:
        """Whether there is no room for a page more, beside one of whoever waits longest.

        Without that the phases of those who ask would decide: who asks right after the debt has become small enough takes
        the room again and again, and whoever asks a moment later has none. Where pages are larger than is typical that room may be
        too little, so after a while nobody goes before.
        """
        self.waiting = {one: times for one, times in self.waiting.items() if now - times[1] < _WAITS}
        first, (since, _) = next(iter(self.waiting.items()), (by, (now, now)))
        if first != by and now - since > _AT_MOST:
            return True
        return self.debt + (self.pages + (first != by)) * self.typical > CREDIT

    def put_off(self, by: Hashable, now: float) -> None:
        """Take note of who has to wait."""
        since, _ = self.waiting.get(by, (now, now))
        self.waiting[by] = since, now


class Effort:
    """Keeps account of what pages cost, for all connections.

    Args:
        clock: monotonic seconds.
        spent: seconds of processor time that were spent so far.
    """

    def __init__(self, clock: Callable[[], float], spent: Callable[[], float] = time.thread_time) -> None:
        self._clock, self._spent = clock, spent
        self._accounts: dict[str, _Account] = {}
        self._at = clock()
        self._one = asyncio.Lock()

    def debt(self, namespace: str) -> float:
        """Return the processor time that a namespace has not worked off yet."""
        return self._account(namespace).debt

    def begin(self, cost: Cost) -> None:
        """Begin a page.

        Raises:
            PutOffError: with those that are under way already the namespace would use up its share, and none would come to its end;
                or what is left is kept for somebody who was put off before.
        """
        account = self._account(cost.namespace)
        if account.full(cost.by, self._at):
            account.put_off(cost.by, self._at)
            raise PutOffError
        account.waiting.pop(cost.by, None)
        account.pages, cost.begun = account.pages + 1, True

    def end(self, cost: Cost) -> None:
        """A page is over, however it has ended."""
        if cost.begun:
            account = self._account(cost.namespace)
            account.pages, cost.begun = account.pages - 1, False
            account.typical += _LATEST * (cost.seconds - account.typical)

    def charge(self, cost: Cost, seconds: float) -> None:
        """Add to what a page has cost."""
        cost.seconds += seconds
        self._account(cost.namespace).debt += seconds

    async def work(self, cost: Cost, piece: Callable[[], _T]) -> _T:
        """Look at a piece of a page, one of all pages in each turn of the event loop.

        Raises:
            PutOffError: the namespace has used up far more than its share.
        """
        async with self._one:
            if self.debt(cost.namespace) > 2 * CREDIT:
                raise PutOffError
            began = self._spent()
            try:
                return piece()
            finally:
                self.charge(cost, self._spent() - began)
                await asyncio.sleep(0)

    def _account(self, namespace: str) -> _Account:
        now = self._clock()
        if now > self._at:
            owing = sum(one.debt > 0 for one in self._accounts.values())
            off = (now - self._at) * min(SHARE, OF_ALL / max(1, owing))
            for one in self._accounts.values():
                one.debt = max(0.0, one.debt - off)
            self._accounts = {
                name: one for name, one in self._accounts.items() if one.debt or one.pages or now - one.last < _REMEMBERED
            }
            self._at = now
        account = self._accounts.setdefault(namespace, _Account())
        account.last = now
        return account
