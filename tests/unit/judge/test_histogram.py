"""Histograms as numbers of requests slower than given bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.histogram import EMPTY, Histogram, add, cumulative, increase, native, shared_bounds

CLASSIC = cumulative({0.1: 60.0, 0.25: 90.0, 1.0: 99.0, math.inf: 100.0})
ROOT = 2**0.5


def exponential(counts: dict[int, float], schema: int, *, zeros: float = 0.0) -> dict:
    """A native histogram as Prometheus' HTTP API gives it: bucket i ends at 2 ** (i * 2 ** -schema)."""
    base = 2 ** (2.0**-schema)
    buckets: list[list] = [[3, "-2.938735877055719e-39", "2.938735877055719e-39", str(zeros)]] if zeros else []
    buckets += [[0, repr(base ** (i - 1)), repr(base**i), str(count)] for i, count in sorted(counts.items())]
    return {"count": str(sum(counts.values()) + zeros), "sum": "1", "buckets": buckets}


class TestClassic:
    """Buckets with the label le."""

    def test_counts_the_slow_ones(self):
        """Requests over a bound are all but those in the buckets up to it."""
        assert (40.0, 10.0, 1.0) == CLASSIC.over((0.1, 0.25, 1.0))

    def test_order_of_the_buckets_does_not_matter(self):
        """Prometheus gives series in any order, and le is a text there."""
        assert CLASSIC == cumulative({math.inf: 100.0, 1.0: 99.0, 0.25: 90.0, 0.1: 60.0})

    def test_a_bound_within_a_bucket_is_not_guessed(self):
        """Where in a bucket requests lie is not known, so no number of slow ones is made up."""
        assert not CLASSIC.knows(0.2)
        with pytest.raises(ValueError, match=r"0\.2 s lies within a bucket; its edges are 0\.1, 0\.25, 1"):
            CLASSIC.over((0.2,))

    def test_a_bound_in_an_empty_bucket_is_known(self):
        """No request between two edges: whatever lies between them counts like the edges."""
        histogram = cumulative({0.1: 5.0, 0.25: 5.0, math.inf: 7.0})

        assert (2.0,) == histogram.over((0.2,))

    def test_edges_that_differ_by_rounding_are_one(self):
        """0.30000000000000004 in one program's labels is 0.3 in another's."""
        assert (7.0,) == cumulative({0.1 + 0.2: 3.0, math.inf: 10.0}).over((0.3,))

    def test_a_torn_scrape_never_gives_negative_buckets(self):
        """Counts that fall from one bucket to the next are raised."""
        assert (4.0, 4.0, 0.0) == cumulative({0.1: 6.0, 0.25: 5.0, 1.0: 10.0, math.inf: 9.0}).over((0.1, 0.25, 1.0))

    def test_labels_that_are_no_numbers_are_left_out(self):
        """le="NaN" is no bucket."""
        assert CLASSIC == cumulative({math.nan: 3.0, 0.1: 60.0, 0.25: 90.0, 1.0: 99.0, math.inf: 100.0})


class TestNative:
    """Native histograms, as the HTTP API writes them."""

    def test_counts_the_slow_ones_at_edges(self):
        """Buckets hold their own requests only, and empty ones are missing."""
        histogram = native(exponential({-3: 10, 0: 5, 2: 1}, schema=0, zeros=4))

        assert 20.0 == histogram.total
        assert (16.0, 6.0, 6.0, 1.0, 1.0, 0.0, 0.0) == histogram.over((0.0625, 0.125, 0.25, 1.0, 2.0, 4.0, 8.0))

    def test_resolution_is_read_off_the_edges(self):
        """Edges 2**(1/4) apart are schema 2."""
        assert 2 == native(exponential({-5: 1, 3: 2}, schema=2)).schema

    def test_custom_edges_have_no_schema(self):
        """Classic buckets stored as a native histogram keep their edges."""
        histogram = native({"count": "3", "sum": "1", "buckets": [[0, "-Inf", "0.1", "2"], [0, "0.1", "0.25", "1"]]})

        assert histogram.schema is None
        assert (1.0, 0.0) == histogram.over((0.1, 0.25))
        assert (0.1, 0.25) == shared_bounds([histogram])

    def test_bounds_are_the_same_whether_requests_fell_there_or_not(self):
        """A test is about the same bounds at every look: they follow from the resolution, not from what is filled."""
        quiet, busy = native(exponential({-20: 1}, schema=3)), native(exponential(dict.fromkeys(range(-60, 20), 7), schema=3))

        assert shared_bounds([quiet]) == shared_bounds([busy]) == shared_bounds([quiet, busy])

    def test_bounds_span_a_millisecond_to_two_minutes(self):
        """From 2**-10 to 2**7 seconds, eight to each doubling, whatever finer resolution there is."""
        bounds = shared_bounds([native(exponential({-100: 1, 40: 3}, schema=5))])

        assert (137, 2**-10, 2.0**7) == (len(bounds), bounds[0], bounds[-1])

    def test_bounds_follow_the_coarsest(self):
        """With a resolution of 2**(1/2) in one of two, only every fourth bound is known to both."""
        bounds = shared_bounds([native(exponential({1: 3}, schema=3)), native(exponential({1: 3}, schema=1))])

        assert 35 == len(bounds)
        assert any(math.isclose(bound, ROOT) for bound in bounds)

    def test_very_coarse_ones(self):
        """Schema -1: each bucket spans a factor of 4."""
        bounds = shared_bounds([native(exponential({0: 3, 1: 4}, schema=-1))])

        assert (1.0, 4.0, 16.0) == bounds[-4:-1]

    @pytest.mark.parametrize("value", [{}, {"count": "x"}, {"count": "1", "buckets": [[0, "1"]]}, {"count": "1", "buckets": 7}])
    def test_other_json_is_refused(self, value):
        """What is not a native histogram says so, and is not taken for an empty one."""
        with pytest.raises(ValueError, match="not a native histogram"):
            native(value)


