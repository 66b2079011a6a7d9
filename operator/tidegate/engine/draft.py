"""The decision in the making: a snapshot, a time, and the status and Events as they stand so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Unpack

from tidegate.api.base import clip
from tidegate.api.edits import ReleaseEdit, RolloutEdit, StepEdit, edited
from tidegate.api.names import Cause, Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.recorded import MOST_COURSE, RecordedWeight
from tidegate.api.status import ReleaseStatus, RevisionStatus, RolloutStatus, StepStatus
from tidegate.engine.handover.protocol import Handover
from tidegate.engine.plan import Notice, Unjudged, notice_of
from tidegate.engine.snapshot import Arm, RouteStage, RouteView, Snapshot, Warm, WorkloadView
from tidegate.engine.transitions import Transition
from tidegate.engine.waits import Inquiry, Wait, Waiting
from tidegate.governance.expressions import Subject
from tidegate.governance.rules import Ruled

HANDBACK_PATIENCE = timedelta(seconds=60)
"""After this long, a Release that is being deleted no longer waits for a router that says nothing, nor for endpoints."""


class Stage(Enum):
    """Where a Release is: at exactly one of these."""

    IDLE = auto()
    """No rollout is on."""
    CLIMBING = auto()
    """The rollout that is on goes up its steps."""
    PAUSED = auto()
    """It stays at a step until a person says otherwise."""
    PROMOTING = auto()
    """All steps have passed, and the workload is to take the new version over; there is a way back."""
    COMMITTED = auto()
    """The new version belongs to the workload: it only goes forward from here."""
    UNDOING = auto()
    """The rollout is being undone."""


@dataclass
class Draft:
    """Mutable only inside one call of `decide`."""

    snap: Snapshot
    now: datetime
    status: ReleaseStatus
    handover: Handover
    """How the kind of its workload comes to serve another version."""
    notices: list[Notice] = field(default_factory=list)
    dues: list[datetime] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)
    """What the Release waits for; the first is told."""
    inquiries: set[Inquiry] = field(default_factory=set)
    """What has to be read."""
    unjudged: list[Unjudged] = field(default_factory=list)
    """Looks that a gate's own judging has failed over."""
    ruled: tuple[Subject, Ruled] | None = None
    """What was last found of the policy to come, and of what release; see `ruled.policy_to_come`."""
    workload: WorkloadView | None = field(init=False)
    """The workload. It is asked for more than anything else, so it is kept at hand."""

    def __post_init__(self) -> None:
        self.workload = self.snap.workload

    def set(self, **changes: Unpack[ReleaseEdit]) -> None:
        """Replace fields of the status."""
        self.status = edited(self.status, **changes)

    def set_rollout(self, **changes: Unpack[RolloutEdit]) -> None:
        """Replace fields of the rollout that is on."""
        self.set(rollout=edited(self.rollout, **changes))

    def set_step(self, **changes: Unpack[StepEdit]) -> None:
        """Replace fields of the step that the rollout is at."""
        step = self.status.step
        assert step is not None
        self.set(step=edited(step, **changes))

    def note(self, transition: Transition) -> None:
        """Note what happens with this decision: people read of it in an Event."""
        self.notices.append(notice_of(transition))

    def begin_turn(self) -> None:
        """Ask all rules again: what is waited for, and until when, is said anew."""
        self.waits, self.dues = [], []

    def reached(self, at: datetime) -> bool:
        """Whether a time has come; where it has not, there is another decision at it."""
        self.wake(at)
        return self.now >= at

    def wake(self, at: datetime) -> None:
        """Ask for another decision at a time; times that have passed are no reason to wake."""
        if at > self.now:
            self.dues.append(at)

    def wait_for(self, waiting: Waiting) -> None:
        """Note what the Release waits for; a cause is told before what waits because of it."""
        self.waits.insert(0 if waiting.cause else len(self.waits), waiting)
        self.inquiries |= waiting.asks
        for one in (waiting, *waiting.beside):
            for moment in (one.until, one.wakes):
                if moment is not None:
                    self.wake(moment)

    @property
    def told(self) -> Waiting | None:
        """What people are told that the Release waits for; None where it waits for nothing."""
        return self.waits[0] if self.waits else None

    def begin_step(self, index: int) -> None:
        """Begin to prepare a step of the policy; what was given so far stays given."""
        before, step = self.status.step, self.spec.steps[index]
        given, pods = (before.given, before.pods) if before is not None else (0, 0)
        self.set(step=StepStatus(index=index, weight=step.weight, entered=self.now, given=given, pods=pods))
        if step.weight == 0:
            self._note_weight(0)

    def give_weight(self, weight: int) -> None:
        """Give the new version a weight, and note since when it has it."""
        if weight != self.status.weight:
            self._note_weight(weight)
        self.set(weight=weight)

    def _note_weight(self, weight: int) -> None:
        rollout = self.status.rollout
        if rollout is None or (trail := rollout.trail) is None:
            return
        place = self.status.step.index + 1 if self.status.step is not None else 0
        course = (*trail.course, RecordedWeight(step=place, weight=weight, at=self.now))
        if len(course) > MOST_COURSE:
            course = (*course[: MOST_COURSE // 2], *course[MOST_COURSE // 2 + 1 :])
            trail = edited(trail, omitted=trail.omitted + 1)
        self.set_rollout(trail=edited(trail, course=course))

    def begin_undo(self, cause: Cause, message: str) -> None:
        """Take all traffic from the new version; everything else of a rollback follows."""
        self.set_rollout(undo=cause, undo_message=clip(message), undo_since=self.now, paused=None)
        self.give_weight(0)
        self.set(phase=Phase.ROLLING_BACK)

    # The rollout that is on.

    @property
    def stage(self) -> Stage:
        """Where the Release is; every rule says at which of these it is asked."""
        rollout = self.status.rollout
        if rollout is None or self.status.candidate is None:
            return Stage.IDLE
        if rollout.undo is not None:
            return Stage.UNDOING
        if self.status.phase is not Phase.PROMOTING:
            return Stage.CLIMBING if rollout.paused is None else Stage.PAUSED
        return Stage.COMMITTED if self.handover.committed(self) else Stage.PROMOTING

    @property
    def active(self) -> bool:
        """Whether a rollout is on."""
        return self.status.candidate is not None and self.status.rollout is not None

    @property
    def undoing(self) -> bool:
        """Whether the rollout that is on is being undone."""
        return self.stage is Stage.UNDOING

    @property
    def promoting(self) -> bool:
        """Whether all steps have passed and the workload takes the new version over."""
        return self.stage in (Stage.PROMOTING, Stage.COMMITTED)

    @property
    def committed(self) -> bool:
        """Whether the new version belongs to the workload already: from here on a rollout only goes forward."""
        return self.stage is Stage.COMMITTED

    @property
    def reversible(self) -> bool:
        """Whether a rollout is on that could still be undone, and is not being undone."""
        return self.stage in (Stage.CLIMBING, Stage.PAUSED, Stage.PROMOTING)

    @property
    def climbing(self) -> bool:
        """Whether the rollout that is on goes up its steps, or is paused at one."""
        return self.stage in (Stage.CLIMBING, Stage.PAUSED)

    @property
    def rollout(self) -> RolloutStatus:
        """The rollout that is on; only to be asked while one is."""
        assert self.status.rollout is not None
        return self.status.rollout

    @property
    def candidate(self) -> RevisionStatus:
        """The version that is rolled out, by a name that stable has not; only to be asked while a rollout is on."""
        assert self.status.candidate is not None
        return apart(self.status.candidate, self.status.stable)

    @property
    def stable(self) -> RevisionStatus:
        """The version in force, by a name that the one in rollout has not; only to be asked once there is one."""
        assert self.status.stable is not None
        return apart(self.status.stable, self.status.candidate)

    @property
    def step(self) -> StepStatus | None:
        """The step that the rollout is at; None while the route is being prepared."""
        return self.status.step

    @property
    def spec(self) -> RolloutPolicySpec:
        """The policy of the rollout that is on."""
        return self.rollout.spec

    @property
    def deleting(self) -> bool:
        """Whether the Release is being deleted."""
        return self.snap.release.deleting is not None

    # The workload.

    @property
    def replicas(self) -> int:
        """Pods that the workload is to have; 0 where it is missing."""
        return self.workload.replicas if self.workload else 0

    @property
    def stable_arm(self) -> Arm | None:
        """The pods of the version in force."""
        if self.workload is None or self.status.stable is None:
            return None
        return self.workload.arm(self.status.stable.revision)

    @property
    def canary_arm(self) -> Arm | None:
        """The pods of the version that is rolled out."""
        if self.workload is None or self.status.candidate is None:
            return None
        return self.workload.arm(self.status.candidate.revision)

    def wants(self, revision: str) -> bool:
        """Whether the wanted template is that of a revision."""
        template = self.workload.template if self.workload is not None else None
        return template is not None and (revision == template.revision or revision in template.duplicates)

    # The routes.

    @property
    def routed(self) -> bool:
        """Whether the Release has a route."""
        return self.snap.release.spec.traffic is not None

    @property
    def routes(self) -> tuple[RouteView, ...]:
        """The routes that exist and name the Service."""
        return tuple(route for route in self.snap.routes if route.exists and route.matches)

    @property
    def routes_back(self) -> bool:
        """Whether every route is as the user wrote it."""
        return all(route.stage is RouteStage.USER and route.uniform for route in self.routes)

    @property
    def our_marks(self) -> bool:
        """Whether something that was put back still has a mark of ours."""
        service, former = self.snap.user_service, self.snap.former_service
        if former is not None and not former.untouched:
            return True
        return any(route.our_marks for route in self.routes) or (
            service is not None and service.our_marks and service.revision is None
        )

    def routes_carry(self, weight: int) -> bool:
        """Whether every route gives the canary this weight and its router has accepted that."""
        if not self.routed:
            return True
        routes = self.snap.routes
        return bool(routes) and all(r.exists and r.matches and r.accepted and carries(r, weight) for r in routes)

    def routes_are_shut(self) -> bool:
        """Whether every route gives the canary nothing, by the word of all parents that speak."""
        routes = self.snap.routes
        return bool(routes) and all(r.exists and r.matches and r.in_force and carries(r, 0) for r in routes)

    def route_seen(self, route: RouteView) -> datetime | None:
        """Return since when a route has been in force as it is, None while its router has not accepted it."""
        if route.since is not None and (route.accepted or (route.in_force and not self.climbing)):
            return route.since
        return self.snap.release.deleting if self.patience_is_over() else None

    def warmed_up(self, route: RouteView) -> bool:
        """Return whether a route has been in force as it is for as long as data planes need."""
        seen = self.route_seen(route)
        return seen is not None and self.reached(seen + timedelta(seconds=self.snap.warm_up))

    def arrives(self, what: str) -> Waiting | None:
        """Return that the data planes of some routes do not have them as they are yet; None where all do, as far as is known.

        Args:
            what: what they are to have, for people.
        """
        moments = [route.since for route in self.routes if route.since is not None and route.since > self.now]
        if not moments:
            return None
        names = ", ".join(sorted({name for route in self.routes for name in route.controllers}))
        words = f"for the data plane of {names} to apply {what}; it may lag behind its controller"
        return Waiting(Wait.DATA_PLANE, words, until=min(moments))

    def timed_from(self, since: datetime) -> datetime:
        """Return from when a deadline counts: since something was noted, but not before this process knew of it.

        Who noted it may have had another clock, and while no operator was there part of what is waited for could not come.
        """
        known = self.snap.known_since
        return since if known is None else max(since, known)

    def patience_is_over(self) -> bool:
        """Whether the Release has been deleted for so long that it is let go, whatever does not answer."""
        deleting = self.snap.release.deleting
        return deleting is not None and self.reached(deleting + HANDBACK_PATIENCE)


def apart(version: RevisionStatus, other: RevisionStatus | None) -> RevisionStatus:
    """Return a version with its revision in its name, where that of another is the same: the same tag may come with another env."""
    if other is None or other.version != version.version or other.revision == version.revision:
        return version
    return edited(version, version=f"{version.version} (revision {version.revision})")


def silence(routes: Iterable[RouteView]) -> str:
    """Return which parents have said nothing of routes as they are now, in words; empty where all have spoken."""
    found = [f"{' and '.join(route.silent)} to accept {route.label}" for route in routes if route.silent]
    return f"for {', and for '.join(found)}" if found else ""


def carries(route: RouteView, weight: int) -> bool:
    """Whether a route as it is written gives the canary this weight, in whole percent, and stable the rest."""
    return leans(route, weight) and route.warm in {None, Warm.STABLE}


def leans(route: RouteView, weight: int) -> bool:
    """Whether a route as it is written gives the canary this weight, in whole percent, whatever is warm besides."""
    return route.stage is RouteStage.SPLIT and route.uniform and abs(route.weight - weight) < 0.5
