"""Routes of all kinds that lead to the Service of a Release past its steps, found with the rights of the person who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidegate.cluster.errors import Forbidden, NotFound
from tidegate.cluster.resources import Resource

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

GROUP = "gateway.networking.k8s.io"
OTHERS = {"grpcroutes": "GRPCRoute", "tlsroutes": "TLSRoute", "tcproutes": "TCPRoute", "udproutes": "UDPRoute"}
"""Kinds of Gateway API that no router shifts, and that lead to Services all the same."""


@dataclass(frozen=True)
class _Kind:
    """A kind of route.

    Attributes:
        group: of the API.
        plural: as in paths.
        kind: as in manifests.
        led_to: yields namespace and name of the Services that a route leads to.
        named: names of those that the Release names.
        field: of a Release that names them; empty for kinds that no router shifts.
    """

    group: str
    plural: str
    kind: str
    led_to: Callable[[Mapping[str, Any]], Iterator[tuple[str, str]]]
    named: tuple[str, ...] = ()
    field: str = ""


def _kinds(traffic: Mapping[str, Any]) -> Iterator[_Kind]:
    from tidegate.traffic.backends import led_to
    from tidegate.traffic.routers import Routers

    for router in Routers.all():
        resource, field = router.resource, f"{router.kind.field}.{router.kind.names}"
        yield _Kind(resource.group, resource.plural, resource.kind, router.led_to, router.named(traffic), field)
    for plural, kind in OTHERS.items():
        yield _Kind(GROUP, plural, kind, led_to)


async def passing(cluster: Cluster, release: Mapping[str, Any], namespace: str) -> list[str]:
    """Return in words what leads to the Service of a Release past its steps, and what could not be looked at.

    Args:
        cluster: the API, with the person's rights.
        release: the manifest of the Release.
        namespace: that of the Release.

    Raises:
        ApiError: the API server does not answer.
    """
    traffic = release["spec"].get("traffic") or {}
    service = traffic.get("service")
    if not service or traffic.get("pinService"):
        return []
    found, unread = [], []
    for kind, resource in await _installed(cluster, [*_kinds(traffic)]):
        routes, everywhere = await _routes(cluster, resource, namespace)
        unread += [] if everywhere else [kind.kind]
        found += [_words(kind, route, service, namespace) for route in routes if _leads(kind, route, service, namespace)]
    if unread:
        found.append(f"you may not list {' and '.join(unread)} of other namespaces, which may lead to Service {service} as well")
    return found


async def _installed(cluster: Cluster, kinds: Sequence[_Kind]) -> list[tuple[_Kind, Resource]]:
    """Return those of the kinds that the API server has, each with the first version that has it."""
    from tidegate.cluster.client import DISCOVERY

    answer = await cluster.get("/apis", accept=DISCOVERY)
    served = {group["metadata"]["name"]: group["versions"] for group in answer.get("items") or ()}
    found = []
    for kind in kinds:
        versions = (version for version in served.get(kind.group, ()) if _has(version, kind.plural))
        if (version := next(versions, None)) is not None:
            found.append((kind, Resource(kind.group, version["version"], kind.plural, kind.kind)))
    return found


def _has(version: Mapping[str, Any], plural: str) -> bool:
    return any(one["resource"] == plural for one in version.get("resources") or ())


async def _routes(cluster: Cluster, resource: Resource, namespace: str) -> tuple[list[dict[str, Any]], bool]:
    """Return routes, and whether they are those of all namespaces."""
    try:
        return (await cluster.list(resource.path())).items, True
    except Forbidden:
        pass
    try:
        return (await cluster.list(resource.path(namespace))).items, False
    except (Forbidden, NotFound):
        return [], False


def _leads(kind: _Kind, route: Mapping[str, Any], service: str, namespace: str) -> bool:
    metadata = route["metadata"]
    if (metadata["namespace"] == namespace and metadata["name"] in kind.named) or _is_refused(route):
        return False
    return (namespace, service) in kind.led_to(route)


def _is_refused(route: Mapping[str, Any]) -> bool:
    """Whether a parent says that the route may not name the Service: there is no ReferenceGrant."""
    conditions = (one for parent in (route.get("status") or {}).get("parents") or () for one in parent.get("conditions") or ())
    return any(one.get("reason") == "RefNotPermitted" for one in conditions)


def _words(kind: _Kind, route: Mapping[str, Any], service: str, namespace: str) -> str:
    own, name = route["metadata"]["namespace"], route["metadata"]["name"]
    called = f"{kind.kind} {name}" if own == namespace else f"{kind.kind} {own}/{name}"
    cure = f"name it in {kind.field}, or set" if kind.field and own == namespace else "set"
    return (
        f"requests by {called} bypass the steps: they go to Service {service}, so to pods of both versions, and of a rejected one "
        f"until these have stopped; {cure} spec.traffic.pinService, which keeps the Service on the version that serves"
    )
