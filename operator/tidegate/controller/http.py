"""/healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidegate.runtime.errors import Terminal

STOP_SECONDS = 0.5
"""What a scrape that is under way gets when the process ends."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what it says of itself."""

    name: str
    ok: bool
    words: str


Checks = Callable[[], list[Check]]


class Endpoints:
    """The HTTP endpoints for probes and scrapes.

    Args:
        host: address to listen on.
        port: port; 0 takes a free one.
        alive: what only a new start of the process can mend if it does not hold; asked on /healthz.
        ready: what must hold for its decisions to rest on fresh facts; asked on /readyz.
        registry: what /metrics shows.
        refresh: called before metrics are shown.
    """

    def __init__(
        self, *, host: str, port: int, alive: Checks, ready: Checks, registry: CollectorRegistry, refresh: Callable[[], None]
    ) -> None:
        self._host, self._port = host, port
        self._alive, self._ready = alive, ready
        self._registry, self._refresh = registry, refresh
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen.

        Raises:
            Terminal: the address cannot be listened on.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._probe_of(self._alive))
        app.router.add_get("/readyz", self._probe_of(self._ready))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Terminal(f"cannot listen on {self._host}:{self._port}: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    def _probe_of(checks: Checks) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def probe(_: web.Request) -> web.Response:
            found = checks()
            text = "".join(f"[{'+' if check.ok else '-'}] {check.name}: {check.words}\n" for check in found)
            return web.Response(text=text, status=200 if all(check.ok for check in found) else 503)

        return probe

    async def _metrics(self, _: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
