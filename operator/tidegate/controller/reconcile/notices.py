"""Events of decisions: told once they are made, and told again after a crash that came between the status and its Events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from tidegate.api.edits import edited
from tidegate.api.status import EventStatus, ReleaseStatus
from tidegate.cluster.events import EventType, Recorder
from tidegate.engine.plan import Notice
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)

FORGOTTEN = timedelta(hours=1)
"""How long the API server keeps Events by default: one that is older has been told and forgotten, or is no news any more."""


class Notices:
    """Records what was decided as Events on the Release, and knows which of those that its status keeps are written.

    Args:
        recorder: writes Events.
        clock: the time.
    """

    def __init__(self, recorder: Recorder, *, clock: Clock) -> None:
        self._recorder, self._clock = recorder, clock

    def tell(self, release: Object, notices: Sequence[Notice], at: datetime) -> None:
        """Record Events and log them.

        Args:
            release: what they are about.
            notices: the Events.
            at: when they were decided.
        """
        metadata = release["metadata"]
        for notice in notices:
            self._recorder.record(release, EventType(notice.type.value), notice.reason, notice.message, at=at)
            log.info(notice.message, reason=notice.reason, release=metadata["name"], namespace=metadata["namespace"])

    def tell_again(self, release: Object, status: ReleaseStatus) -> None:
        """Record the Events that a status keeps, as far as an earlier life of the operator has not written them."""
        for event in self._fresh(status):
            self._recorder.record(release, _type(event), event.reason, event.message, at=event.at, again=True)

    def unwritten(self, release: Object, status: ReleaseStatus) -> ReleaseStatus:
        """Return a status that keeps no more Events than those that may not be written yet."""
        kept = tuple(
            event for event in self._fresh(status) if not self._recorder.written(release, _type(event), event.reason, event.message)
        )
        return status if kept == status.last_events else edited(status, last_events=kept)

    def _fresh(self, status: ReleaseStatus) -> tuple[EventStatus, ...]:
        if not status.last_events:
            return ()
        now = self._clock.now()
        return tuple(event for event in status.last_events if abs(now - event.at) < FORGOTTEN)


def _type(event: EventStatus) -> EventType:
    return EventType.WARNING if event.type == EventType.WARNING.value else EventType.NORMAL
