"""What must hold at every instant of a journey, checked on what the API server has said and on nothing that the operator believes.

Every change of every object is replayed in the API server's order; after each one the oracle looks at the whole namespace. It keeps
its own account of what was rejected and of what Prometheus has truly said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from e2e.manifests import NAME
from e2e.world import canary_share
from faults.checking import VERSION, Once
from faults.governors import Governors
from faults.journeys import LIMIT, REPLICAS, Journey
from faults.place import Place
from faults.recorder import Instant, Recorder, accepted, instants
from faults.standing import (
    CANARY,
    endpoints,
    fields_of,
    own_weights,
    owners,
    ready_pods,
    revision_behind,
    revision_of,
    selects,
    status_of,
    weighted,
    without_backends,
)
from tidegate.api.names import ANNOTATION_HANDED_BACK, FIELD_MANAGER, LABEL_RELEASE

ENDS = {"GateBreached", "RollingBack", "RolledBack", "Superseded", "Reverted", "Promoted", "Promoting"}
"""Reasons of Events that tell why a version has no weight any more."""
REJECTING = {"GateBreached", "Requested", "ProgressDeadlineExceeded", "NoData", "PodsLost"}
TOLERATED_LOSSES = 1
"""How often a version may lose all pods under traffic and be let in again, by the policy's default."""
SLACK = 0.05
"""Seconds by which two clocks may differ over a few seconds."""


@dataclass(frozen=True)
class Violation:
    """Something that must not be.

    Attributes:
        invariant: which one does not hold, in one word.
        message: what was seen.
    """

    invariant: str
    message: str


@dataclass
class Account:
    """What the oracle remembers from instant to instant.

    Attributes:
        rejected: revisions that were rejected.
        carried: the weight that the route carries, since when it was seen, and whether its router has accepted it.
        judged: uids of the pods that were handed to the Deployment.
        emptied: since when a route that was accepted since has given the new version nothing.
        in_force: the weight that a router has accepted last.
        losses: how often all pods of the new version were lost after its weight had risen.
        exposed: its weight has risen since they were lost last.
    """

    rejected: set[str] = field(default_factory=set)
    carried: tuple[float, float, bool] = (0.0, -math.inf, False)
    judged: set[str] = field(default_factory=set)
    emptied: float | None = None
    in_force: float = 0.0
    losses: int = 0
    exposed: bool = False


