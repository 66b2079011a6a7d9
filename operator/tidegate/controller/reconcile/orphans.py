"""Decisions on Releases that are gone: no pass tells what became of them, so this does, and the caches are rid of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tidegate.controller.observe.decisions import Decisions
from tidegate.controller.reconcile.outcomes import Outcomes
from tidegate.runtime.clock import Clock
from tidegate.runtime.sharding import WHOLE, Shard
from tidegate.runtime.store import Store

SWEEP_SECONDS = 600.0
"""Between looks."""
YOUNG = timedelta(hours=1)
"""So long after a decision was made its Release may not be known yet: the watches that tell of both go their own ways."""


class Orphans:
    """Has it told.

    Args:
        store: the caches.
        decisions: those that are of concern.
        outcomes: writes what became of them.
        clock: the time.
        trusted: whether the caches have all Releases that there are.
        shard: the Releases that are of concern here.
    """

    def __init__(
        self,
        store: Store,
        decisions: Decisions,
        outcomes: Outcomes,
        *,
        clock: Clock,
        trusted: Callable[[], bool],
        shard: Shard = WHOLE,
    ) -> None:
        self._store, self._decisions, self._outcomes, self._clock, self._trusted = store, decisions, outcomes, clock, trusted
        self._shard = shard

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Look once."""
        if not self._trusted():
            return
        now = self._clock.now()
        there = {(namespace, name) for _, namespace, name in self._store.names("Release")}
        for namespace, settled in self._decisions.of_gone(there, now - YOUNG, self._shard):
            self._outcomes.tell(namespace, [settled], now)
