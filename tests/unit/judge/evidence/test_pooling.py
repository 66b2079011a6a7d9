"""Counts that wait until both versions have some."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence import pooling
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.reading import Tally

NOTHING = Tally(0.0)


def interval(canary: Tally, stable: Tally | None, start: float, seconds: float = 5.0, **more: object) -> Interval:
    return replace(Interval(canary, stable, start, start + seconds), **more)


def test_counts_of_both_do_not_wait():
    """They are taken as they are."""
    state, one = pooling.begin(), interval(Tally(10, 1), Tally(100, 1), 0)

    assert pooling.take(state, one) == one
    assert state == pooling.begin()


def test_counts_of_one_wait_for_the_other():
    """And are taken in as one interval, from the beginning of the first to the end of the last."""
    state = pooling.begin()

    assert pooling.take(state, interval(Tally(10, 1), NOTHING, 0)) is None
    assert pooling.take(state, interval(Tally(5, 5), NOTHING, 5)) is None
    assert pooling.take(state, interval(NOTHING, Tally(100, 2), 10)) == interval(Tally(15, 6), Tally(100, 2), 0, 15)
    assert pooling.take(state, interval(NOTHING, NOTHING, 15)) is None
    assert state == pooling.begin()


def test_latencies_wait_bound_by_bound():
    """A version without requests may have no bounds."""
    state, bounds = pooling.begin(), (0.1, 0.5)

    assert pooling.take(state, interval(Tally(10, 0, (4, 1)), Tally(0, 0, (0, 0)), 0, bounds=bounds)) is None
    assert pooling.take(state, interval(NOTHING, NOTHING, 5)) is None
    taken = pooling.take(state, interval(Tally(0, 0, (0, 0)), Tally(100, 0, (9, 3)), 10, bounds=bounds))

    assert taken == interval(Tally(10, 0, (4, 1)), Tally(100, 0, (9, 3)), 0, 15, bounds=bounds)


def test_other_bounds_begin_anew():
    """What is compared has the same bounds."""
    state = pooling.begin()
    pooling.take(state, interval(Tally(10, 0, (4,)), Tally(0, 0, (0,)), 0, bounds=(0.1,)))
    other = interval(Tally(10, 0, (3,)), Tally(100, 0, (8,)), 5, bounds=(0.2,))

    assert pooling.take(state, other) == other


def test_a_version_without_requests_is_not_waited_for_for_ever():
    """What is compared is to be of one time: what waited is let go of."""
    state = pooling.begin()
    for start in range(0, 700, 100):
        assert pooling.take(state, interval(Tally(10, 1), NOTHING, start, 100)) is None

    taken = pooling.take(state, interval(NOTHING, Tally(100, 1), 700, 100))

    assert taken is not None
    assert taken.end - taken.start <= pooling.LONGEST
    assert taken.canary.total < 70


def test_where_all_traffic_is_on_the_new_version_nothing_waits():
    """Stable is to have none."""
    state = pooling.begin()
    pooling.take(state, interval(Tally(10, 1), NOTHING, 0))

    assert pooling.take(state, interval(Tally(5, 0), NOTHING, 5, alone=True)) == interval(Tally(15, 1), NOTHING, 0, 10, alone=True)


def test_a_gate_without_stable_does_not_wait():
    """A fixed limit."""
    one = interval(Tally(10, 1), None, 0)

    assert pooling.take(pooling.begin(), one) == one


counts = st.integers(0, 50).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total)))


@given(st.lists(st.tuples(counts, counts), max_size=60))
def test_nothing_is_lost_and_nothing_comes_twice(looks):
    """What is taken in and what waits is what was counted, and both versions have some in all that is taken in."""
    state, taken = pooling.begin(), []
    for number, (canary, stable) in enumerate(looks):
        one = pooling.take(state, interval(Tally(*canary), Tally(*stable), 5 * number))
        taken += [] if one is None else [one]

    assert all(one.canary.total > 0 and one.stable is not None and one.stable.total > 0 for one in taken)
    assert all(first.end <= second.start for first, second in pairwise(taken))
    waiting = state[1:5] or [0.0] * 4
    sums = [sum(one.canary.total for one in taken), sum(one.canary.bad for one in taken)]
    sums += [sum(one.stable.total for one in taken if one.stable), sum(one.stable.bad for one in taken if one.stable)]
    expected = [sum(canary[i] for canary, _ in looks) for i in (0, 1)] + [sum(stable[i] for _, stable in looks) for i in (0, 1)]
    assert expected == [found + left for found, left in zip(sums, waiting, strict=True)]


def test_requests_that_were_counted_at_no_bound_are_not_taken_for_fast_ones():
    """A histogram that has but one bucket tells of none how long it took."""
    state, bounds = pooling.begin(), (0.1, 0.5)
    pooling.take(state, interval(Tally(1000), NOTHING, 0))
    told = interval(Tally(10, 0, (10, 10)), Tally(100, 0, (9, 3)), 5, bounds=bounds)

    assert pooling.take(state, told) == told

    pooling.take(state, interval(Tally(10, 0, (4, 1)), Tally(0, 0, (0, 0)), 10, bounds=bounds))
    assert pooling.take(state, interval(Tally(5), Tally(10), 15)) == interval(Tally(5), Tally(10), 15)
