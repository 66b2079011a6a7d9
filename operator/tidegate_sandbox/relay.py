"""The way into a sandbox's network from outside of it: TCP connections, handed on byte by byte.

A socket keeps the network that it was opened in. The launcher opens the listening sockets before it leaves the
machine's network for the sandbox's own; here, inside, connections made to them arrive and are handed on.
"""

import asyncio
import contextlib
import socket

_CHUNK = 64 * 1024


def listen() -> socket.socket:
    """Return a socket that listens on a free port of the machine's loopback interface."""
    return socket.create_server(("127.0.0.1", 0))


async def serve(outside: socket.socket, port: int) -> None:
    """Hand on connections that arrive at a socket to a port of the sandbox, until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()

    server = await asyncio.start_server(connected, sock=outside)
    async with server:
        await server.serve_forever()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end; the other goes on, as a client that has sent its request waits for the answer."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
