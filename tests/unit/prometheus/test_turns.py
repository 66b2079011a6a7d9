"""All namespaces have their turns at a server, however much one of them asks and however slowly it is answered."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.prometheus.answers import EVERYBODY, Asker
from tidegate.prometheus.turns import LATELY, Turns

FOREVER = 1e6


class Clock:
    """Monotonic seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Floor:
    """Slots, and those who wait for one or have one."""

    def __init__(self, slots: int = 8, most_waiting: int = 1000) -> None:
        self.clock = Clock()
        self.waits: list[str] = []
        self.turns = Turns(slots, most_waiting, lambda namespace, _: self.waits.append(namespace), self.clock)
        self.running: list[Asker] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, namespace: str, times: int = 1, *, rollback: bool = False) -> None:
        """Let a namespace ask so many times; each keeps its slot until the test takes it away."""

        async def one(asker: Asker) -> None:
            if await self.turns.take(asker, FOREVER):
                self.running.append(asker)

        self.tasks += [asyncio.create_task(one(Asker(namespace, rollback))) for _ in range(times)]
        await self.settled()

    async def end(self, namespace: str, times: int = 1) -> None:
        """Let some of a namespace's requests be answered."""
        for _ in range(times):
            asker = next(one for one in self.running if one.namespace == namespace)
            self.running.remove(asker)
            self.turns.give_back(asker)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def of(self, namespace: str) -> int:
        """How many of a namespace are under way."""
        return sum(one.namespace == namespace for one in self.running)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def floor():
    made = Floor()
    yield made
    await made.close()


class TestShares:
    """How many slots one namespace may have."""

    async def test_one_alone_has_all_but_the_one_that_is_kept(self, floor):
        """A gate that rolls back may come at any time."""
        await floor.ask("a", 60)

        assert floor.of("a") == 7

    async def test_the_kept_slot_is_for_a_gate_that_rolls_back(self, floor):
        """Of a namespace that has none: it does not wait until somebody else is answered."""
        await floor.ask("a", 60, rollback=True)
        await floor.ask("b", 5)
        assert (floor.of("a"), floor.of("b")) == (7, 0)

        await floor.ask("c", 5, rollback=True)

        assert (floor.of("a"), floor.of("b"), floor.of("c")) == (7, 0, 1)

    async def test_half_where_another_asks(self, floor):
        """What one has beyond that goes to others as it is answered."""
        await floor.ask("a", 60)
        await floor.ask("b", 60)
        await floor.end("a", 3)

        assert (floor.of("a"), floor.of("b")) == (4, 3)

    async def test_half_where_another_has_asked_just_now(self, floor):
        """Its next question finds a slot; after a minute it is not waited for any more."""
        await floor.ask("b")
        await floor.end("b")
        await floor.ask("a", 60)
        assert floor.of("a") == 4

        floor.clock.now = LATELY + 1
        await floor.ask("a")
        await floor.end("a")

        assert floor.of("a") == 7

    async def test_what_is_for_several_is_not_halved(self, floor):
        """It is of quick questions alone."""
        await floor.ask("b")
        await floor.end("b")
        await floor.ask("", 60)

        assert floor.of("") == 7

    async def test_a_single_slot_is_shared_by_turns(self):
        """There is none to keep."""
        floor = Floor(slots=1)
        await floor.ask("a", 10)
        await floor.ask("b", 2)
        seen = []
        for _ in range(5):
            seen.append(floor.running[0].namespace)
            await floor.end(seen[-1])
        await floor.close()

        assert seen == ["a", "b", "a", "b", "a"]

    async def test_of_two_slots_none_is_kept_for_nobody(self):
        """Half would be too much for those who may never come."""
        floor = Floor(slots=2)
        await floor.ask("a", 5)
        assert floor.of("a") == 2

        await floor.ask("b")
        await floor.end("a")

        assert (floor.of("a"), floor.of("b")) == (1, 0)
        await floor.end("a")
        assert (floor.of("a"), floor.of("b")) == (0, 1)
        await floor.close()


class TestWaiting:
    """Who has no slot yet."""

    async def test_a_gate_that_rolls_back_comes_first_in_its_namespace(self, floor):
        """Others of it have waited longer."""
        await floor.ask("a", 20)
        await floor.ask("a", rollback=True)
        await floor.end("a")

        assert sum(one.rollback for one in floor.running) == 1

    async def test_too_many_of_one_namespace_are_turned_away(self):
        """Others are not."""
        floor = Floor(most_waiting=3)
        await floor.ask("a", 7)
        await floor.ask("a", 3)

        assert not await floor.turns.take(Asker("a"), FOREVER)
        await floor.ask("b", rollback=True)
        assert floor.of("b") == 1
        await floor.close()

    async def test_who_gives_up_leaves_no_trace(self, floor):
        """And the turn goes to the next."""
        await floor.ask("a", 7)
        assert not await floor.turns.take(Asker("b"), 0)
        waiting = asyncio.create_task(floor.turns.take(Asker("b"), FOREVER))
        await floor.settled()
        waiting.cancel()
        await floor.settled()
        await floor.ask("c")

        await floor.end("a", 7)

        assert floor.turns.busy() == floor.of("c") == 1
        assert floor.waits.count("b") == 2

    async def test_who_is_cancelled_in_the_instant_of_its_turn_gives_it_back(self, floor):
        """Or the slot would be lost."""
        await floor.ask("a", 7)
        waiting = asyncio.create_task(floor.turns.take(EVERYBODY, FOREVER))
        await floor.settled()
        floor.turns.give_back(floor.running.pop())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        assert floor.turns.busy() == 6


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.integers(0, 5), st.booleans(), st.integers(0, 4)), max_size=30),
)
def test_nobody_starves_and_no_slot_is_lost(slots, story):
    """Whoever asks has its turn after no more answers than it has asked for, for each namespace one before each of its own."""

    async def live() -> None:
        floor = Floor(slots)
        asked = Counter[str]()
        for namespace, times, rollback, answered in story:
            await floor.ask(namespace, times, rollback=rollback)
            asked[namespace] += times
            for _ in range(min(answered, len(floor.running))):
                await floor.end(floor.running[0].namespace)
            assert len(floor.running) == floor.turns.busy() <= slots
        served = Counter[str]()
        # From here on all are answered, the oldest first: each is served.
        while floor.running:
            served[floor.running[0].namespace] += 1
            await floor.end(floor.running[0].namespace)
        assert all(task.done() for task in floor.tasks)
        assert floor.turns.busy() == 0
        await floor.close()

    asyncio.run(live())


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(20, 60))
def test_a_namespace_waits_for_no_more_than_a_round(slots, others, flood):
    """However much others have asked for before it: each of them has one turn, and then it."""

    async def live() -> None:
        floor = Floor(slots)
        for number in range(others):
            await floor.ask(f"greedy-{number}", flood)
        await floor.ask("late")
        answers = 0
        while not floor.of("late"):
            await floor.end(floor.running[0].namespace)
            answers += 1
        # Until the share of each has shrunk to half, and then one each.
        assert answers <= slots + others
        await floor.close()

    asyncio.run(live())
