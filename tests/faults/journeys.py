"""What happens to a service, from its beginning to its end, in a few seconds: each journey is told with and without faults."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from e2e import manifests
from e2e.manifests import NAME, REGISTRY, Json, exact_gate, step
from e2e.story import HELD, Given, Then, When
from e2e.world import canary_share
from faults import asking, flagging, grouping
from faults.approving import APPROVALS, VOTES, decided_step_by_step
from faults.checking import CHECKS, HANGING, checked
from faults.closing import shuts_at_half
from faults.following import follows
from faults.freezing import turns_bad_in_a_freeze, waits_for_the_thaw
from faults.hostile import beside
from faults.migrating import NEEDED, came_to, migrated, migrations
from faults.overriding import goes_past_the_window
from faults.place import Place
from tidegate.api.names import ANNOTATION_RESTARTED_AT
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import DEPLOYMENTS, PODS, RELEASES

GOOD, BAD, LIMIT = 0.0, 0.5, 0.01
"""What the stand-in for Prometheus answers, and the most that the gate allows."""
POLICY: dict[str, Any] = {"gates": (exact_gate(most=LIMIT),), "bake": "1s", "drain": "1s"}
REPLICAS = 3
HOLD = 2.0
STEPS = (step(50, f"{HOLD:g}s"), step(100))
TWO_GATES = (exact_gate(most=LIMIT), exact_gate("latency", most=LIMIT))
"""One is breached with the other: whichever cannot be judged, the other shuts the route."""
HELD_AT_HALF = (step(50, HELD), step(100))
GROUP_STEPS = (step(25, "1s"), *HELD_AT_HALF)


@dataclass(frozen=True)
class Journey:
    """One journey.

    Attributes:
        name: as it stands in the names of injections.
        begin: what is there before any fault.
        tell: what happens then; returns once the journey has ended well.
        most: the greatest weight that any version can have earned on the way.
        promotes: the version that serves at the end.
        pinned: the user's Service is written by the operator, as the user has asked.
        follows: the images are those of another Release, and written into the Deployment at the promotion.
        retried: a person lets a rejected version try again.
        native: the Deployment rolls by itself on the way.
        crashes: all pods of a version are lost while it has weight, and come back.
        undone_by: causes for which a rollout may be undone on the way.
        votes: the role whose vote a version needs, by the weight before which it is; 0 for the start.
        attempts: how often one check of it may be made.
        checks: the check that a version needs, by the weight before which it is; 0 for the start.
        overridden: a version starts only after somebody has overridden for it, and that is told once.
        by_the_clock: it is about a time of the day, so that another clock makes another journey of it.
        large: it is about many Releases, and takes minutes where the machine has other work.
        grouped: weights of the steps that two Releases go together; none where there is one.
        flagged: it sets feature flags.
        asks: the checks of its policy that are made by requests.
        settings: of its place, beside what all places have.
    """

    name: str
    begin: Callable[[Place], Awaitable[None]]
    tell: Callable[[Place], Awaitable[None]]
    most: int = 100
    promotes: str = "v1"
    pinned: bool = False
    follows: bool = False
    retried: bool = False
    native: bool = False
    crashes: bool = False
    undone_by: tuple[str, ...] = ()
    votes: Mapping[int, str] = field(default_factory=dict)
    checks: Mapping[int, str] = field(default_factory=dict)
    attempts: int = 1
    overridden: bool = False
    by_the_clock: bool = False
    large: bool = False
    grouped: tuple[int, ...] = ()
    flagged: bool = False
    asks: Sequence[Json] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def begins_released(*steps: Json, **policy: Any) -> Callable[[Place], Awaitable[None]]:
    """A Release over v1 that is Ready, under a policy with these steps."""

    async def begin(place: Place) -> None:
        given = Given(place)
        await given.a_released_app(*steps, app={"replicas": REPLICAS}, **(POLICY | policy))

    return begin


async def begins_unmanaged(place: Place) -> None:
    """A Deployment that serves, and an operator that has nothing to do yet."""
    given = Given(place)
    await given.an_app(replicas=REPLICAS)
    await given.a_policy(*STEPS, **POLICY)
    await place.operator.ready()


async def adoption(place: Place) -> None:
    """A Release is put over a Deployment that serves."""
    given = Given(place)
    await place.apply(manifests.release())
    await place.until("the Release is Ready", lambda: place.condition("Ready").get("status") == "True")
    await given.a_release()


async def promotion(place: Place) -> None:
    """A good version goes up its steps and takes over."""
    await When(place).the_image_becomes("v2")
    await promoted(place, "v2")


async def promoted(place: Place, version: str) -> None:
    """A version is in force, and everything else is the user's again."""
    await Then(place).promoted_to(version)
    await Then(place).the_route_is_as_written()


