"""What other tools do is done as they do it."""

import math
import random

import pytest
from bench.comparators import COMPARATORS, Looks, mann_whitney, peeked_z_test, plain_limit, window_limit

from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.simulate import run
from tidegate.backtest.traffic import Fault, Traffic, generate


def looks(canary: list[tuple[int, int]], stable: list[tuple[int, int]]) -> Looks:
    return Looks([n for n, _ in canary], [e for _, e in canary], [n for n, _ in stable], [e for _, e in stable])


def minutes(*errors: int) -> Looks:
    """So many errors of 120 requests in each minute, all in its first look, beside a stable version without any."""
    canary = [(10, count if look == 0 else 0) for count in errors for look in range(12)]
    return looks(canary, [(90, 0)] * len(canary))


class TestLimitsOnWindows:
    def test_failures_need_not_follow_each_other(self) -> None:
        """The failure after the last that is allowed stops the rollout at the end of its minute."""
        assert 6 * 12 == window_limit(minutes(9, 0, 9, 9, 0, 9), allowed=3)
        assert window_limit(minutes(9, 0, 9, 9, 0, 0), allowed=3) is None

    def test_less_than_a_point_is_no_failure(self) -> None:
        """One error of 120 is 0.8 points more than none."""
        assert window_limit(minutes(1, 1, 1, 1, 1), allowed=0) is None

    def test_a_minute_without_requests_is_no_failure(self) -> None:
        """There is nothing to compare with."""
        assert window_limit(looks([(0, 0)] * 12, [(5, 0)] * 12), allowed=0) is None

    @pytest.mark.parametrize("number", range(5))
    def test_the_first_failure_is_that_of_the_judge_limit(self, number: int) -> None:
        """The judge Limit with its defaults stops the same rollouts at the same looks."""
        gate = {
            "name": "errors",
            "judge": "Limit",
            "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
            "versusStable": {"maxIncrease": {"points": 1}},
        }
        spec = RolloutPolicySpec.model_validate({"steps": [{"weight": 100}], "gates": [gate]})
        traffic = Traffic(rate=3000, share=0.2, duration=1800, fault=Fault(times=1.5, onset=600))
        canary, stable = generate(traffic, random.Random(str(number)))

        stopped = plain_limit(Looks(canary.total, canary.bad, stable.total, stable.bad))

        assert run(spec, traffic, str(number)).stopped == (None if stopped is None else stopped * 5.0)


class TestThePeekedTest:
    def test_the_first_significant_look_counts(self) -> None:
        """With 2 of 100 against 10 of 1,000 it is not significant at 1%; with 5 of 120 against 12 of 1,200 it is (z = 3.06)."""
        assert 2 == peeked_z_test(looks([(100, 2), (20, 3)], [(1000, 10), (200, 2)]))

    def test_without_any_error_there_is_nothing_to_test(self) -> None:
        """The spread is 0 then."""
        assert peeked_z_test(looks([(100, 0)] * 9, [(100, 0)] * 9)) is None


class TestTheRankTest:
    def test_it_needs_ten_points(self) -> None:
        """Clearly worse minutes stop the rollout at the tenth."""
        assert 10 * 12 == mann_whitney(minutes(*range(3, 23)))

    def test_equal_versions_are_not_worse(self) -> None:
        """Nor are versions without any errors."""
        assert mann_whitney(minutes(*[0] * 30)) is None

    def test_against_the_definition(self) -> None:
        """The number of pairs and the correction for ties, kept up minute by minute, are what their definitions give."""
        canary, stable = generate(Traffic(rate=3000, share=0.5, duration=1200, bursts=3), random.Random(4))
        counts = Looks(canary.total, canary.bad, stable.total, stable.bad)

        assert _stops_by_definition(counts) == mann_whitney(counts)

    def test_a_shift_within_the_tolerance_is_not_worse(self) -> None:
        """Significant, but spread so widely that the shift may be less than a quarter of its estimate."""
        counts = Looks([1000] * 480, [8, 9, 30] * 160, [1000] * 480, [7, 8, 28] * 160)

        assert _stops_by_definition(counts) == mann_whitney(counts)


def _stops_by_definition(counts: Looks) -> int | None:
    x, y = [], []
    for minute, (n_c, e_c, n_b, e_b) in enumerate(counts.minutes(), 1):
        x.append(e_c / n_c)
        y.append(e_b / n_b)
        if minute < 10:
            continue
        pairs = sorted(one - other for one in x for other in y)
        u = sum(1 if pair > 0 else 0.5 if pair == 0 else 0 for pair in pairs)
        both = [*x, *y]
        ties = sum(both.count(value) ** 3 - both.count(value) for value in set(both))
        total = 2 * minute
        spread = math.sqrt(minute * minute / 12 * (total + 1 - ties / (total * (total - 1))))
        if spread == 0 or (u - minute * minute / 2 - 0.5) / spread <= 2.3263478740408408:
            continue
        low = pairs[max(0, math.floor(minute * minute / 2 - 2.3263478740408408 * spread))]
        if low > 0.25 * abs(pairs[len(pairs) // 2]):
            return minute * 12
    return None


def test_all_of_them_find_that_everything_fails() -> None:
    """Whatever their false alarms, none of them misses a version that answers nothing."""
    canary, stable = generate(Traffic(rate=3000, duration=1200, fault=Fault()), random.Random(1))
    counts = Looks(canary.total, canary.bad, stable.total, stable.bad)

    assert all(compare(counts) is not None for compare in COMPARATORS.values())
