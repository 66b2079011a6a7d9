"""The ratio of two shares of bad events: the factors, and the test that rests on them."""

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.paired import PairedTest
from tidegate.judge.evidence.ratio import FARTHER, SHARES, SLIGHT, RatioFactors
from tidegate.judge.evidence.restarts import FIRST, Mixture
from unit.judge.evidence.counts import first_look, interval, intervals, median, share_of, steps


def law(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def expectation(factors: RatioFactors, n_c: int, p_c: float, n_b: int, p_b: float) -> list[float]:
    """Return the exact expectation of each factor, by summing over all counts."""
    sums = [0.0] * len(factors.alternatives)
    for (e_c, w_c), (e_b, w_b) in product(enumerate(law(n_c, p_c)), enumerate(law(n_b, p_b))):
        for place, log in enumerate(factors.of(n_c, e_c, n_b, e_b)):
            sums[place] += w_c * w_b * math.exp(log)
    return sums


def test_the_weights_of_all_alternatives_sum_to_one():
    assert pytest.approx(1.0) == sum(SHARES)
    assert len(SHARES) == len(FARTHER)


class TestFactors:
    """Under the null no factor is expected to grow."""

    @given(
        st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.floats(0.2, 4), st.floats(0, 1),
        st.sampled_from([FARTHER, tuple(1 / multiple for multiple in (*FARTHER, *SLIGHT))]),
    )  # fmt: skip
    def test_expectation_is_at_most_one(self, n_c, n_b, p_b, rho, part, multiples):
        """Whatever the shares, for Bernoulli events of any probability, at the limit and inside it, in both directions."""
        up = multiples[0] > 1
        limit = min(1.0, rho * p_b)
        p_c = limit * part if up else limit + (1 - limit) * part
        inside = p_c <= rho * p_b if up else p_c >= rho * p_b

        assert not inside or max(expectation(RatioFactors(rho, multiples), n_c, p_c, n_b, p_b)) <= 1 + 1e-9

    def test_given_the_number_of_bad_events_it_is_the_likelihood_ratio_of_their_labels(self):
        """Each bad event is the new version's with probability r n_c / (r n_c + n_b): Wald's test of two such laws."""
        n_c, e_c, n_b, e_b, rho, r = 300, 7, 2700, 20, 1.5, 3.0
        before, after = rho * n_c / (rho * n_c + n_b), r * n_c / (r * n_c + n_b)

        expected = e_c * math.log(after / before) + e_b * math.log((1 - after) / (1 - before))

        assert pytest.approx(expected) == RatioFactors(rho, (r / rho,)).of(n_c, e_c, n_b, e_b)[0]

    def test_a_fine_mixture_is_the_truncated_beta_mixture(self):
        """Numerical integration over all labels' probabilities above the null's gives the closed form."""
        a, b, n_c, n_b, e_c, e_b = 2.0, 5.0, 100.0, 900.0, 9, 30
        theta0, size = n_c / (n_c + n_b), 4000
        thetas = [theta0 + (1 - theta0) * (k + 0.5) / size for k in range(size)]
        prior = [theta ** (a - 1) * (1 - theta) ** (b - 1) for theta in thetas]
        ratios = tuple(theta / (1 - theta) * n_b / n_c for theta in thetas)
        factors = RatioFactors(1.0, ratios).of(n_c, e_c, n_b, e_b)

        mixture = sum(w * math.exp(f) for w, f in zip(prior, factors, strict=True)) / sum(prior)

        closed = upper_beta(a + e_c, b + e_b, theta0) / upper_beta(a, b, theta0) * theta0**-e_c * (1 - theta0) ** -e_b
        assert pytest.approx(closed, rel=1e-3) == mixture

    def test_no_bad_events_say_nothing(self):
        """Without any, the ratio is not known."""
        assert [0.0] * len(FARTHER) == RatioFactors(1.0, FARTHER).of(100, 0, 900, 0)


def upper_beta(a: float, b: float, x: float) -> float:
    """Integrate t^(a-1) (1-t)^(b-1) from x to 1 for a whole number b, by the binomial series."""
    terms = range(round(b))
    return sum(math.comb(round(b) - 1, k) * (-1) ** k * (1 - x ** (a + k)) / (a + k) for k in terms) if b < 20 else simpson(a, b, x)


def simpson(a: float, b: float, x: float, size: int = 20_000) -> float:
    step = (1 - x) / size
    points = [(x + k * step) ** (a - 1) * (1 - x - k * step) ** (b - 1) for k in range(size)] + [0.0]
    return step / 3 * (points[0] + 4 * sum(points[1::2]) + 2 * sum(points[2:-1:2]) + points[-1])


@pytest.mark.no_cover
class TestFalseAlarms:
    """At 95% confidence at most one release in 20 at the limit is ever decided wrongly, in 180 looks at 1,000 requests."""

    @pytest.mark.parametrize(
        ("p_b", "rho", "share"),
        [
            (0.01, 1.0, 0.1),
            (0.001, 1.0, 0.1),
            (0.01, 1.0, steps(180, (0.05, 0.1, 0.25, 0.5))),
            (0.2, 1.0, 0.25),
            (0.01, 1.5, 0.1),
            (0.3, 1.2, 0.5),
        ],
    )
    @pytest.mark.parametrize("which", ["harm", "proof"])
    def test_at_the_limit(self, p_b, rho, share, which):
        """For rare and for frequent errors, a share that stays or rises, no increase allowed or some, and in both directions."""
        rng, test = random.Random(11), PairedTest(rho)

        looks = [first_look(test, intervals(rng, 180, rho * p_b, p_b, share), which) for _ in range(100 if p_b < 0.1 else 40)]

        assert share_of(looks) <= 0.05

    def test_a_limit_from_below(self):
        """The new version must not have less than half of stable's share; it has exactly half."""
        rng, test = random.Random(12), PairedTest(0.5, up=False)

        looks = [first_look(test, intervals(rng, 180, 0.01, 0.02, 0.25), "harm") for _ in range(100)]

        assert share_of(looks) <= 0.05

    def test_a_share_of_errors_that_moves_in_both_versions_is_no_fault(self):
        """An incident that hits both versions ten times over, again and again, fails nobody."""
        rng, test = random.Random(13), PairedTest(1.0)

        def incidents():
            for look in range(180):
                p = 0.05 if look // 10 % 2 else 0.005
                yield from (one for one in [next(intervals(rng, 1, p, p, 0.1))])

        looks = [first_look(test, incidents(), "harm") for _ in range(100)]

        assert share_of(looks) <= 0.05


class TestDetection:
    """Faults are found after about as many of the new version's errors as theory says."""

    @pytest.mark.parametrize(("times", "most"), [(2.0, 45), (3.0, 22), (5.0, 13)])
    def test_errors_needed(self, times, most):
        """At a share of 10% and 1% of errors; a test that knew the fault would need about 20, 10 and 6 of them."""
        rng, test = random.Random(14), PairedTest(1.0)

        looks = [first_look(test, intervals(rng, 400, 0.01 * times, 0.01, 0.1, total=500), "harm") for _ in range(41)]

        assert median(looks) * 50 * 0.01 * times <= most

    def test_no_worse_is_proven(self):
        """Like stable, where three times as many errors are allowed: 450 requests of the new version on average, 1,200 at most."""
        rng, test = random.Random(15), PairedTest(3.0)

        looks = [first_look(test, intervals(rng, 100, 0.01, 0.01, 0.1), "proof") for _ in range(41)]

        assert median(looks) * 100 <= 1200

    def test_a_late_fault_is_found_about_as_fast_as_an_early_one(self):
        """The fault begins at minute 30; a test without later starts would take twice as long, twelve even starts about as long."""
        rng, test = random.Random(16), PairedTest(1.0)

        def late(look):
            return 0.03 if look >= 30 else 0.01

        looks = [first_look(test, intervals(rng, 120, late, 0.01, 0.1, total=3000), "harm") for _ in range(41)]

        assert 30 < median(looks) <= 30 + 4


class TestIntervalsThatSayNothing:
    def test_without_requests_of_one_version(self):
        """Requests of one version alone change no evidence, whatever became of them."""
        test = PairedTest(1.0)
        state = test.begin()
        before = test.harm(state), test.proof(state)

        test.add(state, interval(100, 100, 0, 0))
        test.add(state, interval(0, 0, 900, 900, start=60.0))

        assert (test.harm(state), test.proof(state)) == before

    def test_all_requests_fail_at_the_first_look(self):
        """25 of 25 against 2 of 225 is enough at once, although nothing is known of bursts."""
        test = PairedTest(1.0)
        state = test.begin()

        test.add(state, interval(25, 25, 225, 2, seconds=5.0, bursts=5.0))

        assert test.harm(state) > math.log(300)


def test_a_mixture_of_one_alternative_without_later_starts_is_walds_test():
    """All of the first weight on one alternative: the evidence is the cash and that weight times the likelihood ratio."""
    mixture = Mixture(0, (1.0,))
    state, factors = mixture.begin(), RatioFactors(1.0, (2.0,)).of(100, 4, 900, 9)

    mixture.grow(state, 0.0, factors)

    assert pytest.approx(math.log(1 - FIRST + FIRST * math.exp(factors[0]))) == mixture.value(state)


@pytest.mark.parametrize(("slope", "offset"), [(1.5, 0.0), (1.0, 0.01)])
@pytest.mark.parametrize("flood", [1e5, 1e8, 1e12])
def test_a_flood_of_failures_of_both_does_not_blind(slope, offset, flood):
    """After it stable fails no more, and the new version fails all: what was usual is over."""
    test = PairedTest(slope, offset)
    state = test.begin()
    for look in range(5):
        test.add(state, interval(flood / 100, flood / 100, flood, flood, start=5.0 * look, seconds=5.0))

    for look in range(5, 65):
        test.add(state, interval(40, 40, 40, 0, start=5.0 * look, seconds=5.0))

    assert test.harm(state) > math.log(1000)
