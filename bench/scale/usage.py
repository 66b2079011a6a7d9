"""What the operator costs: requests to the API server by its audit log, processor time and memory by /proc."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

OPERATOR = "system:serviceaccount:tidegate-system:tidegate"
UPKEEP = ("watch ", "list ", "get mutatingadmissionpolicies", "get mutatingadmissionpolicybindings")
_GIVEN_UP = "context canceled"
_BLOCK = 1 << 23
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Requests:
    """Requests of the operator in a time.

    Attributes:
        by_kind: how many, by verb and resource.
    """

    by_kind: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All of them, but for watches, which are not for one Release."""
        return sum(count for kind, count in self.by_kind.items() if not kind.startswith("watch "))

    @property
    def upkeep(self) -> int:
        """Those that are made however many Releases there are: watches and lists of everything, and looks at the hold policy."""
        return sum(count for kind, count in self.by_kind.items() if kind.startswith(UPKEEP))

    def words(self) -> str:
        """Say what they were, most frequent first."""
        return ", ".join(f"{kind} {count}" for kind, count in self.by_kind.most_common())


class Audit:
    """Reads the audit log from where it was read last.

    The API server begins a new file after 100 MB, and names the old one after its time: audit-2026-01-01T00-00-00.000.log.

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        # The file that was read last, by its number on the disk, which it keeps under another name, and how far.
        self._file, self._read = (path.stat().st_ino, path.stat().st_size) if path.exists() else (0, 0)

    def since(self) -> Requests:
        """Return what the operator has asked for since this was asked last."""
        found = Requests()
        for new in self._blocks():
            *lines, self._rest = (self._rest + new).split(b"\n")
            for line in lines:
                # Most of the log is not the operator's: a look at the bytes is ten times as fast as to parse it all.
                if OPERATOR.encode() in line:
                    _count(found, orjson.loads(line))
        return found

    def _blocks(self) -> Iterator[bytes]:
        """Return what is new, file by file."""
        files = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))
        files += [self._path] if self._path.exists() else []
        numbers = [file.stat().st_ino for file in files]
        begin = numbers.index(self._file) if self._file in numbers else 0
        for file, number in list(zip(files, numbers, strict=True))[begin:]:
            with file.open("rb") as log:
                if os.fstat(log.fileno()).st_ino != number:
                    # It got its other name just now, and is read under that the next time.
                    return
                log.seek(self._read if number == self._file else 0)
                while block := log.read(_BLOCK):
                    yield block
                self._file, self._read = number, log.tell()


def _count(found: Requests, entry: dict[str, Any]) -> None:
    watching = entry["verb"] == "watch"
    # A watch is told of when it begins and when it ends.
    if entry.get("user", {}).get("username") != OPERATOR or entry["stage"] != (
        "ResponseStarted" if watching else "ResponseComplete"
    ):
        return
    reference = entry.get("objectRef") or {}
    resource = "/".join(part for part in (reference.get("resource"), reference.get("subresource")) if part)
    status = entry.get("responseStatus") or {}
    # The API server writes 500 for a request whose client has gone: a list that nobody wants any more is given up.
    gone = status.get("message") == _GIVEN_UP
    refused = " given up" if gone else f" {status['code']}" if status.get("code", 0) >= 400 else ""
    found.by_kind[f"{entry['verb']} {resource or entry['requestURI']}{refused}"] += 1


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_by_program() -> dict[str, float]:
    """Return the processor time, in seconds, of all processes of the sandbox that this runs in, by the name of their program."""
    used: dict[str, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = text.rpartition(")")[2].split()
        name = text.partition("(")[2].rpartition(")")[0]
        used[name] = used.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
    return used


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MB (10^6 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def handles(pid: int) -> int:
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Meter:
    """Measures the processor time of a process between two moments."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began, self._used = time.monotonic(), cpu_seconds(pid)

    @property
    def cores(self) -> float:
        """Processors that it has kept busy on average since."""
        return (cpu_seconds(self._pid) - self._used) / (time.monotonic() - self._began)

    @property
    def seconds(self) -> float:
        """Seconds since."""
        return time.monotonic() - self._began


class Spent:
    """Tells which programs of the sandbox have used how much processor time since."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), cpu_by_program()

    def words(self) -> str:
        """Say how long it took, and the processor seconds of each program, most first; a second or more."""
        used = {name: seconds - self._before.get(name, 0.0) for name, seconds in cpu_by_program().items()}
        parts = [f"{name} {seconds:.0f}" for name, seconds in sorted(used.items(), key=lambda one: -one[1]) if seconds >= 1]
        return f"{time.monotonic() - self._began:.0f} s; processor seconds: {', '.join(parts)}"
