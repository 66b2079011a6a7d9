"""A mail server on loopback: it speaks SMTP with STARTTLS and a login, keeps what it was sent, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

from unit.notifications.receiver import ended


def certificate(folder: Path, name: str = "localhost") -> SSLContext:
    """Make a certificate, `ca.crt`, and return what a server with it speaks."""
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-days", "2")
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    subprocess.run(["openssl", "req", "-x509", *key, "-out", "ca.crt", *subject], cwd=folder, check=True, capture_output=True)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "ca.key")
    return context


class PostOffice:
    """Keeps mail.

    Args:
        context: what it speaks after STARTTLS; None where it has none.
    """

    def __init__(self, context: SSLContext | None = None) -> None:
        self.context = context
        self.got: list[tuple[EmailMessage, list[str], bool]] = []
        """Each mail, whom it is to, and whether it came encrypted."""
        self.logins: list[str] = []
        self.replies: dict[str, str] = {}
        """What is said to a command that begins so, in place of the usual."""
        self.drips = ""
        self.open_ones: list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]] = []
        self.tries = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tries += 1
        self.open_ones.append((asyncio.current_task(), writer))
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients, encrypted = list[str](), False
        await self._say(writer, "", "220 localhost ESMTP")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            line = verb + line[len(verb) :]
            if self.drips and line.startswith(self.drips):
                await self._drip(writer)
            match verb:
                case "EHLO":
                    offers = ["250-localhost"] + (["250-STARTTLS"] if self.context and not encrypted else ["250-AUTH PLAIN"])
                    await self._say(writer, line, "\r\n".join([*offers, "250 8BITMIME"]))
                case "STARTTLS":
                    assert self.context is not None
                    await self._say(writer, line, "220 go ahead")
                    await writer.start_tls(self.context)
                    encrypted = True
                case "AUTH":
                    self.logins.append(base64.b64decode(line.split(" ")[2]).decode())
                    await self._say(writer, line, "235 welcome")
                case "RCPT":
                    if not any(line.startswith(begin) for begin in self.replies):
                        recipients.append(line.split("<")[1].split(">")[0])
                    await self._say(writer, line, "250 ok")
                case "DATA":
                    if await self._say(writer, line, "354 go ahead"):
                        await self._data(reader, writer, recipients, encrypted=encrypted)
                case "QUIT":
                    return
                case _:
                    await self._say(writer, line, "250 ok")

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: list[str], *, encrypted: bool) -> None:
        data = (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
        if await self._say(writer, ".", "250 taken"):
            mail = message_from_bytes(data, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.got.append((mail, [*to], encrypted))
        to.clear()

    async def _say(self, writer: asyncio.StreamWriter, to: str, usual: str) -> bool:
        """Answer a command; return whether as usual."""
        other = next((reply for begin, reply in self.replies.items() if (to or "greeting").startswith(begin)), None)
        writer.write(f"{other or usual}\r\n".encode())
        await writer.drain()
        return other is None

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"2")
            await writer.drain()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_post_office(context: SSLContext | None = None, *, tls: bool = False) -> AsyncIterator[PostOffice]:
    """Run a mail server; with `tls` it is encrypted from the first byte."""
    office = PostOffice(None if tls else context)
    server = await asyncio.start_server(office.serve, "127.0.0.1", 0, ssl=context if tls else None)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()
        await ended(office.open_ones)
