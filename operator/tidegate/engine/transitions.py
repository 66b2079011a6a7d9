"""What can happen to a Release, as facts: who tells of it chooses the words, and whoever is told need not read English.

Each has an id, the reason of its Event, and whether somebody should look: that is what notifications, records and measures go by.
`words.py` makes the sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from tidegate.api.names import Cause, EventReason
from tidegate.api.release import ReleaseType
from tidegate.api.status import Outcome
from tidegate.engine.route import RouteRef


@dataclass(frozen=True)
class Transition:
    """Something that has happened.

    Attributes:
        id: names its kind, for machines; it stays as it is whatever the words are.
        reason: of the Event.
        warning: whether somebody should look.
    """

    id: ClassVar[str]
    reason: ClassVar[EventReason]
    warning: ClassVar[bool] = False

    @property
    def event_reason(self) -> EventReason:
        """Reason of the Event of this one."""
        return self.reason

    @property
    def warns(self) -> bool:
        """Whether somebody should look at this one."""
        return self.warning

    @property
    def about(self) -> str | None:
        """Return the version that this one is about; None where it is about none."""
        return getattr(self, "version", None)


@dataclass(frozen=True)
class Alert(Transition):
    """Something that somebody should look at."""

    warning = True


@dataclass(frozen=True)
class Adopted(Transition):
    """A workload is managed from now on, and what serves is the version in force."""

    id = "adopted"
    reason = EventReason.ADOPTED
    kind: str
    workload: str
    version: str


@dataclass(frozen=True)
class Restarted(Transition):
    """The workload has restarted the pods of the version in force, by itself."""

    id = "restarted"
    reason = EventReason.RESTARTED
    kind: str
    version: str


@dataclass(frozen=True)
class Bypassed(Alert):
    """A version was rolled out without the operator, serves, and is the version in force now."""

    id = "bypassed"
    reason = EventReason.BYPASSED
    version: str
    pods: int


@dataclass(frozen=True)
class Blocked(Alert):
    """Something stands in the way that a person has to mend; the words are those of the status."""

    id = "blocked"
    reason = EventReason.BLOCKED
    message: str


@dataclass(frozen=True)
class Scaled(Transition):
    """The workload was scaled for a load that idle pods of the other version hid from its autoscaler."""

    id = "scaled"
    reason = EventReason.SCALED
    kind: str
    before: int
    after: int
    autoscaler: str
    load: float


@dataclass(frozen=True)
class RolloutStarted(Transition):
    """A rollout starts."""

    id = "rollout-started"
    reason = EventReason.ROLLOUT_STARTED
    version: str
    over: str
    policy: str
    unread: tuple[str, ...]
    past: str
    type: ReleaseType | None
    rules: tuple[int, ...]


@dataclass(frozen=True)
class WeightRaised(Transition):
    """The new version gets the weight of a step."""

    id = "weight-raised"
    reason = EventReason.WEIGHT_CHANGED
    version: str
    before: int
    after: int
    step: int
    steps: int
    why: str


@dataclass(frozen=True)
class WeightLowered(Alert):
    """The new version has lost weight, without a verdict on it."""

    id = "weight-lowered"
    reason = EventReason.WEIGHT_CHANGED
    version: str
    before: int
    after: int
    why: str


@dataclass(frozen=True)
class Baking(Transition):
    """The new version has all there is to have, and the one in force is kept warm."""

    id = "baking"
    reason = EventReason.BAKING
    version: str
    stable: str
    share: str
    time: timedelta


@dataclass(frozen=True)
class Promoting(Transition):
    """All steps have passed, and the workload takes the new version over."""

    id = "promoting"
    reason = EventReason.PROMOTING
    kind: str
    version: str
    why: str


@dataclass(frozen=True)
class RouteCorrected(Alert):
    """Somebody has written over a route during a rollout, and it is as it should be again."""

    id = "route-corrected"
    reason = EventReason.ROUTE_CORRECTED
    route: RouteRef


@dataclass(frozen=True)
class StepsRestarted(Alert):
    """The new version has lost its pods after it had traffic, and starts again at the first step."""

    id = "steps-restarted"
    reason = EventReason.PODS_LOST
    version: str
    why: str
    left: int


@dataclass(frozen=True)
class DeadlinePassed(Alert):
    """The progressDeadline has passed, and the policy lets the rollout wait on."""

    id = "deadline-passed"
    reason = EventReason.DEADLINE
    version: str
    weight: int
    message: str


@dataclass(frozen=True)
class GateUndecided(Alert):
    """A gate has had too little to go by for a while."""

    id = "gate-undecided"
    reason = EventReason.GATE_UNDECIDED
    gate: str
    message: str


@dataclass(frozen=True)
class BreachTold(Alert):
    """A gate is breached, and nothing is done about it, for a reason."""

    id = "breach-told"
    reason = EventReason.GATE_BREACHED
    gate: str
    inaction: str
    message: str


@dataclass(frozen=True)
class BreachPauses(Alert):
    """A gate or the score is breached, and the rollout waits for a person."""

    id = "breach-pauses"
    reason = EventReason.GATE_BREACHED
    version: str
    weight: int
    gate: str
    message: str
    asks: str


@dataclass(frozen=True)
class BreachRollsBack(Alert):
    """A gate or the score is breached, and the rollout is undone."""

    id = "breach-rolls-back"
    reason = EventReason.GATE_BREACHED
    version: str
    gates: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class ScoreWarns(Alert):
    """A step ends although the gates have earned less than they should, together."""

    id = "score-warns"
    reason = EventReason.SCORE_WARNING
    step: int
    message: str


@dataclass(frozen=True)
class RequestRefused(Alert):
    """A request was not carried out."""

    id = "request-refused"
    reason = EventReason.REQUEST_REFUSED
    request: str
    why: str


@dataclass(frozen=True)
class TransitionsDropped(Alert):
    """A sink has not taken transitions for which the status has no room any more."""

    id = "transitions-dropped"
    reason = EventReason.TRANSITIONS_DROPPED
    sink: str


@dataclass(frozen=True)
class Paused(Transition):
    """A person has paused the rollout that is on."""

    id = "paused"
    reason = EventReason.PAUSED
    version: str
    weight: int
    request: str


@dataclass(frozen=True)
class Resumed(Transition):
    """A person has resumed the rollout that is on."""

    id = "resumed"
    reason = EventReason.RESUMED
    version: str
    weight: int
    request: str


@dataclass(frozen=True)
class PromotionRequested(Transition):
    """A person has asked for full promotion."""

    id = "promotion-requested"
    reason = EventReason.PROMOTION_REQUESTED
    version: str
    request: str


@dataclass(frozen=True)
class Waits(Transition):
    """A barrier keeps a version from more traffic; what it waits for, and what opens the barrier, in the words of the status."""

    id = "waits"
    reason = EventReason.WAITING
    version: str
    words: str


@dataclass(frozen=True)
class NextHeld(Transition):
    """A person has asked that no next version is rolled out."""

    id = "next-held"
    reason = EventReason.NEXT_HELD
    message: str


@dataclass(frozen=True)
class NextReleased(Transition):
    """A person has asked that the next version is rolled out again."""

    id = "next-released"
    reason = EventReason.NEXT_RELEASED
    request: str


@dataclass(frozen=True)
class Retried(Transition):
    """A person has asked that a version which was rolled back is tried again."""

    id = "retried"
    reason = EventReason.RETRIED
    version: str
    request: str


@dataclass(frozen=True)
class RollingBack(Transition):
    """A rollout is undone for another reason than a breach."""

    id = "rolling-back"
    reason = EventReason.ROLLING_BACK
    version: str
    cause: Cause
    message: str
    wanted: bool = False
    """It is what somebody has asked for by changing or deleting things, and nobody need look."""

    @property
    def warns(self) -> bool:
        """Whether somebody should look at this one."""
        return not self.wanted


@dataclass(frozen=True)
class Ended(Transition):
    """A rollout has ended."""

    id = "ended"
    reason = EventReason.ROLLED_BACK
    version: str
    stable: str
    outcome: Outcome
    cause: Cause
    message: str

    @property
    def event_reason(self) -> EventReason:
        """Reason of the Event of this one, by how it ended."""
        return EventReason(self.outcome.value)

    @property
    def warns(self) -> bool:
        """Whether somebody should look at this one."""
        return self.outcome is Outcome.ROLLED_BACK
