"""The full run meets what the rule says: nothing of it by chance, and nothing twice."""

from __future__ import annotations

from collections import Counter

from faults.burst import BURST
from faults.journeys import JOURNEYS
from faults.plan import Injection, Learned, all_of
from faults.rounds import FEWEST, rounds
from faults.scenes import SCENES
from faults.writes import Asked, Kind

ROUTE, STATUS = Kind("patch", "httproutes.gateway.networking.k8s.io"), Kind("patch", "releases.tidegate.dev/status")
LIST = Kind("list", "deployments.apps")


def everything() -> list[Injection]:
    """Return all injections of all journeys, each with a few writes; one of them says the same twice."""
    writes = (
        Asked(STATUS, "phase=Progressing"),
        *(Asked(ROUTE, f"-canary={weight}") for weight in (0, 20, 50)),
        Asked(ROUTE, "-canary=50", 1),
    )
    known = Learned(writes, (ROUTE, STATUS), (LIST,), {})
    return [one for journey in SCENES for one in all_of(journey, known)]


def test_operator_dies_at_every_write():
    """Before and after each write of each journey."""
    planned = {one.name for one in rounds(everything()).planned}

    wanted = {f"{name}/write-{n}/{kind}" for name in JOURNEYS for n in range(1, 6) for kind in ("kill-before", "kill-after")}
    assert wanted <= planned


def test_every_kind_of_fault_meets_every_kind_of_request():
    """Whatever can be done to a kind of request is done to it in one journey or another."""

    def met(found: tuple[Injection, ...] | list[Injection]) -> set[tuple[str, str]]:
        kinds = {(one.kind, one.target.kind) for one in found if isinstance(one.target, Asked)}
        return {
            (kind, str(request))
            for kind, request in kinds | {(one.kind, one.target) for one in found if isinstance(one.target, Kind)}
        }

    assert met(everything()) == met(rounds(everything()).planned)


def test_every_journey_meets_some():
    """No journey is left to chance."""
    counts = Counter(one.journey for one in rounds(everything()).planned)

    assert set(SCENES) == set(counts)
    assert min(counts[name] for name in JOURNEYS) >= FEWEST


def test_burst_meets_all_that_is_meant_for_it():
    """None of the faults of a burst is left to the time that is left."""
    planned = {one.name for one in rounds(everything()).planned}

    wanted = {one.name for one in everything() if one.journey == BURST.name}
    assert wanted
    assert wanted <= planned


def test_nothing_is_met_twice_and_nothing_is_forgotten():
    """What is planned and what comes besides are together all that there is, each once."""
    found = rounds(everything())

    assert sorted(one.name for one in everything()) == sorted(one.name for one in (*found.planned, *found.more))


def test_order_is_the_same_in_every_run():
    """What there is time for does not depend on the order in which journeys were learned."""
    assert [one.name for one in rounds(everything()).more] == [one.name for one in rounds(reversed(everything())).more]


def test_long_ones_come_first():
    """So that nothing waits for a minute when all else has ended."""
    longs = [one.long for one in rounds(everything()).planned]

    assert sorted(longs, reverse=True) == longs


def test_the_worst_comes_first_where_there_is_time():
    """Each distinct write is met late, lost and on stale knowledge before anything is met again."""
    first = rounds(everything()).more[0]

    assert first.kind in {"kill-late", "late", "lost", "stale", "leader-write-late", "leader-hangs"}
