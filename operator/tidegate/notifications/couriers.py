"""What brings a channel's messages to its receiver: a POST for most kinds; mail, which is imported where a channel needs it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tidegate.notifications.config import ChannelConfig, Kind
from tidegate.notifications.formats import FORMATS
from tidegate.notifications.message import Message
from tidegate.notifications.sending import Answer, Sender


class Courier(Protocol):
    """Delivers messages of one channel."""

    async def deliver(self, message: Message, now: datetime) -> Answer:
        """Make one try, bounded in time.

        Args:
            message: what there is to be told.
            now: the time, with zone.

        Raises:
            SecretError: a file cannot be used.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class Post:
    """Delivers by HTTP.

    Args:
        channel: the channel.
    """

    def __init__(self, channel: ChannelConfig) -> None:
        self._channel, self._format, self._sender = channel, FORMATS[channel.type], Sender(channel)

    async def deliver(self, message: Message, now: datetime) -> Answer:
        """Make one try."""
        return await self._sender.send(self._format(self._channel, message, now), now)

    async def close(self) -> None:
        """Close all connections."""
        await self._sender.close()


def courier_of(channel: ChannelConfig) -> Courier:
    """Return what delivers a channel's messages."""
    if channel.type is Kind.EMAIL:
        from tidegate.notifications.mail import Mail

        return Mail(channel)
    return Post(channel)
