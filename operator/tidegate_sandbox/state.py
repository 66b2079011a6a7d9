"""What a sandbox's directory says: the plan that it was started with, and how far it has come."""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tidegate_sandbox.cluster import ClusterInfo, ClusterSpec, Layout

STARTING, READY, FAILED = "starting", "ready", "failed"


@dataclass(frozen=True)
class Plan:
    """What the launcher was asked to bring up.

    Attributes:
        spec: the cluster.
        bin_dir: the programs.
        command: what to run inside; without one the sandbox stays up until it is told to end.
        attached: whether it ends with the process that launched it.
    """

    spec: ClusterSpec
    bin_dir: Path
    command: tuple[str, ...] = ()
    attached: bool = False

    def save(self, layout: Layout) -> None:
        """Write the plan into a sandbox's directory."""
        layout.plan.write_text(json.dumps({**asdict(self), "bin_dir": str(self.bin_dir)}))

    @classmethod
    def load(cls, layout: Layout) -> Self:
        """Read the plan of a sandbox's directory."""
        fields: dict[str, Any] = json.loads(layout.plan.read_text())
        spec = ClusterSpec(**{**fields["spec"], "parts": tuple(fields["spec"]["parts"])})
        return cls(spec, Path(fields["bin_dir"]), tuple(fields["command"]), fields["attached"])


@dataclass
class State:
    """The state file while the sandbox writes it: replaced as a whole, so that readers never see half of it."""

    layout: Layout
    phase: str = STARTING
    error: str = ""
    programs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    cluster: ClusterInfo | None = None
    begun: float = field(default_factory=time.monotonic)

    def write(self) -> None:
        """Write the file."""
        content: dict[str, Any] = {
            "phase": self.phase,
            "error": self.error,
            "seconds": round(time.monotonic() - self.begun, 2),
            "programs": self.programs,
            "outside": self.outside,
        }
        if self.cluster is not None:
            content["cluster"] = self.cluster.to_json()
        written = self.layout.state.with_suffix(".new")
        written.write_text(json.dumps(content, indent=2))
        written.replace(self.layout.state)

    def fail(self, error: str) -> None:
        """Record that the sandbox did not come up."""
        self.phase, self.error = FAILED, error
        self.write()


def read(layout: Layout) -> dict[str, Any] | None:
    """Return what the state file says; None where there is none."""
    try:
        content: dict[str, Any] = json.loads(layout.state.read_text())
    except FileNotFoundError:
        return None
    return content


def alive(layout: Layout) -> bool:
    """Whether a process of the sandbox's own is there: it holds the lock for as long as it lives."""
    try:
        handle = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
