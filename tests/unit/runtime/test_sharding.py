"""Who is to work on which shard: fair, steady, never two, and never nobody for long."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.controller.process.shards import LEAVE_SECONDS
from tidegate.runtime.sharding import HEIR_SECONDS, Duties, Member, Patience, Shard, Tenure, assigned, duties, shard_of
from unit.runtime.replicas import FILLING, TICK, TIMING, Installation

PATIENCE = Patience(doubt=7.5, death=15.0)
FAILOVER = TIMING.duration + TIMING.retry + FILLING + 3.0
"""Seconds after which each shard has somebody, whatever was before: the lease, a beat of the roster, the caches, and to notice."""

names = st.sampled_from(["a", "b", "c", "d", "e"])
tenures = st.lists(st.builds(Tenure, st.sampled_from(["", "a", "b", "c", "gone"])), min_size=1, max_size=9)


def test_shard_of_a_release_is_the_same_for_every_replica_of_every_version() -> None:
    """The division is API between replicas: these numbers must not change."""
    assert [shard_of("shop", name, 5) for name in ("cart", "checkout", "search")] == [0, 2, 3]


def test_releases_are_spread_evenly() -> None:
    """Of ten thousand Releases with names as people give them each of five shards has a fifth, give or take a twentieth of it."""
    found = Counter(shard_of(f"team-{number % 40}", f"service-{number}", 5) for number in range(10_000))

    assert all(abs(one - 2000) < 100 for one in found.values()), found


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.integers(1, 32))
def test_each_release_is_in_one_shard(namespace: str, name: str, count: int) -> None:
    """Of all shards exactly one has a Release."""
    assert [Shard(index, count).has(namespace, name) for index in range(count)].count(True) == 1


@given(st.sets(names, min_size=1), tenures)
def test_shares_are_fair_and_nothing_moves_without_need(there: set[str], held: list[Tenure]) -> None:
    """Everybody gets a fair share, and whoever holds no more than that keeps all of it."""
    owners = assigned(there, held)
    got, had = Counter(owners), Counter(one.holder for one in held if one.holder in there)
    share = math.ceil(len(held) / len(there))

    assert set(owners) <= there
    assert max(got[name] for name in there) - min(got[name] for name in there) <= 1
    # Whoever has the most gets the larger shares, so that is how many can stay at best.
    least, more = divmod(len(held), len(there))
    most_first = sorted((had[name] for name in there), reverse=True)
    stays = sum(min(has, least + (place < more)) for place, has in enumerate(most_first))
    assert max(got[name] for name in there) <= share
    assert sum(owner == one.holder for owner, one in zip(owners, held, strict=True)) == stays


@given(st.sets(names, min_size=1), tenures)
def test_what_is_assigned_stays_assigned_once_it_is_held(there: set[str], held: list[Tenure]) -> None:
    """When all have what they were to have, nothing moves any more; and on the way there the goal stays the same."""
    owners = assigned(there, held)

    assert assigned(there, [Tenure(owner) for owner in owners]) == owners
    for shard, owner in enumerate(owners):
        halfway = [Tenure(owner) if at == shard else one for at, one in enumerate(held)]
        after = assigned(there, halfway)
        assert after[shard] == owner


def test_shard_is_handed_over_to_who_is_ready() -> None:
    """Of two shards the newcomer prepares for one; its holder gives it up once the newcomer says that it is ready."""
    held = [Tenure("a"), Tenure("a")]
    new = {"a": Member(), "b": Member()}
    ready = {"a": Member(), "b": Member(ready=frozenset({1}))}

    assert (duties("a", new, held, PATIENCE), duties("b", new, held, PATIENCE)) == (Duties(), Duties(prepare=frozenset({1})))
    assert duties("a", ready, held, PATIENCE) == Duties(hand_over=frozenset({1}))


def test_silent_holder_has_an_heir_before_its_lease_has_run_out() -> None:
    """While a holder is silent, somebody gets ready for its shard, and nothing else moves."""
    held = [Tenure("a"), Tenure("b"), Tenure("c")]
    members = {"a": Member(), "b": Member(), "c": Member(silent=8.0)}

    found = {name: duties(name, members, held, PATIENCE) for name in ("a", "b")}

    assert found == {"a": Duties(prepare=frozenset({2})), "b": Duties()}


def test_replica_that_ends_waits_for_its_heirs_and_for_nobody_where_there_is_none() -> None:
    """What it holds goes to who is ready for it; the last replica of all gives everything up at once."""
    held = [Tenure("a"), Tenure("a"), Tenure("b")]
    ready = {"a": Member(leaving=True), "b": Member(ready=frozenset({1}))}

    assert duties("a", ready, held, PATIENCE) == Duties(hand_over=frozenset({1}))
    assert duties("b", ready, held, PATIENCE) == Duties(prepare=frozenset({0, 1}))
    assert duties("a", {"a": Member(leaving=True)}, held, PATIENCE) == Duties(hand_over=frozenset({0, 1}))


@pytest.mark.parametrize(("vacant", "heir"), [(0.0, "b"), (HEIR_SECONDS - 1, "b"), (HEIR_SECONDS, "c"), (2 * HEIR_SECONDS, "a")])
def test_shard_that_its_heir_does_not_take_goes_to_another_one_in_turn(vacant: float, heir: str) -> None:
    """A replica that lives and cannot work keeps no shard from being worked on."""
    assert assigned({"a", "b", "c"}, [Tenure("a"), Tenure("", vacant), Tenure("c")])[1] == heir


@pytest.mark.parametrize(
    ("vacant", "heirs"),
    [(0.0, "b"), (HEIR_SECONDS - 1, "b"), (HEIR_SECONDS, "bc"), (2 * HEIR_SECONDS, "abc"), (9 * HEIR_SECONDS, "abc")],
)
def test_whoever_prepares_goes_on_when_it_is_anothers_turn_too(vacant: float, heirs: str) -> None:
    """Caches of thousands of Releases may take longer than a turn: given up at its end, they would never be filled anywhere."""
    held, members = [Tenure("a"), Tenure("gone", vacant), Tenure("c")], {name: Member() for name in "abc"}

    assert [name for name in members if 1 in duties(name, members, held, PATIENCE).prepare] == [*heirs]


# Whole lives.

replicas = st.integers(0, 3)
disturbances = st.one_of(
    st.tuples(st.just("join"), st.floats(-1e4, 1e6), st.just(0.0)),
    st.tuples(st.just("kill"), replicas, st.just(0.0)),
    st.tuples(st.just("end"), replicas, st.just(0.0)),
    st.tuples(st.just("hang"), replicas, st.floats(1.0, 60.0)),
    st.tuples(st.just("cut off"), replicas, st.floats(1.0, 60.0)),
    st.tuples(st.just("API server away"), st.just(0), st.floats(1.0, 60.0)),
)


def installed(count: int, replicas: int, *, seconds: float, filling: float = FILLING, ahead: float = 0.0) -> Installation:
    """Return an installation whose replicas began together, so long ago; each one's clock is ahead of the one's before."""
    place = Installation(count, filling)
    for number in range(replicas):
        place.join(ahead=ahead * number)
    place.run(seconds)
    return place


def disturb(place: Installation, what: str, which: float, seconds: float) -> None:
    """Let something happen, and let it be over."""
    there = sorted(place.replicas)
    if what == "join":
        place.join(ahead=which)
        return
    if what == "API server away":
        place.leases.away = True
        place.run(seconds)
        place.leases.away = False
        return
    replica = place.replicas[there[int(which) % len(there)]]
    match what:
        case "kill" if len(there) > 1:
            del place.replicas[replica.name]
        case "end" if len(there) > 1:
            replica.leaving = True
            place.run(LEAVE_SECONDS)
            del place.replicas[replica.name]
        case "hang":
            replica.hung = True
            place.run(seconds)
            replica.hung = False
        case "cut off":
            replica.cut_off = True
            place.run(seconds)
            replica.cut_off = False


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.lists(st.tuples(disturbances, st.floats(0.0, 20.0)), max_size=5),
)
def test_no_shard_has_two_writers_and_none_is_without_for_long(
    count: int, there: int, life: list[tuple[tuple[str, float, float], float]]
) -> None:
    """Whatever happens: at no instant two may write, and a failover after the last disturbance all is held, in fair shares."""
    place = installed(count, there, seconds=40.0, ahead=1000.0)
    for (what, which, seconds), pause in life:
        disturb(place, what, which, seconds)
        place.run(pause)

    place.run(FAILOVER)
    assert set(place.held()) == set(range(count))
    place.run(40.0)
    loads = Counter(place.held().values())
    assert max(loads.values()) <= math.ceil(count / len(place.replicas))
    moves = len(place.moves)
    place.run(120.0)
    assert len(place.moves) == moves, "a shard moves though nothing happens"


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.floats(FILLING, 400.0))
def test_shards_of_a_dead_replica_are_taken_however_long_their_caches_take(count: int, there: int, filling: float) -> None:
    """With thousands of Releases and a slow API server it takes minutes to fill them: the failover lasts as long, and no longer."""
    place = installed(count, there + 1, seconds=40.0 + 2 * filling, filling=filling)
    assert set(place.held()) == set(range(count))

    del place.replicas[min(place.replicas)]

    place.run(FAILOVER - FILLING + filling)
    assert set(place.held()) == set(range(count))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(2, 4), st.floats(1.0, 120.0))
def test_api_server_that_was_away_moves_no_shard(count: int, there: int, seconds: float) -> None:
    """However long the API server is away, everybody goes on with what it had."""
    place = installed(count, there, seconds=60.0)
    before, moves = place.held(), len(place.moves)

    disturb(place, "API server away", 0, seconds)
    place.run(30.0)

    assert (place.held(), place.moves[moves:]) == (before, [])


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.floats(FILLING, 45.0))
def test_shards_of_one_that_is_told_to_end_are_never_without_a_writer(count: int, there: int, filling: float) -> None:
    """It waits for the caches of others; each of its shards has a writer at each instant but for the one of the handover itself."""
    place = installed(count, there + 1, seconds=60.0 + 2 * filling, filling=filling)
    going = place.replicas[min(place.replicas)]

    going.leaving = True
    gaps = without(place, LEAVE_SECONDS)
    del place.replicas[going.name]

    assert gaps + without(place, 60.0) <= 1.0 * count


def without(place: Installation, seconds: float) -> float:
    """Let time pass; return the seconds for which shards had nobody, in all."""
    gaps = 0.0
    for _ in range(int(seconds / TICK)):
        place.run(TICK)
        gaps += TICK * (place.count - len(place.held()))
    return gaps
