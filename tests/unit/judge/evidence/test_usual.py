"""What is usual for a share that changes with time, and that one outage must not change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence import usual


@given(st.floats(0, 1e12))
def test_what_is_expected_is_usual(expected):
    """And some more, by chance."""
    assert usual.most(expected) >= 2 * expected + 2


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_is_usual_where_more_is_expected(one, other):
    """Never less."""
    assert usual.most(min(one, other)) <= usual.most(max(one, other))


def test_an_outage_is_not():
    """All of a thousand requests, where ten are expected."""
    assert usual.most(10) < 1000 / 20


@given(st.floats(0, 1e12), st.floats(1, 1e3), st.floats(1, 1e3))
def test_something_is_kept_unless_one_count_is_enough(expected, parts, events):
    """A part of what is known, between none and all."""
    assert 0 <= usual.kept(expected, parts=parts, events=events) <= 1


@pytest.mark.parametrize(("expected", "kept"), [(0, 1.0), (1, 0.9), (8, 0.75), (1000, 0.75)])
def test_counts_with_few_events_are_remembered_for_long(expected, kept):
    """Ten events, or four counts, whichever is more."""
    assert usual.kept(expected, parts=4, events=10) == pytest.approx(kept)


@given(st.floats(0, 1e12), st.floats(0, 1))
def test_fewer_than_is_expected_may_be_usual(expected, share):
    """Well fewer, since bad events come in bursts."""
    assert usual.least(expected, share) <= expected / 4


@pytest.mark.parametrize(("expected", "share", "over"), [(10, 0.01, False), (12, 0.3, False), (40, 0.01, True), (5, 1.0, True)])
def test_when_none_at_all_says_that_what_was_usual_is_over(expected, share, over):
    """None of ten says little, of forty much; where all were expected to be bad, none of five is enough."""
    assert (usual.least(expected, share) > 0) is over
