"""Single checks of a container: an HTTP request, a TCP connection, a command. Used by probes and lifecycle hooks."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate_sandbox.node_agent import process

_MAX_HEAD_BYTES = 16_384


@dataclass(frozen=True)
class Target:
    """The container to check: where it listens, and what a command inside it would see."""

    pod_ip: str
    ports: Mapping[str, int]
    env: Mapping[str, str]
    cwd: pathlib.Path


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, with the kubelet's words where it did not."""

    ok: bool
    message: str = ""


def named_ports(container: Mapping[str, Any]) -> dict[str, int]:
    """Return the container's ports by name."""
    return {port["name"]: port["containerPort"] for port in container.get("ports") or () if port.get("name")}


async def check(handler: str, settings: Mapping[str, Any], target: Target, limit: float) -> Outcome:
    """Make one check of kind ``handler`` (httpGet, tcpSocket, exec) within ``limit`` seconds. Never raises."""
    try:
        async with asyncio.timeout(limit):
            match handler:
                case "httpGet":
                    return await _http(settings, target)
                case "tcpSocket":
                    return await _tcp(settings, target)
                case _:
                    return await _exec(settings.get("command") or (), target, limit)
    except TimeoutError:
        return Outcome(False, f"{handler}: no answer within {limit:g}s")
    except (OSError, ValueError, IndexError) as error:
        return Outcome(False, f"{handler}: {error}")


async def _http(settings: Mapping[str, Any], target: Target) -> Outcome:
    host = settings.get("host") or target.pod_ip
    port = _port(settings.get("port"), target)
    context = _unverified() if str(settings.get("scheme", "HTTP")).upper() == "HTTPS" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_MAX_HEAD_BYTES)
    try:
        writer.write(_request(settings, f"{host}:{port}"))
        status_line = await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    parts = status_line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/"):
        return Outcome(False, "httpGet: malformed HTTP response")
    code = int(parts[1])
    if 200 <= code < 400:
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {code}")


def _request(settings: Mapping[str, Any], authority: str) -> bytes:
    path = settings.get("path") or "/"
    headers = {"Host": authority, "User-Agent": "kube-probe/1.36", "Accept": "*/*"}
    for header in settings.get("httpHeaders") or ():
        headers[header["name"]] = header["value"]
    headers["Connection"] = "close"
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _tcp(settings: Mapping[str, Any], target: Target) -> Outcome:
    host = settings.get("host") or target.pod_ip
    _, writer = await asyncio.open_connection(host, _port(settings.get("port"), target))
    writer.close()
    return Outcome(True)


async def _exec(command: Sequence[str], target: Target, limit: float) -> Outcome:
    code = await process.run(command, target.env, target.cwd, limit)
    return Outcome(code == 0, "" if code == 0 else f"command exited with {code}")


def _port(port: object, target: Target) -> int:
    if isinstance(port, int):
        return port
    text = str(port or "")
    if text in target.ports:
        return target.ports[text]
    if text.isdigit():
        return int(text)
    raise ValueError(f"couldn't find port: {text!r}")


def _unverified() -> ssl.SSLContext:
    # Kubelets do not verify the certificate of a probed pod either.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
