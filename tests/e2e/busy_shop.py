"""A shop under a load that a test sets: which pods are how busy, and for how long too few of them serve."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from e2e import manifests
from e2e.autoscaler_measures import Look
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


class BusyShop:
    """The load, the pods that carry it, and the hand that starts pods.

    Args:
        world: the shop's namespace.
        load: at first.
    """

    def __init__(self, world: World, *, load: float = 4.0) -> None:
        self._world = world
        self.load = self.wanted = load
        """The load that is there, and the one that is to come with the next window of the metrics."""
        self.looks: list[Look] = []
        self.starts: list[float] = []
        """Seconds that pods took from their creation until they were ready, as far as a look every :data:`TICK` tells."""
        self._into, self._due = 0.0, False
        self._samples: dict[str, tuple[datetime, float]] = {}
        self._seen: dict[str, float] = {}
        self._begun, self._ready = set[str](), set[str]()
        self._used: dict[str, list[float]] = {}
        self._window, self._noise = datetime.now(UTC), 0.01
        self._loads, self._shown = {load}, load

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

    async def becomes(self, load: float, *, into: float = 0.0) -> float:
        """Change the load with the next window of the metrics, and return when it has changed (time.monotonic).

        Args:
            load: for how many pods at their target it is to be.
            into: seconds into the window. With 0, no window holds but a part of the change.
        """
        self.wanted, self._into = load, into
        await self._world.until(f"a load of {load:g}", lambda: self.load == load, within=10 * WINDOW)
        return list(itertools.takewhile(lambda look: look.load == load, reversed(self.looks)))[-1].at

    # What is to be seen.

    def since(self, moment: float) -> list[Look]:
        """Return all looks from a moment on (time.monotonic)."""
        return self.looks[bisect.bisect_left(self.looks, moment, key=lambda look: look.at) :]

    def ready(self, selector: Json) -> list[str]:
        """Return the names of the pods that a Service selects and that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in self._world.history.all("Pod")
            if selector.items() <= pod["metadata"]["labels"].items() and _ready(pod)
        ]

    def size(self) -> int:
        """Return the size of the Deployment."""
        return int((self._world.history.get("Deployment", NAME) or {"spec": {}})["spec"].get("replicas", 0))

    async def settled(self, *, within: float) -> bool:
        """Wait until there are enough pods, those of the version that is rolled back to included; return whether there are."""
        return await self._world.history.until(lambda: self.enough(seconds=1.5), within=within)

    def enough(self, *, seconds: float) -> bool:
        """Whether there have been enough pods for so many seconds, for the load that was wanted."""
        recent = self.since(time.monotonic() - seconds)
        return bool(recent) and not any(look.short or look.load != self.wanted for look in recent)

    async def steady(self, replicas: int, *, seconds: float, within: float = 60) -> None:
        """Wait until the Deployment has had a size for some seconds, and its pods were enough."""

        def held() -> bool:
            recent = self.since(time.monotonic() - seconds)
            return len(recent) < len(self.looks) and all(look.size == replicas for look in recent)

        await self._world.until(f"a size of {replicas} for {seconds:g} s", lambda: held() and self.enough(seconds=1), within=within)

    # The world's own pace.

    async def _run(self) -> None:
        while True:
            self._look()
            await self._start_pods()
            await asyncio.sleep(TICK)

    def _look(self) -> None:
        self._meter()
        use = self._use()
        for pod, used in use.items():
            self._used.setdefault(pod, []).append(used)
        self._loads.add(self.load)
        revision = (self._world.status.get("stable") or {}).get("revision")
        stable = self.ready({"pod-template-hash": revision} if revision else {"app": NAME})
        busiest, alone = max(use.values(), default=0.0), self.load / len(stable) if stable else math.inf
        self.looks.append(Look(time.monotonic(), self.load, self._shown, busiest, alone, len(use), self.size(), self._told()))

    def _meter(self) -> None:
        """Every pod's use is averaged over a window, then over the next; no two windows are quite the same."""
        now = datetime.now(UTC)
        passed = (now - self._window).total_seconds()
        if passed >= WINDOW:
            self._window, self._noise = now, -self._noise
            cores = REQUEST * TARGET / 100 * (1 + self._noise)
            self._samples = {pod: (now, cores * sum(used) / len(used)) for pod, used in self._used.items()}
            self._shown = self._loads.pop() if len(self._loads) == 1 else self._shown
            self._used.clear()
            self._loads.clear()
            self._due, passed = self.load != self.wanted, 0.0
        if self._due and passed >= self._into:
            self.load, self._due = self.wanted, False

    def _told(self) -> int | None:
        scaler = self._world.history.get("HorizontalPodAutoscaler", NAME) or {}
        metrics = (scaler.get("status") or {}).get("currentMetrics") or [{}]
        told: int | None = (metrics[0].get("resource") or {}).get("current", {}).get("averageUtilization")
        return told

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
        now, due = time.monotonic(), list[str]()
        for pod in self._world.history.all("Pod"):
            uid, gates = pod["metadata"]["uid"], pod["spec"].get("schedulingGates")
            # A creationTimestamp has whole seconds, and one of them is half of a start.
            seen = self._seen.setdefault(uid, now)
            if gates and uid not in self._begun and now - seen >= START:
                self._begun.add(uid)
                due.append(pod["metadata"]["name"])
            elif uid not in self._ready and _ready(pod):
                self._ready.add(uid)
                self.starts.append(now - seen)
        await asyncio.gather(*map(self._start, due))

    async def _start(self, pod: str) -> None:
        with contextlib.suppress(ApiError):
            path = PODS.path(self._world.namespace, pod)
            await self._world.cluster.merge_patch(path, {"spec": {"schedulingGates": None}}, manager="tests")


def _ready(pod: Json) -> bool:
    conditions: list[dict[str, Any]] = (pod.get("status") or {}).get("conditions") or []
    going = "deletionTimestamp" in pod["metadata"]
    return not going and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
