"""Starts operators in a few hundredths of a second: each is forked off one process that has imported everything already.

What is forked runs the command line as the operator's image does, and is a process of its own: it can be killed, stopped and
continued. To import the operator anew took a fifth of the processor time of the tests that run one.

The host's clock cannot be stepped here without hurting everything else on the machine, so an operator may be given a clock that
is as far off the host's as a file says at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NoReturn

OFFSET = struct.Struct("<d")
"""Content of a clock file: seconds that the operator's wall clock is ahead of the host's."""
POISON = "FAULTS_POISON"
"""Variable of the environment that names the file which names the gate whose judge is to fail."""


class Child:
    """One process of the nursery, with what tests use of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._ended = asyncio.create_task(self._listen(reader))

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait until it has ended; return its exit status, negative where a signal ended it."""
        return await asyncio.shield(self._ended)

    async def _listen(self, reader: asyncio.StreamReader) -> int:
        line = await reader.readline()
        self.returncode = int(line) if line else -signal.SIGKILL
        self._writer.close()
        return self.returncode


class Nursery:
    """The process that operators are forked off. It ends with this one; an operator ends with whoever asked for it."""

    def __init__(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="nursery-")
        self._address = str(Path(folder.name) / "socket")
        paths = os.pathsep.join(path for path in sys.path if path)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self._address)
            listening.listen(128)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nursery"], stdin=listening, env={**os.environ, "PYTHONPATH": paths}
            )
        self._folder = folder

    def end(self) -> None:
        """End it, and all that was forked off it."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    async def fork(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str], *, clock: Path | None = None
    ) -> Child:
        """Start an operator.

        Args:
            arguments: of the command line.
            log: file that takes its output.
            environment: of the process.
            clock: file that says how far its clock is off; none for the host's.
        """
        wanted = {"arguments": list(arguments), "log": str(log), "clock": str(clock or ""), "environment": dict(environment)}
        reader, writer = await asyncio.open_unix_connection(self._address)
        writer.write(json.dumps(wanted).encode() + b"\n")
        line = await reader.readline()
        assert line, f"the nursery has ended with status {self._process.poll()}"
        return Child(int(line), reader, writer)


@functools.cache
def shared() -> Nursery:
    """Return the one of this process, and start it when it is first asked for."""
    return Nursery()


def write_offset(clock: Path, seconds: float) -> None:
    """Step the clock of the operators that have this file, from now on."""
    with clock.open("r+b" if clock.exists() else "w+b") as file:
        file.write(OFFSET.pack(seconds))


# Inside the nursery.


def serve() -> NoReturn:
    """Fork off what is asked for, and tell of what ends, until the parent ends."""
    from tidegate_sandbox import isolation

    isolation.die_with_parent()
    _import_everything()
    listening = socket.socket(fileno=os.dup(0))
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    children: dict[socket.socket, int] = {}
    while True:
        for ready in select.select([listening, woken, *children], [], [])[0]:
            if ready is listening:
                asking, _ = listening.accept()
                children[asking] = _fork(json.loads(asking.makefile("rb").readline()))
                _tell(asking, children[asking])
            elif ready is woken:
                os.read(woken, 4096)
                _bury(children)
            elif ready in children:
                os.kill(children[ready], signal.SIGKILL)  # whoever asked for it has gone


def _import_everything() -> None:
    import gc

    import kopf  # noqa: F401
    import uvloop  # noqa: F401

    from tidegate import edge  # noqa: F401
    from tidegate.cli import main  # noqa: F401
    from tidegate.controller.process import app  # noqa: F401

    gc.collect()
    gc.freeze()


def _tell(asking: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):
        asking.sendall(b"%d\n" % number)


def _bury(children: dict[socket.socket, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (died := os.waitpid(-1, os.WNOHANG))[0]:
            asking = next(asking for asking, pid in children.items() if pid == died[0])
            del children[asking]
            _tell(asking, os.waitstatus_to_exitcode(died[1]))
            asking.close()


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
    os.environ.clear()
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
