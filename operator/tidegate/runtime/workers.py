"""The workers: they take keys from the queue, run one pass over each, and alone decide what an error means."""

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import structlog

from tidegate.runtime.clock import Clock
from tidegate.runtime.errors import Outcome, outcome_of, retry_after
from tidegate.runtime.queue import KeyedQueue, Lane
from tidegate.runtime.scheduler import Scheduler

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger(__name__)

URGENT_RETRY = 1.0
"""Longest wait in seconds before a pass that takes traffic from a bad version is tried again, whatever it was refused for."""

GIVE_WAY = 0.03
"""Seconds from the start of an urgent pass in which no other begins: about what it takes to decide, and to send one request."""

PASS_TIMEOUT = 120.0
"""Seconds after which a pass counts as hung. Every request within it has a shorter timeout of its own."""


class _Busy(enum.Enum):
    IDLE = enum.auto()
    WORKING = enum.auto()


class Workers(Generic[K]):
    """A fixed number of worker coroutines over one queue, some of them for its urgent lane alone.

    What a pass decides takes milliseconds during which nothing is sent or received. So passes begin one by one, a turn of
    the event loop apart, and others give way for a moment to one that is urgent. If all workers decided in one turn, the
    first request of a pass that takes traffic from a bad version would be sent after the last decision of all.

    A pass that returns resets its key's back-off. `Retry` brings the key back after the time it asks for, or after the
    back-off. `Terminal` leaves the key alone until something adds it. Anything else is a bug: logged with its
    traceback and backed off. A key that failed comes back in the lane it was taken from, so that a rollback that met a
    conflict stays urgent.

    Args:
        queue: where keys come from.
        reconcile: one pass over a key.
        count: how many passes may run at once.
        urgent: how many more may, of keys that are urgent: passes that hang must not be in their way.
        clock: measures passes and waits for retries.
        on_error: told of every pass that failed, with its error, before the key is scheduled again.
        on_done: told of every pass that ended: key, outcome, seconds.
        on_in_flight: told of the number of passes that run whenever it changes.
        timeout: seconds after which a pass is cancelled and counts as a bug.
    """

    def __init__(
        self,
        queue: KeyedQueue[K],
        reconcile: Callable[[K], Awaitable[None]],
        *,
        count: int,
        urgent: int = 0,
        clock: Clock,
        on_error: Callable[[K, BaseException], None] | None = None,
        on_done: Callable[[K, Outcome, float], None] | None = None,
        on_in_flight: Callable[[int], None] | None = None,
        timeout: float = PASS_TIMEOUT,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._lowest = [*[Lane.LOW] * count, *[Lane.URGENT] * urgent]
        self._clock = clock
        self._on_error = on_error
        self._on_done = on_done
        self._on_in_flight = on_in_flight
        self._timeout = timeout
        self._rushing = 0
        self._rushed = float("-inf")
        self._calm = asyncio.Event()
        self._turns = {urgent: asyncio.Lock() for urgent in (True, False)}
        self._retries: Scheduler[K] = Scheduler(clock)
        self._retry_lanes: dict[K, Lane] = {}
        self._started: dict[K, float] = {}
        self._tasks: dict[asyncio.Task[None], _Busy] = {}
        self._timer: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether every worker is alive."""
        return len(self._tasks) == len(self._lowest) and not any(task.done() for task in self._tasks)

    @property
    def stopping(self) -> bool:
        """Whether no keys are taken any more."""
        return self._stopping

    def in_flight(self) -> int:
        """How many passes run now."""
        return len(self._started)

    def longest_pass(self) -> float:
        """Seconds since the start of the pass that has run longest; 0.0 if none runs."""
        return self._clock.monotonic() - min(self._started.values(), default=self._clock.monotonic())

    def start(self) -> None:
        """Starts the workers on the running loop.

        Raises:
            RuntimeError: if they run already.
        """
        if self._tasks:
            raise RuntimeError("the workers run already")
        self._stopping = False
        self._timer = asyncio.create_task(self._retries.run(self._add_again), name="worker-retries")
        for number, lowest in enumerate(self._lowest):
            self._tasks[asyncio.create_task(self._work(lowest), name=f"worker-{number}")] = _Busy.IDLE

    async def stop(self, *, within: float) -> bool:
        """Takes no new keys, lets running passes finish, and cancels those that are still at it after `within` seconds.

        Args:
            within: seconds; 0 cancels at once, as the loss of leadership demands.

        Returns:
            Whether every running pass finished by itself.
        """
        self._stopping = True
        busy = [task for task, state in self._tasks.items() if state is _Busy.WORKING]
        for task, state in self._tasks.items():
            if state is _Busy.IDLE:
                task.cancel()
        cut_short: set[asyncio.Task[None]] = set(busy)
        if busy and within > 0:
            finishing = asyncio.gather(*busy, return_exceptions=True)
            finished = asyncio.Event()
            finishing.add_done_callback(lambda _: finished.set())
            await self._clock.sleep(within, wake=finished)
            cut_short = {task for task in busy if not task.done()}
        everything = [*self._tasks, *([self._timer] if self._timer else [])]
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        self._tasks.clear()
        self._timer = None
        self._retry_lanes.clear()
        return not cut_short

    async def _work(self, lowest: Lane) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a worker needs a task")
        while not self._stopping:
            key = await self._queue.get(lowest)
            self._tasks[task] = _Busy.WORKING
            self._started[key] = self._clock.monotonic()
            self._report_in_flight()
            try:
                await self._process(key)
            finally:
                del self._started[key]
                self._queue.done(key)
                self._report_in_flight()
                self._tasks[task] = _Busy.IDLE

    async def _process(self, key: K) -> None:
        started = self._clock.monotonic()
        outcome = Outcome.DONE
        try:
            async with asyncio.timeout(self._timeout), self._turn(urgent=self._queue.lane(key) is Lane.URGENT):
                await self._reconcile(key)
            self._rest(key)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Somebody inside the pass awaited a task that was cancelled: that is a bug in it, not our shutdown.
            outcome = self._failed(key, error)
        except Exception as error:  # noqa: BLE001 - the one place where every error is mapped
            outcome = self._failed(key, error)
        if self._on_done is not None:
            self._guard(self._on_done, key, outcome, self._clock.monotonic() - started)

    @asynccontextmanager
    async def _turn(self, *, urgent: bool) -> AsyncIterator[None]:
        left = self._rushed + GIVE_WAY - self._clock.monotonic()
        if not urgent and self._rushing and left > 0:
            await self._clock.sleep(left, wake=self._calm)
        async with self._turns[urgent]:
            await asyncio.sleep(0)
        if not urgent:
            yield
            return
        self._rushing, self._rushed = self._rushing + 1, self._clock.monotonic()
        self._calm.clear()
        try:
            yield
        finally:
            self._rushing -= 1
            if not self._rushing:
                self._calm.set()

    def _failed(self, key: K, error: BaseException) -> Outcome:
        outcome = outcome_of(error)
        if self._on_error is not None:
            self._guard(self._on_error, key, error)
        match outcome:
            case Outcome.TERMINAL:
                log.warning("pass gave up", key=str(key), reason=str(error))
                self._rest(key)
            case Outcome.RETRY:
                # A wait that the error names is no failure to count: it may be the fifth look at a route in the making.
                after = retry_after(error)
                delay = self._queue.retry(key) if after is None else after
                log.info("pass will be tried again", key=str(key), reason=str(error), after=round(delay, 3))
                self._schedule(key, delay)
            case _:
                delay = self._queue.retry(key)
                log.error("pass failed", key=str(key), after=round(delay, 3), exc_info=error)
                self._schedule(key, delay)
        return outcome

    def _rest(self, key: K) -> None:
        self._queue.forget(key)
        self._retries.drop(key)
        self._retry_lanes.pop(key, None)

    def _schedule(self, key: K, delay: float) -> None:
        lane = self._queue.lane(key)
        # A pass that something else has brought about, and that failed as well, makes what is waited for no less urgent.
        lane = min(Lane.NORMAL if lane is None else lane, self._retry_lanes.get(key, Lane.LOW))
        self._retry_lanes[key] = lane
        self._retries.set_after(key, min(delay, URGENT_RETRY) if lane is Lane.URGENT else delay)

    def _add_again(self, key: K) -> None:
        self._queue.add(key, self._retry_lanes.pop(key, Lane.NORMAL))

    def _report_in_flight(self) -> None:
        if self._on_in_flight is not None:
            self._guard(self._on_in_flight, len(self._started))

    @staticmethod
    def _guard(hook: Callable[..., None], *arguments: object) -> None:
        """Calls a hook; an error in it must not take a worker down."""
        try:
            hook(*arguments)
        except Exception:
            log.exception("hook failed", hook=getattr(hook, "__qualname__", repr(hook)))
