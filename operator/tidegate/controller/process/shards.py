"""Several replicas that share the Releases out: of each shard an operator of its own, where this replica works on it.

An operator of a shard is what a single one is, with the Releases of that shard alone and a Lease of its own: all that it writes
stands behind that Lease. So a shard is taken over as a standby takes over, and handed over as a leader that ends hands over. What
is to be prepared and to be given up is decided in `runtime/sharding.py`.
"""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import Callable, Iterator

import structlog

from tidegate import __version__
from tidegate.cluster.connection import Connection
from tidegate.cluster.election import Place
from tidegate.cluster.roster import Roster, Word
from tidegate.controller.process.app import App
from tidegate.controller.process.config import Config, warn
from tidegate.controller.process.follower import Edge
from tidegate.controller.process.http import Check, Endpoints
from tidegate.controller.process.leadership import Terms, electorate, instance, place_of, timing_of
from tidegate.controller.process.parts import Parts
from tidegate.controller.process.shard_metrics import ShardMetrics
from tidegate.controller.process.slot import Slot
from tidegate.runtime.clock import BootClock
from tidegate.runtime.errors import Terminal
from tidegate.runtime.sharding import Duties, Patience, Shard, duties

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
"""Between looks at what there is to do about shards; what other replicas say comes in every few seconds."""
LEAVE_SECONDS = 60.0
"""What others get, when this replica ends, to become ready for what it holds, while it works on; then it gives it up all the same.

The pod's grace period has to be longer, by what it takes to end.
"""


class Shards:
    """One replica of several that share the Releases out.

    Args:
        config: the operator's configuration.
        connection: the API server.
        edge: follows Releases.

    Raises:
        Terminal: there is no Lease that replicas could share by.
    """

    def __init__(self, config: Config, connection: Connection, edge: Edge) -> None:
        place = place_of(config.leader_election)
        if place is None:
            raise Terminal(
                "shards: more than one needs leader election: set leaderElection.enabled, and its namespace outside of a pod"
            )
        self._config, self._connection, self._edge = config, connection, edge
        self._clock, self._timing = BootClock(), timing_of(config.leader_election)
        self._metrics = ShardMetrics(config.shards)
        self._electorate = electorate(connection, observe=self._metrics.requested)
        self._member = uuid.uuid4().hex[:12]
        self._leaving = False
        self._news = asyncio.Event()
        self._roster = Roster(
            self._electorate,
            clock=self._clock,
            place=place,
            timing=self._timing,
            member=self._member,
            count=config.shards,
            says=self._word,
        )

        self._slots = [self._slot(Shard(index, config.shards), place) for index in range(config.shards)]
        self._parts = Parts(passing=frozenset(), stop="shards")
        self._endpoints = Endpoints(
            host=config.http_host,
            port=config.http_port,
            probe_port=config.probe_port,
            alive=self._alive,
            ready=self._ready,
            registry=self._metrics.registry,
            refresh=self._refresh,
            clock=self._clock,
        )

    def _slot(self, shard: Shard, place: Place) -> Slot:
        def identity(lives: int) -> str:
            # Each life of an operator is another holder: what the one before it has sent may still be on its way.
            return f"{instance()}_{self._member}.{lives}"

        def operator_of(terms: Terms) -> App:
            return App(self._config, self._connection, self._edge, terms)

        return Slot(
            shard,
            self._electorate,
            clock=self._clock,
            place=Place(place.namespace, f"{place.name}-shard-{shard.index}"),
            timing=self._timing,
            identity=identity,
            roster=self._roster,
            operator_of=operator_of,
            changed=self._changed,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Take part until told to stop.

        Raises:
            Terminal: the operator cannot serve; the message says why.
            Deposed: replicas with another number of shards work now.
            Exception: whatever ended one of its parts; the process must end, and be started again.
        """
        try:
            await self._endpoints.start()
            log.info(
                "listening", version=__version__, server=self._connection.server, shards=len(self._slots), **self._endpoints.ports
            )
            warn(self._config)
            self._parts.start("roster of replicas", self._roster.run())
            self._parts.start("shards", self._serve(stop))
            await self._parts.first_end()
        finally:
            log.info("stopping")
            await asyncio.gather(*(slot.close() for slot in self._slots))
            await self._parts.close()
            await self._roster.leave()
            await self._endpoints.stop()
            await self._electorate.close()

    async def _serve(self, stop: asyncio.Event) -> None:
        """Do what there is to do about shards until told to stop, and all that this replica held is in other hands."""
        ending = asyncio.create_task(self._leave_on(stop), name="wish to end")
        deadline = float("inf")
        try:
            while True:
                self._news.clear()
                for slot in self._slots:
                    if slot.tend():
                        _collect()
                if self._leaving:
                    deadline = min(deadline, self._clock.monotonic() + LEAVE_SECONDS)
                    if self._clock.monotonic() >= deadline or not any(slot.leads for slot in self._slots):
                        return
                if self._roster.won.is_set() and all(slot.heard for slot in self._slots):
                    self._do(self._duties())
                await self._clock.sleep(TICK_SECONDS, wake=self._news)
        finally:
            ending.cancel()

    async def _leave_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._leaving = True
        self._changed()

    def _duties(self) -> Duties:
        patience = Patience(doubt=self._timing.duration / 2, death=self._timing.duration)
        tenures = [slot.tenure for slot in self._slots]
        return duties(self._member, self._roster.members(), tenures, patience)

    def _do(self, duty: Duties) -> None:
        for slot in self._slots:
            index = slot.shard.index
            if index in duty.hand_over:
                slot.hand_over()
            elif index in duty.prepare:
                slot.prepare()
            elif not slot.leads:
                slot.let_be()

    def _changed(self) -> None:
        """Something is to be told to the other replicas, or to be done."""
        self._news.set()
        self._roster.reconsider()

    def _word(self) -> Word:
        return Word(self._leaving, frozenset(slot.shard.index for slot in self._slots if slot.ready))

    # What is told.

    def _operators(self) -> Iterator[tuple[int, App]]:
        return ((slot.shard.index, slot.operator) for slot in self._slots if slot.operator is not None)

    def _alive(self) -> list[Check]:
        return [*self._of_each(lambda one: one.alive())]

    def _ready(self) -> list[Check]:
        taken, count = self._roster.health(), len(self._slots)
        mine = ", ".join(str(slot.shard.index) for slot in self._slots if slot.leads) or "none"
        words = f"works on {mine} of {count} shards; {taken.words}" if self._roster.won.is_set() else taken.words
        # One that only prepares is in nobody's way: it is ready for others when it says so to them.
        return [Check("shards", taken.sound, words), *self._of_each(lambda one: one.ready() if one.leads else [])]

    def _of_each(self, checks: Callable[[App], list[Check]]) -> Iterator[Check]:
        for index, operator in self._operators():
            yield from (Check(f"shard {index}: {one.name}", one.ok, one.words) for one in checks(operator))

    def _refresh(self) -> None:
        operators = dict(self._operators())
        for operator in operators.values():
            operator.refresh()
        for slot in self._slots:
            self._metrics.show(slot.shard.index, held=slot.leads, vacant=slot.tenure.vacant, operator=slot.operator)


def _collect() -> None:
    """Have the memory of an operator that has ended: what it was made of was frozen with all else when it began."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
