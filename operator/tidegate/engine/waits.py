"""Everything that a Release may wait for: what ends it, by when, and whether that can be nobody but a person.

No rule waits for anything that is not in this table, and the table has nothing that no rule waits for; a test walks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from tidegate.api.names import Reason

FOR_A_PERSON = frozenset(
    {
        Reason.NO_PERMISSION,
        Reason.INVALID_SPEC,
        Reason.MISSING_WORKLOAD,
        Reason.MISSING_SERVICE,
        Reason.SHARED_SERVICE,
        Reason.BOUND_BY_NAME,
        Reason.MISSING_ROUTE,
    }
)
"""What stands in the way of a rollout that is on until a person mends it. A router may change its mind by itself."""


MOMENT = timedelta(seconds=5)
"""What lasts no longer than this is how things go, and its cause is not told: the status would change for nothing."""


class Bound(Enum):
    """By when a wait has ended at the latest."""

    PODS = "progressDeadline, counted since pods are missing (status.step); then onDeadline says what becomes of the rollout"
    ROUTE = "progressDeadline, counted since the route is waited for (status.rollout); then onDeadline says what becomes of it"
    SECONDS = "a time that the engine itself knows, and wakes at"
    POLICY = "the policy: onNoData says what becomes of a gate that stays undecided, or that it is waited for without end"
    NONE = "none"


@dataclass(frozen=True)
class Terms:
    """What holds for one wait.

    Attributes:
        ends: who or what ends it.
        bound: by when it has ended.
        why: why there is no deadline; empty where there is one.
        person: nobody but a person can end it, so the Release is Stalled as long as it is what the Release waits for.
        brief: it is over in a moment, as a rule, so that it is told where it is not.
        barrier: name of the barrier that is closed, as `status.waitingFor` has it; empty where it is no governance's.
    """

    ends: str
    bound: Bound = Bound.NONE
    why: str = ""
    person: bool = False
    brief: bool = False
    barrier: str = ""


_SERVES = "what has served serves on, and nothing is lost but time"
_FORWARD = "the Deployment has the new version already: it only goes forward from here, and serves meanwhile"
_BOTH = "both versions have all their pods, so either could serve; to undo what has passed all its steps would help nobody"
_REQUESTS = "requests may still come: to go on without the router's word would lose them"


class Wait(Enum):
    """What is waited for, each with its terms."""

    # Before a rollout.
    FIRST_VERSION = Terms("the pods of the Deployment", why="there is nothing to go back to")
    SELECTION = Terms("the API server's answer to a list of pods", why=f"it is asked again by itself; {_SERVES}", brief=True)
    BINDING = Terms("the API server's answer to lists of policies", why=f"it is asked again by itself; {_SERVES}", brief=True)
    NATIVE_RESTART = Terms("the Deployment controller", why="the Deployment rolls by itself, under its own deadline")
    RESUME = Terms("a request to resume", why="a person has asked for just that", person=True)
    TRAFFIC_LATER = Terms("the routes, on their way back", why=_SERVES)
    DEPLOYMENT_HELD = Terms("the operator, which holds the Deployment", why=_SERVES)
    SCALED_UP = Terms("whoever scales: a person, an autoscaler, a schedule", why="nothing serves, as somebody wants it")
    BYPASSED_PODS = Terms("the kubelet, which stops pods", why=_SERVES)
    # Before a rollout, and before more weight: what people and times have to say.
    FROZEN = Terms(
        "time, or whoever deletes the ReleaseFreeze", why=f"a person has asked for just that; {_SERVES}", barrier="Freeze"
    )
    RULE = Terms(
        "whoever fixes the policy's rule, or what it asks of", why=f"nobody knows how it is to go; {_SERVES}", barrier="Rules"
    )
    WINDOW = Terms("time, by the policy's windows", why=f"the policy says when; {_SERVES}", barrier="Window")
    UPSTREAM = Terms(
        "the Release that this one comes after, then time",
        why=f"what is not proved there is not tried here; {_SERVES}",
        barrier="Upstream",
    )
    CHECK = Terms(
        "whoever makes the check, by attesting what it came to; or its Job",
        why=f"what is not checked gets no more; {_SERVES}",
        barrier="Check",
    )
    MIGRATION = Terms(
        "the Jobs of the policy's backup and migrations, within their time-outs; or who fixes what they say",
        why=f"a database is not changed twice at once, and what is not there is not used; {_SERVES}",
        barrier="Migration",
    )
    CONTRACTED = Terms(
        "a person, who has restored what was removed or knows that it is not needed",
        why=f"a version may need what is gone; {_SERVES}",
        person=True,
        barrier="Contract",
    )
    FLAG = Terms(
        "the API server, or whoever fixes the flag's definition",
        why=f"a step is not over before its flags are set; {_SERVES}",
        barrier="Flag",
    )
    FLAG_SET = Terms("the API server, or a hook, which takes what a flag is to be", why="it is tried again by itself", brief=True)
    APPROVAL = Terms("people of the roles that the policy asks", why=f"they decide; {_SERVES}", barrier="Approval")
    GROUP = Terms(
        "the other members of the group, by what each waits for; or time, if their new versions are waited for",
        why=f"they are to move together; {_SERVES}",
        barrier="Group",
    )
    RIGHTS = Terms("the API server's answers to access reviews", why=f"it is asked again by itself; {_SERVES}", brief=True)
    # The way up.
    ROUTE_PREPARED = Terms("each of the route's parents", Bound.ROUTE)
    ROUTE_CARRIES = Terms("those of the route's parents that say no, or nothing while others speak", Bound.ROUTE)
    ROUTER_AWAY = Terms(
        "the only parents that the route has, of which none says anything",
        why="a router that is away is no fault of the version, and to go back would need its word as well",
    )
    DATA_PLANE = Terms("time: how long a controller's data plane may be behind its word", Bound.SECONDS)
    OWN_SERVICES = Terms("the controller of EndpointSlices, or stable's pods", Bound.ROUTE)
    PODS = Terms("the pods of the new version", Bound.PODS)
    WARMED = Terms("each of the route's parents, then time: the warm-up", Bound.ROUTE)
    LOSS_EXPLAINED = Terms("the pods' own words", Bound.SECONDS)
    REMOVAL = Terms(
        "whatever the reason names", why="the reason says whether a person is called; nobody gets more traffic meanwhile"
    )
    HOLD_ENDS = Terms("time", Bound.SECONDS)
    GATE = Terms("Prometheus and requests", Bound.POLICY)
    SCORE = Terms("the gates that are undecided", Bound.POLICY)
    FIRST_LOOK = Terms("the next look of the gate", Bound.POLICY)
    # Promotion, until the Deployment has adopted the pods.
    REPLICA_SET = Terms("the caches, which show the new version's ReplicaSet", why=_BOTH)
    OTHERS_SERVICE = Terms("who mends the Service's selector", why=_BOTH, person=True)
    HELD_FOR_ADOPTION = Terms("the operator, which holds the Deployment", why=_BOTH)
    OBSERVED = Terms("the Deployment controller", why=_BOTH)
    TEMPLATE_WRITTEN = Terms("the operator, which writes the images into the template", why=_BOTH)
    DUPLICATE = Terms("the operator, which deletes the second ReplicaSet", why=_BOTH)
    ALL_PODS = Terms("pods that a scaling has asked for, or that were lost", why=_BOTH)
    FULL_ROUTE = Terms("each of the route's parents", why=_BOTH)
    STABLE_DRAINED = Terms("time: the policy's drain", Bound.SECONDS)
    SERVICE_PINNED = Terms("the operator, which pins the Service", why=_BOTH)
    # From the adoption on.
    ADOPTED = Terms("the Deployment controller", why=_FORWARD)
    OLD_PODS = Terms("the Deployment controller and the kubelet", why=_FORWARD)
    RELEASED = Terms("the operator, which lets the Deployment go", why=_FORWARD)
    OLD_ENDPOINTS = Terms("the controller of EndpointSlices", why="requests would find pods that are being stopped")
    # The way back, whatever it is for: what serves has all of the weight.
    NEW_PODS = Terms("the kubelet, once drain has passed", why=_SERVES)
    ROUTER_SILENT = Terms("the route's parents, of which none has said that it has taken the weight away", why=_REQUESTS)
    ROUTES_BACK = Terms("each of the route's parents that speaks", why=_SERVES)
    SERVICE_ASTRAY = Terms("who mends the Service or the template", why="requests would find nobody", person=True)
    SERVICE_GONE = Terms("who makes the Service anew", why="requests would find nobody", person=True)
    PINNABLE = Terms("pods of the version that serves", why="requests past the route would find nobody")
    SERVICE_ENDPOINTS = Terms("the controller of EndpointSlices", why="requests would find nobody")
    FLAGS_BACK = Terms("the API server, which takes what flags were before; a minute at most", Bound.SECONDS, brief=True)
    RECORDED = Terms("the API server, which takes the record of the last rollout; a minute at most", Bound.SECONDS, brief=True)
    ROLLBACK_FIRST = Terms("the end of the rollback", why="it has its own reasons")

    terms: Terms

    def __new__(cls, terms: Terms) -> Self:
        """Give each a value of its own: of two with equal terms the second would be no more than another name of the first."""
        wait = object.__new__(cls)
        wait._value_ = len(cls.__members__)
        wait.terms = terms
        return wait


class Inquiry(Enum):
    """What is read from the API server only while somebody waits for it."""

    ENDPOINTS = "the endpoints of the user's Service, since a route waits for them"
    PODS = "the new version's pods at once, since the operator before may have seen them lost"
    SELECTED = "all pods that the user's Service selects, since others may be among them"
    RIGHTS = "whether those who have decided may still do so, since their decisions are about to count"
    FLAGS = "the definitions of the flags that the steps set, since they may not be as they are needed"
    BOUND = "what is bound to the user's Service by its name, since it may not follow a split"


@dataclass(frozen=True)
class Waiting:
    """Something that is waited for now.

    Attributes:
        wait: what it is, by the table.
        words: for people, to be put behind `waits`.
        cause: it is told before what waits because of it.
        asks: what has to be read meanwhile.
        until: when it ends by itself, or may have; None where only what happens can tell.
        wakes: when something else has to be said of it; None where that is not known.
        what: of a closed barrier, what keeps it closed, for people and machines.
        how: of a closed barrier, the command that opens it; empty where it is time alone.
        beside: further barriers that are closed.
        begins: of a closed barrier, name of a check that is to begin.
        rejects: of a closed barrier, why the version is to be rejected in place of waiting; empty where it waits.
    """

    wait: Wait
    words: str
    cause: bool = False
    asks: frozenset[Inquiry] = frozenset()
    until: datetime | None = None
    wakes: datetime | None = None
    what: str = ""
    how: str = ""
    beside: tuple[Waiting, ...] = ()
    begins: str = ""
    rejects: str = ""


class Changed(Enum):
    """That a rule has changed the draft: all rules are asked again."""

    CHANGED = "changed"


CHANGED = Changed.CHANGED
Ruling = Changed | Waiting | None
"""What a rule comes to: it has changed something, it waits for something, or it has no part in this."""
