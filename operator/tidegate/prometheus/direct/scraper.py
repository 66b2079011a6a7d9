"""Reads pages of pods: each bounded in time, bytes and pieces, without redirects; what one pod does costs its own page only."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tidegate.api.direct import Scheme
from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import DirectConfig
from tidegate.prometheus.direct.effort import CREDIT, PIECE, Cost, Effort, PutOffError
from tidegate.prometheus.direct.page import Page, PageError
from tidegate.prometheus.direct.protobuf import ProtobufPage
from tidegate.prometheus.direct.targets import Target
from tidegate.prometheus.direct.text import Series, TextPage
from tidegate.prometheus.session import CredentialError, secret
from tidegate.prometheus.turns import Turns
from tidegate.runtime.answering import OneAnswerConnector
from tidegate.runtime.clock import Clock

_TEXT = "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8"
_PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
_ACCEPTED = {False: _TEXT, True: f"{_PROTOBUF},{_TEXT}"}
_FREE_PIECES = 64
_LEAST_PIECE = 512
"""Bytes that come at a time on average, at least, after the first pieces: byte by byte a page would cost thousands of wake-ups."""
_TOGETHER = 64 * 1024
"""Bytes that are searched together."""
_PATIENCE = 0.5
"""Part of the time for a page that it waits for its turn."""


@dataclass(frozen=True)
class Unscraped:
    """That a page was not read.

    Attributes:
        words: why, in words that quote nothing of it.
        seconds: of processor time that it took nevertheless.
        put_off: it was not the pod's fault: its namespace has had its share of the processor.
        answered: the pod has answered, with something else than a page.
        asked: whether it was its turn at all.
    """

    words: str
    seconds: float = field(default=0.0, compare=False)
    put_off: bool = False
    answered: bool = field(default=False, compare=False)
    asked: bool = field(default=True, compare=False)


class _NoNames(AbstractResolver):
    """Resolves nothing: pods are read by address."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:  # noqa: ARG002 - the interface
        raise OSError("pods are read by address")

    async def close(self) -> None:
        """There is nothing to close."""


