"""A burst is one only if verdicts are put off; what must not be in it is seen, and each fault strikes where it is meant to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from e2e.manifests import Json
from faults import burst_oracle
from faults.burst import is_verdict, named, names, put_off, shuts
from faults.burst_faults import NthShut, strikes, unstored
from faults.burst_oracle import Watch
from faults.place import Place
from faults.prometheus import Prometheus
from faults.recorder import Recorder
from faults.wire import Written
from faults.writes import Asked, Kind
from tidegate.api.names import Cause

ROUTE, STATUS = Kind("patch", "httproutes.gateway.networking.k8s.io"), Kind("patch", "releases.tidegate.dev/status")
FIRST, SECOND, THIRD = "checkout-01", "checkout-02", "checkout-03"


def shut(name: str, at: float, *, status: int = 200) -> Written:
    """The route of a service is shut, and the API server needs a tenth of a second."""
    number = name.removeprefix("checkout")
    return Written(Asked(ROUTE, f"{number}-stable=100,{number}-canary=0"), at, status, 1, "a", name, at + 0.1)


def verdict(name: str, at: float) -> Written:
    """The verdict on a service is stored."""
    asked = Asked(STATUS, "phase=RollingBack weight=0 rollout(undo,undoMessage,undoSince)")
    return Written(asked, at, 200, 1, "a", name, at + 0.1)


def test_writes_of_a_burst_are_known_by_what_they_say():
    """A route that is shut is none that is handed back, and the verdict is none of the other statuses."""
    assert shuts(shut(FIRST, 0.0).asked)
    assert not shuts(Asked(ROUTE, "-01-stable=50,-01-canary=50"))
    assert not shuts(Asked(ROUTE, "-01=1,-01-stable=0,-01-canary=0"))
    assert is_verdict(verdict(FIRST, 0.0).asked)
    assert not is_verdict(Asked(STATUS, "phase=RolledBack lastRollout no-rollout"))


def test_verdicts_are_put_off_that_were_acted_on_and_not_sent():
    """The first two are, when the second route is shut; when the third is, the second verdict is on its way."""
    routes = [shut(FIRST, 1.0), shut(SECOND, 1.01), shut(THIRD, 1.3)]
    written = [*routes, verdict(SECOND, 1.2), verdict(FIRST, 1.5), verdict(THIRD, 1.6)]

    assert 2 == put_off(written)


def test_verdict_that_is_never_stored_was_put_off():
    """Whoever dies with it has put it off for ever."""
    assert 2 == put_off([shut(FIRST, 1.0), shut(SECOND, 1.2), verdict(SECOND, 1.4)])


def test_nothing_more_than_one_is_put_off_where_each_verdict_follows_its_route():
    """The order of writes of a single worker is no burst."""
    assert 1 == put_off([shut(FIRST, 1.0), verdict(FIRST, 1.15), shut(SECOND, 1.2), verdict(SECOND, 1.35)])


def test_fault_strikes_at_the_nth_route_while_verdicts_are_put_off():
    """A route that is tried again counts once."""
    second = NthShut(2)

    assert [False, False, True] == [second(shut(name, 0.0).asked) for name in (FIRST, FIRST, SECOND)]


def test_fault_does_not_strike_where_nothing_is_put_off():
    """It is told as missed, and tried again."""
    third = NthShut(3)
    for name in (FIRST, SECOND):
        assert not third(shut(name, 0.0).asked)
        assert not third(verdict(name, 0.0).asked)

    assert not third(shut(THIRD, 0.0).asked)


def test_verdict_that_a_process_takes_with_it_is_seen():
    """It was told to end, and has ended before it had stored all that it knew."""
    written = [shut(FIRST, 1.0), shut(SECOND, 1.0, status=409), verdict(FIRST, 1.3)]

    assert [] == unstored(written, by=2.0)
    assert ["stored-on-leaving"] == [one.invariant for one in unstored(written, by=1.2)]


def test_each_fault_has_a_name_of_its_own():
    """They are asked for by name."""
    found = [(one.where, one.kind) for one in strikes()]

    assert len(set(found)) == len(found)


def test_manifests_are_those_of_one_service():
    """The name stands in all places but the image."""
    manifest = {"metadata": {"name": "checkout", "labels": {"app": "checkout"}}, "image": "registry.example/checkout:v1"}

    expected = {"metadata": {"name": FIRST, "labels": {"app": FIRST}}, "image": "registry.example/checkout:v1"}
    assert expected == named(manifest, FIRST)


class Tale:
    """One service of a burst, as the API server would tell of it."""

    def __init__(self) -> None:
        self.recorder, self._version = Recorder(None, "shop"), 0  # type: ignore[arg-type]

    def tell(self, kind: str, name: str, **parts: Any) -> None:
        """An object comes, or changes."""
        self._version += 1
        known = self.recorder.get(kind, name)
        metadata = {"name": name, **parts.pop("metadata", {}), "resourceVersion": str(self._version)}
        self.recorder._take("MODIFIED" if known else "ADDED", {"kind": kind, "metadata": metadata, **parts})

    def route(self, stable: int, canary: int) -> None:
        """The route has these weights."""
        backends = [{"name": f"{FIRST}-stable", "weight": stable}, {"name": f"{FIRST}-canary", "weight": canary}]
        self.tell("HTTPRoute", FIRST, spec={"rules": [{"backendRefs": backends}]})

    def pods(self, revision: str, replicas: int) -> None:
        """A version has a pod, or none is wanted any more."""
        labels = {"app": FIRST, "pod-template-hash": revision}
        owner = "Release" if revision == "v2" else "Deployment"
        metadata = {"labels": labels, "ownerReferences": [{"kind": owner}]}
        self.tell("ReplicaSet", f"{FIRST}-{revision}", metadata=metadata, spec={"replicas": replicas})
        if replicas:
            status = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.tell("Pod", f"{FIRST}-{revision}-0", metadata={"labels": labels}, status=status)

    def service(self, role: str, revision: str) -> None:
        """A Service selects a version."""
        self.tell("Service", f"{FIRST}-{role}", spec={"selector": {"app": FIRST, "pod-template-hash": revision}})

    def status(self, **status: Any) -> None:
        """The Release's status says something."""
        self.tell("Release", FIRST, status=status)

    def violations(self) -> set[str]:
        """Return the names of the invariants that do not hold."""
        watch = Watch([FIRST])
        for instant in burst_oracle.instants(self.recorder.changes):
            watch.look(instant, judging=instant.seen.order > self.begun)
        watch.in_time(None, within=1.0)
        return {one.invariant for one in watch.violations}

    begun = 0


