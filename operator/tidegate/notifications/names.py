"""Names of hosts, looked up in threads of each channel's own: a name server that hangs keeps nobody else's names waiting.

The loop's own threads are few, and the API server's name is looked up there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from aiohttp.abc import AbstractResolver, ResolveResult

Found = list[
    tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
]


class Resolver(AbstractResolver):
    """Looks names up, one at a time. Nobody waits for the thread when the process ends."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: there are none, or nobody knows.
        """
        async with self._turn:
            future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
            arguments = (future, host, port, family)
            threading.Thread(target=_look_up, args=arguments, name=f"name of {host}", daemon=True).start()
            # The library lets a look-up go on that nobody waits for any more, so retries do not leave one thread each.
            found = await future
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=proto, flags=flags)
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def _look_up(future: asyncio.Future[Found], host: str, port: int, family: socket.AddressFamily) -> None:
    loop = future.get_loop()
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except OSError as error:
        _tell(loop, future, error)
    else:
        _tell(loop, future, [*found])


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Found], outcome: Found | OSError) -> None:
    def settle() -> None:
        if future.done():
            return
        if isinstance(outcome, OSError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    # The process may have ended its loop meanwhile.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)
