"""Programs that keep metrics, each with its data in a folder of its own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from tidegate_sandbox import binaries

READY_WITHIN = 60.0
_POLL = 0.2


class Server:
    """One program, while the context is open.

    Args:
        program: its name.
        folder: for its configuration, its data and its log.
        ready: path that answers with status 200 once it is ready.
        arguments: its arguments, in which $ADDRESS stands for where it listens, and $GRPC for where it does so for gRPC.
    """

    def __init__(self, program: str, folder: Path, ready: str, arguments: Sequence[str]) -> None:
        with socket.socket() as free, socket.socket() as other:
            for one in (free, other):
                one.bind(("127.0.0.1", 0))
            listens, self.grpc = (f"127.0.0.1:{one.getsockname()[1]}" for one in (free, other))
        self.address = f"http://{listens}"
        given = (one.replace("$ADDRESS", listens).replace("$GRPC", self.grpc) for one in arguments)
        self._command = [binaries.ensure([program]) / program, *given]
        self._ready, self._log = ready, folder / "log"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN
        while not await self._answers():
            assert self._process.returncode is None, self._log.read_text()
            assert time.monotonic() < deadline, f"not ready within {READY_WITHIN:g} s: {self._log.read_text()}"
            await asyncio.sleep(_POLL)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _answers(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.address}{self._ready}") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


def _written(folder: Path, configuration: dict[str, Any]) -> Path:
    folder.mkdir()
    path = folder / "configuration.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def prometheus(folder: Path, configuration: dict[str, Any]) -> Server:
    """Return a Prometheus with this configuration."""
    path = _written(folder, configuration)
    arguments = [f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=$ADDRESS"]
    return Server("prometheus", folder, "/-/ready", arguments)


def victoria_metrics(folder: Path, configuration: dict[str, Any]) -> Server:
    """Return a VictoriaMetrics that scrapes as a Prometheus with this configuration would; empty for one that is written to."""
    path = _written(folder, configuration)
    arguments = [f"-storageDataPath={folder / 'data'}", "-httpListenAddr=$ADDRESS", "-memory.allowedBytes=64MB"]
    return Server("victoria-metrics", folder, "/health", [*arguments, *([f"-promscrape.config={path}"] if configuration else [])])


_THANOS = ("--http-address=$ADDRESS", "--grpc-address=$GRPC", "--log.level=warn")


def sidecar(folder: Path, beside: Server) -> Server:
    """Return what gives Thanos the series of a Prometheus."""
    folder.mkdir()
    arguments = ["sidecar", f"--prometheus.url={beside.address}", f"--tsdb.path={folder}", *_THANOS]
    return Server("thanos", folder, "/-/ready", arguments)


def thanos_query(folder: Path, sidecars: Sequence[Server], *replica_labels: str) -> Server:
    """Return what asks several sidecars, and takes series once that differ in these labels alone."""
    folder.mkdir()
    arguments = ["query", *_THANOS, *(f"--endpoint={one.grpc}" for one in sidecars)]
    return Server("thanos", folder, "/-/ready", [*arguments, *(f"--query.replica-label={label}" for label in replica_labels)])
