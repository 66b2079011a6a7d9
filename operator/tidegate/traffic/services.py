"""The operator's two Services beside the user's, and the pin in the user's own: how they are seen, and how they are to be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tidegate.api.names import API_VERSION, LABEL_RELEASE, LABEL_ROLE, VERSION_LABELS, Reason
from tidegate.api.originals import TargetsStatus
from tidegate.engine.plan import Role, own_name
from tidegate.engine.snapshot import Blocker, ServiceView
from tidegate.traffic.backends import Json
from tidegate.traffic.endpoints import reach_of
from tidegate.traffic.followed import COPIED, annotations_of, labels_of, of_others
from tidegate.traffic.our_marks import marked
from tidegate.traffic.selection import Pods, pin_of, selector_of, selects, stranger
from tidegate.traffic.targets import astray, diverted, ports_for_stable, selector_for, targets_of

NAME_LIMIT = 63
"""Characters in the name of a Service (a DNS label)."""
_PORT_FIELDS = ("name", "port", "targetPort", "protocol", "appProtocol")
"""All of a port but its nodePort, which can be given away once only."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The raw Services of one Release, as the caches have them at one instant.

    Attributes:
        release: name of the Release.
        release_uid: its uid.
        user: the Service that the Release names.
        stable: what has the name of the operator's Service for the stable version; None where nothing has.
        canary: likewise for the new version.
        pods: those that the user's is to select; None where they are not known.
        targets: where its ports led when stable was all that there was; None where that is not known.
    """

    release: str
    release_uid: str
    user: Json
    stable: Json | None = None
    canary: Json | None = None
    pods: Pods | None = None
    targets: TargetsStatus | None = None

    @property
    def label(self) -> str:
        """The label by which versions are told apart; of a workload that is not there, that of most kinds."""
        return self.pods.label if self.pods is not None else VERSION_LABELS[0]

    @property
    def namespace(self) -> str:
        """The namespace of all of them."""
        return str(self.user["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Name of the user's Service."""
        return str(self.user["metadata"]["name"])

    def of(self, role: Role) -> Json | None:
        """Return what has the name of the operator's Service of a role."""
        return self.stable if role is Role.STABLE else self.canary

    def is_ours(self, service: Mapping[str, Any]) -> bool:
        """Whether a Service belongs to this Release: its label says so, whoever has taken its owners away."""
        return (service["metadata"].get("labels") or {}).get(LABEL_RELEASE) == self.release

    def ports(self, role: Role, revision: str) -> list[Json]:
        """Return the ports of the user's Service as they hold for a version, without node ports.

        Args:
            role: which version.
            revision: its revision.
        """
        found = _ports(self.user["spec"])
        if role is Role.CANARY or self.targets is None or self.targets.service != self.name:
            return found
        declared = self.pods.declared.get(revision) if self.pods is not None else None
        return found if declared is None else ports_for_stable(found, self.targets.ports, declared)


def led_astray(view: ServiceView, services: Services, stable: str | None, named: Collection[int]) -> ServiceView:
    """Return what the engine sees of the user's Service, with why it does not lead to the pods of stable, if it does not.

    Args:
        view: what it sees otherwise.
        services: the raw Services.
        stable: revision of the stable version; None where there is none.
        named: numbers of its ports that routes name.
    """
    targets = targets_of(services.user)
    if stable is None or services.pods is None:
        return replace(view, targets=targets)
    held = services.ports(Role.STABLE, stable)
    return replace(
        view,
        targets=targets,
        astray=astray(services.user, services.pods, stable),
        diverted=diverted(_ports(services.user["spec"]), held, frozenset(named)),
    )


def user_view(user: Mapping[str, Any], pods: Pods | None = None) -> ServiceView:
    """Return what the engine sees of the user's Service, but for its endpoints.

    Args:
        user: the Service.
        pods: those that it is to select; None where they are not known.
    """
    selector = selector_of(user)
    revisions = pods.revisions.items() if pods is not None else ()
    return ServiceView(
        name=user["metadata"]["name"],
        revision=_revision(user),
        our_marks=marked(user),
        selects=pods is None or selects(selector, pods.labels),
        misses=frozenset(revision for revision, labels in revisions if not selects(selector, labels)),
    )


