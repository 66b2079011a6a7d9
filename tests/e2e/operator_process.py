"""The operator as the stories know it: quick, talkative, and watched for bugs."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import operator_process
from nursery import shared
from operator_process import READY_WITHIN

QUICK = {"logLevel": "debug", "warmUp": "500ms", "statusHeartbeat": "1s"}

TOLD = "was told to fail"
"""Words of exceptions that a test has asked for."""


class Operator(operator_process.Operator):
    """One operator that serves some namespaces.

    Args:
        folder: in which it gets a folder of its own for its configuration and its log.
        kubeconfig: where the API server is, and as whom.
        namespaces: which it serves.
        config: its configuration, without the address of its endpoints.
        clock: file that says how far its clock is off; none for the host's.
    """

    def __init__(
        self, folder: Path, kubeconfig: Path, namespaces: Sequence[str], config: dict[str, Any], *, clock: Path | None = None
    ) -> None:
        own = Path(tempfile.mkdtemp(prefix="operator-", dir=folder))
        super().__init__(own, kubeconfig, namespaces, QUICK | config, nursery=shared(), clock=clock)
        self._told = False

    async def start(self) -> None:
        """Start it; `ready` waits until it serves."""
        await super().start()
        # Not before: until there is another process, the one that was told to end is the last.
        self._told = False

    def check(self) -> None:
        """Fail where it has ended by itself or has logged an exception."""
        assert not self.trouble, f"{self.trouble}\n{self.tail()}"

    async def said(self, words: str, *, within: float = READY_WITHIN) -> None:
        """Wait until its log has these words."""
        deadline = time.monotonic() + within
        while not any(words in json.dumps(line) for line in self.lines()):
            assert time.monotonic() < deadline, f"the operator did not say {words!r} within {within:g} s:\n{self.tail()}"
            await asyncio.sleep(0.05)

    async def readiness(self) -> int:
        """Return the HTTP status of /readyz."""
        return (await self.ask("/readyz"))[0]

    async def stop(self) -> int:
        """Tell it to end and return its exit status."""
        return await self._finish(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash of its machine would."""
        await self._finish(signal.SIGKILL)

    async def _finish(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._told = True
        return (await self.end(number))[0]

    @property
    def trouble(self) -> str:
        """What must not happen to an operator, whatever happens around it; empty where all is well."""
        if self._process is not None and self._process.returncode is not None and not self._told:
            return f"the operator has ended with status {self._process.returncode}"
        return self.bug

    @property
    def bug(self) -> str:
        """The first exception that it has logged, but for what a test has told it to raise; empty where there is none."""
        logged = (line.get("exception") for line in self.lines())
        bugs = [exception for exception in logged if exception and TOLD not in exception]
        return f"the operator has a bug: {bugs[0]}" if bugs else ""
