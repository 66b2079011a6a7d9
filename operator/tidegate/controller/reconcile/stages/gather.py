"""First stage of a pass: all that the decision may know, as it is at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from tidegate.api.status import ReleaseStatus
from tidegate.controller.looks.looks import Arrival
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.controller.observe.informers import Prerequisites
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.whole import with_whole
from tidegate.controller.reconcile.groups import Mode, Sources, Targets, Timers
from tidegate.controller.reconcile.memory import Memory
from tidegate.engine.repair import moved
from tidegate.engine.snapshot import Snapshot
from tidegate.runtime.clock import Moment
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Case:
    """What a pass is about.

    Attributes:
        key: which Release.
        release: the Release as stored.
        memory: what is kept of it between passes.
        prerequisites: what is in its way, and is none of its own objects.
    """

    key: ReleaseKey
    release: Object
    memory: Memory
    prerequisites: Prerequisites


@dataclass(frozen=True)
class Gathered:
    """What a decision is made on.

    Attributes:
        case: what the pass is about.
        objects: the raw objects.
        before: the status until now.
        arrivals: readings that have come in.
        snapshot: what the engine sees of all that.
        at: when.
    """

    case: Case
    objects: ReleaseObjects
    before: ReleaseStatus
    arrivals: tuple[Arrival, ...]
    snapshot: Snapshot
    at: Moment


class Gather:
    """Gathers what a decision is made on."""

    def __init__(self, sources: Sources, targets: Targets, timers: Timers, mode: Mode) -> None:
        self._sources, self._mode = sources, mode
        self._cluster, self._outbox, self._clock = targets.cluster, targets.outbox, timers.clock
        self._records = targets.records

    async def whole(self, case: Case) -> Gathered | None:
        """Gather; what the store lacks, as nobody has needed it before, is read first.

        Returns:
            What was gathered; None where the Release is gone.

        Raises:
            ApiError: something could not be read.
            BareError: more and more turned out to be needed.
            Terminal: the spec is not valid, and none that was valid is known; the message names the field.
        """
        return await with_whole(self._cluster, self._sources.store, lambda: self.at_hand(case))

    def at_hand(self, case: Case) -> Gathered | None:
        """Gather of what the store has.

        Raises:
            BareError: it lacks something.
            Terminal: as `whole`.
        """
        key, memory, sources = case.key, case.memory, self._sources
        now = Moment.of(self._clock)
        before = self._before(case, now)
        objects = sources.objects(key, before)
        if objects is None:
            return None
        arrivals = sources.looks.waiting(key)
        snapshot = sources.gatherer.snapshot(
            objects,
            now=now.wall,
            status=before,
            readings=tuple(arrival.reading for arrival in arrivals),
            blockers=(*case.prerequisites.blockers, *([memory.trouble] if memory.trouble else ())),
            keep_held=self._mode.keep_held(),
            answers=sources.questions.answers(key, objects.services),
            known_since=now.wall_at(memory.since),
            entitled=sources.questions.entitled(key),
        )
        return Gathered(case, objects, before, arrivals, snapshot, now)

    def known(self, case: Case) -> ReleaseStatus:
        """Return the status as it is known; what an earlier life of the operator may have left untold is told again."""
        memory = case.memory
        started = memory.status is None
        status = memory.known(case.release, self._clock.monotonic())
        if started:
            self._outbox.tell_again(case.release, memory)
        return self._records.settled(case.release, self._outbox.settled(case.release, status))

    def _before(self, case: Case, now: Moment) -> ReleaseStatus:
        """Return the status to decide on; after a step of the host's clock, with its moments moved along."""
        before, key, memory = self.known(case), case.key, case.memory
        step = memory.stepped(now.offset)
        if not step or before.rollout is None:
            return before
        log.warning("the host's clock was stepped", seconds=round(step, 3), release=key.name, namespace=key.namespace)
        memory.status = moved(before, timedelta(seconds=step))
        self._sources.looks.recount(key)
        return memory.status
