"""Pods are read directly while a rollout is on whose gates ask for it; what fails is handed in at once, in the lane of breaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tidegate.api.gate import Gate
from tidegate.cluster.client import Listing
from tidegate.cluster.errors import Forbidden
from tidegate.controller.looks.direct import DirectLane, pods_of_gateway
from tidegate.controller.looks.looks import Looks
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.plan import Look
from tidegate.judge.reading import Reading
from tidegate.prometheus.config import ConnectionConfig, GatewayConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct import targets
from tidegate.prometheus.direct.followed import Followed, Round
from tidegate.prometheus.direct.gateways import Gateways
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import Moment, SystemClock
from tidegate.runtime.queue import Lane

KEY = ReleaseKey("shop", "checkout")
NAMES = Names("shop", "checkout", "", "", "", "checkout-aaaa-[a-z0-9]{5}", "checkout-bbbb-[a-z0-9]{5}", 0)
PLAIN = Gate.model_validate(
    {
        "name": "errors",
        "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
        "versusStable": {"maxIncrease": {"points": 1}},
        "interval": "10m",
    }
)
DIRECT = Gate.model_validate(PLAIN.model_dump(by_alias=True, exclude_unset=True, mode="json") | {"direct": {}})


class Shop:
    """An API server that lists two pods, whose pages are served on loopback."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.lists: list[str] = []
        self.extra: list[dict[str, Any]] = []

    async def list(self, path: str, *, label_selector: str, within: float, slim: Any) -> Listing:
        self.lists.append(f"{path} {label_selector}")
        pods = [self.pod("checkout-aaaa-00001", "aaaa"), self.pod("checkout-bbbb-00001", "bbbb"), *self.extra]
        return SimpleNamespace(items=[slim(pod) for pod in pods])  # type: ignore[return-value]

    def pod(self, name: str, revision: str) -> dict[str, Any]:
        annotations = {"prometheus.io/port": str(self.port), "prometheus.io/path": f"/{name}"}
        metadata = {"name": name, "uid": name, "labels": {"pod-template-hash": revision}, "annotations": annotations}
        return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "10.0.0.1"}}


class Stage:
    """Looks with direct readings, and all that they need."""

    def __init__(self, port: int) -> None:
        self.clock = SystemClock()
        self.arrived: list[tuple[ReleaseKey, Lane]] = []
        self.came = asyncio.Event()
        self.shop = Shop(port)
        config = ConnectionConfig.model_validate(
            {"name": "default", "address": "http://127.0.0.1:1", "timeout": "1s", "direct": {}}
        )
        connections = {"default": Connection(config)}
        asks = Reader(connections)
        self.readings = DirectReadings(
            InTheirTime(asks, connections, self.clock), {"default": config}, asks.refusal, asks.holdings, self.clock
        )
        assert config.direct is not None
        self.scraper = Scraper(config.direct, self.clock)
        self.lane = DirectLane(self.readings, {"default": self.scraper}, self.shop, self.clock)  # type: ignore[arg-type]
        self.looks = Looks(clock=self.clock, reader=self.readings, arrived=self._arrive, direct=self.lane)

    def _arrive(self, key: ReleaseKey, lane: Lane) -> None:
        self.arrived.append((key, lane))
        self.came.set()

    def plan(self, *gates: Gate, revision: str = "bbbb") -> None:
        """Look at these gates of a rollout that has traffic."""
        now = self.clock.now()
        subject = Subject(
            {gate.name: gate for gate in gates},
            NAMES,
            revision,
            now - timedelta(seconds=1),
            stable_revision="aaaa",
            version_label="pod-template-hash",
        )
        looks = [Look(gate.name, now + timedelta(minutes=10)) for gate in gates]
        self.looks.plan(KEY, looks, subject if gates else None, Moment.of(self.clock))


@pytest.fixture
async def pages() -> AsyncIterator[dict[str, int]]:
    """How often each page was asked for; what answers counts 20 requests more each time, on the new version with errors alone."""
    asked: dict[str, int] = {}

    async def handle(request: web.Request) -> web.Response:
        asked[request.path] = asked.get(request.path, 0) + 1
        code = 500 if "bbbb" in request.path else 200
        return web.Response(text=f'http_requests_total{{code="{code}"}} {20 * asked[request.path]}\n', content_type="text/plain")

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    asked["port"] = server.port or 0
    yield asked
    await server.close()


