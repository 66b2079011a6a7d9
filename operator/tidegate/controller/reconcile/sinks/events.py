"""The first sink: Events on the Release, which are what people read with kubectl.

An Event is named after its content, so one that is told twice is one. That is why nothing is ever written to the status for Events
alone at once, and why they do not wait for it: people hear of a verdict that could not be stored, too. That they are written is
noted with the next heartbeat: the API server forgets Events after an hour, and whoever starts later is not to write them once more.

That a rollout starts waits some seconds for its first weight, and is then one Event with it, whose message has both sentences. No
other sink joins anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.outbox import TransitionStatus
from tidegate.cluster.events import MESSAGE_BYTES, SERIES, EventType, Recorder
from tidegate.controller.reconcile.sinks.sink import Means
from tidegate.engine.transitions import RolloutStarted, WeightRaised
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object

NEWS = timedelta(days=1)
"""What is older is no news, told or not. Clocks are wrong by less: who takes over may be hours ahead of whoever has decided."""
TOGETHER = timedelta(seconds=10)
"""For so long the Event of a start waits for the first weight: a route takes some three seconds, and quick pods as many."""
LATE = timedelta(seconds=5)
"""So much later at most a weight of that time is heard of. A start that is told alone before has its sentence told twice."""
_NEVER = 3600.0
"""Seconds until somebody looks whether there is something to tell, where nothing is held back."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A transition whose Event waits for the next one.

    Attributes:
        release: what it has happened to.
        transition: what.
        again: an earlier life of the operator may have told it.
        until: when it is told alone, on the monotonic clock.
    """

    release: Object
    transition: TransitionStatus
    again: bool
    until: float


class Events:
    """Writes Events.

    Args:
        recorder: writes them.
        clock: the time.
    """

    name = "events"
    early = True

    def __init__(self, recorder: Recorder, *, clock: Clock) -> None:
        self._recorder, self._clock = recorder, clock
        self._held: dict[str, _Held] = {}
        self._joined: OrderedDict[tuple[str, int], TransitionStatus] = OrderedDict()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wants(self, release: Object, event: str, type_: str) -> bool:  # noqa: ARG002 - everything is an Event
        """Whether it is to be told: of all that happens."""
        return True

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:
        """Record one, alone or with the one before it; or hold it back for the next one."""
        if again and self._old(transition):
            return
        uid = release["metadata"]["uid"]
        held = self._held.pop(uid, None)
        if held is not None and (both := _both(held.transition, transition)) is not None:
            for one in (held.transition, transition):
                self._joined[uid, one.number] = both
            while len(self._joined) > SERIES:
                self._joined.popitem(last=False)
            self._record(release, both, again=again, former=held.transition if held.again else None)
            return
        if held is not None:
            self._record(held.release, held.transition, again=held.again)
        if transition.id == RolloutStarted.id:
            self._held[uid] = _Held(release, transition, again, self._alone_from(transition))
            self._wake.set()
        else:
            self._record(release, transition, again=again)

    def _alone_from(self, start: TransitionStatus) -> float:
        """Return when a start is told alone, on the monotonic clock: in each life of the operator at the same time, by its own."""
        most = TOGETHER + LATE
        left = min(most, max(timedelta(), start.at + most - self._clock.now()))
        return self._clock.monotonic() + left.total_seconds()

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        """Whether it is known to be written, or is no news any more."""
        if self._old(transition):
            return True
        uid = release["metadata"]["uid"]
        held = self._held.get(uid)
        if held is not None and held.transition.number == transition.number:
            return False
        one = self._joined.get((uid, transition.number), transition)
        return self._recorder.written(release, _type(one), one.reason, one.message)

    def start(self) -> None:
        """Begin to write."""
        self._recorder.start()
        self._task = asyncio.create_task(self._run(), name="events that wait for the next")

    async def stop(self, *, within: float) -> None:
        """Write out what waits, for so many seconds."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self.tell_held()
        await self._recorder.stop(within=within)

    def tell_held(self, until: float = float("inf")) -> None:
        """Record what is held back.

        Args:
            until: of what is told alone by then, on the monotonic clock.
        """
        for uid, held in [*self._held.items()]:
            if held.until <= until:
                del self._held[uid]
                self._record(held.release, held.transition, again=held.again)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self.tell_held(now := self._clock.monotonic())
            due = min((held.until for held in self._held.values()), default=now + _NEVER)
            await self._clock.sleep(due - now, wake=self._wake)

    def _record(self, release: Object, one: TransitionStatus, *, again: bool, former: TransitionStatus | None = None) -> None:
        alone = (former.message, former.at) if former is not None else None
        self._recorder.record(release, _type(one), one.reason, one.message, at=one.at, again=again, former=alone)

    def _old(self, transition: TransitionStatus) -> bool:
        return abs(self._clock.now() - transition.at) >= NEWS


def _both(first: TransitionStatus, second: TransitionStatus) -> TransitionStatus | None:
    """Return a start and the first weight that it had soon after as one; None where they are two.

    It rests on nothing but the two, so that another life of the operator finds the Event that this one may have written.
    """
    if (first.id, second.id, second.number) != (RolloutStarted.id, WeightRaised.id, first.number + 1):
        return None
    message = f"{first.message}. {second.message}"
    soon = timedelta() <= second.at - first.at <= TOGETHER
    alike = (first.version, first.type) == (second.version, second.type)
    # What does not fit into an Event would be cut off.
    if not soon or not alike or len(message.encode()) > MESSAGE_BYTES:
        return None
    return TransitionStatus(
        number=second.number,
        id=first.id,
        reason=first.reason,
        type=first.type,
        message=message,
        version=first.version,
        at=second.at,
    )


def _type(transition: TransitionStatus) -> EventType:
    return EventType.WARNING if transition.type == EventType.WARNING.value else EventType.NORMAL


def events(means: Means) -> Events:
    """Make the sink."""
    return Events(means.recorder, clock=means.clock)
