"""A real Prometheus scrapes pods and pushes what it finds: a gate is judged by that, and Prometheus hears that all was taken."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry

from api.test_prometheus_real import Exposition, binary, free_port
from tidegate.api.gate import Gate
from tidegate.controller.looks.direct import DirectLane
from tidegate.controller.looks.looks import Looks
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.process.push import PATH, PushPort
from tidegate.controller.process.push_metrics import PushMetrics
from tidegate.engine.plan import Look
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.promql import Names
from tidegate.prometheus.push.config import PushConfig
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import Moment, SystemClock
from tidegate.runtime.queue import Lane

pytestmark = [pytest.mark.api, pytest.mark.timeout(120), pytest.mark.xdist_group("prometheus-push")]

KEY = ReleaseKey("shop", "checkout")
NAMES = Names("shop", "checkout", "", "", "", "checkout-aaaa-[a-z0-9]{5}", "checkout-bbbb-[a-z0-9]{5}", 0)
STABLE, CANARY = "checkout-aaaa-00001", "checkout-bbbb-00001"
GATE = Gate.model_validate(
    {
        "name": "errors",
        "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
        "versusStable": {"maxIncrease": {"points": 1}},
        "interval": "10m",
        "push": {"interval": "5s"},
    }
)
TOKEN = "the-token-of-prometheus"


class Operator:
    """Looks, with a port on which samples are pushed: all of the operator that reads gates."""

    def __init__(self, folder: Path, scraped: str) -> None:
        (folder / "token").write_text(TOKEN)
        self.clock, self.came, self.registry = SystemClock(), asyncio.Event(), CollectorRegistry()
        self.arrived: list[tuple[ReleaseKey, Lane]] = []
        config = ConnectionConfig.model_validate({"name": "default", "address": scraped, "timeout": "1s", "push": {}})
        connections = {"default": Connection(config)}
        asks = Reader(connections)
        theirs = InTheirTime(asks, connections, self.clock)
        self.readings = DirectReadings(theirs, {"default": config}, asks.refusal, asks.holdings, self.clock)
        sender = {"name": "prometheus", "namespaces": ["shop"], "tokenFile": str(folder / "token")}
        port = PushConfig.model_validate({"host": "127.0.0.1", "port": 0, "plainHttp": True, "senders": [sender]})
        assert config.push is not None
        self.port = PushPort(port, {"default": config.push}, PushMetrics(self.registry), self.clock)
        self.lane = DirectLane(self.readings, {}, self, self.clock, self.port)  # type: ignore[arg-type]
        self.looks = Looks(clock=self.clock, reader=self.readings, arrived=self._arrive, direct=self.lane)

    def _arrive(self, key: ReleaseKey, lane: Lane) -> None:
        self.arrived.append((key, lane))
        self.came.set()

    async def list(self, path: str, *, label_selector: str, within: float, slim: Any) -> Any:
        """List the two pods, as an API server does."""
        pods = [
            {"metadata": {"name": name, "uid": name, "labels": {"pod-template-hash": revision}}, "status": {"phase": "Running"}}
            for name, revision in ((STABLE, "aaaa"), (CANARY, "bbbb"))
        ]
        return SimpleNamespace(items=[slim(pod) for pod in pods])

    def plan(self) -> None:
        """Look at the gate of a rollout that has traffic."""
        now = self.clock.now()
        subject = Subject(
            {GATE.name: GATE}, NAMES, "bbbb", now - timedelta(seconds=1), stable_revision="aaaa", version_label="pod-template-hash"
        )
        self.looks.plan(KEY, [Look(GATE.name, now + timedelta(minutes=10))], subject, Moment.of(self.clock))

    def samples(self, outcome: str) -> float:
        labels = {"sender": "prometheus", "outcome": outcome}
        return self.registry.get_sample_value("tidegate_push_samples_total", labels) or 0.0


def configuration(pages: dict[str, Exposition], push: int, message: str) -> dict[str, Any]:
    """Return a Prometheus that scrapes pods each second and pushes the series that gates want."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{page.port}"], "labels": {"namespace": "shop", "pod": pod}}
                    for pod, page in pages.items()
                ],
            }
        ],
        "remote_write": [
            {
                "url": f"http://127.0.0.1:{push}{PATH}",
                "protobuf_message": message,
                "metadata_config": {"send": False},
                "authorization": {"credentials": TOKEN},
                "queue_config": {"batch_send_deadline": "1s"},
                "write_relabel_configs": [
                    {"source_labels": ["__name__"], "regex": "http_requests_total|scrape_duration_seconds", "action": "keep"}
                ],
            }
        ],
    }


@asynccontextmanager
async def prometheus(folder: Path, port: int, configured: dict[str, Any]) -> AsyncIterator[str]:
    path = binary()
    if path is None:
        pytest.skip("there is no prometheus in PATH, TIDEGATE_PROMETHEUS names none, and the sandbox has not built it")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configured))
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - it begins at once
            [path, *arguments], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def own_metrics(address: str) -> dict[str, float]:
    """Return what Prometheus counts of what it has pushed."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {
        line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("prometheus_remote_storage_samples")
    }


@pytest.mark.parametrize("message", ["io.prometheus.write.v2.Request", "prometheus.WriteRequest"])
async def test_failing_version_is_handed_in_by_what_prometheus_pushes(tmp_path: Path, message: str) -> None:
    """A version that fails everything is beyond its limit by pushed samples alone, long before its next check; none was refused."""
    pages = {STABLE: Exposition(), CANARY: Exposition()}
    pages[STABLE].grow('http_requests_total{code="200"}', 20)
    pages[CANARY].grow('http_requests_total{code="500"}', 20)
    scraped = free_port()
    operator = Operator(tmp_path, f"http://127.0.0.1:{scraped}")
    running = asyncio.create_task(operator.looks.run())
    try:
        while operator.port._renewing is None:  # noqa: ASYNC110 - it begins to listen
            await asyncio.sleep(0)
        async with prometheus(tmp_path, scraped, configuration(pages, operator.port.port, message)) as address:
            operator.plan()
            await asyncio.wait_for(operator.came.wait(), 60)
            (arrival, *_) = operator.looks.waiting(KEY)
            counted = await own_metrics(address)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        operator.readings.close()
        for page in pages.values():
            page.close()

    reading, (_, lane) = arrival.reading, operator.arrived[0]
    log = [
        json.dumps(line) for line in (tmp_path / "log").read_text().splitlines() if "level=ERROR" in line or "level=WARN" in line
    ]
    assert (arrival.beyond, lane) == (True, Lane.URGENT)
    assert reading.direct == "samples are pushed every 5s: 1 of 1 pods of the new version, 1 of 1 pods of stable"
    spans = reading.spans
    canary, stable = [sum(getattr(one.canary, what) for one in spans) for what in ("total", "bad")], [one.stable for one in spans]
    assert canary[0] == canary[1] >= 20
    assert canary[0] % 20 == 0
    assert all(one is not None and one.bad == 0 for one in stable)
    assert operator.samples("taken") >= 6
    assert operator.samples("unwanted") > 0
    assert [operator.samples(one) for one in ("namespace", "late", "future", "invalid", "copy")] == [0] * 5
    assert counted["prometheus_remote_storage_samples_failed_total"] == 0
    assert counted["prometheus_remote_storage_samples_retried_total"] == 0
    assert counted["prometheus_remote_storage_samples_total"] > 0
    assert [line for line in log if "remote" in line] == []
