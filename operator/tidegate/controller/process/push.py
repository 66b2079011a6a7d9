"""The port on which samples are pushed: Prometheus' remote write, 2.0 and 1.0, from those whom the configuration lets in.

Whatever a sender does costs the sender: who it is is known before its body is read, and a body is refused by its length before it
is unpacked. It is unpacked and read in turns, by an account for each sender. Nobody else waits for it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus

import structlog
from aiohttp import web

from tidegate.api.push import Push
from tidegate.controller.process.door import Bounds, Door
from tidegate.controller.process.push_metrics import PushMetrics
from tidegate.prometheus.config import PushedConfig
from tidegate.prometheus.direct.effort import CREDIT, SHARE, Cost, Effort, PutOffError
from tidegate.prometheus.push.authority import Authority
from tidegate.prometheus.push.config import PushConfig, PushSender, PushTLS
from tidegate.prometheus.push.intake import REFUSED, Intake
from tidegate.prometheus.push.request import Found, Message, RequestError, Tally, read
from tidegate.prometheus.push.rounds import Fate, Pushes
from tidegate.prometheus.push.snappy import Block, SnappyError
from tidegate.runtime.clock import Clock
from tidegate.runtime.errors import Terminal

log = structlog.get_logger(__name__)

PATH = "/api/v1/write"
"""As Prometheus' own receiver has it."""
RELOAD_SECONDS = 10.0
"""How often tokens and certificates are read again."""
_STOP_SECONDS = 0.5
_CONNECTIONS = 128
_KEEP_ALIVE = 75.0
"""Agents send every few seconds, and Prometheus each minute at the latest."""
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
_AGAIN = 2
"""Seconds until a sender may try again that was refused because of others."""
NOBODY = "(unknown)"
"""The sender of a request that nobody is known to have sent: no sender can be called that."""


class _RefusedError(Exception):
    """A request is refused.

    Args:
        status: of the answer.
        words: why, for whoever sends.
        after: seconds after which it may be sent again.
        whole: whether all of it was read.
    """

    def __init__(self, status: HTTPStatus, words: str, after: int | None = None, *, whole: bool = False) -> None:
        super().__init__(words)
        self.status, self.after, self.whole = status, after, whole


