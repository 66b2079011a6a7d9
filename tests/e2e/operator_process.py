"""The operator as a process, with the rights of the ServiceAccount of deploy/ and nothing more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

READY_WITHIN = 60.0
STOP_WITHIN = 20.0
_OWN = {"KUBECONFIG", "TIDEGATE_CONFIG", "TIDEGATE_SANDBOX"}


class Operator:
    """One operator that serves some namespaces.

    Args:
        folder: for its configuration and its log.
        kubeconfig: where the API server is, and as whom.
        namespaces: which it serves.
        config: its configuration, without the address of its endpoints.
    """

    def __init__(self, folder: Path, kubeconfig: Path, namespaces: Sequence[str], config: dict[str, Any]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="operator-", dir=folder))
        self._config, self.log = folder / "config.yaml", folder / "operator.log"
        content = {
            "httpHost": "127.0.0.1",
            "httpPort": 0,
            "logLevel": "debug",
            "warmUp": "500ms",
            "statusHeartbeat": "1s",
            **config,
        }
        self._config.write_text(yaml.safe_dump(content))
        self._kubeconfig, self._namespaces = kubeconfig, namespaces
        self._process: asyncio.subprocess.Process | None = None
        self._told = False
        self._read, self._lines = 0, list[dict[str, Any]]()

    async def start(self) -> None:
        """Start it; `ready` waits until it serves."""
        self._told = False
        arguments = ["run", "--config", str(self._config), "--kubeconfig", str(self._kubeconfig)]
        arguments += [part for name in self._namespaces for part in ("--namespace", name)]
        program = Path(sys.executable).with_name("tidegate")
        environment = {name: value for name, value in os.environ.items() if name not in _OWN}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(program, *arguments, stdout=log, stderr=log, env=environment)

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        deadline = time.monotonic() + READY_WITHIN
        said = "nothing"
        while time.monotonic() < deadline:
            assert not self.trouble, f"{self.trouble}\n{self.tail()}"
            port = self._port()
            if port is not None:
                status, said = await _get(f"http://127.0.0.1:{port}/readyz")
                if status == 200:
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"the operator was not ready within {READY_WITHIN:g} s; it says: {said}\n{self.tail()}")

    async def said(self, words: str, *, within: float = READY_WITHIN) -> None:
        """Wait until its log has these words."""
        deadline = time.monotonic() + within
        while not any(words in json.dumps(line) for line in self.lines()):
            assert time.monotonic() < deadline, f"the operator did not say {words!r} within {within:g} s:\n{self.tail()}"
            await asyncio.sleep(0.05)

    async def readiness(self) -> int:
        """Return the HTTP status of /readyz."""
        return (await _get(f"http://127.0.0.1:{self._port()}/readyz"))[0]

    async def stop(self) -> int:
        """Tell it to end and return its exit status."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash of its machine would."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._told = True
        if self.running:
            self._process.send_signal(number)
        async with asyncio.timeout(STOP_WITHIN):
            return await self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def trouble(self) -> str:
        """What must not happen to an operator, whatever happens around it; empty where all is well."""
        if self._process is not None and self._process.returncode is not None and not self._told:
            return f"the operator has ended with status {self._process.returncode}"
        bugs = [line for line in self.lines() if line.get("exception")]
        return f"the operator has a bug: {bugs[0]['exception']}" if bugs else ""

    def lines(self) -> list[dict[str, Any]]:
        """Return its log."""
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(self._read)
                whole, _, _ = log.read().rpartition(b"\n")
            self._read += len(whole) + 1 if whole else 0
            self._lines += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return self._lines

    def tail(self, lines: int = 40) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else "no log"

    def _port(self) -> int | None:
        return next((int(line["port"]) for line in self.lines() if line.get("event") == "listening"), None)


async def _get(url: str) -> tuple[int, str]:
    try:
        async with aiohttp.ClientSession() as session, session.get(url, timeout=aiohttp.ClientTimeout(total=10)) as response:
            return response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return 0, str(error)
