"""Counts of requests and bad ones among them, drawn from fixed seeds, and tests that look at them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tidegate.judge.evidence import bursts
from tidegate.judge.evidence.interval import Interval, SequentialTest
from tidegate.judge.reading import Tally

TWENTY = math.log(20)
"""Evidence enough for 95% confidence."""


def binomial(rng: random.Random, n: int, p: float) -> int:
    """Draw how many of n independent requests are bad, by the gaps between bad ones."""
    if p <= 0 or n <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(rng, n, 1 - p)
    count, at, step = 0, -1, math.log(1 - p)
    while True:
        at += 1 + int(math.log(1 - rng.random()) / step)
        if at >= n:
            return count
        count += 1


def group(rng: random.Random, n: int, p: float, mean: float) -> int:
    """Draw how many of n requests are bad where bad ones come in groups of geometric size; they all fall into the interval."""
    sizes = [1 + int(math.log(1 - rng.random()) / math.log(1 - 1 / mean)) for _ in range(binomial(rng, n, p / mean))]
    return min(n, sum(sizes))


def interval(
    n_c: float, e_c: float, n_b: float, e_b: float, *, start: float = 0.0, seconds: float = 60.0, **more: float
) -> Interval:
    return Interval(Tally(n_c, e_c), Tally(n_b, e_b), start, start + seconds, **more)


def intervals(
    rng: random.Random,
    looks: int,
    p_c: Callable[[int], float] | float,
    p_b: float,
    share: Callable[[int], float] | float = 0.1,
    total: int = 1000,
) -> Iterator[Interval]:
    """Give intervals of a minute, each of so many requests, as probabilities and shares say."""
    for look in range(looks):
        part = share(look) if callable(share) else share
        n = round(total * part)
        bad = p_c(look) if callable(p_c) else p_c
        yield interval(n, binomial(rng, n, bad), total - n, binomial(rng, total - n, p_b), start=60.0 * look)


def steps(looks: int, shares: Sequence[float]) -> Callable[[int], float]:
    """Return shares of the new version that rise in equal steps."""
    return lambda look: shares[look * len(shares) // looks]


def first_look(test: SequentialTest, several: Iterator[Interval], which: str, enough: float = TWENTY) -> int:
    """Return the look at which the evidence is enough, from 1; 0 where it never is."""
    state = test.begin()
    value = getattr(test, which)
    for look, one in enumerate(several, 1):
        test.add(state, one)
        if value(state) >= enough:
            return look
    return 0


def share_of(looks: Sequence[int]) -> float:
    return sum(1 for look in looks if look) / len(looks)


def median(looks: Sequence[int]) -> float:
    return sorted(look or math.inf for look in looks)[len(looks) // 2]


def tempered(test, several: Iterator[Interval], enough: float) -> int:
    """Do as `first_look` does for harm, with bursts learnt from stable."""
    state, spread = test.begin(), bursts.begin()
    for look, one in enumerate(several, 1):
        test.add(state, replace(one))
        bursts.add(spread, one.stable.total, one.stable.bad, one.end - one.start)
        test.temper(state, bursts.weights(spread))
        if test.harm(state) >= enough:
            return look
    return 0
