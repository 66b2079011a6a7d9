"""Sinks that tell people and machines outside of the cluster: one for each channel of the operator's configuration.

Without channels nothing of what they need is imported. What a channel gives up is told by an Event on the Release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.cluster.events import EventType
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile.sinks.sink import Means, Sink
from tidegate.engine.plan import notice_of
from tidegate.engine.undelivered import NotificationDropped

if TYPE_CHECKING:
    from tidegate.notifications.message import Message


def channels(means: Means) -> list[Sink]:
    """Make all channels."""
    if not means.notifications.channels:
        return []
    from tidegate.notifications.channel import Channel

    return [
        Channel(
            config,
            means.notifications,
            clock=means.clock,
            count=means.told,
            moved=lambda namespace, name: means.moved(ReleaseKey(namespace, name)),
            dropped=lambda message, why, name=config.name: _dropped(means, name, message, why),  # type: ignore[misc]
        )
        for config in means.notifications.channels
    ]


def _dropped(means: Means, channel: str, message: Message, why: str) -> None:
    """Tell by an Event that a channel was not told of something: the outbox would tell that channel, too."""
    notice = notice_of(NotificationDropped(channel, message.event, message.number, why))
    metadata = {"namespace": message.namespace, "name": message.release, "uid": message.uid}
    release = {"apiVersion": RELEASES.api_version, "kind": RELEASES.kind, "metadata": metadata}
    means.recorder.record(release, EventType.WARNING, notice.reason, notice.message)
