"""The oracle sees what must not be: an orderly promotion is told, and then told again with one thing wrong."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.manifests import NAME, Json
from e2e.prometheus_stand_in import Mood
from faults.journeys import BAD, GOOD, JOURNEYS
from faults.oracle import Oracle, Violation
from faults.place import Place
from faults.prometheus import Answer, Prometheus
from faults.recorder import Recorder, acceptance

V1, V2 = "hash1", "hash2"
GATEWAY = [{"name": "faults", "namespace": "default"}]


@dataclass
class Tale:
    """A namespace as the API server would tell of it, change by change."""

    prometheus: Prometheus = field(default_factory=Prometheus)
    recorder: Recorder = field(default_factory=lambda: Recorder(None, "shop"))  # type: ignore[arg-type]
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    version: int = 0

    def tell(self, kind: str, name: str, **parts: Any) -> None:
        """An object comes, or changes as a whole."""
        known = (kind, name) in self.objects
        self.version += 1
        metadata = {"name": name, "uid": name, "labels": {}, **parts.pop("metadata", {}), "resourceVersion": str(self.version)}
        self.objects[kind, name] = {"kind": kind, "metadata": metadata, **parts}
        self.recorder._take("MODIFIED" if known else "ADDED", copy.deepcopy(self.objects[kind, name]))

    def gone(self, kind: str, name: str) -> None:
        """An object goes."""
        self.version += 1
        last = self.objects.pop((kind, name))
        last["metadata"]["resourceVersion"] = str(self.version)
        self.recorder._take("DELETED", last)

    def pods(self, revision: str, number: int, *, ready: bool = True) -> None:
        """A ReplicaSet gets pods, and the Services that select them get endpoints."""
        for index in range(number):
            conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
            labels = {"app": NAME, "pod-template-hash": revision}
            self.tell("Pod", f"{revision}-{index}", metadata={"labels": labels}, status={"conditions": conditions})

    def endpoints(self, service: str, number: int) -> None:
        """A Service has so many ready endpoints."""
        labels = {"kubernetes.io/service-name": service}
        self.tell("EndpointSlice", service, metadata={"labels": labels}, endpoints=[{"conditions": {"ready": True}}] * number)

    def service(self, name: str, revision: str | None = None) -> None:
        """A Service selects all pods, or those of a revision."""
        self.tell("Service", name, spec={"selector": {"app": NAME} | ({"pod-template-hash": revision} if revision else {})})

    def replica_set(self, revision: str, replicas: int, *owners: str) -> None:
        """A ReplicaSet wants so many pods."""
        image = "checkout:v1" if revision == V1 else "checkout:v2"
        labels = {"app": NAME, "pod-template-hash": revision}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"image": image}]}}
        spec = {"replicas": replicas, "template": template, "selector": {"matchLabels": labels}}
        metadata = {"labels": labels, "ownerReferences": [{"kind": owner} for owner in owners]}
        self.tell("ReplicaSet", f"{NAME}-{revision}", metadata=metadata, spec=spec)

    def deployment(self, image: str, *, paused: bool, replicas: int = 3) -> None:
        """The Deployment has an image."""
        spec = {"replicas": replicas, "paused": paused, "template": {"spec": {"containers": [{"image": image}]}}}
        self.tell("Deployment", NAME, spec=spec)

    def route(self, *, accepted: bool = True, **weights: int) -> None:
        """The route has these weights, and its router has accepted them."""
        names = {"user": NAME, "stable": f"{NAME}-stable", "canary": f"{NAME}-canary"}
        backends = [{"name": names[name], "weight": weight} for name, weight in weights.items()]
        spec = {"parentRefs": GATEWAY, "rules": [{"backendRefs": backends}]}
        generation = {"generation": self.version + 1}
        self.tell("HTTPRoute", NAME, metadata=generation, spec=spec)
        if accepted:
            told = {"parents": [acceptance(self.objects["HTTPRoute", NAME])]}
            self.tell("HTTPRoute", NAME, metadata=generation, spec=spec, status=told)

    def status(self, weight: int, **more: Any) -> None:
        """The Release's status says a weight."""
        self.tell("Release", NAME, spec={}, status={"weight": weight, **more})

    def event(self, message: str, reason: str = "WeightChanged") -> None:
        """An Event says something of the Release."""
        self.tell("Event", f"event-{self.version}", involvedObject={"kind": "Release"}, reason=reason, message=message)

    def answer(self, canary: float) -> None:
        """Prometheus says how the new version does."""
        self.prometheus.answers.append(Answer(time.time(), Mood.NUMBERS, canary))

    def violations(self, journey: str = "promotion", *, frozen: tuple[tuple[float, float], ...] = (), **told: Any) -> set[str]:
        """Return the names of the invariants that do not hold."""
        return {found.invariant for found in self.check(journey, frozen=frozen, **told)}

    def check(self, journey: str, *, since: int = 0, frozen: tuple[tuple[float, float], ...] = (), **told: Any) -> list[Violation]:
        """Return what does not hold, of what was told after one change."""
        place = Place(None, None, "shop", self.recorder, None, self.prometheus)  # type: ignore[arg-type]
        place.frozen = [*frozen]
        return Oracle(place, JOURNEYS[journey], since=since, holds={}, **told).check()


