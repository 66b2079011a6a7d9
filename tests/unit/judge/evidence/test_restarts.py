"""Starts that are spread over time."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.restarts import FIRST, HEAD, Mixture, due


class TestTheWeights:
    @given(st.floats(0, 1e9), st.floats(0, 1e9))
    def test_never_more_than_one_and_never_falling(self, one, other):
        """However long a rollout lasts."""
        early, late = sorted((one, other))

        assert FIRST <= due(early) <= due(late) <= 1

    def test_steady_over_the_first_half_hour(self):
        """A fault of minute 30 has had as many starts before it as one of minute 5."""
        assert pytest.approx(due(300) - due(0)) == due(1800) - due(1500)

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
    """Five alternatives, two factors of bursts, fifty intervals: the recursion gives what fifty separate tests give."""
    rng, shares = random.Random(41), (0.1, 0.2, 0.3, 0.4)
    mixture = Mixture(3, shares, (1.0, 4.0))
    state = [9.0, 9.0, 9.0, *mixture.begin()]
    factors, starts, spent = [], [], 0.0
    for look in range(50):
        several = [rng.gauss(-0.01, 0.3) for _ in shares]
        mixture.grow(state, 30.0 * look, several)
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
