"""Container logs for ``kubectl logs``: the one part of a kubelet's own API that people miss first."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from tidegate_sandbox.node_agent import process

_log = logging.getLogger(__name__)

PORT = 10250
"""Where API servers expect kubelets."""

_CHUNK_BYTES = 65_536
_FOLLOW_SECONDS = 0.2
_CERTIFICATE_DAYS = "365"
_CERTIFICATE_SECONDS = 20.0


@dataclass(frozen=True)
class LogFile:
    """The log of one container instance. ``live`` tells whether more may come."""

    path: pathlib.Path
    live: Callable[[], bool]


FindLog = Callable[[str, str, str, bool], LogFile | None]
"""Finds a log by namespace, pod, container, and whether the previous instance is meant."""


async def serve(address: str, find: FindLog, folder: pathlib.Path, port: int = PORT) -> None:
    """Serve logs until cancelled. Where that is not possible a warning says why, and pods run all the same."""
    runner = web.AppRunner(_application(find), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        context = await _tls(folder, address)
        await web.TCPSite(runner, address, port, ssl_context=context).start()
        await asyncio.Event().wait()
    except (OSError, TimeoutError) as error:
        _log.warning("kubectl logs will not work: %s", error)
    finally:
        await runner.cleanup()


def tail_start(content: bytes, lines: int) -> int:
    """Return the offset at which the last ``lines`` lines of ``content`` begin."""
    end = len(content.rstrip(b"\n"))
    for _ in range(lines):
        end = content.rfind(b"\n", 0, end)
        if end < 0:
            return 0
    return end + 1 if lines else len(content)


def _application(find: FindLog) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        namespace, pod, container = (request.match_info[name] for name in ("namespace", "pod", "container"))
        previous = request.query.get("previous") == "true"
        found = find(namespace, pod, container, previous)
        if found is None or not found.path.exists():
            instance = "previous terminated " if previous else ""
            return web.Response(status=404, text=f'{instance}container "{container}" in pod "{pod}" not found')
        return await _stream(request, found)

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", answer)
    return application


async def _stream(request: web.Request, found: LogFile) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    follow = request.query.get("follow") == "true"
    lines = request.query.get("tailLines", "")
    with found.path.open("rb") as file:
        if lines.isdigit():
            content = file.read()
            file.seek(tail_start(content, int(lines)))
        while True:
            # Asked before reading: what is written until the end is still read.
            live = found.live()
            while chunk := file.read(_CHUNK_BYTES):
                await response.write(chunk)
            if not (follow and live):
                break
            await asyncio.sleep(_FOLLOW_SECONDS)
    await response.write_eof()
    return response


async def _tls(folder: pathlib.Path, address: str) -> ssl.SSLContext:
    """Return a context with a certificate made for the occasion: API servers insist on TLS, not on whose.

    Raises OSError where openssl is missing or fails.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise OSError("openssl is not installed")
    certificate, key = folder / "kubelet.crt", folder / "kubelet.key"
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    arguments += ["-days", _CERTIFICATE_DAYS, "-subj", f"/CN={address}", "-keyout", str(key), "-out", str(certificate)]
    code = await process.run([openssl, *arguments], os.environ, folder, _CERTIFICATE_SECONDS)
    if code != 0:
        raise OSError(f"openssl ended with exit code {code}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
