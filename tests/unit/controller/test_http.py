"""Probes and metrics over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from tidegate.controller.process.http import Check, Endpoints
from tidegate.runtime.clock import ManualClock
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
def clock() -> ManualClock:
    return ManualClock()


def without_checks(port: int = 0, probe_port: int = 0) -> Endpoints:
    return Endpoints(
        host="127.0.0.1",
        port=port,
        probe_port=probe_port,
        alive=list,
        ready=list,
        registry=CollectorRegistry(),
        refresh=lambda: None,
        clock=ManualClock(),
    )


@pytest.fixture
async def endpoints(health: Health, clock: ManualClock) -> AsyncIterator[Endpoints]:
    registry = CollectorRegistry()
    gauge = Gauge("tidegate_refreshed", "How often.", registry=registry)

    def refresh() -> None:
        health.refreshed += 1
        gauge.set(health.refreshed)

    endpoints = Endpoints(
        host="127.0.0.1",
        port=0,
        probe_port=0,
        alive=lambda: health.alive,
        ready=lambda: health.ready,
        registry=registry,
        refresh=refresh,
        clock=clock,
    )
    await endpoints.start()
    yield endpoints
    await endpoints.stop()


async def get(endpoints: Endpoints, path: str, port: str = "port") -> tuple[int, str, str]:
    address = f"http://127.0.0.1:{endpoints.ports[port]}{path}"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


@pytest.mark.parametrize("port", ["probePort", "port"])
async def test_probes_say_line_by_line_what_holds(endpoints: Endpoints, health: Health, port: str) -> None:
    """A probe succeeds if everything holds, and says in a line of each thing whether it does; so on the port of scrapes, too."""
    well = await get(endpoints, "/readyz", port)
    health.ready.append(Check("queue", False, "9 waiting, the oldest for 61.0 s"))
    ill = await get(endpoints, "/readyz", port)
    alive = await get(endpoints, "/healthz", port)

    assert (200, "[+] releases: Synced\n") == well[:2]
    assert (503, "[+] releases: Synced\n[-] queue: 9 waiting, the oldest for 61.0 s\n") == ill[:2]
    assert (200, "[+] passes: none runs\n") == alive[:2]


def refreshed(text: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return families["tidegate_refreshed"].samples[0].value


async def test_metrics_can_be_scraped(endpoints: Endpoints) -> None:
    """A scrape shows what holds, in the format that Prometheus reads."""
    status, text, content_type = await get(endpoints, "/metrics")

    assert 200 == status
    assert content_type.startswith("text/plain; version=")
    assert 1.0 == refreshed(text)


async def test_metrics_are_rendered_once_a_second(endpoints: Endpoints, clock: ManualClock) -> None:
    """However many ask, the text is recreated only when a second has passed."""
    at_once = [await get(endpoints, "/metrics") for _ in range(5)]
    clock.advance(0.75)
    soon = await get(endpoints, "/metrics")
    clock.advance(0.25)
    later = await get(endpoints, "/metrics")

    assert {1.0} == {refreshed(text) for _, text, _ in (*at_once, soon)}
    assert 2.0 == refreshed(later[1])


@pytest.mark.parametrize(("path", "port"), [("/", "port"), ("/", "probePort"), ("/metrics", "probePort")])
async def test_other_paths_are_not_there(endpoints: Endpoints, path: str, port: str) -> None:
    """Nothing else is served, and no metrics to whoever may only probe."""
    assert 404 == (await get(endpoints, path, port))[0]


@pytest.mark.parametrize("port", ["port", "probePort"])
async def test_port_that_is_taken_is_named(endpoints: Endpoints, port: str) -> None:
    """Where somebody else listens, it says where and why, and nothing is left open."""
    taken = endpoints.ports[port]
    second = without_checks(taken) if port == "port" else without_checks(0, taken)

    with pytest.raises(Terminal, match=rf"cannot listen on 127\.0\.0\.1:{taken}: "):
        await second.start()
    await second.stop()


async def test_endpoints_that_never_started_stop_well() -> None:
    """To stop what has not started is nothing: it can be started afterwards, and then it listens."""
    endpoints = without_checks()
    await endpoints.stop()
    await endpoints.start()

    assert all(endpoints.ports.values())
    await endpoints.stop()
