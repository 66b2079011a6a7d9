"""How often somebody may ask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.serve.limits import Buckets, Rate


def test_burst_is_taken_and_then_one_by_one() -> None:
    buckets = Buckets(Rate(per_second=2.0, burst=3.0))

    assert [0.0, 0.0, 0.0, 0.5] == [buckets.take("ann", 10.0) for _ in range(4)]
    assert 0.0 == buckets.take("ann", 10.5)
    assert 0.5 == buckets.take("ann", 10.5)
    assert 0.0 == buckets.take("bob", 10.5), "each has a bucket of their own"


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60))
def test_no_more_are_let_in_than_burst_and_refill(gaps: list[float]) -> None:
    """Whenever somebody asks, those that were let in until then are at most the burst and what has been refilled since."""
    buckets, now, let_in = Buckets(Rate(per_second=1.0, burst=5.0)), 0.0, 0
    for gap in gaps:
        now += gap
        let_in += buckets.take("ann", now) == 0.0
        assert let_in <= 5.0 + now + 1e-6


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60))
def test_who_waits_as_long_as_they_are_told_is_let_in(gaps: list[float]) -> None:
    buckets, now = Buckets(Rate(per_second=1.0, burst=2.0)), 0.0
    for gap in gaps:
        now += gap
        if wait := buckets.take("ann", now):
            now += wait + 1e-6
            assert 0.0 == buckets.take("ann", now)


def test_buckets_are_no_more_than_fit() -> None:
    """Names that nobody has heard of again cost nothing for ever."""
    buckets = Buckets(Rate(per_second=1.0, burst=1.0), most=3)
    for name in "abcdefgh":
        buckets.take(name, 0.0)

    assert 0.0 == buckets.take("a", 0.0), "it was forgotten, and is full"
    assert 1.0 == buckets.take("h", 0.0)
