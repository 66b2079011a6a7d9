"""What is said where a channel could not be told of something: by an Event, since the outbox would tell that channel, too."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert
from tidegate.engine.words import words


@dataclass(frozen=True)
class NotificationDropped(Alert):
    """A channel could not be told of something, and is not told any more."""

    id = "notification-dropped"
    reason = EventReason.NOTIFICATION_DROPPED
    channel: str
    event: str
    number: int
    why: str


@words.register
def _(it: NotificationDropped) -> str:
    return f"Channel {it.channel} was not told of {it.event} (transition {it.number}): {it.why}"
