"""Slow questions are asked more rarely: whoever asks much of a server rests for longer."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.prometheus.budgets import Holder, of_release
from tidegate.prometheus.lessons import SLOW

FACTOR = 10.0
"""A question that took over a second is asked no more often than this many times as long as it took."""


class Rests:
    """How long each gate rests.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[Holder, float] = {}

    def cost(self, gate: Holder, seconds: float) -> None:
        """Note that a query of a gate, which has just been answered, took so long."""
        if seconds > SLOW:
            self._until[gate] = max(self._until.get(gate, 0.0), self._clock() + (FACTOR - 1.0) * seconds)

    def left(self, gate: Holder) -> float:
        """Return how many seconds of a gate's rest are left."""
        left = self._until.get(gate, 0.0) - self._clock()
        if left <= 0:
            self._until.pop(gate, None)
        return max(0.0, left)

    def forget(self, namespace: str, release: str) -> None:
        """Drop what is known of a Release."""
        for gate in of_release(self._until, namespace, release):
            del self._until[gate]
