"""What a machine must have before anything is built: said at once, with what to do, and not after minutes of compiling."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tidegate_sandbox import cache, isolation

_GIGABYTE = 1_000_000_000

ROOM = {"GOMODCACHE": 2.5, "GOCACHE": 4.0, "the programs": 0.8}
"""Gigabytes that the first build of everything takes at most, and some to spare: Go's modules, what is compiled, the programs."""


class LackingError(Exception):
    """The machine lacks something that the local cluster needs; the message says what, and what to do."""


def check_platform(system: str | None = None, machine: str | None = None) -> None:
    """Raise LackingError where the local cluster cannot run at all.

    Args:
        system: name of the operating system; by default this machine's.
        machine: name of the processor's kind; by default this machine's.
    """
    system, machine = system or platform.system(), machine or platform.machine()
    if (system, machine) not in {("Linux", "x86_64"), ("Linux", "aarch64")}:
        raise LackingError(
            f"The local cluster runs on Linux on x86-64, and this is {system} on {machine}. Use such a machine, or a virtual"
            " machine or container of that kind. What needs no cluster runs here too: make simulate, make unit"
        )


def check_isolation(isolate: Callable[[], None] = isolation.isolate) -> None:
    """Raise LackingError where the kernel does not let this user have the namespaces that the local cluster runs in.

    A child tries it: who has moved into namespaces cannot move out again.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            isolate()
        except isolation.IsolationError as refused:
            os.write(writer, str(refused).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as answer:
        refused_because = answer.read()
    os.waitpid(child, 0)
    if refused_because:
        raise LackingError(refused_because)


def check_room_to_build(go: Path, free: Callable[[Path], int] | None = None) -> None:
    """Raise LackingError where the disks have too little room to build the programs.

    Args:
        go: the Go program, which knows where it keeps things.
        free: tells how many bytes are free at a path; by default, asks the file system.
    """
    free = free or (lambda path: shutil.disk_usage(path).free)
    answer = subprocess.run([go, "env", "GOMODCACHE", "GOCACHE"], capture_output=True, text=True, check=False)
    places = [Path(line) for line in answer.stdout.splitlines()]
    if len(places) != 2:
        return
    needed: dict[int, tuple[Path, float]] = {}
    for place, gigabytes in zip([*places, cache.directory()], ROOM.values(), strict=True):
        there = next(path for path in [place, *place.parents] if path.exists())
        device = there.stat().st_dev
        first, sum_so_far = needed.get(device, (there, 0.0))
        needed[device] = (first, sum_so_far + gigabytes)
    for there, gigabytes in needed.values():
        if free(there) < gigabytes * _GIGABYTE:
            raise LackingError(
                f"Building the programs of the local cluster needs {gigabytes:.1f} GB on the disk of {there}, and"
                f" {free(there) / _GIGABYTE:.1f} GB are free. Make room there (`go clean -cache` drops what Go can compile again),"
                " or name another disk in GOMODCACHE, GOCACHE and XDG_CACHE_HOME"
            )
