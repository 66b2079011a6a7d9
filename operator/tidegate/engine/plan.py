"""What the engine wants done: the status to store, the writes in their order, Events, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from tidegate.api.base import clip
from tidegate.api.names import EventReason
from tidegate.api.originals import OriginalRule
from tidegate.api.status import ReleaseStatus
from tidegate.engine.route import RouteRef
from tidegate.engine.snapshot import RouteStage, Warm
from tidegate.engine.transitions import Transition
from tidegate.engine.waits import Inquiry, Waiting
from tidegate.engine.words import words


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


@dataclass(frozen=True)
class LabelWorkload:
    """Put the label on the Deployment that brings it under the hold policy, or take it away.

    Attributes:
        note: with the label taken away, what the Deployment says from then on of the state that it is left in; empty for nothing.
    """

    present: bool
    note: str = ""


@dataclass(frozen=True)
class Hold:
    """Set spec.paused of the Deployment, or remove it.

    To remove it is safe only for the template that was seen: the write must fail if the Deployment has changed since.
    """

    paused: bool


@dataclass(frozen=True)
class ScaleWorkload:
    """Set spec.replicas of the Deployment, as its autoscaler would if pods without traffic were none."""

    replicas: int


@dataclass(frozen=True)
class SetImages:
    """Write the Release's images into the template of the held Deployment, so that it equals the candidate's."""


@dataclass(frozen=True)
class CreateCanary:
    """Create the ReplicaSet of the wanted template, controlled by the Release."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class TakeOver:
    """Move control of a ReplicaSet from the Deployment to the Release."""

    replica_set: str


@dataclass(frozen=True)
class Adopt:
    """Remove the Release's control of a ReplicaSet, so that the Deployment adopts it.

    The snapshot that the next decision is made on must show this write: from here on there is no way back.
    """

    replica_set: str


@dataclass(frozen=True)
class Scale:
    """Set spec.replicas of a ReplicaSet. One of the Deployment's that gets its size is annotated with it."""

    replica_set: str
    replicas: int


@dataclass(frozen=True)
class DeleteReplicaSet:
    """Delete a ReplicaSet that has no pods and is controlled by the Release."""

    replica_set: str


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


Action = (
    SetFinalizer
    | LabelWorkload
    | Hold
    | ScaleWorkload
    | SetImages
    | CreateCanary
    | TakeOver
    | Adopt
    | Scale
    | DeleteReplicaSet
    | EnsureService
    | DeleteService
    | PinService
    | ShiftRoute
)


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