@pytest.fixture
async def stage(pages: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    # Loopback is never read; here nothing else can be.
    monkeypatch.setattr(targets, "is_own", lambda _: False)
    found = Stage(pages.pop("port"))
    running = asyncio.create_task(found.looks.run())
    yield found
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found.readings.close()


async def test_failing_version_is_handed_in_at_once(stage: Stage, pages: dict[str, int]) -> None:
    """A version that fails everything is handed in long before its next look, in the lane of breaches, by its own pods' pages."""
    stage.shop.extra = [stage.shop.pod("other-00001", "bbbb"), stage.shop.pod("checkout-bbbb-0001", "cccc")]

    stage.plan(DIRECT)
    await asyncio.wait_for(stage.came.wait(), 20)

    assert stage.arrived == [(KEY, Lane.URGENT)]
    (arrival,) = stage.looks.waiting(KEY)
    assert arrival.beyond
    assert sum(one.canary.bad for one in arrival.reading.spans) >= 20
    assert arrival.reading.direct.startswith("read directly every 1s: 1 of 1 pods of the new version, 1 of 1 pods of stable")
    assert pages.keys() == {"/checkout-aaaa-00001", "/checkout-bbbb-00001"}
    assert stage.shop.lists == ["/api/v1/namespaces/shop/pods pod-template-hash in (bbbb,aaaa)"]


async def test_counting_is_charged_to_the_namespace(stage: Stage, pages: dict[str, int]) -> None:
    """What takes long to count, as histograms of thousands of buckets do, is charged to those whose pods these are."""
    steps = iter(range(10**6))
    stage.lane._spent = lambda: next(steps) / 50
    stage.scraper._effort._spent = lambda: 0.0

    stage.plan(DIRECT)
    await asyncio.wait_for(stage.came.wait(), 20)

    assert stage.scraper._effort.debt("shop") > 0.01
    assert pages


async def test_a_bug_over_one_gate_takes_nothing_from_the_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate whose numbers cannot be taken in goes back to Prometheus, and says why; another one is judged as ever."""
    broken = DIRECT.model_copy(update={"name": "broken"})
    take = DirectReadings.take

    def taken(one: Followed, found: Round, *, alpha: float, alone: bool) -> Reading | None:
        if one.gate.name == "broken":
            raise OverflowError("a number that nobody expects")
        return take(one, found, alpha=alpha, alone=alone)

    monkeypatch.setattr(stage.readings, "take", taken)
    stage.plan(broken, DIRECT)
    await asyncio.wait_for(stage.came.wait(), 20)

    assert [arrival.reading.gate for arrival in stage.looks.waiting(KEY)] == ["errors"]
    (one,) = (one for group in stage.lane._releases[KEY].groups.values() for one in group.gates if one.gate is broken)
    now = stage.clock.now()
    assert not one.live(now)
    words = "a bug in Tidegate (OverflowError), see the operator's log; Prometheus is asked instead"
    assert words in one.instead(Reading("broken", "bbbb", now)).direct


async def test_round_of_the_version_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another version begins while pods are being read, what they say is not taken for that one's."""
    stage.plan(DIRECT)
    await asyncio.wait_for(stage.came.wait(), 20)
    release = stage.lane._releases[KEY]
    (group,) = release.groups.values()
    taken: list[Round] = []
    read = group.rounds.round

    async def changes() -> Round:
        stage.plan(DIRECT, revision="cccc")
        return await read()

    monkeypatch.setattr(stage.readings, "take", lambda _, found, **__: taken.append(found))
    monkeypatch.setattr(group.rounds, "round", changes)
    await stage.lane._round(KEY, release, group)

    assert taken == []


async def test_nothing_is_read_that_no_gate_asks_for(stage: Stage, pages: dict[str, int]) -> None:
    """Without a gate that asks for it nothing is listed and nothing read; nor is anything once a rollout is over."""
    stage.plan(PLAIN)
    assert (stage.lane.followed, stage.shop.lists) == (0, [])

    stage.plan(DIRECT)
    await asyncio.wait_for(stage.came.wait(), 20)
    assert stage.lane.followed == 1

    stage.plan()
    asked = dict(pages)
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith(("direct readings", "pods of"))]
    await asyncio.wait(tasks, timeout=5) if tasks else None
    assert (stage.lane.followed, stage.lane._releases) == (0, {})
    assert asked == pages
    assert all(task.done() for task in tasks)


