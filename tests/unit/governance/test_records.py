"""A chain of records: whatever was changed, taken out, put in or moved is named."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.archive import object_of
from tidegate.governance.records import Fault, Head, against, chains, name_of, next_id, sealed, verify

Json = dict[str, Any]
UID = "uid-1"


def chain(length: int, *, keep: int = 50, uid: str = UID, versions: tuple[str, ...] = ()) -> list[Json]:
    """Return the records of a Release as objects, the deleted ones with them."""
    found: list[Json] = []
    for number in range(1, length + 1):
        spec = {
            "id": f"rel_20260101_{number:04d}",
            "number": number,
            "previous": found[-1]["spec"]["hash"] if found else "",
            "checkpoint": max(1, number + 1 - keep),
            "release": "checkout",
            "releaseUID": uid,
            "namespace": "shop",
            "to": {"version": versions[number - 1] if versions else f"v{number}", "images": {"app": f"checkout:{number}"}},
            "course": [{"step": 1, "weight": 10}, {"step": 2, "weight": 100}],
            "decisions": [{"by": "ann", "role": "qa", "claimed": False}],
        }
        found.append(object_of(sealed(spec)))
    return found


def named(objects: list[Json], head: Head | None = None) -> set[tuple[str, str]]:
    return {(finding.fault.value, finding.record) for finding in verify(objects, head)}


def head_of(objects: list[Json]) -> Head:
    last = objects[-1]["spec"]
    return Head(last["number"], last["hash"], "status.records")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where a value has something that can be changed."""
    if isinstance(value, dict):
        return [place for name, item in value.items() for place in places(item, (*path, name))]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in places(item, (*path, index))]
    return [path]


def changed(value: Any) -> Any:
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"


@given(st.integers(1, 8), st.integers(1, 8), st.randoms(use_true_random=False))
def test_a_chain_as_it_was_written_is_whole(length: int, keep: int, random: Any) -> None:
    """With any retention, in any order of the list, whether the old ones are deleted by now or not."""
    objects = chain(length, keep=keep)
    for kept in (objects, objects[max(0, length - keep) :]):
        shuffled = random.sample(kept, len(kept))
        assert verify(shuffled, head_of(objects)) == []
        assert verify(shuffled) == []


@given(st.integers(1, 6), st.data())
def test_whatever_is_changed_in_a_record_is_named(length: int, data: st.DataObject) -> None:
    """Any single value of any record: that record is named."""
    objects = copy.deepcopy(chain(length))
    victim = data.draw(st.sampled_from(objects))
    *way, last = data.draw(st.sampled_from(places(victim["spec"])))
    part = victim["spec"]
    for step in way:
        part = part[step]
    part[last] = changed(part[last])

    assert victim["metadata"]["name"] in {finding.record for finding in verify(objects)}


@given(st.integers(2, 6), st.data())
def test_a_record_that_is_changed_and_sealed_again_is_found_by_the_next(length: int, data: st.DataObject) -> None:
    """Who makes the hash anew has the next record say so; of the last one the head does."""
    objects = chain(length)
    index = data.draw(st.integers(0, length - 1))
    forged = [*objects]
    forged[index] = object_of(sealed({**objects[index]["spec"], "to": {"version": "v99"}}))
    beside = objects[min(index + 1, length - 1)]["metadata"]["name"]

    assert (Fault.FOREIGN, beside) in named(forged, head_of(objects))


@given(st.integers(1, 6), st.data())
def test_whatever_is_taken_out_is_named(length: int, data: st.DataObject) -> None:
    """Any set of records but the empty one, the oldest and the last among them: each gap is named by its first."""
    objects = chain(length)
    gone = data.draw(st.sets(st.integers(1, length), min_size=1))
    left = [one for one in objects if one["spec"]["number"] not in gone]
    gaps = {number for number in gone if number - 1 not in gone}
    found = {finding.record for finding in verify(left, head_of(objects)) if finding.fault is Fault.MISSING}

    if left:
        assert found == {name_of("checkout", UID, number) for number in gaps}
    else:
        assert found == {"number 1"}


@given(st.integers(2, 8), st.integers(1, 4), st.data())
def test_deletion_of_old_records_is_retention_only_as_far_as_the_last_says(length: int, keep: int, data: st.DataObject) -> None:
    """Whoever deletes one more than is not kept is found, with nothing but the records at hand."""
    objects = chain(length, keep=keep)
    first_kept = max(1, length + 1 - keep)
    first = data.draw(st.integers(1, length))

    found = verify(objects[first - 1 :])

    assert (found == []) == (first <= first_kept)
    if first > first_kept:
        assert [(Fault.MISSING, name_of("checkout", UID, first_kept))] == [(one.fault, one.record) for one in found]


@given(st.integers(2, 6), st.data())
def test_two_that_are_exchanged_are_both_named(length: int, data: st.DataObject) -> None:
    """Under each other's names, or with each other's numbers."""
    objects = chain(length)
    one, other = data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    names = {objects[one]["metadata"]["name"], objects[other]["metadata"]["name"]}
    moved = copy.deepcopy(objects)
    moved[one]["metadata"], moved[other]["metadata"] = moved[other]["metadata"], moved[one]["metadata"]
    renumbered = copy.deepcopy(objects)
    renumbered[one]["spec"]["number"], renumbered[other]["spec"]["number"] = other + 1, one + 1

    assert {(Fault.REORDERED.value, name) for name in names} == named(moved)
    assert names <= {finding.record for finding in verify(renumbered)}


