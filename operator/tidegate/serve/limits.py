"""How often somebody may ask: a bucket of requests for each, refilled by the second, and no more of them than fit."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MOST = 4096
"""Buckets that are kept; the one that was used longest ago goes, and is full when it comes back."""


@dataclass(frozen=True)
class Rate:
    """How much a bucket takes.

    Attributes:
        per_second: requests that it is refilled with.
        burst: requests that it holds, at least 1.
    """

    per_second: float
    burst: float


class Buckets:
    """One bucket for each name.

    Args:
        rate: what each takes.
        most: how many are kept.
    """

    def __init__(self, rate: Rate, most: int = MOST) -> None:
        self._rate, self._most = rate, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, now: float) -> float:
        """Return for how many seconds one more request has to wait; 0 where it may come. Nothing is taken.

        Args:
            name: whose bucket.
            now: in seconds, never going back.
        """
        return max(0.0, (1.0 - self._level(name, now)) / self._rate.per_second)

    def take(self, name: str, now: float) -> float:
        """Take a request out, unless there is none; return as `wait` does."""
        if wait := self.wait(name, now):
            return wait
        self._left[name] = (self._level(name, now) - 1.0, now)
        self._left.move_to_end(name)
        while len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0.0

    def _level(self, name: str, now: float) -> float:
        level, at = self._left.get(name, (self._rate.burst, now))
        return min(self._rate.burst, level + (now - at) * self._rate.per_second)
