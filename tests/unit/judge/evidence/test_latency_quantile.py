"""Quantiles of latency, against stable's and against a fixed limit."""

import math
import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.judge.evidence import latency, quantile
from tidegate.judge.evidence.bets import EXACT, PLENTY, Bets, Counts
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency_limit import AgainstLimit, QuantileThreshold
from tidegate.judge.evidence.numbers import odds_times
from tidegate.judge.evidence.quantile import FIRST, HELD, QuantileRatio
from tidegate.judge.reading import Tally
from unit.judge.evidence.latencies import BUCKETS, ENVOY, MEDIAN, NATIVE, P99, Version, first_look, intervals, lognormal

TWENTY = math.log(20)
"""Evidence enough for 95% confidence."""


def releases(test, times, value, *, runs, looks=200, seed=1, bounds=BUCKETS, clumps=1.0, requests=1000, alone=False, **more):
    """Look at which each of many releases was decided, a tenth of the requests going to the new version; 0 for never."""
    rng = random.Random(seed)
    canary = Version(lognormal(times), requests if alone else requests / 10, bounds, clumps)
    stable = None if alone else Version(lognormal(), requests * 0.9, bounds, clumps)
    return [
        first_look(test, intervals(canary, stable, rng, looks=looks, bounds=bounds, **more), value, TWENTY) for _ in range(runs)
    ]


def share(looks):
    return sum(1 for look in looks if look) / len(looks)


