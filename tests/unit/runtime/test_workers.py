"""The workers map every error once, keep going whatever happens, and stop in good order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog

from tidegate.runtime.clock import ManualClock
from tidegate.runtime.errors import Outcome, Retry, Terminal, outcome_of, retry_after
from tidegate.runtime.queue import KeyedQueue, Lane
from tidegate.runtime.workers import URGENT_RETRY, Workers


class Stage:
    """A queue with workers whose passes do what the test says."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.queue: KeyedQueue[str] = KeyedQueue(self.clock, jitter=random.Random(1))
        self.passes: list[str] = []
        self.ended: list[tuple[str, Outcome]] = []
        self.errors: list[tuple[str, str]] = []
        self.in_flight: list[int] = []
        self.act: Callable[[str], Awaitable[None]] = self.succeed
        self.workers = Workers(
            self.queue,
            self.reconcile,
            count=2,
            clock=self.clock,
            on_error=lambda key, error: self.errors.append((key, type(error).__name__)),
            on_done=lambda key, outcome, _: self.ended.append((key, outcome)),
            on_in_flight=self.in_flight.append,
        )

    async def succeed(self, key: str) -> None:
        pass

    async def reconcile(self, key: str) -> None:
        self.passes.append(key)
        await self.act(key)

    def fail_with(self, error: BaseException) -> None:
        async def act(key: str) -> None:
            raise error

        self.act = act

    async def passes_over(self, seconds: float) -> int:
        """How many passes run while `seconds` go by."""
        before = len(self.passes)
        self.clock.advance(seconds)
        await settle()
        return len(self.passes) - before


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    stage.workers.start()
    await settle()
    yield stage
    await stage.workers.stop(within=0)


async def test_pass_that_succeeds_is_over(stage: Stage):
    """A key is worked on once and rests."""
    stage.queue.add("a")
    await settle()

    assert ["a"] == stage.passes
    assert [("a", Outcome.DONE)] == stage.ended
    assert 0 == await stage.passes_over(1000)
    assert [1, 0] == stage.in_flight
    assert stage.workers.running


async def test_retry_comes_back_when_it_asked_to(stage: Stage):
    """`Retry(after=7)` is a pass in seven seconds."""
    stage.fail_with(Retry("the route is not accepted yet", after=7.0))
    stage.queue.add("a")
    await settle()

    assert [("a", "Retry")] == stage.errors
    assert 0 == await stage.passes_over(6.9)
    assert 1 == await stage.passes_over(0.2)


async def test_waits_that_were_asked_for_do_not_lengthen_the_backoff(stage: Stage):
    """After a hundred looks at a route in the making, the first conflict is tried again at once."""
    stage.fail_with(Retry("not accepted yet", after=1.0))
    stage.queue.add("a")
    await settle()
    for _ in range(100):
        await stage.passes_over(1.0)
    stage.fail_with(Retry("conflict"))
    await stage.passes_over(1.0)

    assert await stage.passes_over(0.05) == 1


async def test_retry_without_a_time_backs_off(stage: Stage):
    """Conflicts in a row come back after growing pauses."""
    stage.fail_with(Retry("conflict"))
    stage.queue.add("a")
    await settle()

    assert 1 == await stage.passes_over(0.05)
    assert 0 == await stage.passes_over(0.05)
    assert 1 == await stage.passes_over(0.05)


async def test_failed_key_keeps_its_lane(stage: Stage):
    """A rollback that met a conflict is still urgent."""
    gate = asyncio.Event()
    stage.fail_with(Retry("conflict"))
    stage.queue.add("breached", Lane.URGENT)
    await settle()

    async def block(key: str) -> None:
        await gate.wait()

    stage.act = block
    for key in ("x", "y"):
        stage.queue.add(key)
    await settle()
    stage.clock.advance(1)
    await settle()

    assert Lane.URGENT is stage.queue.lane("breached")
    gate.set()
    await settle()


