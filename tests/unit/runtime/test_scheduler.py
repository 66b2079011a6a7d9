"""Each key is due once, at its latest due time, whatever the host does to its clock."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.clock import ManualClock, Moment
from tidegate.runtime.scheduler import SLICE, Scheduler


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scheduler(clock: ManualClock) -> Scheduler[str]:
    return Scheduler(clock)


def in_seconds(clock: ManualClock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


def test_due_in_order_of_time(scheduler: Scheduler[str], clock: ManualClock):
    """The key that has been due longest comes first."""
    scheduler.set("late", in_seconds(clock, 20), Moment.of(clock))
    scheduler.set("early", in_seconds(clock, 10), Moment.of(clock))

    assert [] == scheduler.pop_due()
    clock.advance(20)
    assert ["early", "late"] == scheduler.pop_due()
    assert [] == scheduler.pop_due()


def test_later_setting_replaces_the_earlier(scheduler: Scheduler[str], clock: ManualClock):
    """A key has one due time: the last that was set."""
    scheduler.set("a", in_seconds(clock, 5), Moment.of(clock))
    scheduler.set("a", in_seconds(clock, 50), Moment.of(clock))

    clock.advance(5)
    assert [] == scheduler.pop_due()
    clock.advance(45)
    assert ["a"] == scheduler.pop_due()


def test_none_removes(scheduler: Scheduler[str], clock: ManualClock):
    """A key with nothing to wait for is not fired."""
    scheduler.set("a", in_seconds(clock, 5), Moment.of(clock))
    scheduler.set("a", None, Moment.of(clock))
    clock.advance(10)

    assert [] == scheduler.pop_due()
    assert 0 == len(scheduler)
    assert scheduler.next_in() is None


def test_past_is_due_at_once(scheduler: Scheduler[str], clock: ManualClock):
    """After a restart, what should have happened meanwhile happens now."""
    scheduler.set("a", in_seconds(clock, -100), Moment.of(clock))

    assert 0.0 == scheduler.next_in()
    assert ["a"] == scheduler.pop_due()


def test_naive_time_is_refused(scheduler: Scheduler[str], clock: ManualClock):
    """A due time without a zone is a bug."""
    with pytest.raises(ValueError, match="time zone"):
        scheduler.set("a", datetime(2026, 1, 1), Moment.of(clock))  # noqa: DTZ001 - naive on purpose


def test_step_back_does_not_stretch_a_running_timer(scheduler: Scheduler[str], clock: ManualClock):
    """An hour back on the host's clock is not an hour without a look at the canary."""
    scheduler.set("a", in_seconds(clock, 30), Moment.of(clock))

    clock.step_wall(-3600)
    clock.advance(30)

    assert ["a"] == scheduler.pop_due()


def test_step_forward_makes_due_what_it_jumped_over(scheduler: Scheduler[str], clock: ManualClock):
    """A release window that has opened by the wall clock is open, however the clock got there."""
    scheduler.set("soon", in_seconds(clock, 1800), Moment.of(clock))
    scheduler.set("later", in_seconds(clock, 7200), Moment.of(clock))

    clock.step_wall(3600)

    assert ["soon"] == scheduler.pop_due()
    assert 3600.0 == scheduler.next_in()


@pytest.mark.parametrize("step", [-3600, 3600])
def test_step_between_reckoning_and_setting_delays_nothing(scheduler: Scheduler[str], clock: ManualClock, step: float):
    """A due time that was reckoned by a clock that has been stepped since comes when it would have come, at the latest."""
    reckoned, due = Moment.of(clock), in_seconds(clock, 30)

    clock.step_wall(step)
    clock.advance(10)
    assert [] == scheduler.pop_due()
    scheduler.set("a", due, reckoned)
    clock.advance(20)

    assert ["a"] == scheduler.pop_due()


def test_wait_in_seconds_ignores_the_wall_clock(scheduler: Scheduler[str], clock: ManualClock):
    """A back-off is a length of time, not a moment."""
    scheduler.set_after("a", 30)

    clock.step_wall(3600)

    assert [] == scheduler.pop_due()
    assert scheduler.due("a") is None
    clock.advance(30)
    assert ["a"] == scheduler.pop_due()


def test_heap_does_not_grow_with_resets(scheduler: Scheduler[str], clock: ManualClock):
    """A key that is set anew a thousand times takes the room of a few."""
    for number in range(1000):
        scheduler.set("a", in_seconds(clock, 1000 + number), Moment.of(clock))

    assert len(scheduler._heap) < 100
    assert in_seconds(clock, 1999) == scheduler.due("a")


async def test_run_fires_and_sleeps_until_the_next(scheduler: Scheduler[str], clock: ManualClock):
    """The loop fires what is due, sleeps, and is woken by an earlier due time."""
    fired: list[str] = []
    scheduler.set("a", in_seconds(clock, 5), Moment.of(clock))
    running = asyncio.create_task(scheduler.run(fired.append))
    await settle()
    assert [] == fired

    clock.advance(5)
    await settle()
    assert ["a"] == fired

    scheduler.set("b", in_seconds(clock, 9), Moment.of(clock))
    scheduler.set("c", in_seconds(clock, 3), Moment.of(clock))
    await settle()
    clock.advance(3)
    await settle()
    assert ["a", "c"] == fired

    clock.step_wall(3600)
    clock.advance(SLICE)
    await settle()
    assert ["a", "c", "b"] == fired
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.sampled_from("abcd"), st.integers(-50, 500)),
            st.tuples(st.just("unset"), st.sampled_from("abcd"), st.just(0)),
            st.tuples(st.just("advance"), st.just(""), st.integers(0, 200)),
            st.tuples(st.just("step"), st.just(""), st.integers(-5000, 5000)),
        ),
        max_size=60,
    )
)
def test_never_late_by_either_clock(steps: list[tuple[str, str, int]]):
    """Whatever is set, stepped and waited: after a look, nothing that is set is overdue by the wall clock or in fact."""
    clock = ManualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    asked: dict[str, tuple[datetime, float]] = {}
    for what, key, amount in steps:
        match what:
            case "set":
                due = in_seconds(clock, amount)
                if key not in asked or asked[key][0] != due:
                    asked[key] = (due, clock.monotonic() + max(0, amount))
                scheduler.set(key, due, Moment.of(clock))
            case "unset":
                asked.pop(key, None)
                scheduler.set(key, None, Moment.of(clock))
            case "advance":
                clock.advance(amount)
            case _:
                clock.step_wall(amount)
        for fired in scheduler.pop_due():
            del asked[fired]
        for due, deadline in asked.values():
            assert clock.monotonic() < deadline + 1e-6
            assert due > clock.now()
        assert len(asked) == len(scheduler)


async def settle() -> None:
    """Lets everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)