def half_way() -> Tale:
    """v2 has half of the traffic."""
    tale = Tale()
    for role, revision in (("stable", "v1"), ("canary", "v2")):
        tale.pods(revision, 1)
        tale.service(role, revision)
    tale.status(phase="Progressing", candidate={"revision": "v2"}, rollout={})
    tale.route(50, 50)
    tale.begun = tale.recorder.changes[-1].order
    return tale


def orderly(tale: Tale) -> None:
    tale.route(100, 0)
    tale.status(phase="RollingBack", candidate={"revision": "v2"}, rollout={"undo": Cause.GATE})
    tale.pods("v2", 0)
    tale.status(phase="RolledBack", rejected=[{"revision": "v2", "cause": Cause.GATE}])


def weight_comes_back(tale: Tale) -> None:
    tale.route(100, 0)
    tale.route(50, 50)


def weight_rises(tale: Tale) -> None:
    tale.route(0, 100)


def nobody_serves(tale: Tale) -> None:
    tale.route(0, 0)


def pods_stop_under_load(tale: Tale) -> None:
    tale.pods("v2", 0)


def undone_for_another_reason(tale: Tale) -> None:
    tale.status(phase="RollingBack", candidate={"revision": "v2"}, rollout={"undo": "Superseded"})


def verdict_is_forgotten(tale: Tale) -> None:
    tale.status(phase="RollingBack", candidate={"revision": "v2"}, rollout={"undo": Cause.GATE})
    tale.status(phase="Progressing", candidate={"revision": "v2"}, rollout={})


@pytest.mark.parametrize(
    ("happens", "violated"),
    [
        (orderly, set()),
        (weight_comes_back, {"stays-shut", "earned"}),
        (weight_rises, {"earned"}),
        (nobody_serves, {"somebody-serves"}),
        (pods_stop_under_load, {"drained"}),
        (undone_for_another_reason, {"undone-for-a-reason"}),
        (verdict_is_forgotten, {"rejected-stays-out"}),
    ],
)
def test_what_must_not_be_in_a_burst_is_seen(happens: Callable[[Tale], None], violated: set[str]) -> None:
    """One service is rolled back as it should be, or not."""
    tale = half_way()

    happens(tale)

    assert violated == tale.violations()


def ended(status: Json) -> set[str]:
    """Return the invariants that do not hold where every Release ends with such a status, and the first has one Event."""
    tale = Tale()
    for name in names():
        tale.tell("Release", name, status=status)
    tale.tell("Event", "event-1", involvedObject={"kind": "Release", "name": FIRST}, reason="GateBreached", message="")
    place = Place(None, None, "shop", tale.recorder, None, Prometheus())  # type: ignore[arg-type]
    return {one.invariant for one in burst_oracle.check(place, since=0)}


def test_every_release_has_to_end_rejected_and_explained():
    """Whatever is left out by a process that died is seen at the end."""
    last = {"outcome": "RolledBack", "cause": Cause.GATE}
    rejected = {"phase": "RolledBack", "lastRollout": last, "rejected": [{"revision": "v2", "cause": Cause.GATE}]}

    assert {"explained"} == ended(rejected)
    assert {"explained", "ends-rejected"} == ended({**rejected, "phase": "Progressing"})
