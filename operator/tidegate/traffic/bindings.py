"""What is bound to a Service by its name: it holds for the operator's two Services only where these are named as well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tidegate.api.base import MOST_TOLD, and_more
from tidegate.api.names import Reason
from tidegate.engine.plan import Role, own_name
from tidegate.engine.route import RouteKind, RouteRef
from tidegate.engine.snapshot import Blocker
from tidegate.traffic.backends import Json
from tidegate.traffic.router import Router

Named = tuple[str, str]
"""Name of a Service of the object's own namespace, and of the port that is meant; empty for all of its ports."""
CORE = ("", "core")
"""How objects write the group of Services; NGINX Gateway Fabric wants `core`."""


def _by_target(obj: Mapping[str, Any]) -> Iterator[Named]:
    """Yield the Services that an object is attached to in the way of Gateway API, in whichever of the forms that there are."""
    spec, namespace = obj.get("spec") or {}, obj["metadata"].get("namespace")
    for ref in (*(spec.get("targetRefs") or ()), spec.get("targetRef"), spec.get("targetReference")):
        if not isinstance(ref, Mapping) or (ref.get("group") or "") not in CORE or ref.get("kind", "Service") != "Service":
            continue
        if ref.get("namespace") in (None, "", namespace):
            yield str(ref.get("name")), str(ref.get("sectionName") or "")


def _by_host(host: object, namespace: str) -> Iterator[Named]:
    """Yield the Service that a host name stands for, in the short form, with its namespace or in full.

    A wildcard holds for the operator's Services as it does for the user's, and yields nothing.
    """
    name, *rest = str(host).rstrip(".").split(".")
    if name != "*" and (not rest or (rest[0] == namespace and (len(rest) == 1 or rest[1] == "svc"))):
        yield name, ""


def _by_spec_host(obj: Mapping[str, Any]) -> Iterator[Named]:
    yield from _by_host((obj.get("spec") or {}).get("host"), obj["metadata"]["namespace"])


def _by_own_name(obj: Mapping[str, Any]) -> Iterator[Named]:
    yield from _by_host(obj["metadata"]["name"], obj["metadata"]["namespace"])


@dataclass(frozen=True)
class Kind:
    """A kind whose objects may be bound to a Service by its name, or be routes to it.

    Attributes:
        group: of the API.
        plural: as in paths and RBAC rules.
        kind: as in manifests.
        named: yields the Services that an object names.
        route: what messages call it where it is a kind of route; None for all else.
    """

    group: str
    plural: str
    kind: str
    named: Callable[[Mapping[str, Any]], Iterator[Named]] = _by_target
    route: RouteKind | None = None


KINDS: Final = (
    Kind("gateway.networking.k8s.io", "backendtlspolicies", "BackendTLSPolicy"),
    Kind("gateway.networking.k8s.io", "backendlbpolicies", "BackendLBPolicy"),
    Kind("gateway.networking.x-k8s.io", "xbackendtrafficpolicies", "XBackendTrafficPolicy"),
    Kind("networking.istio.io", "destinationrules", "DestinationRule", _by_spec_host),
    Kind("security.istio.io", "authorizationpolicies", "AuthorizationPolicy"),
    Kind("security.istio.io", "requestauthentications", "RequestAuthentication"),
    Kind("linkerd.io", "serviceprofiles", "ServiceProfile", _by_own_name),
    Kind("networking.gke.io", "gcpbackendpolicies", "GCPBackendPolicy"),
    Kind("networking.gke.io", "gcpsessionaffinitypolicies", "GCPSessionAffinityPolicy"),
    Kind("networking.gke.io", "healthcheckpolicies", "HealthCheckPolicy"),
    Kind("gateway.k8s.aws", "targetgroupconfigurations", "TargetGroupConfiguration"),
    Kind("application-networking.k8s.aws", "targetgrouppolicies", "TargetGroupPolicy"),
    Kind("alb.networking.azure.io", "backendloadbalancingpolicies", "BackendLoadBalancingPolicy"),
    Kind("alb.networking.azure.io", "backendtlspolicies", "BackendTLSPolicy"),
    Kind("alb.networking.azure.io", "healthcheckpolicies", "HealthCheckPolicy"),
    Kind("gateway.nginx.org", "upstreamsettingspolicies", "UpstreamSettingsPolicy"),
    Kind("gateway.kgateway.dev", "backendconfigpolicies", "BackendConfigPolicy"),
    Kind("apisix.apache.org", "backendtrafficpolicies", "BackendTrafficPolicy"),
)
"""All that is looked at. A new one takes its line here, one in the roles (deploy, chart, docs/security.md), and a test."""