def median(looks):
    return sorted(look or math.inf for look in looks)[len(looks) // 2]


def later(test, state, traffic):
    """How many more looks it takes to find harm; infinite for never."""
    for look, interval in enumerate(traffic, 1):
        test.add(state, interval)
        if test.harm(state) >= TWENTY:
            return look
    return math.inf


def shown(times, bounds, p=0.99):
    """The quantile that histogram_quantile shows of a version that is so many times slower, with endless requests."""
    return latency.quantile(bounds, 1.0, [lognormal(times)(bound) for bound in bounds], p)


def at(middle, place):
    """Bounds with one exactly at stable's quantile times a factor, eight to a doubling."""
    return tuple(middle * place * 2.0 ** (step / 8) for step in range(-9, 11))


@pytest.mark.no_cover
class TestFalseAlarms:
    """At 95% confidence at most one release in 20 on the limit is ever decided wrongly."""

    @pytest.mark.parametrize("direction", ["harm", "proof"])
    @pytest.mark.parametrize("bounds", [BUCKETS, ENVOY, at(P99, 1.0)])
    @pytest.mark.parametrize("times", [1.0, 1.5])
    def test_a_version_just_at_the_limit_is_not_decided(self, times, bounds, direction):
        """The P99, as it is shown, is exactly as much longer as is allowed."""
        test = QuantileRatio(0.99, shown(times, bounds) / shown(1.0, bounds))

        assert share(releases(test, times, getattr(test, direction), runs=25, looks=120, bounds=bounds)) <= 0.05

    def test_far_fewer_requests_of_stable(self):
        """Nine tenths of the traffic are on the new version."""
        test, rng = QuantileRatio(0.99, 1.0), random.Random(1)
        canary, stable = Version(lognormal(), 900), Version(lognormal(), 100)
        decided = [first_look(test, intervals(canary, stable, rng, looks=120), test.harm, TWENTY) for _ in range(25)]

        assert share(decided) <= 0.05

    @pytest.mark.parametrize("direction", ["harm", "proof"])
    def test_the_median(self, direction):
        """A quantile that is exceeded by half of the requests, which tell most about it."""
        test = QuantileRatio(0.5, 1.0)

        assert share(releases(test, 1.0, getattr(test, direction), runs=40, looks=120, bounds=at(MEDIAN, 1.0))) <= 0.05

    def test_bounds_that_are_chosen_from_what_stable_did(self):
        """20 of 137 bounds, first by one look and then by 2,000 requests of stable."""
        test = QuantileRatio(0.99, 1.0)

        assert share(releases(test, 1.0, test.harm, runs=25, looks=120, bounds=NATIVE)) <= 0.04

    @pytest.mark.parametrize("direction", ["harm", "proof"])
    def test_slow_requests_in_bursts(self, direction):
        """Slow ones come in bursts of 5 on average, and the evidence is divided by the factor that the bursts inflate it by."""
        test = QuantileRatio(0.99, 1.0)

        assert (
            share(releases(test, 1.0, getattr(test, direction), runs=40, looks=120, bounds=at(P99, 1.0), clumps=5.0, bursts=9.0))
            <= 0.05
        )

    def test_a_long_rollout_does_not_pile_up_evidence(self):
        """Ten days: epochs that end pay back what they are worth, and nobody gets more than was paid in."""
        test, rng = QuantileRatio(0.99, 1.1), random.Random(1)
        state = test.begin()
        for interval in intervals(Version(lognormal(), 1000), Version(lognormal(), 1000), rng, looks=480, seconds=1800):
            test.add(state, interval)

            assert test.harm(state) < 0.5

    @pytest.mark.parametrize("last", [0.5, 1.0], ids=["half of the traffic", "all of it"])
    def test_a_day_that_gets_slower_for_both_versions(self, last):
        """It takes 2.5 times as long, and the share has gone from 5% to the last step: totals weigh the times alike."""
        test, rng, failed = QuantileRatio(0.99, 1.1), random.Random(1), 0
        hours = ((1.0, 0.05), (1.2, 0.05), (1.6, 0.25), (2.0, 0.5), (2.5, 0.5), (2.5, last))
        for _ in range(15):
            state = test.begin()
            for turn, (times, part) in enumerate(hours):
                canary = Version(lognormal(times), 2000 * part, NATIVE)
                stable = Version(lognormal(times), 2000 * (1 - part), NATIVE) if part < 1 else None
                for interval in intervals(canary, stable, rng, looks=30, bounds=NATIVE, begin=30 * turn):
                    test.add(state, interval)
                    failed += test.harm(state) >= TWENTY

        assert failed == 0


class TestDetection:
    """Looks until 95% confidence, with 100 requests of the new version a look."""

    @pytest.mark.parametrize(
        ("kappa", "times", "bounds", "most"),
        [
            (1.0, 1.5, BUCKETS, 20),
            (1.0, 2.0, BUCKETS, 8),
            (1.2, 2.0, BUCKETS, 10),
            (1.1, 1.3, NATIVE, 90),
            (1.1, 1.5, NATIVE, 35),
            (1.1, 2.0, NATIVE, 12),
            (1.1, 1.5, ENVOY, 35),
            (1.1, 2.0, ENVOY, 12),
        ],
    )
    def test_a_slower_version_is_found(self, kappa, times, bounds, most):
        """Even where both quantiles are in the same bucket, as with Envoy's."""
        test = QuantileRatio(0.99, kappa)

        assert median(releases(test, times, test.harm, runs=11, bounds=bounds)) <= most

    def test_beyond_the_last_bound_nothing_can_be_found(self):
        """The histogram ends at 0.25 s: both P99 are somewhere beyond it."""
        test, bounds = QuantileRatio(0.99, 1.1), (0.05, 0.1, 0.25)

        assert share(releases(test, 3.0, test.harm, runs=5, looks=60, bounds=bounds)) == 0
        assert share(releases(test, 1.0, test.proof, runs=5, looks=60, bounds=bounds)) == 0

    def test_a_late_fault_is_not_diluted(self):
        """After two hours of health a P99 that doubles is found in minutes."""
        test, rng, delays = QuantileRatio(0.99, 1.1), random.Random(2), []
        for _ in range(9):
            state = test.begin()
            stable = Version(lognormal(), 2700, NATIVE)
            for interval in intervals(Version(lognormal(), 300, NATIVE), stable, rng, looks=120, bounds=NATIVE, seconds=60):
                test.add(state, interval)
            late = intervals(Version(lognormal(2.0), 300, NATIVE), stable, rng, looks=60, bounds=NATIVE, seconds=60, begin=120)
            delays.append(later(test, state, late))

        assert sorted(delays)[4] <= 12

    def test_with_all_traffic_on_the_new_version(self):
        """Stable has counted for half an hour, and counts no more; the new version becomes three times slower."""
        test, rng = QuantileRatio(0.99, 1.1), random.Random(3)
        state = test.begin()
        both = Version(lognormal(), 500, NATIVE)
        for interval in intervals(both, both, rng, looks=60, bounds=NATIVE):
            test.add(state, interval)
        healthy = test.harm(state)
        for interval in intervals(Version(lognormal(3.0), 1000, NATIVE), None, rng, looks=20, bounds=NATIVE, begin=60):
            test.add(state, interval)

        assert healthy < 1
        assert test.harm(state) >= TWENTY

    def test_another_time_of_the_day_is_not_held_against_it(self):
        """With all traffic on the new version, latency rises by 40% for reasons that stable would show, if it had any requests."""
        test, rng = QuantileRatio(0.99, 1.1), random.Random(3)
        state = test.begin()
        both = Version(lognormal(), 500, NATIVE)
        for interval in intervals(both, both, rng, looks=60, bounds=NATIVE):
            test.add(state, interval)
        for interval in intervals(Version(lognormal(1.4), 1000, NATIVE), None, rng, looks=60, bounds=NATIVE, begin=60):
            test.add(state, interval)

            assert test.harm(state) < 1

    def test_what_was_counted_alone_is_not_counted_twice(self):
        """Stable gets traffic back: what begins then rests on what is counted from then on."""
        test, rng = QuantileRatio(0.99, 1.1), random.Random(3)
        state = test.begin()
        both = Version(lognormal(), 500)
        for number, stable in enumerate((both, None, both)):
            canary = both if stable else Version(lognormal(2.0), 1000)
            for interval in intervals(canary, stable, rng, looks=40, begin=40 * number):
                test.add(state, interval)
            if number == 1:
                alone = test.harm(state)
        later = test.harm(state)

        assert TWENTY < alone < math.log(PLENTY)
        # What has been won is staked anew, and all but what is held of it may be lost again.
        assert alone + 2 * math.log(HELD) - 0.1 < later < alone

    @pytest.mark.parametrize(("kappa", "bounds", "most"), [(2.0, BUCKETS, 20), (1.5, NATIVE, 60), (1.5, ENVOY, 60)])
    def test_a_version_like_stable_is_proven(self, kappa, bounds, most):
        """No slower, where half as much again would be allowed."""
        test = QuantileRatio(0.99, kappa)

        assert median(releases(test, 1.0, test.proof, runs=11, bounds=bounds)) <= most


def outcomes(shares, requests):
    """Give each number of requests over the bounds, with its probability, for so many requests with these shares over them."""
    cells = [above - below for above, below in zip((1.0, *shares), (*shares, 0.0), strict=True)]
    for counts in product(range(requests + 1), repeat=len(cells)):
        if sum(counts) == requests:
            chance = math.factorial(requests)
            for count, cell in zip(counts, cells, strict=True):
                chance *= cell**count / math.factorial(count)
            yield Tally(float(requests), over=tuple(float(sum(counts[i + 1 :])) for i in range(len(shares)))), chance


def mixture(slow, values, alternatives):
    """The weighted sum over alternatives of the product of 1 + (v - a) (p_j - a) / (a (1 - a))."""
    total = 0.0
    for multiple, weight in alternatives:
        p = odds_times(slow, multiple)
        total += weight * math.prod(1 + (v - slow) * (p - slow) / (slow * (1 - slow)) for v in values)
    return total


def values(bounds, total, over, x):
    """For each request the share of its bucket that lies beyond x."""
    edges, counts = (0.0, *bounds), (total, *over, 0.0)
    result = []
    for left, right, above, below in zip(edges, (*bounds, math.inf), counts, counts[1:], strict=False):
        v = 1.0 if x <= left else 0.0 if x >= right or right == math.inf else (right - x) / (right - left)
        result += [v] * round(above - below)
    return result


@pytest.mark.no_cover
class TestExactly:
    """Sums over everything that can happen, and closed forms."""

    @pytest.mark.parametrize("direction", ["harm", "proof"])
    @pytest.mark.parametrize("stable", [(0.9, 0.5, 0.2), (0.5, 0.4, 0.1), (0.7, 0.3, 0.05)])
    def test_expectation_of_the_evidence_is_at_most_one(self, stable, direction):
        """Two looks of 2 requests each, every outcome, median equal to stable's: E[exp(evidence)] <= 1, in both directions."""
        test = QuantileRatio(0.5, 1.0)
        both = [(c, b, p * q) for (c, p), (b, q) in product(outcomes(stable, 2), outcomes(stable, 2))]
        expected = 0.0
        for c, b, p in both:
            first = test.begin()
            test.add(first, Interval(c, b, 0, 3000, (0.1, 0.2, 0.4)))
            for d, a, q in both:
                state = list(first)
                test.add(state, Interval(d, a, 3000, 6000, (0.1, 0.2, 0.4)))
                expected += p * q * math.exp(getattr(test, direction)(state))

        assert 0 < expected <= 1 + 1e-9

    @pytest.mark.parametrize(
        ("canary", "stable"),
        [((40.0, 20.0, 12.0, 2.0), (100.0, 20.0, 4.0, 0.0)), ((50.0, 50.0, 40.0, 30.0), (300.0, 60.0, 4.0, 0.0))],
    )
    def test_evidence_is_hardly_less_than_the_least_product(self, canary, stable):
        """C * B request by request on a fine grid of x: what is found is never above its least, and not far below."""
        bounds, kappa = (0.1, 0.2, 0.4, 0.8), 1.2
        test, state = QuantileRatio(0.9, kappa), QuantileRatio(0.9, kappa).begin()
        test.add(state, Interval(Tally(50.0, over=canary), Tally(400.0, over=stable), 0, 30, bounds))

        products = []
        for step in range(1, 3000):
            x = 0.001 * 1.0025**step
            upward = mixture(0.1, values(bounds, 50.0, canary, x), quantile._ABOVE)
            downward = mixture(0.1, values(bounds, 400.0, stable, x / kappa), quantile._BELOW)
            products.append((HELD + (1 - HELD) * upward) * (HELD + (1 - HELD) * downward))
        found, least = math.log((math.exp(test.harm(state)) - 1 + FIRST) / FIRST), math.log(min(products))
        # Places within a bucket are rounded.
        assert 0.93 * min(least, math.log(PLENTY)) - math.log(EXACT) <= found <= least + 1e-9

    @pytest.mark.parametrize("phi", [1.0, 8.0])
    @pytest.mark.parametrize("multiple", [1.25, 6.0, 1 / 1.25, 1 / 6.0])
    def test_a_place_within_a_bucket_is_rounded_to_less_evidence(self, multiple, phi):
        """The products from rounded places are never more than those request by request, and hardly less."""
        bounds, over, bets = (0.1, 0.25, 1.0), (60.0, 25.0, 4.0), Bets(0.1, [(multiple, 1.0)])
        for step in range(1, 140):
            x = 0.007 * step + 0.0001 * step**1.5
            mean = bets.mean(bounds, Counts(100.0, over), x, phi)
            p = odds_times(0.1, multiple)
            exact = sum(math.log(1 + (v - 0.1) * (p - 0.1) / 0.09) for v in values(bounds, 100.0, over, x))
            lost = 4 * math.log(p / 0.1) - 4 * math.log((1 - p) / 0.9) if x >= 1.0 and multiple < 1 else 0.0
            if mean == 0:
                assert exact < 0
            else:
                assert exact + lost - 4 <= phi * math.log(mean) <= exact + lost + 1e-9

    def test_proof_is_harm_with_the_versions_exchanged(self):
        """That q_c < kappa q_b is that stable's quantile exceeds the new version's / kappa."""
        one, other = QuantileRatio(0.9, 1.5), QuantileRatio(0.9, 1 / 1.5)
        state, mirrored = one.begin(), other.begin()
        fast, slow = Tally(500.0, over=(200.0, 12.0, 1.0)), Tally(400.0, over=(300.0, 90.0, 9.0))
        one.add(state, Interval(fast, slow, 0, 30, (0.1, 0.2, 0.4)))
        other.add(mirrored, Interval(slow, fast, 0, 30, (0.1, 0.2, 0.4)))

        assert (one.harm(state), one.proof(state)) == (other.proof(mirrored), other.harm(mirrored))
        assert one.proof(state) > 1


class TestState:
    """What is stored between looks."""

    def test_it_goes_on_from_what_was_stored(self):
        """Another operator, another object, the same evidence."""
        rng = random.Random(7)
        looks = list(
            intervals(Version(lognormal(1.3), 300, NATIVE), Version(lognormal(), 900, NATIVE), rng, looks=40, bounds=NATIVE)
        )
        test, state, other = QuantileRatio(0.99, 1.1), QuantileRatio(0.99, 1.1).begin(), QuantileRatio(0.99, 1.1).begin()
        for interval in looks:
            test.add(state, interval)
            QuantileRatio(0.99, 1.1).add(other, interval)

        assert state == other

    @pytest.mark.parametrize("test", [QuantileRatio(0.99, 1.1), QuantileThreshold(0.99, 0.5)])
    def test_its_length_never_changes(self, test):
        """So that it can stand beside others."""
        state = test.begin()
        for interval in intervals(Version(lognormal(), 300), Version(lognormal(), 900), random.Random(1), looks=90, seconds=120):
            test.add(state, interval)

        assert len(test.begin()) == len(state) < 300

    def test_evidence_outlives_bounds(self):
        """What was won is staked at the new bounds."""
        test, state, rng = QuantileRatio(0.99, 1.1), QuantileRatio(0.99, 1.1).begin(), random.Random(4)
        for interval in intervals(Version(lognormal(5.0), 100), Version(lognormal(), 900), rng, looks=10):
            test.add(state, interval)
        before = test.harm(state)
        others = tuple(bound * 1.1 for bound in BUCKETS)
        canary, stable = Version(lognormal(5.0), 100, others), Version(lognormal(), 900, others)
        for interval in intervals(canary, stable, rng, looks=10, bounds=others, begin=10):
            test.add(state, interval)

        assert test.harm(state) > before > TWENTY


class TestFixedLimit:
    """P(L > limit) <= 1 - quantile."""

    LAW = staticmethod(lambda bound: 0.01 * (bound / 0.5) ** -2 if bound > 0.05 else 1.0)
    """Exactly 1% take longer than 0.5 s."""

    @pytest.mark.parametrize("direction", ["harm", "proof"])
    @pytest.mark.parametrize("bounds", [(0.1, 0.25, 0.5, 1.0), (0.1, 0.25, 0.45, 0.55, 1.0)], ids=["on it", "beside it"])
    def test_a_version_just_at_the_limit_is_not_decided(self, bounds, direction):
        """Whether there is a bound at the limit or on either side of it."""
        test, rng = QuantileThreshold(0.99, 0.5), random.Random(1)
        version = Version(self.LAW, 1000, bounds)
        decided = [
            first_look(test, intervals(version, None, rng, looks=200, bounds=bounds), getattr(test, direction), TWENTY)
            for _ in range(40)
        ]

        assert share(decided) <= 0.05

    def test_a_slow_version_is_found(self):
        """Its P99 is 0.77 s where 0.5 s are allowed."""
        test = QuantileThreshold(0.99, 0.5)

        assert median(releases(test, 1.5, test.harm, runs=9, bounds=ENVOY, alone=True)) <= 4

    def test_a_fast_version_is_proven(self):
        """Its P99 is 0.26 s where 0.5 s are allowed."""
        test = QuantileThreshold(0.99, 0.5)

        assert median(releases(test, 0.5, test.proof, runs=9, bounds=ENVOY, alone=True)) <= 2

    def test_what_was_counted_at_which_bounds(self):
        """2 s lies between 1 s and 2.5 s: harm rests on the latter, proof on the former."""
        test, state = QuantileThreshold(0.99, 2.0), QuantileThreshold(0.99, 2.0).begin()
        test.add(state, Interval(Tally(100.0, over=(30.0, 20.0, 3.0)), None, 0, 30, (0.5, 1.0, 2.5)))

        assert AgainstLimit(100.0, 2.5, 3.0, 1.0, 20.0) == test.against(state)

    @pytest.mark.parametrize(
        ("limit", "above", "below"), [(0.5, 0.5, 0.5), (0.1 + 0.2, 0.3, 0.3), (0.05, 0.1, None), (7.0, None, 1.0)]
    )
    def test_which_bounds(self, limit, above, below):
        """A bound at the limit serves both; beyond the last one nothing can be found to exceed it."""
        test, state = QuantileThreshold(0.99, limit), QuantileThreshold(0.99, limit).begin()
        test.add(state, Interval(Tally(100.0, over=(9.0, 8.0, 7.0, 6.0)), None, 0, 30, (0.1, 0.3, 0.5, 1.0)))

        against = test.against(state)
        assert (above, below) == (against.above, against.below)

    def test_no_bound_beyond_the_limit_is_no_evidence(self):
        """The histogram ends at 1 s: 100 requests beyond it may have taken 1.1 s each."""
        test, state = QuantileThreshold(0.99, 2.0), QuantileThreshold(0.99, 2.0).begin()
        for look in range(9):
            test.add(state, Interval(Tally(100.0, over=(100.0, 100.0)), None, 30 * look, 30 * look + 30, (0.5, 1.0)))

        assert test.harm(state) == 0
        assert test.proof(state) < 0

    def test_bounds_may_change_at_any_time(self):
        """Each interval counts at the bounds it has."""
        test, state = QuantileThreshold(0.99, 0.5), QuantileThreshold(0.99, 0.5).begin()
        for look, bounds in enumerate([(0.1, 0.5, 1.0), (0.2, 0.6), (0.4, 0.5, 0.7)] * 3):
            over = tuple(100.0 for _ in bounds)
            test.add(state, Interval(Tally(100.0, over=over), None, 30 * look, 30 * look + 30, bounds))

        assert test.harm(state) > TWENTY
        assert 900 == test.against(state).total


class TestEstimates:
    """Quantiles for display."""

    @pytest.mark.parametrize(
        ("p", "expected"), [(0.5, 0.1 * 50 / 60), (0.9, 0.25), (0.95, 0.25 + 0.75 * 5 / 9), (0.999, 1.0), (0.0, 0.0)]
    )
    def test_interpolated_as_histogram_quantile_does(self, p, expected):
        """Linear within a bucket, from 0 in the first, and the last bound beyond it."""
        assert latency.quantile((0.1, 0.25, 1.0), 100.0, (40.0, 10.0, 1.0), p) == pytest.approx(expected)

    def test_both_versions(self):
        """From all that was counted."""
        test, state = QuantileRatio(0.9, 1.1), QuantileRatio(0.9, 1.1).begin()
        for look in range(3):
            canary, stable = Tally(100.0, over=(40.0, 10.0, 1.0)), Tally(10.0, over=(1.0, 0.0, 0.0))
            test.add(state, Interval(canary, stable, 30 * look, 30 * look + 30, (0.1, 0.25, 1.0)))

        assert (pytest.approx(0.25), pytest.approx(0.1)) == latency.quantiles(state, 0.9)

    def test_unknown_before_the_first_request(self):
        """And for stable as long as it has none."""
        test, state = QuantileRatio(0.9, 1.1), QuantileRatio(0.9, 1.1).begin()
        unknown = latency.quantiles(state, 0.9)
        test.add(state, Interval(Tally(4.0, over=(1.0,)), None, 0, 30, (0.1,)))

        assert (None, None) == unknown
        assert (pytest.approx(0.1), None) == latency.quantiles(state, 0.9)


class TestBursts:
    """The bound at which slow requests of stable tell how they come in bursts."""

    def test_the_one_nearest_to_the_quantile(self):
        """About 1% of stable's requests are slower than it, and it stays the same."""
        test, state = QuantileRatio(0.99, 1.1), QuantileRatio(0.99, 1.1).begin()
        seen = []
        for interval in intervals(Version(lognormal(5.0), 100), Version(lognormal(), 900), random.Random(1), looks=20):
            seen.append(latency.watched(state))
            test.add(state, interval)

        assert [None] + 19 * [pytest.approx(0.005 * 1.6**10)] == seen


numbers = st.floats() | st.integers(-3, 2000).map(float) | st.sampled_from([0.0, 1e308, 5e-324])
tallies = st.builds(Tally, numbers, numbers, st.lists(numbers, max_size=4).map(tuple))
absurd = st.builds(
    Interval, tallies, st.none() | tallies, numbers, numbers, st.lists(numbers, max_size=4).map(tuple), numbers, st.booleans()
)


@settings(max_examples=200)
@given(st.sampled_from([QuantileRatio(0.99, 1.1), QuantileThreshold(0.99, 0.5)]), st.lists(absurd, max_size=6))
def test_absurd_counts_never_raise(test, looks):
    """Whatever is counted, evidence is a finite number."""
    state = test.begin()
    for interval in looks:
        test.add(state, interval)

        assert math.isfinite(test.harm(state))
        assert math.isfinite(test.proof(state))
    assert len(test.begin()) == len(state)


@settings(max_examples=100)
@given(
    st.floats(0.001, 0.999999),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**9)), max_size=8),
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30, unique=True),
)
def test_huge_counts_and_any_bounds_never_raise(p, looks, bounds):
    """Whatever the bounds are, and however busy the service."""
    bounds = tuple(sorted(bounds))
    test = QuantileRatio(p, 1.1)
    state = test.begin()
    for look, (x, y, n, m) in enumerate(looks):
        canary = Tally(float(n), over=tuple(float(min(x, n)) for _ in bounds))
        stable = Tally(float(m), over=tuple(float(min(y, m) // (i + 1)) for i, _ in enumerate(bounds)))
        test.add(state, Interval(canary, stable, 900.0 * look, 900.0 * look + 900, bounds))

        assert math.isfinite(test.harm(state))
        assert math.isfinite(test.proof(state))
