"""The operator as a process, as its image starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from nursery import Child, Nursery

READY_WITHIN = 60.0
STOP_WITHIN = 30.0
_OWN = {"KUBECONFIG", "TIDEGATE_CONFIG", "TIDEGATE_SANDBOX"}


_AWAY = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "away",
    "clusters": [{"name": "away", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "nobody", "user": {"token": "none"}}],
    "contexts": [{"name": "away", "context": {"cluster": "away", "user": "nobody"}}],
}


def without_api_server(folder: Path) -> Path:
    """Write a kubeconfig of an API server that is away, for which an operator waits, and return its path."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(_AWAY))
    return kubeconfig


class Operator:
    """One operator process.

    Args:
        folder: for its configuration and its log.
        kubeconfig: where the API server is, and as whom.
        namespaces: which it serves.
        config: its configuration, without the address of its endpoints.
        program: what is started; by default what the image starts.
        environment: variables for it besides those that there are.
        nursery: what it is forked off, in place of a program that is started.
        clock: file that says how far its clock is off, of one that is forked off; none for the host's.
    """

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        namespaces: Sequence[str],
        config: dict[str, Any],
        *,
        program: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        nursery: Nursery | None = None,
        clock: Path | None = None,
    ) -> None:
        self._program = program or (str(Path(sys.executable).with_name("tidegate")),)
        self._environment = environment or {}
        self._nursery, self._clock = nursery, clock
        self._config, self.log = folder / "config.yaml", folder / "operator.log"
        self._config.write_text(yaml.safe_dump({"httpHost": "127.0.0.1", "httpPort": 0, "probePort": 0, **config}))
        self._kubeconfig, self._namespaces = kubeconfig, namespaces
        self._process: asyncio.subprocess.Process | Child | None = None
        self._read, self._lines = 0, list[dict[str, Any]]()

    async def start(self) -> None:
        """Start it; `ready` waits until it serves."""
        arguments = ["run", "--config", str(self._config), "--kubeconfig", str(self._kubeconfig)]
        arguments += [part for name in self._namespaces for part in ("--namespace", name)]
        environment = {name: value for name, value in os.environ.items() if name not in _OWN} | dict(self._environment)
        if self._nursery is not None:
            self._process = await self._nursery.fork(arguments, self.log, environment, clock=self._clock)
            return
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._program, *arguments, stdout=log, stderr=log, env=environment
            )

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        deadline = time.monotonic() + READY_WITHIN
        while (said := await self.ask("/readyz"))[0] != 200:
            self.check()
            assert time.monotonic() < deadline, f"not ready within {READY_WITHIN:g} s: {said}\n{self.tail()}"
            await asyncio.sleep(0.05)

    def check(self) -> None:
        """Fail where something has happened that must not."""
        assert self.running, f"the operator has ended:\n{self.tail()}"

    async def ask(self, path: str, *, probe: bool = False) -> tuple[int, str]:
        """Return status and text of one of its endpoints, on the port of probes if so wished; status 0 while it does not listen."""
        port = self.probe_port if probe else self.port
        if port is None:
            return 0, "not listening"
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{port}{path}") as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, str(error)

    async def told(self, event: str) -> dict[str, Any]:
        """Wait until it logs an event, and return the line."""
        deadline = time.monotonic() + READY_WITHIN
        while (line := next((line for line in self.lines() if line.get("event") == event), None)) is None:
            assert time.monotonic() < deadline, self.tail()
            await asyncio.sleep(0.05)
        return line

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send it a signal; return its exit status, and the seconds until it had ended."""
        assert self._process is not None
        began = time.monotonic()
        if self.running:
            self._process.send_signal(number)
        return await self.ended(within=STOP_WITHIN), time.monotonic() - began

    async def ended(self, within: float) -> int:
        """Wait until it ends by itself, and return its exit status."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def port(self) -> int | None:
        """The port of its endpoints; None while it does not listen."""
        return self._listening("port")

    @property
    def probe_port(self) -> int | None:
        """The port of probes alone; None while it does not listen."""
        return self._listening("probePort")

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    def _listening(self, name: str) -> int | None:
        return next((int(line[name]) for line in self.lines() if line.get("event") == "listening"), None)

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
