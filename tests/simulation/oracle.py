"""What must hold at every instant, whatever people, controllers, routers, Prometheus and the operator's death do.

The oracle keeps its own account of what was rejected and granted, and compares it with what the engine decides.
"""

from __future__ import annotations

import math

from simulation import governors
from simulation.cluster import APP, CANARY, STABLE, USER, ReplicaSet, Service
from simulation.put_off import quiet_looks_decide_nothing
from simulation.views import at, stage_of, weight_of
from simulation.world import Pass, World
from tidegate.api.gate import BreachAction
from tidegate.api.names import Cause, Condition, Phase, Verdict
from tidegate.api.status import Outcome, ReleaseStatus, RevisionStatus
from tidegate.engine.decide import decide
from tidegate.engine.handover.deployment.actions import Adopt, Scale
from tidegate.engine.handover.deployment.view import Owner, ReplicaSetView
from tidegate.engine.plan import PinService, Plan, ShiftRoute
from tidegate.engine.snapshot import Arm, RouteStage, Snapshot, Warm, WorkloadView

REJECTING = {Cause.GATE, Cause.NO_DATA, Cause.REQUEST, Cause.PODS_LOST, Cause.REJECTED}
"""Causes for which a version stays out. What had no pods in time stays out for as long as it is wanted, or until a retry."""
PATIENCE = 10.0
"""Seconds after which a new operator goes on although the pods could not be read."""


