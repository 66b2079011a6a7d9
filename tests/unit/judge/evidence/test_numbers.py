"""Arithmetic on logarithms that stays finite and exact."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.numbers import gammas, gammas_each, odds_logs, odds_times


class TestGammas:
    @given(st.floats(1e-6, 1e4), st.floats(1e-6, 1e4), st.floats(0, 1e4))
    def test_of_few_it_is_what_it_is_called(self, null, alternative, count):
        direct = math.lgamma(count + alternative) - math.lgamma(alternative) - math.lgamma(count + null) + math.lgamma(null)

        assert gammas(count, null, alternative) == pytest.approx(direct, abs=1e-8)

    @given(st.floats(1, 1e12), st.floats(1, 1e12), st.integers(1, 4))
    def test_of_many_it_is_not_rounded(self, count, null, more):
        """For sizes that differ by a whole number it is a product: logarithms of gamma functions alone are off by hundredths."""
        exact = math.fsum(math.log1p(count / (null + step)) for step in range(more))

        assert gammas(count, null, null + more) == pytest.approx(exact, abs=2e-3)

    @pytest.mark.parametrize(("null", "alternative"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (5e-324, 1e12)])
    def test_nothing_is_expected(self, null, alternative):
        assert math.isfinite(gammas(1e12, null, alternative))
        assert gammas(0, null, alternative) == 0

    @given(st.floats(1e-9, 50), st.floats(1e-6, 40), st.floats(1e7, 1e12))
    def test_few_events_where_many_would_be_expected(self, count, few, many):
        """The slope of log G at a great argument is its logarithm, so that few events cost so much each."""
        direct = math.lgamma(count + few) - math.lgamma(few) - count * math.log(many)

        assert gammas(count, many, few) == pytest.approx(direct, rel=1e-6, abs=1e-3)
        assert gammas(count, few, many) == pytest.approx(-direct, rel=1e-6, abs=1e-3)

    @given(st.floats(0, 1e12), st.floats(0, 1e12), st.lists(st.floats(0, 1e12), min_size=1, max_size=3))
    def test_several_alternatives_at_once_are_as_each_alone(self, count, null, alternatives):
        each = [gammas(count, null, alternative) for alternative in alternatives]

        assert gammas_each(count, null, alternatives) == pytest.approx(each, rel=1e-6, abs=1e-6)


class TestOddsLogs:
    @given(st.floats(1e-6, 1 - 1e-3), st.floats(0.05, 20))
    def test_likelihood_ratios(self, share, multiple):
        other = odds_times(share, multiple)
        bad, good = odds_logs(share, multiple)

        assert bad == pytest.approx(math.log(other / share), abs=1e-9)
        assert good == pytest.approx(math.log((1 - other) / (1 - share)), abs=1e-9)

    @pytest.mark.parametrize("share", [0.0, 5e-324, 1 - 1e-16, 1.0])
    @pytest.mark.parametrize("multiple", [1 / 14, 14.0])
    def test_at_the_ends(self, share, multiple):
        assert all(math.isfinite(log) for log in odds_logs(share, multiple))
