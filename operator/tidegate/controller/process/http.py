"""/healthz and /readyz for probes on one port, /metrics for scrapes on another.

Two ports, since a NetworkPolicy can then let the kubelet in and keep everybody else from the metrics.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidegate.controller.process.door import Bounds, Door
from tidegate.runtime.clock import Clock

STOP_SECONDS = 0.5
"""What a scrape that is under way gets when the process ends."""
RENDERED_SECONDS = 1.0
"""For so long every scrape gets the same text: to render it holds up the loop that rolls back, however many ask for it."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what it says of itself."""

    name: str
    ok: bool
    words: str


Checks = Callable[[], list[Check]]


class Endpoints:
    """The HTTP endpoints for probes and scrapes.

    Probes have a port of their own: whoever floods the port of scrapes, which others must reach, has nothing restarted. The port of
    scrapes answers probes, too, for that is where pods ask whose manifests are from before there were two.

    Args:
        host: address to listen on.
        port: port of scrapes; 0 takes a free one.
        probe_port: port of probes; 0 takes a free one.
        alive: what only a new start of the process can mend if it does not hold; asked on /healthz.
        ready: what must hold for its decisions to rest on fresh facts; asked on /readyz.
        registry: what /metrics shows.
        refresh: called before metrics are rendered.
        clock: the time.
        bounds: which connections are let in, at each of the ports.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        probe_port: int,
        alive: Checks,
        ready: Checks,
        registry: CollectorRegistry,
        refresh: Callable[[], None],
        clock: Clock,
        bounds: Bounds | None = None,
    ) -> None:
        self._host, self._wanted = host, (port, probe_port)
        self._alive, self._ready = alive, ready
        self._registry, self._refresh, self._clock = registry, refresh, clock
        self._rendered: tuple[float, bytes] | None = None
        scrapes = self._probes()
        scrapes.router.add_get("/metrics", self._metrics)
        bounds = bounds or Bounds()
        self._scrapes = Door(scrapes, bounds=bounds, stop_seconds=STOP_SECONDS)
        self._asked = Door(self._probes(), bounds=bounds, stop_seconds=STOP_SECONDS)

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are listened on: `port` for scrapes, `probePort` for probes."""
        return {"port": self._scrapes.port, "probePort": self._asked.port}

    async def start(self) -> None:
        """Listen.

        Raises:
            Terminal: one of the addresses cannot be listened on.
        """
        for door, port in zip((self._scrapes, self._asked), self._wanted, strict=True):
            await door.listen(self._host, port)

    async def stop(self) -> None:
        """Stop listening."""
        await self._scrapes.close()
        await self._asked.close()

    def _probes(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._probe_of(self._alive))
        app.router.add_get("/readyz", self._probe_of(self._ready))
        return app

    @staticmethod
    def _probe_of(checks: Checks) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def probe(_: web.Request) -> web.Response:
            found = checks()
            text = "".join(f"[{'+' if check.ok else '-'}] {check.name}: {check.words}\n" for check in found)
            return web.Response(text=text, status=200 if all(check.ok for check in found) else 503)

        return probe

    async def _metrics(self, _: web.Request) -> web.Response:
        now = self._clock.monotonic()
        if self._rendered is None or now - self._rendered[0] >= RENDERED_SECONDS:
            self._refresh()
            self._rendered = now, generate_latest(self._registry)
        return web.Response(body=self._rendered[1], headers={"Content-Type": CONTENT_TYPE_LATEST})
