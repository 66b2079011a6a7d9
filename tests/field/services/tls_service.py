"""A service that speaks TLS and nothing else: what a plain request gets from it is an end of the connection.

TLS_FOLDER has `apiserver.crt` and `apiserver.key`, which a sandbox's API server has made for itself; they are for
`kubernetes.default.svc`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl

PORT = 8443


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    version = os.environ.get("TIDEGATE_IMAGE_TAG", "dev").encode()
    try:
        while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET "):
            head = b"HTTP/1.1 200 OK\r\nx-version: %b\r\ncontent-length: %d\r\n\r\n" % (version, len(version))
            writer.write(head + version)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    writer.close()


async def main() -> None:
    """Serve until told to end, and two seconds longer."""
    folder = os.environ["TLS_FOLDER"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/apiserver.crt", f"{folder}/apiserver.key")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await asyncio.start_server(_answer, os.environ["TIDEGATE_POD_IP"], PORT, ssl=context)
    await ended.wait()
    await asyncio.sleep(2)


if __name__ == "__main__":
    asyncio.run(main())
