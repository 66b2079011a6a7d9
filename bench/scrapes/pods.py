"""True counters of pods, and what scrapes see of them.

Requests arrive as a Poisson process. What a pod counts between two scrapes is drawn at once, so that it is exact however scrapes
lie: the number has the law of Poisson with the integral of the rate, and bad ones are a thinning of it. Bursts are groups of
geometric size that begin at any time and last for `Scene.within`; one that a scrape falls into is cut there.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bench.scrapes.scene import Course, Scene

from tidegate.backtest.simulate import EPOCH
from tidegate.backtest.traffic import draw
from tidegate.judge.histogram import Histogram
from tidegate.prometheus.alignment import Labels
from tidegate.prometheus.events import Events
from tidegate.prometheus.ledger import Sighting

_BATCH = 16
"""Draws of one law from which on a table of it pays."""
_OLDEST = 86_400.0
"""Seconds for which a stable pod has counted at most before the rollout."""


@dataclass(frozen=True)
class Sample:
    """What one scrape saw of one version in one process.

    Attributes:
        at: seconds from the beginning of the rollout.
        arm: number of the process and version.
        replica: number of the Prometheus that scraped.
        sighting: for the ledger.
        true: all requests so far.
        scraped: those that some scrape has seen: what was counted between the last scrape and a restart is not among them.
        bad: bad ones of those.
    """

    at: float
    arm: int
    replica: int
    sighting: Sighting
    true: float
    scraped: float
    bad: float


@dataclass
class Arm:
    """One version in one process: its true counts between two edges, and its samples.

    Attributes:
        labels: of its process.
        of_canary: whether it is the new version's.
        rate: requests per second.
        course: how they fail.
        edges: times of scrapes and restarts, in order.
        total: requests between two edges.
        bad: bad ones among them.
        buckets: requests up to each bound of latency.
        samples: what scrapes saw.
    """

    labels: Labels
    of_canary: bool
    rate: float
    course: Course
    edges: list[float] = field(default_factory=list)
    total: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    buckets: list[list[int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def served(self, begin: float, end: float, rng: random.Random, *, bad: bool) -> float:
        """Return the requests, or the bad ones, between two times; of an interval that one of them cuts, a part is drawn."""
        found = 0.0
        for left, right, count in zip(self.edges, self.edges[1:], self.bad if bad else self.total, strict=False):
            low, high = max(left, begin), min(right, end)
            if low >= high:
                continue
            whole, part = (self._expected(left, right), self._expected(low, high)) if bad else (right - left, high - low)
            found += count if part >= whole else sum(rng.random() * whole < part for _ in range(count))
        return found

    def _expected(self, begin: float, end: float) -> float:
        return sum(self.course.until(end)) - sum(self.course.until(begin))


def arms(scene: Scene, rng: random.Random) -> list[Arm]:
    """Return all pods of a rollout with what they counted from one scrape before the rollout until its end."""
    per_second, found = scene.rate / 60, list[Arm]()
    shares = ((True, scene.share, scene.canary), (False, 1 - scene.share, scene.stable))
    gateway = _edges(scene, rng) if scene.gateway else None
    for of_canary, share, pods in shares:
        name = "canary" if of_canary else "stable"
        for number in range(1 if gateway else pods):
            arm = Arm(
                labels=(("pod", "gateway" if gateway else f"{name}-{number}"),),
                of_canary=of_canary,
                rate=per_second * share / (1 if gateway else pods),
                course=_course(scene, number, of_canary=of_canary),
            )
            edges = gateway or _edges(scene, rng)
            _draw(scene, arm, edges, rng)
            _scrape(scene, arm, len(found), edges, rng)
            found.append(arm)
    return found


def _course(scene: Scene, number: int, *, of_canary: bool) -> Course:
    if of_canary:
        return Course(scene, fault=scene.fault)
    return Course(scene, times=scene.worse if number == 0 else 1.0)


_Edges = list[tuple[float, int]]
"""Times at which something happens to a process, with the number of the replica that scrapes, or -1 for a restart."""


def _edges(scene: Scene, rng: random.Random) -> _Edges:
    edges: _Edges = []
    for replica in range(scene.replicas):
        phase = rng.uniform(0, scene.scrape)
        last = math.floor((scene.seconds - phase) / scene.scrape)
        edges += [
            (phase + number * scene.scrape, replica) for number in range(-1 - math.ceil(scene.hidden / scene.scrape), last + 1)
        ]
    if scene.restarts is not None:
        time = rng.uniform(0, scene.restarts[1])
        while time < scene.seconds:
            edges.append((time, -1))
            time += rng.uniform(*scene.restarts)
    return sorted(edges)


def _draw(scene: Scene, arm: Arm, edges: _Edges, rng: random.Random) -> None:
    """Draw what the pod counts before each edge, and after the last one; the new version has no request before the rollout."""
    times = [max(0.0, time) if arm.of_canary else time for time, _ in edges]
    # Before the first edge is an interval of no length: so edges and the intervals before them have the same numbers.
    arm.edges = [times[0], *times, max(scene.seconds, times[-1])]
    if scene.latency is None:
        _draw_errors(scene, arm, rng)
    else:
        _draw_latencies(scene, arm, rng)


def _draw_errors(scene: Scene, arm: Arm, rng: random.Random) -> None:
    integrals = [arm.course.until(time) for time in arm.edges]
    lengths = [right - left for left, right in itertools.pairwise(arm.edges)]
    struck = [arm.rate * (after[0] - before[0]) for before, after in itertools.pairwise(integrals)]
    grouped = [arm.rate * (after[1] - before[1]) for before, after in itertools.pairwise(integrals)]
    good = [arm.rate * length - one - other for length, one, other in zip(lengths, struck, grouped, strict=True)]
    failed = drawn(rng, grouped, 1.0) if scene.bursts <= 1 else _in_bursts(rng, grouped, lengths, scene)
    arm.bad = [one + other for one, other in zip(drawn(rng, struck, 1.0), failed, strict=True)]
    arm.total = [one + other for one, other in zip(drawn(rng, good, 1.0), arm.bad, strict=True)]


def _in_bursts(rng: random.Random, means: Sequence[float], lengths: Sequence[float], scene: Scene) -> list[int]:
    """Draw errors in groups, those of a group that does not end in the interval in which it begins on both sides of the edge."""
    if scene.within > scene.scrape:
        return _over_many(rng, means, lengths, scene)
    last = [min(1.0, scene.within / length) if length > 0 else 0.0 for length in lengths]
    early = drawn(rng, [mean * (1 - part) for mean, part in zip(means, last, strict=True)], scene.bursts)
    late = drawn(rng, [mean * part for mean, part in zip(means, last, strict=True)], scene.bursts)
    found, carried = [], 0
    for number, other in zip(early, late, strict=True):
        cut = rng.random()
        stays = sum(rng.random() < cut for _ in range(other))
        found.append(number + carried + stays)
        carried = other - stays
    return found


def _over_many(rng: random.Random, means: Sequence[float], lengths: Sequence[float], scene: Scene) -> list[int]:
    """Draw errors in groups that last longer than an interval: each at a time of its own after the group's beginning."""
    ends = list(itertools.accumulate(lengths))
    found = [0] * len(lengths)
    for place, number in enumerate(drawn(rng, means, scene.bursts)):
        begin = ends[place] - lengths[place] * rng.random()
        for _ in range(number):
            found[min(bisect_right(ends, begin + scene.within * rng.random()), len(found) - 1)] += 1
    return found


