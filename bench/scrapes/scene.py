"""What happens in a simulated rollout: traffic, faults, outages, and how it is scraped and looked at."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.backtest.traffic import Fault, Latency


@dataclass(frozen=True)
class Outage:
    """Requests of both versions that fail for a while, whatever answers them.

    Attributes:
        begin: seconds from the beginning of the rollout.
        seconds: how long.
        share: of the requests, 0 to 1.
        every: seconds from one to the next; 0 where there is only one.
    """

    begin: float
    seconds: float
    share: float
    every: float = 0.0


@dataclass(frozen=True)
class Drift:
    """A share of errors of both versions that rises in equal steps and falls again.

    Attributes:
        low: before and afterwards.
        high: in the middle.
        begin: seconds from the beginning of the rollout.
        seconds: up and down together.
    """

    low: float
    high: float
    begin: float
    seconds: float


@dataclass(frozen=True)
class Scene:
    """A simulated rollout.

    Attributes:
        rate: requests per minute, both versions together.
        share: share of the new version.
        canary: pods of the new version.
        stable: pods of the stable version.
        scrape: seconds between two scrapes of a target; each has a phase of its own.
        look: seconds between two looks.
        first: seconds from the beginning to the first look; None for any time within `look`.
        minutes: how long the rollout is looked at.
        errors: share of bad requests of a healthy version, outages aside.
        bursts: mean number of those that come together, in one pod,
        within: and in how many seconds.
        fault: what is wrong with the new version.
        failing: share of the new version's requests that fail while it is at fault, whatever share a healthy version has.
        outages: what both versions suffer.
        drift: in place of a constant share of errors.
        worse: factor on the errors of one stable pod.
        restarts: every process begins anew after a time between these two, in seconds, again and again; None for never.
        births: processes tell when they started, as the client libraries of Prometheus do by themselves.
        late: a new pod is found by the scraper within this time, in seconds.
        replicas: Prometheus servers with phases of their own; each look is answered by any of them.
        hidden: seconds of the newest samples that the back end does not show.
        gateway: one process counts both versions.
        latency: response times, in place of errors.
    """

    rate: float = 3_000.0
    share: float = 0.10
    canary: int = 1
    stable: int = 3
    scrape: float = 15.0
    look: float = 5.0
    first: float | None = None
    minutes: float = 30.0
    errors: float = 0.01
    bursts: float = 1.0
    within: float = 1.0
    fault: Fault | None = None
    failing: float = 0.0
    outages: tuple[Outage, ...] = ()
    drift: Drift | None = None
    worse: float = 1.0
    restarts: tuple[float, float] | None = None
    births: bool = True
    late: float = 0.0
    replicas: int = 1
    hidden: float = 0.0
    gateway: bool = False
    latency: Latency | None = None

    @property
    def seconds(self) -> float:
        """How long it is looked at."""
        return 60 * self.minutes

    @property
    def onset(self) -> float:
        """When the fault begins, in seconds; 0 without one."""
        return self.fault.onset if self.fault else 0.0


class Course:
    """How the share of bad requests of one pod runs over time, in pieces between which it is linear.

    Args:
        scene: the rollout.
        times: the pod's errors as a multiple of the healthy share.
        fault: what befalls the pod besides; None for stable's pods.
    """

    def __init__(self, scene: Scene, *, times: float = 1.0, fault: Fault | None = None) -> None:
        self._scene, self._times, self._fault = scene, times, fault
        knots = sorted({-math.inf, *self._knots(), math.inf})
        self._knots_at = [max(-1e6, min(1e6, knot)) for knot in knots]
        self._pieces: list[tuple[float, float, float]] = []
        self._sums = [(0.0, 0.0)]
        for begin, end in itertools.pairwise(self._knots_at):
            inside = min(1e-6, (end - begin) / 4)
            struck, low = self._shares(begin + inside)
            high = self._shares(end - inside)[1]
            self._pieces.append((struck, low, (high - low) / (end - begin)))
            before, seconds = self._sums[-1], end - begin
            self._sums.append((before[0] + struck * seconds, before[1] + seconds * (low + high) / 2))

    def until(self, time: float) -> tuple[float, float]:
        """Return the integrals of the share that fails one by one, and of that which may come in bursts, in seconds."""
        piece = min(len(self._pieces), bisect_right(self._knots_at, time)) - 1
        passed, (struck, low, slope) = time - self._knots_at[piece], self._pieces[piece]
        alone, together = self._sums[piece]
        return alone + struck * passed, together + passed * (low + slope * passed / 2)

    def _knots(self) -> Iterator[float]:
        scene = self._scene
        if self._fault is not None:
            yield self._fault.onset
        if scene.drift is not None:
            yield from (scene.drift.begin + part * scene.drift.seconds for part in (0, 0.5, 1))
        for outage in scene.outages:
            for begin in _begins(outage, scene.seconds):
                yield from (begin, begin + outage.seconds)

    def _shares(self, time: float) -> tuple[float, float]:
        """Return the share of requests that fail one by one, and of those that fail in bursts."""
        scene, faulty = self._scene, self._fault is not None and time >= self._fault.onset
        errors = _drifted(scene.drift, time) if scene.drift is not None else scene.errors
        answered = 1.0
        for outage in scene.outages:
            since = time - outage.begin
            if since >= 0 and (since % outage.every if outage.every else since) < outage.seconds:
                answered *= 1 - outage.share
        if faulty and self._fault is not None:
            if math.isinf(self._fault.times):
                return 1.0, 0.0
            errors *= self._fault.times
            answered *= 1 - scene.failing
        return 1 - answered, answered * min(1.0, errors * self._times)


def _begins(outage: Outage, end: float) -> Iterator[float]:
    begin = outage.begin
    while begin < end:
        yield begin
        if not outage.every:
            return
        begin += outage.every


def _drifted(drift: Drift, time: float) -> float:
    passed = (time - drift.begin) / drift.seconds
    return drift.low + (drift.high - drift.low) * max(0.0, 1 - abs(2 * passed - 1))