async def test_failed_key_stays_urgent_whatever_else_wakes_it(stage: Stage):
    """Given a breach that the API server refuses for long, and changes that wake its Release meanwhile, it is tried each second."""
    stage.fail_with(Retry("unreachable"))
    stage.queue.add("breached", Lane.URGENT)
    await settle()
    for _ in range(12):
        await stage.passes_over(URGENT_RETRY)
    stage.queue.add("breached")
    await settle()

    assert 1 == await stage.passes_over(URGENT_RETRY)
    stage.act = stage.succeed
    assert 1 == await stage.passes_over(URGENT_RETRY)
    assert 0 == await stage.passes_over(1000)


async def test_success_ends_the_backoff(stage: Stage):
    """After a success the next failure starts small again, and an outdated retry is dropped."""
    stage.fail_with(Retry("away", after=20.0))
    stage.queue.add("a")
    await settle()
    stage.act = stage.succeed
    stage.queue.add("a")
    await settle()

    assert 0 == stage.queue.failures("a")
    assert 0 == await stage.passes_over(100)


async def test_terminal_waits_for_a_change(stage: Stage):
    """An invalid spec is not tried again and again, only when something adds it."""
    stage.fail_with(Terminal("spec.steps is empty"))
    stage.queue.add("a")
    await settle()

    assert [("a", Outcome.TERMINAL)] == stage.ended
    assert 0 == await stage.passes_over(3600)
    stage.queue.add("a")
    await settle()
    assert 2 == len(stage.passes)


async def test_bug_is_logged_with_its_traceback_and_backed_off(stage: Stage):
    """A bug takes down neither the worker nor its key."""
    with structlog.testing.capture_logs() as logs:
        stage.fail_with(ZeroDivisionError("division by zero"))
        stage.queue.add("a")
        await settle()

    assert [("a", Outcome.BUG)] == stage.ended
    assert [("pass failed", "error")] == [(entry["event"], entry["log_level"]) for entry in logs]
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert 1 == await stage.passes_over(0.05)


async def test_cancellation_from_inside_is_a_bug_not_a_shutdown(stage: Stage):
    """A pass that awaits something cancelled does not take its worker along."""
    stage.fail_with(asyncio.CancelledError())
    for key in "abc":
        stage.queue.add(key)
    await settle()

    assert {("a", Outcome.BUG), ("b", Outcome.BUG), ("c", Outcome.BUG)} == set(stage.ended)
    assert stage.workers.running


async def test_hook_that_fails_is_no_reason_to_stop(stage: Stage):
    """A broken gauge does not stop the gate."""
    stage.workers._on_done = lambda *_: 1 / 0  # type: ignore[assignment]
    stage.queue.add("a")
    stage.queue.add("b")
    await settle()

    assert ["a", "b"] == stage.passes
    assert stage.workers.running


async def test_hung_pass_is_cut_off(stage: Stage):
    """A pass that never ends is cancelled, counted as a bug, and its key goes on."""
    ended = asyncio.Event()
    stage.workers._timeout = 0.001
    stage.workers._on_error = lambda *_: ended.set()

    async def hang(key: str) -> None:
        await asyncio.Event().wait()

    stage.act = hang
    stage.queue.add("a")
    await ended.wait()

    assert [("a", Outcome.BUG)] == stage.ended


async def test_never_more_passes_than_workers(stage: Stage):
    """Two workers, two passes at once; the gauge and the age of the longest say so."""
    gate = asyncio.Event()

    async def block(key: str) -> None:
        await gate.wait()

    stage.act = block
    for key in "abcd":
        stage.queue.add(key)
    await settle()
    stage.clock.advance(5)

    assert 2 == stage.workers.in_flight() == max(stage.in_flight)
    assert 5.0 == stage.workers.longest_pass()
    gate.set()
    await settle()
    assert 4 == len(stage.ended)
    assert 0.0 == stage.workers.longest_pass()


