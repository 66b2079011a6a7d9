"""`tidegate serve` as a process: it listens until it is told to end, and never in clear where others could listen along."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog

from tidegate.cluster.callers import connect_for_callers
from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import words_of
from tidegate.controller.process.door import Bounds, Door
from tidegate.runtime.clock import Clock, SystemClock
from tidegate.runtime.errors import Terminal
from tidegate.serve.app import LONGEST_TOKEN, SECONDS, Service

log = structlog.get_logger(__name__)

STOP_SECONDS = SECONDS
"""What requests that are under way get when the process ends: what they do may be half done otherwise."""
BOUNDS = Bounds(connections=256, headers=5.0, keep_alive=SECONDS + 3.0, field=LONGEST_TOKEN + 1024)
RELOAD_SECONDS = 60.0
"""Between looks at the certificate, which its issuer renews."""


@dataclass(frozen=True)
class Options:
    """Where to listen.

    Attributes:
        host: address.
        port: port; 0 takes a free one.
        certificate: file of the certificate with its chain (PEM); None for plain HTTP.
        key: file of its key (PEM).
        in_clear: plain HTTP is wanted on an address that others reach: what ends TLS is in front of this process.
        kubeconfig: where the API server is looked for; None for the usual places.
        context: of the kubeconfig; None for its current one.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    in_clear: bool = False
    kubeconfig: str | None = None
    context: str | None = None


async def serve(options: Options, stop: asyncio.Event | None = None, listening: asyncio.Future[int] | None = None) -> None:
    """Serve until a signal comes.

    Args:
        options: where to listen.
        stop: set to end; None for SIGTERM and SIGINT.
        listening: gets the port.

    Raises:
        Terminal: the options do not go together, a file cannot be read, or the address cannot be listened on.
    """
    stop = stop or _signalled()
    _refuse_clear(options)
    tls = _tls(options)
    connection = await connect_for_callers(options.kubeconfig, options.context)
    clock = SystemClock()
    async with Cluster(connection) as cluster:
        door = Door(Service(cluster, clock).application(), bounds=BOUNDS, stop_seconds=STOP_SECONDS)
        await door.listen(options.host, options.port, tls=tls)
        log.info("serving", host=options.host, port=door.port, tls=tls is not None, api_server=connection.server)
        if listening is not None:
            listening.set_result(door.port)
        renewing = asyncio.create_task(_renew(tls, options, clock)) if tls is not None else None
        try:
            await stop.wait()
        finally:
            if renewing is not None:
                renewing.cancel()
            await door.close()
    log.info("ended")


def _signalled() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _refuse_clear(options: Options) -> None:
    if (options.certificate is None) != (options.key is None):
        raise Terminal("--tls-cert and --tls-key belong together: give both, or neither")
    if options.certificate is not None or options.in_clear:
        return
    try:
        loopback = ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = options.host == "localhost"
    if not loopback:
        raise Terminal(
            f"tokens of people would cross the network in clear on {options.host}: give --tls-cert and --tls-key, or --in-clear "
            "if a proxy in front of this process ends TLS"
        )


def _tls(options: Options) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(options.certificate, options.key)
    except (OSError, ValueError) as error:
        cause = "it is no certificate with its key (PEM)" if isinstance(error, ssl.SSLError) else words_of(error)
        raise Terminal(f"--tls-cert {options.certificate}: cannot be used: {cause}") from None
    return context


async def _renew(tls: ssl.SSLContext, options: Options, clock: Clock) -> None:
    """Show a renewed certificate to connections that come after it."""
    while True:
        await clock.sleep(RELOAD_SECONDS)
        try:
            tls.load_cert_chain(str(options.certificate), options.key)
        except (OSError, ValueError) as error:
            log.warning("the certificate could not be read again", cause=type(error).__name__)
