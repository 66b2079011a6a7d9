"""A listening socket that lets in a bounded number of connections, and none for long that does not get on."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from tidegate.runtime.errors import Terminal

BACKLOG = 32
"""Connections that wait to be let in: a burst of them takes so many file descriptors more, for one turn of the loop."""
HEADERS: dict[str, Any] = {"max_line_size": 2048, "max_headers": 32}
"""What of a request is kept in memory at most, in bytes and lines: no probe and no scrape sends as much."""

_LOG = logging.getLogger("tidegate.http")


def _of_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about our own failure: of requests that are none, anybody can send as many as they like."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_LOG.addFilter(_of_ours)


@dataclass(frozen=True)
class Bounds:
    """What a door lets in.

    Attributes:
        connections: open ones; for one more, that which has been without progress for longest is closed.
        headers: seconds from the first byte of a request, or from the connection, until its headers are there.
        keep_alive: seconds from a request, within which its answer is taken and the next request begins.
        field: bytes of a header at most.
    """

    connections: int = 64
    headers: float = 5.0
    keep_alive: float = 15.0
    field: int = 4096


class Door:
    """Listens for an application.

    Args:
        app: what answers.
        bounds: what is let in.
        stop_seconds: what requests that are under way get when it closes.
    """

    def __init__(self, app: web.Application, *, bounds: Bounds, stop_seconds: float) -> None:
        self._bounds = bounds
        app.middlewares.append(self._note)
        limits = {**HEADERS, "max_field_size": bounds.field, "lingering_time": 0.0, "logger": _LOG}
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=stop_seconds, **limits)
        self._server: asyncio.Server | None = None
        # In the order of their last progress.
        self._visits: dict[Visit, None] = {}
        self._of: dict[asyncio.BaseProtocol, Visit] = {}

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._visits)

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen.

        Args:
            host: address to listen on.
            port: port; 0 takes a free one.
            tls: certificate and key to show; None for plain HTTP.

        Raises:
            Terminal: the address cannot be listened on.
        """
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(self._visit, host, port, backlog=BACKLOG, ssl=tls)
        except OSError as error:
            await self._runner.cleanup()
            raise Terminal(f"cannot listen on {host}:{port}: {error.strerror}") from error

    async def close(self) -> None:
        """Stop listening, and end what is open."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _visit(self) -> asyncio.Protocol:
        serve = self._runner.server
        assert serve is not None
        visit = Visit(self, cast("asyncio.Protocol", serve()), self._bounds)
        self._of[visit.served_by] = visit
        return visit

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take note that the headers of a request are there."""
        if (visit := self._of.get(request.protocol)) is not None:
            visit.asks()
        return await handler(request)

    def comes_whole(self, request: web.Request) -> None:
        """Take note that the body of a request is there, which came by itself: the time until the next one begins again."""
        if (visit := self._of.get(request.protocol)) is not None:
            visit.asks()

    def enters(self, visit: Visit) -> None:
        """Let a connection in, for which another one may have to go."""
        while len(self._visits) >= self._bounds.connections:
            next(iter(self._visits)).end()
        self._visits[visit] = None

    def gets_on(self, visit: Visit) -> None:
        """Take note of a connection's progress."""
        if visit in self._visits:
            del self._visits[visit]
            self._visits[visit] = None

    def leaves(self, visit: Visit) -> None:
        """Forget a connection."""
        self._visits.pop(visit, None)
        self._of.pop(visit.served_by, None)


class Visit(asyncio.Protocol):
    """One connection: what it says goes to the server's own protocol, by the clock.

    Args:
        door: by which it came.
        served_by: the protocol that serves it.
        bounds: how long it may take.
    """

    def __init__(self, door: Door, served_by: asyncio.Protocol, bounds: Bounds) -> None:
        self.served_by = served_by
        self._door, self._bounds = door, bounds
        self._transport: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None
        self._asking = True

    def asks(self) -> None:
        """Its request is there. What it takes to read the answer and to ask again is bounded from here."""
        self._asking = False
        self._door.gets_on(self)
        self._ends_in(self._bounds.keep_alive)

    def end(self) -> None:
        """Close it, whatever is under way: it has had its time, or has to make room."""
        self._door.leaves(self)
        if self._transport is not None:
            self._transport.abort()

    def _ends_in(self, seconds: float) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(seconds, self.end)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - of the base class
        self._transport = cast("asyncio.Transport", transport)
        self._door.enters(self)
        self._ends_in(self._bounds.headers)
        self.served_by.connection_made(transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if not self._asking:
            self._asking = True
            self._ends_in(self._bounds.headers)
        self.served_by.data_received(data)

    def eof_received(self) -> bool | None:  # noqa: D102
        return self.served_by.eof_received()

    def pause_writing(self) -> None:  # noqa: D102
        self.served_by.pause_writing()

    def resume_writing(self) -> None:  # noqa: D102
        self.served_by.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        if self._end is not None:
            self._end.cancel()
        self._door.leaves(self)
        self.served_by.connection_lost(exc)
