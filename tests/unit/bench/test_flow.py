"""What happens in a soak is planned: a steady mix over all services, and nothing that cannot end well."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from bench.scale.flow import APART, SHARES, Journey, plan


def test_the_same_seed_gives_the_same_flow() -> None:
    """So a soak can be done again."""
    assert plan(1000, 1800, 1.0, seed=3) == plan(1000, 1800, 1.0, seed=3)
    assert plan(1000, 1800, 1.0, seed=3) != plan(1000, 1800, 1.0, seed=4)


def test_every_third_of_the_time_has_the_same_mix() -> None:
    """Latency of the last third is compared with that of the first: both have to have as many breaches."""
    starts = plan(1000, 1800, 1.0)
    thirds = [Counter(start.journey for start in starts[begin : begin + 600]) for begin in (0, 600, 1200)]

    assert 1800 == len(starts)
    for journey, of_twenty in SHARES.items():
        assert all(abs(third[journey] - 30 * of_twenty) <= 7 for third in thirds), journey


def test_services_take_turns() -> None:
    """All of them, in even steps, and none again before its last journey can have ended."""
    starts = plan(300, 900, 1.0)
    last: dict[int, float] = {}
    for start in starts:
        assert start.at - last.get(start.service, -APART) >= APART
        last[start.service] = start.at

    assert set(range(300)) == set(last)
    assert {1.0} == {round(later.at - earlier.at, 6) for earlier, later in pairwise(starts)}


def test_few_services_make_a_slower_flow() -> None:
    """Rather than to send a service on before it is back."""
    starts = plan(60, 600, 1.0)

    assert APART / 60 == starts[1].at
    assert 150 == len(starts)


def test_no_release_is_deleted_that_has_a_rejected_version() -> None:
    """Its Deployment stays paused with that version, and the Release anew would roll it out again."""
    rejected: set[int] = set()
    deleted = 0
    for start in plan(100, 6000, 1.0, seed=1):
        if start.journey is Journey.RECREATE:
            deleted += 1
            assert start.service not in rejected
        (rejected.add if start.journey.rejects else rejected.discard)(start.service)

    assert deleted > 100


def test_superseding_takes_two_rollouts_and_deleting_none() -> None:
    """Of the versions that are counted at the end."""
    assert [1, 1, 2, 1, 0] == [journey.rollouts for journey in Journey]
