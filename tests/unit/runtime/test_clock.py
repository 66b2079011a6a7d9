"""The manual clock stands still until it is moved, and wakes whoever is due."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.runtime.clock import ManualClock, SystemClock


def test_stands_still_until_moved():
    """Both hands move by what `advance` says."""
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    started = clock.monotonic()

    clock.advance(90)

    assert datetime(2026, 5, 1, 0, 1, 30, tzinfo=UTC) == clock.now()
    assert 90 == clock.monotonic() - started


def test_wall_clock_can_be_stepped_alone():
    """A step of the wall clock does not touch the monotonic one."""
    clock = ManualClock()
    wall, monotonic = clock.now(), clock.monotonic()

    clock.step_wall(-3600)

    assert wall - timedelta(hours=1) == clock.now()
    assert monotonic == clock.monotonic()


def test_does_not_go_back():
    """A monotonic clock cannot go back."""
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)


async def test_sleepers_wake_when_due():
    """A sleeper wakes when its time has come and not before."""
    clock = ManualClock()
    woken: list[str] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleep("late", 10))
        tasks.create_task(sleep("early", 5))
        await settle()
        clock.advance(5)
        await settle()

        assert ["early"] == woken
        assert 1 == clock.sleepers

        clock.advance(5)

    assert ["early", "late"] == woken


async def test_sleep_ends_early_when_woken():
    """An event ends the sleep before its time."""
    clock, wake = ManualClock(), asyncio.Event()
    sleeping = asyncio.create_task(clock.sleep(1000, wake=wake))
    await settle()

    wake.set()
    await sleeping

    assert 0 == clock.sleepers


async def test_system_clock_wakes_early_too():
    """The host's clock honours the event as well."""
    clock, wake = SystemClock(), asyncio.Event()
    wake.set()
    started = clock.monotonic()

    await clock.sleep(60, wake=wake)
    await clock.sleep(0.001, wake=asyncio.Event())
    await clock.sleep(0)

    assert clock.monotonic() - started < 30
    assert timedelta(0) == clock.now().utcoffset()


async def settle() -> None:
    """Lets everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)
