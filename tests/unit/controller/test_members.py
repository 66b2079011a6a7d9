"""What a Release may know of the others in its group, as their statuses say it, and how soon a change of one is seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate.api.names import Cause
from tidegate.api.release import ReleaseSpec
from tidegate.controller.observe.members import Members, lane_of_mates, member_of, told_to_mates
from tidegate.controller.observe.references import References, ReleaseKey
from tidegate.controller.observe.relations import Relations
from tidegate.controller.process.lanes import woken
from tidegate.governance.groups import Failure, GroupView, MemberView, Standing, aborted
from tidegate.runtime.clock import SystemClock
from tidegate.runtime.queue import Lane
from tidegate.runtime.sharding import Shard
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change, Store
from tidegate.traffic.routers import Routers

Json = dict[str, Any]
ON: Json = {
    "phase": "Progressing",
    "candidate": {"revision": "bbbb", "version": "v2"},
    "rollout": {"policy": "p", "startedAt": "2026-11-30T12:00:00Z"},
    "step": {"index": 1, "weight": 25},
    "progress": "2 of 3",
}
UNDONE: Json = {
    **ON,
    "phase": "RollingBack",
    "rollout": {**ON["rollout"], "undo": "GateBreached", "undoMessage": "error rate 5.2%"},
    "rejected": [{"revision": "bbbb", "version": "v2", "cause": "GateBreached", "message": "5.2%", "at": "2026-11-30T12:00:00Z"}],
}
FAILED = Failure(
    revision="bbbb", version="v2", cause=Cause.GATE, message="error rate 5.2%", at=datetime(2026, 11, 30, 12, tzinfo=UTC)
)


def release(name: str, status: Json | None = None, *, group: str | None = "shop", **metadata: Any) -> Json:
    """Return a Release as it is stored."""
    spec: Json = {"targetRef": {"name": name}, "policyRef": {"name": "p"}} | ({"group": {"name": group}} if group else {})
    whole = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "1", **metadata}
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": whole, "spec": spec, "status": status or {}}


def change(old: Json | None, new: Json | None, *, listed: bool = False) -> Change:
    name = (new or old or {})["metadata"]["name"]
    return Change(Key("Release", "shop", name), old, new, listed)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Idle", "stable": {"revision": "aaaa", "replicas": 2}}, MemberView(release="api")),
        (ON, MemberView(release="api", standing=Standing.CLIMBS, version="v2", revision="bbbb", step=1, last=2)),
        (
            {**ON, "waitingFor": [{"barrier": "Group"}]},
            MemberView(release="api", standing=Standing.CLIMBS, version="v2", revision="bbbb", step=1, last=2, ready=True),
        ),
        (
            {
                "phase": "Waiting",
                "wanted": {"revision": "bbbb", "version": "v2"},
                "waitingFor": [{"barrier": "Approval", "how": "approve it"}, {"barrier": "Group"}],
            },
            MemberView(
                release="api", standing=Standing.WAITS, version="v2", revision="bbbb", waits=("Approval",), how="approve it"
            ),
        ),
        (
            {**ON, "phase": "Promoting"},
            MemberView(release="api", standing=Standing.PROMOTES, version="v2", revision="bbbb", step=1, last=2),
        ),
        (
            UNDONE,
            MemberView(release="api", standing=Standing.UNDONE, version="v2", revision="bbbb", step=1, last=2, undone=FAILED),
        ),
        (
            {**UNDONE, "rollout": {**ON["rollout"], "undo": "Superseded", "undoMessage": "v3 replaces it"}},
            MemberView(release="api", standing=Standing.UNDONE, version="v2", revision="bbbb", step=1, last=2),
        ),
    ],
)
def test_how_a_member_stands_is_read_off_its_status(status: Json, expected: MemberView) -> None:
    """Its version, its step, what it waits for, and whether what rolled it back is a reason for all."""
    assert expected == member_of(release("api", status))


@pytest.mark.parametrize(
    "status", [{"rollout": {"undo": "Because"}, "candidate": {"revision": "a"}}, {**ON, "step": {"index": "x"}}]
)
def test_status_that_nobody_can_read_is_said_to_be_so(status: Json) -> None:
    """It is no status that an operator has written, and no reason to fail for whoever reads it."""
    found = member_of(release("api", status))

    assert "its status is none that Tidegate has written" in found.unread


def test_members_are_those_of_the_namespace_that_are_not_being_deleted() -> None:
    """Their number is bounded; what is beyond it is known not to be known."""
    clock = SystemClock()
    references = References(Relations(Routers.all()))
    store = Store(clock, needed=references.need)

    def put(*found: Json) -> None:
        for one in found:
            references.learn(ReleaseKey("shop", one["metadata"]["name"]), one)
            store.upsert("Release", one)

    put(
        release("api"),
        release("orders", ON),
        release("other", group=None),
        release("gone", deletionTimestamp="2026-11-30T12:00:00Z"),
    )
    members = Members(store, references.members)
    spec = ReleaseSpec.model_validate(release("api")["spec"])
    found = members.view(ReleaseKey("shop", "api"), spec)
    assert found is not None
    assert ("shop", ["orders"], True) == (found.name, [one.release for one in found.members], found.whole)
    assert members.view(ReleaseKey("shop", "other"), ReleaseSpec.model_validate(release("other", group=None)["spec"])) is None
    put(*(release(f"more-{number:02}") for number in range(19)))
    found = members.view(ReleaseKey("shop", "api"), spec)
    assert found is not None
    assert (19, False) == (len(found.members), found.whole)


def test_rollback_of_one_wakes_the_others_before_all_else() -> None:
    """What takes traffic away there is as urgent for them; that it goes on is not, and what they cannot see wakes nobody."""
    references = References(Relations(Routers.all()))
    for name in ("api", "orders", "workers"):
        references.learn(ReleaseKey("shop", name), release(name))
    references.learn(ReleaseKey("shop", "other"), release("other", group=None))
    others = {ReleaseKey("shop", "orders"), ReleaseKey("shop", "workers")}

    begins = change(release("api", ON), release("api", UNDONE))
    assert [(others, Lane.URGENT), (set(), Lane.NORMAL)] == [*woken(begins, references, echo=True)]
    goes_on = change(release("api", UNDONE), release("api", {**UNDONE, "step": None}))
    assert [(others, Lane.NORMAL)] == [*woken(goes_on, references, echo=True)][:1]
    numbers = change(release("api", ON), release("api", {**ON, "gates": [{"name": "errors"}]}))
    assert [(set(), Lane.NORMAL)] == [*woken(numbers, references, echo=True)]
    assert [({ReleaseKey("shop", "api")}, Lane.NORMAL)] == [*woken(numbers, references, echo=False)]
    assert Lane.URGENT is lane_of_mates(change(None, release("api", UNDONE), listed=True), Lane.LOW)


def test_who_leaves_is_seen_by_those_it_leaves() -> None:
    """A group that is changed, and a deletion, are news to those who are still in it."""
    references = References(Relations(Routers.all()))
    references.learn(ReleaseKey("shop", "orders"), release("orders"))
    left = change(release("api"), release("api", group="another"))
    references.learn(ReleaseKey("shop", "api"), release("api", group="another"))

    assert {ReleaseKey("shop", "orders")} == references.mates(left)
    assert told_to_mates(left)
    assert told_to_mates(change(release("api"), release("api", deletionTimestamp="2026-11-30T12:00:00Z")))
    assert not told_to_mates(change(release("api"), release("api", labels={"team": "payments"})))


def test_the_one_that_failed_by_itself_is_named_and_not_those_that_it_took_along() -> None:
    """Nobody is rolled back because of what it has brought about itself."""
    along = Failure(revision="b", version="v2", cause=Cause.GROUP, message="orders v2 was rolled back", origin="orders")
    own = Failure(revision="c", version="v2", cause=Cause.GATE, message="error rate 5.2%")
    api = MemberView(release="api", standing=Standing.UNDONE, undone=along)
    orders = MemberView(release="orders", standing=Standing.KEPT_OUT, failed=own)

    assert (orders, own) == aborted(GroupView("shop", (api, orders)), "workers", {"orders": "c"})
    assert (api, along) == aborted(GroupView("shop", (api, orders)), "workers", {})
    assert aborted(GroupView("shop", (api, orders)), "orders", {}) is None


def test_members_of_other_shards_are_seen_as_well() -> None:
    """Where replicas share the Releases out, each sees the whole group, keeps the others whole, and wakes its own alone."""
    names = [f"service-{number}" for number in range(8)]
    own = Shard(0, 2)
    references = References(Relations(Routers.all()), own)
    for name in names:
        references.learn(ReleaseKey("shop", name), release(name))
    here = {ReleaseKey("shop", name) for name in names if own.has("shop", name)}
    foreign = next(name for name in names if not own.has("shop", name))

    assert {ReleaseKey("shop", name) for name in names} == references.members("shop", "shop")
    assert here
    assert here == references.mates(change(release(foreign, ON), release(foreign, UNDONE)))
    assert references.need(Key("Release", "shop", foreign), release(foreign))
    assert not references.need(Key("Release", "shop", foreign), release(foreign, group=None))