def _draw_latencies(scene: Scene, arm: Arm, rng: random.Random) -> None:
    assert scene.latency is not None
    slower = scene.fault.slower if scene.fault and arm.of_canary else 1.0
    usual, slow = scene.latency.shares(), scene.latency.shares(slower)
    onset = scene.onset if scene.fault else math.inf
    lengths = [
        (max(0.0, min(right, onset) - left), max(0.0, right - max(left, onset))) for left, right in itertools.pairwise(arm.edges)
    ]
    buckets = [
        drawn(rng, [arm.rate * (before * one + after * other) for before, after in lengths], 1.0)
        for one, other in zip(usual, slow, strict=True)
    ]
    arm.buckets = [
        list(up_to) for up_to in itertools.accumulate(buckets, lambda one, more: [a + b for a, b in zip(one, more, strict=True)])
    ]
    arm.total = arm.buckets[-1]
    arm.bad = [0] * len(arm.total)


def drawn(rng: random.Random, means: Sequence[float], bursts: float) -> list[int]:
    """Draw numbers of events that come in groups of geometric size, one for each mean; equal means share a table."""
    places: dict[float, list[int]] = {}
    for place, mean in enumerate(means):
        places.setdefault(round(mean, 9), []).append(place)
    found = [0] * len(means)
    for mean, same in places.items():
        if mean <= 0:
            continue
        several = draw(rng, mean, bursts, len(same)) if len(same) >= _BATCH else [_one(rng, mean, bursts) for _ in same]
        for place, number in zip(same, several, strict=True):
            found[place] = number
    return found


