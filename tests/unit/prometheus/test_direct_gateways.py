"""Gateways that are read directly: of a page that is everybody's, what the Release's own Services have counted and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from tidegate.judge.reading import Reading
from tidegate.prometheus.budgets import Holdings
from tidegate.prometheus.config import Budgets, ConnectionConfig, DirectConfig, GatewayConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct import targets
from tidegate.prometheus.direct.followed import Followed
from tidegate.prometheus.direct.gateways import MOST_OF_NAMESPACE, SPACING, AtGateways, Gateways
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.direct.targets import Chosen, slim
from tidegate.prometheus.direct.text import Series
from tidegate.prometheus.evidence import Accounts
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import NAMES, at_gateway, gate

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENVOY = gate("Envoy")


class Served:
    """Pods of a gateway whose pages are served on loopback, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.body, self.status = "", 200
        self.port = 0
        self.pods: list[str] | str = ["envoy-1"]
        self.lists = 0
        self.spec: dict[str, Any] = {}
        self.clock = ManualClock(START)

    async def list(self, config: GatewayConfig) -> Sequence[Mapping[str, Any]] | str:
        self.lists += 1
        if isinstance(self.pods, str):
            return self.pods
        status = {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "10.0.0.1"}
        return [slim({"metadata": {"name": name, "uid": name}, "spec": self.spec, "status": status}) for name in self.pods]

    def gateways(self, **more: Any) -> Gateways:
        one = {"name": "edge", "source": "Envoy", "namespace": "edge-system", "selector": {"app": "envoy"}, "port": self.port}
        config = DirectConfig.model_validate({"gateways": [one | more]})
        return Gateways(config, Scraper(config, self.clock), self.list, self.clock)


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    # Loopback is never read; here nothing else can be.
    monkeypatch.setattr(targets, "is_own", lambda _: False)
    found = Served()

    async def handle(request: web.Request) -> web.Response:
        found.asked.append(request.path_qs)
        return web.Response(status=found.status, text=found.body, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    found.port = server.port or 0
    yield found
    await server.close()


def source_of(all_of: Gateways, namespace: str = "shop", names: Names = NAMES) -> AtGateways:
    found = all_of.source(namespace, ENVOY.metric.preset.source)  # type: ignore[union-attr]
    found.listed(Series(at_gateway(names=replace(names, namespace=namespace))), (), ())
    return found


def followed() -> Followed:
    canary, stable = at_gateway()
    return Followed(ENVOY, canary, NAMES, "b", Accounts(Holdings(Budgets())), of_stable=stable)


async def test_one_page_serves_all_releases(served: Served) -> None:
    """Two Releases that are read in the same second cost the gateway one page, and each gets its own series of it."""
    all_of = served.gateways()
    served.body = "".join(
        f'envoy_cluster_upstream_rq{{envoy_response_code="200",envoy_cluster_name="{namespace}_checkout-canary_80"}} {value}\n'
        for namespace, value in (("shop", 3), ("bank", 7))
    )
    shop, bank = source_of(all_of), source_of(all_of, "bank")
    served.clock.advance(1)

    rounds = await asyncio.gather(shop.round(), bank.round())

    assert served.asked == ["/stats/prometheus"]
    totals = [one.canary[0].page.counted[source.wishes[0]].events.total for one, source in zip(rounds, (shop, bank), strict=True)]
    assert totals == [3, 7]
    # Nothing is read again, nor handed on twice, before the gateway may be asked again.
    served.clock.advance(SPACING / 2)
    assert (await shop.round()).canary == []
    served.clock.advance(SPACING)
    assert len((await shop.round()).canary) == 1
    assert len(served.asked) == 2
    await all_of.close()


async def test_page_of_a_warm_up_is_not_taken(served: Served) -> None:
    """A page that was asked for before a gate is followed says nothing of the time since."""
    all_of = served.gateways()
    first = source_of(all_of)
    served.clock.advance(1)
    assert len((await first.round()).canary) == 1
    served.clock.advance(0.1)
    later = source_of(all_of)
    assert (await later.round()).canary == []
    await all_of.close()


async def test_one_gate_with_too_many_series_blinds_no_other(served: Served) -> None:
    """If a gate on latencies has too many buckets on a page, the Release's gate on errors is judged by that page all the same."""
    errors, tails = gate("NGINX"), gate("NGINX", "Tail")
    one = {"name": "edge", "source": "NGINX", "namespace": "edge", "selector": {"a": "b"}, "port": served.port}
    config = DirectConfig.model_validate({"gateways": [one], "seriesPerPod": 10})
    all_of = Gateways(config, Scraper(config, served.clock), served.list, served.clock)
    source = all_of.source("shop", errors.metric.preset.source)  # type: ignore[union-attr]
    accounts = Accounts(Holdings(Budgets()))
    both = [at_gateway("NGINX"), at_gateway("NGINX", "Tail")]
    gates = [
        Followed(of, wishes[0], NAMES, "b", accounts, of_stable=wishes[1]) for of, wishes in zip((errors, tails), both, strict=True)
    ]
    source.listed(Series((*both[0], *both[1])), (), ())
    for total in (100, 150):
        served.body = "".join(
            f'nginx_ingress_controller_requests{{namespace="shop",service="checkout-{version}",status="200"}} {total}\n'
            + "".join(
                f'nginx_ingress_controller_response_duration_seconds_bucket{{namespace="shop",service="checkout-{version}",'
                f'status="200",le="{le}"}} {total}\n'
                for le in (*range(1, 11 if version == "canary" else 4), "+Inf")
            )
            for version in ("canary", "stable")
        )
        served.clock.advance(1)
        found = await source.round()
        for followed in gates:
            followed.take(found, alone=False)

    now = served.clock.now()
    assert [followed.live(now) for followed in gates] == [True, False]
    reading = gates[0].reading(now)
    assert [(span.canary.total, span.stable and span.stable.total) for span in reading.spans] == [(50, 50)]
    assert reading.direct == "read directly every 1s: 1 of 1 pods of the gateways"
    told = gates[1].instead(Reading(gate=tails.name, revision="b", at=now)).direct
    assert "pod 1 of gateway edge: more than 10 series of the Release, or 40 with" in told
    await all_of.close()


async def test_nothing_of_the_gateways_namespace_is_told(served: Served) -> None:
    """Pods of a gateway have numbers: their names, and that of their namespace, are not everybody's."""
    served.pods = ["envoy-secret-1", "envoy-secret-2", "envoy-secret-3"]
    all_of = served.gateways(pods=2, path="/none")
    served.body = "no page at all"
    source = source_of(all_of)
    served.clock.advance(1)

    found = await source.round()

    said = followed().in_words(found)
    assert said.startswith("read directly every 1s: 2 of 3 pods of the gateways; not read: 1 more pods of gateway edge: only 2")
    assert "secret" not in repr([*found.missed, *found.chosen.missed])
    assert "edge-system" not in said
    await all_of.close()


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ("its pods could not be listed", "gateway edge: its pods could not be listed"),
        ([], "gateway edge: no pod has its labels (direct.gateways)"),
    ],
)
async def test_gateway_without_pods_says_why(served: Served, pods: Any, words: str) -> None:
    """Why nothing is read of a gateway stands in the round, and it is listed again, not each second."""
    served.pods = pods
    source = source_of(served.gateways())
    for _ in range(5):
        served.clock.advance(1)
        found = await source.round()
    assert [f"{one.pod}: {one.words}" for one in found.chosen.missed] == [words]
    assert served.lists == 1
    assert served.asked == []


