"""Counts that come every second: known at once, and in the end what they are where they come every five seconds."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.judge.evidence import blocks
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Tally

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALPHA = 1 / 300


def gate(measure: str, **limit: object) -> Gate:
    return Gate.model_validate({"name": "g", "metric": {"preset": {"source": "HTTP", "measure": measure}}, **limit})


NO_INCREASE = gate("ErrorRate", versusStable={"maxIncrease": {"percent": 0}})
ONE_POINT = gate("ErrorRate", versusStable={"maxIncrease": {"points": 1}})
FIXED = gate("ErrorRate", threshold={"max": 0.02})
TAIL = gate("Tail", versusStable={"maxIncrease": {"percent": 0}})
BOUNDS = (0.1, 0.5, 1.0)


def trial(of: Gate, text: str = "") -> Trial:
    return Trial(limits_of(of), text, BEGIN)


def seconds(of: Gate, several: list[tuple[int, int, int, int]]) -> Iterator[Interval]:
    """Requests and bad ones of both versions in each second; where latencies are counted bad ones are slow."""
    for at, (total, bad, stable_total, stable_bad) in enumerate(several):
        canary, stable = Tally(total, min(bad, total)), Tally(stable_total, min(stable_bad, stable_total))
        if of is TAIL:
            canary, stable = (Tally(one.total, 0.0, (one.total, one.bad, one.bad // 2)) for one in (canary, stable))
        yield Interval(canary, None if of is FIXED else stable, float(at), at + 1.0, BOUNDS if of is TAIL else ())


def in_fives(several: list[Interval]) -> Iterator[Interval]:
    for at in range(0, len(several) - 4, 5):
        one = several[at]
        for other in several[at + 1 : at + 5]:
            found = blocks.joined(one, other)
            assert found is not None
            one = found
        yield one


tallies = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 300), st.integers(0, 60))


@pytest.mark.parametrize("of", [NO_INCREASE, ONE_POINT, FIXED, TAIL], ids=["percent", "points", "fixed", "tail"])
@given(several=st.lists(tallies, min_size=5, max_size=40))
def test_every_five_seconds_all_is_as_if_it_had_come_then(of, several):
    """To the last bit: whatever was said in between leaves nothing behind."""
    every_second, every_five = trial(of), trial(of)
    all_of_them = list(seconds(of, several))

    for number, five in enumerate(in_fives(all_of_them)):
        for one in all_of_them[5 * number : 5 * number + 5]:
            every_second.add(one)
        every_five.add(five)

        assert every_second.states == every_five.states
        assert (every_second.harm(), every_second.proof()) == (every_five.harm(), every_five.proof())
        assert every_second.weights == every_five.weights
        assert every_second.samples == every_five.samples


@pytest.mark.parametrize("of", [NO_INCREASE, ONE_POINT, FIXED, TAIL], ids=["percent", "points", "fixed", "tail"])
@given(several=st.lists(tallies, min_size=1, max_size=30), chance=st.randoms(use_true_random=False))
def test_a_block_that_goes_on_outlives_the_process(of, several, chance):
    """It is stored with what is known, and is read at any second."""
    lasting, restarted = trial(of), trial(of)
    for one in seconds(of, several):
        lasting.add(one)
        restarted.add(one)
        if chance.random() < 0.5:
            restarted = trial(of, restarted.text())
            assert restarted.resumed

        assert (restarted.harm(), restarted.proof()) == (lasting.harm(), lasting.proof())
        assert restarted.text() == lasting.text()


def test_evidence_stored_between_blocks_is_as_it_was_before_there_were_any():
    """An operator of the version before reads it, and this one reads what that one has stored."""
    one = trial(NO_INCREASE)
    one.add(Interval(Tally(25, 1), Tally(225, 2), 0.0, 5.0))
    between = one.text()
    one.add(Interval(Tally(5, 1), Tally(45, 0), 5.0, 6.0))

    assert len(one.text()) > len(between)
    one.add(Interval(Tally(20, 0), Tally(180, 2), 6.0, 10.0))
    assert len(one.text()) == len(between)


@pytest.mark.parametrize(("seconds_", "gap"), [(1.0, 0.0), (4.0, 0.0), (2.0, 61.0)])
def test_what_is_long_or_comes_late_begins_another_block(seconds_, gap):
    """A scrape of 15 s after a short one, or after a gap, is no part of the same burst: both say what they say."""
    one, then = trial(ONE_POINT), seconds_ + gap
    one.add(Interval(Tally(20, 20), Tally(180, 0), 0.0, seconds_))
    alone = one.harm()
    one.add(Interval(Tally(300, 300), Tally(2700, 0), then, then + 15.0))

    both = trial(ONE_POINT)
    both.add(Interval(Tally(320, 320), Tally(2880, 0), 0.0, 15.0))
    assert one.harm() > both.harm() > alone
    assert one.harm() >= -math.log(ALPHA)


def test_counts_that_nothing_was_compared_with_are_not_kept_for_long():
    """What came before an hour without counts is not compared with what comes after it."""
    one = trial(ONE_POINT)
    one.add(Interval(Tally(20, 20), Tally(0, 0), 0.0, 1.0))
    one.add(Interval(Tally(80, 0), Tally(0, 0), 1.0, 3601.0))
    one.add(Interval(Tally(20, 0), Tally(180, 0), 3601.0, 3606.0))

    assert one.harm() < 1


def test_a_block_of_many_bounds_does_not_go_on():
    """The status has no room for it beside what waits for the other version."""
    bounds = tuple(0.001 * number for number in range(1, 250))
    over = (5.0,) * len(bounds)
    one = trial(TAIL)
    one.add(Interval(Tally(20, 0, over), Tally(180, 0, over), 0.0, 1.0, bounds))

    assert len(one.text()) < 16_384
    assert len(trial(TAIL, one.text()).text()) == len(one.text())


def test_what_a_second_says_is_known_at_once():
    """A version that fails everything is not let go on until its block is whole, where failures are known to come one by one."""
    one = trial(ONE_POINT)
    for interval in seconds(ONE_POINT, [(20, 0, 180, number % 2) for number in range(100)]):
        one.add(interval)
    assert one.harm() < 1

    one.add(Interval(Tally(20, 20), Tally(180, 0), 100.0, 101.0))

    assert one.harm() >= -math.log(ALPHA)


def test_one_burst_that_no_edge_cuts_stops_nobody():
    """Where stable never fails it takes a second one, and two seconds of one are not two."""
    one = trial(ONE_POINT)
    for interval in seconds(ONE_POINT, [(20, 0, 180, 0)] * 60):
        one.add(interval)

    for at, bad in enumerate((3, 9, 4, 0, 0), 60):
        one.add(Interval(Tally(20, bad), Tally(180, 0), float(at), at + 1.0))
        assert one.harm() < -math.log(ALPHA)


@given(st.lists(tallies, min_size=2, max_size=2), st.booleans(), st.sampled_from([NO_INCREASE, FIXED, TAIL]))
def test_a_block_is_stored_bit_by_bit(several, alone, of):
    """As floats in the state of the gate."""
    first, then = seconds(of, several)
    block = blocks.joined(first, then)

    assert block is not None
    assert blocks.of_floats(blocks.to_floats(replace(block, alone=alone))) == replace(block, alone=alone)


def test_what_cannot_be_added_up_begins_another_block():
    """Other bounds, a gate that is held against stable no more, traffic that is all on the new version."""
    first = Interval(Tally(10, 0, (4, 1, 0)), Tally(100, 0, (9, 3, 1)), 0.0, 1.0, BOUNDS)
    then = replace(first, start=1.0, end=2.0)

    assert blocks.joined(first, then) is not None
    assert blocks.joined(first, replace(then, bounds=(0.1, 0.5, 2.0))) is None
    assert blocks.joined(first, replace(then, stable=None)) is None
    assert blocks.joined(first, replace(then, alone=True)) is None


def bursts(rng: random.Random, length: int, per_second: float, within: float) -> list[int]:
    """Bad requests of each second: groups of geometric size with mean 5, each spread over a time that edges cut."""
    found = [0] * (length + 9)
    at = rng.expovariate(per_second / 5)
    while at < length:
        for _ in range(1 + int(math.log(1 - rng.random()) / math.log(1 - 1 / 5))):
            found[int(at + within * rng.random())] += 1
        at += rng.expovariate(per_second / 5)
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize(("within", "down"), [(1.0, 300), (3.0, 600)], ids=["and an outage", "longer than a second"])
def test_bursts_that_seconds_cut_stop_no_good_version(within, down):
    """1% errors in bursts of both versions, and 20 s in which everything fails. Second by second half of them were stopped."""
    failed = 0
    for seed in range(20):
        rng, one = random.Random(seed), trial(NO_INCREASE)
        ours, theirs = bursts(rng, 600, 0.05, within), bursts(rng, 600, 0.45, within)
        for at in range(600):
            bad = (5, 45) if down <= at < down + 20 else (min(5, ours[at]), min(45, theirs[at]))
            one.add(Interval(Tally(5, bad[0]), Tally(45, bad[1]), float(at), at + 1.0))
            if one.harm() >= -math.log(ALPHA):
                failed += 1
                break

    assert failed <= 1