async def test_pages_of_a_warm_up_are_not_read(stage: Stage, pages: dict[str, int]) -> None:
    """Until a warm-up ends nothing is read."""
    stage.plan(DIRECT.model_copy(update={"initial_delay": timedelta(hours=1)}))
    await asyncio.sleep(0)
    assert stage.lane.followed == 0
    assert pages == {}


ENVOY = Gate.model_validate(
    DIRECT.model_dump(by_alias=True, exclude_unset=True, mode="json")
    | {"name": "edge", "metric": {"preset": {"source": "Envoy", "measure": "ErrorRate"}}}
)
ROUTED = Names("shop", "checkout", "web", "web-stable", "web-canary", NAMES.stable_pods, NAMES.canary_pods, 80)


class Edge:
    """An API server that lists the pods of a gateway, whose page is served on loopback."""

    def __init__(self) -> None:
        self.lists: list[str] = []
        self.refuses = False

    async def list(self, path: str, *, label_selector: str, within: float, slim: Any) -> Listing:
        self.lists.append(f"{path} {label_selector}")
        if self.refuses:
            raise Forbidden(403, "Forbidden", "no", verb="list", path=path)
        status = {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "10.0.0.1"}
        pod = slim({"metadata": {"name": "envoy-1", "uid": "e"}, "spec": {}, "status": status})
        return SimpleNamespace(items=[pod])  # type: ignore[return-value]


async def at_gateway(port: int, edge: Edge) -> tuple[Looks, list[Any], asyncio.Event]:
    clock, came, arrived = SystemClock(), asyncio.Event(), list[Any]()
    gateway = {"name": "public", "source": "Envoy", "namespace": "edge", "selector": {"app": "envoy"}, "port": port}
    config = ConnectionConfig.model_validate(
        {"name": "default", "address": "http://127.0.0.1:1", "timeout": "1s", "direct": {"gateways": [gateway]}}
    )
    assert config.direct is not None
    connections = {"default": Connection(config)}
    asks = Reader(connections)
    readings = DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)
    lister = partial(pods_of_gateway, edge)  # type: ignore[arg-type]
    gateways = Gateways(config.direct, Scraper(config.direct, clock), lister, clock)
    lane = DirectLane(readings, {}, edge, clock, gateways={"default": gateways})  # type: ignore[arg-type]

    def arrive(key: ReleaseKey, where: Lane) -> None:
        arrived.append((key, where))
        came.set()

    looks = Looks(clock=clock, reader=readings, arrived=arrive, direct=lane)
    now = clock.now()
    subject = Subject(
        {ENVOY.name: ENVOY}, ROUTED, "bbbb", now - timedelta(seconds=1), stable_revision="aaaa", version_label="pod-template-hash"
    )
    looks.plan(KEY, [Look(ENVOY.name, now + timedelta(minutes=10))], subject, Moment.of(clock))
    return looks, arrived, came


async def test_failing_version_is_handed_in_by_its_gateways_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that Envoy counts for is judged by Envoy's page: its pods alone are listed, and none of the Release's own."""
    monkeypatch.setattr(targets, "is_own", lambda _: False)
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        line = 'envoy_cluster_upstream_rq{{envoy_response_code="{}",envoy_cluster_name="shop_web-{}_80"}} {}\n'
        page = line.format(500, "canary", 20 * len(asked)) + line.format(200, "stable", 100 * len(asked))
        return web.Response(text=page, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    edge = Edge()
    looks, arrived, came = await at_gateway(server.port or 0, edge)
    running = asyncio.create_task(looks.run())
    await asyncio.wait_for(came.wait(), 20)

    assert arrived == [(KEY, Lane.URGENT)]
    (arrival,) = looks.waiting(KEY)
    assert arrival.beyond
    assert arrival.reading.direct == "read directly every 1s: 1 of 1 pods of the gateways"
    assert set(asked) == {"/stats/prometheus"}
    assert edge.lists == ["/api/v1/namespaces/edge/pods app=envoy"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await server.close()


async def test_right_that_is_missing_is_named() -> None:
    """If the operator may not list a gateway's pods, the reason says so, without the name of its namespace."""
    edge = Edge()
    edge.refuses = True
    one = {"name": "public", "source": "Envoy", "namespace": "edge", "selector": {"app": "envoy"}, "port": 1}
    words = await pods_of_gateway(edge, GatewayConfig.model_validate(one))  # type: ignore[arg-type]
    assert words == "the operator may not list its pods: give it that right in the gateway's namespace"