def serving() -> Tale:
    """v1 serves, and the route is as its user wrote it."""
    tale = Tale()
    tale.pods(V1, 3)
    tale.service(NAME)
    tale.endpoints(NAME, 3)
    tale.replica_set(V1, 3, "Deployment")
    tale.deployment("checkout:v1", paused=False)
    tale.status(0)
    tale.route(user=1)
    return tale


def at_half() -> Tale:
    """v2 has half of the traffic, and its gate has looked."""
    tale = serving()
    tale.deployment("checkout:v2", paused=True)
    for service, revision in ((f"{NAME}-stable", V1), (f"{NAME}-canary", V2)):
        tale.service(service, revision)
    tale.endpoints(f"{NAME}-stable", 3)
    tale.route(user=1, stable=0, canary=0)
    tale.route(user=0, stable=100, canary=0)
    tale.replica_set(V2, 3, "Namespace", "Release")
    tale.pods(V2, 3)
    tale.endpoints(f"{NAME}-canary", 3)
    tale.status(50, rollout={}, candidate={"revision": V2})
    tale.route(stable=50, canary=50)
    tale.event("Weight of v2 raised from 0% to 50%")
    tale.answer(GOOD)
    return tale


def promoted() -> Tale:
    """v2 has taken over."""
    tale = at_half()
    tale.status(100, rollout={}, candidate={"revision": V2})
    tale.route(stable=0, canary=100)
    tale.event("Weight of v2 raised from 50% to 100%")
    tale.answer(GOOD)
    tale.replica_set(V2, 3)
    tale.replica_set(V2, 3, "Deployment")
    tale.replica_set(V1, 0, "Deployment")
    for index in range(3):
        tale.gone("Pod", f"{V1}-{index}")
    tale.deployment("checkout:v2", paused=False)
    tale.route(user=0, stable=0, canary=100)
    tale.route(user=1, stable=0, canary=0)
    tale.route(user=1)
    tale.status(0)
    tale.event("v2 is promoted", "Promoted")
    return tale


def test_orderly_promotion_is_fine():
    """Nothing is wrong with a promotion as it should be."""
    assert set() == promoted().violations()


def without_pods(tale: Tale) -> None:
    for index in range(3):
        tale.gone("Pod", f"{V2}-{index}")


def nobody_serves(tale: Tale) -> None:
    tale.route(stable=0, canary=0)


def without_a_look(tale: Tale) -> None:
    tale.prometheus.answers.clear()
    tale.status(100, rollout={})
    tale.route(stable=0, canary=100)
    tale.event("Weight of v2 raised from 50% to 100%")


def beyond_the_status(tale: Tale) -> None:
    tale.route(stable=0, canary=100)


def rejected_again(tale: Tale) -> None:
    undone = {"undo": "GateBreached"}
    tale.status(0, rollout=undone, candidate={"revision": V2}, rejected=[{"revision": V2}])
    tale.event("Rolling back v2", "GateBreached")
    tale.route(stable=100, canary=0)
    tale.status(50, rejected=[{"revision": V2}])
    tale.route(stable=50, canary=50)


def raised_after_a_bad_answer(tale: Tale) -> None:
    tale.answer(BAD)
    tale.route(stable=100, canary=0)
    tale.route(stable=50, canary=50)


def rejection_forgotten(tale: Tale) -> None:
    tale.status(0, rollout={"undo": "GateBreached"}, candidate={"revision": V2}, rejected=[{"revision": V2}])
    tale.event("Rolling back v2", "GateBreached")
    tale.status(0)


def let_go(tale: Tale) -> None:
    tale.deployment("checkout:v2", paused=False)


def stopped_under_load(tale: Tale) -> None:
    tale.replica_set(V2, 0, "Namespace", "Release")


def stable_shrinks(tale: Tale) -> None:
    tale.replica_set(V1, 1, "Deployment")


def undone_for_nothing(tale: Tale) -> None:
    tale.status(50, rollout={"undo": "ProgressDeadlineExceeded"}, candidate={"revision": V2})


def untold(tale: Tale) -> None:
    tale.status(60, rollout={})


def service_changed(tale: Tale) -> None:
    tale.service(NAME, V1)


