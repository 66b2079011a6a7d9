"""From the objects that the operator's caches hold to a snapshot, as the adapters make it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from simulation.cluster import APP, CANARY, STABLE, USER, Backends, Deployment, ReplicaSet, Route, Service, Template
from tidegate.api.originals import OriginalRule, PortStatus
from tidegate.api.status import ReleaseStatus
from tidegate.engine.handover.deployment.view import DeploymentView, Owner, ReplicaSetView
from tidegate.engine.route import RouteRef
from tidegate.engine.snapshot import RouteStage, RouteView, ServiceView, TemplateView, Warm
from tidegate.traffic.httproute import KIND
from tidegate.traffic.targets import ports_for_stable

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the world began."""
    return EPOCH + timedelta(seconds=round(seconds, 3))


@dataclass
class Seen:
    """What the operator's caches hold; each object may be older than it is, but never older than the operator's own last write."""

    deployment: Deployment | None = None
    replica_sets: dict[str, ReplicaSet] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)
    """Ready pods by ReplicaSet."""
    available: dict[str, int] = field(default_factory=dict)
    """Available pods by ReplicaSet."""


@dataclass
class Said:
    """What the new version's pods say of themselves: why they are not ready, and how a container of theirs has ended last."""

    trouble: str = ""
    outside: bool = False
    ending: str = ""
    ended: float | None = None
    pods: int = 1
    """In how many pods one has ended then."""
    youngest: float | None = None

    def seen(self) -> dict[str, Any]:
        """Return what the engine sees of it."""
        return {
            "trouble": self.trouble,
            "trouble_outside": self.outside,
            "ending": self.ending,
            "endings": () if self.ended is None else (at(self.ended),) * self.pods,
            "youngest": None if self.youngest is None else at(self.youngest),
        }


WARM = {USER: Warm.USER, STABLE: Warm.STABLE, CANARY: Warm.CANARY}


def warm_of(backends: Backends) -> tuple[str, str] | None:
    """Return which of the three has all but one in ten thousand, and which one has that; None in any other form."""
    weights = dict(backends)
    if not WARM.keys() <= weights.keys():
        return None
    none, tiny, rest = sorted((weights[name], name) for name in WARM)
    return (rest[1], tiny[1]) if none[0] == 0 and tiny[0] > 0 and tiny[0] * 9_999 == rest[0] else None


def stage_of(backends: Backends) -> RouteStage:
    """Return how far a route is from what the user wrote."""
    weights = dict(backends)
    if STABLE not in weights:
        return RouteStage.USER
    if (found := warm_of(backends)) is not None:
        return RouteStage.ENTERING if found[0] == USER else RouteStage.SPLIT
    if weights.get(USER, 0) > 0:
        return RouteStage.ENTERING
    return RouteStage.SPLIT


def weight_of(backends: Backends) -> float:
    """Return the canary's share in percent of what is ours."""
    weights = dict(backends)
    ours = weights.get(STABLE, 0) + weights.get(CANARY, 0)
    return 100 * weights.get(CANARY, 0) / ours if ours else 0


def shifted(originals: Backends, stage: RouteStage, weight: int, warm: Warm | None = None) -> Backends:
    """Return the backends of a route at a stage; other backends keep their share."""
    if stage is RouteStage.USER:
        return originals
    found: list[tuple[str, int]] = []
    for name, share in originals:
        if warm is not None:
            lead = USER if stage is RouteStage.ENTERING else CANARY if weight == 100 else STABLE
            parts = [(one, 9_999 * share if one == lead else share if WARM[one] is warm else 0) for one in WARM]
            found += parts if name == USER else [(name, share * 10_000)]
            continue
        if name != USER:
            found.append((name, share * 100))
            continue
        user = (USER, share * 100 if stage is RouteStage.ENTERING else 0)
        split = (0, 0) if stage is RouteStage.ENTERING else (share * (100 - weight), share * weight)
        found += [user, (STABLE, split[0]), (CANARY, split[1])]
    return tuple(found)


