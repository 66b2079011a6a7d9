"""What is played: the versions, what must become of each, and by which limits the demo judges itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from tidegate_sandbox.cluster import ClusterSpec
from tidegate_sandbox.demo import programs

ROOT = Path(__file__).resolve().parents[3]
"""The checkout."""
MANIFESTS = Path(__file__).with_name("manifests")
BUILD = ROOT / "build"
REPORT = BUILD / "demo.json"
OPERATOR_LOG = BUILD / "demo-operator.log"

NAMESPACE, NAME, HOST = "shop", "checkout", "shop.example"
REPOSITORY = "registry.example/checkout"
SERVICE_PORT = 80
OPERATOR_ACCOUNT = "tidegate"
OPERATOR_NAMESPACE = "tidegate-system"
OPERATOR_AGENT = "tidegate/"
"""How the operator's requests to the API server begin to name themselves."""

RATE = 200.0
"""Requests per second through Envoy."""
LEAST_RATE = 100.0
"""Fewer than that, over the whole demo, would prove too little."""
MOST_SECONDS = 300.0
"""For the whole demo, once binaries are cached. It takes about 155 s on two free cores and 230 s where others use them as well."""
REACTION_SECONDS = 1.5
"""What a shut-out may take beyond one gate interval."""


ERROR_RATE, P99 = "error-rate", "p99-latency"
"""The policy's gates that the demo looks at by itself."""


class Outcome(StrEnum):
    """How a version ends, as the Release says it."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"


class Cause(StrEnum):
    """Why, as the Release says it."""

    PROMOTED = "Promoted"
    GATE = "GateBreached"
    REQUEST = "Requested"


@dataclass(frozen=True)
class Act:
    """One version and what must become of it.

    Attributes:
        version: its name, and the tag of its image.
        story: what it is like, in words.
        outcome: how it must end.
        cause: why it must end so.
        gate: the gate that must be breached; empty where none may be.
        pauses: whether the breach pauses it, so that a person rolls it back by request.
        image: environment that is built into its image: its fault.
        evidence: seconds that it may take until there is evidence enough; 0 where the first look that can show the fault must do.
    """

    version: str
    story: str
    outcome: Outcome
    cause: Cause
    gate: str = ""
    pauses: bool = False
    image: Mapping[str, str] = field(default_factory=dict)
    evidence: float = 0.0

    def allowed(self, interval: float) -> float:
        """Return the seconds from the breach visible in Prometheus to all traffic on stable, for a gate with such an interval."""
        return self.evidence + interval + REACTION_SECONDS

    @property
    def fails_requests(self) -> bool:
        """Whether it is in its nature to fail requests."""
        return "ERROR_RATE" in self.image


FIRST = "v1"
ACTS = (
    Act("v2", "good", Outcome.PROMOTED, Cause.PROMOTED),
    Act(
        "v3",
        "answers 5% of its requests with errors",
        Outcome.ROLLED_BACK,
        Cause.GATE,
        ERROR_RATE,
        image={"ERROR_RATE": "0.05"},
        evidence=20.0,
    ),
    Act("v4", "twice as slow", Outcome.ROLLED_BACK, Cause.REQUEST, P99, pauses=True, image={"LATENCY_FACTOR": "2"}),
    Act("v5", "good", Outcome.PROMOTED, Cause.PROMOTED),
    Act("v6", "answers nothing but errors", Outcome.ROLLED_BACK, Cause.GATE, ERROR_RATE, image={"ERROR_RATE": "1"}),
)


@dataclass(frozen=True)
class GateTerms:
    """What the demo must know of a gate to see a breach by itself. Times in seconds.

    Attributes:
        name: of the gate.
        interval: between two looks.
        window: over which rates are computed.
        min_samples: least number of requests.
        points: allowed increase over stable in percentage points; None where the limit is relative.
        percent: allowed increase over stable in percent; None where the limit is absolute.
    """

    name: str
    interval: float
    window: float
    min_samples: int
    points: float | None = None
    percent: float | None = None


@dataclass(frozen=True)
class PolicyTerms:
    """The policy that is played. Times in seconds."""

    weights: tuple[int, ...]
    hold: float
    bake: float
    gates: Mapping[str, GateTerms]


def read_policy(path: Path = MANIFESTS / "policy.yaml") -> PolicyTerms:
    """Return the terms of the policy that is applied."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    gates = [_gate_terms(gate) for gate in spec["gates"] if "versusStable" in gate]
    return PolicyTerms(
        weights=tuple(step["weight"] for step in spec["steps"]),
        hold=seconds(spec["steps"][0]["hold"]),
        bake=seconds(spec["bake"]),
        gates={gate.name: gate for gate in gates},
    )


def _gate_terms(gate: Mapping[str, Any]) -> GateTerms:
    limit = gate["versusStable"]["maxIncrease"]
    return GateTerms(
        name=gate["name"],
        interval=seconds(gate["interval"]),
        window=seconds(gate["window"]),
        min_samples=gate["minSamples"],
        points=limit.get("points"),
        percent=limit.get("percent"),
    )


def seconds(duration: str) -> float:
    """Return the seconds of a duration as the demo's manifests write them: `15s`."""
    return float(duration.removesuffix("s"))


def image(version: str) -> str:
    """Return the image of a version."""
    return f"{REPOSITORY}:{version}"


def images() -> dict[str, Any]:
    """Return the images file of the process nodes: the fault of a version is in its image and in no manifest."""
    command = [sys.executable, "-m", "tidegate_sandbox.demo_service"]
    faults: dict[str, Mapping[str, str]] = {FIRST: {}, **{act.version: act.image for act in ACTS}}
    return {image(version): {"command": command, "env": dict(environment)} for version, environment in faults.items()}


def cluster() -> ClusterSpec:
    """Return the cluster that the demo runs on."""
    return ClusterSpec(programs.PARTS)
