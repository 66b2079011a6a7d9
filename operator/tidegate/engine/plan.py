"""What the engine wants done: the status to store, the writes in their order, Events, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from tidegate.api.base import clip
from tidegate.api.decision import DecisionOutcome
from tidegate.api.names import EventReason
from tidegate.api.originals import OriginalRule
from tidegate.api.status import ReleaseStatus
from tidegate.engine.route import RouteRef
from tidegate.engine.snapshot import RouteStage, Warm
from tidegate.engine.transitions import Transition
from tidegate.engine.waits import Inquiry, Waiting
from tidegate.engine.words import words
from tidegate.governance.flags import Wish
from tidegate.governance.runs import Call, Run


class Role(StrEnum):
    """Which version one of the operator's own Services selects."""

    STABLE = "stable"
    CANARY = "canary"


def own_name(service: str, role: Role) -> str:
    """Return the name of the operator's Service of a role beside a user's Service; empty where there is none."""
    return f"{service}-{role.value}" if service else ""


def users_name(own: str, role: Role) -> str:
    """Return the name of the user's Service beside which the operator's of a role is called so; empty where none can be."""
    user, _, ending = own.rpartition("-")
    return user if ending == role.value else ""


@dataclass(frozen=True)
class SetFinalizer:
    """Add the operator's finalizer to the Release, or remove it."""

    present: bool


class OfWorkload:
    """A write on the workload, or on what keeps its pods; each kind has its own (`engine.handover`)."""


@dataclass(frozen=True)
class ScaleWorkload(OfWorkload):
    """Set spec.replicas of the workload, as its autoscaler would if pods without traffic were none."""

    replicas: int


@dataclass(frozen=True)
class EnsureService:
    """Create or correct the operator's Service of a role so that it selects a revision."""

    role: Role
    revision: str


@dataclass(frozen=True)
class DeleteService:
    """Delete the operator's Service of a role."""

    role: Role


@dataclass(frozen=True)
class PinService:
    """Set the pod-template-hash in the selector of the user's Service, or remove it (None).

    `former`: of the one that the Release named before.
    """

    revision: str | None
    former: bool = False


@dataclass(frozen=True)
class ShiftRoute:
    """Bring a route to a stage with a weight of the canary in percent.

    `originals` is what the user's backends were, needed at every stage; `warm`, whose backend is to have next to nothing besides.
    """

    route: RouteRef
    stage: RouteStage
    weight: int
    originals: tuple[OriginalRule, ...]
    warm: Warm | None = None


Action = SetFinalizer | OfWorkload | EnsureService | DeleteService | PinService | ShiftRoute
Write = Action | Waiting | Inquiry
"""What a stage comes to: a write, what it waits for in place of one, or what has to be read for it."""


class EventType(Enum):
    """Type of a Kubernetes Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True)
class Notice:
    """An Event to be written on the Release.

    Attributes:
        reason: in one word.
        message: for people.
        type: whether somebody should look.
        transition: what has happened, for who need not read it.
    """

    reason: EventReason
    message: str
    type: EventType
    transition: Transition


def notice_of(transition: Transition) -> Notice:
    """Return the Event by which people read of a transition."""
    type_ = EventType.WARNING if transition.warns else EventType.NORMAL
    return Notice(transition.event_reason, clip(words(transition)), type_, transition)


@dataclass(frozen=True)
class Unjudged:
    """A look that a gate's own judging has failed over: a mistake of the operator's, for its log and its metrics.

    Attributes:
        gate: name of the gate.
        error: the exception with its traceback.
        state: what the gate had said before, as JSON, with all that its judge went on from; empty at the first look.
    """

    gate: str
    error: str
    state: str


@dataclass(frozen=True)
class Look:
    """A look of a gate that is to be taken."""

    gate: str
    at: datetime


@dataclass(frozen=True)
class Settled:
    """What has become of a ReleaseDecision, to be written into its status.

    Attributes:
        name: object name.
        uid: object uid; of another object of that name it is not true.
        outcome: in one word.
        message: why, for people.
        before: what it says by now; None where it says nothing. Where it says something else, it is not written.
    """

    name: str
    uid: str
    outcome: DecisionOutcome
    message: str
    before: DecisionOutcome | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        status: the status to store, before any of the actions.
        away: writes that take traffic from the new version: nothing comes before them, not even the status.
        left: share of the traffic that the routes give the new version once `away` is done, in percent.
        actions: all other writes, in the order in which they are safe.
        notices: Events, after the actions.
        looks: next look of each gate that is watched.
        split_looks: next looks at what the split of the routes has done.
        due: when to decide again at the latest, if nothing changes before; None to wait for a change.
        inquiries: what is to be read from the API server.
        passing: nothing is decided, to be done or to be told, but that something is waited for which is over in a moment.
        unjudged: looks that could not be judged, for want of a judge that works.
        waits: what the Release waits for; the first is told.
        outcomes: what has become of decisions that do not say so yet; true once the status is stored, and told until they do.
        calls: requests that are to be made, likewise.
        flags: what definitions of flags are to say, or to be read for, likewise.
        runs: Jobs that are to be made and looked at, or stopped, once the status is stored.
    """

    status: ReleaseStatus
    away: tuple[ShiftRoute, ...] = ()
    left: int = 0
    actions: tuple[Action, ...] = ()
    notices: tuple[Notice, ...] = ()
    looks: tuple[Look, ...] = ()
    split_looks: tuple[Look, ...] = ()
    due: datetime | None = None
    inquiries: frozenset[Inquiry] = frozenset()
    passing: bool = False
    unjudged: tuple[Unjudged, ...] = ()
    waits: tuple[Waiting, ...] = ()
    outcomes: tuple[Settled, ...] = ()
    runs: tuple[Run, ...] = ()
    calls: tuple[Call, ...] = ()
    flags: tuple[Wish, ...] = ()
