"""Generated traffic has the rates, the bursts and the fault that it was asked for."""

import itertools
import math
import random
import statistics

import pytest

from tidegate.backtest.traffic import Arm, Fault, Latency, Traffic, draw, generate, law, share_at


def generated(traffic: Traffic, seed: int = 1) -> tuple[Arm, Arm]:
    return generate(traffic, random.Random(seed))


class TestTheLawOfCounts:
    @pytest.mark.parametrize(("mean", "bursts"), [(0.01, 1), (3, 1), (3, 5), (0.2, 5), (80, 5), (450, 1)])
    def test_mean_and_variance(self, mean: float, bursts: float) -> None:
        """The law has the mean that was asked for, and 2 * bursts - 1 times the variance of independent events."""
        below = law(mean, bursts)
        probabilities = [below[0], *(high - low for low, high in itertools.pairwise(below))]
        first = sum(count * probability for count, probability in enumerate(probabilities))
        second = sum(count * count * probability for count, probability in enumerate(probabilities))

        assert math.isclose(1, sum(probabilities), rel_tol=1e-9)
        assert math.isclose(mean, first, rel_tol=1e-6)
        assert math.isclose((2 * bursts - 1) * mean, second - first * first, rel_tol=1e-5)

    def test_a_single_group_is_geometric(self) -> None:
        """Where groups are rare, the size of one falls by 1 - 1 / bursts from size to size."""
        below = law(0.001, 5)
        one, two = below[1] - below[0], below[2] - below[1]

        assert math.isclose(0.8, two / one, rel_tol=1e-3)

    def test_great_means_are_sums_of_smaller_ones(self) -> None:
        """Means whose exponential is no float any more are drawn all the same."""
        drawn = draw(random.Random(1), 20_000, 1, 400)

        assert abs(statistics.fmean(drawn) - 20_000) < 50
        assert 0.7 < statistics.variance(drawn) / 20_000 < 1.4

    def test_nothing_comes_of_nothing(self) -> None:
        """A mean of 0 draws zeros, one for each interval."""
        assert [0, 0, 0] == draw(random.Random(1), 0, 5, 3)


class TestHealthyTraffic:
    def test_both_versions_fail_alike(self) -> None:
        """Requests are shared by the share, and the same share of them fails in both versions."""
        canary, stable = generated(Traffic(rate=60_000, share=0.25, errors=0.02, duration=3600))

        assert 720 == len(canary.total) == len(canary.bad) == len(stable.total) == len(stable.bad)
        assert math.isclose(900_000, sum(canary.total), rel_tol=0.01)
        assert math.isclose(2_700_000, sum(stable.total), rel_tol=0.01)
        assert math.isclose(0.02, sum(canary.bad) / sum(canary.total), rel_tol=0.05)
        assert math.isclose(0.02, sum(stable.bad) / sum(stable.total), rel_tol=0.05)

    def test_bursts_keep_the_rate(self) -> None:
        """Errors that come five at a time are as many as before, and never more than there are requests."""
        canary, stable = generated(Traffic(rate=6000, share=0.5, errors=0.02, bursts=5, duration=36_000))

        for arm in (canary, stable):
            assert math.isclose(0.02, sum(arm.bad) / sum(arm.total), rel_tol=0.06)
            assert math.isclose(9, statistics.variance(arm.bad) / statistics.fmean(arm.bad), rel_tol=0.15)
            assert all(bad <= total for bad, total in zip(arm.bad, arm.total, strict=True))

    def test_some_errors_are_no_answer_at_all(self) -> None:
        """The share of unanswered requests is among the bad ones."""
        canary, _ = generated(Traffic(rate=60_000, share=0.5, errors=0.01, unanswered=0.001, duration=3600))

        assert math.isclose(0.001, sum(canary.unanswered) / sum(canary.total), rel_tol=0.1)
        assert all(lost <= bad for lost, bad in zip(canary.unanswered, canary.bad, strict=True))

    def test_the_same_seed_gives_the_same_traffic(self) -> None:
        """Whoever repeats a simulation sees the same counts."""
        traffic = Traffic(rate=600, duration=600, latency=Latency())

        assert generated(traffic, seed=7) == generated(traffic, seed=7)
        assert generated(traffic, seed=7) != generated(traffic, seed=8)