class TestIncrease:
    """What one series counted between two looks."""

    def test_difference(self):
        """Bucket by bucket."""
        later = cumulative({0.1: 61.0, 0.25: 95.0, 1.0: 105.0, math.inf: 110.0})

        assert (9.0, 5.0, 4.0) == increase(CLASSIC, later).over((0.1, 0.25, 1.0))

    def test_a_series_that_is_new_counts_in_full(self):
        """A pod that began after the look before."""
        assert CLASSIC == increase(None, CLASSIC)

    @pytest.mark.parametrize(
        "after",
        [
            cumulative({0.1: 2.0, 0.25: 3.0, 1.0: 3.0, math.inf: 3.0}),
            cumulative({0.1: 2.0, 0.25: 130.0, 1.0: 130.0, math.inf: 130.0}),
        ],
        ids=["fewer", "more, but a bucket fell"],
    )
    def test_a_counter_that_fell_began_anew(self, after):
        """A container that restarted counts from 0, even if it has already more in all than before."""
        assert after == increase(CLASSIC, after)

    def test_a_native_histogram_that_got_coarser(self):
        """A resolution that was halved to save memory is no reset: the edges that both have are compared."""
        fine, coarse = native(exponential({1: 3, 2: 4}, schema=1)), native(exponential({1: 9}, schema=0))

        grown = increase(fine, coarse)

        assert (2.0, 2.0, 0) == (grown.total, *grown.over((1.0,)), grown.schema)

    def test_an_edge_that_appeared(self):
        """Buckets of a native histogram appear with their first request, and were empty before."""
        grown = increase(native(exponential({0: 3}, schema=0)), native(exponential({0: 3, 4: 2}, schema=0)))

        assert (2.0, 2.0, 0.0) == grown.over((1.0, 8.0, 16.0))


class TestAdd:
    """The pods of a version together."""

    def test_sum(self):
        """Pods with the same layout."""
        assert (80.0, 20.0, 2.0) == add([CLASSIC, CLASSIC]).over((0.1, 0.25, 1.0))

    def test_layouts_that_differ_leave_the_edges_that_both_have(self):
        """In the middle of a change of the application's buckets."""
        other = cumulative({0.1: 1.0, 0.5: 2.0, 1.0: 2.0, math.inf: 4.0})

        assert (0.1, 1.0) == shared_bounds([CLASSIC, other]) == add([CLASSIC, other]).edges

    def test_nothing(self):
        """No pods, or pods without requests."""
        assert EMPTY == add([]) == add([cumulative({0.1: 0.0, math.inf: 0.0})])
        assert () == shared_bounds([])
        assert (0.0, 0.0) == EMPTY.over((0.1, 7.0))

    def test_an_idle_pod_costs_no_edge(self):
        """A histogram without requests is known at every bound."""
        assert CLASSIC.edges == add([CLASSIC, cumulative({0.3: 0.0, math.inf: 0.0})]).edges


counts = st.lists(st.tuples(st.floats(0.001, 100), st.integers(0, 1000)), max_size=12)


def classic(parts: list[tuple[float, int]]) -> Histogram:
    buckets, so_far = {}, 0
    for edge, count in sorted(parts):
        so_far += count
        buckets[edge] = float(so_far)
    return cumulative({**buckets, math.inf: so_far + 1.0})


@given(counts, counts)
def test_what_was_added_comes_back(first, second):
    """The increase from one to the sum of both is the other, at every bound that all know."""
    one, other = classic(first), classic(second)
    both = add([one, other])

    grown = increase(one, both)

    bounds = shared_bounds([one, other, both])
    assert other.total == grown.total
    assert other.over(bounds) == grown.over(bounds)


@given(st.dictionaries(st.floats(), st.floats(), max_size=8), st.dictionaries(st.floats(), st.floats(), max_size=8))
def test_absurd_buckets_never_raise(before, after):
    """Whatever a scrape says, counts over rising bounds never rise, and none is below 0."""
    grown = increase(cumulative(before), cumulative(after))

    over = grown.over(shared_bounds([grown]))
    assert sorted(over, reverse=True) == list(over)
    assert all(count >= 0 for count in over)
