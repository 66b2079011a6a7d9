"""Where a cell is measured: a fresh cluster with deploy/ installed, the stand-ins, and one operator process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from bench.scale.fleet import Fleet, Name  # noqa: E402
from bench.scale.gateway import Gateway, Statuses  # noqa: E402
from bench.scale.progress import say  # noqa: E402
from bench.scale.telemetry import Telemetry  # noqa: E402
from bench.scale.usage import Audit, Requests  # noqa: E402

from api.cluster_client_access import api_server, kubeconfig_with  # noqa: E402 - found by the line above
from api.operator_access import token_of  # noqa: E402
from faults.setting import install  # noqa: E402
from operator_process import Operator  # noqa: E402
from tidegate.cluster.client import Cluster  # noqa: E402
from tidegate_sandbox.cluster import ClusterInfo  # noqa: E402

QUIET_SECONDS = 3.0
PATIENCE = 1200.0


class Process(Operator):
    """The operator, with its defaults but for a connection to the stand-in, and without an election.

    Attributes:
        profile: file that takes a profile; None for the plain process.
    """

    profile: Path | None = None

    async def start(self) -> None:
        """Start it, under a profiler where one is wanted."""
        if self.profile is None:
            await super().start()
            return
        arguments = ["-m", "bench.scale.profiled", str(self.profile), "run", "--config", str(self._config)]
        arguments += ["--kubeconfig", str(self._kubeconfig)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=log, stderr=log, cwd=ROOT)

    async def begin_profile(self) -> None:
        """Put what comes from now on into a profile of its own, if one is wanted."""
        if self.profile is None:
            return
        wanted = self.profile.with_name(f"{self.profile.name}.next")
        wanted.touch()
        while wanted.exists():  # noqa: ASYNC110 - another process removes it
            await asyncio.sleep(0.1)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid


@dataclass
class Place:
    """One cluster with all that is needed to measure.

    Attributes:
        cluster: the API, with the rights of an administrator.
        telemetry: answers for the gates.
        gateway: accepts routes.
        statuses: of all Releases.
        audit: the requests of the operator.
        folder: for files.
        operators: that were started, oldest first.
        profile: folder for profiles; None where none is wanted.
    """

    cluster: Cluster
    telemetry: Telemetry
    gateway: Gateway
    statuses: Statuses
    audit: Audit
    folder: Path
    operators: list[Process]
    token: str
    profile: Path | None = None

    @property
    def operator(self) -> Process:
        """The operator that was started last."""
        return self.operators[-1]

    async def start(self, **more: Any) -> float:
        """Start an operator, with more in its configuration; return the seconds until it was ready."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        kubeconfig = kubeconfig_with(self.token, folder / "kubeconfig")
        config = {"connections": [{"name": "stand-in", "address": self.telemetry.address}], "leaderElection": {"enabled": False}}
        operator = Process(folder, kubeconfig, [], config | more)
        if self.profile is not None:
            operator.profile = self.profile.with_suffix(f".{len(self.operators)}.txt")
        self.operators.append(operator)
        began = time.monotonic()
        await operator.start()
        await operator.ready()
        return time.monotonic() - began

    async def until(self, what: str, holds: Callable[[], bool], *, within: float = PATIENCE, every: float = 0.1) -> None:
        """Wait until something holds."""
        began = told = time.monotonic()
        while not holds():
            self.operator.check()
            await asyncio.sleep(every)
            now = time.monotonic()
            if now - told > 15:
                told = now
                say(f"  waiting for {what} ({now - began:.0f} s)")
            assert now - began < within, f"not within {within:g} s: {what}\n{self.operator.tail()}"

    async def quiet(self) -> Requests:
        """Wait until the operator asks for nothing any more; return what it has asked for since the audit log was read last."""
        whole, still = Requests(), time.monotonic()
        while time.monotonic() - still < QUIET_SECONDS:
            await asyncio.sleep(0.5)
            found = self.audit.since()
            whole.by_kind.update(found.by_kind)
            if found.total:
                still = time.monotonic()
        return whole

    def all_are(self, names: Iterable[Name], phase: str, **fields: object) -> Callable[[], bool]:
        """Return a function that tells whether all of these Releases are in a phase, and have these values in their status."""
        wanted = tuple(names)

        def holds() -> bool:
            statuses = (self.statuses.of.get(name) or {} for name in wanted)
            return all(
                status.get("phase") == phase and all(status.get(field) == value for field, value in fields.items())
                for status in statuses
            )

        return holds

    async def mid_canary(self, fleet: Fleet, version: str) -> None:
        """Roll a version out to its first step everywhere, and wait until it is judged there."""
        self.telemetry.heal()
        self.telemetry.stable = await fleet.stable_revisions()
        await fleet.roll_out(version)

        def at_step(name: tuple[str, str]) -> bool:
            status = self.statuses.of.get(name) or {}
            step = status.get("step") or {}
            return (
                status.get("weight") == 20 and step.get("since") is not None and status["candidate"]["version"].startswith(version)
            )

        await self.until("the first step everywhere", lambda: all(map(at_step, fleet.names)))
        await self.until("looks everywhere", lambda: self.judged(fleet, looks=3))

    def judged(self, fleet: Fleet, *, looks: int = 2) -> bool:
        """Whether every service has had so many looks; the first only finds where counters begin."""
        return self.all_judged(fleet.names, looks=looks)

    def all_judged(self, names: Iterable[Name], *, looks: int) -> bool:
        """Whether each of these services has had so many looks."""
        seen = self.telemetry.seen
        return all(name in seen and seen[name].looks >= looks for name in names)


@asynccontextmanager
async def place(interval: float, *, profile: Path | None = None) -> AsyncIterator[Place]:
    """Open a place in the sandbox that this runs in.

    Args:
        interval: seconds between two looks of a gate.
        profile: where profiles of the operator go.
    """
    await asyncio.to_thread(install)
    telemetry = Telemetry(interval)
    await telemetry.start()
    audit = Audit(ClusterInfo.from_environment().audit_log)
    token = await asyncio.to_thread(token_of, "tidegate")
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        async with api_server() as cluster:
            gateway, statuses = Gateway(cluster), Statuses(cluster)
            parts = [asyncio.create_task(gateway.run()), asyncio.create_task(statuses.run())]
            found = Place(cluster, telemetry, gateway, statuses, audit, Path(folder), [], token, profile)
            try:
                yield found
            finally:
                for operator in found.operators:
                    with contextlib.suppress(Exception):
                        await operator.end(signal.SIGTERM)
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
                await telemetry.stop()