def with_endpoints(
    view: ServiceView,
    services: Services,
    slices: Iterable[Mapping[str, Any]],
    own: Iterable[tuple[Role, Iterable[Mapping[str, Any]]]],
    *,
    ports: Collection[int] = (),
) -> ServiceView:
    """Return what the engine sees of the user's Service once its endpoints were read.

    Args:
        view: what it sees without them.
        services: the raw Services.
        slices: EndpointSlices of the user's Service.
        own: those of the operator's Services that have weight.
        ports: numbers of its ports that routes name.
    """
    has = reach_of(services.user, slices, ports)
    serving: set[object] = set()
    for role, pieces in own:
        service = services.of(role)
        serving |= reach_of(service, pieces, ports).whole if service is not None else set()
    return replace(
        view,
        endpoints=len(has.whole),
        missing_endpoints=len(serving - has.whole),
        portless=len(has.partial),
        gap=has.gap,
        ending=has.ending,
    )


def service_view(
    services: Services, role: Role, *, slices: Iterable[Mapping[str, Any]], ports: Collection[int] = ()
) -> ServiceView | None:
    """Return what the engine sees of one of the operator's Services; None where it is missing or is not the operator's.

    Args:
        services: the raw Services.
        role: which one.
        slices: its EndpointSlices.
        ports: numbers of its ports that routes name.
    """
    service = services.of(role)
    if service is None or not services.is_ours(service):
        return None
    revision = _revision(service)
    wanted = body(services, role, revision=revision or "")
    has = reach_of(service, slices, ports)
    return ServiceView(
        name=service["metadata"]["name"],
        revision=revision,
        endpoints=len(has.whole),
        portless=len(has.partial),
        gap=has.gap,
        current=_essence(service) == _essence(wanted),
        targets=targets_of(service),
    )


def unsupported(services: Services, pods: Pods | None = None) -> Blocker | None:
    """Return what keeps traffic from going through the operator's Services, None where nothing does.

    Args:
        services: the raw Services.
        pods: those that the user's Service is to select; None where they are not known.
    """
    if not selector_of(services.user):
        words = f"spec.traffic.service: Service {services.name} has no selector, so it cannot be split by version"
        return Blocker(Reason.MISSING_SERVICE, words)
    if pods is not None and (blocker := stranger(services.user, pods)) is not None:
        return blocker
    for role in Role:
        name = own_name(services.name, role)
        if len(name) > NAME_LIMIT:
            words = (
                f"spec.traffic.service: Service {name}, which Tidegate creates for it, would have more than {NAME_LIMIT} characters"
            )
            return Blocker(Reason.INVALID_SPEC, words)
        existing = services.of(role)
        if existing is not None and not services.is_ours(existing):
            return Blocker(Reason.CONFLICT, clash(services, role))
    return None


def clash(services: Services, role: Role) -> str:
    """Return what is wrong where a Service of the needed name belongs to somebody else.

    Never is it said that one should be deleted: it may carry traffic.
    """
    name, existing = own_name(services.name, role), services.of(role)
    owner = (existing["metadata"].get("labels") or {}).get(LABEL_RELEASE) if existing is not None else None
    if owner:
        return (
            f"spec.traffic.service: Release {owner} already shifts the requests of Service {services.name} ({name} is its own), "
            f"and only one Release can; name another Service, or delete Release {services.release}"
        )
    return (
        f"spec.traffic.service: Service {name} exists and does not belong to Release {services.release}, which needs a Service of "
        f"that name for Service {services.name}: move what uses it to a Service of another name and delete this one; the Release "
        "then continues"
    )


