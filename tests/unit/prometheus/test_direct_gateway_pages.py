"""Pages of gateways: of what is everybody's, what the Release's own Services have counted is counted once, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expositions.serving import FOLDER
from tidegate.prometheus.direct.page import Counted
from tidegate.prometheus.direct.text import Series, TextPage
from tidegate.prometheus.direct.wanted import wanted_at_gateway, wanted_of
from tidegate.prometheus.events import Events
from unit.prometheus.direct_pages import NAMES, at_gateway, feed, gate, text

ENVOY = gate("Envoy")


@pytest.mark.parametrize(
    ("recorded", "source", "canary", "stable"),
    [
        ("envoy", "Envoy", Events(93, 16), Events(284, 35)),
        ("envoy-gateway", "Envoy", Events(61, 8), Events(275, 43)),
        ("envoy-gateway-default", "Envoy", None, None),
        ("nginx", "NGINX", ..., ...),
        ("traefik", "Traefik", ..., ...),
        ("traefik-3.7.5", "Traefik", ..., ...),
    ],
)
def test_recorded_pages_of_gateways(recorded: str, source: str, canary: Any, stable: Any) -> None:
    """Real pages of each gateway tell both versions apart; one cluster for both is neither's."""
    page = (FOLDER / f"{recorded}.prom").read_bytes()
    errors, tails = at_gateway(source), at_gateway(source, "Tail")

    found = text(page, *errors, *tails, pieces=1000)

    for wish, tail, expected in zip(errors, tails, (canary, stable), strict=True):
        assert found.counted[wish].found is (expected is not None)
        if expected is not None:
            assert expected is ... or found.counted[wish].events == expected
            histogram = found.counted[tail].histogram
            assert histogram is not None
            # Of what was not answered no gateway has a time.
            assert 0 < histogram.total <= found.counted[wish].events.total


@pytest.mark.parametrize(("source", "recorded"), [("Envoy", "envoy"), ("NGINX", "nginx"), ("Traefik", "traefik")])
def test_other_releases_series_are_passed_over(source: str, recorded: str) -> None:
    """What Services of the same name in other namespaces have counted is not the Release's, nor what other Services have."""
    own = (FOLDER / f"{recorded}.prom").read_text()
    others = own.replace("shop", "shop-2") + own.replace("shop", "my-shop") + own.replace("checkout", "checkout-2")

    both = [*at_gateway(source), *at_gateway(source, "Latency")]

    assert text(others + own, *both).counted == text(own, *both).counted
    assert not any(one.found for one in text(others, *both).counted.values())


OTHERS = "httproute-bank-r-gw-edge-public-ep-web-0-8c940671125a8173b1ae-svc-bank-x-svc-shop-checkout-{}-1@kubernetesgateway"
"""How Traefik calls a backend of the namespace bank, whose Service is `x-svc-shop-checkout-canary`."""


@pytest.mark.parametrize("measure", ["ErrorRate", "Tail"])
def test_other_namespaces_services_are_passed_over_whatever_they_are_called(measure: str) -> None:
    """Traefik's name of a backend begins with the namespace of its route, which no name of a Service makes up for."""
    wishes = at_gateway("Traefik", measure)
    lines = (
        'traefik_service_requests_total{{code="500",service="{0}"}} 90\n'
        'traefik_service_request_duration_seconds_bucket{{code="500",service="{0}",le="1"}} 90\n'
        'traefik_service_request_duration_seconds_bucket{{code="500",service="{0}",le="+Inf"}} 90\n'
        'traefik_service_request_duration_seconds_count{{code="500",service="{0}"}} 90\n'
    )
    others = "".join(lines.format(OTHERS.format(version)) for version in ("canary", "stable"))
    own = others.replace("-bank-", "-shop-").replace("-svc-shop-x", "")

    assert [text(others, *wishes).counted[one].found for one in wishes] == [False, False]
    assert [text(own, *wishes).counted[one].found for one in wishes] == [True, True]


def test_grpc_without_a_told_status_cannot_be_told() -> None:
    """Calls of gRPC fail under status 200: what Envoy has counted of them is neither good nor bad, as the preset's query has it."""
    canary, _ = at_gateway()
    cluster = 'envoy_cluster_name="shop_checkout-canary_80"'
    page = f'envoy_cluster_upstream_rq{{envoy_response_code="200",{cluster}}} 10\nenvoy_cluster_grpc_total{{{cluster}}} 4\n'
    assert text(page, canary).counted[canary] == Counted(found=True, events=Events(10, None), untold=4)


