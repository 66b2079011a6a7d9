"""Of what nobody needs only the names are kept, and nobody takes it for whole or for missing."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.packing import unpack
from tidegate.runtime.shelf import BareError, Key
from tidegate.runtime.spare import Spare
from tidegate.runtime.store import Change, Store

OWNER, LABEL = "uid-a", "release"


class Still:
    """A clock that stands."""

    def monotonic(self) -> float:
        return 0.0


@dataclass
class Shop:
    """A store, and who needs what of it."""

    needed: set[str] = field(default_factory=set)
    spare: Spare = field(default_factory=lambda: Spare(small=400, room=1000, room_of_one=700))
    seen: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(Still(), labels=[LABEL], needed=lambda key, _: key.name in self.needed, spare=self.spare)
        for kind in ("Deployment", "ReplicaSet"):
            self.store.on_change(kind, self.seen.append)


def thing(name, version=1, *, size=0, kind="Deployment", namespace="shop", owner=None, labels=None, uid=None, **rest):
    metadata = {"namespace": namespace, "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    metadata["labels"] = labels or {}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "kind": "Deployment", "name": "a", "controller": True}]
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "data": "x" * size, **rest}


@pytest.fixture
def shop():
    return Shop()


class TestKeeping:
    """What is kept, and what readers get."""

    def test_what_is_large_is_kept_by_its_names(self, shop):
        """Whoever reads it is told which one must be read first; that it is there, and since when, is known."""
        shop.store.upsert("Deployment", thing("a", size=100_000))

        with pytest.raises(BareError) as missing:
            shop.store.get("Deployment", "shop", "a")

        kept = shop.store.kept("Deployment", "shop", "a")
        assert missing.value.keys == (Key("Deployment", "shop", "a"),)
        assert str(missing.value) == "Deployment shop/a must be read first"
        assert (kept["metadata"]["uid"], kept["metadata"]["resourceVersion"]) == ("uid-a", "1")
        assert len(json.dumps(kept)) < 300
        assert [Key("Deployment", "shop", "a")] == shop.store.names("Deployment")
        assert shop.store.get("Deployment", "shop", "b") is None

    def test_what_is_small_is_kept_as_long_as_there_is_room(self, shop):
        """Each namespace has a share of the room, and what goes makes room for others."""
        for name in "abcd":
            shop.store.upsert("Deployment", thing(name, size=100))
        whole = [name for name in "abcd" if "data" in shop.store.kept("Deployment", "shop", name)]
        shop.store.remove("Deployment", thing("a", 5))
        shop.store.upsert("Deployment", thing("c", 6, size=100))
        elsewhere = thing("e", size=100, namespace="yard")
        shop.store.upsert("Deployment", elsewhere)

        assert whole == ["a", "b"]
        assert "data" in shop.store.kept("Deployment", "shop", "c")
        assert shop.store.get("Deployment", "yard", "e") == elsewhere

    def test_what_is_needed_is_whole_however_large(self, shop):
        """And counts for nothing else's room."""
        shop.needed = {"a"}
        wanted = thing("a", size=100_000)
        shop.store.upsert("Deployment", wanted)

        assert shop.store.get("Deployment", "shop", "a") == wanted
        assert shop.spare.takes("shop", 400)

    @pytest.mark.parametrize("find", ["owner", "label"])
    def test_what_is_found_by_owner_or_label_is_not_half_there(self, shop, find):
        """One of several that is known by its names alone is told, and the others are not taken for all."""
        shop.needed = {"rs-1"}
        for number, size in ((1, 10), (2, 50_000), (3, 50_000)):
            one = thing(f"rs-{number}", size=size, kind="ReplicaSet", owner=OWNER, labels={LABEL: "r"})
            shop.store.upsert("ReplicaSet", one)

        with pytest.raises(BareError) as missing:
            _ = shop.store.owned_by(OWNER) if find == "owner" else shop.store.by_label("ReplicaSet", "shop", LABEL, "r")

        assert [key.name for key in missing.value.keys] == ["rs-2", "rs-3"]
        assert str(missing.value) == "ReplicaSet shop/rs-2 and 1 others must be read first"

    def test_an_autoscaler_still_says_whose_it_is(self, shop):
        """By its names alone it must be found from the Deployment that it scales."""
        kind, target = "HorizontalPodAutoscaler", {"kind": "Deployment", "name": "a"}
        shop.store.upsert(kind, thing("s", size=9999, kind=kind, spec={"scaleTargetRef": target, "maxReplicas": 3}))

        assert shop.store.kept(kind, "shop", "s")["spec"] == {"scaleTargetRef": target}

    def test_names_are_few_and_short(self, shop):
        """A thousand owners and names without end are none of objects that there are."""
        owners = [{"uid": f"u{number}", "kind": "Deployment", "name": "n"} for number in range(1000)]
        one = thing("a", size=9999)
        one["metadata"]["ownerReferences"] = [{"uid": "u", "kind": "Deployment", "name": "n" * 100_000}, *owners]
        one["metadata"]["annotations"] = {"large": "x" * 100_000}
        shop.store.upsert("Deployment", one)

        assert len(json.dumps(shop.store.kept("Deployment", "shop", "a"))) < 1000


