"""Time, injected: one protocol, the system's clock, and a clock for tests that moves only when told."""

import asyncio
import heapq
import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where the program reads the time and waits for it to pass."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back and ignores steps of the wall clock."""
        ...

    async def sleep(self, seconds: float, *, wake: asyncio.Event | None = None) -> None:
        """Returns after `seconds`, or earlier as soon as `wake` is set."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment, by both clocks: times that are reckoned from it stay right when the wall clock is stepped afterwards.

    Attributes:
        wall: the wall clock, aware.
        monotonic: the monotonic clock, in seconds.
    """

    wall: datetime
    monotonic: float

    @classmethod
    def of(cls, clock: Clock) -> "Moment":
        """Return the present."""
        return cls(clock.now(), clock.monotonic())

    @property
    def offset(self) -> float:
        """Seconds by which the wall clock is ahead of the monotonic one."""
        return self.wall.timestamp() - self.monotonic

    def wall_at(self, monotonic: float) -> datetime:
        """Return what the wall clock shows at a moment of the monotonic one, in seconds, unless it is stepped."""
        return self.wall + timedelta(seconds=monotonic - self.monotonic)

    def monotonic_at(self, wall: datetime) -> float:
        """Return when the wall clock shows a time unless it is stepped, on the monotonic one, in seconds."""
        return self.monotonic + (wall - self.wall).total_seconds()


class SystemClock:
    """The clock of the host."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the host's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float, *, wake: asyncio.Event | None = None) -> None:
        """Returns after `seconds`, or earlier as soon as `wake` is set."""
        if wake is None:
            await asyncio.sleep(max(0.0, seconds))
            return
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await wake.wait()
        except TimeoutError:
            return


class BootClock(SystemClock):
    """The clock of the host, whose monotonic time goes on while the host is suspended, where there is such a clock (Linux).

    Time goes on, on any clock, while a process is stopped (SIGSTOP). A virtual machine that its hypervisor has stopped may find all
    of its clocks where they were.
    """

    def monotonic(self) -> float:
        """Seconds since the host was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ManualClock:
    """A clock that stands still until a test moves it.

    Args:
        start: what `now()` returns at first; aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start.astimezone(UTC)
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds, moved by `advance` only."""
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """How many `sleep` calls are waiting: lets a test see that a loop has come to rest."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass on both clocks and wakes the sleepers that are due.

        Raises:
            ValueError: if `seconds` is negative; a monotonic clock cannot go back.
        """
        if seconds < 0:
            raise ValueError("time does not go back; step_wall moves the wall clock alone")
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            heapq.heappop(self._sleepers)[2].set()

    def step_wall(self, seconds: float) -> None:
        """Steps the wall clock alone, as NTP or an operator's `date -s` does."""
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float, *, wake: asyncio.Event | None = None) -> None:
        """Returns once `advance` has moved past `seconds`, or as soon as `wake` is set."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = asyncio.Event()
        sleeper = (self._monotonic + seconds, next(self._order), due)
        heapq.heappush(self._sleepers, sleeper)
        waits = {asyncio.ensure_future(event.wait()) for event in (due, wake) if event is not None}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
