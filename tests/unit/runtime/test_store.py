"""The newest state of each object wins, in whatever order news arrives."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.clock import ManualClock
from tidegate.runtime.shelf import Key, key_of
from tidegate.runtime.store import TOMBSTONE_SECONDS, Change, Store

HASH = "pod-template-hash"


def deployment(name: str, version: int, *, uid: str = "u1", namespace: str = "shop", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version), **metadata},
    }


def owner(uid: str) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": uid}


def replaced(store: Store, *listing: Any, **more: Any) -> list[Change]:
    """Take in a complete list, all of it."""
    return list(store.replacing(*listing, **more))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> Store:
    return Store(clock, labels=[HASH])


def version_in(store: Store, name: str) -> str | None:
    obj = store.get("Deployment", "shop", name)
    return None if obj is None else obj["metadata"]["resourceVersion"]


def test_own_write_is_read_back_and_its_echo_changes_nothing(store: Store):
    """The answer to a write is there at once; older events and the echo come too late."""
    store.upsert("Deployment", deployment("a", 5))
    store.upsert("Deployment", deployment("a", 9))

    assert store.upsert("Deployment", deployment("a", 7)) is None
    assert store.upsert("Deployment", deployment("a", 9)) is None
    assert "9" == version_in(store, "a")


def test_versions_compare_as_numbers(store: Store):
    """Ten is more than nine."""
    store.upsert("Deployment", deployment("a", 9))

    assert store.upsert("Deployment", deployment("a", 10)) is not None


def test_late_deletion_does_not_remove_what_was_created_again(store: Store):
    """DELETED of the first object arrives after ADDED of the second."""
    store.upsert("Deployment", deployment("a", 12, uid="second"))

    assert store.remove("Deployment", deployment("a", 11, uid="first")) is None
    assert "12" == version_in(store, "a")


def test_late_change_does_not_resurrect(store: Store):
    """A MODIFIED that is older than the deletion is no news; a later object of that name is."""
    store.upsert("Deployment", deployment("a", 5))
    store.remove("Deployment", deployment("a", 8))

    assert store.upsert("Deployment", deployment("a", 7)) is None
    assert version_in(store, "a") is None
    assert store.upsert("Deployment", deployment("a", 9, uid="second")) is not None


def test_tombstones_do_not_pile_up(store: Store, clock: ManualClock):
    """Deletions are forgotten after a while."""
    for number in range(100):
        store.remove("Deployment", deployment(f"a{number}", number + 1))
    clock.advance(TOMBSTONE_SECONDS + 60)
    store.remove("Deployment", deployment("b", 1000))

    assert 1 == len(store._tombstones)


def test_relist_finds_the_deletions_that_were_missed(store: Store):
    """What a list lacks is gone, in the listed namespaces only."""
    for name in ("stays", "goes"):
        store.upsert("Deployment", deployment(name, 5))
    store.upsert("Deployment", deployment("elsewhere", 5, namespace="other"))

    changes = replaced(store, "Deployment", [deployment("stays", 6), deployment("comes", 7)], "20", namespace="shop")

    assert [("stays", True, True), ("comes", False, True), ("goes", True, False)] == [
        (change.key.name, change.old is not None, change.new is not None) for change in changes
    ]
    assert all(change.listed for change in changes)
    assert store.get("Deployment", "other", "elsewhere") is not None


def test_list_does_not_undo_what_happened_after_it(store: Store):
    """Objects that we created, changed or deleted while the list was under way are newer than it."""
    store.upsert("Deployment", deployment("created", 25))
    store.upsert("Deployment", deployment("changed", 26))
    store.remove("Deployment", deployment("deleted", 27))

    changes = replaced(store, "Deployment", [deployment("changed", 5), deployment("deleted", 6)], "20")

    assert [] == changes
    assert ["25", "26", None] == [version_in(store, name) for name in ("created", "changed", "deleted")]


def test_after_a_restore_the_list_is_right(store: Store):
    """When history went back, lower versions replace higher ones, and equal ones with other content do too."""
    store.upsert("Deployment", deployment("kept", 900))
    store.upsert("Deployment", deployment("lost", 901))
    store.upsert("Deployment", deployment("same", 50))
    store.remove("Deployment", deployment("back", 902))

    changes = replaced(
        store,
        "Deployment",
        [deployment("kept", 40), deployment("back", 41), deployment("same", 50, uid="other")],
        "60",
        rewound=True,
    )

    assert {"kept", "back", "same", "lost"} == {change.key.name for change in changes}
    assert ["40", "41", "50", None] == [version_in(store, name) for name in ("kept", "back", "same", "lost")]
    assert 60 == store.newest("Deployment")
    assert store.upsert("Deployment", deployment("kept", 61)) is not None


def test_managed_fields_are_not_kept(store: Store):
    """They are half of the memory and nobody's business; the caller's object stays as it is."""
    obj = deployment("a", 5, managedFields=[{"manager": "kubectl"}])

    store.upsert("Deployment", obj)

    stored = store.get("Deployment", "shop", "a")
    assert stored is not None
    assert "managedFields" not in stored["metadata"]
    assert "managedFields" in obj["metadata"]


def test_objects_by_namespace_owner_and_label(store: Store):
    """The indexes follow every change, and answers are sorted."""
    store.upsert("ReplicaSet", deployment("b", 1, labels={HASH: "x"}, ownerReferences=[owner("o1")]))
    store.upsert("ReplicaSet", deployment("a", 2, labels={HASH: "x"}, ownerReferences=[owner("o1"), owner("o2")]))
    store.upsert("Pod", deployment("p", 3, labels={HASH: "x"}, ownerReferences=[owner("o1")]))
    store.upsert("ReplicaSet", deployment("c", 4, namespace="other", labels={HASH: "x"}))

    assert ["a", "b"] == names(store.by_label("ReplicaSet", "shop", HASH, "x"))
    assert ["p", "a", "b"] == names(store.owned_by("o1"))
    assert ["a", "b"] == names(store.owned_by("o1", "ReplicaSet"))
    assert ["c", "a", "b"] == names(store.objects("ReplicaSet"))
    assert ["a", "b"] == names(store.objects("ReplicaSet", "shop"))
    assert 3 == store.count("ReplicaSet")

    store.upsert("ReplicaSet", deployment("a", 5, labels={HASH: "y"}, ownerReferences=[owner("o2")]))
    store.remove("ReplicaSet", deployment("b", 6))

    assert [] == store.by_label("ReplicaSet", "shop", HASH, "x")
    assert ["a"] == names(store.by_label("ReplicaSet", "shop", HASH, "y"))
    assert ["p"] == names(store.owned_by("o1"))
    assert ["a"] == names(store.owned_by("o2"))


def test_label_that_is_not_indexed_is_an_error(store: Store):
    """Silence would look like an empty answer."""
    with pytest.raises(LookupError, match="not indexed"):
        store.by_label("ReplicaSet", "shop", "app", "x")


def test_subscribers_hear_changes_of_their_kind(store: Store):
    """Each change once, with what was before; a subscriber that fails does not spoil it for the next."""
    heard: list[Change] = []
    store.on_change("Deployment", lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    unsubscribe = store.on_change("Deployment", heard.append)

    store.upsert("Deployment", deployment("a", 1))
    store.upsert("Service", deployment("a", 2))
    store.upsert("Deployment", deployment("a", 3))
    store.remove("Deployment", deployment("a", 4))
    unsubscribe()
    store.upsert("Deployment", deployment("a", 5))

    key = Key("Deployment", "shop", "a")
    assert [
        Change(key, None, deployment("a", 1)),
        Change(key, deployment("a", 1), deployment("a", 3)),
        Change(key, deployment("a", 3), None),
    ] == heard


def test_age_counts_what_was_heard_not_what_we_wrote(store: Store, clock: ManualClock):
    """Our own writes say nothing about whether the watch is alive."""
    assert math.isinf(store.age("Deployment"))
    replaced(store, "Deployment", [], "1")
    clock.advance(30)
    store.upsert("Deployment", deployment("a", 2))

    assert 30.0 == store.age("Deployment")
    store.touch("Deployment")
    assert 0.0 == store.age("Deployment")


def test_cluster_scoped_objects_have_no_namespace(store: Store):
    """They live under the empty namespace."""
    policy = {"metadata": {"name": "p", "uid": "u", "resourceVersion": "1"}}
    store.upsert("ClusterRolloutPolicy", policy)

    assert policy == store.get("ClusterRolloutPolicy", "", "p")


EVENTS = st.lists(
    st.tuples(st.sampled_from(["state", "deletion"]), st.sampled_from("ab"), st.sampled_from(["x", "y"])),
    min_size=1,
    max_size=12,
)


@given(events=EVENTS, data=st.data())
def test_any_order_of_the_same_events_ends_the_same(events: list[tuple[str, str, str]], data: st.DataObject):
    """For each object the event with the highest version decides; duplicates and disorder do not matter.

    The indexes agree with a search through all objects after every step.
    """
    history = [
        (what, deployment(name, 10 + number, uid=f"{name}{number}", labels={HASH: label}, ownerReferences=[owner(label)]))
        for number, (what, name, label) in enumerate(events)
    ]
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=6))
    store = Store(ManualClock(), labels=[HASH])

    for what, obj in data.draw(st.permutations(repeated)):
        before = {key_of("Deployment", seen): seen for seen in store.objects("Deployment")}
        (store.upsert if what == "state" else store.remove)("Deployment", obj)
        for seen in store.objects("Deployment"):
            known = before.get(key_of("Deployment", seen))
            assert known is None or int(known["metadata"]["resourceVersion"]) <= int(seen["metadata"]["resourceVersion"])
        assert_indexes_agree(store)

    last = {obj["metadata"]["name"]: (what, obj) for what, obj in history}
    assert {name: obj for name, (what, obj) in last.items() if what == "state"} == {
        obj["metadata"]["name"]: obj for obj in store.objects("Deployment")
    }


def assert_indexes_agree(store: Store) -> None:
    everything = store.objects("Deployment")
    for label in ("x", "y"):
        expected = [obj for obj in everything if obj["metadata"]["labels"][HASH] == label]
        assert expected == store.by_label("Deployment", "shop", HASH, label)
        assert expected == store.owned_by(label)


def names(objects: list[Any]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_our_own_mark_is_kept(store: Store):
    """Of managedFields only that an entry is ours is kept, and not the one that writes of a status leave."""
    ours, status = {"manager": "tidegate", "fieldsV1": {"f:spec": {}}}, {"manager": "tidegate", "subresource": "status"}
    store.upsert("Deployment", deployment("a", 5, managedFields=[{"manager": "kubectl"}, ours]))
    store.upsert("Deployment", deployment("b", 6, managedFields=[status]))

    kept = [store.get("Deployment", "shop", name)["metadata"].get("managedFields") for name in "ab"]

    assert kept == [[{"manager": "tidegate"}], None]


def test_objects_are_named_without_reading_them(store: Store):
    """By namespace and name."""
    store.upsert("Deployment", deployment("b", 1))
    store.upsert("Deployment", deployment("a", 2))
    store.upsert("Deployment", deployment("c", 3, namespace="blog"))

    assert [("blog", "c"), ("shop", "a"), ("shop", "b")] == [(namespace, name) for _, namespace, name in store.names("Deployment")]


def test_what_is_read_again_and_again_is_the_same_object(store: Store, monkeypatch: pytest.MonkeyPatch):
    """As long as it does not change, and few others are read; what is dropped is read anew."""
    monkeypatch.setattr("tidegate.runtime.store.RECENT", 1)
    store.upsert("Deployment", deployment("a", 1))
    store.upsert("Deployment", deployment("b", 2))
    first, second = store.get("Deployment", "shop", "a"), store.get("Deployment", "shop", "a")
    store.get("Deployment", "shop", "b")
    dropped = store.get("Deployment", "shop", "a")
    store.upsert("Deployment", deployment("a", 3))
    store.remove("Deployment", deployment("b", 4))

    assert first is second
    assert first == dropped
    assert first is not dropped
    assert "3" == version_in(store, "a")
    assert version_in(store, "b") is None


def test_history_that_went_back_is_noted(store: Store):
    """For whoever keeps what was made of an object in one version."""
    replaced(store, "Deployment", [deployment("a", 5)], "5")
    before = store.rewinds
    replaced(store, "Deployment", [deployment("a", 5, uid="u2")], "5", rewound=True)

    assert (0, 1) == (before, store.rewinds)
