"""Generated traffic of a rollout: what both versions count in each interval.

Requests arrive as a Poisson process and are shared between the versions at random, so that good requests, bad ones and those of
each latency bucket are independent Poisson counts. With bursts, bad requests come together in groups of geometric size at Poisson
times (the law of Polya and Aeppli; N. L. Johnson, A. W. Kemp and S. Kotz, Univariate Discrete Distributions, 3rd ed., section 9.7),
at the same mean rate: their variance is 2 * bursts - 1 times their mean. Groups count as requests, too, as retries and batches do.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

PROMETHEUS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds in seconds that Prometheus clients have by default."""

_MOST_GROUPS = 500.0
"""Mean number of groups up to which exp(-mean) is an ordinary float; greater means are sums of smaller ones."""
_SLOWEST = 0.1
"""Share of requests that are slow."""
_REST = 1e-13
"""Probability that a table leaves out at its upper end."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the new version.

    Attributes:
        times: its share of bad requests as a multiple of stable's; infinite where all its requests fail.
        onset: when it begins, in seconds from the first request.
        slower: factor on all its latencies, likewise from then on.
    """

    times: float = math.inf
    onset: float = 0.0
    slower: float = 1.0


@dataclass(frozen=True)
class Latency:
    """Log-normal response times, counted in a histogram.

    Attributes:
        median: in seconds.
        sigma: standard deviation of the logarithm; 0.8 puts the 99th percentile at 6.4 times the median.
        bounds: upper bounds of the histogram's buckets in seconds, rising, without infinity.
        bursts: mean number of slow requests that come together, as in pauses of a process: those in the buckets that hold the
            slowest tenth; 1 is independent.
    """

    median: float = 0.08
    sigma: float = 0.8
    bounds: tuple[float, ...] = PROMETHEUS_BOUNDS
    bursts: float = 1.0

    def shares(self, slower: float = 1.0) -> list[float]:
        """Return the share of requests in each bucket, the last beyond all bounds, when all are slower by a factor."""
        below = [_normal(math.log(bound / (self.median * slower)) / self.sigma) for bound in self.bounds]
        edges = [0.0, *below, 1.0]
        return [high - low for low, high in itertools.pairwise(edges)]


@dataclass(frozen=True)
class Traffic:
    """How much traffic there is, and how it fails.

    Attributes:
        rate: requests per minute, both versions together.
        share: share of the new version from the beginning, 0 to 1.
        errors: share of bad requests of a healthy version, those that are not answered among them.
        unanswered: share of requests of a healthy version that are not answered at all; at most `errors`.
        bursts: mean number of bad requests that come together, in both versions; 1 is independent.
        duration: seconds.
        tick: seconds of one interval.
        fault: what is wrong with the new version; None where nothing is.
        steps: later shares of the new version, as (seconds from the first request, share), rising in time.
        latency: response times of good requests; None where no gate looks at them.
    """

    rate: float
    share: float = 0.1
    errors: float = 0.01
    unanswered: float = 0.0
    bursts: float = 1.0
    duration: float = 7200.0
    tick: float = 5.0
    fault: Fault | None = None
    steps: tuple[tuple[float, float], ...] = ()
    latency: Latency | None = None

    @property
    def ticks(self) -> int:
        """Number of intervals."""
        return max(1, round(self.duration / self.tick))


@dataclass
class Arm:
    """What one version counts, a number for each interval.

    Attributes:
        total: requests.
        bad: bad ones, those that are not answered among them.
        unanswered: those that are not answered.
        buckets: good requests in each bucket of latency (not cumulative), a list for each; empty without latencies.
    """

    total: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)
    buckets: list[list[int]] = field(default_factory=list)


def generate(traffic: Traffic, rng: random.Random) -> tuple[Arm, Arm]:
    """Return what the new version and stable count; what they draw depends on the generator alone."""
    canary, stable = Arm(), Arm()
    for share, faulty, ticks in _stretches(traffic):
        requests = traffic.rate * traffic.tick / 60
        fault = traffic.fault if faulty else None
        _draw(canary, traffic, requests * share, ticks, rng, fault=fault)
        _draw(stable, traffic, requests * (1 - share), ticks, rng)
    return canary, stable