class PushPort:
    """Takes in what is pushed, once this process decides.

    Args:
        config: the port.
        connections: of those that allow it, by name, how much.
        metrics: count requests and samples.
        clock: the time.
    """

    def __init__(self, config: PushConfig, connections: Mapping[str, PushedConfig], metrics: PushMetrics, clock: Clock) -> None:
        self._config, self._connections, self._metrics, self._clock = config, connections, metrics, clock
        self._intake = Intake(clock)
        self._authority = Authority(config.senders)
        self._effort, self._counting = Effort(clock.monotonic), Effort(clock.monotonic)
        self._reading: Counter[str] = Counter()
        self._context: ssl.SSLContext | None = None
        app = web.Application()
        app.router.add_post(PATH, self._write)
        bounds = Bounds(connections=_CONNECTIONS, headers=config.timeout.total_seconds() + 5, keep_alive=_KEEP_ALIVE)
        self._door = Door(app, bounds=bounds, stop_seconds=_STOP_SECONDS)
        self._renewing: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._door.port

    def source(self, namespace: str, connection: str, push: Push) -> Pushes:
        """Return what tells of the pods of a Release by what is pushed.

        Args:
            namespace: of the Release.
            connection: of its gates.
            push: how they have it judged.
        """
        return Pushes(self._intake, namespace, push, self._connections[connection], self._clock, effort=self._counting)

    async def open(self) -> None:
        """Listen.

        Raises:
            Terminal: it cannot be listened on, or the certificate cannot be used.
        """
        self._authority.reload()
        outer = None
        if self._config.tls is not None:
            try:
                self._context, outer = context_of(self._config.tls), context_of(self._config.tls)
            except (OSError, ValueError) as error:
                raise Terminal(f"push.tls: cannot be used: {_cause(error)}") from None
            # A connection that begins takes the certificate, and the authorities, that there are then.
            outer.sni_callback = self._newest
        await self._door.listen(self._config.host, self._config.port, tls=outer)
        log.info("samples may be pushed", port=self._door.port, tls=outer is not None, senders=len(self._config.senders))
        if outer is None:
            log.warning(
                "samples are pushed in clear: anyone between can read tokens and forge samples, unless a mesh encrypts them"
            )
        self._renewing = asyncio.create_task(self._renew(), name="certificates of pushed samples")

    async def close(self) -> None:
        """Listen no more."""
        if self._renewing is not None:
            self._renewing.cancel()
            await self._door.close()

    def reload(self) -> None:
        """Read tokens and certificates again: what cannot be used leaves those that there were."""
        self._authority.reload()
        if self._config.tls is None:
            return
        try:
            self._context = context_of(self._config.tls)
        except (OSError, ValueError) as error:
            log.warning("the certificate for pushed samples could not be read again", cause=_cause(error))

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(RELOAD_SECONDS)
            self.reload()

    def _newest(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        if self._context is not None:
            connection.context = self._context

    async def _write(self, request: web.Request) -> web.Response:
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        sender = self._authority.sender(request.headers.get("Authorization", ""), certificate)
        name = NOBODY if sender is None else sender.name
        try:
            answer = await self._of(request, sender)
        except _RefusedError as refused:
            if sender is not None and not refused.whole:
                self._intake.lose(sender.name)
            headers = {"Connection": "close"}
            if refused.after is not None:
                headers["Retry-After"] = str(refused.after)
            if refused.status is HTTPStatus.UNAUTHORIZED:
                headers["WWW-Authenticate"] = "Bearer"
            answer = web.Response(status=refused.status, text=f"{refused}\n", headers=headers)
        self._metrics.requests.labels(name, str(answer.status)).inc()
        return answer

    async def _of(self, request: web.Request, sender: PushSender | None) -> web.Response:
        if sender is None:
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "the token or client certificate is not that of a sender (push.senders)")
        message = _message(request)
        if (request.content_length or 0) > self._config.bytes_per_request:
            raise self._too_long()
        cost = Cost(sender.name)
        with self._turn(sender):
            try:
                async with asyncio.timeout(self._config.timeout.total_seconds()):
                    self._effort.begin(cost)
                    return await self._taken(request, sender, message, cost)
            except PutOffError:
                words = f"what this sender pushes takes more than {SHARE:.0%} of the operator's processor time: send fewer series"
                after = max(_AGAIN, round((self._effort.debt(sender.name) - CREDIT) / SHARE) + 1)
                raise _RefusedError(HTTPStatus.TOO_MANY_REQUESTS, words, after) from None
            except TimeoutError:
                words = "the request did not come, or was not read, in time (push.timeout)"
                raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, words, _AGAIN) from None
            except (RequestError, SnappyError) as error:
                raise _RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None
            finally:
                self._effort.end(cost)

    @contextmanager
    def _turn(self, sender: PushSender) -> Iterator[None]:
        """Let a request in, if not too many are being read."""
        if not self._has_room(sender):
            words = "too many requests are being read (push.concurrency)"
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, words, _AGAIN)
        self._reading[sender.name] += 1
        try:
            yield
        finally:
            self._reading[sender.name] -= 1

    def _has_room(self, sender: PushSender) -> bool:
        """Whether a sender may have one more request read: its first always while there is room, others if as many can begin."""
        most, own = self._config.concurrency, self._reading[sender.name]
        if not own:
            return self._reading.total() < most
        others = sum(not self._reading[one.name] for one in self._config.senders)
        return own < (most + 1) // 2 and self._reading.total() + min(others, most // 2) < most

    async def _taken(self, request: web.Request, sender: PushSender, message: Message, cost: Cost) -> web.Response:
        block = Block(await self._body(request))
        self._door.comes_whole(request)
        if block.length > self._config.unpacked_bytes_per_request:
            raise self._too_long()
        while not await self._effort.work(cost, block.work):
            pass
        found = Found()
        await self._drive(cost, read(message, block.unpacked, self._intake.names(), found))
        fates = Counter({Fate.INVALID: found.tally.unreadable})
        await self._drive(cost, self._intake.take(sender.name, frozenset(sender.namespaces), found.series, fates))
        self._count(sender, found.tally, fates)
        refused = sum(fates[one] for one in REFUSED)
        if refused and refused == found.tally.samples + found.tally.histograms:
            words = ", ".join(f"{fates[one]} {_REASONS[one]}" for one in REFUSED if fates[one])
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"no sample of the request is taken: {words}", whole=True)
        return _written(found.tally, refused)

    async def _body(self, request: web.Request) -> bytes:
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > self._config.bytes_per_request:
                raise self._too_long()
        return bytes(body)

    async def _drive(self, cost: Cost, turns: Iterator[None]) -> None:
        done = object()
        while await self._effort.work(cost, partial(next, turns, done)) is not done:
            pass

    def _count(self, sender: PushSender, tally: Tally, fates: Counter[Fate]) -> None:
        told = fates.total()
        fates[Fate.UNWANTED] += max(0, tally.samples + tally.histograms - told)
        for fate, number in fates.items():
            if number:
                self._metrics.samples.labels(sender.name, fate.value).inc(number)

    def _too_long(self) -> _RefusedError:
        limits = (
            f"{self._config.bytes_per_request // 1024:,} KiB, or {self._config.unpacked_bytes_per_request // 1024:,} KiB unpacked"
        )
        words = (
            f"the request has more than {limits} (push.bytesPerRequest, push.unpackedBytesPerRequest): send fewer samples at once"
        )
        return _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)


