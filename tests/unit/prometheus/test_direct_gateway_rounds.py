"""Gateways whose pages are read round by round: each request is counted once or not at all, whatever their pods forget or miss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.prometheus.budgets import Holdings
from tidegate.prometheus.config import Budgets
from tidegate.prometheus.direct.followed import Followed, Round
from tidegate.prometheus.direct.growing import PATIENCE
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Missed, Scheme, Target
from tidegate.prometheus.direct.wanted import Wanted
from tidegate.prometheus.evidence import Accounts
from unit.prometheus.direct_pages import NAMES, at_gateway, gate, text

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


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
        self.at, self.left_out = START, 0
        canary, stable = at_gateway(source, measure)
        accounts = Accounts(Holdings(Budgets()))
        self.followed = Followed(gate(source, measure), canary, NAMES, "b", accounts, of_stable=stable)

    def round(self, missed: Sequence[Missed] = (), **pods: Page | None) -> None:
        self.at += timedelta(seconds=1)
        all_of = {name: Target(name, f"envoy-{name}", "10.0.0.1", 1, "/", Scheme.HTTP) for name in pods}
        there = [Scraped(all_of[name], self.at, one) for name, one in pods.items() if one is not None]
        gone = [Missed(f"pod {name} of gateway edge", "no connection") for name, one in pods.items() if one is None]
        chosen = Chosen(tuple(all_of.values()), tuple(missed), len(pods) + self.left_out, bounded=self.left_out > 0)
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


def test_page_that_is_read_more_rarely_is_read() -> None:
    """A pod whose page is dear counts, and nothing that it counts is missing; the status says how often it is read."""
    edge = Edge()
    words = "its page took 0.2s of processor time, so it is read every 4s"
    at = edge.followed.in_words(
        Round(
            edge.at,
            chosen=Chosen((Target("a", "envoy-a", "10.0.0.1", 1, "/", Scheme.HTTP),), pods=1),
            missed=[Missed("pod 1 of gateway edge", words, read=True)],
        )
    )
    assert at == f"read directly every 1s: 1 of 1 pods of the gateways; read more rarely: pod 1 of gateway edge: {words}"


def test_gateway_without_the_release_does_not_hide_one_that_is_silent() -> None:
    """If the gateway with the Release's requests cannot be read any more, another one's pages are no reason to trust them alone."""
    edge = Edge()
    for total in (10, 20):
        edge.round(a=page((total, 0), (10 * total, 0)), b=page(None, None))
    assert edge.followed.live(edge.at)
    for _ in range(10):
        edge.round(a=None, b=page(None, None))
    assert not edge.followed.live(edge.at)


def standing_still(growing: bool = False) -> Edge:
    """Return gateways of which one pod has counted both versions and cannot be read any more, for 70 seconds."""
    edge = Edge()
    for total in (10, 20):
        edge.round(a=page((total, 0), (10 * total, 0)), b=page((500, 0), (5000, 0)))
    assert edge.followed.live(edge.at)
    for number in range(70):
        more = number // 20 if growing else 0
        edge.round(a=None, b=page((500 + more, 0), (5000 + more, 0)))
        assert edge.followed.live(edge.at) or number > PATIENCE.total_seconds()
    return edge


def test_gateway_that_stands_still_does_not_hide_one_that_is_silent() -> None:
    """Series of old on a page are no reason to trust it alone: the requests go through the pod that cannot be read."""
    edge = standing_still()
    assert not edge.followed.live(edge.at)
    # Once it counts again, or the other one can be read, what is read is judged again.
    edge.round(a=None, b=page((501, 0), (5010, 0)))
    assert edge.followed.live(edge.at)


def test_few_requests_are_requests() -> None:
    """A gateway that counts a request now and then is judged, although another one cannot be read."""
    edge = standing_still(growing=True)
    assert edge.followed.live(edge.at)


def test_nobody_sends_requests() -> None:
    """Gateways that can all be read are judged by, however long nothing is counted."""
    edge = Edge()
    for _ in range(100):
        edge.round(a=page((10, 0), (100, 0)), b=page(None, None))
    assert edge.followed.live(edge.at)


def test_one_version_that_stands_still_is_enough() -> None:
    """Stable's counters on the page that can be read do not speak for the new version's."""
    edge = Edge()
    edge.round(a=page((10, 0), (100, 0)), b=page((500, 0), (5000, 0)))
    for number in range(70):
        edge.round(a=None, b=page((500, 0), (5000 + 10 * number, 0)))
    assert not edge.followed.live(edge.at)


def test_series_that_leaves_while_the_others_count_as_much_gives_a_baseline() -> None:
    """The sum has risen, but by fewer requests than there were: the bad ones among them would be too large a share."""
    edge = Edge("NGINX")
    edge.round(a=nginx(edge.followed.wishes, a=(100, 10), b=(50, 1)))
    edge.round(a=nginx(edge.followed.wishes, a=(160, 17), b=None))
    edge.round(a=nginx(edge.followed.wishes, a=(170, 18), b=None))
    assert edge.counted()[0] == (10, 1)


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
        (ours, ours_bad), _ = edge.counted()
        assert ours <= grown
        assert ours_bad <= min(ours, grown_bad)


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
