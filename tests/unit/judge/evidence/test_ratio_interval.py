"""The interval of the ratio."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence import ratio_interval
from unit.judge.evidence.counts import intervals


def ends(several, alpha=0.05):
    state = ratio_interval.begin()
    for one in several:
        ratio_interval.add(state, one.canary.total, one.canary.bad, one.stable.total, one.stable.bad)
    return ratio_interval.interval(state, alpha, 1.0)


@pytest.mark.parametrize(("ratio", "share"), [(1.0, 0.1), (3.0, 0.25), (0.4, 0.5)])
def test_it_holds_the_ratio_at_every_look(ratio, share):
    """At 95% confidence, over all looks, in 19 of 20 releases at least."""
    rng, missed = random.Random(71), 0
    for _ in range(40):
        state, outside = ratio_interval.begin(), False
        for look, one in enumerate(intervals(rng, 60, 0.01 * ratio, 0.01, share)):
            ratio_interval.add(state, one.canary.total, one.canary.bad, one.stable.total, one.stable.bad)
            if look % 6 == 5:
                low, high = ratio_interval.interval(state, 0.05, 1.0)
                outside |= (low is not None and low > ratio) or (high is not None and high < ratio)
        missed += outside

    assert missed <= 2


def test_it_becomes_narrow():
    """After 200,000 requests, 5 times as many errors are known to be between 4.2 and 6 times as many."""
    low, high = ends(intervals(random.Random(72), 200, 0.05, 0.01, 0.1))

    assert 4.2 < low < 5 < high < 6


def test_many_errors_are_no_trouble():
    """Millions of bad events: the interval is narrower than the grid, and not empty."""
    low, high = ends(intervals(random.Random(73), 1, 0.2, 0.1, 0.5, total=20_000_000), 0.01)

    assert 1.9 < low <= 2.001
    assert 1.999 <= high < 2.1


@given(st.floats(1, 1e9), st.floats(0, 1), st.floats(1, 1e9), st.floats(0, 1))
def test_its_ends_are_in_order(n_c, part_c, n_b, part_b):
    state = ratio_interval.begin()
    ratio_interval.add(state, n_c, n_c * part_c, n_b, n_b * part_b)

    low, high = ratio_interval.interval(state, 0.01, 1.0)

    assert low is None or high is None or 0 < low <= high * 1.02
