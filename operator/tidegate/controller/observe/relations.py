"""Of each kind that is watched beside Releases: which Releases need it, what they name of it, and what an object of it belongs to.

References, informers, the write-through client and the readers of single objects go over this table and know no kind by name. A new
kind takes its entry here; a kind of route has one already, by its router.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from tidegate.api.names import LABEL_RELEASE
from tidegate.api.release import HTTP_ROUTE, WorkloadKind
from tidegate.cluster.resources import (
    CLUSTER_ROLLOUT_POLICIES,
    ENDPOINT_SLICES,
    HORIZONTAL_POD_AUTOSCALERS,
    NAMESPACES,
    RELEASE_DECISIONS,
    RELEASE_FREEZES,
    RELEASES,
    ROLLOUT_POLICIES,
    SERVICES,
    Resource,
)
from tidegate.controller.observe.decisions import is_open
from tidegate.engine.plan import Role, own_name
from tidegate.traffic.router import Router
from tidegate.traffic.routers import Routers
from tidegate.workloads import autoscaling
from tidegate.workloads.kind import Kind
from tidegate.workloads.kinds import KINDS

SERVICE_OF_SLICE = "kubernetes.io/service-name"
"""Label of an EndpointSlice with the name of its Service."""
Raw: TypeAlias = Mapping[str, Any]
"""An object as it came. Whatever stands in it, no Release may get lost over it."""


def _nothing(*_: object) -> Iterator[tuple[str, str]]:
    return iter(())


@dataclass(frozen=True)
class Relation:
    """What a kind has to do with Releases.

    Attributes:
        resource: the kind.
        needed: whether nothing can be decided on a Release before it is known how things stand with the kind.
        named: yields namespace and name of each object of the kind that a Release of a namespace names.
        belongs: yields kind and name of what an object belongs to, in its own namespace: another object, or a Release.
        label: that objects have which are watched; None for all objects.
        written: the operator writes objects of it.
        own: it is a kind of Tidegate's, which an API server has or the operator cannot serve.
        all: an object of it concerns every Release.
        whole: its objects are kept whole, so that no pass has to wait for one.
        keep: whether an object can still be of concern to anybody; None where all can.
    """

    resource: Resource
    needed: Callable[[Raw], bool]
    named: Callable[[str, Raw], Iterator[tuple[str, str]]] = _nothing
    belongs: Callable[[Raw], Iterator[tuple[str, str]]] = _nothing
    label: str | None = None
    written: bool = False
    own: bool = False
    all: bool = False
    whole: bool = False
    keep: Callable[[Raw], bool] | None = None


class Relations:
    """All of them, in the order in which they are listed when the operator starts.

    Args:
        routers: whose routes are watched.
    """

    def __init__(self, routers: Routers) -> None:
        self._all = (
            *(relation for kind in KINDS.values() for relation in _workloads(kind)),
            Relation(HORIZONTAL_POD_AUTOSCALERS, needed=_never, belongs=_scaled),
            Relation(SERVICES, needed=_routed, named=_services, written=True),
            Relation(ENDPOINT_SLICES, needed=_routed, belongs=_service_of_slice, label=LABEL_RELEASE),
            *map(_routes, routers),
            *(
                Relation(policy, needed=partial(_follows, policy), named=partial(_policies, policy), own=True)
                for policy in (ROLLOUT_POLICIES, CLUSTER_ROLLOUT_POLICIES)
            ),
            # What these say of a Release is a barrier's to ask, and that is closed where they cannot be read.
            Relation(RELEASE_FREEZES, needed=_never, own=True, all=True),
            Relation(RELEASE_DECISIONS, needed=_never, belongs=_decided, written=True, own=True, whole=True, keep=is_open),
            Relation(NAMESPACES, needed=_never, named=_namespace),
        )
        self._by_kind = {relation.resource.kind: relation for relation in self._all}

    def __iter__(self) -> Iterator[Relation]:
        return iter(self._all)

    def of(self, kind: str) -> Relation | None:
        """Return that of a kind; None for one that is not watched, and for Releases."""
        return self._by_kind.get(kind)

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All kinds whose objects are kept, Releases first."""
        return (RELEASES, *(relation.resource for relation in self._all))

    @property
    def written(self) -> tuple[Resource, ...]:
        """Those that the operator writes, Releases first."""
        return (RELEASES, *(relation.resource for relation in self._all if relation.written))


def target_of(namespace: str, release: Raw) -> tuple[str, str, str]:
    """Return kind, namespace and name of the workload that a Release names."""
    target = mapping(mapping(release.get("spec")).get("targetRef"))
    return (str(target.get("kind") or WorkloadKind.DEPLOYMENT), namespace, str(target.get("name")))


