"""The queue hands out each key once at a time, forgets none, and lets the urgent go first."""

import asyncio
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate.runtime.clock import ManualClock
from tidegate.runtime.queue import BACKOFF_CAP, KeyedQueue, Lane


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> KeyedQueue[str]:
    return KeyedQueue(clock, jitter=random.Random(1))


async def test_same_key_waits_once(queue: KeyedQueue[str]):
    """Ten events about one object are one pass."""
    for _ in range(10):
        queue.add("a")

    assert 1 == queue.depth()
    assert "a" == await queue.get()
    assert 0 == queue.depth()


async def test_first_come_first_served_within_a_lane(queue: KeyedQueue[str]):
    """Keys of one lane leave in the order they came."""
    for key in "abc":
        queue.add(key)

    assert ["a", "b", "c"] == [await queue.get() for _ in range(3)]


async def test_key_added_during_its_pass_comes_back_after_it(queue: KeyedQueue[str]):
    """What changes during a pass gets a pass of its own, and never a second one beside it."""
    queue.add("a")
    await queue.get()

    queue.add("a")
    queue.add("a")

    assert 0 == queue.depth()
    assert 1 == queue.in_flight()

    queue.done("a")

    assert 1 == queue.depth()
    assert "a" == await queue.get()
    queue.done("a")
    assert 0 == queue.depth()


async def test_urgent_before_normal_before_low(queue: KeyedQueue[str]):
    """A breach does not stand in line behind a re-list."""
    queue.add("listed", Lane.LOW)
    queue.add("edited")
    queue.add("breached", Lane.URGENT)

    assert ["breached", "edited", "listed"] == [await queue.get() for _ in range(3)]


async def test_waiting_key_moves_up_but_never_down(queue: KeyedQueue[str]):
    """A key keeps the highest lane it was added with."""
    queue.add("other")
    queue.add("a", Lane.LOW)

    queue.add("a", Lane.URGENT)
    queue.add("a", Lane.LOW)

    assert Lane.URGENT is queue.lane("a")
    assert 2 == queue.depth()
    assert 1 == queue.depth(Lane.URGENT)
    assert "a" == await queue.get()


async def test_key_marked_urgent_during_its_pass_comes_back_urgent(queue: KeyedQueue[str]):
    """A breach seen during a pass is not demoted to the lane of that pass."""
    queue.add("a", Lane.LOW)
    await queue.get()
    queue.add("a", Lane.LOW)
    queue.add("a", Lane.URGENT)

    queue.done("a")

    assert Lane.URGENT is queue.lane("a")


async def test_low_lane_is_not_starved_by_a_full_normal_lane(queue: KeyedQueue[str]):
    """Every tenth pick goes to the low lane when the normal lane never empties."""
    queue.add("listed", Lane.LOW)
    picked = []
    for number in range(20):
        queue.add(f"tick-{number}")
        queue.add(f"tock-{number}")
        key = await queue.get()
        queue.done(key)
        picked.append(key)

    assert "listed" == picked[9]


async def test_what_a_person_has_decided_waits_for_one_other_at_most(queue: KeyedQueue[str]):
    """However many Releases are looked at at the time, and whatever comes first: it is the next, or the one after that."""
    for number in range(100):
        queue.add(f"tick-{number}")
    before = [await queue.get() for _ in range(3)]
    queue.add("voted", Lane.DECIDED)

    assert "voted" in [await queue.get(), await queue.get()]
    assert ["tick-0", "tick-1", "tick-2"] == before


async def test_deciding_without_end_leaves_others_their_turns(queue: KeyedQueue[str]):
    """Of two picks one is theirs, so who may decide cannot keep Releases of others from being looked at."""
    for number in range(50):
        queue.add(f"flood-{number}", Lane.DECIDED)
        queue.add(f"tick-{number}")
    picked = [await queue.get() for _ in range(40)]

    assert 20 == sum(key.startswith("tick") for key in picked)
    assert [f"tick-{number}" for number in range(20)] == [key for key in picked if key.startswith("tick")]


async def test_urgent_lane_is_never_passed_over(queue: KeyedQueue[str]):
    """The share of the low lane comes out of the normal lane only."""
    queue.add("listed", Lane.LOW)
    for number in range(30):
        queue.add(f"breach-{number}", Lane.URGENT)

    assert [f"breach-{number}" for number in range(30)] == [await queue.get() for _ in range(30)]


async def test_getter_is_woken_by_an_add(queue: KeyedQueue[str]):
    """An idle worker gets the key as soon as it is added."""
    getting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add("a")

    assert "a" == await getting


async def test_cancelled_getter_loses_no_key(queue: KeyedQueue[str]):
    """A wake-up that hit a worker which was just cancelled goes on to the next one."""
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add("a")
    first.cancel()

    assert "a" == await second
    assert first.cancelled()


async def test_getter_cancelled_while_idle_is_gone(queue: KeyedQueue[str]):
    """A worker that stopped waiting is not woken any more."""
    getting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    getting.cancel()
    await asyncio.gather(getting, return_exceptions=True)

    queue.add("a")

    assert "a" == await queue.get()


def test_backoff_doubles_to_its_cap_with_jitter(queue: KeyedQueue[str]):
    """50 ms, 100 ms, 200 ms ... 30 s, each shortened by up to a fifth."""
    delays = [queue.retry("a") for _ in range(200)]

    for number, delay in enumerate(delays):
        full = min(BACKOFF_CAP, 0.05 * 2 ** min(number, 20))
        assert 0.8 * full <= delay <= full
    assert 200 == queue.failures("a")


