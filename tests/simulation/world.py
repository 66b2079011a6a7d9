"""The world of one Release: the cluster, the operator that decides and writes, people, GitOps tools and Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from simulation.archive import Archive
from simulation.cluster import CANARY, STABLE, USER, Backends, Cluster, ReplicaSet, Route, Service, Template, copied
from simulation.deciders import People
from simulation.flagd import Definitions
from simulation.put_off import PutOff
from simulation.runs import Hooks, Jobs
from simulation.views import Said, Seen, at, followed, own_view, route_view, shifted, user_view, workload_view
from tidegate.api.names import Reason
from tidegate.api.originals import OriginalRule
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec, ReleaseType
from tidegate.api.status import ReleaseStatus
from tidegate.engine.decide import decide
from tidegate.engine.handover.deployment import actions
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.handover.protocol import Handover
from tidegate.engine.plan import (
    Action,
    DeleteService,
    EnsureService,
    Notice,
    PinService,
    Plan,
    Role,
    ScaleWorkload,
    SetFinalizer,
    Settled,
    ShiftRoute,
)
from tidegate.engine.route import RouteRef
from tidegate.engine.routing import traffic_in_force
from tidegate.engine.snapshot import (
    AutoscalerView,
    Blocker,
    PolicyView,
    ReleaseView,
    Request,
    RouteView,
    ServiceView,
    Snapshot,
    Verb,
    WorkloadView,
)
from tidegate.engine.waits import Inquiry, Wait
from tidegate.governance.view import UNGOVERNED, GovernanceView
from tidegate.governance.votes import Author
from tidegate.judge.reading import Counts, Reading, Tally
from tidegate.traffic.httproute import KIND

ROLE_NAMES = {Role.STABLE: STABLE, Role.CANARY: CANARY}
STRANGE = Blocker(Reason.INVALID_SPEC, "spec.traffic.service: Service checkout selects app=ledger")
BOUND = Blocker(
    Reason.BOUND_BY_NAME,
    "spec.traffic.service: BackendTLSPolicy tls applies to Service checkout by name, but not to checkout-stable",
)
SHARED = Blocker(Reason.SHARED_SERVICE, "spec.traffic.service: Service checkout also selects pods of Deployment spot")
KINDS = ("deployment", "replica_sets", "services", "routes")


class ConflictError(Exception):
    """A write was refused since the object is not as it was seen; the pass ends, and another follows."""


class CrashError(Exception):
    """The operator was killed."""


@dataclass
class Pass:
    """One pass of the operator: what it saw, decided and wrote."""

    snapshot: Snapshot
    plan: Plan
    writes: list[str] = field(default_factory=list)
    complete: bool = True


class World:
    """The world of one Release.

    Args:
        policy: the policy's spec in its wire form.
        routes: names of HTTPRoutes; none for a Release without traffic by route.
        pin: traffic.pinService.
        admission: whether an admission policy holds changed templates; else the Deployment stays paused between rollouts.
        replicas: of the Deployment.
        cluster: the cluster, where its workload is of another kind; then the three before are of no concern.
        handover: how a workload of that kind comes to serve another version.
    """

    authors: tuple[Author, ...] = ()
    committed: str = ""
    """Who has changed the template, and when its commit was made as they say."""

    def __init__(
        self,
        policy: dict[str, Any] | None = None,
        *,
        routes: tuple[str, ...] = ("web",),
        pin: bool = False,
        admission: bool = True,
        replicas: int = 4,
        cluster: Cluster | None = None,
        handover: Handover | None = None,
    ) -> None:
        self.handover = handover
        self.cluster = cluster or Cluster(replicas=replicas, routes=routes, admission=admission)
        self.policy: RolloutPolicySpec | None = RolloutPolicySpec.model_validate(policy or {"steps": [{"weight": 100}]})
        self.images: dict[str, str] = {}
        self.version: str | None = None
        """The Release's own name for the wanted version."""
        self.type: ReleaseType | None = None
        self.labels: dict[str, str] = {}  # of the Release
        self.pin, self.route_names = pin, routes
        self.traffic_gone = False
        """Whether somebody has taken the traffic out of the Release."""
        self.deleting: float | None = None
        self.finalizer = False
        self.created: float | None = None
        """When the Release was made; None for long ago."""
        self.gone = False
        self.request: str | None = None
        self.status, self.put_off = ReleaseStatus(), PutOff()
        self.blockers: tuple[Blocker, ...] = ()
        self.step_replicas_limit = 0
        self.never_warm = False
        """Whether the operator does not know that the data plane leaves out backends of weight 0."""
        self.pods_say = Said()
        self.autoscaler: Callable[[WorkloadView], AutoscalerView | None] = lambda _: None
        self.seen = Seen()
        self.stale: set[str] = set()
        """Kinds whose watch lags; of these the caches show only what the operator itself has written."""
        self.quality: dict[str, float | None] = {}
        """What Prometheus says about the new version, by gate; 0 where nothing is named, None for no data."""
        self.prometheus_trouble = ""
        self.readings: list[Reading] = []
        self.counted: dict[str, datetime] = {}
        """When counters were read last, by gate."""
        self.notices: list[Notice] = []
        self.weights: list[int] = [0]
        self.alive_since: float | None = None
        """When the operator that is alive began; None where the next pass is the first of a new one."""
        self.read: set[Inquiry] = {Inquiry.PODS}
        """What the operator that is alive has read as it wants to know it, and the new version's pods where it need not."""
        self.shared = False
        """Whether the user's Service selects pods of another workload, too."""
        self.past: tuple[str, ...] = ()
        """HTTPRoutes that lead to the user's Service and that the Release does not name."""
        self.unfollowed = False
        """Whether something is bound to the user's Service by its name, and not to the operator's two."""
        self.readable = True
        """Whether the API server answers when they are listed."""
        self.people, self.jobs, self.hooks, self.archive, self.flags = People(), Jobs(), Hooks(), Archive(), Definitions()
        self.governance = UNGOVERNED
        """What governance says, whatever else happens."""
        self.last: Pass | None = None
        self.words: dict[Wait, str] = {}
        """All that people were told that the Release waits for."""
        self.told: dict[str, ReleaseStatus] = {}
        """The status that people read, by its sentence: the first of each."""
        self.after_write: Callable[[str], None] = lambda _: None
        self.refused: tuple[type[Action], ...] = ()
        """Writes that the API server refuses."""
        self.settle_controllers()

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.cluster.now

    def settle_controllers(self, seconds: float = 10) -> None:
        """Let the controllers work for a while without an operator."""
        for _ in range(round(seconds / 0.5)):
            self.cluster.now += 0.5
            self.cluster.tick()

    # The operator.

    def refresh(self) -> None:
        """Bring the caches up to date, but for the kinds whose watch lags."""
        for kind in KINDS:
            if kind not in self.stale:
                setattr(self.seen, kind, copied(getattr(self.cluster, kind)))
        if "replica_sets" not in self.stale:
            self.seen.ready = {rs.name: rs.ready(self.now) for rs in self.cluster.replica_sets.values()}
            self.seen.available = {rs.name: rs.available(self.now) for rs in self.cluster.replica_sets.values()}

    def spec(self) -> ReleaseSpec:
        """Return the Release's spec."""
        routes = [{"name": name} for name in self.route_names]
        named = bool(routes) and not self.traffic_gone
        traffic = {"service": USER, "pinService": self.pin, "gatewayAPI": {"httpRoutes": routes}} if named else None
        named = {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}, "version": self.version}
        return ReleaseSpec.model_validate(named | {"images": self.images, "traffic": traffic, "flags": self.flags.spec})

    def _workload_view(self) -> WorkloadView | None:
        view = workload_view(self.seen, self.images, self.pods_say, self.version, self.status)
        if view is not None and Inquiry.PODS not in self.read:
            view = replace(view, endings=None)
        if view is None:
            return None
        template = replace(view.template, authors=self.authors, committed=self.committed)
        return replace(view, autoscaler=self.autoscaler(view), template=template)

    def snapshot(self) -> Snapshot:
        """Return what the operator sees."""
        seen, request = self.seen, self.request
        verb, _, name = (request or "").partition("/")
        spec = self.spec()
        traffic = traffic_in_force(spec, self.status, routed=spec.traffic is not None, is_about=self._is_about)
        release = ReleaseView(
            namespace="shop",
            name="checkout",
            uid="release",
            generation=1,
            spec=spec.model_copy(update={"traffic": traffic, "type": self.type}),
            labels=self.labels,
            traffic_later=traffic is not spec.traffic,
            deleting=None if self.deleting is None else at(self.deleting),
            finalizer=self.finalizer,
            created=None if self.created is None else at(self.created),
            request=Request(Verb(verb) if verb in {*Verb} else None, name, request) if request else None,
        )
        wanted = self.images.get("app") or (seen.deployment.template.image if seen.deployment else "")
        user = user_view(seen, self.cluster.services.get(USER) if Inquiry.ENDPOINTS in self.read else None, self.status, wanted)
        user = self._as_read(user) if user is not None else None
        shared = [SHARED] if user is not None and user.alone is False and traffic is not None else []
        shared += [BOUND] if user is not None and user.followed is False and traffic is not None else []
        return Snapshot(
            release=release,
            status=self.status,
            policy=PolicyView("RolloutPolicy/production", self.policy) if self.policy else None,
            workload=self._workload_view(),
            orphans=() if seen.deployment else tuple(n for n, rs in seen.replica_sets.items() if rs.owner is Owner.RELEASE),
            user_service=user if traffic is not None else None,
            former_service=user if traffic is None and self.status.pinned_service == USER else None,
            stable_service=own_view(STABLE, seen, self.status) if traffic is not None else None,
            canary_service=own_view(CANARY, seen, self.status) if traffic is not None else None,
            routes=tuple(self.route_view(name) for name in (self.route_names if traffic is not None else ())),
            readings=tuple(self.readings),
            keep_held=not self.cluster.admission,
            blockers=(*self.blockers, *([STRANGE] if user is not None and not user.selects else []), *shared),
            step_replicas_limit=self.step_replicas_limit,
            known_since=None if self.alive_since is None else at(self.alive_since),
            governance=self._governed(),
        )

    def _governed(self) -> GovernanceView:
        found = self.people.govern(self.governance, asked=Inquiry.RIGHTS in self.read)
        seen = self.jobs.seen | self.hooks.seen
        return replace(found, runs=seen, flags=self.flags.seen) if seen or self.flags.seen else found

    def route_view(self, name: str) -> RouteView:
        """Return what the operator sees of a route."""
        warms = self.cluster.warms and not self.never_warm
        return route_view(name, self.seen.routes.get(name), self.status.original_rules, self.cluster.delay, warms=warms)

    def backends_after(self, seen: Route, action: ShiftRoute) -> Backends:
        """Return the backends that a route has after a write of the operator."""
        noted = json.loads(action.originals[0].backend_refs) if action.originals else [[USER, 1]]
        return shifted(tuple((one, share) for one, share in noted), action.stage, action.weight, action.warm)

    def _as_read(self, user: ServiceView) -> ServiceView:
        selected, bound = Inquiry.SELECTED in self.read, Inquiry.BOUND in self.read
        user = replace(user, alone=not self.shared if selected else None)
        return replace(
            user,
            followed=not self.unfollowed if bound else None,
            past=tuple(RouteRef(KIND, name) for name in self.past) if bound else (),
        )

    def _is_about(self, rule: OriginalRule, service: str) -> bool:
        found = self.seen.routes.get(rule.route)
        return found is not None and bool({service, STABLE, CANARY} & dict(found.backends).keys())

    def operate(self, *, crash_after: int | None = None) -> Pass:
        """Make one pass: look, decide, shut what must be shut, write the status, then act in order, then tell.

        Args:
            crash_after: the operator dies after so many writes, or when all are done but nothing is told yet.
        """
        self.refresh()
        self.status = self.archive.settled(self.status)
        self.alive_since = self.now if self.alive_since is None else self.alive_since
        snapshot = self.snapshot()
        plan = decide(snapshot, at(self.now), self.handover)
        # Endpoints take until the next pass; what else was read brings the Release back at once.
        missing = plan.inquiries - self.read - {Inquiry.ENDPOINTS}
        if self.readable and missing:
            self.read |= missing
            snapshot = self.snapshot()
            plan = decide(snapshot, at(self.now), self.handover)
        self.last = made = Pass(snapshot, plan)
        self.words |= {waiting.wait: waiting.words for waiting in plan.waits[:1]}
        self.told.setdefault(plan.status.message, plan.status)
        lost = plan.status.rollout.lost if plan.status.rollout is not None else None
        found = {Inquiry.PODS} if lost is not None and lost.unexplained > 0 else set()
        asked = plan.inquiries & {Inquiry.ENDPOINTS}
        self.read = (self.read & (plan.inquiries | {Inquiry.PODS})) | (found | asked if self.readable else set())
        if self.gone:
            return made
        if crash_after is None:
            self.readings = []
        try:
            self._carry_out(made, crash_after)
        except CrashError:
            self.die()
            made.complete = False
            return made
        self.notices += plan.notices
        self.archive.write(self.status)
        self.jobs.look(plan.runs, at(self.now))
        self.hooks.call(plan.calls, self.now)
        self.flags.settle(plan.flags)
        return made

    def die(self) -> None:
        """The operator dies, and all that it has in memory with it; the next pass is another's."""
        self.readings, self.alive_since, self.read, self.archive.known = [], None, set(), set()
        self.jobs.seen, self.hooks.seen, self.flags.seen = {}, {}, {}
        self.status = self.put_off.found(self.status)

    def _carry_out(self, made: Pass, crash_after: int | None) -> None:
        plan, failed = made.plan, False
        differs = plan.status != self.status and plan.status.to_wire() != self.status.to_wire()
        status = [plan.status] if differs else []
        writes: list[ReleaseStatus | Action | Settled] = [*plan.away, *status, *plan.actions, *plan.outcomes]
        for index, action in enumerate(writes):
            if crash_after == index:
                raise CrashError
            if isinstance(action, ReleaseStatus):
                self._store(action)
                made.writes.append("status")
            elif isinstance(action, Settled):
                self.people.hear(action, self.cluster.next_id())
                made.writes.append(repr(action))
            elif not failed or isinstance(action, ShiftRoute):
                try:
                    self.perform(action)
                    made.writes.append(repr(action))
                except ConflictError:
                    failed, made.complete = True, False
            if made.writes:
                self.after_write(made.writes[-1])
        if crash_after is not None:
            raise CrashError

    def _store(self, status: ReleaseStatus) -> None:
        self.put_off.decided(self.status, status, self.now)
        self.status = ReleaseStatus.model_validate(json.loads(json.dumps(status.to_wire())))
        if self.status.weight != self.weights[-1]:
            self.weights.append(self.status.weight)

    def perform(self, action: Action) -> None:
        """Make one write of the operator.

        Raises:
            ConflictError: the object is not as it was seen.
        """
        if isinstance(action, self.refused):
            raise ConflictError
        match action:
            case SetFinalizer(present):
                self.finalizer = present
                self.gone = not present
            case actions.LabelWorkload() | actions.Hold() | actions.SetImages() | ScaleWorkload():
                self._write_deployment(action)
            case actions.OfDeployment():
                self._write_replica_set(action)
            case EnsureService(role, revision):
                # What the user's Service selects, as it was seen.
                service = self.cluster.services.setdefault(ROLE_NAMES[role], Service())
                service.revision = revision
                service.app, service.target, service.version = followed(self.seen, self.status, ROLE_NAMES[role], revision)
                self._show("services", ROLE_NAMES[role])
            case DeleteService(role):
                self.cluster.services.pop(ROLE_NAMES[role], None)
                self._show("services", ROLE_NAMES[role])
            case PinService(revision):
                pinned = self.cluster.services.get(USER)
                if pinned is None or pinned.app != self.seen.services[USER].app:
                    raise ConflictError
                pinned.revision = revision
                self._show("services", USER)
            case ShiftRoute(RouteRef(name=name)):
                route, seen = self.cluster.routes.get(name), self.seen.routes.get(name)
                if route is None or seen is None or route.generation != seen.generation:
                    raise ConflictError
                route.put(self.backends_after(seen, action), self.now)
                self._show("routes", name)
            case _:
                raise TypeError(action)

    def _show(self, kind: str, name: str) -> None:
        """The caches show the operator's own writes at once."""
        real, cache = getattr(self.cluster, kind), getattr(self.seen, kind)
        if name in real:
            cache[name] = copied(real[name])
        else:
            cache.pop(name, None)

    def _write_deployment(self, action: actions.LabelWorkload | actions.Hold | actions.SetImages | ScaleWorkload) -> None:
        deployment, seen = self.cluster.deployment, self.seen.deployment
        if deployment is None or seen is None:
            raise ConflictError
        unchanged = deployment.generation == seen.generation
        match action:
            case actions.LabelWorkload(present, note):
                deployment.labelled, deployment.note = present, note
            case actions.Hold(paused):
                if not paused and not unchanged:
                    raise ConflictError
                self.cluster.set_paused(paused)
            case ScaleWorkload(replicas):
                if deployment.replicas != seen.replicas:
                    raise ConflictError
                self.cluster.scale(replicas)
            case actions.SetImages():
                if not unchanged or not deployment.paused:
                    raise ConflictError
                self.cluster.change_template(replace(deployment.template, image=self.images["app"]))
        self.seen.deployment = copied(deployment)

    def _write_replica_set(self, action: actions.OfDeployment) -> None:
        if isinstance(action, actions.CreateCanary):
            name = self._create_canary(action)
        else:
            name = action.replica_set
            rs = self.cluster.replica_sets.get(name)
            if rs is None:
                self.seen.replica_sets.pop(name, None)
                raise ConflictError
            match action:
                case actions.Detach():
                    self._take_over(rs)
                case actions.Adopt():
                    self._adopt(rs)
                case actions.Scale(_, replicas):
                    rs.wanted = replicas
                    deployment = self.seen.deployment
                    if rs.owner is Owner.DEPLOYMENT and deployment is not None and replicas == deployment.replicas > 0:
                        rs.desired, rs.most = replicas, replicas + deployment.surge
                case actions.DeleteReplicaSet():
                    if rs.owner is not Owner.RELEASE:
                        raise ConflictError
                    self.cluster.delete_replica_set(name)
        self._show("replica_sets", name)
        if name in self.cluster.replica_sets:
            self.seen.ready[name] = self.cluster.replica_sets[name].ready(self.now)
            self.seen.available[name] = self.cluster.replica_sets[name].available(self.now)

    def _create_canary(self, action: actions.CreateCanary) -> str:
        seen, name = self.seen.deployment, f"checkout-{action.revision}"
        if seen is None or name in self.cluster.replica_sets:
            raise ConflictError
        template = replace(seen.template, image=self.images["app"]) if "app" in self.images else seen.template
        assert template.own_hash == action.revision
        number, least = self.cluster.next_id(), seen.min_ready
        rs = ReplicaSet(name, template, action.revision, Owner.RELEASE, action.replicas, number, min_ready=least)
        self.cluster.replica_sets[name] = rs
        return name

    def _take_over(self, rs: ReplicaSet) -> None:
        deployment = self.cluster.deployment
        if deployment is None or not deployment.paused or rs.owner is not Owner.DEPLOYMENT:
            raise ConflictError
        rs.owner = Owner.RELEASE

    def _adopt(self, rs: ReplicaSet) -> None:
        deployment = self.cluster.deployment
        if deployment is None or not deployment.paused or rs.owner is not Owner.RELEASE or rs.template != deployment.template:
            raise ConflictError
        if not rs.wanted == rs.available(self.now) == deployment.replicas:
            raise ConflictError
        rs.owner, rs.desired, rs.most = Owner.NOBODY, deployment.replicas, deployment.replicas + deployment.surge

    # Time.

    def look(self, gate: str, value: float | None = 0.0, *, trouble: str = "", stable: float = 0.0, requests: float = 1000) -> None:
        """A look of a gate comes in; its value is the share of errors, of so many requests since the look before."""
        if self.status.candidate is None:
            return
        known = value is not None and not trouble
        others = 0.0 if self.status.weight == 100 else 9 * requests
        since = max(at(self.now - 2), self.counted.get(gate, at(0)))
        if known:
            self.counted[gate] = at(self.now)
        counts = Counts(since, Tally(requests, requests * (value or 0.0)), Tally(others, others * stable))
        self.readings.append(
            Reading(
                gate=gate,
                revision=self.status.candidate.revision,
                at=at(self.now),
                canary=None if trouble else value,
                stable=stable,
                canary_samples=None if value is None else requests,
                stable_samples=1000,
                trouble=trouble,
                counts=counts if known else None,
            )
        )

    def crank(self, seconds: float, *, until: Callable[[], bool] = lambda: False, every: float = 0.5) -> bool:
        """Let time go by: controllers work, due looks are taken, the operator makes its passes.

        Returns:
            Whether the condition came true.
        """
        end = self.now + seconds
        while self.now < end - 1e-9:
            if until():
                return True
            self.cluster.now = round(self.now + every, 3)
            self.cluster.tick()
            for due in self.last.plan.looks if self.last else ():
                if at(self.now) >= due.at:
                    self.look(due.gate, self.quality.get(due.gate, 0.0), trouble=self.prometheus_trouble)
            self.operate()
        return until()

    # People and GitOps tools.

    def apply(self, image: str, restarted: str = "") -> None:
        """Write the Deployment's template, by kubectl apply or a GitOps tool."""
        self.cluster.change_template(Template(image, restarted))

    def undo(self) -> None:
        """`kubectl rollout undo`: the template of the revision before, which a paused Deployment refuses."""
        deployment = self.cluster.deployment
        if deployment is None or deployment.paused:
            return
        numbered = sorted((rs for rs in self.cluster.owned(Owner.DEPLOYMENT) if rs.number), key=lambda rs: -rs.number)
        before = next((rs for rs in numbered if rs.template != deployment.template), None)
        if before is not None:
            self.cluster.change_template(before.template)

    def crash(self, image: str, *, pods: int = 100, back: float = 1.0) -> None:
        """Containers of an image end in so many of its pods, and are started again."""
        for rs in self.cluster.replica_sets.values():
            running = [pod for pod in rs.pods if rs.template.image == image and pod.ready(self.now)]
            for pod in running[:pods]:
                pod.ready_at = self.now + back
                # Nodes tell times in whole seconds.
                words, ended = f"pod {pod.id}: container app ended, last exit code 1 (Error)", float(int(self.now))
                self.pods_say = replace(self.pods_say, ending=words, ended=ended, pods=len(running[:pods]))

    def evict(self, image: str, *, back: float = 1.0) -> None:
        """All pods of an image are deleted, and others are made in their place."""
        for rs in self.cluster.replica_sets.values():
            for pod in rs.pods if rs.template.image == image else ():
                pod.ready_at = self.now + back
                self.pods_say = Said(youngest=float(int(self.now)))

    def resume(self) -> None:
        """`kubectl rollout resume`."""
        self.cluster.set_paused(False)

    def resync(self, route: str = "web") -> None:
        """A GitOps tool applies the user's route again."""
        self.cluster.routes[route].put(self.cluster.routes[route].written, self.now)

    def ask(self, request: str) -> None:
        """Annotate the Release."""
        self.request = request

    def delete(self) -> None:
        """`kubectl delete release`."""
        if self.deleting is None:
            self.deleting = self.now
            self.gone = not self.finalizer
