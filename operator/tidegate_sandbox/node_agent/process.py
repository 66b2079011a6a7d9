"""Local processes that stand for containers.

Each is in a session of its own: whatever it has started can be ended with it, as a container's processes end with the container.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    # Runs between fork and exec. A killed agent must leave no container behind: nobody would stop it any more.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Process:
    """A running program in a session of its own. Create with :func:`start`."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = loop.create_future()
        # A pidfd turns readable when the process ends: no thread and no SIGCHLD handler per process.
        self._pidfd = os.pidfd_open(popen.pid)
        loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        # What the program left behind ends with it, as in a container whose first process has ended. The group goes
        # before the process is reaped: until then no other group can carry its number.
        self._signal_group(signal.SIGKILL)
        code = self._popen.wait()
        if not self._exit.done():
            self._exit.set_result(code if code >= 0 else 128 - code)

    async def wait(self) -> int:
        """Wait for the end and return the exit code, 128 + n for a process ended by signal n. May be cancelled."""
        return await asyncio.shield(self._exit)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._exit.done()

    def terminate(self) -> None:
        """Send SIGTERM to the first process, as container runtimes do. No error where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and its group. No error where it has ended."""
        if not self.ended:
            self._signal_group(signal.SIGKILL)

    async def destroy(self) -> None:
        """Kill the process and wait until it is gone. No error where it has ended."""
        if not self.ended:
            self.kill()
            await self.wait()

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def start(arguments: Sequence[str], env: Mapping[str, str], cwd: pathlib.Path, log: pathlib.Path | None = None) -> Process:
    """Start a program with its output appended to ``log`` (discarded without one).

    Raises OSError where the program cannot be executed. Must be called on the event loop's thread: the kernel ends
    the process when the thread that started it ends.
    """
    with contextlib.ExitStack() as stack:
        output: int = subprocess.DEVNULL
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(log.open("ab")).fileno()
        popen = subprocess.Popen(
            list(arguments),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the agent runs no threads of its own
        )
    return Process(popen)


async def run(arguments: Sequence[str], env: Mapping[str, str], cwd: pathlib.Path, limit: float) -> int:
    """Run a program to its end and return its exit code. Kills it and raises TimeoutError after ``limit`` seconds."""
    process = start(arguments, env, cwd)
    try:
        # Not wait_for: Python 3.11's loses a cancellation that comes just as the process ends.
        async with asyncio.timeout(limit):
            return await process.wait()
    finally:
        await process.destroy()
