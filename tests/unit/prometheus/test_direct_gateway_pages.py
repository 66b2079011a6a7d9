"""Pages of gateways: of what is everybody's, what the Release's own Services have counted is counted once, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expositions.serving import FOLDER
from tidegate.prometheus.budgets import Holdings
from tidegate.prometheus.config import Budgets
from tidegate.prometheus.direct.followed import Followed, Round
from tidegate.prometheus.direct.page import Counted, Page
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Missed, Scheme, Target
from tidegate.prometheus.direct.wanted import Wanted, wanted_at_gateway, wanted_of
from tidegate.prometheus.events import Events
from tidegate.prometheus.evidence import Accounts
from unit.prometheus.direct_pages import NAMES, at_gateway, gate, text

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
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
        'traefik_service_requests_total{{service="httproute-shop-r-svc-{ns}-{service}-{port}@kubernetesgateway",code="{code}"}} '
        "{value}",
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


def test_pods_of_a_release_do_not_have_a_gateways_metrics() -> None:
    """A gateway's presets are on no page of the Release's own pods, and without a route on no gateway's."""
    assert wanted_of(ENVOY) is None
    assert wanted_at_gateway(gate("HTTP"), NAMES) is None
    assert wanted_at_gateway(ENVOY, replace(NAMES, service="", service_port=0)) is None


def page(canary: tuple[float, float] | None, stable: tuple[float, float] | None, source: tuple[Wanted, ...] = ()) -> Page:
    """Return Envoy's page: requests and errors of each version; None before its first."""
    lines = [
        f'envoy_cluster_upstream_rq{{envoy_response_code="{code}",envoy_cluster_name="shop_checkout-{version}_80"}} {value}\n'
        for version, counted in (("canary", canary), ("stable", stable))
        if counted is not None
        for code, value in (("200", counted[0] - counted[1]), ("500", counted[1]))
    ]
    return text("".join(lines), *(source or at_gateway()))


class Edge:
    """Pods of a gateway, read once a second for one gate."""

    def __init__(self, source: str = "Envoy", measure: str = "ErrorRate") -> None:
        self.at = START
        canary, stable = at_gateway(source, measure)
        accounts = Accounts(Holdings(Budgets()))
        self.followed = Followed(gate(source, measure), canary, NAMES, "b", accounts, of_stable=stable)

    def round(self, missed: Sequence[Missed] = (), **pods: Page | None) -> None:
        self.at += timedelta(seconds=1)
        all_of = {name: Target(name, f"envoy-{name}", "10.0.0.1", 1, "/", Scheme.HTTP) for name in pods}
        there = [Scraped(all_of[name], self.at, one) for name, one in pods.items() if one is not None]
        gone = [Missed(f"pod {name} of gateway edge", "no connection") for name, one in pods.items() if one is None]
        chosen = Chosen(tuple(all_of.values()), tuple(missed), len(pods))
        self.followed.take(Round(self.at, there, there, chosen, chosen, gone, gone), alone=False)

    def counted(self) -> tuple[tuple[float, float], tuple[float, float]]:
        spans = self.followed.reading(self.at).spans
        canary = [one.canary for one in spans]
        stable = [one.stable for one in spans if one.stable is not None]
        ours, theirs = ((sum(one.total for one in of), sum(one.bad for one in of)) for of in (canary, stable))
        return ours, theirs


def test_both_versions_of_one_page_count_at_once() -> None:
    """What a gateway has counted before it was first read is nobody's, and a version's first series begins at 0."""
    edge = Edge()
    edge.round(a=page(None, (500, 5)), b=page((90, 90), (10, 0)))
    edge.round(a=page((4, 3), (520, 6)), b=page((91, 91), (10, 0)))
    assert edge.counted() == ((5, 4), (20, 1))


def test_pod_that_is_new_gives_a_baseline() -> None:
    """What a pod that was not read before has counted may be of an earlier rollout; what it counts from then on is not."""
    edge = Edge()
    edge.round(a=page((0, 0), (0, 0)))
    edge.round(a=page((1, 0), (10, 0)), b=page((1000, 1000), (1000, 0)))
    edge.round(a=page((2, 0), (20, 0)), b=page((1003, 1001), (1010, 0)))
    assert edge.counted() == ((5, 1), (30, 0))


def test_restarted_gateway_gives_a_baseline() -> None:
    """What a gateway has counted when its counters have fallen may be older than that, what it counts from then on is not."""
    edge = Edge()
    edge.round(a=page((50, 10), (500, 0)))
    edge.round(a=page((3, 2), (7, 1)))
    edge.round(a=page((7, 3), (17, 1)))
    assert edge.counted() == ((4, 1), (10, 0))