async def test_pods_that_are_gone_are_not_missed(served: Served) -> None:
    """A pod that could not be read and is listed no more is none of those that are not read."""
    served.pods, served.status = ["envoy-1", "envoy-2"], 503
    all_of = served.gateways()
    source = source_of(all_of)
    said = []
    for seconds in (1, 1.2, 0.8, 0.05):
        served.clock.advance(seconds)
        said.append(followed().in_words(await source.round()))
        served.pods = ["envoy-2"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert "0 of 2 pods of the gateways" in said[0]
    words = "pod 1 of gateway edge: it answers HTTP 503"
    assert said[-1] == f"read directly every 1s: 0 of 1 pods of the gateways; not read: {words}"
    assert served.lists == 2
    await all_of.close()


async def test_log_has_the_names_to_the_numbers(served: Served) -> None:
    """Who runs the operator finds the pods that a status has numbers of in the log, whether they were asked or could not be."""
    served.pods, served.spec = ["envoy-1"], {"hostNetwork": True}
    served.status = 503
    refusing, failing = served.gateways(), served.gateways(hostNetwork=True)
    with capture_logs() as logged:
        served.clock.advance(1)
        for one in (refusing, failing):
            await source_of(one).round()
            await one.close()
    assert [[(pod["number"], pod["name"], pod["words"][:14]) for pod in one["pods"]] for one in logged] == [
        [(1, "envoy-1", "it has its nod")],
        [(1, "envoy-1", "it answers HTT")],
    ]


async def test_gateway_on_its_nodes_network_names_its_own_field(served: Served) -> None:
    """Whoever follows the words lets this gateway's pods be read, and not those of all Releases on their nodes' network."""
    served.spec = {"hostNetwork": True}
    served.clock.advance(1)
    refusing, allowing = served.gateways(), served.gateways(hostNetwork=True)
    found = await source_of(refusing).round()
    assert [one.words for one in found.chosen.missed] == [
        "it has its node's address (hostNetwork), which is read only if the connection allows it (direct.gateways.hostNetwork)"
    ]
    allowed = await source_of(allowing).round()
    assert (len(allowed.chosen.targets), allowed.chosen.missed) == (1, ())
    await refusing.close()
    await allowing.close()


async def test_one_namespace_has_only_so_many(served: Served) -> None:
    """Rollouts of one namespace cannot have more looked for on each page than that costs little; others go on."""
    all_of = served.gateways()
    own = [source_of(all_of) for _ in range(MOST_OF_NAMESPACE + 1)]
    for one in own:
        found = await one.round()
    assert "are read at gateways already" in found.chosen.missed[0].words
    served.clock.advance(1)
    bank = source_of(all_of, "bank")
    served.clock.advance(1)
    assert (await bank.round()).chosen.missed == ()
    own[0].close()
    assert (await own[-1].round()).chosen.missed == ()
    await all_of.close()


async def test_namespace_that_has_used_up_its_share_waits(served: Served) -> None:
    """What its own gates take to count a gateway's pages is the namespace's, and others are read meanwhile."""
    all_of = served.gateways()
    shop, bank = source_of(all_of), source_of(all_of, "bank")
    served.clock.advance(1)
    await shop.round()
    served.clock.advance(1)
    shop.charge(1.0)
    found = await shop.round()
    assert followed().in_words(found) == (
        "read directly every 1s: 0 of 1 pods of the gateways; not read: gateways: put off: what is read and counted for this "
        "namespace takes more than 10% of the operator's processor time"
    )
    assert len((await bank.round()).canary) == 1
    served.clock.advance(60)
    assert len((await shop.round()).canary) == 1
    await all_of.close()


async def test_nobody_wants_anything_any_more(served: Served) -> None:
    """Once no rollout is on, nothing is remembered of a gateway, and nothing is under way."""
    all_of = served.gateways()
    source = source_of(all_of)
    served.clock.advance(1)
    await source.round()
    source.close()
    (one,) = all_of._all
    assert (one.pages, one.chosen, one._series.wishes) == ({}, Chosen(), ())
    await all_of.close()


def readings_of(config: ConnectionConfig, clock: ManualClock) -> DirectReadings:
    connections = {"default": Connection(config)}
    asks = Reader(connections)
    return DirectReadings(InTheirTime(asks, connections, clock), {"default": config}, asks.refusal, asks.holdings, clock)


@pytest.mark.parametrize(
    ("direct", "names", "words"),
    [
        ({}, NAMES, "gateways are not read directly: the connection default names none of Envoy (direct.gateways)"),
        (
            {"gateways": [{"name": "edge", "source": "Envoy", "namespace": "edge", "selector": {"a": "b"}, "port": 1}]},
            replace(NAMES, service="", service_port=0),
            "gateways are not read directly: the Release has no route",
        ),
    ],
)
async def test_why_gateways_are_not_read(direct: dict[str, Any], names: Names, words: str) -> None:
    """The status of a gate says what is missing."""
    config = ConnectionConfig.model_validate(
        {"name": "default", "address": "http://127.0.0.1:1", "timeout": "1s", "direct": direct}
    )
    readings = readings_of(config, ManualClock(START))
    assert readings.follow([ENVOY], names, "b", {}, alone=False) == ()
    assert (await readings.read(ENVOY, names, "b", START)).direct == words
    readings.close()


async def test_route_that_changes_begins_anew() -> None:
    """A Release whose Services are called otherwise now is followed from zero, under their new names."""
    gateway = {"name": "edge", "source": "Envoy", "namespace": "edge", "selector": {"a": "b"}, "port": 1}
    config = ConnectionConfig.model_validate(
        {"name": "default", "address": "http://127.0.0.1:1", "timeout": "1s", "direct": {"gateways": [gateway]}}
    )
    readings = readings_of(config, ManualClock(START))
    (first,) = readings.follow([ENVOY], NAMES, "b", {}, alone=False)
    assert readings.follow([ENVOY], NAMES, "b", {}, alone=False) == (first,)
    (other,) = readings.follow([ENVOY], replace(NAMES, service_port=81), "b", {}, alone=False)
    assert other is not first
    readings.close()


def test_pods_are_read_by_the_gateways_own_words() -> None:
    """Port, path and scheme are the configuration's, whatever a gateway's pods are annotated with."""
    one = {"name": "edge", "source": "NGINX", "namespace": "edge", "selector": {"b": "2", "a/x": "1"}, "port": "metrics"}
    config = GatewayConfig.model_validate(one)
    assert (config.direct.port, config.direct.path, config.labels) == ("metrics", "/metrics", "a/x=1,b=2")
    assert GatewayConfig.model_validate(one | {"source": "Envoy", "port": 19001}).direct.port == "19001"


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "Istio"},
        {"selector": {}},
        {"selector": {"a,b": "c"}},
        {"selector": {"a": "b,c=d"}},
        {"selector": {"a": "b) or ("}},
        {"port": "web ui"},
        {"path": "metrics"},
        {"pods": 101},
        {"namespace": "a/b"},
    ],
)
def test_gateways_that_are_refused(wrong: dict[str, Any]) -> None:
    """A selector selects by labels alone, and by one at least; no source but those that gateways count."""
    one = {"name": "edge", "source": "NGINX", "namespace": "edge", "selector": {"a": "b"}, "port": "metrics"}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GatewayConfig.model_validate(one | wrong)


def test_names_of_gateways_are_told_apart() -> None:
    """Two gateways of one name could not be told apart in a status."""
    one = {"name": "edge", "source": "NGINX", "namespace": "edge", "selector": {"a": "b"}, "port": "metrics"}
    with pytest.raises(ValueError, match="different names"):
        DirectConfig.model_validate({"gateways": [one, one]})