def route_view(
    name: str, route: Route | None, known: tuple[OriginalRule, ...], delay: float = 0, *, warms: bool = False
) -> RouteView:
    """Return what the engine sees of a route."""
    if route is None:
        return RouteView(KIND, name, exists=False, matches=False, accepted=False)
    ours = {USER, STABLE, CANARY} & dict(route.backends).keys()
    heard = route.accepted == route.generation and not route.trouble
    accepted = heard and not route.mute
    stage = stage_of(route.backends)
    originals = RouteRef(KIND, name).noted(known)
    if stage is RouteStage.USER and ours:
        originals = (OriginalRule(route=name, rule=0, backend_refs=json.dumps(route.backends)),)
    lead, warm = warm_of(route.backends) or ("", "")
    return RouteView(
        KIND,
        name,
        matches=bool(ours),
        stage=stage,
        weight=100.0 * (lead == CANARY) if warm else weight_of(route.backends),
        warm=WARM.get(warm),
        warms=warms,
        accepted=accepted,
        since=at(route.accepted_at + delay) if heard else None,
        trouble=route.trouble,
        originals=originals,
        silent=(route.mute,) if route.mute else (),
        heard=heard,
        controllers=frozenset({"example.com/gateway"} if heard else ()),
        applied=route.applied,
    )


def own_view(name: str, seen: Seen, status: ReleaseStatus) -> ServiceView | None:
    """Return what the engine sees of one of the operator's Services."""
    own, user = seen.services.get(name), seen.services.get(USER)
    if own is None:
        return None
    wanted = (own.app, own.target, own.version) if user is None else followed(seen, status, name, own.revision)
    return ServiceView(
        name,
        own.revision,
        endpoints=len(own.addresses),
        current=(own.app, own.target, own.version) == wanted,
        portless=len(own.portless),
        gap=gap_of(own),
        targets=(PortStatus(port=80, protocol="TCP", target=own.target),),
    )


def followed(seen: Seen, status: ReleaseStatus, name: str, revision: str | None) -> tuple[str, str, str]:
    """Return what one of the operator's Services is to have of the user's: the pods' app, the targetPort, the version."""
    user = seen.services[USER]
    rs = next((rs for rs in seen.replica_sets.values() if rs.revision == revision), None)
    version = user.version if rs is None or rs.template.image == user.version else ""
    return user.app, held_target(user, status, rs) if name == STABLE else user.target, version


def held_target(user: Service, status: ReleaseStatus, rs: ReplicaSet | None) -> str:
    """Return the user's targetPort as it holds for the stable version."""
    if rs is None or status.stable_targets is None:
        return user.target
    declared = frozenset(pod.port for pod in rs.pods)
    (port,) = ports_for_stable([{"port": 80, "targetPort": user.target}], status.stable_targets.ports, declared)
    return str(port["targetPort"])


def gap_of(service: Service) -> str:
    """Return what ready endpoints of a Service lack."""
    return f"{len(service.portless)} ready pods have no port named {service.target}" if service.portless else ""


def user_view(seen: Seen, read: Service | None, status: ReleaseStatus, wanted: str) -> ServiceView | None:
    """Return what the engine sees of the user's Service.

    Args:
        seen: what the caches hold.
        read: the Service whose endpoints were read, None where none were.
        status: the status.
        wanted: image of the wanted template.
    """
    user = seen.services.get(USER)
    if user is None:
        return None
    revision = status.stable.revision if status.stable else None
    stable = next((rs for rs in seen.replica_sets.values() if rs.revision == revision), None)
    held = held_target(user, status, stable)
    missed = [rs for rs in seen.replica_sets.values() if user.version not in ("", rs.template.image)]
    view = ServiceView(
        USER,
        user.revision,
        selects=user.app == APP and user.version in ("", wanted),
        misses=frozenset(rs.revision for rs in missed),
        targets=(PortStatus(port=80, protocol="TCP", target=user.target),),
        astray=f"it selects version={user.version}, they have version={stable.template.image}" if stable in missed else "",
        diverted=f"its port 80 leads to {user.target}, they listen on {held}" if held != user.target else "",
    )
    if read is None:
        return view
    missing = len(serving(seen.routes, seen.services) - read.addresses)
    return replace(
        view,
        endpoints=len(read.addresses),
        missing_endpoints=missing,
        portless=len(read.portless),
        gap=gap_of(read),
        ending=read.ending,
    )


