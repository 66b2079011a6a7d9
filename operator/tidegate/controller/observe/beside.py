"""What the caches have of the Services around a Release: the user's and the operator's own beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tidegate.api.originals import TargetsStatus
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import SERVICE_OF_SLICE
from tidegate.engine.plan import Role, own_name
from tidegate.engine.snapshot import RouteStage, RouteView, ServiceView
from tidegate.runtime.store import Object, Store
from tidegate.traffic import services
from tidegate.traffic.bindings import past, unfollowed, unread_among
from tidegate.traffic.selection import Pods


def services_around(
    store: Store,
    key: ReleaseKey,
    release: Object,
    name: str | None,
    *,
    pods: Pods | None = None,
    targets: TargetsStatus | None = None,
) -> services.Services | None:
    """Return a user's Service and the operator's beside it; None where it is missing, or none is named.

    Args:
        store: the caches.
        key: which Release.
        release: the Release as stored.
        name: of the user's Service.
        pods: those that it is to select; None where they are not known.
        targets: where its ports led when stable was all that there was.
    """
    if name is None:
        return None
    user, stable, canary = (store.get("Service", key.namespace, one) for one in (name, *(own_name(name, role) for role in Role)))
    if user is None:
        return None
    return services.Services(
        release=key.name,
        release_uid=release["metadata"]["uid"],
        user=dict(user),
        stable=dict(stable) if stable else None,
        canary=dict(canary) if canary else None,
        pods=pods,
        targets=targets,
    )


def user_service(
    store: Store,
    beside: services.Services | None,
    routes: Iterable[RouteView],
    *,
    stable: str | None,
    endpoints: Iterable[Object] | None,
    others: Iterable[str] | None,
    bound: Sequence[Object] | None,
) -> ServiceView | None:
    """Return what the engine sees of the user's Service.

    Args:
        store: the caches.
        beside: the raw Services; None where the user's is missing.
        routes: the routes that name it.
        stable: revision of the stable version; None where there is none.
        endpoints: its EndpointSlices; None where they were not read.
        others: other workloads whose pods it selects; None where these were not read.
        bound: what is bound to it by its name; None where that was not read.
    """
    if beside is None:
        return None
    routes = tuple(routes)
    view = replace(
        services.user_view(beside.user, beside.pods),
        alone=None if others is None else not [*others],
        followed=None if bound is None else unfollowed(beside.name, bound) is None,
        unread=unread_among(bound or ()),
        past=past(beside.name, bound or (), {route.ref for route in routes}),
    )
    view = services.led_astray(view, beside, stable, ports_of(routes))
    if endpoints is None:
        return view
    # Pods whose Service has no weight need no other. And a watch may be late to tell that the slices of a deleted one are gone.
    serving = {role for route in routes for role in _serving(route) if beside.of(role) is not None}
    own_slices = [(role, _slices(store, beside, role)) for role in serving]
    return services.with_endpoints(view, beside, endpoints, own_slices, ports=ports_of(routes))


def own_service(store: Store, beside: services.Services | None, role: Role, routes: Iterable[RouteView]) -> ServiceView | None:
    """Return what the engine sees of the operator's Service of a role; None where there is none.

    Args:
        store: the caches.
        beside: the raw Services; None where the user's is missing.
        role: which one.
        routes: the routes that name it.
    """
    if beside is None:
        return None
    return services.service_view(beside, role, slices=_slices(store, beside, role), ports=ports_of(routes))


def ports_of(routes: Iterable[RouteView]) -> frozenset[int]:
    """Return the numbers of the Service's ports that routes name."""
    return frozenset[int]().union(*(route.ports for route in routes))


def _slices(store: Store, beside: services.Services, role: Role) -> Iterable[Object]:
    return store.by_label("EndpointSlice", beside.namespace, SERVICE_OF_SLICE, own_name(beside.name, role))


def _serving(route: RouteView) -> Iterator[Role]:
    """Yield the roles of the operator's Services that a route gives weight to."""
    if route.stage is not RouteStage.SPLIT and route.uniform:
        return
    if route.weight < 100 or not route.uniform:
        yield Role.STABLE
    if route.weight > 0:
        yield Role.CANARY
