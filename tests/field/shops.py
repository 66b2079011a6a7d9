"""Shops whose pods are pages of metrics: what each has counted is known, and so is when it was read."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from tidegate.prometheus.promql import Names, pods_of

STABLE, CANARY = "aaa", "bbb"
_PODS = {STABLE: 3, CANARY: 2}
_USUAL = 0.01
"""Share of bad answers that each version has while it is well."""
_SUFFIXES = "xyz"


class Tale(StrEnum):
    """What becomes of the new version."""

    FEW = "5% errors"
    ALL = "100% errors"
    GONE = "all fail, and no metrics"
    WELL = "healthy"


_BAD = {Tale.FEW: 0.05, Tale.ALL: 1.0, Tale.GONE: 1.0, Tale.WELL: _USUAL}


@dataclass
class _Pod:
    version: str
    began: float
    total: int = 0
    bad: int = 0


@dataclass
class Shop:
    """One shop: three pods of stable and two of the new version, which get requests at an even pace.

    Attributes:
        tale: what becomes of the new version.
        rate: requests a second of each pod.
        opened: when stable's pods began to get requests, in seconds since 1970.
        started: when those of the new version did; never, by default.
        fault: from when on the new version is as its tale says.
        reads: when each pod's page was read and how many requests it told of, by who read it and the pod.
    """

    tale: Tale
    rate: float
    opened: float = field(default_factory=time.time)
    started: float = float("inf")
    fault: float = float("inf")
    reads: dict[tuple[str, str], list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._read = asyncio.Condition()
        self._random = random.Random(self.tale)
        # Each of its own name, as the Deployment's controller makes them.
        self._pods = {
            f"checkout-{version}-{_SUFFIXES[number] * 5}": _Pod(version, self.opened)
            for version, pods in _PODS.items()
            for number in range(pods)
        }

    @property
    def namespace(self) -> str:
        return self.tale.name.lower()

    @property
    def names(self) -> Names:
        stable, canary = pods_of([f"checkout-{STABLE}"]), pods_of([f"checkout-{CANARY}"])
        return Names(self.namespace, "checkout", "checkout", "checkout-stable", "checkout-canary", stable, canary, service_port=80)

    @property
    def pods(self) -> list[str]:
        return list(self._pods)

    def count(self, reader: str, name: str) -> tuple[int, int] | None:
        """Return how many requests a pod tells of now, and how many bad ones; None where it says nothing."""
        now, pod = time.time(), self._pods[name]
        if self.tale is Tale.GONE and pod.version == CANARY and now >= self.fault:
            return None
        self._count(pod, now)
        self.reads[reader, name].append((now, pod.total))
        return pod.total, pod.bad

    def page(self, reader: str, name: str) -> str | None:
        """Return a pod's page as it is now; None where it has none."""
        counted = self.count(reader, name)
        if counted is None:
            return None
        total, bad = counted
        return (
            f'http_requests_total{{code="200"}} {total - bad}\nhttp_requests_total{{code="500"}} {bad}\n'
            f"process_start_time_seconds {self.opened:.3f}\n"
        )

    def told(self, readers: tuple[str, ...], until: float) -> int:
        """Return how many requests of the new version somebody had been told of at a time."""
        canary = [name for name, pod in self._pods.items() if pod.version == CANARY]
        return sum(max((n for one in readers for at, n in self.reads[one, name] if at <= until), default=0) for name in canary)

    def there(self, readers: tuple[str, ...]) -> float | None:
        """Return when the first bad counts of each pod of the new version had been read by all; None where they were not."""
        firsts = [
            next((at for at, _ in self.reads[reader, name] if at >= self.fault), None)
            for reader in readers
            for name, pod in self._pods.items()
            if pod.version == CANARY
        ]
        return None if None in firsts else max(at for at in firsts if at is not None)

    async def is_read_by(self, reader: str, *, times: int) -> None:
        """Wait until somebody has read the page of each pod so many times."""
        async with self._read:
            await self._read.wait_for(lambda: all(len(self.reads[reader, name]) >= times for name in self._pods))

    async def note(self) -> None:
        """Tell who waits that a page was read."""
        async with self._read:
            self._read.notify_all()

    def _count(self, pod: _Pod, now: float) -> None:
        begun = self.opened if pod.version == STABLE else self.started
        for until, share in ((min(now, self.fault), _USUAL), (now, _BAD[self.tale] if pod.version == CANARY else _USUAL)):
            new = max(0, int(self.rate * max(0.0, until - begun)) - pod.total)
            pod.total += new
            pod.bad += sum(self._random.random() < share for _ in range(new))


class Pages:
    """Serves the pages of all pods, at `/<who reads>/<namespace>/<pod>`."""

    def __init__(self, shops: list[Shop]) -> None:
        self._shops = {shop.namespace: shop for shop in shops}
        self.port = 0

    async def start(self) -> web.AppRunner:
        """Begin; whoever does ends it by the runner's `cleanup`."""
        app = web.Application()
        app.router.add_get("/{reader}/{namespace}/{pod}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    def scraped(self, reader: str, seconds: float, **more: Any) -> dict[str, Any]:
        """Return the configuration of who scrapes all pods so often."""
        targets = [
            {
                "targets": [f"127.0.0.1:{self.port}"],
                "labels": {
                    "__metrics_path__": f"/{reader}/{namespace}/{pod}",
                    "namespace": namespace,
                    "pod": pod,
                    "instance": f"{pod}:8080",
                },
            }
            for namespace, shop in self._shops.items()
            for pod in shop.pods
        ]
        often = f"{round(seconds * 1000)}ms"
        times = {"scrape_interval": often, "scrape_timeout": f"{round(min(seconds, 10) * 1000)}ms"}
        return {"global": times, "scrape_configs": [{"job_name": "pods", "static_configs": targets}]} | more

    async def _answer(self, request: web.Request) -> web.Response:
        names = request.match_info
        text = self._shops[names["namespace"]].page(names["reader"], names["pod"])
        if text is None:
            return web.Response(status=503)
        await self._shops[names["namespace"]].note()
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})