def test_a_record_of_another_release_is_foreign_to_no_chain() -> None:
    """A Release that was made again has a chain of its own, and so has each namespace."""
    objects = [*chain(2), *chain(1, uid="uid-2")]

    parted = chains(objects)

    assert {("shop", "checkout", "uid-1"): 2, ("shop", "checkout", "uid-2"): 1} == {key: len(some) for key, some in parted.items()}
    assert all(verify(some) == [] for some in parted.values())


def test_a_second_record_of_a_number_is_named() -> None:
    """Somebody with every right writes another one beside it, under a name of his own."""
    objects = chain(3)
    forged = object_of(sealed({**objects[1]["spec"], "to": {"version": "v99"}}))
    forged["metadata"]["name"] = "checkout-00002-forged"

    found = named([*objects, forged], head_of(objects))

    assert {("reordered", "checkout-00002-forged"), ("foreign", "checkout-00002-forged")} <= found
    assert not any(record == objects[0]["metadata"]["name"] for _, record in found)


def test_records_beyond_the_head_are_foreign() -> None:
    """The status knows which is the last."""
    objects = chain(3)

    assert {("foreign", objects[2]["metadata"]["name"])} == named(objects, head_of(objects[:2]))


@pytest.mark.parametrize("there", [2, 3, 4])
def test_what_is_being_written_may_be_there_or_not(there: int) -> None:
    """Until the status notes that a record is written, which takes a minute, it is neither missing nor foreign; a later one is."""
    objects = chain(5)
    head = Head(2, objects[3]["spec"]["hash"], "status.records", latest=4)

    assert [] == verify(objects[:there], head)
    assert {("foreign", objects[4]["metadata"]["name"])} == named(objects, head)
    assert {("missing", objects[1]["metadata"]["name"])} == named(objects[:1], head)
    other = Head(2, "sha256:" + "0" * 64, "status.records", latest=4)
    assert {("foreign", objects[3]["metadata"]["name"])} == named(objects[:4], other)


@pytest.mark.parametrize("spec", [None, {}, {"number": "1"}, {"number": True}, {"number": 1, "hash": 3, "ratio": 1.5}])
def test_what_is_no_record_is_named_and_breaks_nothing(spec: Any) -> None:
    """A hand may have written anything."""
    found = verify([{"metadata": {"name": "odd", "namespace": "shop"}, "spec": spec}])

    assert ("changed", "odd") in {(finding.fault.value, finding.record) for finding in found}


@given(st.lists(st.integers(0, 5), max_size=12))
def test_ids_only_rise(minutes: list[int]) -> None:
    """Whatever the clock does, no two records of a Release have one id, and the first of a minute has none behind it."""
    ids: list[str] = []
    for minute in minutes:
        ids.append(next_id(f"20260101_12{minute:02d}", ids[-1] if ids else ""))

    assert len(set(ids)) == len(ids)
    stamps = [one[:17] for one in ids]
    assert stamps == sorted(stamps)
    assert all(stamps.index(stamp) == index for index, (one, stamp) in enumerate(zip(ids, stamps, strict=True)) if one == stamp)


@pytest.mark.parametrize("last", ["", "nonsense", "rel_2026", "rel_99999999_9999_x"])
def test_an_id_that_a_hand_has_written_is_not_gone_on_from(last: str) -> None:
    assert next_id("20260101_1200", last) == "rel_20260101_1200"


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 8), st.randoms(use_true_random=False))
def test_what_was_exported_and_is_there_is_no_finding(length: int, keep: int, exported: int, random: Any) -> None:
    """Whatever part of the chain was exported, however often, and whatever retention has deleted since."""
    objects = chain(length, keep=keep)
    copies = [random.choice(objects) for _ in range(exported)]

    assert [] == against(objects[max(0, length - keep) :], copies)


@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_whatever_is_deleted_or_changed_is_missed_by_its_copies(length: int, keep: int, data: Any) -> None:
    """Given copies of all records, then each that should be there and is gone is missed, the last ones and all of them, too."""
    objects = chain(length, keep=keep)
    should = objects[max(0, length - keep) :]
    left = [one for one in should if data.draw(st.booleans())]
    findings = against(left, objects)
    gone = [one["metadata"]["name"] for one in should if one not in left]

    assert gone[:1] == [one.record for one in findings if one.fault is Fault.MISSING]
    if left:
        other = copy.deepcopy(left[-1])
        other["spec"] = sealed({**other["spec"], "message": "all is well"})
        found = against([*left[:-1], other], objects)
        assert (Fault.CHANGED, other["metadata"]["name"]) in {(one.fault, one.record) for one in found}


def test_a_copy_that_was_changed_proves_nothing() -> None:
    """Given a stream that somebody has written into, then it says so of the copy, and not of the record."""
    objects = chain(2)
    forged = copy.deepcopy(objects)
    forged[1]["spec"]["to"]["version"] = "v9"
    twice = [*objects, object_of(sealed({**objects[1]["spec"], "message": "x"}))]

    assert [("changed", True)] == [(one.fault, one.words.startswith("as it was exported")) for one in against(objects, forged)]
    assert [("foreign", "it was exported twice, with two hashes")] == [(one.fault, one.words) for one in against(objects, twice)]
