"""Generated latencies, counted in buckets: lognormal with sigma 0.8, from fixed seeds.

The number of requests of each bucket is drawn from a Poisson law, independently of the others. So the number of all requests of an
interval is random, and given that number the buckets are exactly as if each request had been drawn by itself.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise

from tidegate.judge.evidence.interval import Interval, SequentialTest
from tidegate.judge.reading import Tally

SIGMA = 0.8
MEDIAN = 0.08
"""Seconds; the P99 is 0.514 s."""
P99 = MEDIAN * math.exp(SIGMA * 2.3263478740408408)
BUCKETS = tuple(0.005 * 1.6**power for power in range(18))
ENVOY = (0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600)
NATIVE = tuple(2.0 ** (step / 8) for step in range(-80, 57))

Survival = Callable[[float], float]
"""The share of requests that take longer than so many seconds."""


def lognormal(times: float = 1.0) -> Survival:
    """Return the law of latencies that are so many times as long as stable's."""
    return lambda bound: 0.5 * math.erfc(math.log(bound / (MEDIAN * times)) / SIGMA / math.sqrt(2))


def more_often(times: float) -> Survival:
    """Return the law under which each bound is exceeded so many times as often as stable exceeds it."""
    return lambda bound: min(1.0, times * lognormal()(bound))


class Version:
    """Requests of one version: so many in an interval on average, and slow ones in bursts of so many on average."""

    def __init__(self, law: Survival, per_interval: float, bounds: Sequence[float] = BUCKETS, bursts: float = 1.0) -> None:
        over = [1.0, *map(law, bounds), 0.0]
        self._means = [round(per_interval * (above - below), 9) for above, below in pairwise(over)]
        self._bursts = bursts
        self._slow = [above <= 0.05 for above in over[:-1]]

    def tally(self, rng: random.Random) -> Tally:
        """Count the requests of one interval."""
        counts = [self._count(rng, mean, slow) for mean, slow in zip(self._means, self._slow, strict=True)]
        over = list(accumulate(reversed(counts[1:])))
        return Tally(float(sum(counts)), over=tuple(map(float, reversed(over))))

    def _count(self, rng: random.Random, mean: float, slow: bool) -> int:
        if mean <= 0:
            return 0
        if not slow or self._bursts == 1:
            return poisson(rng, mean)
        stop = 1 / self._bursts
        return sum(geometric(rng, stop) for _ in range(poisson(rng, mean * stop)))


def poisson(rng: random.Random, mean: float) -> int:
    """Draw from a Poisson law."""
    first, table = _poisson_table(mean)
    return first + min(bisect_right(table, rng.random()), len(table) - 1)


def geometric(rng: random.Random, stop: float) -> int:
    """Draw a number of at least 1 whose mean is 1 / stop."""
    return 1 if stop >= 1 else 1 + int(math.log(1 - rng.random()) / math.log(1 - stop))


@cache
def _poisson_table(mean: float) -> tuple[int, list[float]]:
    spread = 9 * math.sqrt(mean)
    first = max(0, int(mean - spread - 10))
    counts = range(first, int(mean + spread + 20))
    return first, list(accumulate(math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) for count in counts))


def intervals(
    canary: Version,
    stable: Version | None,
    rng: random.Random,
    *,
    looks: int,
    bounds: Sequence[float] = BUCKETS,
    seconds: float = 30.0,
    bursts: float = 1.0,
    begin: int = 0,
) -> Iterator[Interval]:
    """Give one interval after another; without stable, all traffic is on the new version."""
    for look in range(begin, begin + looks):
        yield Interval(
            canary.tally(rng),
            stable.tally(rng) if stable else None,
            look * seconds,
            (look + 1) * seconds,
            tuple(bounds),
            bursts,
            alone=stable is None,
        )


def first_look(test: SequentialTest, traffic: Iterator[Interval], value: Callable[[Sequence[float]], float], level: float) -> int:
    """Return at which look a value first reached a level, 0 for never; the first look is 1."""
    state = test.begin()
    for look, interval in enumerate(traffic, 1):
        test.add(state, interval)
        if value(state) >= level:
            return look
    return 0