_REASONS = {
    Fate.NAMESPACE: "outside of the namespaces of this sender (push.senders)",
    Fate.LATE: "too old",
    Fate.FUTURE: "of the future: set the sender's clock",
    Fate.INVALID: "no counters, or not to be read",
}


def _message(request: web.Request) -> Message:
    """Return what a request is, as its headers have it."""
    kind, _, parameters = request.headers.get("Content-Type", "").partition(";")
    proto = dict(one.strip().partition("=")[::2] for one in parameters.split(";")).get("proto", Message.V1.value).strip('"')
    known = next((one for one in Message if one.value == proto), None)
    if kind.strip().lower() != "application/x-protobuf" or known is None:
        words = (
            "the Content-Type must be application/x-protobuf with proto=io.prometheus.write.v2.Request or prometheus.WriteRequest"
        )
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, words)
    if request.headers.get("Content-Encoding", "").lower() != "snappy":
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the Content-Encoding must be snappy")
    return known


def _written(tally: Tally, refused: int) -> web.Response:
    """Return the answer to a request that was read: what nobody wants is done with, and not to be sent again."""
    from_samples = min(refused, tally.samples)
    written = {
        "Samples": tally.samples - from_samples,
        "Histograms": tally.histograms - (refused - from_samples),
        "Exemplars": tally.exemplars,
    }
    headers = {_WRITTEN.format(name): str(number) for name, number in written.items()}
    return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)


def context_of(tls: PushTLS) -> ssl.SSLContext:
    """Return what is shown to senders, and by whom their certificates must be signed.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is none that can be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.client_ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # No connection goes on from one whose certificate was signed by an authority that is trusted no more.
    context.num_tickets = 0
    context.load_cert_chain(tls.cert_file, tls.key_file)
    # Senders with a token have no certificate; who neither has is told so.
    context.verify_mode = ssl.CERT_NONE if tls.client_ca_file is None else ssl.CERT_OPTIONAL
    return context


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it is no certificate with its key, or no authority (PEM)"
    return getattr(error, "strerror", None) or type(error).__name__
