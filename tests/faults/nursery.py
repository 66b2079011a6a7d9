"""Starts operators in a few hundredths of a second: each is forked off one process that has imported everything already.

What is forked runs the command line as the operator's image does, and is a process of its own: it can be killed, stopped and
continued. To import the operator anew for each of a thousand starts would take longer than the faults themselves.

The host's clock cannot be stepped here without hurting everything else on the machine, so an operator may be given a clock that
is as far off the host's as a file says at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NoReturn, Self

OFFSET = struct.Struct("<d")
"""Content of a clock file: seconds that the operator's wall clock is ahead of the host's."""
POISON = "FAULTS_POISON"
"""Variable of the environment that names the file which names the gate whose judge is to fail."""
_OWN = ("KUBECONFIG", "TIDEGATE_CONFIG", "TIDEGATE_SANDBOX")


class Child:
    """One process of the nursery, with what tests use of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait until it has ended; return its exit status, negative where a signal ended it."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def end(self, status: int) -> None:
        """Note how it ended."""
        self.returncode = status
        self._ended.set()


class Nursery:
    """The process that operators are forked off; all of them end with it, and it ends with the tests."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._early: dict[int, int] = {}
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._one_at_a_time = asyncio.Lock()
        self._ended = ""

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faults.nursery",
            stdin=theirs,
            env={**os.environ, "PYTHONPATH": paths},
            cwd=Path(__file__).parents[2],
        )
        theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def fork(self, arguments: Sequence[str], log: Path, *, clock: Path | None = None, **environment: str) -> Child:
        """Start an operator.

        Args:
            arguments: of the command line.
            log: file that takes its output.
            clock: file that says how far its clock is off; none for the host's.
            environment: of the process, beside what it inherits.
        """
        wanted = {"arguments": list(arguments), "log": str(log), "clock": str(clock or ""), "environment": environment}
        async with self._one_at_a_time:
            assert not self._ended, self._ended
            self._writer.write(json.dumps(wanted).encode() + b"\n")
            await self._writer.drain()
            pid = await self._born.get()
            assert pid, self._ended
        child = self._children[pid] = Child(pid)
        if pid in self._early:
            child.end(self._early.pop(pid))
        return child

    async def _listen(self) -> None:
        try:
            await self._hear()
        finally:
            self._ended = f"the nursery has ended with status {self._process.returncode}"
            for child in self._children.values():
                child.end(-signal.SIGKILL)
            self._born.put_nowait(0)

    async def _hear(self) -> None:
        while line := await self._reader.readline():
            told = json.loads(line)
            if "born" in told:
                self._born.put_nowait(told["born"])
            elif (child := self._children.pop(told["died"], None)) is not None:
                child.end(told["status"])
            else:
                self._early[told["died"]] = told["status"]


def write_offset(clock: Path, seconds: float) -> None:
    """Step the clock of the operators that have this file, from now on."""
    with clock.open("r+b" if clock.exists() else "w+b") as file:
        file.write(OFFSET.pack(seconds))


# Inside the nursery.


def serve() -> NoReturn:
    """Fork off what is asked for, and tell of what ends, until nobody asks any more."""
    from tidegate_sandbox import isolation

    isolation.die_with_parent()
    _import_everything()
    asked = socket.socket(fileno=os.dup(0))
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    rest = b""
    while True:
        ready, _, _ = select.select([asked, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _bury(asked)
        if asked in ready:
            more = asked.recv(65536)
            if not more:
                os._exit(0)
            *lines, rest = (rest + more).split(b"\n")
            for line in lines:
                _tell(asked, born=_fork(json.loads(line)))


def _import_everything() -> None:
    import gc

    import kopf  # noqa: F401
    import uvloop  # noqa: F401

    from tidegate import edge  # noqa: F401
    from tidegate.cli import main  # noqa: F401
    from tidegate.controller.process import app  # noqa: F401

    gc.collect()
    gc.freeze()


def _tell(asked: socket.socket, **what: int) -> None:
    asked.sendall(json.dumps(what).encode() + b"\n")


def _bury(asked: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _tell(asked, died=pid, status=os.waitstatus_to_exitcode(status))


def _fork(wanted: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = _operate(wanted)
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - this process never returns into the one that it was forked from
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _operate(wanted: dict[str, Any]) -> int:
    from tidegate_sandbox import isolation

    isolation.die_with_parent()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(wanted["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 1024)
    for name in _OWN:
        os.environ.pop(name, None)
    os.environ.update(wanted["environment"])
    if wanted["clock"]:
        _step_clock(Path(wanted["clock"]))

    if poison := wanted["environment"].get(POISON):
        _poison_judges(Path(poison))

    from tidegate.cli.main import app

    app(wanted["arguments"], standalone_mode=False)
    return 0


class PoisonError(Exception):
    """What a judge raises that was told to."""


def _poison_judges(path: Path) -> None:
    """Have both judges raise over the gate that a file names, for as long as there is one."""
    from tidegate.judge import limit
    from tidegate.judge.evidence import gate as evidence

    def poisoned(judge: Callable[..., Any]) -> Callable[..., Any]:
        def judged(gate: Any, *arguments: Any, **more: Any) -> Any:
            if path.exists() and path.read_text() == gate.name:
                msg = f"the judge of {gate.name} was told to fail"
                raise PoisonError(msg)
            return judge(gate, *arguments, **more)

        return judged

    limit.judge = poisoned(limit.judge)
    evidence.judge, evidence.fails = poisoned(evidence.judge), poisoned(evidence.fails)


def _step_clock(path: Path) -> None:
    """Have the module in which the operator reads the host's clock find it off."""
    from tidegate.runtime import clock

    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), OFFSET.size, access=mmap.ACCESS_READ)

    def offset() -> float:
        return float(OFFSET.unpack_from(content)[0])

    class SteppedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> SteppedDatetime:
            return super().now(tz) + timedelta(seconds=offset())

    class SteppedTime:
        def time(self) -> float:
            return time.time() + offset()

        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

    clock.datetime = SteppedDatetime  # type: ignore[misc]
    clock.time = SteppedTime()  # type: ignore[assignment]


if __name__ == "__main__":
    serve()
