"""What the operator costs: requests to the API server by its audit log, processor time and memory by /proc."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

OPERATOR = "system:serviceaccount:tidegate-system:tidegate"
UPKEEP = ("watch ", "list ", "get mutatingadmissionpolicies", "get mutatingadmissionpolicybindings")
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

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def since(self) -> Requests:
        """Return what the operator has asked for since this was asked last."""
        with self._path.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        found = Requests()
        for line in lines:
            # Most of the log is not the operator's: a look at the bytes is ten times as fast as to parse it all.
            if OPERATOR.encode() in line:
                _count(found, orjson.loads(line))
        return found


def _count(found: Requests, entry: dict[str, Any]) -> None:
    watching = entry["verb"] == "watch"
    # A watch is told of when it begins and when it ends.
    if entry.get("user", {}).get("username") != OPERATOR or entry["stage"] != (
        "ResponseStarted" if watching else "ResponseComplete"
    ):
        return
    reference = entry.get("objectRef") or {}
    resource = "/".join(part for part in (reference.get("resource"), reference.get("subresource")) if part)
    code = (entry.get("responseStatus") or {}).get("code", 0)
    refused = f" {code}" if code >= 400 else ""
    found.by_kind[f"{entry['verb']} {resource or entry['requestURI']}{refused}"] += 1


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MB (10^6 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


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