class TestComing:
    """How it becomes whole, and what it is no more."""

    def test_what_was_read_is_whole_and_stays_so(self, shop):
        """That is no news; a replay of what is known changes nothing."""
        wanted = thing("a", 3, size=9999)
        shop.store.upsert("Deployment", wanted)
        shop.seen.clear()

        shop.store.upsert("Deployment", wanted, whole=True)
        shop.store.upsert("Deployment", wanted)
        shop.store.upsert("Deployment", thing("a", 2, size=9999))

        assert shop.store.get("Deployment", "shop", "a") == wanted
        assert shop.seen == []

    def test_what_was_read_in_a_newer_version_is_news(self, shop):
        """The watch, which will tell the same, says nothing new then."""
        shop.store.upsert("Deployment", thing("a", 3, size=9999))
        shop.seen.clear()
        newer = thing("a", 4, size=9999)

        shop.store.upsert("Deployment", newer, whole=True)
        shop.store.upsert("Deployment", newer)

        assert [change.new for change in shop.seen] == [newer]
        assert shop.store.get("Deployment", "shop", "a") == newer

    def test_an_event_of_what_is_needed_by_now_makes_it_whole(self, shop):
        """Even one that tells the same version again."""
        wanted = thing("a", 3, size=9999)
        shop.store.upsert("Deployment", wanted)
        shop.needed = {"a"}

        shop.store.upsert("Deployment", wanted)

        assert shop.store.get("Deployment", "shop", "a") == wanted

    def test_what_is_let_go_of_loses_all_but_its_names(self, shop):
        """With it what it owns, what has its name as a label, and what scales something; not what somebody else needs."""
        shop.needed = {"a", "rs-1", "rs-2", "rs-3", "s"}
        shop.store.upsert("Deployment", thing("a", size=9999))
        shop.store.upsert("ReplicaSet", thing("rs-1", size=9999, kind="ReplicaSet", owner=OWNER))
        shop.store.upsert("ReplicaSet", thing("rs-2", size=9999, kind="ReplicaSet", labels={LABEL: "a"}))
        shop.store.upsert("ReplicaSet", thing("rs-3", size=9999, kind="ReplicaSet", owner=OWNER))
        shop.store.upsert("HorizontalPodAutoscaler", thing("s", size=9999, kind="HorizontalPodAutoscaler"))
        assert shop.store.get("Deployment", "shop", "a") is not None
        shop.seen.clear()

        shop.needed = {"rs-3"}
        shop.store.let_go([Key("Deployment", "shop", "a"), Key("Service", "shop", "unknown")])

        kept = {key.name: shop.store.kept(*key) for kind in KINDS for key in shop.store.names(kind)}
        assert {name for name, obj in kept.items() if "data" in obj} == {"rs-3"}
        assert shop.seen == []
        with pytest.raises(BareError):
            shop.store.get("Deployment", "shop", "a")

    def test_a_list_is_small_on_its_way_in(self, shop):
        """And what it brings is what its objects would have brought one by one."""
        shop.needed = {"a"}
        objects = [thing("a", size=9999), thing("b", size=9999), *(thing(name, size=100) for name in "cdefgh")]
        take = shop.store.taking("Deployment")

        texts = [take(obj) for obj in objects]
        list(shop.store.replacing("Deployment", map(unpack, texts), "9"))

        assert sum(map(len, texts)) < 9999 + 8 * 400
        assert shop.store.get("Deployment", "shop", "a") == objects[0]
        whole = [name for name in "abcdefgh" if "data" in shop.store.kept("Deployment", "shop", name)]
        assert whole == ["a", "c", "d"]

    def test_after_a_restore_nothing_is_taken_for_the_same(self, shop):
        """Names alone do not tell whether an object of the same version is another one."""
        shop.store.upsert("Deployment", thing("a", 3, size=9999))
        shop.needed = {"a"}
        other = thing("a", 3, size=8888)

        changes = list(shop.store.replacing("Deployment", [other], "2", rewound=True))

        assert [change.new for change in changes] == [other]
        assert shop.store.get("Deployment", "shop", "a") == other


