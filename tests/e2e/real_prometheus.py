"""Prometheus as people run it: it scrapes each pod every 15 s or every minute, at an instant of the pod's own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from tidegate_sandbox.cluster import ClusterInfo, ClusterSpec, Layout
from tidegate_sandbox.monitoring import configuration

READY_WITHIN = 60.0
_POLL = 0.2


class RealPrometheus:
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
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._listens = f"127.0.0.1:{free.getsockname()[1]}"
        self._program, self._folder, self._log = info.bin_dir / "prometheus", folder, folder / "prometheus.log"
        wanted = configuration(ClusterSpec(parts=("api",), scrape_seconds=seconds), Layout(info.directory))
        for job in wanted["scrape_configs"]:
            for discovery in job["kubernetes_sd_configs"]:
                discovery["namespaces"] = {"names": list(namespaces)}
        wanted["scrape_configs"] = jobs(wanted["scrape_configs"])
        (folder / "prometheus.yml").write_text(yaml.safe_dump(wanted))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"http://{self._listens}"

    async def __aenter__(self) -> Self:
        arguments = [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'prometheus'}",
            f"--web.listen-address={self._listens}",
            "--scrape.discovery-reload-interval=1s",
        ]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(self._program, *arguments, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN
        while not await self._ready():
            assert self._process.returncode is None, self._log.read_text()
            assert time.monotonic() < deadline, f"not ready within {READY_WITHIN:g} s: {self._log.read_text()}"
            await asyncio.sleep(_POLL)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

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
            await asyncio.sleep(_POLL)

    async def _health(self) -> dict[str, str]:
        targets = (await self._get("/api/v1/targets", state="active"))["activeTargets"]
        return {target["labels"]["pod"]: target["health"] for target in targets}

    async def _ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.address}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _get(self, path: str, **parameters: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{self.address}{path}", params=parameters) as answer:
            found = await answer.json()
        assert answer.status == 200, found
        return found["data"]
