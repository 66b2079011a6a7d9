"""Probes and metrics over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from tidegate.controller.http import Check, Endpoints
from tidegate.runtime.errors import Terminal


class Health:
    """What the operator says of itself."""

    def __init__(self) -> None:
        self.alive, self.ready = [Check("passes", True, "none runs")], [Check("releases", True, "Synced")]
        self.refreshed = 0


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def endpoints(health: Health) -> AsyncIterator[Endpoints]:
    registry = CollectorRegistry()
    gauge = Gauge("tidegate_refreshed", "How often.", registry=registry)

    def refresh() -> None:
        health.refreshed += 1
        gauge.set(health.refreshed)

    endpoints = Endpoints(
        host="127.0.0.1", port=0, alive=lambda: health.alive, ready=lambda: health.ready, registry=registry, refresh=refresh
    )
    await endpoints.start()
    yield endpoints
    await endpoints.stop()


async def get(endpoints: Endpoints, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{endpoints.port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_probes_say_line_by_line_what_holds(endpoints: Endpoints, health: Health) -> None:
    """A probe succeeds if everything holds, and says in a line of each thing whether it does."""
    well = await get(endpoints, "/readyz")
    health.ready.append(Check("queue", False, "9 waiting, the oldest for 61.0 s"))
    ill = await get(endpoints, "/readyz")
    alive = await get(endpoints, "/healthz")

    assert (200, "[+] releases: Synced\n") == well[:2]
    assert (503, "[+] releases: Synced\n[-] queue: 9 waiting, the oldest for 61.0 s\n") == ill[:2]
    assert (200, "[+] passes: none runs\n") == alive[:2]


async def test_metrics_are_fresh_and_can_be_scraped(endpoints: Endpoints) -> None:
    """Each scrape shows what holds at that moment, in the format that Prometheus reads."""
    await get(endpoints, "/metrics")
    status, text, content_type = await get(endpoints, "/metrics")

    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert 200 == status
    assert content_type.startswith("text/plain; version=")
    assert 2.0 == families["tidegate_refreshed"].samples[0].value


async def test_other_paths_are_not_there(endpoints: Endpoints) -> None:
    """Nothing else is served."""
    assert 404 == (await get(endpoints, "/"))[0]


async def test_port_that_is_taken_is_named(endpoints: Endpoints) -> None:
    """Where somebody else listens, it says where and why, and nothing is left open."""
    second = Endpoints(
        host="127.0.0.1", port=endpoints.port, alive=list, ready=list, registry=CollectorRegistry(), refresh=lambda: None
    )

    with pytest.raises(Terminal, match=rf"cannot listen on 127\.0\.0\.1:{endpoints.port}: "):
        await second.start()
    await second.stop()


async def test_endpoints_that_never_started_stop_well() -> None:
    """To stop what has not started is nothing."""
    await Endpoints(host="127.0.0.1", port=0, alive=list, ready=list, registry=CollectorRegistry(), refresh=lambda: None).stop()
