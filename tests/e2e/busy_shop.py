"""A shop under a load that a test sets: which pods are how busy, and for how long too few of them serve."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from e2e import manifests
from e2e.manifests import NAME, App, Json
from e2e.metrics_api import WINDOW
from e2e.world import World, weights
from tidegate.cluster.errors import ApiError
from tidegate.cluster.resources import PODS

GATE = "test.tidegate.dev/start"
START = 2.0
"""Seconds from a pod's creation until it is scheduled, and then ready."""
TICK = 0.25
REQUEST, TARGET = 1.0, 50
"""Cores that a pod requests, and the share of them in percent that it is to use."""
ENOUGH = 1.15
"""A pod may use so many times its target: the autoscaler's own tolerance, and what its whole percents hide."""


@dataclass(frozen=True)
class Look:
    """One look at the shop.

    Attributes:
        at: time.monotonic.
        load: for how many pods at their target it is.
        busiest: how many times its target the busiest pods use.
        alone: how many times its target a pod of the stable version would use if it served alone.
        ready: pods that are ready, of all versions.
        size: what the Deployment is to have.
        told: the utilization that the autoscaler tells, in percent of the request.
    """

    at: float
    load: float
    busiest: float
    alone: float
    ready: int
    size: int
    told: int | None


class BusyShop:
    """The load, the pods that carry it, and the hand that starts pods."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.load = self.wanted = 4.0
        """The load that is there, and the one that comes with the next window of the metrics: none holds but a part of a rise."""
        self.looks: list[Look] = []
        self._samples: dict[str, tuple[datetime, float]] = {}
        self._begun: set[str] = set()
        self._used: dict[str, list[float]] = {}
        self._window, self._noise = datetime.now(UTC), 0.01

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[BusyShop]:
        """Let pods start and requests come."""
        task = asyncio.create_task(self._run(), name="shop")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def samples(self) -> dict[str, tuple[datetime, float]]:
        """Return what the metrics API is to say."""
        return dict(self._samples)

    # What the user writes.

    async def deploy(self, version: str) -> None:
        """Apply the Deployment, whose size is its autoscaler's."""
        body = manifests.deployment(App(version=version, replicas=None))
        pod = body["spec"]["template"]["spec"]
        pod["containers"][0]["resources"] = {"requests": {"cpu": str(REQUEST)}}
        pod["schedulingGates"] = [{"name": GATE}]
        await self._world.apply(body)

    async def autoscale(self, *, least: int = 4, most: int = 40) -> None:
        """Apply the autoscaler."""
        target = {"type": "Utilization", "averageUtilization": TARGET}
        await self._world.apply(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": NAME},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                    "minReplicas": least,
                    "maxReplicas": most,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                },
            }
        )

    # What is to be seen.

    def ready(self, selector: Json) -> list[str]:
        """Return the names of the pods that a Service selects and that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in self._world.history.all("Pod")
            if selector.items() <= pod["metadata"]["labels"].items() and _ready(pod)
        ]

    def overloaded(self, since: float, *, alone: bool = False) -> float:
        """Return for how many seconds from a moment on the pods that serve were too few."""
        looks = [look for look in self.looks if look.at >= since]
        pairs = itertools.pairwise(looks)
        return sum(after.at - look.at for look, after in pairs if (look.alone if alone else look.busiest) > ENOUGH)

    def account(self, since: float) -> str:
        """Tell what changed from a moment on, for a person who reads a test's output."""
        found, before = list[str](), None
        for look in self.looks:
            told = (look.load, look.size, look.ready, look.told, round(look.busiest, 2), round(look.alone, 2))
            if look.at >= since and told != before:
                words = "{:g} load, {} wanted, {} ready, told {}, busiest {}, alone {}".format(*told)
                found.append(f"{look.at - since:6.2f} s: {words}")
                before = told
        return "\n".join(found)

    def size(self) -> int:
        """Return the size of the Deployment."""
        return int((self._world.history.get("Deployment", NAME) or {"spec": {}})["spec"].get("replicas", 0))

    async def calm(self, *, within: float) -> None:
        """Wait until the pods that serve are enough, and so are those of the version that is rolled back to."""
        await self._world.until("pods for the load", lambda: self.enough(seconds=1.5), within=within)

    def enough(self, *, seconds: float) -> bool:
        recent = [look for look in self.looks if look.at >= time.monotonic() - seconds]
        return bool(recent) and all(max(look.busiest, look.alone) <= ENOUGH and look.load == self.wanted for look in recent)

    async def steady(self, replicas: int, *, seconds: float, within: float = 60) -> None:
        """Wait until the Deployment has had a size for some seconds, and its pods were enough."""

        def held() -> bool:
            recent = [look for look in self.looks if look.at >= time.monotonic() - seconds]
            return self.looks[0].at < time.monotonic() - seconds and all(look.size == replicas for look in recent)

        await self._world.until(f"a size of {replicas} for {seconds:g} s", lambda: held() and self.enough(seconds=1), within=within)

    # The world's own pace.

    async def _run(self) -> None:
        while True:
            self._look()
            await self._start_pods()
            await asyncio.sleep(TICK)

    def _look(self) -> None:
        use = self._use()
        self._meter(use)
        revision = (self._world.status.get("stable") or {}).get("revision")
        stable = self.ready({"pod-template-hash": revision} if revision else {"app": NAME})
        busiest, alone = max(use.values(), default=0.0), self.load / len(stable) if stable else math.inf
        self.looks.append(Look(time.monotonic(), self.load, busiest, alone, len(use), self.size(), self._told()))

    def _meter(self, use: dict[str, float]) -> None:
        """Every pod's use is averaged over a window, then over the next; no two windows are quite the same."""
        for pod, used in use.items():
            self._used.setdefault(pod, []).append(used)
        now = datetime.now(UTC)
        if (now - self._window).total_seconds() < WINDOW:
            return
        self._window, self._noise = now, -self._noise
        cores = REQUEST * TARGET / 100 * (1 + self._noise)
        self._samples = {pod: (now, cores * sum(used) / len(used)) for pod, used in self._used.items()}
        self._used.clear()
        self.load = self.wanted

    def _told(self) -> int | None:
        scaler = self._world.history.get("HorizontalPodAutoscaler", NAME) or {}
        metrics = (scaler.get("status") or {}).get("currentMetrics") or [{}]
        return (metrics[0].get("resource") or {}).get("current", {}).get("averageUtilization")

    def _use(self) -> dict[str, float]:
        """Return how many times its target each ready pod uses: the route spreads the load over backends, these over pods."""
        history = self._world.history
        use = dict.fromkeys(self.ready({"app": NAME}), 0.0)
        route = history.get("HTTPRoute", NAME)
        backends = weights(route)[0] if route else {}
        for name, weight in backends.items():
            service = history.get("Service", name)
            pods = self.ready(service["spec"]["selector"]) if service else []
            for pod in pods:
                use[pod] += self.load * weight / sum(backends.values()) / len(pods)
        return use

    async def _start_pods(self) -> None:
        now = datetime.now(UTC)
        for pod in self._world.history.all("Pod"):
            uid, gates = pod["metadata"]["uid"], pod["spec"].get("schedulingGates")
            age = (now - datetime.fromisoformat(pod["metadata"]["creationTimestamp"])).total_seconds()
            if not gates or uid in self._begun or age < START:
                continue
            self._begun.add(uid)
            with contextlib.suppress(ApiError):
                path = PODS.path(self._world.namespace, pod["metadata"]["name"])
                await self._world.cluster.merge_patch(path, {"spec": {"schedulingGates": None}}, manager="tests")


def _ready(pod: Json) -> bool:
    conditions: list[dict[str, Any]] = (pod.get("status") or {}).get("conditions") or []
    going = "deletionTimestamp" in pod["metadata"]
    return not going and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