async def at_half(place: Place) -> None:
    """A version has half of the traffic.

    Its hold has begun, too, as a rule; where the network keeps back the status that says so, what follows does not wait for that.
    """
    await place.until("the route carries 50%", lambda: canary_share(place.route) == 50)
    await place.history.until(lambda: "since" in (place.status.get("step") or {}), within=1.0)


async def breach(place: Place) -> None:
    """The metrics turn while a version has half of the traffic."""
    await When(place).the_image_becomes("v2")
    await at_half(place)
    place.prometheus.numbers.canary = BAD
    place.turned = time.time() if place.neighbour else None
    await Then(place).rolled_back_to("v1")


async def frozen(place: Place) -> None:
    """A version waits for a freeze to end, and turns bad in another one while it has half of the traffic."""
    await waits_for_the_thaw(place)
    await at_half(place)
    await turns_bad_in_a_freeze(place, BAD)


async def approval(place: Place) -> None:
    """A version goes as far as people let it, and turns bad when it has all of the traffic."""
    await decided_step_by_step(place, BAD)


async def windows(place: Place) -> None:
    """A version is at half when its window shuts, and turns bad meanwhile."""
    await shuts_at_half(place, BAD, *HELD_AT_HALF, **(POLICY | {"gates": TWO_GATES}))


async def hotfix(place: Place) -> None:
    """A version is let past its window by somebody's word, takes over, and is reviewed."""
    await goes_past_the_window(place, *STEPS, **POLICY)


async def check_hangs(place: Place) -> None:
    """The check before all of the traffic never ends, twice: a version that has half of it is taken back."""
    await When(place).the_image_becomes("v2")
    await Then(place).rolled_back_to("v1")


async def asked(place: Place) -> None:
    """A version takes over that is asked about at each point; what comes to nothing afterwards is told, and nothing is undone."""
    await promotion(place)
    await asking.has_come_to(place, "notes", "Failed")


async def asked_in_vain(place: Place) -> None:
    """The request before all of the traffic is never answered, twice: a version that has half of it is taken back."""
    await When(place).the_image_becomes("v2")
    await Then(place).rolled_back_to("v1")
    await asking.has_come_to(place, "notes", "Passed")


async def asked_and_refused(place: Place) -> None:
    """The request before the first traffic is refused, twice: the version never gets any."""
    await When(place).the_image_becomes("v2")
    await Then(place).rolled_back_to("v1")


async def migration(place: Place) -> None:
    """A version takes over with its database: what came before is removed at last."""
    await promotion(place)
    await came_to(place, "Contract")


async def migration_breached(place: Place) -> None:
    """A version turns bad while its data are moved, which hangs: it is taken back at once, and then its database."""
    await breach(place)
    await came_to(place, "Rollback")


async def migration_hangs(place: Place) -> None:
    """An expand that never ends is stopped by its time-out: nothing of the version was ever there."""
    await When(place).the_image_becomes("v2")
    await Then(place).rolled_back_to("v1")
    await came_to(place, "Rollback")


async def group(place: Place) -> None:
    """Two Releases go up together; one turns bad at half, and both are taken back."""
    await grouping.both_at(place, 50, REPLICAS)
    place.prometheus.numbers.canary = BAD
    await Then(place).rolled_back_to("v1")
    await grouping.mate_is_back(place)


async def flags(place: Place) -> None:
    """A version turns bad at half, where a part of the users has its feature, and payments were switched off meanwhile."""
    await When(place).the_image_becomes("v2")
    await at_half(place)
    await flagging.is_switched_off_at_half(place)
    place.prometheus.numbers.canary = BAD
    await Then(place).rolled_back_to("v1")
    await flagging.is_back(place)


async def follow(place: Place) -> None:
    """What another Release has promoted is taken over and goes up its steps; nobody writes a version here."""
    await follows(place)
    await promoted(place, "v2")


async def request(place: Place) -> None:
    """A person takes a version back."""
    await When(place).the_image_becomes("v2")
    await at_half(place)
    await When(place).asked_to("rollback")
    await Then(place).rolled_back_to("v1")


async def retry(place: Place) -> None:
    """A person takes a version back, and then lets it try again."""
    await request(place)
    await When(place).asked_to("retry")
    await at_half(place)
    await When(place).asked_to("promote")
    await promoted(place, "v2")


