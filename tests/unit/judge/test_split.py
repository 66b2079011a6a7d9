"""Whether a split does harm: stable against itself, minutes before and since."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tidegate.judge.reading import Around, Tally
from tidegate.judge.split import ALPHA, Finding, in_words, judged

SPLIT = datetime(2026, 1, 1, 12, 3, 10, tzinfo=UTC)


def around(
    before: tuple[float, float], after: tuple[float, float], *, lately: tuple[float, float] = (0, 0), seconds: float = 10
) -> Around:
    return Around(Tally(*before), Tally(*lately), Tally(*after), since=SPLIT, seconds=seconds, seconds_before=300)


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        ((3000, 0), (20, 20), 2),  # all fail, of a calm service
        ((3000, 3), (100, 34), 10),  # one of three pods cannot be reached
        ((300_000, 300), (30_000, 15_000), 30),  # a port that half of the requests need
        ((300, 0), (60, 60), 60),  # one request a second
        ((3000, 300), (200, 200), 20),  # a service that always fails a little
        ((3000, 30), (1000, 250), 100),
    ],
)
def test_what_did_not_fail_before_is_harm(before: tuple[float, float], after: tuple[float, float], seconds: float):
    """Given hardly any failures before, when many requests fail since, then the split has done it."""
    assert judged(around(before, after, seconds=seconds), alpha=ALPHA) is Finding.HARM


@pytest.mark.parametrize(
    ("before", "after", "lately"),
    [
        ((0, 0), (100, 100), (0, 0)),  # nothing is known of before: it may always have been so
        ((5, 0), (5, 5), (0, 0)),  # too few requests
        ((3000, 0), (4, 4), (0, 0)),
        ((3000, 0), (300, 6), (0, 0)),  # 2% of burst
        ((3000, 1500), (300, 200), (0, 0)),  # a service that is broken anyway
        ((3000, 60), (300, 300), (600, 60)),  # 20% of the last minute, then
        ((3000, 0), (0, 0), (0, 0)),
        ((3000, float("nan")), (10, 10), (0, 0)),
        ((3000, 0), (10, float("inf")), (0, 0)),
        ((3000, 5000), (10, 10), (0, 0)),
    ],
)
def test_what_is_not_plain_is_none(before: tuple[float, float], after: tuple[float, float], lately: tuple[float, float]):
    """What is too little, was so before, or is no number, is no harm that the split has done."""
    seconds = 10 if lately == (0, 0) else 1
    assert judged(around(before, after, lately=lately, seconds=seconds), alpha=ALPHA) is not Finding.HARM


@pytest.mark.parametrize(
    ("before", "after", "seconds", "over"),
    [
        ((3000, 0), (600, 0), 60, True),
        ((3000, 30), (600, 6), 60, True),
        ((300_000, 300), (60_000, 60), 60, True),
        ((3000, 0), (600, 0), 30, False),  # data planes take a while
        ((3000, 0), (20, 0), 60, False),  # too few requests
        ((3000, 0), (600, 60), 60, False),  # one in ten fails since
        ((0, 0), (600, 0), 60, False),  # nothing is known of before
        ((3000, 0), (600, float("nan")), 60, False),
    ],
)
def test_a_minute_without_harm_settles_it(before: tuple[float, float], after: tuple[float, float], seconds: float, over: bool):
    """Given so many requests that went through the split as they had gone before, then no harm is thought of any more."""
    assert (judged(around(before, after, seconds=seconds), alpha=ALPHA) is Finding.HARMLESS) is over


def test_an_outage_that_began_before_is_not_the_splits():
    """Given requests that all failed for half a minute before the split, when all go on failing, the split has not done it."""
    assert judged(around((3000, 0), (100, 100)), alpha=ALPHA) is Finding.HARM
    assert judged(around((3000, 300), (100, 100), lately=(600, 300)), alpha=ALPHA) is not Finding.HARM


@pytest.mark.parametrize("rate", [1, 30, 1000])
@pytest.mark.parametrize("share", [0.001, 0.05])
@pytest.mark.parametrize("burst", [1, 5])
def test_steady_services_are_hardly_ever_stopped(rate: int, share: float, burst: int):
    """Of 200 rollouts of a service with a steady share of failures in bursts, looked at every 10 s, at most one is stopped."""
    drawn = random.Random(f"{rate} {share} {burst}")

    def seconds(count: int) -> Tally:
        total = rate * count
        mean = total * share / burst
        bad = burst * max(0, round(drawn.gauss(mean, mean**0.5))) if mean > 30 else burst * _poisson(drawn, mean)
        return Tally(total, min(bad, total))

    stopped = 0
    for _ in range(200):
        earlier, lately, after = seconds(240), seconds(60), Tally(0, 0)
        before = Tally(earlier.total + lately.total, earlier.bad + lately.bad)
        for look in range(1, 31):
            more = seconds(10)
            after = Tally(after.total + more.total, after.bad + more.bad)
            if judged(Around(before, lately, after, SPLIT, 10.0 * look, 300), alpha=ALPHA) is Finding.HARM:
                stopped += 1
                break

    assert stopped <= 1


def _poisson(drawn: random.Random, mean: float) -> int:
    count, waited = 0, drawn.expovariate(1.0)
    while waited < mean:
        count, waited = count + 1, waited + drawn.expovariate(1.0)
    return count


def test_the_sentence_has_both_sides_and_the_moment():
    """The words say what failed since when, and what failed before."""
    found = around((1000, 1), (100, 90))

    assert in_words("error rate", found) == (
        "error rate of stable 90% (90 of 100 requests) since the split at 12:03:10 UTC, 0.1% (1 of 1,000) of the same pods in the "
        "5 min before"
    )