def test_backoff_is_per_key_and_resets(queue: KeyedQueue[str]):
    """One key's trouble is not another's, and success ends it."""
    for _ in range(10):
        queue.retry("a")

    assert queue.retry("b") <= 0.05
    queue.forget("a")
    assert queue.retry("a") <= 0.05


async def test_age_of_the_oldest(queue: KeyedQueue[str], clock: ManualClock):
    """The age counts from the first add, through promotion and through a pass that marked the key."""
    assert 0.0 == queue.oldest_age()
    queue.add("a", Lane.LOW)
    clock.advance(3)
    queue.add("b")
    queue.add("a", Lane.URGENT)

    assert 3.0 == queue.oldest_age()

    await queue.get()
    queue.add("a")
    clock.advance(4)
    queue.done("a")
    assert "b" == await queue.get()
    assert 4.0 == queue.oldest_age()


async def test_who_waits_for_the_urgent_takes_nothing_else(queue: KeyedQueue[str]):
    """Given one who takes urgent keys alone and one who takes all, each gets what is theirs, whoever came first."""
    urgent, any_key = asyncio.create_task(queue.get(Lane.URGENT)), asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add("usual")
    usual = await any_key
    queue.add("more")
    await asyncio.sleep(0)
    waits = not urgent.done()
    queue.add("breach", Lane.URGENT)

    assert ("usual", True, "breach") == (usual, waits, await urgent)
    assert 1 == queue.depth()


async def test_urgent_key_wakes_those_first_who_take_nothing_else(queue: KeyedQueue[str]):
    """Given both at rest, an urgent key leaves the one who takes all free for others."""
    any_key, urgent = asyncio.create_task(queue.get()), asyncio.create_task(queue.get(Lane.URGENT))
    await asyncio.sleep(0)

    queue.add("breach", Lane.URGENT)
    first = await urgent
    queue.add("usual")

    assert ("breach", "usual") == (first, await any_key)


async def test_key_is_not_left_when_the_one_it_has_woken_takes_an_urgent_one(queue: KeyedQueue[str]):
    """Given a usual and an urgent key in one moment, both are taken, although the first to wake takes the urgent one."""
    some = [asyncio.create_task(queue.get()) for _ in range(2)]
    urgent = asyncio.create_task(queue.get(Lane.URGENT))
    await asyncio.sleep(0)

    queue.add("usual")
    queue.add("breach", Lane.URGENT)
    done, _ = await asyncio.wait([*some, urgent], timeout=1, return_when=asyncio.ALL_COMPLETED)
    for task in (*some, urgent):
        task.cancel()

    assert {"usual", "breach"} == {task.result() for task in done}


async def test_wake_up_of_one_who_gives_up_is_passed_on(queue: KeyedQueue[str]):
    """Given an urgent key whose taker is cancelled in that moment, another takes it."""
    any_key, urgent = asyncio.create_task(queue.get()), asyncio.create_task(queue.get(Lane.URGENT))
    await asyncio.sleep(0)

    queue.add("breach", Lane.URGENT)
    urgent.cancel()

    assert "breach" == await asyncio.wait_for(any_key, 5)


def test_done_without_a_pass_is_an_error(queue: KeyedQueue[str]):
    """A pass that never began cannot end."""
    with pytest.raises(KeyError):
        queue.done("a")


KEYS = st.sampled_from("abcdef")
LANES = st.sampled_from(list(Lane))


class QueueModel(RuleBasedStateMachine):
    """The queue against what it promises: an add is answered by a pass that starts after it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.queue: KeyedQueue[str] = KeyedQueue(ManualClock(), jitter=random.Random(0))
        self.owed: dict[str, Lane] = {}
        self.flying: set[str] = set()

    @rule(key=KEYS, lane=LANES)
    def add(self, key: str, lane: Lane) -> None:
        self.queue.add(key, lane)
        self.owed[key] = min(lane, self.owed.get(key, lane))

    @precondition(lambda self: self.owed.keys() - self.flying)
    @rule()
    def get(self) -> None:
        key = self.loop.run_until_complete(self.queue.get())
        assert key not in self.flying, "two passes over one key"
        best = min(lane for other, lane in self.owed.items() if other not in self.flying)
        if best is Lane.URGENT:
            assert Lane.URGENT is self.owed[key]
        del self.owed[key]
        self.flying.add(key)

    @precondition(lambda self: not self.owed.keys() - self.flying)
    @rule(key=KEYS, lane=LANES)
    def cancel_an_idle_getter(self, key: str, lane: Lane) -> None:
        async def scenario() -> None:
            getting = asyncio.create_task(self.queue.get())
            await asyncio.sleep(0)
            self.queue.add(key, lane)
            getting.cancel()
            await asyncio.gather(getting, return_exceptions=True)

        self.loop.run_until_complete(scenario())
        self.owed[key] = min(lane, self.owed.get(key, lane))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        self.queue.done(key)
        self.flying.remove(key)

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        assert len(self.owed.keys() - self.flying) == self.queue.depth()
        assert len(self.flying) == self.queue.in_flight()

    def teardown(self) -> None:
        async def drain() -> set[str]:
            for key in sorted(self.flying):
                self.queue.done(key)
            return {await self.queue.get() for _ in range(self.queue.depth())}

        assert set(self.owed) == self.loop.run_until_complete(drain())
        self.loop.close()


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(max_examples=60, stateful_step_count=40)


def test_what_failed_before_is_not_fresh():
    """Keys that come back because they failed press nobody."""
    queue: KeyedQueue[str] = KeyedQueue(ManualClock())
    queue.add("again", Lane.URGENT)
    queue.retry("again")
    before = queue.fresh(Lane.URGENT)
    queue.add("first", Lane.URGENT)

    assert not before
    assert queue.fresh(Lane.URGENT)
    assert not queue.fresh(Lane.NORMAL)
