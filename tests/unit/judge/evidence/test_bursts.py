"""What is known of bursts, and what it does to evidence."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence import bursts
from tidegate.judge.evidence.paired import PairedTest
from unit.judge.evidence.counts import binomial, first_look, group, interval, share_of, tempered


def learnt(draw, looks, n=225, p=0.01, seconds=5.0):
    state = bursts.begin()
    for _ in range(looks):
        bursts.add(state, n, draw(n, p), seconds)
    return state


def factor(state):
    return bursts.mean(bursts.weights(state))


def careful(state):
    return bursts.careful(bursts.weights(state))


class TestTheEstimate:
    def test_nothing_is_known_at_first(self):
        """Evidence is discounted, and not because bursts were seen."""
        state = bursts.begin()

        assert factor(state) > 1.5
        assert not bursts.known(state)

    def test_isolated_failures_argue_bursts_away_within_a_minute(self):
        """2,700 requests a minute of which 1% fail, looked at every 5 s."""
        rng = random.Random(51)

        factors = [factor(learnt(lambda n, p: binomial(rng, n, p), 12)) for _ in range(50)]

        assert sorted(factors)[25] < 1.1

    def test_bursts_of_mean_five_are_found(self):
        """Geometric sizes of mean 5 have a variance of 9 times the mean; the grid's next factors are 8 and 16."""
        rng = random.Random(52)

        factors = [factor(learnt(lambda n, p: group(rng, n, p, 5.0), 400)) for _ in range(20)]

        assert 8 <= sum(factors) / 20 <= 16

    def test_no_failures_tell_nothing(self):
        state = learnt(lambda n, p: 0, 500)

        assert pytest.approx(factor(bursts.begin())) == factor(state)
        assert not bursts.known(state)

    def test_what_was_long_ago_is_forgotten(self):
        """A service whose failures have come one by one for hours is believed to have bursts after twenty minutes of them."""
        rng = random.Random(53)
        state = learnt(lambda n, p: binomial(rng, n, p), 1000)
        assert factor(state) < 1.1

        for _ in range(240):
            bursts.add(state, 225, group(rng, 225, 0.01, 5.0), 5.0)

        assert factor(state) > 4

    @given(st.lists(st.tuples(st.floats(0, 1e12), st.floats(0, 1), st.floats(0.1, 1e5)), max_size=20))
    def test_always_between_one_and_the_greatest(self, several):
        state = bursts.begin()
        for total, part, seconds in several:
            bursts.add(state, total, total * part, seconds)

        assert 1 <= factor(state) <= bursts.GRID[-1]
        assert pytest.approx(1.0) == sum(bursts.weights(state))


class TestCare:
    """Tests of latency divide each interval's evidence by what is known before it."""

    def test_great_bursts_are_thought_of_until_they_are_unlikely(self):
        """Nothing known: the greatest; a minute of isolated failures: hardly any; bursts of mean 5: no less than their variance."""
        alone, together = random.Random(54), random.Random(55)

        isolated = sorted(careful(learnt(lambda n, p: binomial(alone, n, p), 24)) for _ in range(50))
        grouped = sorted(careful(learnt(lambda n, p: group(together, n, p, 5), 60)) for _ in range(50))

        assert 16 == careful(bursts.begin())
        assert isolated[25] < 1.5
        assert grouped[5] > 6

    @given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(0, 1)), max_size=30))
    def test_never_less_than_the_mean_by_much(self, several):
        """Whatever was counted: within the grid, and at least half of the mean."""
        state = bursts.begin()
        for total, share in several:
            bursts.add(state, total, total * share, 5.0)

        assert max(1.0, factor(state) / 2) <= careful(state) <= 16


class TestWhoTells:
    """Stable tells, once it can; until then the new version's own failures are heard, too."""

    def test_a_stable_version_that_never_fails_cannot_tell(self):
        """Forty failures of the new version, one by one: believed to be independent."""
        stable, own = learnt(lambda n, p: 0, 100), learnt(lambda n, p: 1, 40)

        assert factor(bursts.joined(stable, own)) < 1.1 < factor(stable)

    def test_a_fault_that_comes_in_bursts_is_not_how_the_service_is(self):
        """Stable's failures are isolated, and there are enough of them: nothing else counts."""
        rng = random.Random(56)
        stable, own = learnt(lambda n, p: binomial(rng, n, p), 40), learnt(lambda n, p: group(rng, n, p, 8.0), 40)

        assert factor(stable) == factor(bursts.joined(stable, own))
        assert factor(stable) == pytest.approx(factor(bursts.calmer(stable, own)), abs=0.01)

    def test_slow_requests_that_come_one_by_one_argue_bursts_away(self):
        """Of latencies a version that is slow tells by itself that its slow requests are independent, sooner than stable alone."""
        rng = random.Random(58)
        stable, own = (learnt(lambda n, p: binomial(rng, n, p), 5) for _ in range(2))

        assert bursts.telling(stable)
        assert careful(bursts.calmer(stable, own)) < 0.8 * careful(stable)


