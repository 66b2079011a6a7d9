"""All traffic is on the new version: its counts against what stable had counted before."""

import math
import random

import pytest

from tidegate.judge.evidence.paired import PairedTest
from unit.judge.evidence.counts import binomial, first_look, interval, intervals, median, share_of


def release(rng, p_c, p_b, *, before=30, after=120, offset=0.0):
    """Give half an hour at a share of 10%, then two hours of all traffic on the new version."""
    yield from intervals(rng, before, p_b + offset, p_b, 0.1)
    for look in range(after):
        yield interval(1000, binomial(rng, 1000, p_c), 0, 0, start=60.0 * (before + look), alone=True)


@pytest.mark.no_cover
class TestFalseAlarms:
    @pytest.mark.parametrize("offset", [0.0, 0.01])
    def test_like_stable_was(self, offset):
        """At the limit, with what chance made of stable's half hour."""
        rng, test = random.Random(61), PairedTest(1.0, offset)

        looks = [first_look(test, release(rng, 0.01 + offset, 0.01, offset=offset), "harm") for _ in range(60)]

        assert share_of(looks) <= 0.05

    def test_a_limit_from_below(self):
        rng, test = random.Random(62), PairedTest(0.5, up=False)

        def several():
            yield from intervals(rng, 30, 0.02, 0.04, 0.1)
            for look in range(60):
                yield interval(1000, binomial(rng, 1000, 0.02), 0, 0, start=1800.0 + 60 * look, alone=True)

        assert share_of([first_look(test, several(), "harm") for _ in range(40)]) <= 0.05


class TestDetection:
    def test_a_fault_that_begins_at_all_traffic(self):
        """Three times stable's errors: found within ten minutes."""
        rng, test = random.Random(63), PairedTest(1.0)

        looks = [first_look(test, release(rng, 0.03, 0.01), "harm") for _ in range(21)]

        assert 30 < median(looks) <= 40

    def test_a_share_below_a_limit_from_below(self):
        """A tenth where half of stable's is the least: found within ten minutes."""
        rng, test = random.Random(64), PairedTest(0.5, up=False)

        def several():
            yield from intervals(rng, 30, 0.04, 0.04, 0.1)
            for look in range(60):
                yield interval(1000, binomial(rng, 1000, 0.004), 0, 0, start=1800.0 + 60 * look, alone=True)

        assert median([first_look(test, several(), "harm") for _ in range(11)]) <= 40

    def test_nothing_was_counted_of_stable(self):
        """Then there is nothing to compare with, whatever happens."""
        test = PairedTest(1.0)
        state = test.begin()

        test.add(state, interval(1000, 1000, 0, 0, alone=True))

        assert test.harm(state) <= 0


@pytest.mark.parametrize("offset", [0.0, 0.01])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(("total", "bad"), [(0.01, 0), (1, 0), (1, 1), (1e12, 1e12)])
def test_a_stable_version_that_hardly_had_requests(total, bad, up, offset):
    """What its share could be reaches up to 1, as far as a float can tell."""
    test = PairedTest(1.0, offset if up else -offset, up=up)
    state = test.begin()

    test.add(state, interval(1, 0, total, bad, bursts=16.0))
    test.add(state, interval(10, 0, 0, 0, start=60.0, alone=True, bursts=16.0))

    assert all(math.isfinite(value) for value in (*state, test.harm(state)))
