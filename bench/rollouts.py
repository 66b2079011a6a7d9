"""Policies and traffic of the bench, and one rollout under each judge."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.comparators import COMPARATORS, Looks
from bench.thin import ThinGate

from tidegate.api.gate import Gate
from tidegate.backtest.traffic import Arm, Fault, Traffic, generate

LOOK = 5.0
"""Seconds between two looks."""
CONFIDENCE = 0.99
GATES = 3
"""Gates over which the confidence is kept together."""
ALPHA = (1 - CONFIDENCE) / GATES
EVIDENCE = "Tidegate"


def gate(measure: str, name: str, **limit: object) -> Gate:
    """Return a gate on a preset that looks every 5 s."""
    metric = {"preset": {"source": "HTTP", "measure": measure}}
    return Gate.model_validate({"name": name, "metric": metric, "interval": "5s", **limit})


def increase(**change: float) -> dict[str, object]:
    """Return a limit relative to stable, of `percent` or `points`."""
    return {"versusStable": {"maxIncrease": change}}


NO_INCREASE = gate("ErrorRate", "error-rate", **increase(percent=0))
ONE_POINT = gate("ErrorRate", "error-rate", **increase(points=1))
AVAILABLE = gate("Availability", "availability", threshold={"min": 0.999})
P99 = gate("Latency", "p99", **increase(percent=10))
TAIL = gate("Tail", "tail", **increase(percent=0))


@dataclass(frozen=True)
class Stop:
    """Where a rollout was stopped, or the whole of it.

    Attributes:
        look: number of looks after which it was stopped; None where it was not.
        bad: bad requests that the new version had served by then, or in all.
        since_fault: those of them that it served after its fault had begun.
    """

    look: int | None
    bad: int
    since_fault: int


@dataclass(frozen=True)
class Rollouts:
    """A job for worker processes: the same generated rollouts under several judges.

    Attributes:
        traffic: what is generated.
        gates: gates that are judged by evidence, together.
        side: comparators are run for rollouts with lower numbers than this.
        alpha: chance of a false alarm that each gate may take.
    """

    traffic: Traffic
    gates: tuple[Gate, ...] = (NO_INCREASE,)
    side: int = 0
    alpha: float = ALPHA

    def __call__(self, numbers: list[int]) -> list[dict[str, Stop]]:
        """Return for each rollout where each judge stopped it."""
        return [self._one(number) for number in numbers]

    def _one(self, number: int) -> dict[str, Stop]:
        canary, stable = generate(self.traffic, random.Random(f"{self.traffic.rate}:{self.traffic.share}:{number}"))
        stops = {EVIDENCE: self._by_evidence(canary, stable)}
        if number < self.side:
            looks = Looks(canary.total, canary.bad, stable.total, stable.bad)
            stops |= {name: compare(looks) for name, compare in COMPARATORS.items()}
        onset = round(self.traffic.fault.onset / self.traffic.tick) if self.traffic.fault else 0
        return {name: _stop(look, canary, onset) for name, look in stops.items()}

    def _by_evidence(self, canary: Arm, stable: Arm) -> int | None:
        last, first = self.traffic.ticks, None
        for one in self.gates:
            look = ThinGate(one, self.alpha, self.traffic).first_fail(canary, stable, last)
            if look is not None:
                first, last = look, look - 1
        return first


def _stop(look: int | None, canary: Arm, onset: int) -> Stop:
    return Stop(look, sum(canary.bad[:look]), sum(canary.bad[onset:look]))


def with_fault(traffic: Traffic, times: float, *, minute: float = 0.0) -> Traffic:
    """Return the traffic with a fault that begins at a minute."""
    return replace(traffic, fault=Fault(times=times, onset=minute * 60))


Job = Callable[[list[int]], list[dict[str, Stop]]]