def routes_of(router: Router) -> Kind:
    """Return the kind of a router's routes.

    They are read with the others for another reason: those that no Release names lead past its steps. Of routes that no router
    shifts the operator has no right to know.
    """
    resource = router.resource

    def named(obj: Mapping[str, Any]) -> Iterator[Named]:
        here = obj["metadata"].get("namespace")
        return ((service, "") for namespace, service in router.led_to(obj) if namespace == here)

    return Kind(resource.group, resource.plural, resource.kind, named, router.kind)


def slim(kind: Kind, obj: Mapping[str, Any]) -> Json:
    """Return what is kept of an object: its name, and which Services it names."""
    spec = obj.get("spec") or {}
    return {
        "group": kind.group,
        "kind": kind.kind,
        "route": kind.route,
        "metadata": {"namespace": obj["metadata"].get("namespace"), "name": obj["metadata"]["name"]},
        "several": "targetRefs" in spec,
        "services": [[*one] for one in kind.named(obj)],
    }


def unread(kind: Kind, why: str) -> Json:
    """Return what is kept of a kind whose objects could not be read.

    Args:
        kind: which.
        why: in words.
    """
    return {"group": kind.group, "kind": kind.kind, "metadata": {}, "unread": why}


def about(found: Iterable[Mapping[str, Any]], service: str) -> list[Mapping[str, Any]]:
    """Return those of the objects that name a Service or the operator's two beside it, and all that could not be read."""
    names = {service, *(own_name(service, role) for role in Role)}
    return [one for one in found if "unread" in one or any(name in names for name, _ in one["services"])]


def unread_among(found: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return which kinds could not be read, and why, in words."""
    return tuple(f"{one['kind']} ({one['unread']})" for one in found if "unread" in one)


def past(service: str, found: Iterable[Mapping[str, Any]], named: Collection[RouteRef]) -> tuple[RouteRef, ...]:
    """Return the routes that lead to a Service and are not among those that its Release names.

    Args:
        service: name of the user's Service.
        found: the objects of its namespace, as `slim` leaves them.
        named: the Release's own routes.
    """
    routes = (one for one in found if one.get("route") is not None)
    leading = (one for one in routes if any(name == service for name, _ in one["services"]))
    refs = {RouteRef(one["route"], str(one["metadata"]["name"])) for one in leading}
    return tuple(sorted(refs - {*named}, key=lambda route: (route.kind.label, route.name)))


def unfollowed(service: str, found: Sequence[Mapping[str, Any]]) -> Blocker | None:
    """Return what is bound to a Service by its name and not to the operator's two; None where all that is there follows.

    What an object says of the Service another one of its kind may say of the operator's: not every kind can name several.

    Args:
        service: name of the user's Service.
        found: the objects of its namespace, as `slim` leaves them.
    """
    read = [one for one in found if "unread" not in one and one["route"] is None]
    lacking: list[tuple[Mapping[str, Any], list[str]]] = []
    # By kind, once: whoever may write such objects may write thousands of them.
    by_kind: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for one in read:
        by_kind.setdefault(_kind_of(one), set()).update((name, port) for name, port in one["services"])
    for one in read:
        said = by_kind[_kind_of(one)]
        ports = [port for name, port in one["services"] if name == service]
        own = [own_name(service, role) for role in Role]
        missing = [name for name in own if any(not {(name, port), (name, "")} & said for port in ports)]
        if missing:
            lacking.append((one, missing))
    if not lacking:
        return None
    (first, missing), *others = lacking
    names = " and ".join(missing)
    cure = f"add {names} to its spec.targetRefs" if first["several"] else f"create one of the same kind for {names} too"
    told = [_called(one) for one, _ in others[: MOST_TOLD - 1]]
    words = (
        f"spec.traffic.service: {_called(first)} applies to Service {service} by name, but not to {names}, which "
        f"{'carry' if len(missing) > 1 else 'carries'} requests during a rollout: {cure}"
        + (f"; the same goes for {' and '.join(told)}{and_more(len(others), len(told))}" if told else "")
    )
    return Blocker(Reason.BOUND_BY_NAME, words)


def _kind_of(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["group"], one["kind"]


def _called(one: Mapping[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"
