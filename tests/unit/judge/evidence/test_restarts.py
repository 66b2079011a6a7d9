"""Starts that are spread over time."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.restarts import FIRST, HEAD, Mixture, due, left


class TestTheWeights:
    @given(st.floats(0, 1e9), st.floats(0, 1e9))
    def test_never_more_than_one_and_never_falling(self, one, other):
        """However long a rollout lasts."""
        early, late = sorted((one, other))

        assert FIRST <= due(early) <= due(late) <= 1

    def test_more_at_first_and_enough_for_the_first_half_hour(self):
        """Most faults show soon; one of minute 30 has had more than half as many starts just before it as one of minute 10."""
        assert due(90) - due(60) > 2 * (due(630) - due(600))
        assert due(1800) - due(1500) > 0.5 * (due(600) - due(300))

    def test_something_is_left_for_the_third_day(self):
        day = 86_400

        assert due(3 * day) - due(3 * day - 600) > 1e-9
        assert due(HEAD) < due(2 * HEAD) < 1


def explicit(starts, factors, shares):
    """Return the mixture with a product of its own for each start."""
    total = 1 - sum(weight for _, weight in starts)
    for begin, weight in starts:
        for place, share in enumerate(shares):
            total += weight * share * math.exp(sum(several[place] for several in factors[begin:]))
    return math.log(total)


def test_one_number_for_all_starts_is_the_mixture_over_them():
    """Four alternatives, two laws, fifty intervals: the recursion gives what fifty separate tests give."""
    rng, shares = random.Random(41), (0.1, 0.2, 0.3, 0.4)
    mixture = Mixture(3, shares, 2)
    state = [9.0, 9.0, 9.0, *mixture.begin()]
    factors, starts, spent = [], [], 0.0
    for look in range(50):
        several = [rng.gauss(-0.01, 0.3) for _ in shares]
        mixture.grow(state, 30.0 * look, several, [factor / 4 for factor in several])
        factors.append(several)
        starts.append((look, due(30.0 * look) - spent))
        spent = due(30.0 * look)

    assert pytest.approx(explicit(starts, factors, shares)) == mixture.value(state)
    quarter = [[factor / 4 for factor in several] for several in factors]
    assert pytest.approx(explicit(starts, quarter, shares)) == mixture.value(state, 1)
    assert [9.0, 9.0, 9.0] == state[:3]


def test_an_interval_at_the_same_time_spends_nothing():
    """Two intervals that begin together share one start."""
    mixture = Mixture(0, (1.0,))
    state = mixture.begin()

    mixture.grow(state, 0.0, [0.5])
    mixture.grow(state, 0.0, [0.5])

    assert pytest.approx(math.log(1 - FIRST + FIRST * math.e)) == mixture.value(state)


def test_absurdly_strong_evidence_stays_a_number():
    mixture = Mixture(0, (1.0,))
    state = mixture.begin()
    for look in range(100):
        mixture.grow(state, 5.0 * look, [1e9])

    assert 500 < mixture.value(state) < math.inf


@pytest.mark.parametrize("days", [1, 100, 10_000])
def test_a_gate_never_grows_too_old(days):
    """There is a weight for every interval, although all that begin later have hardly any together."""
    begin = 86_400.0 * days

    assert left(begin) > left(begin + 5) > 0
    assert left(begin) + due(begin) == pytest.approx(1)