def serving(routes: dict[str, Route], services: dict[str, Service]) -> frozenset[int]:
    """Return the ready endpoints of the operator's Services that routes give weight to."""
    shares = [share for route in routes.values() for share in route.backends]
    given = {name for name, weight in shares if weight > 0 and name in {STABLE, CANARY} and name in services}
    return frozenset[int]().union(*(services[name].addresses for name in given))


def workload_view(
    seen: Seen, images: dict[str, str], said: Said, version: str | None, status: ReleaseStatus
) -> DeploymentView | None:
    """Return what the engine sees of the Deployment; a ReplicaSet that nobody owns is known as the candidate's."""
    deployment = seen.deployment
    if deployment is None:
        return None
    candidate = status.candidate.revision if status.candidate else None
    known = {name: rs for name, rs in seen.replica_sets.items() if rs.owner is not Owner.NOBODY or rs.revision == candidate}
    seen = replace(seen, replica_sets=known)
    own = deployment.template
    wanted = replace(own, image=images["app"]) if "app" in images else own
    chosen, mine = _find(seen, wanted), _find(seen, own)
    restarted = [rs for rs in _by_age(seen) if rs.template != wanted and rs.template.image == wanted.image]
    same = [rs.revision for rs in _by_age(seen) if rs.template == wanted and rs is not chosen]
    return DeploymentView(
        uid="deployment",
        replicas=deployment.replicas,
        paused=deployment.paused,
        labelled=deployment.labelled,
        settled=_settled(seen, deployment, mine),
        observed=deployment.observed == deployment.generation,
        template=TemplateView(
            revision=chosen.revision if chosen else wanted.own_hash,
            version=version or wanted.image,
            exists=chosen is not None,
            restart_of=tuple(rs.revision for rs in restarted),
            overlaid=wanted != own,
            duplicates=tuple(same),
            images={"app": wanted.image},
            new_revision=wanted.own_hash,
            digest=wanted.digest,
        ),
        own_revision=mine.revision if mine else None,
        arms=tuple(_set_view(seen, rs, version if rs is chosen else None) for rs in _by_age(seen)),
        **said.seen(),
        rolling=deployment.rolling,
    )


def _by_age(seen: Seen) -> list[ReplicaSet]:
    return sorted(seen.replica_sets.values(), key=lambda rs: rs.created)


def _find(seen: Seen, template: Template) -> ReplicaSet | None:
    same = [rs for rs in _by_age(seen) if rs.template == template]
    return next((rs for rs in same if rs.owner is Owner.RELEASE), same[0] if same else None)


def _settled(seen: Seen, deployment: Deployment, own: ReplicaSet | None) -> bool:
    if own is None or own.owner is not Owner.DEPLOYMENT or deployment.observed != deployment.generation:
        return False
    others = [rs for rs in seen.replica_sets.values() if rs.owner is Owner.DEPLOYMENT and rs is not own]
    complete = own.wanted == len(own.pods) == seen.available.get(own.name, 0) == deployment.replicas
    return complete and not any(rs.wanted or rs.pods for rs in others)


def _set_view(seen: Seen, rs: ReplicaSet, version: str | None) -> ReplicaSetView:
    return ReplicaSetView(
        name=rs.name,
        revision=rs.revision,
        owner=rs.owner,
        wanted=rs.wanted,
        current=len(rs.pods),
        ready=seen.ready.get(rs.name, 0),
        available=seen.available.get(rs.name, 0),
        version=version or rs.template.image,
        number=rs.number,
        desired=rs.desired,
        images={"app": rs.template.image},
    )
