"""What the engine sees: one Release and everything around it, read from caches at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from tidegate.api.names import Reason
from tidegate.api.originals import OriginalRule, PortStatus
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.engine.route import RouteRef
from tidegate.governance.groups import GroupView
from tidegate.governance.upstreams import FollowingView
from tidegate.governance.view import UNGOVERNED, GovernanceView
from tidegate.governance.votes import Author
from tidegate.judge.reading import Reading


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The pods of one version of a workload, whatever it is that keeps them.

    Attributes:
        revision: value of the label by which its pods are told from those of other versions.
        version: name of the version for people (image tag).
        wanted: pods that it is to have.
        current: pods that exist (terminating ones not counted).
        ready: pods that are ready.
        available: pods that have been ready for as long as the workload asks for.
        images: its images by container name.
    """

    revision: str
    version: str = ""
    wanted: int
    current: int
    ready: int
    available: int
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's: neither the workload nor the operator scales it."""
        return False

    @property
    def owned(self) -> bool:
        """Whether the workload itself has it, and not the Release."""
        return True


@dataclass(frozen=True)
class TemplateView:
    """The pod template that is wanted: the workload's own with the Release's images laid over it.

    Attributes:
        revision: that of the arm that has exactly this template, else the one that a new arm would get.
        version: name for people.
        exists: whether an arm with exactly this template exists.
        restart_of: revisions of the arms that differ in nothing but the restartedAt annotation.
        overlaid: whether the Release's images change what the workload's own template says.
        duplicates: revisions of the other arms that have exactly this template. There are some where a person has let a Deployment
            go past the hold: its controller does not look at ReplicaSets of other owners and makes one of its own.
        authors: who has changed it; empty where nobody knows.
        images: its images by container name.
        committed: when its commit was made, in the words of whoever deploys it; empty where nobody says so.
        new_revision: the one that a new arm would get, by which the template is known where it was decided on before it had an arm.
        digest: of its content but for a restart, by which it is approved: no two templates have the same.
    """

    revision: str
    version: str
    exists: bool
    restart_of: tuple[str, ...] = ()
    overlaid: bool = False
    duplicates: tuple[str, ...] = ()
    new_revision: str = ""
    digest: str = ""
    authors: tuple[Author, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    committed: str = ""


@dataclass(frozen=True)
class PodTrouble:
    """Why a pod is not ready.

    Attributes:
        words: in its own words, or in those of what makes it where there is none; empty where nothing is known.
        made: when it was made, by the API server's clock; None where it was not.
    """

    words: str = ""
    made: datetime | None = None


@dataclass(frozen=True)
class AutoscalerView:
    """The HorizontalPodAutoscaler of the workload.

    Attributes:
        name: object name.
        load: for how many pods at their target the load is at least, by its numbers; None where they do not tell.
        most: the most pods that it may ask for now.
        tolerance: by how much of what the pods are for the load may be above it before the autoscaler scales up.
    """

    name: str
    load: float | None
    most: int
    tolerance: float = 0.1


@dataclass(frozen=True, kw_only=True)
class WorkloadView:
    """What is true of any workload; each kind adds what is its own (`engine.handover`).

    Attributes:
        uid: object uid.
        replicas: pods that it is to have.
        template: the wanted template.
        arms: all of its versions that there are.
        trouble: why the candidate's pods do not become ready, in the words of one of them, e.g. ImagePullBackOff; empty where
            unknown.
        trouble_outside: whether that can be no fault of the version: a quota, an image registry that is away, no node.
        ending: how a container of the candidate has ended last, in its own words; empty where none is known to have.
        endings: when that was, by their nodes' clocks, for each of the candidate's pods that has one that ended; None where the
            pods were not read.
        youngest: when the last of the candidate's pods was made; None where they were not read.
        stable_trouble: why pods of the version in force are not ready; None where they were not read, as they are only while some
            are not.
        autoscaler: its autoscaler; None where it has none.
    """

    uid: str
    replicas: int
    template: TemplateView
    arms: tuple[Arm, ...] = ()
    trouble: str = ""
    trouble_outside: bool = False
    ending: str = ""
    endings: tuple[datetime, ...] | None = None
    youngest: datetime | None = None
    stable_trouble: PodTrouble | None = None
    autoscaler: AutoscalerView | None = None

    @property
    def ended(self) -> datetime | None:
        """When a container of the candidate has ended last; None where none is known to have."""
        return max(self.endings or (), default=None)

    def arm(self, revision: str | None) -> Arm | None:
        """Return the arm of that revision, None where there is none."""
        return next((arm for arm in self.arms if arm.revision == revision), None)


@dataclass(frozen=True)
class ServiceView:
    """A Service: the user's or one of the operator's own.

    Attributes:
        name: object name.
        revision: the pod-template-hash in its selector; None where it selects every version.
        endpoints: number of endpoints in its EndpointSlices that are ready and have every port that routes name; 0 for the user's
            where they were not read.
        missing_endpoints: for the user's Service, how many of the ready endpoints that routes give weight to it does not have; None
            where its endpoints were not read, as they are only where the plan asks for it.
        current: whether its ports and the rest of its selector follow the user's Service (always True for the user's).
        our_marks: the API server has us as one that writes it, for the user's Service only.
        selects: for the user's Service, whether it selects the pods of the Deployment's template, but for the pin.
        misses: for the user's Service, revisions of the ReplicaSets whose pods it does not select, but for the pin.
        alone: for the user's Service, whether no pods of other workloads are selected, but for the pin; None where that is not
            known, as it is only where the plan asks for it.
        followed: for the user's Service, whether all that is bound to it by its name is bound to the operator's two as well; None
            where that is not known, as it is only where the plan asks for it.
        unread: for the user's Service, kinds of such objects that could not be read, and why.
        past: for the user's Service, routes that lead to it and that the Release does not name, as far as that was read.
        targets: where its ports lead; None where that is not known.
        astray: for the user's Service, why it selects no pod of the stable version, in words; empty where it does.
        diverted: for the user's Service, where its ports lead other than stable's pods answer on, in words; empty where they
            do not.
        portless: number of ready endpoints that lack a port that routes name.
        gap: which port that is, in words; empty where none is lacking.
        ending: for the user's Service, number of endpoints that are being stopped and given out as ready all the same.
    """

    name: str
    revision: str | None
    endpoints: int = 0
    missing_endpoints: int | None = None
    current: bool = True
    our_marks: bool = False
    selects: bool = True
    misses: frozenset[str] = frozenset()
    alone: bool | None = True
    followed: bool | None = True
    unread: tuple[str, ...] = ()
    past: tuple[RouteRef, ...] = ()
    targets: tuple[PortStatus, ...] | None = None
    astray: str = ""
    diverted: str = ""
    portless: int = 0
    gap: str = ""
    ending: int = 0

    @property
    def untouched(self) -> bool:
        """Whether the user's Service is as if it had never been pinned."""
        return self.revision is None and not self.our_marks


class RouteStage(IntEnum):
    """How far a route is from what the user wrote; a route goes up and down one stage at a time.

    A data plane may learn of a route before it learns of the route's clusters, so a backend enters and leaves at weight 0.
    """

    USER = 0
    """Only the user's backend."""
    ENTERING = 1
    """The user's backend has all the weight, the operator's two are there with none."""
    SPLIT = 2
    """The operator's two have the weight, the user's backend is there with none."""


class Warm(StrEnum):
    """Whose backend has next to nothing beside the one that has all the rest, so that a data plane knows it already."""

    USER = "user"
    STABLE = "stable"
    CANARY = "canary"


@dataclass(frozen=True)
class RouteView(RouteRef):
    """One route, as it was seen.

    Attributes:
        exists: whether it was found.
        matches: whether a rule of it names the user's Service or the operator's two.
        stage: its stage; the lowest over its matching rules.
        uniform: whether all matching rules are at one stage with one weight and in the form that the operator writes.
        weight: the canary's share in percent at the stage SPLIT; 0 otherwise. What a warm backend has does not count.
        warm: whose backend has next to nothing so that the data plane knows it; None where none has.
        warms: its data plane leaves out backends of weight 0, so that each has to be warm before it gets weight.
        accepted: every parent says Accepted and ResolvedRefs for the current generation.
        since: from when on it has been seen in this form and accepted by those parents that speak, and their data planes have it as
            far as is known: that may be to come. None while it is not accepted.
        trouble: what its parents say against it, in their words.
        originals: the backends of its matching rules as the user wrote them; read where the user's own are there to be read.
        our_marks: it is as its users wrote it, and yet the API server still has us as the last to write it: their next apply would
            be refused.
        ports: numbers of the Service's ports that its matching rules name.
        silent: parents that have said nothing about it as it is now, by kind and name.
        heard: at least one parent has accepted it as it is now.
        controllers: names of the controllers that have.
        applied: a tool that may apply it again at any time has left its mark on it.
    """

    exists: bool = True
    matches: bool = True
    stage: RouteStage = RouteStage.USER
    uniform: bool = True
    weight: float = 0
    warm: Warm | None = None
    warms: bool = False
    accepted: bool = True
    since: datetime | None = None
    trouble: str = ""
    originals: tuple[OriginalRule, ...] = ()
    our_marks: bool = False
    ports: frozenset[int] = frozenset()
    silent: tuple[str, ...] = ()
    heard: bool = False
    controllers: frozenset[str] = frozenset()
    applied: bool = False

    @property
    def in_force(self) -> bool:
        """Whether every parent that speaks has accepted it, and one has: a parent that never speaks holds no rollback up."""
        return self.accepted or (self.heard and not self.trouble)


class Verb(StrEnum):
    """What a person may ask for by the request annotation."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    ROLLBACK_AND_HOLD = "rollback-and-hold"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


@dataclass(frozen=True)
class Request:
    """A request by a person; its id makes it happen once."""

    verb: Verb | None
    id: str
    text: str


@dataclass(frozen=True)
class Blocker:
    """Something outside that is missing or wrong, in words for the status."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class ReleaseView:
    """The Release itself.

    Attributes:
        deleting: its deletionTimestamp; None while nobody deletes it.
        spec: as the user wrote it, but for traffic: that which is in force (see `routing.traffic_in_force`).
        finalizer: it carries the operator's finalizer.
        traffic_later: the user has written of other traffic than is in force.
        created: when it was made, by the API server's clock; None where that is of no concern.
        labels: its labels, which conditions of a policy may ask for.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: ReleaseSpec
    deleting: datetime | None = None
    finalizer: bool = True
    request: Request | None = None
    traffic_later: bool = False
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyView:
    """The policy that the Release names.

    Attributes:
        label: kind and name, e.g. `RolloutPolicy/production`.
    """

    label: str
    spec: RolloutPolicySpec


@dataclass(frozen=True)
class Snapshot:
    """All that a decision depends on, but for the time.

    Attributes:
        release: the Release.
        status: its status as stored last.
        policy: the policy it names; None where it is missing or invalid.
        workload: the workload; None where it is missing.
        orphans: names of what keeps pods and would be left behind by a Release that is being deleted, of a workload that is gone or
            that it does not name any more.
        user_service: the Service that the user named; None where it is missing or none is named.
        former_service: the Service that was pinned and that the Release does not name any more; None where there is none.
        stable_service: the operator's Service for the stable version; None where it is missing.
        canary_service: the operator's Service for the new version; None where it is missing.
        routes: the routes that the Release names, in its order.
        readings: looks of gates that came in since the last decision.
        keep_held: no admission policy holds a changed template here, so the workload stays held between rollouts.
        blockers: what stands in the way of doing anything, e.g. a missing permission or an absent API.
        warm_up: seconds that a route must have been seen in a form before the next form.
        step_replicas_limit: pods that a step may have although the Deployment has fewer.
        known_since: since when this process knows the status; what one before it had decided last may not be in it. None where that
            is of no concern.
        governance: who may let a version through, when, and after what; read by barriers alone.
        following: the Release whose images this one takes over; None where it follows none.
        group: the other Releases that this one moves with; None where it moves alone.
    """

    release: ReleaseView
    status: ReleaseStatus
    policy: PolicyView | None = None
    workload: WorkloadView | None = None
    orphans: tuple[str, ...] = ()
    user_service: ServiceView | None = None
    former_service: ServiceView | None = None
    stable_service: ServiceView | None = None
    canary_service: ServiceView | None = None
    routes: tuple[RouteView, ...] = ()
    readings: tuple[Reading, ...] = ()
    keep_held: bool = False
    blockers: tuple[Blocker, ...] = field(default_factory=tuple)
    warm_up: float = 1.5
    step_replicas_limit: int = 0
    known_since: datetime | None = None
    governance: GovernanceView = UNGOVERNED
    following: FollowingView | None = None
    group: GroupView | None = None