async def superseding(place: Place) -> None:
    """A third version comes while the second has half of the traffic."""
    await When(place).the_image_becomes("v2")
    await at_half(place)
    await When(place).the_image_becomes("v3")
    await promoted(place, "v3")


async def crashing(place: Place) -> None:
    """All containers of a version end while it has half of the traffic; they run again, it climbs anew, and they end again."""
    await When(place).the_image_becomes("v2")
    for _ in range(2):
        await at_half(place)
        await crash(place, "v2")
        await place.until("the route gives v2 nothing", lambda: not canary_share(place.route))
        await run_again(place, "v2")
    await Then(place).rolled_back_to("v1")


async def crash(place: Place, version: str) -> None:
    """The containers of a version end, as its nodes say."""
    end = {"exitCode": 1, "reason": "Error", "message": "no such table: orders", "finishedAt": now()}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
    await said(place, version, "False", {"state": state, "lastState": {"terminated": end}, "ready": False, "restartCount": 1})


async def run_again(place: Place, version: str) -> None:
    """The containers of a version are started again, as its nodes say."""
    await said(place, version, "True", {"state": {"running": {"startedAt": now()}}, "ready": True, "started": True})


def now() -> str:
    """Return the time as nodes write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def said(place: Place, version: str, ready: str, container: Json) -> None:
    """Nodes write what has become of the containers of a version's pods."""
    for pod in place.pods(version):
        statuses = [{**one, **container} for one in pod["status"]["containerStatuses"]]
        conditions = [
            {**one, "status": ready, "lastTransitionTime": now()} if one["type"] in {"Ready", "ContainersReady"} else one
            for one in pod["status"]["conditions"]
        ]
        status = {"containerStatuses": statuses, "conditions": conditions}
        with contextlib.suppress(NotFound):
            # A pod may be stopped by then: what it says is of no concern to anybody.
            await place.patch(PODS.path(place.namespace, pod["metadata"]["name"], "status"), {"status": status})


async def deletion(place: Place) -> None:
    """The Release is deleted while a version has half of the traffic."""
    await When(place).the_image_becomes("v2")
    await at_half(place)
    await place.delete(RELEASES.path(place.namespace, NAME))
    await place.until("the Release is gone", lambda: not place.release)
    await Then(place).the_route_is_as_written()


async def scaling(place: Place) -> None:
    """An autoscaler scales up in the middle and down in the bake."""
    await When(place).the_image_becomes("v2")
    await at_half(place)
    await scaled(place, 6)
    await place.until("v1 has 6 pods", lambda: place.ready("v1") >= 6 or place.status.get("phase") == "Promoting")
    await place.until("all traffic is on v2", lambda: canary_share(place.route) == 100 or place.ready("v2") >= 6)
    await scaled(place, 4)
    await promoted(place, "v2")
    await Then(place).pods_wanted("v2", 4)


async def scaled(place: Place, replicas: int) -> None:
    """Scale as the horizontal pod autoscaler does, through the subresource."""
    path = DEPLOYMENTS.path(place.namespace, NAME, "scale")
    await place.patch(path, {"spec": {"replicas": replicas}})


async def overlay(place: Place) -> None:
    """The Release names the image, and the user's Service is pinned to the version that serves."""
    images = {"app": f"{REGISTRY}/{NAME}:v2"}
    await place.apply(release(images=images))
    await promoted(place, "v2")


def release(**more: Any) -> Json:
    """Return a Release that pins the user's Service."""
    found = manifests.release(**more)
    found["spec"]["traffic"]["pinService"] = True
    return found


async def begins_pinned(place: Place) -> None:
    """A Release over v1 that pins the user's Service."""
    given = Given(place)
    await given.an_app(replicas=REPLICAS)
    await given.a_policy(*STEPS, **POLICY)
    await place.operator.ready()
    await place.apply(release())
    await place.until("the Release is Ready", lambda: place.condition("Ready").get("status") == "True")
    await place.rest(0.3)


async def restart(place: Place) -> None:
    """`kubectl rollout restart`: no version, and the Deployment's own affair."""
    await When(place).the_app_becomes(annotations={ANNOTATION_RESTARTED_AT: "2026-01-01T00:00:00Z"})
    await place.until("the restart has begun", lambda: len(place.history.all("ReplicaSet")) > 1)
    await place.until("every pod is new", lambda: len(place.pods("v1")) == REPLICAS and place.ready("v1") == REPLICAS)
    await Then(place).promoted_to("v1")


