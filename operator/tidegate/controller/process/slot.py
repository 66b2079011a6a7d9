"""One shard at one replica: the election for it, in which the replica always takes part, and the operator, while it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.election import Deposed, Election, Place
from tidegate.cluster.fence import Fence
from tidegate.controller.process.app import App
from tidegate.controller.process.leadership import Terms
from tidegate.runtime.clock import Clock
from tidegate.runtime.lease import Timing
from tidegate.runtime.sharding import Shard, Tenure

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 5.0
"""After an operator of a shard has ended by itself, before another one is made."""


@dataclass(frozen=True)
class Both:
    """Two fences, both of which must be up.

    Attributes:
        first: one.
        second: the other.
    """

    first: Fence
    second: Fence

    def remaining(self) -> float:
        """Return for how many seconds writes may still begin; 0.0 where none may."""
        return min(self.first.remaining(), self.second.remaining())

    @property
    def grace(self) -> float:
        """Seconds after that for which a write that has begun cannot meet the writes of another process."""
        return min(self.first.grace, self.second.grace)


class Slot:
    """One shard at this replica.

    Args:
        shard: which.
        cluster: the client for Leases.
        clock: the time.
        place: where its Lease is.
        timing: of the election.
        identity: names the holder in each life of it here, by the number of that life.
        roster: the replicas' common Lease, which stands before every write, too.
        operator_of: makes an operator.
        changed: told when there is news of it.
    """

    def __init__(
        self,
        shard: Shard,
        cluster: Cluster,
        *,
        clock: Clock,
        place: Place,
        timing: Timing,
        identity: Callable[[int], str],
        roster: Fence,
        operator_of: Callable[[Terms], App],
        changed: Callable[[], None],
    ) -> None:
        self.shard = shard
        self._cluster, self._clock, self._place, self._timing = cluster, clock, place, timing
        self._identity, self._roster, self._operator_of, self._changed = identity, roster, operator_of, changed
        self._lives = 0
        self._not_before = float("-inf")
        self._stop = asyncio.Event()
        self.operator: App | None = None
        """The operator of the shard here; None where there is none."""
        self._work: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._campaign: asyncio.Task[None] | None = None
        self._election = self._elected()

    @property
    def leads(self) -> bool:
        """Whether this replica holds the shard's Lease."""
        return self._election.won.is_set() and self._work is not None

    @property
    def heard(self) -> bool:
        """Whether it is known who holds it."""
        return self._election.heard

    @property
    def ready(self) -> bool:
        """Whether it could be taken over at once."""
        return self.operator is not None and self.operator.filled.is_set() and not self._stop.is_set() and not self.leads

    @property
    def tenure(self) -> Tenure:
        """Who holds it, by the name under which the roster knows replicas."""
        holder = self._election.holder
        # Of what was held in an earlier life here, the Lease still has to run out.
        return Tenure(holder.rpartition("_")[2].partition(".")[0], self._election.vacant())

    def prepare(self) -> None:
        """Have an operator ready, which takes the Lease as soon as that lets it."""
        if self.operator is None and self._clock.monotonic() >= self._not_before:
            log.info("prepares for a shard", shard=self.shard.index, holder=self._election.holder or "nobody")
            assert self._campaign is not None
            fence = Both(self._election, self._roster)
            terms = Terms(shard=self.shard, election=self._election, fence=fence, campaign=self._campaign)
            self._stop = asyncio.Event()
            self.operator = self._operator_of(terms)
            self._work = asyncio.create_task(self._run(self.operator.run(self._stop)), name=f"shard {self.shard.index}")
            self._watch = asyncio.create_task(self._tell_when_filled(self.operator), name=f"shard {self.shard.index} is filled")

    def hand_over(self) -> None:
        """Give it up: what is under way ends, and then the Lease is released."""
        if self.operator is not None and not self._stop.is_set():
            log.info("hands a shard over", shard=self.shard.index)
            self._stop.set()

    def let_be(self) -> None:
        """Keep nothing for it: it is another replica's, and that one is well."""
        if self.operator is not None and not self._stop.is_set():
            log.info("need not be ready for a shard any more", shard=self.shard.index)
            self._stop.set()

    def tend(self) -> bool:
        """Take note of an operator that has ended; return whether one has.

        Raises:
            Exception: whatever has ended it, but for another replica's taking its Lease.
        """
        self._begin()
        if self._work is None:
            if self._campaign is not None and self._campaign.done():
                # It has no end but by a bug, which ends the process.
                self._campaign.result()
            return False
        if not self._work.done():
            return False
        work, self._work, self.operator = self._work, None, None
        if self._watch is not None:
            self._watch.cancel()
        self._campaign, self._election = None, self._elected()
        self._begin()
        try:
            work.result()
        except Deposed as error:
            self._not_before = self._clock.monotonic() + AGAIN_SECONDS
            log.warning("lost a shard", shard=self.shard.index, cause=str(error))
        return True

    async def close(self) -> None:
        """End all of it."""
        self._stop.set()
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)
        tasks = [task for task in (self._watch, self._campaign) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        if self._campaign is None:
            self._campaign = asyncio.create_task(self._election.run(), name=f"election for shard {self.shard.index}")

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        with structlog.contextvars.bound_contextvars(shard=self.shard.index):
            try:
                await work
            finally:
                self._changed()

    async def _tell_when_filled(self, operator: App) -> None:
        await operator.filled.wait()
        self._changed()
        self._election.reconsider()

    def _elected(self) -> Election:
        self._lives += 1
        return Election(
            self._cluster,
            clock=self._clock,
            place=self._place,
            identity=self._identity(self._lives),
            timing=self._timing,
            wants=lambda: self.ready and self._roster.remaining() > 0,
        )
