"""A server that tests run beside the sandbox's own programs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import aiohttp

READY_WITHIN = 60.0
POLL = 0.2


class Program:
    """One program, while the context is open.

    Args:
        path: of the program.
        log: where it writes what it says.
        ready: path that answers with status 200 once it is ready.
        arguments: its arguments, in which $ADDRESS stands for where it listens, and $GRPC for where it does so for gRPC.
    """

    def __init__(self, path: Path, log: Path, ready: str, arguments: Sequence[str]) -> None:
        with socket.socket() as free, socket.socket() as other:
            for one in (free, other):
                one.bind(("127.0.0.1", 0))
            listens, self.grpc = (f"127.0.0.1:{one.getsockname()[1]}" for one in (free, other))
        self.address = f"http://{listens}"
        given = (one.replace("$ADDRESS", listens).replace("$GRPC", self.grpc) for one in arguments)
        self._command = [path, *given]
        self._ready, self._log = ready, log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN
        while not await self._answers():
            assert self._process.returncode is None, self._log.read_text()
            assert time.monotonic() < deadline, f"not ready within {READY_WITHIN:g} s: {self._log.read_text()}"
            await asyncio.sleep(POLL)
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