KINDS = ("Deployment", "ReplicaSet", "HorizontalPodAutoscaler")
NAMES = st.sampled_from("abc")
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("state"), NAMES, st.integers(1, 12)),
        st.tuples(st.just("read"), NAMES, st.integers(1, 12)),
        st.tuples(st.just("gone"), NAMES, st.integers(1, 12)),
        st.tuples(st.just("need"), NAMES),
        st.tuples(st.just("let go"), NAMES),
        st.tuples(st.just("list"), st.integers(1, 12), st.frozensets(NAMES)),
    ),
    max_size=40,
)


def happen(shop, store, event):
    """Let something happen to a store; what is of one version is always the same."""
    match event:
        case "state", name, version:
            store.upsert("Deployment", versioned(name, version))
        case "read", name, version:
            store.upsert("Deployment", versioned(name, version), whole=True)
        case "gone", name, version:
            store.remove("Deployment", thing(name, version))
        case "need", name:
            shop.needed.add(name)
        case "let go", name:
            shop.needed.discard(name)
            store.let_go([Key("Deployment", "shop", name)])
        case "list", version, names:
            take = store.taking("Deployment")
            texts = [take(versioned(name, version)) for name in sorted(names)]
            list(store.replacing("Deployment", map(unpack, texts), str(version)))


def versioned(name, version):
    """Return an object as it is in a version, small or large."""
    return thing(name, version, size=version * 997 % 1500, labels={LABEL: "r"} if version % 2 else {})


@given(EVENTS)
def test_what_is_there_is_what_a_store_that_keeps_all_has(events):
    """Whatever happens in whatever order: the same objects in the same versions, whole or told to be read."""
    shop, everything = Shop(), Store(Still(), labels=[LABEL])
    for event in events:
        happen(shop, shop.store, event)
        happen(Shop(), everything, event)

        assert shop.store.names("Deployment") == everything.names("Deployment")
        for key in everything.names("Deployment"):
            whole, kept = everything.get(*key), shop.store.kept(*key)
            assert kept["metadata"]["resourceVersion"] == whole["metadata"]["resourceVersion"]
            if "data" in kept:
                assert shop.store.get(*key) == whole
            else:
                with pytest.raises(BareError):
                    shop.store.get(*key)
        labelled = {name for name in "abc" if _labelled(everything, name)}
        assert labelled == {name for name in "abc" if _labelled(shop.store, name)}
    for key in shop.store.names("Deployment"):
        shop.store.remove("Deployment", thing(key.name, 99))
    assert (shop.spare._held, shop.spare._total) == ({}, 0)


def _labelled(store, name):
    kept = store.kept("Deployment", "shop", name)
    return kept is not None and kept["metadata"]["labels"].get(LABEL) == "r"
