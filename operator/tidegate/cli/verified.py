"""Whether a Release is back: its version in force has all pods and all traffic, and nothing is rolled out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tidegate.api.names import Condition, Phase, Reason
from tidegate.api.status import GateStatus, LastRollout, Outcome, ReleaseStatus, RevisionStatus

_AT_REST = frozenset({Reason.ROLLED_BACK, Reason.PAUSED})
"""Reasons for which a Release is stalled, and which are no trouble of what serves: a version is kept out, or held back."""


class Verdict(StrEnum):
    """What is found of one Release."""

    HEALTHY = "healthy"
    ROLLING_BACK = "rolling back"
    ROLLING_OUT = "rolling out"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pods:
    """The pods of the version in force.

    Attributes:
        ready: how many are ready.
        wanted: how many the workload is to have.
    """

    ready: int
    wanted: int

    def __str__(self) -> str:
        """Write them as kubectl does."""
        return f"{self.ready}/{self.wanted}"


@dataclass(frozen=True)
class Seen:
    """What was read around a Release beside its status.

    Attributes:
        pods: of the version in force, by its ReplicaSets; None where they could not be read, and those of the status count.
        weight: share of the requests that the routes give another version, in percent; None likewise.
        trouble: why its workload cannot be what it should, in words; empty where it can.
    """

    pods: Pods | None = None
    weight: int | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Verified:
    """One Release, as it was found.

    Attributes:
        namespace: its namespace.
        release: its name.
        verdict: what it comes to.
        version: the version in force; empty where none is.
        revision: its revision.
        pods: its pods.
        weight: its share of the requests, in percent.
        gates: the gates of the rollout that is on, or of the last one.
        told: of which version the gates tell; empty where there are none.
        message: why, for people.
    """

    namespace: str
    release: str
    verdict: Verdict
    version: str
    revision: str
    pods: Pods
    weight: int
    gates: tuple[GateStatus, ...]
    told: str
    message: str

    @property
    def place(self) -> str:
        """Namespace and name, as people write them."""
        return f"{self.namespace}/{self.release}"

    @property
    def healthy(self) -> bool:
        """Whether it is back."""
        return self.verdict is Verdict.HEALTHY

    def to_wire(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "namespace": self.namespace,
            "release": self.release,
            "verdict": self.verdict.value,
            "healthy": self.healthy,
            "version": self.version or None,
            "revision": self.revision or None,
            "podsReady": self.pods.ready,
            "podsWanted": self.pods.wanted,
            "weight": self.weight,
            "gatesOf": self.told or None,
            "gates": [{"name": gate.name, "verdict": gate.verdict.value, "message": gate.message} for gate in self.gates],
            "message": self.message,
        }

    def row(self) -> tuple[str, ...]:
        """Return it as a row of the table."""
        mark = "✓" if self.healthy else "✗"
        return (
            f"{mark} {self.verdict}",
            self.place,
            self.version or "none",
            str(self.pods),
            f"{self.weight}%",
            _gates(self.gates, self.told),
            self.message,
        )


HEADINGS = ("VERDICT", "RELEASE", "VERSION", "PODS", "TRAFFIC", "GATES", "MESSAGE")


def verified(release: Mapping[str, Any], status: ReleaseStatus, seen: Seen, expected: str | None = None) -> Verified:
    """Return what is found of a Release.

    Args:
        release: as stored.
        status: its status.
        seen: what was read around it.
        expected: name or revision of the version that is to be in force; None for whichever is.
    """
    metadata = release["metadata"]
    stable = status.stable or RevisionStatus(revision="")
    away = max(status.carried, seen.weight or 0)
    pods = seen.pods or Pods(stable.ready, stable.replicas)
    verdict, message = _found(metadata, status, Seen(pods, away, seen.trouble), expected)
    last = status.last_rollout
    told = status.candidate.version if status.candidate is not None else last.version if last is not None else ""
    gates = status.gates if status.candidate is not None else last.gates if last is not None else ()
    return Verified(
        namespace=str(metadata["namespace"]),
        release=str(metadata["name"]),
        verdict=verdict,
        version=stable.version or stable.revision,
        revision=stable.revision,
        pods=pods,
        weight=100 - away if status.stable is not None else 0,
        gates=gates,
        told=told if gates else "",
        message=message,
    )


def _found(metadata: Mapping[str, Any], status: ReleaseStatus, seen: Seen, expected: str | None) -> tuple[Verdict, str]:
    """Return the verdict, and why."""
    generation = int(metadata.get("generation") or 0)
    if metadata.get("deletionTimestamp"):
        return Verdict.UNKNOWN, "the Release is being deleted"
    if status.stable is None:
        return Verdict.UNKNOWN, status.message or "the operator has not seen this Release: is it running?"
    if status.observed_generation < generation:
        of = f"the status is of generation {status.observed_generation}, the spec of {generation}"
        return Verdict.UNKNOWN, f"the operator has not seen the last change ({of}): is it running?"
    if status.rollout is not None:
        undoing = status.rollout.undo is not None or status.phase is Phase.ROLLING_BACK
        return Verdict.ROLLING_BACK if undoing else Verdict.ROLLING_OUT, status.message
    if trouble := _trouble(status, status.stable, seen, expected):
        return Verdict.UNHEALTHY, trouble
    scaled = seen.pods is not None and seen.pods.wanted == 0
    return Verdict.HEALTHY, "it is scaled to 0, so no pod serves" if scaled else _well(status)


def _trouble(status: ReleaseStatus, stable: RevisionStatus, seen: Seen, expected: str | None) -> str:
    """Return what is wrong with a Release that has no rollout, in words; empty where nothing is."""
    version, pods = stable.version or stable.revision, seen.pods
    if expected is not None and expected not in (stable.version, stable.revision):
        return f"{version} is in force, not {expected}"
    if seen.trouble:
        return seen.trouble
    if seen.weight:
        return f"the routes give {seen.weight}% to another version than {version}"
    if pods is not None and pods.ready < pods.wanted:
        why = f": {stable.trouble}" if stable.trouble else ""
        return f"{pods.ready} of {pods.wanted} pods of {version} are ready{why}"
    stalled = next((one for one in status.conditions if one.type == Condition.STALLED and one.status == "True"), None)
    return stalled.message if stalled is not None and stalled.reason not in _AT_REST else ""


def _well(status: ReleaseStatus) -> str:
    last = status.last_rollout
    if last is None or last.outcome is Outcome.PROMOTED:
        return status.message
    return _ended(last)


def _ended(last: LastRollout) -> str:
    how = {Outcome.ROLLED_BACK: "was rolled back", Outcome.REVERTED: "was taken back"}.get(last.outcome, "was replaced")
    return f"{last.version} {how}: {last.message}"


def _gates(gates: tuple[GateStatus, ...], told: str) -> str:
    """Return the gates for people, those that failed first: whoever reads this has one of them in mind."""
    if not gates:
        return "none"
    counts: dict[str, list[str]] = {}
    for gate in gates:
        counts.setdefault(gate.verdict.value, []).append(gate.name)
    parts = [f"{verdict}: {', '.join(counts[verdict])}" for verdict in ("Fail", "Undecided", "Pass") if verdict in counts]
    return f"{'; '.join(parts)} ({told})"