class TestFaults:
    def test_everything_fails_from_the_onset_on(self) -> None:
        """Before the onset the new version is healthy; from then on each request of it fails, and stable is as before."""
        canary, stable = generated(Traffic(rate=6000, share=0.1, errors=0.01, duration=1200, fault=Fault(onset=600)))

        assert sum(canary.bad[:120]) < 0.02 * sum(canary.total[:120])
        assert canary.total[120:] == canary.bad[120:]
        assert sum(stable.bad) < 0.02 * sum(stable.total)

    def test_a_multiple_of_the_base_rate(self) -> None:
        """A fault of 5 makes five times as many requests fail."""
        canary, _ = generated(Traffic(rate=60_000, share=0.5, errors=0.01, duration=1200, fault=Fault(times=5)))

        assert math.isclose(0.05, sum(canary.bad) / sum(canary.total), rel_tol=0.03)

    def test_no_more_than_all_can_fail(self) -> None:
        """A multiple that would exceed 1 makes everything fail."""
        canary, _ = generated(Traffic(rate=600, errors=0.3, duration=60, fault=Fault(times=5)))

        assert canary.total == canary.bad


class TestShares:
    def test_the_share_follows_the_steps(self) -> None:
        """Each step counts from its time on; before the first one it is the share of the beginning."""
        traffic = Traffic(rate=60_000, share=0.05, duration=300, steps=((100, 0.5), (200, 1.0)))

        canary, stable = generated(traffic)

        assert [0.05, 0.05, 0.5, 0.5, 1.0, 1.0] == [share_at(traffic, tick) for tick in (0, 19, 20, 39, 40, 59)]
        assert math.isclose(0.05, sum(canary.total[:20]) / 100_000, rel_tol=0.05)
        assert math.isclose(0.5, sum(canary.total[20:40]) / 100_000, rel_tol=0.05)
        assert [0] * 20 == stable.total[40:]


class TestLatencies:
    def test_buckets_hold_the_good_requests(self) -> None:
        """Every good request is in one bucket, and half of them take less than the median."""
        canary, _ = generated(Traffic(rate=60_000, share=0.5, duration=600, latency=Latency(median=0.1)))

        good = [total - bad for total, bad in zip(canary.total, canary.bad, strict=True)]
        assert good == [sum(counts) for counts in zip(*canary.buckets, strict=True)]
        fast = sum(sum(bucket) for bucket in canary.buckets[:6])
        assert math.isclose(0.5, fast / sum(good), rel_tol=0.02)

    def test_a_slower_version(self) -> None:
        """A new version that is twice as slow has half of its requests beyond twice the median."""
        fault = Fault(times=1, slower=2)
        canary, stable = generated(Traffic(rate=60_000, share=0.5, duration=600, fault=fault, latency=Latency(median=0.125)))

        fast = [sum(sum(bucket) for bucket in arm.buckets[:7]) / sum(map(sum, arm.buckets)) for arm in (canary, stable)]
        assert math.isclose(0.5, fast[0], rel_tol=0.02)
        assert math.isclose(0.807, fast[1], rel_tol=0.02)

    def test_the_shares_of_buckets_are_all(self) -> None:
        """The buckets and what is beyond them make up all requests."""
        assert math.isclose(1, sum(Latency().shares(slower=1.7)))

    def test_slow_requests_in_bursts(self) -> None:
        """Those beyond the slowest tenth come in groups of 5: their variance is 9 times the mean; fast ones come as ever."""
        traffic = Traffic(rate=60_000, share=0.5, duration=20_000, latency=Latency(median=0.1, bursts=5))

        canary, _ = generated(traffic)

        for bucket, spread in ((canary.buckets[5], 1), (canary.buckets[8], 9)):
            mean = statistics.fmean(bucket)
            assert math.isclose(spread, statistics.variance(bucket) / mean, rel_tol=0.1)
