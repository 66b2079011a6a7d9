"""Routes of all kinds that lead to the Service of a Release past its steps, found with the rights of the person who asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tidegate.cluster.errors import Forbidden, NotFound
from tidegate.cluster.resources import Resource

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

GROUP = "gateway.networking.k8s.io"
KINDS = {
    "httproutes": "HTTPRoute",
    "grpcroutes": "GRPCRoute",
    "tlsroutes": "TLSRoute",
    "tcproutes": "TCPRoute",
    "udproutes": "UDPRoute",
}


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
    named = {("HTTPRoute", namespace, route["name"]) for route in (traffic.get("gatewayAPI") or {}).get("httpRoutes") or ()}
    found, unread = [], []
    for resource in await _installed(cluster):
        routes, everywhere = await _routes(cluster, resource, namespace)
        unread += [] if everywhere else [resource.kind]
        found += [_words(resource.kind, route, service, namespace) for route in routes if _leads(route, service, namespace, named)]
    if unread:
        found.append(f"you may not list {' and '.join(unread)} of other namespaces, which may lead to Service {service} as well")
    return found


async def _installed(cluster: Cluster) -> list[Resource]:
    from tidegate.cluster.client import DISCOVERY

    answer = await cluster.get("/apis", accept=DISCOVERY)
    versions = next((group["versions"] for group in answer.get("items") or () if group["metadata"]["name"] == GROUP), ())
    found: dict[str, Resource] = {}
    for version in versions:
        for one in version.get("resources") or ():
            plural = one["resource"]
            if plural in KINDS and plural not in found:
                found[plural] = Resource(GROUP, version["version"], plural, KINDS[plural])
    return [found[plural] for plural in KINDS if plural in found]


async def _routes(cluster: Cluster, resource: Resource, namespace: str) -> tuple[list[dict[str, Any]], bool]:
    """Return routes, and whether they are those of all namespaces."""
    try:
        return [{**one, "kind": resource.kind} for one in (await cluster.list(resource.path())).items], True
    except Forbidden:
        pass
    try:
        return [{**one, "kind": resource.kind} for one in (await cluster.list(resource.path(namespace))).items], False
    except (Forbidden, NotFound):
        return [], False


def _leads(route: Mapping[str, Any], service: str, namespace: str, named: set[tuple[str, str, str]]) -> bool:
    own = route["metadata"]["namespace"]
    if (route["kind"], own, route["metadata"]["name"]) in named or _is_refused(route):
        return False
    return any(
        ref.get("name") == service and (ref.get("namespace") or own) == namespace and ref.get("weight") != 0 for ref in _refs(route)
    )


def _refs(route: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in (route.get("spec") or {}).get("rules") or ():
        for ref in rule.get("backendRefs") or ():
            if not ref.get("group") and (ref.get("kind") or "Service") == "Service":
                yield ref


def _is_refused(route: Mapping[str, Any]) -> bool:
    """Whether a parent says that the route may not name the Service: there is no ReferenceGrant."""
    conditions = (one for parent in (route.get("status") or {}).get("parents") or () for one in parent.get("conditions") or ())
    return any(one.get("reason") == "RefNotPermitted" for one in conditions)


def _words(kind: str, route: Mapping[str, Any], service: str, namespace: str) -> str:
    own, name = route["metadata"]["namespace"], route["metadata"]["name"]
    called = f"{kind} {name}" if own == namespace else f"{kind} {own}/{name}"
    cure = "name it in spec.traffic.gatewayAPI.httpRoutes, or set" if kind == "HTTPRoute" and own == namespace else "set"
    return (
        f"{called} leads to Service {service} past the steps, so to pods of both versions, and to a rejected version until its "
        f"pods have stopped: {cure} spec.traffic.pinService, which keeps the Service on the version that serves"
    )
