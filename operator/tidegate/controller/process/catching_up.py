"""What whoever takes a lease over does first: see what the leader before has done, so that it goes on from there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from tidegate.cluster.election import Election
from tidegate.cluster.reflector import State
from tidegate.controller.observe.informers import Informers
from tidegate.controller.observe.relations import Relations
from tidegate.controller.observe.releases import Releases
from tidegate.controller.process.handover import knows
from tidegate.controller.process.parts import Parts
from tidegate.runtime.sharding import Shard
from tidegate.runtime.store import Store

log = structlog.get_logger(__name__)

LOOK_ROUND = "look round"
"""Name of the part that lists and watches anew; it comes to an end by itself."""
KNOW_SECONDS = 0.02
"""Between looks whether the last of what a leader has left word of has come in."""
CATCH_UP_SECONDS = 5.0
"""What watches get to tell what they have missed, when this process takes over; then it goes on with what it knows, as it would if
it had lost them while it worked."""


@dataclass(frozen=True)
class CatchingUp:
    """Sees what was done before: the last writes of another may not have come in by the watches, which may be dead, too.

    Attributes:
        store: the caches.
        relations: what is watched.
        informers: the watches.
        releases: lists of Releases.
        shard: the Releases that are of concern.
        one_watch: whether there is one watch of each kind, so that one version stands for all that was seen before it.
    """

    store: Store
    relations: Relations
    informers: Informers
    releases: Releases
    shard: Shard
    one_watch: bool

    async def behind(self, election: Election, parts: Parts) -> None:
        """Catch up with whoever had the lease before.

        What has been decided stands in the statuses, so these are listed. Of everything else each watch is recreated, which tells
        what was missed; a write that rests on less is refused by the tests that it carries. Neither is waited for where the leader
        has left word by which everything is known already.

        Args:
            election: that was won.
            parts: of the process.
        """
        looking = parts.start(LOOK_ROUND, self._look_round())
        while not looking.done():
            if self.one_watch and knows(self.store, election.note, self.relations, self.shard):
                log.info("nothing was missed")
                return
            await asyncio.wait({looking}, timeout=KNOW_SECONDS)

    async def _look_round(self) -> None:
        began = asyncio.get_running_loop().time()
        told = {State.ABSENT, State.FORBIDDEN}
        watches = [reflector for reflector in self.informers.reflectors if reflector.health.state not in told]
        renewed, _ = await asyncio.gather(
            asyncio.gather(*(reflector.renew(CATCH_UP_SECONDS) for reflector in watches)), self.releases.first()
        )
        late = [reflector.resource.qualified for reflector, accepted in zip(watches, renewed, strict=True) if not accepted]
        log.info("caught up", seconds=round(asyncio.get_running_loop().time() - began, 3), late=late)
