"""Which bounds of a histogram are kept, and what is known at them."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence import latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.latency import KEPT, Bounds
from tidegate.judge.reading import Tally
from unit.judge.evidence.latencies import ENVOY, NATIVE, P99, Version, intervals, lognormal


class Kept:
    """The common stretch of a test, and how often its bounds changed."""

    def __init__(self, near=None):
        self.changes = 0
        self.bounds = Bounds(0.99, near=near, changed=self._change)
        self.state = [0.0] * latency.LENGTH

    def _change(self, _):
        self.changes += 1

    def take(self, *looks):
        return [self.bounds.take(self.state, interval) for interval in looks]

    @property
    def kept(self):
        return latency.kept(self.state)


def look(bounds, canary, stable, *, number=0):
    """Ten times as many requests of stable; as many over each bound as given, of 100 of the new version."""
    return Interval(
        Tally(100.0, over=tuple(map(float, canary))),
        Tally(1000.0, over=tuple(map(float, stable))),
        30.0 * number,
        30.0 * number + 30,
        bounds,
    )


class TestFewBounds:
    """A classic histogram."""

    def test_all_are_kept_and_the_first_look_counts(self):
        """Nothing is chosen, so nothing is lost."""
        test = Kept()

        counted, *_ = test.take(look((0.1, 0.5, 1.0), (50, 10, 1), (400, 80, 5)))

        assert [0.1, 0.5, 1.0] == test.kept
        assert (100.0, [50.0, 10.0, 1.0], 1000.0, [400.0, 80.0, 5.0]) == (counted.n_c, counted.x_c, counted.n_b, counted.x_b)

    def test_totals(self):
        """What has been counted at a bound, for a message."""
        test = Kept()

        test.take(look((0.1, 0.5), (50, 10), (400, 80)), look((0.1, 0.5), (40, 20), (500, 70), number=1))

        assert latency.Slower(0.5, Tally(200.0, bad=30.0), Tally(2000.0, bad=150.0)) == latency.slower(test.state, 1)
        assert (2000.0, [900.0, 150.0]) == latency.stable_totals(test.state)

    def test_counts_that_rise_with_the_bound_are_put_right(self):
        """No more requests are slower than 0.5 s than are slower than 0.1 s, or than there are."""
        test = Kept()

        counted, *_ = test.take(look((0.1, 0.5, 1.0), (150, 20, 30), (5, 5, 9)))

        assert ([100.0, 20.0, 20.0], [5.0, 5.0, 5.0]) == (counted.x_c, counted.x_b)

    def test_more_bounds_than_needed_do_not_harm(self):
        """A bound that is known at one look and not at another is left out."""
        test = Kept()

        test.take(look((0.1, 0.5), (50, 10), (400, 80)), look((0.1, 0.3, 0.5), (40, 30, 20), (500, 100, 70), number=1))

        assert [0.1, 0.5] == test.kept
        assert 0 == test.changes
        assert (2000.0, [900.0, 150.0]) == latency.stable_totals(test.state)


class TestManyBounds:
    """A native histogram: 137 bounds, of which 20 are kept."""

    def test_those_about_the_quantile_are_kept(self):
        """All that it has from two thirds of the P99 to twice it, and some far from it."""
        kept = latency.chosen(NATIVE, P99)

        near = [bound for bound in NATIVE if P99 / 1.5 < bound < P99 * 2]
        assert len(kept) <= KEPT
        assert len(set(near) & set(kept)) >= len(near) - 2
        assert kept[0] < P99 / 25
        assert kept[-1] > P99 * 25

    @given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=300, unique=True), st.floats(0, 1e6))
    def test_never_more_than_there_is_room_for(self, bounds, near):
        """Whatever the layout is."""
        kept = latency.chosen(sorted(bounds), near)

        assert 1 <= len(kept) <= KEPT
        assert sorted(set(kept)) == kept
        assert set(kept) <= set(bounds)

    def test_the_look_that_they_are_chosen_by_is_not_tested(self):
        """What is chosen by counts is not tested on the same counts."""
        test, version = Kept(), Version(lognormal(), 900, NATIVE)

        first, second = test.take(*intervals(version, version, random.Random(1), looks=2, bounds=NATIVE))

        assert first is None
        assert second is not None

    def test_they_are_chosen_anew_once_the_quantile_is_known(self):
        """20 requests of stable beyond its P99, which is far from what the first look told: after that they stay."""
        test, canary = Kept(), Version(lognormal(9.0), 100, NATIVE)
        warm, stable = Version(lognormal(3.0), 150, NATIVE), Version(lognormal(), 150, NATIVE)

        rng = random.Random(1)
        taken = test.take(
            *intervals(canary, warm, rng, looks=1, bounds=NATIVE), *intervals(canary, stable, rng, looks=60, bounds=NATIVE)
        )

        left_out = [number for number, counted in enumerate(taken) if counted is None]
        assert 0 == left_out[0]
        assert 2 == len(left_out)
        assert 12 <= left_out[1] <= 16
        assert 1 == test.changes
        assert sum(1 for bound in test.kept if P99 / 1.5 < bound < P99 * 2) >= 10

    def test_a_first_choice_that_was_good_enough_stays(self):
        """To choose again would begin anew for nothing, and perhaps when stable has few requests left to compare with."""
        test, version = Kept(), Version(lognormal(), 900, NATIVE)

        first, *others = test.take(*intervals(version, version, random.Random(1), looks=30, bounds=NATIVE))

        assert first is None
        assert None not in others
        assert 0 == test.changes
        assert latency.settled(test.state)

    def test_nothing_is_chosen_again_once_all_traffic_is_on_the_new_version(self):
        """Stable would never have a request at the bounds of another choice, so nothing could be compared with it any more."""
        test, canary = Kept(), Version(lognormal(), 100, NATIVE)
        warm, stable = Version(lognormal(3.0), 150, NATIVE), Version(lognormal(), 150, NATIVE)
        rng = random.Random(1)
        test.take(*intervals(canary, warm, rng, looks=1, bounds=NATIVE), *intervals(canary, stable, rng, looks=12, bounds=NATIVE))

        looks = intervals(canary, stable, rng, looks=30, bounds=NATIVE)
        taken = test.take(*(replace(one, alone=True) for one in looks))

        assert None not in taken
        assert 0 == test.changes

    def test_much_traffic_needs_one_choice_only(self):
        """The first look knows the quantile well."""
        test, version = Kept(), Version(lognormal(), 9000, NATIVE)

        taken = test.take(*intervals(version, version, random.Random(1), looks=9, bounds=NATIVE))

        assert [0] == [number for number, counted in enumerate(taken) if counted is None]

    def test_what_the_new_version_does_has_no_influence(self):
        """Stable decides which bounds are kept."""
        kept = []
        for times in (1.0, 20.0):
            test, rng = Kept(), random.Random(3)
            stable = [Version(lognormal(), 900, NATIVE).tally(rng) for _ in range(5)]
            canary = [Version(lognormal(times), 900, NATIVE).tally(rng) for _ in range(5)]
            test.take(
                *(Interval(c, b, 30.0 * i, 30.0 * i + 30, NATIVE) for i, (c, b) in enumerate(zip(canary, stable, strict=True)))
            )
            kept.append(test.kept)

        assert kept[0] == kept[1]

    def test_about_a_fixed_limit_nothing_is_chosen_by_counts(self):
        """The limit says which bounds matter, so the first look counts."""
        test, version = Kept(near=0.3), Version(lognormal(), 900, NATIVE)

        first, *_ = test.take(*intervals(version, None, random.Random(1), looks=1, bounds=NATIVE))

        assert first is not None
        assert any(0.28 < bound <= 0.3 for bound in test.kept)

    def test_too_few_requests_to_choose_by(self):
        """Nothing is chosen until stable has some in one look."""
        test, stable = Kept(), Tally(2.0, over=tuple(2.0 if bound < 0.1 else 0.0 for bound in NATIVE))

        assert [None] == test.take(Interval(stable, stable, 0, 30, NATIVE))
        assert [] == test.kept


class TestLayoutsThatChange:
    """Another version of the application has other buckets."""

    def test_bounds_that_both_have_are_kept(self):
        """More than half of them: what they have counted goes on, from zero for display."""
        test = Kept()

        _, after = test.take(look((0.1, 0.5, 1.0), (9, 8, 7), (90, 80, 70)), look((0.1, 0.4, 1.0), (6, 5, 4), (60, 50, 40)))

        assert [0.1, 1.0] == test.kept
        assert 1 == test.changes
        assert [6.0, 4.0] == after.x_c

    def test_a_layout_of_its_own(self):
        """Less than half in common: all is taken anew."""
        test = Kept()

        test.take(look((0.1, 0.5, 1.0), (9, 8, 7), (90, 80, 70)), look((0.1, 0.4, 0.8), (6, 5, 4), (60, 50, 40)))

        assert [0.1, 0.4, 0.8] == test.kept
        assert 1 == test.changes

    def test_a_look_without_bounds_changes_nothing(self):
        """Nobody had a request."""
        test = Kept()

        test.take(look((0.1, 0.5), (9, 8), (90, 80)))
        before = list(test.state)

        assert [None] == test.take(Interval(Tally(0.0), Tally(0.0), 30, 60))
        assert before == test.state

    def test_a_version_without_requests(self):
        """It may have no histogram yet: the other's requests are counted all the same."""
        test = Kept()

        counted, *_ = test.take(Interval(Tally(0.0), Tally(10.0, over=(5.0, 1.0)), 0, 30, (0.1, 0.5)))

        assert (0.0, [0.0, 0.0], 10.0, [5.0, 1.0]) == (counted.n_c, counted.x_c, counted.n_b, counted.x_b)

    @pytest.mark.parametrize("bounds", [(0.5, 0.1), (0.1, 0.1), (-0.1, 0.1), (0.1, math.inf), (0.1, math.nan), (0.0, 1.0)], ids=str)
    def test_bounds_that_are_none(self, bounds):
        """Bounds are above 0, finite and rising; anything else is not taken."""
        test = Kept()

        assert [None] == test.take(look(bounds, (9, 8), (90, 80)))


class TestBuckets:
    """In which bucket a quantile lies."""

    def test_with_envoys_buckets(self):
        """Somewhere between 500 ms and 1 s, and that is all that is known."""
        test, version = Kept(), Version(lognormal(), 9000, ENVOY)
        test.take(*intervals(version, version, random.Random(1), looks=3, bounds=ENVOY))

        assert ((0.5, 1), (0.5, 1)) == latency.buckets(test.state, 0.99)

    def test_below_the_first_and_beyond_the_last(self):
        """At 0 the first one begins, and the last one never ends."""
        test = Kept()
        test.take(look((0.1, 0.5), (0, 0), (900, 300)))

        assert ((0.0, 0.1), (0.5, math.inf)) == latency.buckets(test.state, 0.99)

    def test_without_requests(self):
        """Nothing is known."""
        assert (None, None) == latency.buckets(Kept().state, 0.99)
