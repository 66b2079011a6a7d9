"""Numbers for the gates of a policy as Prometheus would give them, and a world in which they come in when a look is due.

What a version has is given exactly, without noise: a share of errors, a quantile of the latency, a number. So "just within
the limit" and "just beyond it" are what they say, whatever is needed to tell them apart.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import yaml

from simulation.policies import ready
from simulation.views import at
from simulation.world import World
from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Source
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus
from tidegate.judge.reading import Counts, Reading, Tally

EXAMPLES = Path(__file__).parents[3] / "examples"
NORMAL = statistics.NormalDist()
SPREAD = 0.6
"""Sigma of the latencies, which are lognormal."""
BOUNDS = tuple(0.01 * 1.02**number for number in range(360))
"""Bounds of the histogram in seconds, 0.01 to 12, each 2% above the one before."""


@dataclass(frozen=True)
class Moment:
    """One look of one gate, before its numbers are in."""

    gate: Gate
    revision: str
    at: datetime
    since: datetime
    weight: int

    @property
    def others(self) -> float:
        """How many requests stable gets for each one of the new version."""
        return (100 - self.weight) / self.weight if self.weight else 0.0


class Numbers(Protocol):
    """What there is to be read."""

    def reading(self, moment: Moment) -> Reading:
        """Return what a look reads."""


@dataclass(frozen=True)
class Share:
    """A share of bad requests of each version.

    Attributes:
        canary: of the new version, 0 to 1.
        stable: of the stable version.
        requests: of the new version between two looks.
    """

    canary: float
    stable: float = 0.0
    requests: float = 200_000

    def reading(self, moment: Moment) -> Reading:
        """Return the shares and the counts that they come from; for availability the value is what is not bad."""
        others = self.requests * moment.others
        tallies = Tally(self.requests, self.requests * self.canary), Tally(others, others * self.stable)
        preset = moment.gate.metric.preset
        good = preset is not None and preset.measure is Measure.AVAILABILITY
        values = (1 - self.canary, 1 - self.stable) if good else (self.canary, self.stable)
        return _reading(moment, *values, counts=Counts(moment.since, *tallies))


@dataclass(frozen=True)
class Slow:
    """Latencies of each version, of which the gate's quantile is known, in seconds.

    Attributes:
        canary: quantile of the new version.
        stable: quantile of the stable version.
        requests: of the new version between two looks.
    """

    canary: float
    stable: float
    requests: float = 200_000

    def reading(self, moment: Moment) -> Reading:
        """Return the quantiles and the buckets that they come from."""
        others = self.requests * moment.others
        tallies = self._tally(moment, self.canary, self.requests), self._tally(moment, self.stable, others)
        return _reading(moment, self.canary, self.stable, counts=Counts(moment.since, *tallies, BOUNDS))

    def _tally(self, moment: Moment, quantile: float, requests: float) -> Tally:
        preset = moment.gate.metric.preset
        assert preset is not None
        return Tally(requests, over=tuple(requests * share for share in _slower(quantile, preset.quantile)))


@dataclass(frozen=True)
class Number:
    """A plain number, from a query of one's own or a gauge."""

    canary: float
    stable: float | None = None

    def reading(self, moment: Moment) -> Reading:
        """Return the number as it is, on requests enough where the gate asks how many there were."""
        promql = moment.gate.metric.promql
        samples = 1_000_000 if promql is not None and promql.samples is not None else None
        return replace(_reading(moment, self.canary, self.stable), canary_samples=samples)


@dataclass(frozen=True)
class Restarts:
    """Restarts of containers per pod and hour.

    Attributes:
        rate: restarts per pod and hour.
        pods: of the new version.
    """

    rate: float
    pods: float = 100

    def reading(self, moment: Moment) -> Reading:
        """Return the rate and what was counted since the look before."""
        hours = (moment.at - moment.since) / timedelta(hours=1) * self.pods
        return _reading(moment, self.rate, counts=Counts(moment.since, Tally(hours, hours * self.rate)))


@lru_cache
def _slower(value: float, quantile: float) -> tuple[float, ...]:
    """Return the share of requests slower than each bound, for lognormal latencies with a quantile of this value."""
    rank = NORMAL.inv_cdf(quantile)
    return tuple(1 - NORMAL.cdf(math.log(bound / value) / SPREAD + rank) for bound in BOUNDS)


def _reading(moment: Moment, canary: float, stable: float | None = None, counts: Counts | None = None) -> Reading:
    samples = counts.canary.total if counts else None
    others = counts.stable.total if counts and counts.stable else None
    return Reading(
        gate=moment.gate.name,
        revision=moment.revision,
        at=moment.at,
        canary=canary,
        stable=stable,
        canary_samples=samples,
        stable_samples=others,
        counts=counts,
    )


def healthy(gate: Gate) -> Numbers:
    """Return what a version as good as stable has, far within every limit."""
    preset, counters = gate.metric.preset, gate.metric.counters
    if counters is not None:
        return Share(0.0001, 0.0001)
    if preset is None:
        compared = gate.versus_stable is not None
        return Number(0.1, 0.1) if compared else Number(0.0)
    if preset.measure in (Measure.LATENCY, Measure.TAIL):
        return Slow(0.1, 0.1)
    if preset.measure is Measure.RESTARTS:
        return Restarts(0.0)
    return Number(0.3, 0.3) if preset.source is Source.KUBERNETES else Share(0.0001, 0.0001)


def example(name: str) -> RolloutPolicySpec:
    """Return the policy of a file in examples/."""
    manifest = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return RolloutPolicySpec.model_validate(manifest["spec"])


class Shop(World):
    """The world under a policy of examples/, in which all is well but for what a test says.

    Attributes:
        numbers: what there is to be read, by gate.
    """

    def __init__(self, name: str) -> None:
        spec = example(name)
        super().__init__(spec.to_wire())
        self.gates = {gate.name: gate for gate in spec.gates}
        self.numbers: dict[str, Numbers] = {gate.name: healthy(gate) for gate in spec.gates}
        assert self.crank(10, until=lambda: ready(self)), self.status.message
        self.notices.clear()

    def look(self, gate: str, *_: object, **__: object) -> None:
        """A look of a gate comes in."""
        candidate, rollout = self.status.candidate, self.status.rollout
        if candidate is None or rollout is None:
            return
        spec, before = self.gates[gate], self.said(gate)
        since = before.at if before else rollout.exposed_at or rollout.started_at
        moment = Moment(spec, candidate.revision, at(self.now), since, self.status.weight)
        self.readings.append(self.numbers[gate].reading(moment))

    def said(self, gate: str) -> GateStatus | None:
        """Return what a gate said last."""
        return next((state for state in self.status.gates if state.name == gate), None)

    def rolls_out(self, weight: int, image: str = "v2") -> None:
        """A new version reaches a weight, and its hold begins."""
        self.apply(image)
        reached = self.crank(4 * 3600, until=lambda: self.carried == weight, every=2)
        assert reached, self.status.message

    @property
    def carried(self) -> int | None:
        """The weight that the route carries; None on the way to it."""
        step = self.status.step
        return step.weight if step is not None and step.since is not None else None