def share_at(traffic: Traffic, tick: int) -> float:
    """Return the share of the new version in an interval."""
    passed = [share for begin, share in traffic.steps if round(begin / traffic.tick) <= tick]
    return passed[-1] if passed else traffic.share


@lru_cache(maxsize=512)
def law(mean: float, bursts: float) -> tuple[float, ...]:
    """Return the cumulative probabilities of 0, 1, 2, ... events in groups of geometric size, for at most 500 groups on average.

    Args:
        mean: mean number of events.
        bursts: mean size of a group; 1 gives the Poisson law.
    """
    groups, more = mean / bursts, 1 - 1 / bursts
    before, now, total = 0.0, math.exp(-groups), math.exp(-groups)
    result, count = [total], 0
    longest = mean + 80 * math.sqrt(mean * (2 * bursts - 1)) + 100 * bursts
    while total < 1 - _REST and count < longest:
        count += 1
        following = ((groups * (1 - more) + 2 * more * (count - 1)) * now - more * more * (count - 2) * before) / count
        before, now = now, max(following, 0.0)
        total += now
        result.append(total)
    return tuple(result)


def draw(rng: random.Random, mean: float, bursts: float, number: int) -> list[int]:
    """Draw numbers of events that come in groups of geometric size.

    Args:
        rng: generator.
        mean: mean number of events, at least 0.
        bursts: mean size of a group.
        number: how many to draw.
    """
    if mean <= 0:
        return [0] * number
    parts = math.ceil(mean / bursts / _MOST_GROUPS)
    table = law(mean / parts, bursts)
    drawn = [rng.choices(range(len(table)), cum_weights=table, k=number) for _ in range(parts)]
    return drawn[0] if parts == 1 else [sum(several) for several in zip(*drawn, strict=True)]


def _draw(arm: Arm, traffic: Traffic, requests: float, ticks: int, rng: random.Random, *, fault: Fault | None = None) -> None:
    times = fault.times if fault else 1.0
    bad = min(1.0, traffic.errors * times) if math.isfinite(times) else 1.0
    lost = bad * traffic.unanswered / traffic.errors if traffic.errors > 0 else 0.0
    unanswered = draw(rng, requests * lost, traffic.bursts, ticks)
    failed = [one + other for one, other in zip(unanswered, draw(rng, requests * (bad - lost), traffic.bursts, ticks), strict=True)]
    if traffic.latency is None:
        good: Sequence[int] = draw(rng, requests * (1 - bad), 1.0, ticks)
    else:
        shares = traffic.latency.shares(fault.slower if fault else 1.0)
        tails = itertools.accumulate(reversed(shares))
        bursts = [traffic.latency.bursts if tail <= _SLOWEST else 1.0 for tail in tails][::-1]
        parts = zip(shares, bursts, strict=True)
        buckets = [draw(rng, requests * (1 - bad) * share, together, ticks) for share, together in parts]
        good = [sum(several) for several in zip(*buckets, strict=True)]
        arm.buckets = arm.buckets or [[] for _ in shares]
        for before, new in zip(arm.buckets, buckets, strict=True):
            before.extend(new)
    arm.total.extend([one + other for one, other in zip(good, failed, strict=True)])
    arm.bad.extend(failed)
    arm.unanswered.extend(unanswered)


def _stretches(traffic: Traffic) -> Iterator[tuple[float, bool, int]]:
    """Give stretches of time with one law: the new version's share, whether it is faulty, and the number of intervals."""
    onset = round(traffic.fault.onset / traffic.tick) if traffic.fault else traffic.ticks
    turns = {0, onset, traffic.ticks, *(round(begin / traffic.tick) for begin, _ in traffic.steps)}
    edges = sorted(turn for turn in turns if 0 <= turn <= traffic.ticks)
    for begin, end in itertools.pairwise(edges):
        yield share_at(traffic, begin), begin >= onset, end - begin


def _normal(value: float) -> float:
    """Return the distribution function of the standard normal law."""
    return 0.5 * math.erfc(-value / math.sqrt(2))