async def test_urgent_pass_waits_for_none_that_hangs(stage: Stage):
    """Given workers that all wait for requests that hang, a key that is urgent has its pass at once, and no other has."""
    await stage.workers.stop(within=0)
    stage.workers = Workers(stage.queue, stage.reconcile, count=2, urgent=1, clock=stage.clock)
    stage.workers.start()
    hang = asyncio.Event()

    async def act(key: str) -> None:
        if key.startswith("hangs"):
            await hang.wait()

    stage.act = act
    stage.queue.add("hangs-1")
    stage.queue.add("hangs-2")
    await settle()
    stage.queue.add("usual")
    stage.queue.add("breach", Lane.URGENT)
    await settle()
    before = list(stage.passes)
    hang.set()
    await settle()

    assert ["hangs-1", "hangs-2", "breach"] == before
    assert "usual" == stage.passes[-1]
    assert stage.workers.running


async def test_decisions_of_others_are_not_between_an_urgent_one_and_its_first_request():
    """Given readings of many keys that come in at once, the urgent one's first request is on its way before all have decided."""
    clock, told = ManualClock(), list[tuple[str, str]]()

    async def reconcile(key: str) -> None:
        told.append(("decides", key))
        await asyncio.sleep(0)
        told.append(("sends", key))

    queue: KeyedQueue[str] = KeyedQueue(clock)
    workers = Workers(queue, reconcile, count=16, urgent=2, clock=clock)
    workers.start()
    await settle()
    for number in range(10):
        queue.add(f"other {number}")
    queue.add("broken", Lane.URGENT)
    await settle()
    await settle()
    await workers.stop(within=0)

    before = [key for what, key in told[: told.index(("sends", "broken"))] if what == "decides"]
    assert 11 == len([what for what, _ in told if what == "sends"])
    assert len(before) <= 3


async def test_stop_lets_running_passes_finish(stage: Stage):
    """A pass that is under way ends well; a key that waits is not begun."""
    gate = asyncio.Event()

    async def block(key: str) -> None:
        await gate.wait()

    stage.act = block
    for key in "abc":
        stage.queue.add(key)
    await settle()
    stopping = asyncio.create_task(stage.workers.stop(within=30))
    await settle()
    assert not stopping.done()

    gate.set()

    assert await stopping
    assert ["a", "b"] == stage.passes
    assert {("a", Outcome.DONE), ("b", Outcome.DONE)} == set(stage.ended)
    assert 1 == stage.queue.depth()


async def test_stop_cancels_what_does_not_finish_in_time(stage: Stage):
    """After the deadline, or at once when leadership is lost, a pass is cancelled."""

    async def hang(key: str) -> None:
        await asyncio.Event().wait()

    stage.act = hang
    stage.queue.add("a")
    await settle()
    stopping = asyncio.create_task(stage.workers.stop(within=30))
    await settle()
    stage.clock.advance(30)

    assert not await stopping
    assert [] == stage.ended
    assert 0 == stage.queue.in_flight()


async def test_workers_can_start_again(stage: Stage):
    """A replica that leads again goes on with the same queue."""
    with pytest.raises(RuntimeError, match="already"):
        stage.workers.start()
    await stage.workers.stop(within=0)
    assert not stage.workers.running
    stage.queue.add("a")

    stage.workers.start()
    await settle()

    assert ["a"] == stage.passes


def test_a_group_of_errors_is_as_bad_as_its_worst():
    """Errors of a task group are read as one: bug, then retry, then terminal; the longest wait counts."""
    retries = ExceptionGroup("group", [Retry("x", after=2.0), Terminal("y"), Retry("z", after=5.0)])

    assert Outcome.RETRY is outcome_of(retries)
    assert 5.0 == retry_after(retries)
    assert Outcome.BUG is outcome_of(ExceptionGroup("group", [retries, KeyError("k")]))
    assert Outcome.TERMINAL is outcome_of(ExceptionGroup("group", [Terminal("y")]))
    assert retry_after(Terminal("y")) is None


async def settle() -> None:
    """Lets everything that can run do so."""
    for _ in range(50):
        await asyncio.sleep(0)
