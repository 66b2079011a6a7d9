"""Each key is due once, at its latest due time, whatever the host does to its clock."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.clock import ManualClock
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
    scheduler.set("late", in_seconds(clock, 20))
    scheduler.set("early", in_seconds(clock, 10))

    assert [] == scheduler.pop_due()
    clock.advance(20)
    assert ["early", "late"] == scheduler.pop_due()
    assert [] == scheduler.pop_due()


def test_later_setting_replaces_the_earlier(scheduler: Scheduler[str], clock: ManualClock):
    """A key has one due time: the last that was set."""
    scheduler.set("a", in_seconds(clock, 5))
    scheduler.set("a", in_seconds(clock, 50))

    clock.advance(5)
    assert [] == scheduler.pop_due()
    clock.advance(45)
    assert ["a"] == scheduler.pop_due()


def test_none_removes(scheduler: Scheduler[str], clock: ManualClock):
    """A key with nothing to wait for is not fired."""
    scheduler.set("a", in_seconds(clock, 5))
    scheduler.set("a", None)
    clock.advance(10)

    assert [] == scheduler.pop_due()
    assert 0 == len(scheduler)
    assert scheduler.next_in() is None


def test_past_is_due_at_once(scheduler: Scheduler[str], clock: ManualClock):
    """After a restart, what should have happened meanwhile happens now."""
    scheduler.set("a", in_seconds(clock, -100))

    assert 0.0 == scheduler.next_in()
    assert ["a"] == scheduler.pop_due()


def test_naive_time_is_refused(scheduler: Scheduler[str]):
    """A due time without a zone is a bug."""
    with pytest.raises(ValueError, match="time zone"):
        scheduler.set("a", datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose


def test_step_back_does_not_stretch_a_running_timer(scheduler: Scheduler[str], clock: ManualClock):
    """An hour back on the host's clock is not an hour without a look at the canary."""
    scheduler.set("a", in_seconds(clock, 30))

    clock.step_wall(-3600)
    clock.advance(30)

    assert ["a"] == scheduler.pop_due()


def test_step_forward_makes_due_what_it_jumped_over(scheduler: Scheduler[str], clock: ManualClock):
    """A release window that has opened by the wall clock is open, however the clock got there."""
    scheduler.set("soon", in_seconds(clock, 1800))
    scheduler.set("later", in_seconds(clock, 7200))

    clock.step_wall(3600)

    assert ["soon"] == scheduler.pop_due()
    assert 3600.0 == scheduler.next_in()


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
        scheduler.set("a", in_seconds(clock, 1000 + number))

    assert len(scheduler._heap) < 100
    assert in_seconds(clock, 1999) == scheduler.due("a")


async def test_run_fires_and_sleeps_until_the_next(scheduler: Scheduler[str], clock: ManualClock):
    """The loop fires what is due, sleeps, and is woken by an earlier due time."""
    fired: list[str] = []
    scheduler.set("a", in_seconds(clock, 5))
    running = asyncio.create_task(scheduler.run(fired.append))
    await settle()
    assert [] == fired

    clock.advance(5)
    await settle()
    assert ["a"] == fired

    scheduler.set("b", in_seconds(clock, 9))
    scheduler.set("c", in_seconds(clock, 3))
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
                scheduler.set(key, due)
            case "unset":
                asked.pop(key, None)
                scheduler.set(key, None)
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
