"""Slow requests at every bound of a histogram, against stable."""

import math
import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.judge.evidence import bursts, latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import BEYOND
from tidegate.judge.evidence.restarts import FIRST
from tidegate.judge.evidence.tail import LATER, Tail
from tidegate.judge.reading import Tally
from unit.judge.evidence.latencies import BUCKETS, NATIVE, Version, first_look, intervals, lognormal, more_often

TWENTY = math.log(20)
"""Evidence enough for 95% confidence."""


def releases(test, law, value, *, runs, looks=200, seed=1, stable=None, **more):
    """Look at which each of many releases was decided, 100 of 1,000 requests a look going to the new version; 0 for never."""
    rng, bounds = random.Random(seed), more.get("bounds", BUCKETS)
    canary = Version(law, 100, bounds, more.pop("clumps", 1.0))
    base = Version(lognormal(), 900, bounds, stable or 1.0)
    return [first_look(test, intervals(canary, base, rng, looks=looks, **more), value, TWENTY) for _ in range(runs)]


def share(looks):
    return sum(1 for look in looks if look) / len(looks)


def median(looks):
    return sorted(look or math.inf for look in looks)[len(looks) // 2]


@pytest.mark.no_cover
class TestFalseAlarms:
    """At 95% confidence at most one release in 20 on the limit is ever decided wrongly; most of the time it is far fewer."""

    @pytest.mark.parametrize("rho", [1.0, 1.5])
    def test_a_version_just_at_the_limit_is_not_failed(self, rho):
        """Every bound is exceeded exactly rho times as often, and it is looked at 200 times."""
        test = Tail(rho)

        assert share(releases(test, more_often(rho), test.harm, runs=80)) <= 0.05

    def test_a_version_just_at_the_limit_is_not_proven_better(self):
        """The other direction."""
        test = Tail(1.5)

        assert share(releases(test, more_often(1.5), test.proof, runs=80)) <= 0.05

    def test_one_bad_bound_is_enough_to_keep_the_proof_away(self):
        """Like stable, but for twice as many requests beyond 0.34 s: nothing is proven."""
        test = Tail(1.5)

        def one_bad_bound(bound):
            return lognormal()(bound) * (2 if 0.3 < bound < 0.5 else 1)

        assert share(releases(test, one_bad_bound, test.proof, runs=40)) == 0

    def test_slow_requests_in_bursts(self):
        """Slow ones come in bursts of 5 on average, and the evidence is divided by the factor that the bursts inflate it by."""
        test = Tail(1.0)

        assert share(releases(test, lognormal(), test.harm, runs=60, clumps=5.0, stable=5.0, bursts=9.0)) <= 0.05

    def test_a_day_that_gets_slower_for_both_versions(self):
        """Latency doubles and the new version's share rises tenfold: only what happens at the same time is compared."""
        test, rng, failed = Tail(1.0), random.Random(1), 0
        for _ in range(20):
            state = test.begin()
            for hour, times in enumerate((1.0, 1.3, 1.6, 2.0)):
                canary, stable = Version(lognormal(times), 50 * (hour + 1) ** 2), Version(lognormal(times), 900)
                for interval in intervals(canary, stable, rng, looks=40, begin=40 * hour):
                    test.add(state, interval)
            failed += test.harm(state) >= TWENTY

        assert failed <= 1


class TestDetection:
    """Looks until 95% confidence, with 100 requests of the new version a look."""

    @pytest.mark.parametrize(("times", "most"), [(1.2, 10), (1.3, 5), (1.5, 3), (2.0, 1)])
    def test_a_slower_version_is_found(self, times, most):
        """1.2 times slower leaves the P99 in its bucket, and is found all the same."""
        test = Tail(1.0)

        assert median(releases(test, lognormal(times), test.harm, runs=31)) <= most

    def test_with_a_margin(self):
        """Half as many again are allowed, and the new version takes twice as long."""
        test = Tail(1.5)

        assert median(releases(test, lognormal(2.0), test.harm, runs=31)) <= 2

    def test_in_a_native_histogram(self):
        """Of 137 bounds the 20 that matter are chosen by the first look, which itself is not counted."""
        test = Tail(1.0)

        assert 2 <= median(releases(test, lognormal(2.0), test.harm, runs=31, bounds=NATIVE)) <= 4

    def test_a_late_fault_is_found_about_as_fast(self):
        """An hour of health has cost no more than a few looks."""
        test, rng, delays = Tail(1.0), random.Random(2), []
        for _ in range(15):
            state = test.begin()
            stable = Version(lognormal(), 900)
            for interval in intervals(Version(lognormal(), 100), stable, rng, looks=120):
                test.add(state, interval)
            for delay, interval in enumerate(intervals(Version(lognormal(1.5), 100), stable, rng, looks=60, begin=120), 1):
                test.add(state, interval)
                if test.harm(state) >= TWENTY:
                    delays.append(delay)
                    break

        assert 15 == len(delays)
        assert sorted(delays)[7] <= 8

    @pytest.mark.parametrize(("rho", "most"), [(1.5, 25), (2.0, 10)])
    def test_a_version_like_stable_is_proven(self, rho, most):
        """No more slow requests than stable, where half as many again (twice as many) would be allowed."""
        test = Tail(rho)

        assert median(releases(test, lognormal(), test.proof, runs=21)) <= most

    def test_bounds_that_nobody_exceeds_do_not_keep_the_proof_away(self):
        """A bound of 14 s is exceeded by nobody; no proof is asked there."""
        test = Tail(2.0)

        assert share(releases(test, lognormal(0.5), test.proof, runs=10, looks=40)) == 1


def outcomes(shares, requests):
    """Give each number of requests over the bounds, with its probability, for so many requests with these shares over them."""
    cells = [above - below for above, below in zip((1.0, *shares), (*shares, 0.0), strict=True)]
    for counts in product(range(requests + 1), repeat=len(cells)):
        if sum(counts) == requests:
            chance = math.factorial(requests)
            for count, cell in zip(counts, cells, strict=True):
                chance *= cell**count / math.factorial(count)
            yield Tally(float(requests), over=tuple(float(sum(counts[i + 1 :])) for i in range(len(shares)))), chance


@pytest.mark.no_cover
class TestExactly:
    """Sums over everything that can happen, and closed forms."""

    @pytest.mark.parametrize("stable", [(0.5, 0.2), (0.1, 0.01), (0.6, 0.5)])
    def test_expectation_of_the_evidence_is_at_most_one(self, stable):
        """Two looks of 2 requests of the new version and 3 of stable, every outcome: E[exp(harm)] <= 1 on the limit."""
        test = Tail(1.5)
        canary = tuple(1.5 * share for share in stable)
        both = [(c, b, p * q) for (c, p), (b, q) in product(outcomes(canary, 2), outcomes(stable, 3))]
        expected = 0.0
        for c, b, p in both:
            first = test.begin()
            test.add(first, Interval(c, b, 0, 3000, (0.1, 1.0)))
            for d, a, q in both:
                state = list(first)
                test.add(state, Interval(d, a, 3000, 6000, (0.1, 1.0)))
                expected += p * q * math.exp(test.harm(state))

        assert 0 < expected <= 1 + 1e-9

    def test_one_look_at_one_bound(self):
        """The weight of the first look lies evenly on the alternatives r: (r / rho)^x ((rho n + m) / (r n + m))^(x + y)."""
        test, state = Tail(1.1), Tail(1.1).begin()
        test.add(state, Interval(Tally(10.0, over=(3.0,)), Tally(90.0, over=(2.0,)), 0, 30, (0.5,)))

        factors = [multiple**3 * (101 / (11 * multiple + 90)) ** 5 for multiple in BEYOND]
        assert math.exp(test.harm(state)) == pytest.approx(1 - FIRST + FIRST * sum(factors) / 7)

    def test_evidence_that_is_divided(self):
        """With bursts of 2 the logarithm of each factor is halved."""
        test, state = Tail(1.0), Tail(1.0).begin()
        test.add(state, Interval(Tally(10.0, over=(3.0,)), Tally(90.0, over=(2.0,)), 0, 30, (0.5,), bursts=2.0))

        factors = [(multiple**3 * (100 / (10 * multiple + 90)) ** 5) ** 0.5 for multiple in BEYOND]
        assert math.exp(test.harm(state)) == pytest.approx(1 - FIRST + FIRST * sum(factors) / 7)

    def test_stakes_are_moved_and_not_lost(self):
        """Nine in ten of stable's requests exceed 0.1 s: what was staked there goes to 0.5 s, all of it."""
        test, state = Tail(1.0), Tail(1.0).begin()
        test.add(state, Interval(Tally(100.0, over=(90.0, 9.0)), Tally(900.0, over=(810.0, 50.0)), 0, 30, (0.1, 0.5)))
        before = test.harm(state)
        test.add(state, Interval(Tally(100.0, over=(0.0, 0.0)), Tally(900.0, over=(0.0, 0.0)), 30, 60, (0.1, 0.5)))

        assert pytest.approx(before) == test.harm(state)


class TestBursts:
    """How slow requests come is known after a while only."""

    def test_what_was_counted_first_is_weighed_by_what_is_known_now(self):
        """One bad look while the greatest bursts are thought of; then there are known to be none."""
        test, state = Tail(1.0), Tail(1.0).begin()
        test.add(state, Interval(Tally(10.0, over=(3.0,)), Tally(90.0, over=(2.0,)), 0, 30, (0.5,), bursts=16.0))
        at_first = test.harm(state)

        test.temper(state, bursts.weights_at(1.0))

        factors = [multiple**3 * (100 / (10 * multiple + 90)) ** 5 for multiple in BEYOND]
        whole, divided = sum(factors) / 7, sum(factor ** (1 / 16) for factor in factors) / 7
        assert math.exp(at_first) == pytest.approx(1 - FIRST + FIRST * divided)
        assert math.exp(test.harm(state)) == pytest.approx(1 - FIRST + FIRST * (LATER * whole + (1 - LATER) * divided))

    @pytest.mark.parametrize(("begin", "known"), [(30, 1.0), (300, 16.0)], ids=["no bursts", "late"])
    def test_it_stays_where_it_was_earned(self, begin, known):
        """Once there are known to be no bursts, or minutes have passed, what was won goes on as the rest."""
        test, state = Tail(1.0), Tail(1.0).begin()
        test.add(state, Interval(Tally(10.0, over=(3.0,)), Tally(90.0, over=(2.0,)), 0, 30, (0.5,), bursts=16.0))
        test.temper(state, bursts.weights_at(1.0))
        won, strongest = test.harm(state), test.strongest(state)

        test.add(state, Interval(Tally(10.0, over=(0.0,)), Tally(90.0, over=(0.0,)), begin, begin + 30, (0.5,), bursts=known))
        test.temper(state, bursts.weights_at(16.0))

        assert test.harm(state) == pytest.approx(won)
        assert strongest.bound == test.strongest(state).bound

    def test_whatever_is_believed_of_bursts_the_expectation_is_at_most_one(self):
        """Two looks of 2 requests of each version, every outcome, each weighed by what makes the most of it."""
        test, expected = Tail(1.5), 0.0
        both = [(c, b, p * q) for (c, p), (b, q) in product(outcomes((0.3, 0.15), 2), outcomes((0.2, 0.1), 2))]
        for c, b, p in both:
            first = test.begin()
            test.add(first, Interval(c, b, 0, 30, (0.1, 1.0), bursts=16.0))
            for d, a, q in both:
                found = []
                for phi in bursts.GRID:
                    state = list(first)
                    test.add(state, Interval(d, a, 30, 60, (0.1, 1.0), bursts=4.0))
                    test.temper(state, bursts.weights_at(phi))
                    found.append(math.exp(test.harm(state)))
                expected += p * q * max(found)

        assert 0 < expected <= 1 + 1e-9


class TestWhatIsSaid:
    """What a message is made of."""

    def test_the_bound_that_tells_most(self):
        """Ten times as many beyond 0.5 s as stable has, and no more beyond the others."""
        test, state = Tail(1.0), Tail(1.0).begin()
        for look in range(10):
            canary, stable = Tally(100.0, over=(50.0, 10.0, 0.0)), Tally(900.0, over=(450.0, 9.0, 0.0))
            test.add(state, Interval(canary, stable, 30.0 * look, 30.0 * look + 30, (0.1, 0.5, 1.0)))

        strongest = test.strongest(state)

        assert latency.Slower(0.5, Tally(1000.0, bad=100.0), Tally(9000.0, bad=90.0)) == strongest

    def test_where_nothing_speaks_against_it(self):
        """The bound that about one in a hundred of stable's requests exceeds, and not one that nobody does."""
        test, state = Tail(1.0), Tail(1.0).begin()
        for interval in intervals(Version(lognormal(0.9), 100), Version(lognormal(), 900), random.Random(1), looks=20):
            test.add(state, interval)

        assert test.strongest(state).bound == pytest.approx(0.005 * 1.6**10)

    def test_before_the_first_request(self):
        """There is no evidence of anything."""
        test = Tail(1.0)

        assert (0.0, 0.0, None) == (test.harm(test.begin()), test.proof(test.begin()), test.strongest(test.begin()))

    def test_without_stable_nothing_is_learned(self):
        """All traffic on the new version: there is nothing at the same time to compare with."""
        test, state = Tail(1.0), Tail(1.0).begin()
        for interval in intervals(Version(lognormal(9.0), 1000), None, random.Random(1), looks=5):
            test.add(state, interval)

        assert test.begin() == state


class TestBoundsThatChange:
    """Another version of the application has other buckets."""

    def test_evidence_outlives_bounds(self):
        """What was won is staked at the new bounds."""
        test, state, rng = Tail(1.0), Tail(1.0).begin(), random.Random(4)
        for interval in intervals(Version(lognormal(1.5), 100), Version(lognormal(), 900), rng, looks=6):
            test.add(state, interval)
        before = test.harm(state)
        others = tuple(bound * 1.1 for bound in BUCKETS)
        canary, stable = Version(lognormal(1.5), 100, others), Version(lognormal(), 900, others)
        for interval in intervals(canary, stable, rng, looks=6, bounds=others, begin=6):
            test.add(state, interval)

        assert test.harm(state) > before > TWENTY
        assert latency.kept(state) == list(others)

    def test_a_version_at_the_limit_is_not_failed_by_changes(self):
        """Every ten looks other buckets."""
        test, rng, failed = Tail(1.0), random.Random(5), 0
        layouts = [tuple(bound * times for bound in BUCKETS) for times in (1.0, 1.1, 1.2)]
        versions = [(Version(lognormal(), 100, layout), Version(lognormal(), 900, layout)) for layout in layouts]
        for _ in range(40):
            state = test.begin()
            for turn in range(9):
                canary, stable = versions[turn % 3]
                for interval in intervals(canary, stable, rng, looks=10, bounds=layouts[turn % 3], begin=10 * turn):
                    test.add(state, interval)
                    failed += test.harm(state) >= TWENTY

        assert failed == 0


numbers = st.floats() | st.integers(-3, 2000).map(float) | st.sampled_from([0.0, 1e308, 5e-324])
tallies = st.builds(Tally, numbers, numbers, st.lists(numbers, max_size=4).map(tuple))
absurd = st.builds(
    Interval, tallies, st.none() | tallies, numbers, numbers, st.lists(numbers, max_size=4).map(tuple), numbers, st.booleans()
)


@settings(max_examples=200)
@given(st.lists(absurd, max_size=6))
def test_absurd_counts_never_raise(looks):
    """Whatever is counted, evidence is a finite number."""
    test = Tail(1.1)
    state = test.begin()
    for interval in looks:
        test.add(state, interval)

        assert math.isfinite(test.harm(state))
        assert math.isfinite(test.proof(state))
    assert len(test.begin()) == len(state)
    assert all(math.isfinite(value) for value in state)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**9), st.integers(1, 10**9)), max_size=8))
def test_huge_counts_never_raise(looks):
    """A busy service, and one that is broken altogether."""
    test = Tail(1.0)
    state = test.begin()
    for look, (x, y, n, m) in enumerate(looks):
        canary, stable = Tally(float(n), over=(float(min(x, n)), 0.0)), Tally(float(m), over=(float(min(y, m)), 0.0))
        test.add(state, Interval(canary, stable, 30.0 * look, 30.0 * look + 30, (0.1, 1.0)))

        assert math.isfinite(test.harm(state))
        assert math.isfinite(test.proof(state))
