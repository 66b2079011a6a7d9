"""Where each Release is, and what its gates say, as metrics that are made when somebody asks for them.

Gates are looked at ten times as often as metrics are read, and a series that the metrics library keeps takes 700 bytes: what has
been decided says it all, and is there anyhow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus, ReleaseStatus

VERDICTS = {Verdict.PASS: 1.0, Verdict.UNDECIDED: 0.0, Verdict.FAIL: -1.0}
_RELEASE = ("namespace", "release")
_FAMILIES = (
    ("tidegate_release_weight_percent", "Weight of the new version.", ()),
    ("tidegate_release_step", "Step of the rollout, from 1; 0 while none is on.", ()),
    ("tidegate_gate_value", "Value of a gate, in its unit.", ("gate", "arm")),
    ("tidegate_gate_limit", "Limit of a gate.", ("gate", "kind")),
    ("tidegate_gate_verdict", "Verdict of a gate: 1 Pass, 0 Undecided, -1 Fail.", ("gate",)),
)
"""Names, words, and labels beside those of the Release."""


class _Shown(NamedTuple):
    """What is shown of one Release: its weight, its step from 1, and its gates with what they said last."""

    weight: int
    step: int
    gates: Sequence[Gate]
    states: Sequence[GateStatus]


class ReleaseMetrics:
    """Shows Releases as they were decided on last.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shown: dict[tuple[str, str], _Shown] = {}
        registry.register(self)

    def show(self, key: tuple[str, str], status: ReleaseStatus) -> None:
        """Show where a Release is now; of a gate that is not known any more, or not yet, nothing is shown."""
        step, rollout = status.step.index + 1 if status.step else 0, status.rollout
        self._shown[key] = _Shown(status.weight, step, rollout.spec.gates if rollout else (), status.gates)

    def show_gates(self, key: tuple[str, str], status: ReleaseStatus) -> None:
        """Show what the gates of a Release say now."""
        if (shown := self._shown.get(key)) is not None:
            self._shown[key] = shown._replace(states=status.gates)

    def forget(self, key: tuple[str, str]) -> None:
        """Stop showing a Release."""
        self._shown.pop(key, None)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without their series."""
        return [GaugeMetricFamily(name, words, labels=(*_RELEASE, *more)) for name, words, more in _FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        families = [GaugeMetricFamily(name, words, labels=(*_RELEASE, *more)) for name, words, more in _FAMILIES]
        weight, step, value, limit, verdict = families
        for key, shown in list(self._shown.items()):
            weight.add_metric(key, shown.weight)
            step.add_metric(key, shown.step)
            states = {state.name: state for state in shown.states}
            for gate in shown.gates:
                for kind, most in limits(gate).items():
                    limit.add_metric((*key, gate.name, kind), most)
                if (state := states.get(gate.name)) is not None:
                    verdict.add_metric((*key, gate.name), VERDICTS[state.verdict])
                    for arm, number in _values(state):
                        value.add_metric((*key, gate.name, arm), number)
        return families


def _values(state: GateStatus) -> Iterator[tuple[str, float]]:
    """Yield what is known of both versions."""
    yield from ((arm, number) for arm, number in (("stable", state.stable), ("canary", state.canary)) if number is not None)


def limits(gate: Gate) -> dict[str, float]:
    """Return the limits of a gate by kind: `min`, `max`, `increase_points`, `increase_percent` and so on."""
    found: dict[str, float | None] = {}
    if gate.threshold is not None:
        found |= {"min": gate.threshold.min, "max": gate.threshold.max}
    if gate.versus_stable is not None:
        for direction, change in (("increase", gate.versus_stable.max_increase), ("decrease", gate.versus_stable.max_decrease)):
            if change is not None:
                found |= {f"{direction}_points": change.points, f"{direction}_percent": change.percent}
    return {kind: limit for kind, limit in found.items() if limit is not None}
