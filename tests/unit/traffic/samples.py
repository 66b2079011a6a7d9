"""Routes of each kind, by which all routers are put to one test and to a rollout in the simulation. Each router has its sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tidegate.traffic.backends import MAX_WEIGHT
from tidegate.traffic.httproute import HTTPRouteRouter
from tidegate.traffic.router import Router
from unit.traffic import routes
from unit.traffic.example_router import ExampleRouter

Json = dict[str, Any]
Shares = tuple[tuple[str, int], ...]
"""Services with their weights, as one rule of a route has them."""
NAME, NAMESPACE, USER, STABLE, CANARY = "checkout", "shop", "checkout", "checkout-stable", "checkout-canary"


@dataclass(frozen=True)
class Sample:
    """What the tests know of a kind.

    Attributes:
        router: whose routes these are.
        written: what users may write into a rule that leads to the Service `checkout` and can be shifted.
        route: makes a route `checkout` in namespace `shop` of it, with an uid and a generation, that all accept. What else such a
            route may have is there as well, so that it shows where a shift touches it.
        shares: returns what stands in that rule.
        traffic: makes the `spec.traffic` of a Release of it, which names routes.
    """

    router: type[Router]
    written: st.SearchStrategy[Shares]
    route: Callable[[Shares], Json]
    shares: Callable[[Json], Shares]
    traffic: Callable[[tuple[str, ...]], Json]


def _named(names: tuple[str, ...]) -> list[Json]:
    return [{"name": name} for name in names]


def _http_route(shares: Shares) -> Json:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": USER, "port": 80}}}
    shifted = routes.rule(*(routes.backend(name, weight) for name, weight in shares), path="/", filters=[mirror])
    return routes.route(shifted, routes.rule(routes.backend("front"), path="/front", timeouts={"request": "5s"}))


def _shares_of_http_route(route: Json) -> Shares:
    return tuple((entry["name"], entry["weight"]) for entry in route["spec"]["rules"][0]["backendRefs"])


_others = st.lists(st.tuples(st.sampled_from(["payment", "legacy"]), st.integers(0, MAX_WEIGHT // 100)), max_size=3)
SAMPLES = (
    Sample(
        router=HTTPRouteRouter,
        written=st.builds(lambda user, others: ((USER, user), *others), st.integers(1, MAX_WEIGHT // 100), _others),
        route=_http_route,
        shares=_shares_of_http_route,
        traffic=lambda names: {"service": USER, "gatewayAPI": {"httpRoutes": _named(names)}},
    ),
    Sample(
        router=ExampleRouter,
        written=st.sampled_from([((USER, 100),), (("legacy", 0), (USER, 100)), ((USER, 100), ("payment", 0))]),
        route=lambda shares: {
            "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "share-uid", "generation": 3, "resourceVersion": "9"},
            "spec": {"hosts": ["shop.example.com"], "shares": [{"service": one, "percent": percent} for one, percent in shares]},
        },
        shares=lambda route: tuple((one["service"], one["percent"]) for one in route["spec"]["shares"]),
        traffic=lambda names: {"service": USER, "example": {"trafficShares": _named(names)}},
    ),
)
