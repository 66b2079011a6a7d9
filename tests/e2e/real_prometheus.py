"""Prometheus as people run it: it scrapes each pod every 15 s or every minute, at an instant of the pod's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from e2e.program import POLL, Program
from tidegate_sandbox.cluster import ClusterInfo, ClusterSpec, Layout
from tidegate_sandbox.monitoring import configuration


class RealPrometheus(Program):
    """One Prometheus besides the sandbox's own, while the context is open.

    Args:
        info: the sandbox.
        folder: for its configuration, its data and its log.
        namespaces: whose pods it scrapes.
        seconds: how often.
        jobs: makes other scrape jobs of the usual ones.
    """

    def __init__(
        self,
        info: ClusterInfo,
        folder: Path,
        namespaces: Sequence[str],
        seconds: int,
        jobs: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list,
    ) -> None:
        self.seconds = seconds
        wanted = configuration(ClusterSpec(parts=("api",), scrape_seconds=seconds), Layout(info.directory))
        for job in wanted["scrape_configs"]:
            for discovery in job["kubernetes_sd_configs"]:
                discovery["namespaces"] = {"names": list(namespaces)}
        wanted["scrape_configs"] = jobs(wanted["scrape_configs"])
        (folder / "prometheus.yml").write_text(yaml.safe_dump(wanted))
        arguments = [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--web.listen-address=$ADDRESS",
            "--scrape.discovery-reload-interval=1s",
        ]
        super().__init__(info.bin_dir / "prometheus", folder / "prometheus.log", "/-/ready", arguments)

    async def scraped(self, pods: Sequence[str], *, within: float) -> None:
        """Wait until each of these pods was scraped."""
        await self._until(f"{pods} are scraped", lambda health: all(health.get(pod) == "up" for pod in pods), within)

    async def without(self, pods: Sequence[str], *, within: float) -> None:
        """Wait until none of these pods is scraped any more."""
        await self._until(f"{pods} are not scraped", lambda health: not health.keys() & set(pods), within)

    async def phases(self, namespace: str, revision: str) -> list[float]:
        """Return when within each interval the pods of a revision were scraped, in seconds."""
        query = f'http_requests_total{{namespace="{namespace}",pod_template_hash="{revision}"}}[30m]'
        found = await self._get("/api/v1/query", query=query)
        return [float(series["values"][-1][0]) % self.seconds for series in found["result"]]

    async def _until(self, what: str, holds: Any, within: float) -> None:
        deadline = time.monotonic() + within
        while not holds(health := await self._health()):
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}, but {health}"
            await asyncio.sleep(POLL)

    async def _health(self) -> dict[str, str]:
        targets = (await self._get("/api/v1/targets", state="active"))["activeTargets"]
        return {target["labels"]["pod"]: target["health"] for target in targets}

    async def _get(self, path: str, **parameters: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{self.address}{path}", params=parameters) as answer:
            found = await answer.json()
        assert answer.status == 200, found
        return found["data"]
