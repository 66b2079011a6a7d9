"""A linear margin between two shares of bad events."""

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.difference import MarginFactors
from tidegate.judge.evidence.numbers import divergence
from tidegate.judge.evidence.paired import NeverExceeded, PairedTest
from tidegate.judge.evidence.ratio import FARTHER, SLIGHT
from unit.judge.evidence.counts import first_look, interval, intervals, median, share_of, steps
from unit.judge.evidence.test_ratio import law

BELOW = tuple(1 / multiple for multiple in SLIGHT)


def expectation(factors: MarginFactors, n_c: int, p_c: float, n_b: int, p_b: float, expected: float) -> list[float]:
    sums = [0.0] * len(factors.multiples)
    for (e_c, w_c), (e_b, w_b) in product(enumerate(law(n_c, p_c)), enumerate(law(n_b, p_b))):
        for place, log in enumerate(factors.of(n_c, e_c, n_b, e_b, expected)):
            sums[place] += w_c * w_b * math.exp(log)
    return sums


class TestFactors:
    @given(
        st.integers(1, 8), st.integers(1, 8), st.floats(0, 1), st.floats(0, 1),
        st.floats(0.01, 0.99), st.sampled_from([(1, 0.01), (1, 0.3), (2, 0), (0.95, 0.05), (1.05, -0.05)]), st.booleans(),
    )  # fmt: skip
    def test_expectation_is_at_most_one(self, n_c, n_b, p_b, part, expected, line, up):
        """Whatever both shares are on the null's side, and whatever was expected of stable."""
        slope, offset = line
        limit = min(max(slope * p_b + offset, 0.0), 1.0)
        p_c = limit * part if up else limit + (1 - limit) * part
        factors = MarginFactors(slope, offset, FARTHER if up else BELOW)
        inside = p_c <= slope * p_b + offset if up else p_c >= slope * p_b + offset

        assert not inside or max(expectation(factors, n_c, p_c, n_b, p_b, expected)) <= 1 + 1e-6

    @pytest.mark.parametrize("multiple", [3.0, 1 / 3])
    def test_the_null_is_represented_by_its_nearest_point(self, multiple):
        """No other point of the line is nearer to the alternative in Kullback and Leibler's sense."""
        factors = MarginFactors(1.0, 0.05, (multiple,))
        c1 = multiple * (0.15 / 0.85) / (1 + multiple * 0.15 / 0.85)
        found = factors._projection(c1, 0.1, 40.0, 160.0)[0]

        def distance(b):
            return 40 * divergence(c1, b + 0.05) + 160 * divergence(0.1, b)

        assert pytest.approx(min(distance(0.0001 * k) for k in range(1, 9490)), rel=1e-5) == distance(found)


@pytest.mark.no_cover
class TestFalseAlarms:
    @pytest.mark.parametrize(
        ("p_b", "slope", "offset", "share", "up"),
        [
            (0.01, 1.0, 0.005, 0.1, True),
            (0.005, 1.0, 0.01, steps(120, (0.05, 0.1, 0.25, 0.5)), True),
            (0.2, 1.0, 0.1, 0.25, True),
            (0.05, 1.0, -0.02, 0.25, False),
            (0.02, 0.95, 0.05, 0.25, True),
        ],
    )
    @pytest.mark.parametrize("which", ["harm", "proof"])
    def test_at_the_limit(self, p_b, slope, offset, share, up, which):
        """Points above and below, and a decrease of availability in percent, in both directions."""
        rng, test = random.Random(21), PairedTest(slope, offset, up=up)

        looks = [first_look(test, intervals(rng, 120, slope * p_b + offset, p_b, share), which) for _ in range(60)]

        assert share_of(looks) <= 0.05


class TestDetection:
    def test_the_seed_policy(self):
        """Two points more where less than one is allowed: found within 3,000 requests of the new version."""
        rng, test = random.Random(22), PairedTest(1.0, 0.01)

        looks = [first_look(test, intervals(rng, 100, 0.025, 0.005, 0.1), "harm") for _ in range(41)]

        assert median(looks) * 100 <= 3000

    def test_half_a_point_more_is_proven_to_be_within(self):
        """0.5% of errors like stable, where one point more is allowed: shown within 1,500 requests."""
        rng, test = random.Random(23), PairedTest(1.0, 0.01)

        looks = [first_look(test, intervals(rng, 100, 0.005, 0.005, 0.1), "proof") for _ in range(41)]

        assert median(looks) * 100 <= 1500

    def test_all_requests_fail_at_the_first_look(self):
        """Before anything is known of stable."""
        test = PairedTest(1.0, 0.01)
        state = test.begin()

        test.add(state, interval(25, 25, 225, 2, seconds=5.0, bursts=5.0))

        assert test.harm(state) > math.log(300)


def test_a_limit_that_nothing_exceeds_is_kept_from_the_first_request_on():
    test = NeverExceeded()
    state = test.begin()
    assert (0.0, 0.0) == (test.harm(state), test.proof(state))

    test.add(state, interval(1, 1, 1, 0))

    assert test.harm(state) == 0.0
    assert test.proof(state) > math.log(1e6)