def _one(rng: random.Random, mean: float, bursts: float) -> int:
    groups = _poisson(rng, mean / bursts)
    if bursts <= 1:
        return groups
    more = math.log(1 - 1 / bursts)
    return sum(1 + int(math.log(1 - rng.random()) / more) for _ in range(groups))


def _poisson(rng: random.Random, mean: float) -> int:
    """Draw by inversion, in parts where exp(-mean) would be no ordinary float."""
    parts = max(1, math.ceil(mean / 500))
    found = 0
    for _ in range(parts):
        left, number, here = rng.random(), 0, math.exp(-mean / parts)
        while left > here > 0:
            left -= here
            number += 1
            here *= mean / parts / number
        found += number
    return found


def _scrape(scene: Scene, arm: Arm, number: int, edges: _Edges, rng: random.Random) -> None:
    """Follow the counters from edge to edge, and note what each scrape sees."""
    counter = _Counter(scene, arm, rng)
    found_at = rng.uniform(0, scene.late) if arm.of_canary and scene.late else -math.inf
    true = scraped = bad = 0.0
    last, born = (0.0, 0.0), 0.0 if arm.of_canary else -_OLDEST
    for step, (time, replica) in enumerate(edges):
        counter.add(step)
        true += arm.total[step]
        if replica < 0:
            counter.restart()
            last, born = (0.0, 0.0), time
            continue
        # What a series does not count yet it does not have.
        if counter.total <= 0 or time < found_at or (arm.of_canary and time < 0):
            continue
        scraped, bad = scraped + counter.total - last[0], bad + counter.bad - last[1]
        last = (counter.total, counter.bad)
        arm.samples.append(Sample(time, number, replica, _sighting(scene, arm, counter, time, born), true, scraped, bad))


class _Counter:
    """What one process says of one version."""

    def __init__(self, scene: Scene, arm: Arm, rng: random.Random) -> None:
        self._arm = arm
        self._bounds = scene.latency.bounds if scene.latency is not None else ()
        age = 0.0 if arm.of_canary else rng.uniform(600, _OLDEST)
        shares = list(itertools.accumulate(scene.latency.shares())) if scene.latency is not None else []
        self.total = float(round(age * arm.rate))
        self.bad = float(round(self.total * scene.errors)) if scene.latency is None else 0.0
        self._up_to = [float(round(self.total * share)) for share in shares]

    def add(self, step: int) -> None:
        """Count what happened before an edge."""
        self.total += self._arm.total[step]
        self.bad += self._arm.bad[step]
        if self._up_to:
            self._up_to = [count + bucket[step] for count, bucket in zip(self._up_to, self._arm.buckets, strict=True)]

    def restart(self) -> None:
        """Begin anew."""
        self.total = self.bad = 0.0
        self._up_to = [0.0] * len(self._up_to)

    def value(self) -> Events | Histogram:
        """Return what a scrape sees."""
        if self._bounds:
            return Histogram(self._bounds, tuple(self._up_to[:-1]), self.total)
        # The counter of bad ones has no series before the first of them.
        return Events(self.total, self.bad or None)


def _sighting(scene: Scene, arm: Arm, counter: _Counter, time: float, born: float) -> Sighting:
    """Return what the ledger takes: a gateway's own start says nothing of a version."""
    started = None if scene.gateway or not scene.births else EPOCH + timedelta(seconds=born)
    return Sighting(arm.labels, counter.value(), EPOCH + timedelta(seconds=time), started)