NAMESPACES, SERVICES = ("shop", "shop-a", "a"), ("web-canary", "web-stable", "web", "b-web-canary")
LINES = {
    "Envoy": (
        'envoy_cluster_upstream_rq{{envoy_response_code="{code}",envoy_cluster_name="{ns}_{service}_{port}"}} {value}',
        'envoy_cluster_upstream_rq{{envoy_cluster_name="service/{ns}/{service}/{port}/http",envoy_response_code="{code}"}} {value}',
        'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="5",envoy_cluster_name="{ns}_{service}_{port}"}} {value}',
        'envoy_cluster_grpc_total{{envoy_cluster_name="{ns}_{service}_{port}"}} {value}',
        'envoy_cluster_upstream_rq{{envoy_response_code="{code}",envoy_cluster_name="httproute/{ns}/{service}/rule/0"}} {value}',
    ),
    "NGINX": (
        'nginx_ingress_controller_requests{{namespace="{ns}",path="/",service="{service}",status="{code}"}} {value}',
        'nginx_ingress_controller_requests{{namespace="a",path="namespace=\\"shop\\"",service="{service}",status="200"}} {value}',
        'nginx_ingress_controller_bytes_sent_count{{namespace="{ns}",service="{service}",status="{code}"}} {value}',
    ),
    "Traefik": (
        'traefik_service_requests_total{{code="{code}",service="{ns}-{service}-http-{port}@kubernetesgateway"}} {value}',
        (
            'traefik_service_requests_total{{code="{code}",'
            'service="httproute-shop-r-svc-{ns}-{service}-{port}@kubernetesgateway"}} {value}'
        ),
        'traefik_service_requests_bytes_total{{code="{code}",service="{ns}-{service}-{port}@kubernetes"}} {value}',
    ),
}


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, str]:
    """Return a source and a page of its gateway, with series of some Services of some namespaces."""
    source = draw(st.sampled_from(sorted(LINES)))
    line = st.builds(
        lambda form, ns, service, port, code, value: form.format(ns=ns, service=service, port=port, code=code, value=value),
        st.sampled_from(LINES[source]),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
        st.sampled_from((80, 8080)),
        st.sampled_from(("200", "404", "500", "503", "")),
        st.integers(0, 1000),
    )
    return source, "".join(f"{one}\n" for one in draw(st.lists(line, max_size=30, unique_by=lambda one: one.rpartition(" ")[0])))


@given(pages(), st.integers(0, 200))
def test_marks_lose_nothing_and_add_nothing(page: tuple[str, str], pieces: int) -> None:
    """To find lines by the names of Services gives what it gives to parse every line and compare its labels."""
    source, lines = page
    names = replace(NAMES, service="web", stable_service="web-stable", canary_service="web-canary")
    marked = at_gateway(source, names=names)
    plain = tuple(replace(one, marks=()) for one in marked)

    found, expected = text(lines, *marked, pieces=pieces), text(lines, *plain)

    assert [found.counted[one] for one in marked] == [expected.counted[one] for one in plain]


def test_too_many_series_are_one_releases_own_loss() -> None:
    """A Release with more series than a page may have of it is not read; the others on the same page are."""
    other = replace(NAMES, namespace="bank")
    crowded, fine = at_gateway("NGINX")[0], at_gateway("NGINX", names=other)[0]
    line = 'nginx_ingress_controller_requests{{namespace="{}",path="/{}",service="checkout-canary",status="200"}} 1\n'
    page = "".join(line.format("shop", number) for number in range(11)) + "".join(line.format("bank", n) for n in range(10))

    found = text(page, crowded, fine, most=10)

    assert found.crowded == {crowded}
    assert crowded not in found.counted
    assert found.counted[fine].events.total == 10


def test_one_releases_very_many_series_are_not_everybodys_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a Release with ten times too many series only so many are looked at; those of the others stay known from page to page."""
    other = replace(NAMES, namespace="bank")
    crowded, fine = at_gateway("NGINX")[0], at_gateway("NGINX", names=other)[0]
    line = 'nginx_ingress_controller_requests{{namespace="{}",path="/{}",service="checkout-canary",status="200"}} 1\n'
    bank = [line.format("bank", number) for number in range(10)]
    lines = [*bank[:5], *(line.format("shop", number) for number in range(20_000)), *bank[5:]]
    series, learned = Series((crowded, fine)), list[bytes]()
    learn = Series.learn
    monkeypatch.setattr(Series, "learn", lambda self, one, *more: learned.append(one) or learn(self, one, *more))

    for times in range(2):
        learned.clear()
        page = TextPage(series, 2000)
        feed(page, "".join(lines).encode(), 64 * 1024)
        found = page.end()
        assert (found.crowded, crowded in found.counted) == ({crowded}, False)
        assert found.counted[fine].events.total == 10
        assert len(series.known) <= 2001 + 10
        assert len(learned) == (0 if times else len(series.known))


def test_others_with_its_names_are_looked_at_only_so_far() -> None:
    """Lines that have a Release's names and are another's cost a bounded part of a page, and of memory; the rest is read."""
    mine, bank = at_gateway("Traefik")[0], at_gateway("Traefik", names=replace(NAMES, namespace="bank"))[0]
    line = 'traefik_service_requests_total{{code="200",method="{}",service="{}-checkout-canary-80@kubernetes"}} 1\n'
    others = [line.format(number, "my-shop") for number in range(200)]
    series = Series((mine, bank))
    for many, counted in ((40, True), (41, False)):
        page = TextPage(series, 10)
        feed(page, "".join([*others[:many], line.format("GET", "shop"), line.format("GET", "bank")]).encode(), 1000)
        found = page.end()
        assert (mine in found.counted, mine not in found.crowded) == (counted, counted)
        assert found.counted[bank].events.total == 1
    assert len(series.known) <= 43


def test_pods_of_a_release_do_not_have_a_gateways_metrics() -> None:
    """A gateway's presets are on no page of the Release's own pods, and without a route on no gateway's."""
    assert wanted_of(ENVOY) is None
    assert wanted_at_gateway(gate("HTTP"), NAMES) is None
    assert wanted_at_gateway(ENVOY, replace(NAMES, service="", service_port=0)) is None
