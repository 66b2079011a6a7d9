"""One delivery: bounded in time from the first byte to the last, without redirects, and told in words that quote nothing.

The address of a hook, what is sent and what comes back may all be secret: of what goes wrong, status and kind are told.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import aiohttp

from tidegate.api.base import format_duration
from tidegate.cluster.connection import proxy_from_environment, user_agent
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.names import Resolver
from tidegate.notifications.request import Request
from tidegate.notifications.secrets import SecretError

CONNECTIONS = 4
"""Deliveries of a channel that are under way at once."""
LONGEST_AFTER = 3600.0
"""Seconds that a receiver may ask to be left alone at most."""
FINAL = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})
"""What is said of a message, and not of who sends it or where to: another try would be answered likewise."""
_CURES = {
    HTTPStatus.UNAUTHORIZED: "check the token or key in its file",
    HTTPStatus.FORBIDDEN: "check the token or key in its file",
    HTTPStatus.NOT_FOUND: "check its address",
    HTTPStatus.GONE: "the hook was removed: make another one",
}


@dataclass(frozen=True)
class Answer:
    """What has become of a delivery.

    Attributes:
        delivered: the receiver has it.
        final: another try would not change that.
        partly: the receiver is there, and some of those it is for have it; the others are to be tried again.
        words: why it was not delivered.
        after: seconds that the receiver asks to be left alone; None where it does not ask.
    """

    delivered: bool = False
    final: bool = False
    partly: bool = False
    words: str = ""
    after: float | None = None


class Sender:
    """Sends requests of one channel.

    Args:
        channel: the channel.
    """

    def __init__(self, channel: ChannelConfig) -> None:
        self._channel = channel
        self._seconds = channel.timeout.total_seconds()
        self._session: aiohttp.ClientSession | None = None
        self._trusted: object = None

    async def send(self, request: Request, now: datetime) -> Answer:
        """Send a request.

        Args:
            request: what.
            now: the time, with zone: a receiver may say until when it wants to be left alone.

        Raises:
            SecretError: the CA bundle cannot be used.
        """
        session = await self._open()
        try:
            timeout = aiohttp.ClientTimeout(total=self._seconds)
            proxy = proxy_from_environment(request.url)
            posted = session.post(
                request.url, data=request.body, headers=request.headers, allow_redirects=False, timeout=timeout, proxy=proxy
            )
            # The status is enough: a body that drips, or has no end, is not waited for.
            async with posted as response:
                return _answer(response.status, response.headers.get("Retry-After"), now)
        except TimeoutError:
            return Answer(words=f"no answer within {format_duration(self._channel.timeout)}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(words=words_of(error))

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(self) -> aiohttp.ClientSession:
        trusted = _mark_of(self._channel.ca_file)
        if self._session is not None and trusted != self._trusted:
            await self.close()
        if self._session is None:
            # Without a bundle of its own it is the library's context, which there is already.
            context = trusting(self._channel.ca_file) if self._channel.ca_file is not None else True
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context, resolver=Resolver(), ttl_dns_cache=30)
            headers = {"User-Agent": user_agent(), "Accept": "*/*"}
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar, auto_decompress=False)
            self._trusted = trusted
        return self._session


def words_of(error: Exception) -> str:
    """Say why a receiver could not be reached, without where it is."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted: give caFile, or check its address"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "no TLS connection: check its address, and caFile"
        case aiohttp.ClientConnectorDNSError():
            return "the name of its host is not known: check its address, and the network's name server"
        case aiohttp.ClientConnectorError():
            return f"no connection ({system_words(error.os_error)})"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "it closed the connection without an answer"
        case aiohttp.InvalidURL():
            return "its address is none"
        case OSError():
            return f"no connection ({system_words(error)})"
        case aiohttp.ClientError():
            return f"its answer is not HTTP ({type(error).__name__})"
    return f"it could not be sent ({type(error).__name__})"


def system_words(error: OSError) -> str:
    """Say what the system has; the error's own text has the address in it."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else type(error).__name__


def _answer(status: int, after: str | None, now: datetime) -> Answer:
    if 200 <= status < 300:
        return Answer(delivered=True)
    if 300 <= status < 400:
        return Answer(words=f"it redirects to another address (HTTP {status}): give the final address", after=_after(after, now))
    known = HTTPStatus(status) if status in HTTPStatus._value2member_map_ else None
    cure = f": {_CURES[known]}" if known in _CURES else ""
    words = f"HTTP {status}{f' {known.phrase}' if known is not None else ''}{cure}"
    return Answer(final=known in FINAL, words=words, after=_after(after, now))


def _after(value: str | None, now: datetime) -> float | None:
    """Return for how many seconds a receiver wants to be left alone; None where it does not say so in a way that there is."""
    if value is None or len(value) > 64:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = (until - now).total_seconds() if until.tzinfo is not None else 0.0
    return min(max(seconds, 0.0), LONGEST_AFTER)


def trusting(path: str | None) -> ssl.SSLContext:
    """Return what verifies a receiver.

    Args:
        path: the CA bundle; None for the public authorities.

    Raises:
        SecretError: it cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        msg = "the file of caFile cannot be read, or has no certificates in PEM in it"
        raise SecretError(msg) from error


def _mark_of(path: str | None) -> object:
    """Return what changes when a file changes."""
    try:
        found = Path(path).stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None
