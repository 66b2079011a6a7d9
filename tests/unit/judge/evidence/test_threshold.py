"""A fixed limit on a share of bad events, and one on a rate per time."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.numbers import MOST, odds_logs
from tidegate.judge.evidence.poisson import PoissonTest
from tidegate.judge.evidence.ratio import FARTHER, SLIGHT
from tidegate.judge.evidence.threshold import NoneAllowed, ThresholdTest
from unit.judge.evidence.counts import first_look, interval, intervals, median, share_of


class TestFactors:
    @given(st.floats(0.0001, 0.9999), st.floats(0, 1), st.sampled_from([*FARTHER, *(1 / multiple for multiple in SLIGHT)]))
    def test_expectation_is_at_most_one(self, limit, part, multiple):
        """For every share on the null's side of the limit."""
        log_bad, log_good = odds_logs(limit, multiple)
        p = limit * part if multiple > 1 else limit + (1 - limit) * part

        assert p * math.exp(log_bad) + (1 - p) * math.exp(log_good) <= 1 + 1e-9

    def test_one_alternative_is_walds_test(self):
        """Twice the odds of 1%: the likelihood ratio of 12 bad ones in 500."""
        log_bad, log_good = odds_logs(0.01, 2.0)
        p1 = (2 / 99) / (1 + 2 / 99)

        expected = 12 * math.log(p1 / 0.01) + 488 * math.log((1 - p1) / 0.99)

        assert pytest.approx(expected) == 12 * log_bad + 488 * log_good


@pytest.mark.no_cover
class TestFalseAlarms:
    @pytest.mark.parametrize(("limit", "up"), [(0.01, True), (0.001, True), (0.3, True), (0.02, False)])
    @pytest.mark.parametrize("which", ["harm", "proof"])
    def test_at_the_limit(self, limit, up, which):
        """Exactly the share that is just allowed, and just not allowed."""
        rng, test = random.Random(31), ThresholdTest(limit, up=up)

        looks = [first_look(test, intervals(rng, 180, limit, 0.0, 0.999), which) for _ in range(80 if limit < 0.1 else 30)]

        assert share_of(looks) <= 0.05

    def test_a_share_that_moves_below_the_limit(self):
        """Now at the limit and now far below it."""
        rng, test = random.Random(32), ThresholdTest(0.01)

        looks = [
            first_look(test, intervals(rng, 180, lambda look: 0.01 if look % 40 < 20 else 0.001, 0.0, 0.999), "harm")
            for _ in range(80)
        ]

        assert share_of(looks) <= 0.05


class TestDetection:
    @pytest.mark.parametrize(("times", "most"), [(1.5, 6500), (2.0, 2200), (5.0, 240), (10.0, 100)])
    def test_requests_needed(self, times, most):
        """Against 1%; Wald's test, told the fault, needs 2,736, 765, 72 and 20 on average."""
        rng, test = random.Random(33), ThresholdTest(0.01)

        looks = [first_look(test, intervals(rng, 800, 0.01 * times, 0.0, 1.0, total=20), "harm") for _ in range(41)]

        assert median(looks) * 20 <= most

    def test_no_bad_request_proves_a_limit_after_the_rule_of_three_for_every_look(self):
        """Without a single error, 1% is certified after about 4.25 / 1% requests at 95% confidence."""
        test = ThresholdTest(0.01)
        state, requests = test.begin(), 0
        while test.proof(state) < math.log(20):
            requests += 5
            test.add(state, interval(5, 0, 0, 0, start=requests))

        assert 300 <= requests <= 480


class TestNoneAllowed:
    def test_one_bad_event_is_beyond_doubt(self):
        test = NoneAllowed()
        state = test.begin()
        test.add(state, interval(1000, 0, 0, 0))
        assert (0.0, 0.0) == (test.harm(state), test.proof(state))

        test.add(state, interval(1000, 1, 0, 0, start=60.0))

        assert MOST == test.harm(state)


def restarts(rng, looks, rate, hours=0.05):
    """Give intervals of three pods' minutes with restarts at a rate per pod-hour."""
    for look in range(looks):
        count, left = 0, rng.expovariate(1.0)
        while left < rate * hours:
            count, left = count + 1, left + rng.expovariate(1.0)
        yield interval(hours, count, 0, 0, start=60.0 * look)


class TestRestarts:
    @pytest.mark.parametrize("which", ["harm", "proof"])
    def test_at_the_limit(self, which):
        """One restart per pod-hour where one is allowed, over ten hours."""
        rng, test = random.Random(34), PoissonTest(1.0)

        looks = [first_look(test, restarts(rng, 600, 1.0), which) for _ in range(80)]

        assert share_of(looks) <= 0.05

    def test_a_crash_loop_is_found_after_a_few_restarts(self):
        """Three pods that restart every five minutes each, where one restart per pod-hour is allowed."""
        rng, test = random.Random(35), PoissonTest(1.0)

        looks = [first_look(test, restarts(rng, 60, 12.0), "harm") for _ in range(41)]

        assert median(looks) <= 12

    def test_quiet_pods_prove_it(self):
        """No restart at all in five pod-hours."""
        test = PoissonTest(1.0)
        state = test.begin()

        test.add(state, interval(5.0, 0, 0, 0))

        assert test.proof(state) > math.log(20)

    def test_more_restarts_than_hours_are_no_mistake(self):
        """Restarts are not a share of anything."""
        test = PoissonTest(1.0)
        state = test.begin()

        test.add(state, interval(0.01, 20, 0, 0))

        assert test.harm(state) > math.log(300)
