"""What happened between two looks, and what a sequential test makes of it.

All tests take the same intervals and answer with the same few numbers, so a gate can have several at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tidegate.judge.reading import Tally


@dataclass(frozen=True)
class Interval:
    """Counts of one interval.

    Attributes:
        canary: what the new version has counted.
        stable: what the stable version has counted in the same time; None where the gate does not compare with it.
        bounds: bounds of latency in seconds, rising; empty where no latencies are counted.
        start: seconds from the first counted request of the rollout to the beginning of the interval.
        end: seconds to its end.
        bursts: factor by which bad events come together in stable, estimated on what was before the interval; 1 is independent.
        alone: all traffic is on the new version, so that there is no stable to be compared with at the same time.
    """

    canary: Tally
    stable: Tally | None
    start: float
    end: float
    bounds: tuple[float, ...] = ()
    bursts: float = 1.0
    alone: bool = False


class SequentialTest(Protocol):
    """One limit of a gate as a test that is valid at every look.

    The state is a list of floats, so that it can be stored between looks and outlives the operator. `harm` and `proof` are natural
    logarithms of e-processes (0 at the beginning): by Ville's inequality the chance that exp(harm) ever reaches 1/alpha while
    the limit is kept is at most alpha, and likewise for exp(proof) while the limit is exceeded.
    """

    def begin(self) -> list[float]:
        """Return the state before the first interval."""

    def add(self, state: list[float], interval: Interval) -> None:
        """Take an interval into the state, in place."""

    def harm(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is exceeded."""

    def proof(self, state: Sequence[float]) -> float:
        """Return the evidence that the limit is kept."""