class Oracle:
    """Checks one journey.

    Args:
        place: where it happened.
        journey: what it was.
        since: order of the last change before it began.
        holds: hold of each weight of its policy, in seconds.
        drain: seconds between the last weight of pods and their end.
        shut_within: seconds from the first bad answer of Prometheus to a route that gives the new version nothing.
    """

    def __init__(
        self,
        place: Place,
        journey: Journey,
        *,
        since: int,
        holds: dict[int, float],
        drain: float = 1.0,
        shut_within: float = math.inf,
    ) -> None:
        self._place, self._journey, self._since = place, journey, since
        self._holds, self._drain, self._shut_within = holds, drain, shut_within
        self._account, self._governors = Account(), Governors(journey.votes, journey.overridden)
        self._once = Once(journey.attempts)
        self.violations: list[Violation] = []
        self._checks: dict[str, tuple[Callable[[Instant], None], ...]] = {
            "HTTPRoute": (self._somebody_serves, self._weight_has_pods, self._weight_is_earned, self._rest_of_route_is_kept),
            "Service": (self._weight_has_pods, self._service_is_kept),
            "Pod": (self._weight_has_pods, self._judged_pods_live, self._pods_are_lost, self._begins_checked),
            "EndpointSlice": (self._weight_has_endpoints,),
            "ReplicaSet": (self._nobody_stops_what_serves, self._rejected_get_no_pods, self._pods_are_drained, self._adopted),
            "Deployment": (self._held_until_it_serves, self._only_these_fields),
            "Job": (self._made_once,),
            "Release": (self._undone_for_a_reason, self._rejection_is_kept, self._weight_is_within),
        }

    def check(self) -> list[Violation]:
        """Look at every instant, and return what must not be, the first of each kind."""
        for instant in instants(self._place.recorder.changes):
            if instant.seen.order > self._since and not _is_of_another(instant):
                for look in self._checks.get(instant.seen.kind, ()):
                    look(instant)
                for ask in self._governors.checks.get(instant.seen.kind, ()):
                    for invariant, words in ask(instant):
                        self._fail(invariant, instant, words)
        self._shut_in_time()
        self._explained()
        first: dict[str, Violation] = {}
        for violation in self.violations:
            first.setdefault(violation.invariant, violation)
        return list(first.values())

    def _fail(self, invariant: str, instant: Instant, words: str) -> None:
        seen = instant.seen
        self.violations.append(Violation(invariant, f"{words} (version {seen.order}: {seen.type} {seen.kind} {seen.name})"))

    # Traffic.

    def _somebody_serves(self, now: Instant) -> None:
        for rule in own_weights(now):
            if rule and not sum(rule.values()):
                self._fail("somebody-serves", now, f"no backend has weight: {rule}")

    def _weight_has_pods(self, now: Instant) -> None:
        for service in self._promised(now):
            found = now.get("Service", service)
            if found is None:
                self._fail("ready-pods", now, f"the route gives weight to Service {service}, which is not there")
            elif not ready_pods(now, found["spec"]["selector"]):
                self._fail("ready-pods", now, f"the route gives weight to Service {service}, which has no ready pod")
        if now.seen.kind == "HTTPRoute":
            self._weight_has_endpoints(now)

    def _weight_has_endpoints(self, now: Instant) -> None:
        for service in self._promised(now):
            if not endpoints(now, service):
                self._fail("ready-endpoints", now, f"the route gives weight to Service {service}, which has no ready endpoint")

    def _promised(self, now: Instant) -> list[str]:
        """Return the Services that must have pods now: those that have weight, of a version that crashes only when it gets more."""
        rises = now.seen.kind == "HTTPRoute" and canary_share(now.seen.object) > (canary_share(now.before) if now.before else 0.0)
        return [service for service in weighted(now) if service != CANARY or not self._journey.crashes or rises]

    def _pods_are_lost(self, now: Instant) -> None:
        found = now.get("Service", CANARY)
        if self._account.exposed and found is not None and not ready_pods(now, found["spec"]["selector"]):
            self._account.losses += 1
            self._account.exposed = False

    def _weight_is_earned(self, now: Instant) -> None:
        if now.seen.type == "DELETED" or now.seen.name != NAME:
            return
        share, at = canary_share(now.seen.object), now.seen.at
        before = canary_share(now.before) if now.before else 0.0
        if share > before:
            self._rises(now, before, share)
            self._is_checked(now, share)
        if share != self._account.carried[0]:
            self._account.carried = (share, at, False)
            self._account.emptied = None
        if accepted(now.seen.object):
            # The router of the tests accepts what this process has seen: times from that moment on are never too short.
            since = self._account.carried[1]
            self._account.in_force = share
            self._account.carried = (share, since, True)
            if share == 0 and self._account.emptied is None:
                self._account.emptied = since

    def _is_checked(self, now: Instant, share: float) -> None:
        for weight, check in self._journey.checks.items():
            if weight <= share and not self._once.passed(now, check, VERSION):
                self._fail("checked", now, f"weight rose to {share:g}% without {check}")

    def _begins_checked(self, now: Instant) -> None:
        if now.seen.type != "ADDED" or not self._journey.checks.get(0):
            return
        owned = any(owner["kind"] == "ReplicaSet" for owner in now.seen.object["metadata"].get("ownerReferences", ()))
        image = now.seen.object["spec"]["containers"][0]["image"]
        if owned and image.endswith(f":{VERSION}") and not self._once.passed(now, self._journey.checks[0], VERSION):
            self._fail("checked", now, f"a pod of {VERSION} without {self._journey.checks[0]}")

    def _rises(self, now: Instant, before: float, share: float) -> None:
        status = status_of(now)
        rollout = status.get("rollout") or {}
        if share > self._journey.most:
            self._fail("earned", now, f"weight {share:g}%, where at most {self._journey.most}% can have been earned")
        if status.get("weight", 0) < share:
            self._fail("weight-in-status", now, f"the route has {share:g}%, the stored status {status.get('weight', 0)}%")
        if rollout.get("undo") or rollout.get("paused"):
            self._fail("earned", now, f"weight rose to {share:g}% while the rollout is undone or paused")
        if any(since <= now.seen.at < until for since, until in self._place.frozen):
            self._fail("frozen", now, f"weight rose to {share:g}% while releases were frozen")
        if revision_behind(now, CANARY) in self._account.rejected:
            self._fail("rejected-stays-out", now, f"a rejected revision got {share:g}%")
        if self._account.losses > TOLERATED_LOSSES:
            self._fail("lost-stays-out", now, f"{share:g}% for a version that has lost all its pods {self._account.losses} times")
        self._account.exposed = True
        bad = self._place.prometheus.first_bad(most=LIMIT)
        if bad is not None and now.seen.at > bad:
            # The route may be shut before the status says why: who comes next must not take that for a step to be made good.
            self._fail("rejected-stays-out", now, f"weight rose to {share:g}% after the first bad answer")
        carried, since, taken_in = self._account.carried
        if before <= 0 or rollout.get("skipToEnd") or carried != before:
            return
        if not taken_in:
            self._fail("earned", now, f"weight rose from {before:g}% to {share:g}% before a router had accepted {before:g}%")
        elif not self._place.prometheus.good_between(since, now.seen.at, most=LIMIT):
            self._fail("earned", now, f"weight rose from {before:g}% to {share:g}% and no gate can have passed at {before:g}%")
        elif now.seen.at - since < self._holds.get(round(before), 0.0) - SLACK:
            self._fail("held", now, f"{before:g}% was held for {now.seen.at - since:.2f} s only")

    def _made_once(self, now: Instant) -> None:
        for invariant, words in self._once.made(now):
            self._fail(invariant, now, words)

    def _rest_of_route_is_kept(self, now: Instant) -> None:
        if (
            now.before is not None
            and now.seen.type == "MODIFIED"
            and without_backends(now.seen.object) != without_backends(now.before)
        ):
            self._fail("user-fields", now, "something else than backends has changed in the route")

    # Pods.

    def _nobody_stops_what_serves(self, now: Instant) -> None:
        deployment = now.get("Deployment", NAME)
        if now.before is None or deployment is None or self._journey.native:
            return
        if now.seen.type != "DELETED" and now.seen.object["spec"]["replicas"] >= now.before["spec"]["replicas"]:
            return
        wanted = deployment["spec"]["replicas"]
        for service, share in weighted(now).items():
            found = now.get("Service", service)
            selector = found["spec"]["selector"] if found else {}
            if not selects(selector, now.seen.object["spec"]["template"]["metadata"].get("labels", {})):
                continue
            there = sum(
                rs["spec"]["replicas"]
                for rs in now.all("ReplicaSet")
                if selects(selector, rs["spec"]["template"]["metadata"].get("labels", {}))
            )
            needed = math.ceil(wanted * share) if service == CANARY else wanted
            if there < needed:
                self._fail(
                    "stable-serves", now, f"{there} pods are wanted behind {service}, which has {share:.0%} and needs {needed}"
                )

    def _pods_are_drained(self, now: Instant) -> None:
        if now.before is None or now.seen.type == "DELETED" or now.before["spec"]["replicas"] == 0:
            return
        if now.seen.object["spec"]["replicas"] > 0 or "Release" not in owners(now.seen.object):
            return
        route = now.get("HTTPRoute", NAME)
        if route is None or revision_of(now.seen.object) != revision_behind(now, CANARY):
            return
        if canary_share(route) > 0 or (not accepted(route) and self._account.in_force > 0):
            self._fail("drained", now, "pods of the new version are stopped before its router has taken the weight away")
        elif self._account.emptied is not None and now.seen.at - self._account.emptied < self._drain - SLACK:
            self._fail("drained", now, f"pods are stopped {now.seen.at - self._account.emptied:.2f} s after their last weight")

    def _adopted(self, now: Instant) -> None:
        if now.before is None or now.seen.type == "DELETED":
            return
        if "Release" in owners(now.before) and "Release" not in owners(now.seen.object):
            if revision_of(now.seen.object) != (status_of(now).get("candidate") or {}).get("revision"):
                self._handed_back(now)
                return
            labels = now.seen.object["spec"]["selector"]["matchLabels"]
            self._account.judged = {pod["metadata"]["uid"] for pod in ready_pods(now, labels)}
            wanted = (now.get("Deployment", NAME) or {"spec": {"replicas": 0}})["spec"]["replicas"]
            if len(self._account.judged) < wanted and self._place.release:
                self._fail("stable-serves", now, f"adopted with {len(self._account.judged)} ready pods of {wanted}")
            if revision_of(now.seen.object) in self._account.rejected:
                self._fail("rejected-stays-out", now, "a rejected revision was handed to the Deployment")
            share, since, taken_in = self._account.carried
            looked = taken_in and self._place.prometheus.good_between(since, now.seen.at, most=LIMIT)
            if not looked and self._place.release and not (status_of(now).get("rollout") or {}).get("skipToEnd"):
                self._fail("earned", now, f"adopted although no gate can have passed at {share:g}%")

    def _handed_back(self, now: Instant) -> None:
        """Nothing but the candidate is handed to the Deployment with pods."""
        if now.seen.object["spec"]["replicas"] > 0:
            self._fail("stable-serves", now, "a ReplicaSet with pods that is not the candidate's was handed to the Deployment")

    def _judged_pods_live(self, now: Instant) -> None:
        pod = now.seen.object
        if pod["metadata"]["uid"] not in self._account.judged:
            return
        gone = now.seen.type == "DELETED" or pod["metadata"].get("deletionTimestamp")
        scaled = (now.get("Deployment", NAME) or {"spec": {"replicas": REPLICAS}})["spec"]["replicas"] < len(self._account.judged)
        if gone and not scaled:
            self._fail("judged-pods-live", now, "a pod that was judged was stopped by its promotion")

    # The user's objects.

    def _held_until_it_serves(self, now: Instant) -> None:
        if now.seen.type == "DELETED" or now.seen.name != NAME or self._journey.native:
            return
        deployment = now.seen.object
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        serves = any(
            rs["spec"]["template"]["spec"]["containers"][0]["image"] == image
            and rs["spec"]["replicas"] > 0
            and "Release" not in owners(rs)
            for rs in now.all("ReplicaSet")
        )
        if not deployment["spec"].get("paused") and not serves:
            self._fail("held-template", now, f"the Deployment is let go with {image}, which does not serve")

    def _only_these_fields(self, now: Instant) -> None:
        if now.seen.type == "DELETED":
            return
        mine = {
            path
            for path in fields_of(now.seen.object, FIELD_MANAGER)
            if not path.startswith("template") or not (self._journey.pinned or self._journey.follows)
        }
        foreign = mine - {"paused", f"labels/{LABEL_RELEASE}", "labels", f"annotations/{ANNOTATION_HANDED_BACK}", "annotations"}
        if foreign:
            self._fail("user-fields", now, f"the operator has written {sorted(foreign)} into the Deployment")

    def _service_is_kept(self, now: Instant) -> None:
        if now.seen.name != NAME or now.before is None or self._journey.pinned:
            return
        if now.seen.type == "DELETED" or now.seen.object["spec"] != now.before["spec"]:
            self._fail("user-fields", now, "the user's Service was changed")

    # The Release.

    def _undone_for_a_reason(self, now: Instant) -> None:
        status = now.seen.object.get("status") or {}
        undo = (status.get("rollout") or {}).get("undo")
        if undo and undo not in self._journey.undone_by:
            words = status["rollout"].get("undoMessage", "")
            self._fail("undone-for-a-reason", now, f"the rollout is undone because of {undo}: {words}")

    def _rejection_is_kept(self, now: Instant) -> None:
        status = now.seen.object.get("status") or {}
        told = {entry["revision"] for entry in status.get("rejected", ())}
        rollout = status.get("rollout") or {}
        if rollout.get("undo") in REJECTING and status.get("candidate"):
            told.add(status["candidate"]["revision"])
        retried = self._journey.retried and str(status.get("handledRequest", "")).startswith(("retry", "promote"))
        if not self._account.rejected <= told and not retried and now.seen.type != "DELETED":
            self._fail("rejected-stays-out", now, f"a rejection was forgotten: {sorted(self._account.rejected - told)}")
        self._account.rejected = told if retried else self._account.rejected | told

    def _rejected_get_no_pods(self, now: Instant) -> None:
        if now.seen.type == "DELETED" or revision_of(now.seen.object) not in self._account.rejected:
            return
        before = now.before["spec"]["replicas"] if now.before else 0
        if now.seen.object["spec"]["replicas"] > before:
            self._fail("rejected-stays-out", now, "a rejected revision gets pods again")

    def _shut_in_time(self) -> None:
        bad, words = self._place.prometheus.first_bad(most=LIMIT), "the first bad answer"
        if bad is None:
            return
        if self._place.turned is not None:
            bad, words = self._place.turned, "its numbers had turned bad"
        routes = self._place.recorder.versions("HTTPRoute", NAME)
        shut = next((seen.at for seen in routes if seen.at > bad and canary_share(seen.object) == 0), math.inf)
        if shut - bad > self._shut_within:
            told = f"a bad version kept its traffic for {shut - bad:.1f} s after {words}"
            self.violations.append(Violation("shut-in-time", told))

    def _explained(self) -> None:
        self.violations += [Violation("explained", words) for words in untold(self._place.recorder)]

    def _weight_is_within(self, now: Instant) -> None:
        weight = status_of(now).get("weight", 0)
        if weight > self._journey.most:
            self._fail("earned", now, f"the status says {weight}%, where at most {self._journey.most}% can have been earned")


def _is_of_another(now: Instant) -> bool:
    """Whether a change is of a Release that is there besides, or of its pods."""
    if now.seen.kind == "Release":
        return now.seen.name != NAME
    return now.seen.kind in {"ReplicaSet", "Pod"} and now.seen.object["metadata"].get("labels", {}).get("app", NAME) != NAME


def untold(recorder: Recorder) -> list[str]:
    """Return in words what no Event tells of the weights that the status has had, whoever has died on the way."""
    told = [str(event["message"]) for event in recorder.events()]
    ended = any(event["reason"] in ENDS for event in recorder.events())
    found, before = [], 0
    for seen in recorder.versions("Release", NAME):
        weight = (seen.object.get("status") or {}).get("weight", 0)
        if weight > before and not any(f"to {weight}%" in message for message in told):
            found.append(f"no Event tells of the weight {weight}%")
        if weight < before and not ended:
            found.append(f"no Event tells why the weight went from {before}% to {weight}%")
        before = weight
    return found
