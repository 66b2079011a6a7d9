"""The routers that there are: the one place that has all kinds of routes.

All others ask for the router of a route, or go over all of them, so that a new kind is one line here and nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidegate.api.release import Traffic
from tidegate.engine.route import RouteRef
from tidegate.traffic.httproute import HTTPRouteRouter
from tidegate.traffic.router import Router

ROUTERS: Final[tuple[type[Router], ...]] = (HTTPRouteRouter,)
"""One line each. A Release names routes of one of them at a time."""


class Routers:
    """Some routers, by the kind of their routes.

    Args:
        routers: no two of one kind.
    """

    def __init__(self, *routers: Router) -> None:
        self._by_label = {router.kind.label: router for router in routers}

    @classmethod
    def all(cls, warm_weights: Mapping[str, bool] | None = None) -> Routers:
        """Return all that there are.

        Args:
            warm_weights: of which controllers the data planes leave out backends of weight 0, by the controllers' names.
        """
        return cls(*(router(warm_weights) for router in ROUTERS))

    def __iter__(self) -> Iterator[Router]:
        return iter(self._by_label.values())

    def of(self, label: str) -> Router | None:
        """Return the router of a kind; None where there is none, as for what a later version has noted."""
        return self._by_label.get(label)

    def shifts(self, route: RouteRef) -> Router:
        """Return the router of a route."""
        return self._by_label[route.kind.label]

    def named(self, traffic: Traffic | None) -> tuple[RouteRef, ...]:
        """Return the routes that a Release names."""
        return tuple(RouteRef(router.kind, name) for router in self for name in router.named_by(traffic))