class Oracle:
    """Watches every pass and every write of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rejected: set[str] = set()
        """Images that may not get traffic."""
        self.granted: tuple[str, int] = ("", 0)
        """The candidate and the greatest weight that its gates have earned it."""
        self.judged: set[int] = set()
        """Pods that were adopted and must not be stopped."""
        self.bypassed = False
        """A person has let the Deployment go: what it does then is not the engine's doing."""
        self.raced = False
        """A template has changed between an adoption and the controller's next step, which may then stop either version."""
        self.crashes: dict[str, int] = {}
        """How often a version was seen to have lost all its pods while it had traffic, since a person last had it tried."""
        self.unnoted: tuple[str, float] | None = None
        """The version whose containers' end has shut a route without coming to stand in the status, and when they ended."""
        self.untold: set[str] = set()
        """Gates whose breach has shut a route without coming to stand in the status."""
        world.after_write = self.write

    # Passes.

    def passed(self, made: Pass) -> None:
        """Check a pass."""
        before, after = made.snapshot.status, made.plan.status
        assert decide(made.snapshot, at(self.world.now), self.world.handover) == made.plan, "the same snapshot gave another plan"
        stored = "status" in made.writes or after == before
        if stored:
            self._account_for_rejections(made.snapshot, before, after)
        self.world.archive.passed(before, after, stored=stored)
        governors.check(made, at(self.world.now), self.world.handover)
        self._no_weight_for_the_rejected(after)
        self._crashed_twice_is_out(made, stored=stored)
        self._loss_is_found_again(made, stored=stored)
        self._weight_is_earned(before, after, stored=stored)
        self._weight_is_explained(before, made.plan)
        self._breach_is_answered(made)
        self._shut_stays_shut(made, stored=stored)
        self._others_keep_their_share(made)
        self._warm_is_next_to_nothing(made)
        self._ready_means_done(made)
        self._people_are_called(made)
        self._what_passes_decides_nothing(made.plan)
        quiet_looks_decide_nothing(made, self.world)
        self._nothing_ends_with_pods_missing(made)
        if stored:
            self._judged_pods_live_on(before, after)
        if made.complete and not self.world.stale:
            self._weight_is_on_ready_pods()
            self._pods_carry_the_weight()
            self._no_weight_is_next_to_nothing()
            self._warm_pods_help_out()
            self._nobody_can_lead_to_what_is_shut_out(made)
            self.raced = bool(self.world.cluster.owned(Owner.NOBODY)) and self.raced

    def _account_for_rejections(self, snapshot: Snapshot, before: ReleaseStatus, after: ReleaseStatus) -> None:
        undo_before = before.rollout.undo if before.rollout else None
        undo = after.rollout.undo if after.rollout else None
        ended = after.last_rollout if after.last_rollout != before.last_rollout else None
        cause = undo if undo != undo_before else ended.cause if ended and undo_before is None else None
        version = after.candidate.version if undo and after.candidate else ended.version if ended else ""
        # Without a ReplicaSet that carries the template, there is nothing by which a restart of it could be known.
        if cause is Cause.DEADLINE:
            assert version in {entry.version for entry in after.rejected}, "what had no pods in time would be tried again at once"
        if cause in REJECTING and any(rs.template.image == version for rs in self.world.cluster.replica_sets.values()):
            self.rejected.add(version)
        if governors.retried(snapshot, after) or self.bypassed:
            self.rejected = {entry.version for entry in after.rejected}
        assert self.rejected <= {entry.version for entry in after.rejected}, "a rejection was forgotten"

    def _no_weight_for_the_rejected(self, after: ReleaseStatus) -> None:
        if after.weight > 0:
            assert after.candidate is not None
            assert after.candidate.version not in self.rejected, "a rejected version got traffic"

    def _crashed_twice_is_out(self, made: Pass, *, stored: bool) -> None:
        """A version whose pods have all gone twice while it had traffic, and stable's had not, gets none again by itself."""
        before, after = made.snapshot.status, made.plan.status
        view, candidate = made.snapshot.workload, before.candidate
        if governors.retried(made.snapshot, after):
            self.crashes = {}
        if after.weight > 0 and after.candidate is not None and not self.bypassed:
            assert self.crashes.get(after.candidate.version, 0) < 2, "it has lost its pods twice, and has traffic again"
        on = before.rollout is not None and before.rollout.undo is None and candidate is not None
        if not on or before.weight == 0 or view is None or after.rollout is None or view.replicas == 0:
            return
        new, old = view.arm(candidate.revision), view.arm(before.stable.revision) if before.stable else None
        warm = old is not None and 2 * old.available >= min(old.wanted, view.replicas)
        adopted = new is not None and self.is_the_workloads(new, view)
        if adopted or (new is not None and new.available > 0) or not warm or after.weight > 0:
            return
        if stored and after.rollout.undo is None:
            self.crashes[candidate.version] = self.crashes.get(candidate.version, 0) + 1
        if stored:
            self.unnoted = None
        elif after.rollout.undo in {None, Cause.PODS_LOST} and any("ShiftRoute" in write for write in made.writes):
            self._note_unstored(before, candidate)

    def _note_unstored(self, before: ReleaseStatus, candidate: RevisionStatus) -> None:
        """A route was shut for a loss that was not stored: what the pods say of their containers' end tells it again."""
        said, exposed = self.world.pods_say, before.rollout.exposed_at if before.rollout else None
        known = said.ended is not None and exposed is not None and at(said.ended) >= exposed.replace(microsecond=0)
        if known and said.pods >= (before.step.pods if before.step else 1):
            self.unnoted = (candidate.version, said.ended)

    def _loss_is_found_again(self, made: Pass, *, stored: bool) -> None:
        """What was shut for lost pods stays so until the pods were read, although that was not stored; then it counts."""
        before, after, view = made.snapshot.status, made.plan.status, made.snapshot.workload
        if self.unnoted is None or not stored or view is None:
            return
        version, ended = self.unnoted
        on = after.candidate is not None and after.candidate.version == version and before.rollout is not None
        lost = before.rollout.lost if before.rollout else None
        # Nodes tell times in whole seconds: what ended in the second of the loss before cannot be told from that.
        past = self.world.pods_say.ended != ended or (lost is not None and at(ended) <= lost.at)
        if past or not on or after.rollout is None or before.weight == 0 or view.replicas == 0:
            self.unnoted = None
            return
        weights = {route.ref: route.weight for route in made.snapshot.routes}
        shifts = [action for action in made.plan.actions if isinstance(action, ShiftRoute)]
        raised = any(shift.weight > weights[shift.route] for shift in shifts if shift.stage is RouteStage.SPLIT)
        waited = self.world.alive_since is not None and self.world.now >= self.world.alive_since + PATIENCE
        assert not raised or waited or view.endings is not None, "raised before the pods of a version that was shut out were read"
        if raised or view.endings is not None:
            self.unnoted = None
        if view.endings is not None and after.rollout.undo is None:
            old = view.arm(before.stable.revision) if before.stable else None
            if old is not None and 2 * old.available >= min(old.wanted, view.replicas):
                self.crashes[version] = self.crashes.get(version, 0) + 1
                assert after.rollout.lost is not None, "a loss that was not noted is not found again"
                assert after.rollout.lost.at == at(self.world.now), "a loss that was not noted is not found again"

    def _nothing_ends_with_pods_missing(self, made: Pass) -> None:
        """No step and no bake ends while fewer pods are available than its share of the Deployment's."""
        before, after, view = made.snapshot.status, made.plan.status, made.snapshot.workload
        if before.step is None or before.step.since is None or before.candidate is None or view is None or view.replicas == 0:
            return
        goes_on = after.step is not None and after.step.index > before.step.index
        promoted = after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING
        if after.rollout is None or after.rollout.undo is not None or not (goes_on or promoted):
            return
        new, least = view.arm(before.candidate.revision), max(1, math.ceil(view.replicas * before.step.weight / 100))
        assert new is not None
        assert new.available >= least, f"a step of {before.step.weight}% ends with {new.available} of {least} pods"

    def _pods_carry_the_weight(self) -> None:
        """While stable is warm, each pod that is left has at most the share that was given to each, or as much as one of stable's.

        What was given is taken from the operator's account, what is there from the cluster: so this holds after a whole pass only.
        """
        cluster, status, deployment = self.world.cluster, self.world.status, self.world.cluster.deployment
        new, old = self._of(status.candidate), self._of(status.stable)
        if deployment is None or status.weight == 0 or status.step is None or new is None or old is None:
            return
        if new.owner is not Owner.RELEASE or old.available(cluster.now) < deployment.replicas:
            return
        have, meant = new.available(cluster.now), max(1, min(status.step.pods, new.wanted))
        fair = 100 * have // (have + deployment.replicas)
        assert status.weight <= max(status.step.given * have // meant, fair), "more weight than the pods that are left can carry"

    def _of(self, version: RevisionStatus | None) -> ReplicaSet | None:
        sets = self.world.cluster.replica_sets.values()
        return next((rs for rs in sets if version is not None and rs.revision == version.revision), None)

    def _weight_is_earned(self, before: ReleaseStatus, after: ReleaseStatus, *, stored: bool) -> None:
        revision = after.candidate.revision if after.candidate else ""
        if self.granted[0] != revision or (
            after.rollout and before.rollout and after.rollout.started_at != before.rollout.started_at
        ):
            self.granted = (revision, 0)
        if after.step is None:
            self.granted = (revision, 0)
        if after.weight <= before.weight and after.weight <= self.granted[1]:
            return
        rollout, step = after.rollout, after.step
        assert rollout is not None
        assert step is not None
        assert rollout.undo is None, "weight rose while the rollout is undone"
        assert rollout.paused is None, "weight rose while the rollout is paused"
        assert after.weight <= step.weight, "weight above that of the step"
        if after.weight > self.granted[1] and before.weight > 0 and not rollout.skip_to_end:
            verdicts = {state.name: state for state in after.gates}
            for gate in rollout.spec.gates:
                if gate.on_breach is not BreachAction.WARN:
                    assert verdicts[gate.name].verdict is Verdict.PASS, f"weight rose without gate {gate.name}"
                    since = before.step.since if before.step else None
                    assert since is None or verdicts[gate.name].at >= since, "the look was at another weight"
        if stored:
            self.granted = (revision, max(after.weight, self.granted[1]))

    def _weight_is_explained(self, before: ReleaseStatus, plan: Plan) -> None:
        if before.weight != plan.status.weight:
            assert plan.notices, "a weight changed without an Event"

    def _breach_is_answered(self, made: Pass) -> None:
        before, after = made.snapshot.status, made.plan.status
        rollout, bad = before.rollout, set()
        if rollout is None or before.weight == 0 or rollout.undo is not None or before.candidate is None:
            return
        view = made.snapshot.workload
        canary = view.arm(before.candidate.revision) if view is not None else None
        if before.phase is Phase.PROMOTING and canary is not None and self.is_the_workloads(canary, view):
            return
        looked = {state.name: state.at for state in before.gates}
        for reading in made.snapshot.readings:
            fresh = reading.gate not in looked or reading.at > looked[reading.gate]
            if fresh and reading.canary is not None and reading.canary > 0.01 and reading.revision == before.candidate.revision:
                bad.add(reading.gate)
        if bad & {gate.name for gate in rollout.spec.gates if gate.on_breach is BreachAction.ROLLBACK}:
            assert after.weight == 0, "a breach kept its weight"
            carrying = [r.ref for r in made.snapshot.routes if r.weight > 0 and r.stage is RouteStage.SPLIT]
            assert set(carrying) <= {shift.route for shift in made.plan.away if shift.weight == 0}, "not the route first"

    def _shut_stays_shut(self, made: Pass, *, stored: bool) -> None:
        """What was shut for a breach stays so until the gate is looked at again, although that was not stored."""
        before, after = made.snapshot.status, made.plan.status
        self.untold -= {reading.gate for reading in made.snapshot.readings}
        if before.weight == 0 or after.weight == 0:
            self.untold.clear()
        weights = {route.ref: route.weight for route in made.snapshot.routes}
        shifts = [action for action in made.plan.actions if isinstance(action, ShiftRoute)]
        raised = [shift for shift in shifts if shift.stage is RouteStage.SPLIT and shift.weight > weights[shift.route]]
        assert not raised or not self.untold, f"raised though {self.untold} had shut it"
        breached = after.rollout is not None and after.rollout.undo is Cause.GATE and before.rollout and before.rollout.undo is None
        if breached and not stored and any("ShiftRoute" in write for write in made.writes):
            acting = {gate.name for gate in after.rollout.spec.gates if gate.on_breach is BreachAction.ROLLBACK}
            bad = {reading.gate for reading in made.snapshot.readings if reading.canary is not None and reading.canary > 0.01}
            self.untold |= bad & acting

    def _others_keep_their_share(self, made: Pass) -> None:
        """Where the Service is known to select other workloads' pods, no pin and no split begins, and no weight rises."""
        service, before = made.snapshot.user_service, made.snapshot.status
        if service is None or (service.alone is True and service.followed is True):
            return
        stages = {route.ref: route.stage for route in made.snapshot.routes}
        for action in made.plan.actions:
            if isinstance(action, PinService) and action.revision is not None:
                assert service.revision is not None or service.alone, "pinned, although other workloads' pods may be selected"
            if isinstance(action, ShiftRoute) and action.stage is RouteStage.SPLIT and False in {service.alone, service.followed}:
                begun = before.step is not None or (before.rollout is not None and before.rollout.undo is not None)
                assert begun or stages[action.route] is RouteStage.SPLIT, "split, although others would lose by it"
        if False in {service.alone, service.followed}:
            assert made.plan.status.weight <= before.weight, "weight rose at the cost of others"

    def _warm_is_next_to_nothing(self, made: Pass) -> None:
        """A version is kept warm only on its way up, with pods that are ready, and once that stands in the status."""
        after, view = made.plan.status, made.snapshot.workload
        for shift in (one for one in (*made.plan.away, *made.plan.actions) if isinstance(one, ShiftRoute)):
            if shift.warm is None:
                continue
            assert self.world.cluster.warms, "warm, although its data plane needs nothing of that"
            if shift.warm is not Warm.CANARY or shift.stage is not RouteStage.SPLIT:
                continue
            assert (after.rollout, after.candidate, view) != (None, None, None), "warm without a rollout"
            assert after.rollout.undo is None, "a version that was undone is kept warm"
            assert after.rollout.warmed_at is not None, "it has requests of which nothing stands in the status"
            assert after.rollout.paused is None, "paused, and yet it gets requests"
            assert after.candidate.version not in self.rejected, "a rejected version is kept warm"
            rs = view.arm(after.candidate.revision)
            assert rs is not None, "warm without pods"
            assert rs.available > 0, "warm without a ready pod"

    def _no_weight_is_next_to_nothing(self) -> None:
        """Before its first weight, and after its last, a version has one request in ten thousand at the most."""
        status = self.world.status
        if status.weight > 0 or status.phase is Phase.PROMOTING or status.rollout is None:
            return
        for route in self.world.cluster.routes.values():
            if stage_of(route.backends) is RouteStage.SPLIT:
                most = 0 if status.rollout.undo is not None else 0.01
                assert weight_of(route.backends) <= most + 1e-9, "more than next to nothing, without a weight in the status"

    def _ready_means_done(self, made: Pass) -> None:
        ready = {c.type: c.status == "True" for c in made.plan.status.conditions}
        assert sum(ready[kind] for kind in (Condition.READY, Condition.RECONCILING, Condition.STALLED)) == 1
        if ready[Condition.READY]:
            assert not made.plan.away
            assert not made.plan.actions
            assert made.plan.status.phase is Phase.IDLE
            assert not made.plan.looks
            assert made.plan.due in governors.due_at_rest(made)
        assert len(made.plan.status.message) <= 1024

    @staticmethod
    def _what_passes_decides_nothing(plan: Plan) -> None:
        """A status that may be stored later, or never, is none that anything rests on."""
        rests = bool(plan.away or plan.actions or plan.notices)
        assert not (plan.passing and rests), "something rests on a status that may never be stored"

    def _people_are_called(self, made: Pass) -> None:
        """Where nobody but a person can end what is told to be waited for, the Release is Stalled, unless it is being deleted."""
        told = made.plan.waits[0].wait if made.plan.waits else None
        if told is not None and told.terms.person and made.snapshot.release.deleting is None:
            stalled = any(c.type == Condition.STALLED and c.status == "True" for c in made.plan.status.conditions)
            assert stalled, f"nobody but a person can end {told.name}, and nobody is called: {made.plan.status.message}"

    def _judged_pods_live_on(self, before: ReleaseStatus, after: ReleaseStatus) -> None:
        last = after.last_rollout
        if last == before.last_rollout or last is None:
            return
        if last.outcome is Outcome.PROMOTED and not self.bypassed:
            assert before.candidate is not None
            assert after.stable is not None
            assert after.stable.revision == last.revision, "another ReplicaSet than the one that was judged is stable"
            assert not self.judged & self.world.cluster.stopped, "a pod was stopped by its promotion"
        self.judged = set()

    def _weight_is_on_ready_pods(self) -> None:
        cluster = self.world.cluster
        serving = [rs for rs in cluster.replica_sets.values() if rs.wanted > 0 and rs.ready(cluster.now)]
        if not serving or cluster.owned(Owner.NOBODY):
            return  # Nothing serves that is to stay, or the controller is about to choose.
        for route in cluster.routes.values():
            if weight_of(route.backends) > 0 and cluster.deployment is not None:
                rs = self._behind(CANARY)
                assert rs is not None, "weight on nothing"
                assert rs.ready(cluster.now) > 0, "weight on a version without ready pods for a whole pass"
                target = cluster.services[CANARY].target
                assert any(pod.port == target for pod in rs.pods), "weight on pods that lack the port"
            if 0 < 100 - weight_of(route.backends) and stage_of(route.backends) is RouteStage.SPLIT and USER in cluster.services:
                old, stable = self._behind(STABLE), cluster.services[STABLE]
                assert old is None or stable.version in ("", old.template.image), "stable's Service selects another version"

    def _nobody_can_lead_to_what_is_shut_out(self, made: Pass) -> None:
        """While a version is undone whose route somebody writes over, or may, the user's Service finds none of its pods."""
        status, user = made.plan.status, made.snapshot.user_service
        new, old, services = self._of(status.candidate), self._of(status.stable), self.world.cluster.services
        if status.rollout is None or status.rollout.undo is None or self.world.deleting is not None or USER not in services:
            return
        corrected = status.rollout.written_over or any("was written over" in notice.message for notice in made.plan.notices)
        corrected = corrected or any(route.applied for route in made.snapshot.routes)
        if not corrected or user is None or not user.selects or not user.alone or new is None or old is None or not new.pods:
            return
        if old.ready(self.world.now) and old.revision not in user.misses:
            assert services[USER].revision == old.revision, "a tool that writes the route back leads to a version that is shut out"

    def _warm_pods_help_out(self) -> None:
        """As long as more of stable's pods are there, a version that a scaling has taken pods from has not all of the traffic."""
        cluster, deployment, status = self.world.cluster, self.world.cluster.deployment, self.world.status
        new, old = self._behind(CANARY), self._behind(STABLE)
        if deployment is None or not deployment.paused or status.weight < 100 or new is None or old is None:
            return
        acted = new.owner is Owner.DEPLOYMENT and new.desired == deployment.replicas
        if acted and not self.bypassed and old.wanted >= deployment.replicas > new.wanted:
            assert new.wanted >= old.ready(cluster.now), "few pods have all of the traffic, while many have none"

    # Writes.

    def write(self, what: str) -> None:
        """Check the world after a write of the operator."""
        cluster, deployment = self.world.cluster, self.world.cluster.deployment
        self._service_has_endpoints()
        self._services_are_of_the_deployment(what)
        rejected = self.rejected & {entry.version for entry in self.world.status.rejected}
        if what.startswith("Hold(paused=False") and deployment is not None:
            serves = self.world.status.stable
            assert deployment.template.image not in rejected or (serves and serves.version == deployment.template.image)
        if self.stops(what):
            self._without_traffic()
        if (name := self.changes_hands(what)) is not None:
            assert deployment is not None
            rs = cluster.replica_sets[name]
            assert rs.ready(cluster.now) == deployment.replicas
            assert rs.template.image not in rejected
            self.judged = {pod.id for pod in rs.pods}
            routed = self.world.last is not None and self.world.last.snapshot.release.spec.traffic is not None
            for route in cluster.routes.values() if routed else ():
                assert weight_of(route.in_force) == 100, "adopted before it had all traffic"

    def is_the_workloads(self, arm: Arm, view: WorkloadView) -> bool:
        """Whether a version belongs to the workload, so that what becomes of it is not the operator's doing alone."""
        return isinstance(arm, ReplicaSetView) and arm.owner is not Owner.RELEASE

    def changes_hands(self, what: str) -> str | None:
        """Return the name of the ReplicaSet that a write hands to the workload; None where it hands none."""
        return next((name for name in self.world.cluster.replica_sets if what == repr(Adopt(name))), None)

    def stops(self, what: str) -> bool:
        """Whether a write stops the pods of the new version, as long as they are the operator's."""
        rs = self._behind(CANARY)
        return rs is not None and rs.owner is Owner.RELEASE and rs.wanted == 0 and what == repr(Scale(rs.name, 0))

    def _service_has_endpoints(self) -> None:
        world, services = self.world, self.world.cluster.services
        if world.last is None or world.stale or world.deleting is not None or USER not in services:
            return
        for route in world.last.snapshot.routes:
            after = world.cluster.routes.get(route.name)
            if after is not None and route.stage is RouteStage.SPLIT and stage_of(after.backends) is not RouteStage.SPLIT:
                own = services.get(CANARY if route.weight == 100 else STABLE, Service())
                lacking = own.addresses - services[USER].addresses
                assert not lacking, f"the route goes back to a Service that lacks endpoints: {lacking}"

    def _services_are_of_the_deployment(self, what: str) -> None:
        """Nothing is written that would lead a Service to the pods of another workload, or to none."""
        world, cluster = self.world, self.world.cluster
        assert all(cluster.services[name].app == APP for name in (STABLE, CANARY) if name in cluster.services)
        if what.startswith("PinService(revision='") and not world.stale:
            user, deployment = cluster.services[USER], cluster.deployment
            assert user.app == APP, "another workload's Service is pinned"
            found = [rs for rs in cluster.replica_sets.values() if rs.revision == user.revision and rs.ready(world.now)]
            assert found or (deployment is not None and deployment.replicas == 0), "pinned to pods that are not there"
        if what.startswith("ShiftRoute") and world.last is not None and not world.stale and cluster.services.get(USER):
            strange = cluster.services[USER].app != APP
            for seen in (one for one in world.last.snapshot.routes if strange and one.name in cluster.routes):
                backends = cluster.routes[seen.name].backends
                away = weight_of(backends) <= seen.weight and stage_of(backends) <= seen.stage
                assert away, "more traffic by a Service of another workload"

    def _without_traffic(self) -> None:
        for route in self.world.cluster.routes.values():
            if self.world.deleting is None:
                assert weight_of(route.in_force) == 0, "pods are stopped that a router still sends requests to"

    def instant(self) -> None:
        """Check the data plane at any instant."""
        cluster = self.world.cluster
        deployment, status = cluster.deployment, self.world.status
        if self.bypassed or self.raced or deployment is None:
            return
        if deployment.replicas == 0 or deployment.observed != deployment.generation:
            return
        for route in cluster.routes.values():
            if self.world.deleting is not None and route.accepted != route.generation:
                continue  # After a minute the hand-back no longer waits for a router that says nothing.
            shares = dict(route.in_force)
            assert sum(shares.values()) > 0, "both at 0"
            if shares.get(STABLE, 0) > 0 and stage_of(route.in_force) is RouteStage.SPLIT:
                rs, new = self._behind(STABLE), self._behind(CANARY)
                assert rs is not None, "the stable Service selects nothing"
                if status.rollout is not None and status.rollout.undo and new is not None and new.owner is Owner.DEPLOYMENT:
                    continue  # An operator that dies before it has taken the new pods back leaves the choice to the controller.
                assert rs.wanted > 0, "stable has traffic and is stopped"

    def _behind(self, service: str) -> ReplicaSet | None:
        found = self.world.cluster.services.get(service)
        if found is None:
            return None
        return next((rs for rs in self.world.cluster.replica_sets.values() if rs.revision == found.revision), None)

    # Rest.

    def at_rest(self) -> None:
        """Check a world in which nothing is to be done."""
        world, status = self.world, self.world.status
        world.archive.check(gone=world.gone)
        if status.phase not in {Phase.IDLE, Phase.ROLLED_BACK} and not world.gone:
            return
        for route in world.cluster.routes.values():
            assert route.backends == route.written, "the route is not as the user wrote it"
        assert world.gone or status.original_rules == ()
        deployment = world.cluster.deployment
        if deployment is None or status.stable is None or self.bypassed:
            return
        if world.gone:
            world.settle_controllers(30)
            serving = sum(rs.ready(world.now) for rs in world.cluster.replica_sets.values())
            assert serving == deployment.replicas, "what was handed back does not serve"
            return
        rs = next(rs for rs in world.cluster.replica_sets.values() if rs.revision == status.stable.revision)
        assert rs.wanted == deployment.replicas, "stable has not the Deployment's size"
        others = [one for one in world.cluster.replica_sets.values() if one is not rs]
        assert not any(one.wanted for one in others), "pods of another version are left"
