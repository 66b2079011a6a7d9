"""A kind of workload that there is not, which proves that the engine knows none: its rollouts run through the same `decide`.

A Fleet keeps groups of pods. Its spec names the version that serves, which has all of its pods, and one that is tried, with so many
pods. A changed template does nothing until a person or the operator names it as the one that serves: there is nothing to hold,
nobody to go past a hold, no owner to change and no restart of its own. To name the tried version is the point of no return.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from simulation.cluster import Cluster, Deployment, ReplicaSet, Template, copied
from simulation.oracle import Oracle
from simulation.world import ConflictError, World
from tidegate.api.policy import Step
from tidegate.engine.draft import Draft
from tidegate.engine.facts import has_pods, pods_wanted, promotion_waits, serves
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.plan import Action, OfWorkload, ScaleWorkload
from tidegate.engine.sizing import canary_size
from tidegate.engine.snapshot import Arm, TemplateView, WorkloadView
from tidegate.engine.waits import Inquiry, Wait, Waiting

# What the engine sees and wants.


@dataclass(frozen=True, kw_only=True)
class FleetView(WorkloadView):
    """A Fleet: revisions of the versions that serve and that are tried, and whether its controller has seen them."""

    serves: str
    tried: str | None
    observed: bool


@dataclass(frozen=True)
class Try(OfWorkload):
    """Try a version with so many pods; None to try none."""

    revision: str | None
    pods: int


@dataclass(frozen=True)
class Serve(OfWorkload):
    """Let the version that is tried serve, with the pods that it has. From here on there is no way back."""

    revision: str


class FleetHandover:
    """How a Fleet comes to serve another version; it has no abilities besides."""

    kind = "Fleet"
    arm = "group"
    restarts = None
    bypass = None
    reverts = None

    def observed(self, draft: Draft) -> bool:
        return _seen(draft).observed

    def serving(self, draft: Draft) -> Arm | None:
        fleet = _seen(draft)
        arm = fleet.arm(fleet.serves)
        return arm if arm is not None and arm.available >= fleet.replicas > 0 else None

    def starts_by_itself(self, draft: Draft) -> bool:
        return not any(arm.ready for arm in _seen(draft).arms)

    def guarded(self, draft: Draft) -> bool:
        return True

    def unheld(self, draft: Draft) -> Waiting | None:
        return None

    def size(self, draft: Draft, step: Step) -> int:
        return canary_size(step, draft.replicas, routed=draft.routed)

    def unready(self, draft: Draft) -> Waiting | None:
        return None if _seen(draft).observed else Waiting(Wait.OBSERVED, "for the Fleet's controller to see it")

    def committed(self, draft: Draft) -> bool:
        return draft.workload is not None and _seen(draft).serves == draft.candidate.revision

    def adopted(self, draft: Draft) -> bool:
        return self.committed(draft) and _seen(draft).observed

    def unsettled(self, draft: Draft) -> Waiting | None:
        return None

    def writes(self, draft: Draft) -> Iterator[Action]:
        fleet, arm = _seen(draft), draft.canary_arm
        if not draft.active or draft.committed:
            quiet = draft.committed or draft.routes_back or draft.routes_carry(0)
            if fleet.tried is not None and quiet:
                yield Try(None, 0)
            return
        revision, size = draft.candidate.revision, pods_wanted(draft)
        wanted = arm.wanted if arm is not None and fleet.tried == revision else 0
        if size is not None and size != wanted and (arm is not None or draft.wants(revision)):
            yield Try(revision, size)
        elif draft.promoting and draft.rollout.paused is None and promotion_waits(draft) is None:
            yield Serve(revision)

    def lingers(self, draft: Draft) -> bool:
        if draft.workload is None:
            return False
        fleet = _seen(draft)
        return any(has_pods(arm) for arm in fleet.arms if not serves(draft, arm) and arm.revision != fleet.serves)

    def hand_back(self, draft: Draft) -> Iterator[Action]:
        if draft.workload is not None and _seen(draft).tried is not None:
            yield Try(None, 0)


def _seen(draft: Draft) -> FleetView:
    assert isinstance(draft.workload, FleetView)
    return draft.workload


# The cluster, the world and its oracle.


@dataclass
class Fleet(Deployment):
    """The object; it has template and replicas in common with a Deployment."""

    serves: Template = field(default_factory=lambda: Template(""))
    tried: tuple[Template, int] | None = None


class FleetCluster(Cluster):
    """A cluster whose workload is a Fleet. Its groups are kept as ReplicaSets are, and it owns what serves."""

    def create_deployment(self, template: Template, replicas: int) -> None:
        self.deployment = Fleet(template, replicas, serves=template)

    @property
    def fleet(self) -> Fleet:
        """The Fleet."""
        assert isinstance(self.deployment, Fleet)
        return self.deployment

    def group(self, template: Template) -> ReplicaSet:
        """Return the group of a template, which is made where there is none."""
        name = f"checkout-{template.own_hash}"
        if name not in self.replica_sets:
            self.replica_sets[name] = ReplicaSet(name, template, template.own_hash, Owner.RELEASE, 0, self.next_id())
        return self.replica_sets[name]

    def owned_by_the_release(self, *, pods: bool = False) -> list[ReplicaSet]:
        """Return the groups that do not serve; only those with pods where that is asked for."""
        return [group for group in self.owned(Owner.RELEASE) if group.pods or not pods]

    def _sync_deployment(self) -> None:
        fleet = self.fleet
        sizes = {fleet.tried[0].own_hash: fleet.tried[1]} if fleet.tried is not None else {}
        sizes[fleet.serves.own_hash] = fleet.replicas
        self.group(fleet.serves)
        for group in self.replica_sets.values():
            group.wanted = sizes.get(group.revision, 0)
            group.owner = Owner.DEPLOYMENT if group.template == fleet.serves else Owner.RELEASE
        fleet.observed = fleet.generation


class FleetWorld(World):
    """The world of a Release of a Fleet."""

    cluster: FleetCluster

    def __init__(self, policy: dict[str, Any] | None = None, *, routes: tuple[str, ...] = ("web",), pin: bool = False) -> None:
        super().__init__(policy, routes=routes, pin=pin, cluster=FleetCluster(routes=routes), handover=FleetHandover())

    def _workload_view(self) -> WorkloadView | None:
        fleet = self.seen.deployment
        assert isinstance(fleet, Fleet)
        groups = self.seen.replica_sets.values()
        wanted = replace(fleet.template, image=self.images["app"]) if "app" in self.images else fleet.template
        restarts = [one for one in groups if one.template != wanted and one.template.image == wanted.image]
        return FleetView(
            uid="fleet",
            replicas=fleet.replicas,
            template=TemplateView(
                revision=wanted.own_hash,
                version=wanted.image,
                exists=wanted in {group.template for group in groups},
                restart_of=tuple(group.revision for group in restarts),
                overlaid=wanted != fleet.template,
                new_revision=wanted.own_hash,
                digest=wanted.digest,
            ),
            arms=tuple(self._arm(group) for group in groups),
            **self.pods_say.seen() | ({} if Inquiry.PODS in self.read else {"endings": None}),
            serves=fleet.serves.own_hash,
            tried=fleet.tried[0].own_hash if fleet.tried is not None else None,
            observed=fleet.observed == fleet.generation,
        )

    def _arm(self, group: ReplicaSet) -> Arm:
        ready, available = self.seen.ready.get(group.name, 0), self.seen.available.get(group.name, 0)
        counts = {"wanted": group.wanted, "current": len(group.pods), "ready": ready, "available": available}
        return Arm(revision=group.revision, version=group.template.image, **counts)

    def perform(self, action: Action) -> None:
        """Make one write of the operator."""
        if not isinstance(action, Try | Serve | ScaleWorkload):
            super().perform(action)
            return
        fleet, seen = self.cluster.fleet, self.seen.deployment
        if seen is None or fleet.generation != seen.generation:
            raise ConflictError
        match action:
            case ScaleWorkload(replicas):
                fleet.replicas = replicas
            case Try(None):
                fleet.tried = None
            case Try(revision, pods):
                fleet.tried = self._template(revision), pods
            case Serve(revision):
                group = self.cluster.group(self._template(revision))
                if not group.wanted == group.available(self.now) == fleet.replicas:
                    raise ConflictError
                fleet.serves, fleet.tried = group.template, None
        # Its API makes and sizes groups in the request itself; only to stop pods is left to its controller.
        fleet.generation += 1
        if fleet.tried is not None:
            group = self.cluster.group(fleet.tried[0])
            group.wanted = fleet.tried[1]
            self._show("replica_sets", group.name)
        self.seen.deployment = copied(fleet)

    def _template(self, revision: str) -> Template:
        known = [group.template for group in self.cluster.replica_sets.values() if group.revision == revision]
        template = self.cluster.fleet.template
        wanted = replace(template, image=self.images["app"]) if "app" in self.images else template
        found = next((one for one in (wanted, *known) if one.own_hash == revision), None)
        if found is None:
            raise ConflictError
        return found


class FleetOracle(Oracle):
    """Watches the world of a Fleet, whose versions change hands by other writes."""

    def is_the_workloads(self, arm: Arm, view: WorkloadView) -> bool:
        return isinstance(view, FleetView) and view.serves == arm.revision

    def changes_hands(self, what: str) -> str | None:
        """Return the name of the group that serves by a write from now on."""
        return f"checkout-{self.world.cluster.deployment.serves.own_hash}" if what.startswith("Serve(") else None

    def stops(self, what: str) -> bool:
        return what.startswith("Try(") and what.endswith("pods=0)")
