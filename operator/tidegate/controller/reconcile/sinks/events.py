"""The first sink: Events on the Release, which are what people read with kubectl.

An Event is named after its content, so one that is told twice is one. That is why nothing is ever written to the status for Events
alone at once, and why they do not wait for it: people hear of a verdict that could not be stored, too. That they are written is
noted with the next heartbeat: the API server forgets Events after an hour, and whoever starts later is not to write them once more.
"""

from __future__ import annotations

from datetime import timedelta

from tidegate.api.outbox import TransitionStatus
from tidegate.cluster.events import EventType, Recorder
from tidegate.controller.reconcile.sinks.sink import Means
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object

NEWS = timedelta(days=1)
"""What is older is no news, told or not. Clocks are wrong by less: who takes over may be hours ahead of whoever has decided."""


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

    def wants(self, release: Object, event: str, type_: str) -> bool:  # noqa: ARG002 - everything is an Event
        """Whether it is to be told: of all that happens."""
        return True

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:
        """Record one."""
        if again and self._old(transition):
            return
        one = transition
        self._recorder.record(release, _type(one), one.reason, one.message, at=one.at, again=again)

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        """Whether it is known to be written, or is no news any more."""
        if self._old(transition):
            return True
        return self._recorder.written(release, _type(transition), transition.reason, transition.message)

    def start(self) -> None:
        """Begin to write."""
        self._recorder.start()

    async def stop(self, *, within: float) -> None:
        """Write out what waits, for so many seconds."""
        await self._recorder.stop(within=within)

    def _old(self, transition: TransitionStatus) -> bool:
        return abs(self._clock.now() - transition.at) >= NEWS


def _type(transition: TransitionStatus) -> EventType:
    return EventType.WARNING if transition.type == EventType.WARNING.value else EventType.NORMAL


def events(means: Means) -> Events:
    """Make the sink."""
    return Events(means.recorder, clock=means.clock)