def body(services: Services, role: Role, *, revision: str) -> Json:
    """Return the operator's Service of a role as it is to be.

    It selects what the user's Service selects, of one revision, and leads to what the pods of that revision answer on. It has two
    owners, so that it stays until both are gone: a foreground deletion of the Release, which is what Argo CD does, has the garbage
    collector delete at once what has no other owner, finalizer or not, and the Service may go only after the traffic.
    """
    spec = services.user["spec"]
    annotations = annotations_of(services.user)
    metadata: Json = {
        "name": own_name(services.name, role),
        "namespace": services.namespace,
        "labels": {**labels_of(services.user), LABEL_RELEASE: services.release, LABEL_ROLE: role.value},
        "ownerReferences": [
            _owner("v1", "Service", services.name, services.user["metadata"]["uid"]),
            _owner(API_VERSION, "Release", services.release, services.release_uid),
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
        "spec": {
            "type": "ClusterIP",
            "selector": selector_for(services.user, services.pods, revision) | {services.label: revision},
            "ports": services.ports(role, revision),
            **({"clusterIP": "None"} if is_headless(services.user) else {}),
            **{name: spec[name] for name in COPIED if spec.get(name) is not None},
        },
    }


def _revision(service: Mapping[str, Any]) -> str | None:
    pinned = pin_of(_selector(service))
    return pinned[1] if pinned is not None else None


def _owner(api_version: str, kind: str, name: str, uid: str) -> Json:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }


def _selector(service: Mapping[str, Any]) -> dict[str, str]:
    return dict(service["spec"].get("selector") or {})


def _ports(spec: Mapping[str, Any]) -> list[Json]:
    ports: Sequence[Json] = spec.get("ports") or ()
    return [{name: port[name] for name in _PORT_FIELDS if port.get(name) is not None} for port in ports]


def is_headless(service: Mapping[str, Any]) -> bool:
    """Whether a Service has no address of its own."""
    return bool(service["spec"].get("clusterIP") == "None")


def _essence(service: Mapping[str, Any]) -> Json:
    """Return what follows the user's Service."""
    spec = service["spec"]
    return {
        "selector": _selector(service),
        "ports": sorted(_ports(spec), key=lambda port: (port["port"], port.get("protocol", "TCP"))),
        "headless": is_headless(service),
        "annotations": annotations_of(service),
        "labels": labels_of(service),
        **{name: spec.get(name) for name in COPIED},
    }


def correction(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Json] | None:
    """Return the JSON patch that makes one of the operator's Services what it is to be; None where it is so already.

    It rests on the resourceVersion: one that comes late must not turn the Service back to a revision that may have no pods by now.
    What others have added in labels, annotations and owners is kept.

    Args:
        existing: the Service as it was seen.
        wanted: as `body` has it.
    """
    if _essence(existing) == _essence(wanted):
        return None
    metadata, spec, ours = existing["metadata"], existing["spec"], wanted["metadata"]
    labels, annotations = of_others(existing)
    names = {(owner["kind"], owner["name"]) for owner in ours["ownerReferences"]}
    strangers = [owner for owner in metadata.get("ownerReferences") or () if (owner["kind"], owner["name"]) not in names]
    after = {
        "labels": labels | ours["labels"],
        "annotations": (annotations | annotations_of(wanted)) or None,
        "ownerReferences": [*ours["ownerReferences"], *strangers],
    }
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        *_changes("/metadata", metadata, after),
        *_changes("/spec", spec, {name: wanted["spec"].get(name) for name in ("type", "selector", "ports", *COPIED)}),
    ]


def _changes(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Json]:
    for name, value in after.items():
        if value is None and before.get(name) is not None:
            yield {"op": "remove", "path": f"{path}/{name}"}
        elif value is not None and before.get(name) != value:
            yield {"op": "add", "path": f"{path}/{name}", "value": value}


def pin_patch(user: Mapping[str, Any], *, label: str, revision: str | None) -> list[Json] | None:
    """Return the JSON patch that keeps the user's Service on one revision, or frees it (None); None where nothing changes.

    Args:
        user: the Service.
        label: by which versions are told apart.
        revision: the revision; None to free it, by whichever label it is kept.
    """
    selector = _selector(user)
    pinned = pin_of(selector)
    if (pinned[1] if pinned is not None else None) == revision:
        return None
    path = f"/spec/selector/{pinned[0] if pinned is not None and revision is None else label}"
    change = {"op": "remove", "path": path} if revision is None else {"op": "add", "path": path, "value": revision}
    # What the rest of the selector says is tested, too: a selector is one value to the API.
    return [
        {"op": "test", "path": "/metadata/uid", "value": user["metadata"]["uid"]},
        {"op": "test", "path": "/spec/selector", "value": selector},
        change,
    ]
