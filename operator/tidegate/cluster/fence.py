"""What keeps a process from writing once it leads no more: looked at as late as can be before each write."""

from __future__ import annotations

import socket
from typing import Any, Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import AddrInfoType
from aiohttp.payload import BytesPayload

from tidegate.cluster.errors import Fenced


class Fence(Protocol):
    """Says for how long writes may begin, and how much longer they may take."""

    def remaining(self) -> float:
        """Return for how many seconds writes may still begin; 0.0 where none may."""

    @property
    def grace(self) -> float:
        """Seconds after that for which a write that has begun cannot meet the writes of another process."""


def ends_within(fence: Fence, *, verb: str, path: str) -> float:
    """Return within how many seconds a write that begins now must have ended.

    Raises:
        Fenced: it must not begin.
    """
    remaining = fence.remaining()
    if remaining <= 0:
        raise refusal(verb=verb, path=path)
    return remaining + fence.grace


def refusal(*, verb: str, path: str) -> Fenced:
    """Return the error of a write that is not sent."""
    return Fenced(0, "Fenced", "not sent: this process does not lead", verb=verb, path=path)


class Body(BytesPayload):
    """A body that is not sent any more once the fence is down.

    aiohttp asks for it when it has a connection: whatever a request had to wait for lies behind it then, and nothing of it, headers
    included, has left the process.

    Args:
        value: the body.
        fence: says whether it may be sent.
        content_type: of the body.
    """

    def __init__(self, value: bytes, fence: Fence, *, content_type: str) -> None:
        super().__init__(value, content_type=content_type)
        self._fence = fence
        self.withheld = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send it.

        Raises:
            OSError: the fence is down; nothing was sent.
        """
        if self._fence.remaining() <= 0:
            self.withheld = True
            raise OSError("this process does not lead any more")
        await super().write_with_length(writer, content_length)


class Sockets:
    """Makes sockets whose system gives up on what it could not deliver in time.

    Bytes that were handed to the system are sent again and again while the network is away, whether the process runs or not.

    Args:
        within: seconds after which what was not acknowledged is dropped, and the connection with it (Linux).
    """

    def __init__(self, within: float) -> None:
        self._milliseconds = max(1, int(within * 1000))

    def __call__(self, address: AddrInfoType) -> socket.socket:
        """Make a socket for an address, as aiohttp wants it."""
        family, kind, protocol, *_ = address
        made = socket.socket(family=family, type=kind, proto=protocol)
        option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, self._milliseconds)
        return made