def policy_of(release: Raw) -> Resource:
    """Return the kind of policy that a Release names, valid or not."""
    kind = mapping(mapping(release.get("spec")).get("policyRef")).get("kind")
    return CLUSTER_ROLLOUT_POLICIES if kind == CLUSTER_ROLLOUT_POLICIES.kind else ROLLOUT_POLICIES


def upstreams_of(namespace: str, release: Raw) -> Iterator[tuple[str, str, str]]:
    """Yield cluster (or nothing), namespace and name of each Release that one comes after, and of the one that it follows."""
    spec = mapping(release.get("spec"))
    for one in map(mapping, (*_items(spec.get("after")), spec.get("follow"))):
        yield str(one.get("cluster") or ""), str(one.get("namespace") or namespace), str(one.get("release"))


def group_of(release: Raw) -> str:
    """Return the name of the group that a Release is in; empty where it is in none."""
    name = mapping(mapping(release.get("spec")).get("group")).get("name")
    return name if isinstance(name, str) else ""


def mapping(value: object) -> Raw:
    """Return what stands where a map should; an empty one where it is none."""
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _never(_: Raw) -> bool:
    """It can be decided without it, e.g. by what the workload has without the load that an autoscaler tells of."""
    return False


def _namespace(namespace: str, _: Raw) -> Iterator[tuple[str, str]]:
    """Yield the Release's own namespace, by whose labels freezes select."""
    yield "", namespace


def _routed(release: Raw) -> bool:
    """Whether a Release has routes; those that are shifted count, whatever the spec names."""
    return bool((release.get("spec") or {}).get("traffic") or (release.get("status") or {}).get("originalRules"))


def _workloads(kind: Kind) -> Iterator[Relation]:
    """Yield the relations of a kind of workload and of what keeps its pods, which only Releases of that kind need."""

    def needed(release: Raw) -> bool:
        return target_of("", release)[0] == kind.resource.kind

    def named(namespace: str, release: Raw) -> Iterator[tuple[str, str]]:
        target, *found = target_of(namespace, release)
        if target == kind.resource.kind:
            yield found[0], found[1]

    yield Relation(kind.resource, needed=needed, named=named, written=True)
    for keeper in kind.keepers:
        yield Relation(keeper, needed=needed, belongs=_owners, written=True)


def _owners(keeper: Raw) -> Iterator[tuple[str, str]]:
    for owner in keeper["metadata"].get("ownerReferences") or ():
        yield owner["kind"], owner["name"]


def _scaled(autoscaler: Raw) -> Iterator[tuple[str, str]]:
    if (target := autoscaling.target_of(autoscaler)) is not None:
        yield target.kind, target.name


def _services(namespace: str, release: Raw) -> Iterator[tuple[str, str]]:
    """Yield the user's Service and the operator's two beside it; what was named before counts until it is put back."""
    traffic, status = mapping(mapping(release.get("spec")).get("traffic")), mapping(release.get("status"))
    named = (traffic.get("service"), status.get("shiftedService"), status.get("pinnedService"))
    for service in {str(name) for name in named if name}:
        for name in (service, *(own_name(service, role) for role in Role)):
            yield namespace, name


def _decided(decision: Raw) -> Iterator[tuple[str, str]]:
    if isinstance(release := mapping(decision.get("spec")).get("release"), str):
        yield RELEASES.kind, release


def _service_of_slice(piece: Raw) -> Iterator[tuple[str, str]]:
    yield SERVICES.kind, (piece["metadata"].get("labels") or {}).get(SERVICE_OF_SLICE, "")


def _routes(router: Router) -> Relation:
    """Return the relation of a router's routes, which only those Releases need that have some."""

    def named(namespace: str, release: Raw) -> Iterator[tuple[str, str]]:
        for name in router.named(mapping(mapping(release.get("spec")).get("traffic"))):
            yield namespace, name
        for rule in map(mapping, _items(mapping(release.get("status")).get("originalRules"))):
            if str(rule.get("kind") or HTTP_ROUTE) == router.kind.label:
                yield namespace, str(rule.get("route"))

    return Relation(router.resource, needed=lambda release: any(True for _ in named("", release)), named=named, written=True)


def _policies(resource: Resource, namespace: str, release: Raw) -> Iterator[tuple[str, str]]:
    if policy_of(release) is resource:
        name = mapping(mapping(release.get("spec")).get("policyRef")).get("name")
        yield namespace if resource.namespaced else "", str(name)


def _follows(resource: Resource, release: Raw) -> bool:
    return policy_of(release) is resource
