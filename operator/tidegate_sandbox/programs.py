"""The programs of a running sandbox: started with a log file each, watched until they are ready."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

READY_SECONDS = 60.0
"""How long a program may take to become ready: ten times what it takes on an idle machine of two cores."""

TAIL_LINES = 15

_POLL_SECONDS = 0.05

Check = Callable[[], Awaitable[str | None]]
"""Tells what is still missing; None when nothing is."""


class PartError(Exception):
    """A program of the sandbox ended or did not become ready; the message names it and shows the end of its log."""


@dataclass
class Program:
    """One program: how to start it, how to tell that it is ready, and its process while it runs.

    Attributes:
        name: what people call it.
        argv: the command.
        log: file that takes its output; appended to on a restart.
        environment: of its process.
        ready: tells what is still missing.
    """

    name: str
    argv: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str]
    ready: Check
    seconds: float | None = None
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    expected_to_run: bool = False

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            PartError: it ended, or was not ready in time.
        """
        begun = time.monotonic()
        await self.spawn()
        await self.wait_until_ready()
        self.seconds = time.monotonic() - begun

    async def spawn(self) -> None:
        """Start it without waiting.

        Raises:
            PartError: it could not be started.
        """
        with self.log.open("ab") as log:
            try:
                self.process = await asyncio.create_subprocess_exec(
                    *self.argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
                )
            except OSError as error:
                raise PartError(f"{self.name} could not be started: {error}") from error
        self.expected_to_run = True

    async def wait_until_ready(self) -> None:
        """Wait until it is ready.

        Raises:
            PartError: it ended, or was not ready in time.
        """
        await until(self.ready, self.name, program=self)

    async def stop(self) -> None:
        """Kill it at once: nothing that it holds is worth a graceful end, and an API server lingers on open watches."""
        self.expected_to_run = False
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def freeze(self) -> None:
        """Have it hang: its connections stay open and it answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None or self.process.returncode is not None:
            raise PartError(f"{self.name} does not run")
        self.process.send_signal(number)

    def ended(self) -> str:
        """Return the sentence that tells its end, with the end of its log."""
        status = self.process.returncode if self.process is not None else None
        return f"{self.name} ended with status {status}{self.tail()}"

    def tail(self) -> str:
        """Return the end of its log, introduced for a message."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        if not lines:
            return "; it wrote nothing"
        return f"; the end of {self.log}:\n" + "\n".join(f"    {line[:400]}" for line in lines[-TAIL_LINES:])


async def until(check: Check, name: str, *, program: Program | None = None, seconds: float = READY_SECONDS) -> None:
    """Poll a check until nothing is missing.

    Args:
        check: tells what is still missing.
        name: whom an error names.
        program: whose end, while waiting, is an error.
        seconds: how long to wait.

    Raises:
        PartError: the program ended, or the time is up.
    """
    deadline = time.monotonic() + seconds
    missing: str | None = "nothing was seen of it"
    while time.monotonic() < deadline:
        if program is not None and not program.running:
            raise PartError(program.ended())
        missing = await check()
        if missing is None:
            return
        await asyncio.sleep(_POLL_SECONDS)
    tail = program.tail() if program is not None else ""
    raise PartError(f"{name} was not ready after {seconds:.0f} s: {missing}{tail}")