def unjudged_adoption(tale: Tale) -> None:
    tale.prometheus.answers.clear()
    tale.replica_set(V2, 3)


def handed_back_beside_another(tale: Tale) -> None:
    tale.replica_set(V1, 3, "Namespace", "Release")
    tale.replica_set(V2, 3, "Deployment")
    tale.replica_set(V1, 3)


def rejected_is_handed_back(tale: Tale) -> None:
    tale.status(50, rollout={}, stable={"revision": V1})
    tale.replica_set(V2, 3)


@pytest.mark.parametrize(
    ("wrong", "invariant"),
    [
        (without_pods, "ready-pods"),
        (nobody_serves, "somebody-serves"),
        (without_a_look, "earned"),
        (beyond_the_status, "weight-in-status"),
        (rejected_again, "rejected-stays-out"),
        (raised_after_a_bad_answer, "rejected-stays-out"),
        (rejection_forgotten, "rejected-stays-out"),
        (let_go, "held-template"),
        (stopped_under_load, "drained"),
        (stable_shrinks, "stable-serves"),
        (undone_for_nothing, "undone-for-a-reason"),
        (untold, "explained"),
        (service_changed, "user-fields"),
        (unjudged_adoption, "earned"),
        (handed_back_beside_another, "stable-serves"),
        (rejected_is_handed_back, "stable-serves"),
    ],
)
def test_what_must_not_be_is_seen(wrong: Callable[[Tale], None], invariant: str) -> None:
    """One thing goes wrong while v2 has half of the traffic: the oracle names the invariant."""
    tale = at_half()

    wrong(tale)

    assert invariant in tale.violations()


def test_judged_pod_that_is_stopped_is_seen():
    """A pod that was judged and handed over must not be stopped by its own promotion."""
    tale = promoted()

    tale.gone("Pod", f"{V2}-0")

    assert "judged-pods-live" in tale.violations()


def test_version_without_traffic_may_shrink_with_the_deployment():
    """The Deployment was scaled, and its own version follows before the operator has heard of it: nothing that serves stops."""
    tale = at_half()
    tale.replica_set(V2, 3, "Namespace", "Release")
    tale.status(100, rollout={})
    tale.event("Weight of v2 raised from 50% to 100%")
    tale.answer(GOOD)
    tale.route(stable=0, canary=100)
    tale.deployment("checkout:v2", paused=True, replicas=6)
    tale.replica_set(V1, 6, "Deployment")
    tale.deployment("checkout:v2", paused=True, replicas=4)
    tale.replica_set(V1, 4, "Deployment")

    assert set() == tale.violations()


def test_route_may_be_shut_before_the_status_says_why():
    """What takes traffic from a bad version waits for no other write."""
    tale = at_half()

    tale.answer(BAD)
    tale.route(stable=100, canary=0)
    tale.status(0, rollout={"undo": "GateBreached"}, candidate={"revision": V2}, rejected=[{"revision": V2}])
    tale.event("Rolling back v2", "GateBreached")

    assert set() == tale.violations("breach", shut_within=1.0)


def test_slow_rollback_is_seen():
    """Traffic that stays on a bad version for longer than allowed is a violation."""
    tale = at_half()
    tale.answer(BAD)

    assert "shut-in-time" in tale.violations("breach", shut_within=1.0)


def loses_all_pods_under_traffic(tale: Tale) -> None:
    """All pods of v2 are lost while it has half of the traffic, the route is shut, and they come back."""
    tale.pods(V2, 3, ready=False)
    tale.route(stable=100, canary=0)
    tale.event("Weight of v2 lowered from 50% to 0%", "RollingBack")
    tale.pods(V2, 3)


def test_version_that_crashed_may_be_let_in_once_more():
    """Where all pods of a version crash under its traffic, that is not the operator's doing, and once it may climb again."""
    tale = at_half()
    loses_all_pods_under_traffic(tale)
    tale.route(stable=50, canary=50)

    assert set() == tale.violations("crashing")


def test_version_that_crashed_twice_is_not_let_in_again():
    """A version that has lost all its pods twice after it had traffic gets none any more."""
    tale = at_half()
    for _ in range(2):
        loses_all_pods_under_traffic(tale)
        tale.route(stable=50, canary=50)

    assert {"lost-stays-out"} == tale.violations("crashing")


def test_weight_that_rises_during_a_freeze_is_seen():
    """While releases are frozen nothing rises; what rose before, and what goes down, is as it should be."""
    began = time.time()
    tale = at_half()
    between = time.time()
    tale.route(stable=100, canary=0)
    tale.event("Weight of v2 lowered from 50% to 0%", "RollingBack")

    assert "frozen" in tale.violations("frozen", frozen=((began, math.inf),))
    assert set() == tale.violations("frozen", frozen=((0.0, began), (between, math.inf)))
