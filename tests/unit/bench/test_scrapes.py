"""The simulator of scrapes counts truly, and the same seed gives the same rollout."""

import itertools
import math
import random
from dataclasses import replace

import pytest
from bench.rollouts import NO_INCREASE, ONE_POINT
from bench.scrapes.ends import CELLS
from bench.scrapes.pods import Arm, arms
from bench.scrapes.rollout import Scraped
from bench.scrapes.scene import Course, Drift, Outage, Scene

from tidegate.backtest.traffic import Fault
from tidegate.prometheus.ledger import Events

SHORT = Scene(minutes=8)
SCENES = [
    pytest.param(SHORT, id="as usual"),
    pytest.param(replace(SHORT, scrape=60, look=1), id="seldom scraped"),
    pytest.param(replace(SHORT, replicas=2), id="two servers"),
    pytest.param(replace(SHORT, hidden=30), id="hidden"),
    pytest.param(replace(SHORT, gateway=True), id="a gateway"),
    pytest.param(replace(SHORT, bursts=5), id="bursts"),
    pytest.param(replace(SHORT, late=60, canary=2), id="late"),
    pytest.param(replace(SHORT, restarts=(20, 60)), id="restarts"),
]


@pytest.mark.parametrize("scene", SCENES)
def test_counters_fall_only_at_restarts(scene: Scene) -> None:
    """From scrape to scrape no counter falls, unless its process began anew."""
    falls = 0
    for arm in arms(scene, random.Random(1)):
        values = [sample.sighting.value for sample in arm.samples]
        assert all(isinstance(value, Events) and (value.bad or 0) <= value.total for value in values)
        totals = [value.total for value in values if isinstance(value, Events)]
        falls += sum(after < before for before, after in itertools.pairwise(totals))

    assert (falls > 0) == (scene.restarts is not None)


@pytest.mark.parametrize("scene", SCENES)
def test_the_truth_adds_up(scene: Scene) -> None:
    """What scrapes have seen is never more than what there was, and all of it where nothing restarts."""
    for arm in arms(scene, random.Random(2)):
        first, last = arm.samples[0], arm.samples[-1]
        served = arm.served(-math.inf if arm.of_canary else first.at, last.at, random.Random(3), bad=False)
        before = 0.0 if arm.of_canary else first.true

        assert served == last.true - before
        assert last.scraped <= last.true + _history(arm)
        if scene.restarts is None:
            assert last.scraped - first.scraped == last.true - first.true


def _history(arm: Arm) -> float:
    first = arm.samples[0]
    return 0.0 if arm.of_canary else first.scraped - first.true


@pytest.mark.parametrize("scene", SCENES)
def test_the_same_seed_gives_the_same_rollout(scene: Scene) -> None:
    """Rollouts are the same whenever they are run, and differ from each other."""
    job = Scraped(scene, (NO_INCREASE,))

    first, second, third = job([1]), job([1]), job([2])

    assert first == second
    assert first != third


def test_requests_fail_as_they_should() -> None:
    """Over many pods the errors of outages, of a drift and of a fault are those that were asked for."""
    scene = Scene(
        minutes=16, outages=(Outage(120, 60, 1.0), Outage(240, 20, 0.3)), drift=Drift(0.01, 0.05, 300, 600), fault=Fault(5, 600)
    )
    spans = ((120, 180), (240, 260), (300, 600), (600, 900))
    found = {True: [0.0] * 4, False: [0.0] * 4}
    for seed in range(20):
        for arm in arms(scene, random.Random(seed)):
            for place, (begin, end) in enumerate(spans):
                found[arm.of_canary][place] += arm.served(begin, end, random.Random(seed), bad=True) / 20

    # 5 requests a second; on average 3% fail in each half of the drift, and with the fault five times as many.
    wanted = [300, 20 * 5 * (0.3 + 0.7 * 0.01), 300 * 5 * 0.03, 300 * 5 * 0.15]
    assert found[True] == pytest.approx(wanted, rel=0.15)
    wanted[3] /= 5
    assert found[False] == pytest.approx([9 * number for number in wanted], rel=0.05)


def test_a_course_is_exact_across_its_turns() -> None:
    """An interval that an outage cuts holds the part of it that lies within."""
    course = Course(replace(SHORT, outages=(Outage(100, 10, 0.5, every=100),)))

    alone, together = (after - before for before, after in zip(course.until(195), course.until(205), strict=True))

    assert alone == pytest.approx(5 * 0.5)
    assert together == pytest.approx(5 * 0.01 + 5 * 0.5 * 0.01)


@pytest.mark.parametrize(
    ("scene", "gate"),
    [
        pytest.param(replace(SHORT, fault=Fault(5), stable=9), NO_INCREASE, id="no increase"),
        pytest.param(replace(SHORT, fault=Fault(math.inf, 120)), ONE_POINT, id="one point"),
        pytest.param(replace(CELLS[3].scene, scrape=5, look=10, minutes=4), CELLS[3].gate, id="latency"),
    ],
)
def test_tests_in_memory_stop_where_the_whole_judge_stops(scene: Scene, gate: object) -> None:
    """Keeping the tests in memory, instead of in the status, changes no verdict and no time."""
    short, whole = (Scraped(scene, (gate,), whole=whole)([1, 2]) for whole in (False, True))  # type: ignore[arg-type]

    assert short == whole