def by_requests(name: str, tell: Callable[[Place], Awaitable[None]], checks: Sequence[Json], **more: Any) -> Journey:
    """Return a journey whose version is checked by requests."""
    return Journey(name, begins_released(*STEPS, checks=list(checks)), tell, asks=checks, settings={"asked": True}, **more)


JOURNEYS = {
    journey.name: journey
    for journey in (
        Journey("promotion", begins_released(*STEPS), promotion, promotes="v2"),
        Journey("breach", begins_released(*HELD_AT_HALF, gates=TWO_GATES), breach, most=50, undone_by=("GateBreached",)),
        Journey("frozen", begins_released(*HELD_AT_HALF, gates=TWO_GATES), frozen, most=50, undone_by=("GateBreached",)),
        Journey(
            "approval",
            begins_released(step(50, f"{HOLD:g}s"), step(100, HELD), gates=TWO_GATES, approvals=APPROVALS),
            approval,
            undone_by=("GateBreached",),
            votes=VOTES,
        ),
        Journey(
            "windows",
            begins_released(*HELD_AT_HALF, gates=TWO_GATES),
            windows,
            most=50,
            undone_by=("GateBreached",),
            by_the_clock=True,
        ),
        Journey("hotfix", begins_released(*STEPS), hotfix, promotes="v2", overridden=True),
        Journey(
            "check", checked(begins_released(*STEPS, checks=CHECKS)), promotion, promotes="v2", checks={0: "smoke", 100: "load"}
        ),
        Journey(
            "check-hangs",
            checked(begins_released(*STEPS, checks=HANGING)),
            check_hangs,
            most=50,
            undone_by=("CheckFailed",),
            checks={0: "smoke"},
            attempts=2,
        ),
        by_requests("asked", asked, asking.ASKED, promotes="v2"),
        by_requests("asked-in-vain", asked_in_vain, asking.IN_VAIN, most=50, undone_by=("CheckFailed",)),
        by_requests("asked-and-refused", asked_and_refused, asking.REFUSED, most=0, undone_by=("CheckFailed",)),
        Journey("migration", migrated(begins_released(*STEPS, **migrations())), migration, promotes="v2", checks=NEEDED),
        Journey(
            "migration-breached",
            migrated(begins_released(*HELD_AT_HALF, gates=TWO_GATES, **migrations()), "migrate"),
            migration_breached,
            most=50,
            undone_by=("GateBreached",),
            checks=NEEDED,
        ),
        Journey(
            "migration-hangs",
            migrated(begins_released(*HELD_AT_HALF, **migrations(expand="3s")), "expand"),
            migration_hangs,
            most=0,
            undone_by=("MigrationFailed",),
        ),
        Journey(
            "group",
            grouping.begins_together(REPLICAS, *GROUP_STEPS, **(POLICY | {"gates": TWO_GATES})),
            group,
            most=50,
            undone_by=("GateBreached",),
            grouped=(25, 50, 100),
        ),
        Journey(
            "flags",
            flagging.with_flags(begins_released(*flagging.STEPS, gates=TWO_GATES, release={"flags": flagging.FLAGS})),
            flags,
            most=50,
            undone_by=("GateBreached",),
            flagged=True,
        ),
        Journey("follow", begins_released(*STEPS), follow, promotes="v2", follows=True),
        Journey("request", begins_released(*HELD_AT_HALF), request, most=50, undone_by=("Requested",)),
        Journey("superseding", begins_released(*STEPS), superseding, promotes="v3", undone_by=("Superseded",)),
        Journey("deletion", begins_released(*HELD_AT_HALF), deletion, most=50, undone_by=("Deleted",)),
        Journey("crashing", begins_released(*HELD_AT_HALF), crashing, most=50, crashes=True, undone_by=("PodsLost",)),
        Journey("adoption", begins_unmanaged, adoption, most=0),
        Journey("scaling", begins_released(*STEPS, bake="2s"), scaling, promotes="v2"),
        Journey("retry", begins_released(*HELD_AT_HALF), retry, promotes="v2", undone_by=("Requested",), retried=True),
        Journey("overlay", begins_pinned, overlay, promotes="v2", pinned=True),
        Journey(
            "hostile",
            beside(begins_released(*HELD_AT_HALF, gates=TWO_GATES)),
            breach,
            most=50,
            undone_by=("GateBreached",),
            settings={"neighbour": True, "query_timeout": "5s"},
        ),
        Journey(
            "notification",
            begins_released(*HELD_AT_HALF, gates=TWO_GATES),
            breach,
            most=50,
            undone_by=("GateBreached",),
            settings={"told": True},
        ),
        Journey("restart", begins_released(*STEPS), restart, most=0, native=True),
    )
}