class Scraper:
    """Reads pages for the gates of one connection.

    Args:
        config: what the connection allows.
        clock: measures.
        effort: keeps account of processor time, for all connections; without one it is for this connection alone.
        told: what has become of each page: `read`, `failed`, or `put-off`.
    """

    def __init__(
        self, config: DirectConfig, clock: Clock, effort: Effort | None = None, told: Callable[[str], None] = lambda _: None
    ) -> None:
        self._effort = effort or Effort(clock.monotonic)
        self.config, self._clock, self._told = config, clock, told
        self._turns = Turns(config.concurrency, 10**6, clock=clock.monotonic)
        self._session: aiohttp.ClientSession | None = None
        self._trusted: object = None
        self.scrapes = self.bytes = 0

    async def scrape(
        self,
        target: Target,
        series: Series,
        asker: Asker,
        seconds: float,
        *,
        by: Hashable = None,
        protobuf: bool = False,
        filtered: bool = False,
    ) -> Page | Unscraped:
        """Read the page of one pod; never raises for what the pod does.

        Args:
            target: where it is.
            series: what is wanted of it.
            asker: for whom.
            seconds: longest time for it; the connection may allow less.
            by: whose round it is: of several in one namespace none has all of its share.
            protobuf: it is asked for in that form, for native histograms.
            filtered: the wanted metrics alone are asked for, by their names, as some servers can.
        """
        url = f"{target.url}{'&' if '?' in target.path else '?'}{_names(series)}" if filtered else target.url
        cost = Cost(asker.namespace, by=by)
        found = await self._scrape(target, url, series, asker, seconds, cost=cost, protobuf=protobuf)
        self._told("read" if isinstance(found, Page) else "put-off" if found.put_off else "failed")
        return found

    async def _scrape(
        self, target: Target, url: str, series: Series, asker: Asker, seconds: float, *, cost: Cost, protobuf: bool
    ) -> Page | Unscraped:
        seconds = min(seconds, self.config.timeout.total_seconds())
        if not await self._turns.take(asker, seconds * _PATIENCE):
            return Unscraped("too many other pods are being read (direct.concurrency)", asked=False)
        try:
            async with asyncio.timeout(seconds):
                self._effort.begin(cost)
                page = await self._read(target, url, series, cost, protobuf=protobuf)
                return replace(page, seconds=cost.seconds)
        except PutOffError as error:
            return Unscraped(str(error), cost.seconds, put_off=True)
        except TimeoutError:
            return Unscraped(f"its page did not come within {seconds:g}s", cost.seconds)
        except (PageError, _RefusedError) as error:
            return Unscraped(str(error), cost.seconds, answered=True)
        except CredentialError as error:
            return Unscraped(str(error), cost.seconds)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unscraped(_words(error))
        finally:
            self._effort.end(cost)
            self._turns.give_back(asker)

    def charge(self, asker: Asker, seconds: float) -> None:
        """Charge a namespace with processor time that its pages have cost after they were read."""
        self._effort.charge(Cost(asker.namespace), seconds)

    def owes(self, asker: Asker) -> bool:
        """Whether a namespace has used up its share of the processor, for now."""
        return self._effort.debt(asker.namespace) > CREDIT

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _read(self, target: Target, url: str, series: Series, cost: Cost, *, protobuf: bool) -> Page:
        headers = {"Accept": _ACCEPTED[protobuf]}
        if self.config.bearer_token_file is not None:
            if target.scheme is not Scheme.HTTPS:
                raise _RefusedError("it is not read over https, and the token goes nowhere else (direct.bearerTokenFile)")
            headers["Authorization"] = f"Bearer {secret(str(self.config.bearer_token_file))}"
        session = await self._open()
        self.scrapes += 1
        async with session.get(url, headers=headers, allow_redirects=False, server_hostname=self._server_name(target)) as answer:
            if answer.status != HTTPStatus.OK:
                raise _RefusedError(_refusal(answer.status))
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _RefusedError("its page is compressed, though that was not asked for")
            page = self._page(answer.headers.get("Content-Type", ""), series, protobuf=protobuf)
            pieces = size = charged = 0
            waiting = bytearray()
            async for piece in _pieces(answer):
                pieces, size = pieces + 1, size + len(piece)
                if size > self.config.bytes_per_pod:
                    raise PageError(f"its page has more than {self.config.bytes_per_pod // 1024:,} KiB (direct.bytesPerPod)")
                if pieces > _FREE_PIECES + size // _LEAST_PIECE:
                    raise PageError("its page comes in too small pieces")
                waiting += piece
                if len(waiting) >= _TOGETHER:
                    self._effort.charge(cost, (pieces - charged) * PIECE)
                    charged = pieces
                    await self._effort.work(cost, partial(page.feed, bytes(waiting)))
                    waiting.clear()
            self._effort.charge(cost, (pieces - charged) * PIECE)
            await self._effort.work(cost, partial(page.feed, bytes(waiting)))
            self.bytes += size
            return await self._effort.work(cost, page.end)

    def _page(self, kind: str, series: Series, *, protobuf: bool) -> TextPage | ProtobufPage:
        most, form = self.config.series_per_pod, kind.partition(";")[0].strip().lower()
        if form == "application/vnd.google.protobuf":
            if not protobuf:
                raise _RefusedError("its page is protobuf, which was not asked for")
            return ProtobufPage(series.wishes, most)
        if form in ("text/plain", "application/openmetrics-text", ""):
            return TextPage(series, most, ended=form == "application/openmetrics-text")
        raise _RefusedError("its page is in no format of metrics")

    def _server_name(self, target: Target) -> str | None:
        return self.config.tls.server_name if target.scheme is Scheme.HTTPS else None

    async def _open(self) -> aiohttp.ClientSession:
        tls = self.config.tls
        trusted = tuple(_mark_of(path) for path in (tls.ca_file, tls.cert_file, tls.key_file))
        if self._session is not None and trusted != self._trusted:
            await self.close()
        if self._session is None:
            # No proxy, no cookies, no names; and nothing is unpacked, whatever a pod sends.
            connector = OneAnswerConnector(
                limit=self.config.concurrency, ssl=self._context(), resolver=_NoNames(), keepalive_timeout=30, use_dns_cache=False
            )
            headers = {"User-Agent": "tidegate", "Accept-Encoding": "identity"}
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                max_line_size=8190,
                max_field_size=8190,
            )
            self._trusted = trusted
        return self._session

    def _context(self) -> ssl.SSLContext | bool:
        """Return how pods are verified.

        Raises:
            CredentialError: a file cannot be used.
        """
        tls = self.config.tls
        if tls.ca_file is None and tls.cert_file is None:
            # The library has made one already: it takes tens of milliseconds.
            return not tls.insecure_skip_verify
        try:
            context = ssl.create_default_context(cafile=tls.ca_file)
            if tls.insecure_skip_verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if tls.cert_file is not None and tls.key_file is not None:
                context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            msg = f"a file of direct.tls cannot be used: {getattr(error, 'strerror', None) or type(error).__name__}"
            raise CredentialError(msg) from None
        return context


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield a page as it comes; chunk by chunk where it comes in chunks, so that they can be counted: each costs time."""
    if "Transfer-Encoding" not in answer.headers:
        async for piece in answer.content.iter_any():
            yield piece
        return
    async for piece, _ in answer.content.iter_chunks():
        yield piece


def _names(series: Series) -> str:
    return "&".join(f"name%5B%5D={name}" for name in series.asked)


class _RefusedError(Exception):
    """A page is not read, and the message says why."""


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"it redirects (HTTP {status}), which is not followed"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"it refuses the credentials (HTTP {status})"
    return f"it answers HTTP {status}"


def _words(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted (direct.tls)"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "TLS with it failed (direct.tls)"
        case aiohttp.ClientConnectorError():
            return f"no connection: {error.os_error.strerror or 'refused'}"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return "it ended the connection in the midst of its page"
        case _:
            return "what it answers is no HTTP that Tidegate knows"


def _mark_of(path: str | None) -> object:
    try:
        found = Path(path).stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
