"""One writer at a time: what is held against an operator is what it wrote after another one had taken the Lease."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from e2e.manifests import NAME
from faults.place import Place
from faults.prometheus import Prometheus
from faults.recorder import Recorder
from faults.replicas import one_writer, told_of_leases
from faults.wire import Written
from faults.writes import LAST_FINALIZER, Asked, Kind

STATUS, RELEASE, LEASE = (
    Kind("patch", "releases.tidegate.dev/status"),
    Kind("patch", "releases.tidegate.dev"),
    Kind("update", "leases.x"),
)


def wrote(wire: str, kind: Kind, says: str, version: int) -> Written:
    """An operator wrote something, and the API server answered with a version."""
    return Written(Asked(kind, says), 0.0, 200, version, wire)


def place(*written: Written, holders: dict[int, str], gone: int | None = None) -> Place:
    """A namespace whose Lease went from hand to hand, at these versions, and whose Release went at a version."""
    recorder = Recorder(None, "shop")  # type: ignore[arg-type]
    for version, holder in holders.items():
        told: dict[str, Any] = {"kind": "Lease", "metadata": {"name": "tidegate", "resourceVersion": str(version)}}
        identity = f"tidegate-{holder}-1_x" if holder else ""
        recorder._take("MODIFIED", told | {"spec": {"holderIdentity": identity}})
    if gone is not None:
        recorder._take("DELETED", {"kind": "Release", "metadata": {"name": NAME, "resourceVersion": str(gone)}})
    wires = [SimpleNamespace(wire=SimpleNamespace(written=[one for one in written if one.wire == name])) for name in "ab"]
    return Place(None, None, "shop", recorder, None, Prometheus(), operators=wires)  # type: ignore[arg-type]


def test_write_of_a_former_leader_is_seen():
    """Whoever writes after another one has taken the Lease is named."""
    found = one_writer(place(wrote("a", STATUS, "weight=50", 12), holders={5: "a", 10: "b"}))

    assert ["one-writer"] == [violation.invariant for violation in found]


def test_writes_of_those_that_led_are_fine():
    """Each wrote while the Lease was its own."""
    written = (wrote("a", STATUS, "weight=50", 7), wrote("b", STATUS, "phase=RollingBack", 12))

    assert [] == one_writer(place(*written, holders={5: "a", 10: "b"}))


def test_last_event_of_a_leader_may_come_in_after_it_has_given_the_lease_up():
    """It decides nothing; but nothing is told by whoever has been followed by another."""
    told = wrote("a", Kind("create", "events"), "Promoted", 12)

    assert [] == one_writer(place(told, holders={5: "a", 10: ""}))
    assert one_writer(place(told, holders={5: "a", 10: "", 11: "b"}))


def test_last_finalizer_counts_when_the_release_goes():
    """The answer to it has the version that the Release had before, which may be of the leader before."""
    written = wrote("b", RELEASE, LAST_FINALIZER, 8)

    assert [] == one_writer(place(written, holders={5: "a", 10: "b"}, gone=12))
    assert one_writer(place(written, holders={5: "a", 10: "b", 11: "a"}, gone=12))


def test_nothing_is_judged_before_all_of_the_lease_is_known():
    """The watch of the Lease may be behind that of what was written."""
    assert not told_of_leases(place(wrote("b", LEASE, "", 10), holders={5: "a"}))
    assert told_of_leases(place(wrote("b", LEASE, "", 10), holders={5: "a", 10: "b"}))