def nginx(wishes: tuple[Wanted, ...], **ingresses: tuple[float, float] | None) -> Page:
    """Return ingress-nginx's page: requests and errors of the new version by the Ingress; None where that was removed."""
    line = (
        'nginx_ingress_controller_requests{{ingress="{0}",namespace="shop",service="checkout-{1}",status="{2}"}} {3}\n'
        'nginx_ingress_controller_response_duration_seconds_bucket{{ingress="{0}",namespace="shop",service="checkout-{1}",'
        'status="{2}",le="{4}"}} {3}\n'
        'nginx_ingress_controller_response_duration_seconds_bucket{{ingress="{0}",namespace="shop",service="checkout-{1}",'
        'status="{2}",le="+Inf"}} {3}\n'
    )
    lines = [line.format("a", "stable", "200", 9000, "0.1")]
    for name, counted in ingresses.items():
        if counted is not None:
            # Errors are slow.
            lines += [line.format(name, "canary", "200", counted[0] - counted[1], "0.1")]
            lines += [line.format(name, "canary", "500", counted[1], "5.0")]
    return text("".join(lines), *wishes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": (500, 300), "b": (10, 0)}, (500, 300)),
        ({"a": (500, 300), "b": (500, 0)}, (500, 300)),
        ({"a": (500, 0), "b": (600, 300)}, (500, 0)),
        ({"a": (500, 300), "b": (2, 2)}, (520, 300)),
    ],
    ids=["a few of many", "half of all", "all errors", "those that are left have counted as many more"],
)
@pytest.mark.parametrize("measure", ["ErrorRate", "Tail"])
def test_series_that_leaves_a_gateways_page_makes_no_restart(
    measure: str, before: dict[str, tuple[float, float]], after: tuple[float, float]
) -> None:
    """An Ingress that is removed takes its series with it. What the others have counted long ago is not counted for that."""
    edge = Edge("NGINX", measure)
    edge.round(a=nginx(edge.followed.wishes, **before))
    for number in range(10):
        edge.round(a=nginx(edge.followed.wishes, a=(after[0] + number, after[1]), b=None))
    (requests, bad), _ = edge.counted()
    assert 0 < requests <= 30
    assert bad == 0
    edge.round(a=nginx(edge.followed.wishes, a=(after[0] + 20, after[1] + 7), b=None))
    assert edge.counted()[0] == (11, 7 if measure == "ErrorRate" else 0)


def test_what_is_not_read_is_named_and_shares_are_those_of_the_rest() -> None:
    """If a pod of a gateway cannot be read, the status names it by its number, and says what that means."""
    edge = Edge()
    for total in (10, 20):
        edge.round(a=page((total, 0), (10 * total, 0)), b=None)
    assert edge.followed.reading(edge.at).direct == (
        "read directly every 1s: 1 of 2 pods of the gateways; not read: pod b of gateway edge: no connection; "
        "the requests that they count are missing, so shares are those of the rest"
    )


def test_gateway_without_the_release_does_not_hide_one_that_is_silent() -> None:
    """If the gateway with the Release's requests cannot be read any more, another one's pages are no reason to trust them alone."""
    edge = Edge()
    for total in (10, 20):
        edge.round(a=page((total, 0), (10 * total, 0)), b=page(None, None))
    assert edge.followed.live(edge.at)
    for _ in range(10):
        edge.round(a=None, b=page(None, None))
    assert not edge.followed.live(edge.at)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3),
            st.sets(st.sampled_from("abc"), max_size=2),
        ),
        max_size=30,
    )
)
def test_never_more_than_was_counted_whatever_leaves_the_page(steps: list[tuple[dict[str, tuple[int, int]], set[str]]]) -> None:
    """Whatever Ingresses come and go, no request counts twice, and no more are bad than there are."""
    edge = Edge("NGINX")
    there: dict[str, tuple[float, float]] = {}
    grown, grown_bad = 0, 0
    for counted, removed in steps:
        there = {name: one for name, one in there.items() if name not in removed}
        for name, (good, bad) in counted.items():
            total, errors = there.get(name, (0.0, 0.0))
            there[name] = total + good + bad, errors + bad
            grown, grown_bad = grown + good + bad, grown_bad + bad
        edge.round(a=nginx(edge.followed.wishes, **there))
    if steps:
        (ours, bad), _ = edge.counted()
        assert ours <= grown
        assert bad <= min(ours, grown_bad)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 9), st.sampled_from(("page", "lost", "restart"))),
        max_size=40,
    )
)
def test_never_more_than_was_counted(steps: list[tuple[str, int, int, str]]) -> None:
    """Whatever pods of a gateway answer, and whenever they begin anew, no request counts twice."""
    edge, truth = Edge(), {name: [0, 0] for name in "abc"}
    base = {name: [0, 0] for name in "abc"}
    grown = [0, 0]
    for name, canary, stable, what in steps:
        truth[name][0] += canary
        truth[name][1] += stable
        grown[0] += canary
        grown[1] += stable
        if what == "restart":
            base[name] = list(truth[name])
        now = {
            one: page(*((float(truth[one][n] - base[one][n]), 0.0) for n in (0, 1))) if what != "lost" or one != name else None
            for one in "abc"
        }
        edge.round(**now)  # type: ignore[arg-type]
    if steps:
        (ours, _), (theirs, _) = edge.counted()
        assert ours <= grown[0]
        assert theirs <= grown[1]
