"""The HorizontalPodAutoscaler of 1.36 and the pods' metrics, over the simulated cluster.

Follows pkg/controller/podautoscaler (replica_calculator.go, horizontal.go): which pods it counts, what it takes those for that it
does not, its tolerance, the whole percents of its usage, the stabilization of its way down and its limit on the way up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from simulation.cluster import CANARY, STABLE, USER, Pod, ReplicaSet
from simulation.views import at
from simulation.world import World
from tidegate.controller.observe.autoscalers import Autoscalers
from tidegate.engine.snapshot import AutoscalerView, WorkloadView
from tidegate.runtime.store import Store

TARGET = 50
"""Percent of its request that a pod is to use."""
REQUEST = 1000
"""Thousandths of a core that a pod requests."""
TOLERANCE = 0.1
ENOUGH = 1.15
"""A pod may use so many times its target: the autoscaler's tolerance, and what its whole percents and its noise hide."""


class Autoscaler:
    """An autoscaler, and the load that it sees.

    Args:
        world: whose Deployment it scales.
        load: for how many pods at their target the load is.
        corrected: whether the operator knows of the autoscaler.
        period: seconds between its looks.
        first: seconds until the first of them; by default a period, which is when a window ends if it is as long.
        window: seconds over which the use of pods is averaged, and after which it is read again. A pod is counted once a whole
            window has passed since it became ready.
        unseen: images whose pods never are, since the metric is the application's own.
        idle: what a pod without load uses, of its target.
        noise: share by which each reading finds the load higher or lower than it is.
        most: pods at most.
    """

    def __init__(
        self,
        world: World,
        load: float,
        *,
        corrected: bool = True,
        period: float = 15.0,
        first: float | None = None,
        window: float = 15.0,
        unseen: tuple[str, ...] = (),
        idle: float = 0.0,
        noise: float = 0.01,
        most: int = 60,
    ) -> None:
        self.world, self.load = world, load
        self._period, self._window, self._unseen, self._idle, self._most = period, window, unseen, idle, most
        self._used: dict[int, list[tuple[float, float]]] = {}
        self._sample: tuple[float, dict[int, float]] = (world.now, self.uses())
        self._next = world.now + (period if first is None else first)
        self._noise = noise
        self._advised = deque([(world.now, self.replicas)])
        self._store = Store(self)
        self._autoscalers = Autoscalers(self._store, clock=self)
        self._version = 0
        self.since_short: float | None = None
        self.longest_short = 0.0
        self.sizes = [self.replicas]
        if corrected:
            world.autoscaler = self._view

    # A clock for the operator's part.

    def now(self) -> datetime:
        return at(self.world.now)

    def monotonic(self) -> float:
        return 1000 + self.world.now

    async def sleep(self, seconds: float, *, wake: Any = None) -> None:
        raise AssertionError("nothing sleeps here")

    def _view(self, workload: WorkloadView) -> AutoscalerView | None:
        metadata = {"namespace": "shop", "name": "checkout", "uid": "deployment"}
        deployment = {"metadata": metadata, "spec": {"replicas": workload.replicas}}
        return self._autoscalers.view("Deployment", deployment, workload.arms)

    # What is to be seen.

    @property
    def replicas(self) -> int:
        """The size of the Deployment."""
        return self.world.cluster.deployment.replicas if self.world.cluster.deployment else 0

    @property
    def window(self) -> float:
        """Seconds over which the use of pods is averaged."""
        return self._window

    @property
    def sampled(self) -> float:
        """When the last window of the metrics ended, by the world's clock."""
        return self._sample[0]

    def ready(self, revision: str | None) -> list[Pod]:
        """The ready pods of a revision; None for all."""
        found = [rs for rs in self.world.cluster.replica_sets.values() if revision in (None, rs.revision)]
        return [pod for rs in found for pod in rs.pods if pod.ready(self.world.now)]

    def uses(self) -> dict[int, float]:
        """How many times its target each ready pod uses, by the route that is in force."""
        cluster = self.world.cluster
        used = {pod.id: self._idle for pod in self.ready(None)}
        backends = next((route.in_force or route.written for route in cluster.routes.values()), ((USER, 1),))
        whole = sum(weight for _, weight in backends)
        for name, weight in backends:
            pods = self.ready(cluster.services[name].revision if name in {STABLE, CANARY} and name in cluster.services else None)
            for pod in pods:
                used[pod.id] += self.load * weight / whole / len(pods)
        return used

    def short(self) -> bool:
        """Whether the stable version could not carry the load alone, or a pod is too busy."""
        stable = self.world.status.stable
        pods = len(self.ready(stable.revision)) if stable else len(self.ready(None))
        worst = max((use - self._idle for use in self.uses().values()), default=0.0)
        return min(self.load, self._most) > pods * ENOUGH or worst > ENOUGH

    # Time.

    def run(self, seconds: float, *, every: float = 0.5) -> None:
        """Let time go by for everybody."""
        end = self.world.now + seconds
        while self.world.now < end - 1e-9:
            self.world.crank(every, every=every)
            self._meter(every)
            if self.world.now >= self._next:
                self._next += self._period
                self._look()
            if self.short():
                self.since_short = self.world.now if self.since_short is None else self.since_short
                self.longest_short = max(self.longest_short, self.world.now - self.since_short)
            else:
                self.since_short = None
            if self.replicas != self.sizes[-1]:
                self.sizes.append(self.replicas)

    # The metrics.

    def _meter(self, seconds: float) -> None:
        for pod, use in self.uses().items():
            self._used.setdefault(pod, []).append((seconds, use))
        if self.world.now >= self._sample[0] + self._window:
            self._noise = -self._noise
            self._sample = (
                self.world.now,
                {pod: (1 + self._noise) * _mean(used) for pod, used in self._used.items()},
            )
            self._used.clear()

    # The autoscaler.

    def _look(self) -> None:
        advice, utilization, value = self._advice()
        self._publish(utilization, value)
        if advice is None or self.replicas == 0:
            return
        now = self.world.now
        while self._advised and self._advised[0][0] < now - 300:
            self._advised.popleft()
        self._advised.append((now, advice))
        wanted = max(number for _, number in self._advised)
        wanted = min(wanted, max(2 * self.replicas, 4), self._most)
        self.world.cluster.scale(max(1, wanted))

    def _advice(self) -> tuple[int | None, int, int]:
        """`GetResourceReplicas`."""
        (taken, uses), counted, unready, missing = self._sample, list[int](), 0, 0
        for rs, pod in self._pods():
            whole = pod.ready_at is not None and taken >= pod.ready_at + self._window
            if rs.template.image in self._unseen and pod.ready(self.world.now):
                missing += 1
            elif not whole or pod.id not in uses:
                unready += 1
            else:
                counted.append(math.ceil(uses[pod.id] * TARGET / 100 * REQUEST))
        if not counted:
            return None, -1, 0
        ratio, utilization = _ratio(counted)
        value = sum(counted) // len(counted)
        up = unready > 0 and ratio > 1
        if not up and not missing:
            return (self.replicas if _within(ratio) else math.ceil(ratio * len(counted) - 1e-9)), utilization, value
        counted += [REQUEST if ratio < 1 else 0] * (missing if ratio != 1 else 0)
        counted += [0] * (unready if up else 0)
        again, _ = _ratio(counted)
        wanted = math.ceil(again * len(counted) - 1e-9)
        turned = (ratio < 1 < again) or (ratio > 1 > again)
        against = (again < 1 and wanted > self.replicas) or (again > 1 and wanted < self.replicas)
        return (self.replicas if _within(again) or turned or against else wanted), utilization, value

    def _pods(self) -> Iterator[tuple[ReplicaSet, Pod]]:
        yield from ((rs, pod) for rs in self.world.cluster.replica_sets.values() for pod in rs.pods)

    def _publish(self, utilization: int, value: int) -> None:
        self._version += 1
        if self._unseen:
            metric = {"name": "busy"}
            wanted = {"type": "Pods", "pods": {"metric": metric, "target": {"averageValue": f"{TARGET * REQUEST // 100}m"}}}
            current = {"type": "Pods", "pods": {"metric": metric, "current": {"averageValue": f"{value}m"}}}
        else:
            numbers = {"averageUtilization": utilization, "averageValue": f"{value}m"}
            wanted = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": TARGET}}}
            current = {"type": "Resource", "resource": {"name": "cpu", "current": numbers}}
        scaler = {
            "metadata": {"namespace": "shop", "name": "checkout", "uid": "scaler", "resourceVersion": str(self._version)},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
                "maxReplicas": self._most,
                "metrics": [wanted],
            },
            "status": {"currentMetrics": [current if utilization >= 0 else {"type": ""}]},
        }
        self._store.upsert("HorizontalPodAutoscaler", scaler)


def _mean(used: list[tuple[float, float]]) -> float:
    return sum(seconds * use for seconds, use in used) / sum(seconds for seconds, _ in used)


def _ratio(counted: list[int]) -> tuple[float, int]:
    utilization = sum(counted) * 100 // (REQUEST * len(counted))
    return utilization / TARGET, utilization


def _within(ratio: float) -> bool:
    return 1 - TOLERANCE <= ratio <= 1 + TOLERANCE