class TestTheDiscount:
    @given(st.lists(st.floats(-50, 50), min_size=5, max_size=5), st.floats(1, 16))
    def test_evidence_is_never_more_than_undivided(self, logs, phi):
        """That is why the guarantee for independent failures holds however phi was estimated."""
        assert bursts.discounted(lambda place: logs[place], bursts.weights_at(phi)) <= logs[0]

    @given(st.floats(1, 16))
    def test_a_factor_that_is_known_lies_on_its_neighbours(self, phi):
        weights = bursts.weights_at(phi)

        assert pytest.approx(1.0) == sum(weights)
        assert pytest.approx(1 / phi) == sum(w / value for w, value in zip(weights, bursts.GRID, strict=True))

    def test_hardly_any_request_succeeds(self):
        """No great burst explains that: evidence counts a fourth at least."""
        logs = [40.0, 20.0, 10.0, 5.0, 2.5]
        weights = bursts.weights(bursts.begin())

        assert bursts.hopeless(25, 25)
        assert not bursts.hopeless(25, 15)
        assert bursts.discounted(lambda place: logs[place], weights) < 6
        assert bursts.discounted(lambda place: logs[place], weights, hopeless=True) == 10

    def test_a_small_chance_of_bursts_counts_as_a_chance(self):
        """Evidence of 1,000 if independent, of 2 if not, which is as likely as 1 in 100: a false alarm in 1 of 167."""
        logs = [math.log(1000), 0.0, 0.0, math.log(2), 0.0]

        found = bursts.discounted(lambda place: logs[place], [0.99, 0.0, 0.0, 0.01, 0.0])

        assert pytest.approx(1 / (0.99 / 1000 + 0.01 / 2)) == math.exp(found)


@pytest.mark.no_cover
class TestHealthyReleases:
    """Bursts of geometric size with mean 5 in both versions, an hour of looks every 5 s, no increase allowed, 1 in 300."""

    @pytest.mark.parametrize(("rate", "share"), [(100, 0.5), (1000, 0.1), (1000, 0.5)])
    def test_hardly_any_is_failed(self, rate, share):
        """Without the discount it would be more than half of those with 1,000 requests a minute."""
        rng, test = random.Random(54), PairedTest(1.0)
        n = rate / 12

        def several():
            for look in range(360):
                n_c, n_b = round(n * share), round(n * (1 - share))
                yield interval(
                    n_c, group(rng, n_c, 0.01, 5.0), n_b, group(rng, n_b, 0.01, 5.0), start=5.0 * look, seconds=5.0
                )  # fmt: skip

        looks = [tempered(test, several(), math.log(300)) for _ in range(60)]

        assert share_of(looks) <= 0.05

    def test_without_the_discount_most_are(self):
        rng, test = random.Random(55), PairedTest(1.0)

        def several():
            for look in range(360):
                yield interval(42, group(rng, 42, 0.01, 5.0), 42, group(rng, 42, 0.01, 5.0), start=5.0 * look, seconds=5.0)

        assert share_of([first_look(test, several(), "harm", math.log(300)) for _ in range(30)]) > 0.3


class TestExtremes:
    @pytest.mark.parametrize(
        "counts", [(1e12, 1e11, 1.0, 0.0), (1e12, 1e11, 0.001, 0.0), (1e-300, 1e-300, 1e12, 0.0), (1e12, 1e3, 1e-300, 1e-300)]
    )
    @pytest.mark.parametrize("rho", [0.5, 1.5, 10_001.0])
    def test_a_version_that_has_hardly_any_requests(self, counts, rho):
        """Next to the other's they are none as far as a float can tell."""
        logs = bursts.splits(counts, rho, [14 * rho], 0.001)

        assert all(math.isfinite(log) for law in logs for log in law)

    @pytest.mark.parametrize("count", [0.0, 1.0, 1e12])
    def test_hardly_any_is_expected(self, count):
        """So little that half of it is nothing."""
        assert all(map(math.isfinite, bursts.factors(count, [(0.0, 1e-320)], 16.0)))
