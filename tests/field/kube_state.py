"""What kube-state-metrics says of the restarts of containers, where the sidecars of one version restart all the time.

Names and labels are those of its documentation of pod metrics; a native sidecar is an init container there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from e2e.history import History
from e2e.manifests import Json

CONTAINERS, INIT_CONTAINERS = "kube_pod_container_status_restarts_total", "kube_pod_init_container_status_restarts_total"
ILL = "v2"
EVERY = 2.0
"""Seconds between two restarts of a sidecar."""


@dataclass
class KubeState:
    """Serves the exposition for the pods of a namespace.

    Attributes:
        history: which pods there are.
        port: where it listens on loopback.
    """

    history: History
    port: int = 0
    _began: dict[str, float] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, on a port that was free."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(f"{line}\n" for pod in self.history.all("Pod") for line in self._of(pod)))

    def _of(self, pod: Json) -> list[str]:
        metadata, spec = pod["metadata"], pod["spec"]
        since = self._began.setdefault(metadata["uid"], time.monotonic())
        ill = spec["containers"][0]["image"].endswith(f":{ILL}")
        again = int((time.monotonic() - since) / EVERY) if ill else 0
        own = f'namespace="{metadata["namespace"]}",pod="{metadata["name"]}",uid="{metadata["uid"]}"'
        found = [f'{CONTAINERS}{{{own},container="{one["name"]}"}} 0' for one in spec["containers"]]
        for container in spec.get("initContainers", ()):
            name = f'container="{container["name"]}"'
            found += [
                f"{INIT_CONTAINERS}{{{own},{name}}} {again}",
                f'kube_pod_init_container_info{{{own},{name},restart_policy="{container.get("restartPolicy", "")}"}} 1',
            ]
        return found
