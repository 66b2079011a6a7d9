"""Looks of gates on counters: from where on they count, in the first life of an operator and in the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.controller.looks.looks import Looks
from tidegate.controller.looks.subject import Subject
from tidegate.engine.plan import Look
from tidegate.runtime.clock import ManualClock, Moment
from unit.controller.api_server import settled
from unit.controller.test_looks import KEY, NAMES, Prometheus


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def prometheus(clock: ManualClock) -> Prometheus:
    return Prometheus(clock)


@pytest.fixture
def arrived() -> list:
    return []


@pytest.fixture
async def looks(clock: ManualClock, prometheus: Prometheus, arrived: list) -> AsyncIterator[Looks]:
    looks = Looks(clock=clock, reader=prometheus, arrived=lambda key, lane: arrived.append((key, lane)))
    running = asyncio.create_task(looks.run())
    await asyncio.sleep(0)
    yield looks
    running.cancel()


COUNTED = Gate.model_validate(
    {
        "name": "counted",
        "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
        "threshold": {"max": 0.01},
        "initialDelay": "2s",
    }
)


async def test_counters_are_read_first_as_soon_as_they_count(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given a gate on counters, its first reading comes when the warm-up is over, and is no look."""
    prometheus.unprimed.add("counted")
    began = clock.now()
    watch = Subject({"counted": COUNTED}, NAMES, "bbbb", began)
    looks.plan(KEY, [Look("counted", began + timedelta(seconds=30))], watch, Moment.of(clock))

    clock.advance(2)
    await settled(lambda: len(prometheus.asked) == 1)
    assert not arrived

    clock.advance(31)
    await settled(lambda: len(arrived) == 1)
    assert [(at - began).total_seconds() > 30 for _, _, at in prometheus.asked] == [False, True]


def left(at: datetime, began: datetime) -> Subject:
    """A rollout under a gate on counters that was looked at by an operator before this one."""
    state = GateStatus(name="counted", verdict=Verdict.PASS, limit="", samples=0, message="", at=at)
    return Subject({"counted": COUNTED}, NAMES, "bbbb", began, states={"counted": state})


async def test_counting_goes_on_where_an_operator_before_has_stopped(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given a look by an operator that has ended, counters are read as of then, and the first look here is judged at once."""
    prometheus.unprimed.add("counted")
    began = clock.now()
    clock.advance(60)
    last = clock.now()
    clock.advance(20)

    looks.plan(KEY, [Look("counted", last + timedelta(seconds=30))], left(last, began), Moment.of(clock))
    clock.advance(3)
    await settled(lambda: len(arrived) == 1)

    assert [("counted", last)] == prometheus.resumed
    assert [True] == prometheus.counted
    assert [0.0] == [arrival.reading.canary for arrival in looks.waiting(KEY)]


async def test_what_a_process_has_counted_that_left_no_look_is_counted_again(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given an operator that ended right after the first weight, all since the warm-up counts in the next one's first look."""
    prometheus.unprimed.add("counted")
    exposed = clock.now()
    clock.advance(35)

    subject = Subject({"counted": COUNTED}, NAMES, "bbbb", exposed, begun=clock.now())
    looks.plan(KEY, [Look("counted", clock.now() + timedelta(seconds=30))], subject, Moment.of(clock))
    clock.advance(3)
    await settled(lambda: len(arrived) == 1)

    assert [("counted", exposed + COUNTED.initial_delay)] == prometheus.resumed
    assert [False] == prometheus.counted
    assert [0.0] == [arrival.reading.canary for arrival in looks.waiting(KEY)]


@pytest.mark.parametrize(
    ("began", "restarted"),
    [(0, 1), (0, 2), (0, 700), (5, 5), (5, 0)],
    ids=["within the warm-up", "as it ends", "long ago", "this process gave the weight", "and knew the Release before"],
)
async def test_counting_begins_here_where_no_other_process_has_counted_lately(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list, began: int, restarted: int
) -> None:
    """Given no look, and a warm-up that ended under this process or long ago, the first reading only finds where counters begin."""
    prometheus.unprimed.add("counted")
    beginning = clock.now()
    clock.advance(max(began, restarted))

    exposed, begun = beginning + timedelta(seconds=began), beginning + timedelta(seconds=restarted)
    subject = Subject({"counted": COUNTED}, NAMES, "bbbb", exposed, begun=begun)
    looks.plan(KEY, [Look("counted", clock.now() + timedelta(seconds=30))], subject, Moment.of(clock))
    clock.advance(3)
    await settled(lambda: len(prometheus.asked) == 1)

    assert [] == prometheus.resumed
    assert [] == arrived


async def test_counting_begins_anew_after_a_long_time_without_an_operator(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given a last look of long ago, the first reading only finds where the counters begin."""
    prometheus.unprimed.add("counted")
    began = clock.now()
    clock.advance(60)
    last = clock.now()
    clock.advance(3600)

    looks.plan(KEY, [Look("counted", clock.now())], left(last, began), Moment.of(clock))
    clock.advance(3)
    await settled(lambda: len(prometheus.asked) == 1)

    assert [] == prometheus.resumed
    assert [] == arrived


async def test_counting_goes_on_once(looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list) -> None:
    """Given counters that are to count anew, as after a step of the clock, they do: what was left behind is taken up once."""
    began = clock.now()
    clock.advance(60)
    looks.plan(KEY, [Look("counted", clock.now())], left(clock.now(), began), Moment.of(clock))
    clock.advance(3)
    await settled(lambda: len(arrived) == 1)
    looks.recount(KEY)
    prometheus.unprimed.add("counted")

    clock.advance(30)
    looks.plan(KEY, [Look("counted", clock.now())], left(clock.now() - timedelta(seconds=30), began), Moment.of(clock))
    clock.advance(3)
    await settled(lambda: len(prometheus.asked) == 2)

    assert [] == prometheus.resumed
