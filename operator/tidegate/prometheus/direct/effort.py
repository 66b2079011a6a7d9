"""What pages of pods may cost of the one processor that all else of the operator runs on: each namespace has its share.

A page is read piece by piece, and between two pieces, whosesoever they are, the event loop has its turn. What that has cost is
measured and charged to the namespace, whose debt is worked off with time; while it is too large, its pods' pages are put off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
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
    """

    namespace: str
    seconds: float = 0.0
    begun: bool = False


@dataclass
class _Account:
    """What one namespace has used.

    Attributes:
        debt: seconds of processor time that are not worked off.
        pages: how many are under way.
        typical: what a page has cost lately.
        last: when it last had one.
    """

    debt: float = 0.0
    pages: int = 0
    typical: float = 0.0
    last: float = 0.0


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
            PutOffError: with those that are under way already the namespace would use up its share, and none would come to its end.
        """
        account = self._account(cost.namespace)
        if account.debt + account.pages * account.typical > CREDIT:
            raise PutOffError
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
