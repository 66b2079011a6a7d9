"""The first turn of each Release after a start: those that are being rolled out are looked at before anything else is found out.

Nobody has watched their gates for a while. A look shows whether a version does harm, and takes less than a pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import structlog

from tidegate.cluster.resources import RELEASES
from tidegate.controller.looks.looks import LONGEST_TICK, Looks
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.process.lanes import lane_at_start
from tidegate.controller.process.suspects import Suspects
from tidegate.controller.reconcile.reconciler import Reconciler
from tidegate.runtime.clock import Clock
from tidegate.runtime.queue import Lane
from tidegate.runtime.store import Store

log = structlog.get_logger(__name__)

TAKING_OVER = "first turns"
"""Name of the part; it comes to an end by itself."""
LOOKED_SECONDS = 3.0
"""For so long after the last of them was begun passes wait for looks at most: Prometheus may not answer."""
AGAIN_SECONDS = 0.1
"""Between two questions whether all have been looked at."""


class TakingOver:
    """Gives each Release its first turn.

    Args:
        store: the caches.
        reconciler: makes passes.
        looks: takes looks.
        suspects: brings Releases to the queue, and puts some of them off.
        clock: the time.
    """

    def __init__(self, store: Store, reconciler: Reconciler, looks: Looks, suspects: Suspects, clock: Clock) -> None:
        self._store, self._reconciler, self._looks, self._suspects, self._clock = store, reconciler, looks, suspects, clock

    async def run(self, keys: Iterable[ReleaseKey]) -> None:
        """Give each its turn: rollouts of which more than a look may be due have a pass at once, and those without come last."""
        looked_at: list[ReleaseKey] = []
        last: list[ReleaseKey] = []
        for key in keys:
            lane = lane_at_start(self._store.get(RELEASES.kind, *key))
            if lane is Lane.LOW:
                last.append(key)
            elif self._looks_first(key):
                looked_at.append(key)
            else:
                self._suspects.add(key, lane)
            # Looks begin meanwhile, and others have their turn.
            await asyncio.sleep(0)
        await self._looked_at(looked_at)
        self._looks.patient.difference_update(looked_at)
        for lane, some in ((Lane.NORMAL, looked_at), (Lane.LOW, last)):
            for key in some:
                self._suspects.add(key, lane)

    async def _looked_at(self, waiting: list[ReleaseKey]) -> None:
        """Wait until Releases have been looked at."""
        deadline, until = self._clock.monotonic() + LOOKED_SECONDS, self._clock.now() + timedelta(seconds=LONGEST_TICK)
        while (waiting := [key for key in waiting if self._looks.awaits(key, until)]) and self._clock.monotonic() < deadline:
            await self._clock.sleep(AGAIN_SECONDS)

    def _looks_first(self, key: ReleaseKey) -> bool:
        if self._suspects.puts_off(key):
            return False
        try:
            first = self._reconciler.look_first(key)
        except Exception:  # a bug that one Release meets must not keep the others from their turns; its pass says more
            log.exception("gates could not be checked before the first pass", release=key.name, namespace=key.namespace)
            return False
        if first:
            self._looks.patient.add(key)
        return first
