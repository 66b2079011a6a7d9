"""What one namespace asks slowly keeps no other one waiting."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.prometheus.answers import Asker, Result
from tidegate.prometheus.batching import Batcher
from tidegate.prometheus.budgets import Holder
from tidegate.prometheus.connections import Connection, ConnectionConfig
from tidegate.prometheus.lessons import Lessons, Question
from tidegate.prometheus.queries import Names
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.rests import Rests
from unit.prometheus.conftest import ScriptedPrometheus, send

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALUE = json.dumps({"status": "success", "data": {"result": [{"metric": {}, "value": [0, "0.5"]}]}}).encode()


class Clock:
    """Monotonic seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def names(namespace: str) -> Names:
    return Names(namespace, "checkout", "checkout", "checkout-stable", "checkout-canary", "s", "c", 80)


def gate(query: str, name: str = "errors", **fields: object) -> Gate:
    metric = {"promql": {"canary": query, "unit": "Ratio"}}
    return Gate.model_validate({"name": name, "metric": metric, "threshold": {"max": 0.01}, **fields})


class Slow:
    """A server that answers questions with the word `slow` in them when the test says so, and all others at once."""

    def __init__(self, prometheus: ScriptedPrometheus) -> None:
        self.prometheus = prometheus
        self.under_way = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        prometheus.does(self._respond)

    def _respond(self, handler) -> None:
        if "slow" in self.prometheus.parameters[-1]["query"]:
            with self._lock:
                self.under_way += 1
                self._changed.notify_all()
            self.released.wait(60)
        send(handler, 200, VALUE)

    async def until(self, under_way: int) -> None:
        """Wait until so many slow requests have come."""

        def wait() -> bool:
            with self._lock:
                return self._changed.wait_for(lambda: self.under_way >= under_way, 60)

        assert await asyncio.to_thread(wait)


@pytest.fixture
def slow(prometheus):
    made = Slow(prometheus)
    yield made
    made.released.set()


class TestTurns:
    """On one connection."""

    async def test_a_breach_is_seen_beside_twenty_slow_gates_of_another_namespace(self, slow, connect):
        """They fill the slots that they may have, and each wants one more; a gate that rolls back does not wait for them."""
        reader = Reader({"default": connect(slow.prometheus.address, timeout="60s")}, collecting=0.001)
        flood = [
            asyncio.create_task(reader.read(gate(f"slow{number}", f"g{number}"), names("a"), "abc", AT + timedelta(seconds=number)))
            for number in range(20)
        ]
        await slow.until(7)

        seen = [await reader.read(gate("quick"), names("b"), "abc", AT + timedelta(seconds=look)) for look in range(3)]

        assert [reading.canary for reading in seen] == [0.5] * 3
        assert not any(task.done() for task in flood)
        assert slow.under_way == 7
        slow.released.set()
        assert [(await task).canary for task in flood] == [0.5] * 20
        reader.close()

    async def test_a_gate_that_does_not_roll_back_waits_for_one_answer_at_most(self, slow, connect):
        """The next slot is its own."""
        reader = Reader({"default": connect(slow.prometheus.address, timeout="60s")}, collecting=0.001)
        flood = [
            asyncio.create_task(reader.read(gate(f"slow{number}", f"g{number}"), names("a"), "abc", AT + timedelta(seconds=number)))
            for number in range(20)
        ]
        await slow.until(7)
        other = asyncio.create_task(reader.read(gate("quick", onBreach="Hold"), names("b"), "abc", AT))
        await asyncio.sleep(0)

        slow.released.set()

        assert (await other).canary == 0.5
        await asyncio.gather(*flood)
        reader.close()


class TestCompany:
    """Who shares requests with whom."""

    async def ask(self, batcher: Batcher, *askers: str, at: int = 0) -> list[object]:
        futures = [batcher.ask(f"q-{asker}", AT + timedelta(seconds=at), 100, asker=Asker(asker)) for asker in askers]
        return await asyncio.gather(*futures)

    async def test_questions_of_others_are_joined_once_they_are_known_to_be_quick(self, prometheus, connect):
        """Before, each namespace has a request of its own."""
        prometheus.gives_value("1")
        for asker in ("a", "b"):
            prometheus.gives_value("1", to=f"q-{asker}")
        sizes: list[int] = []
        batcher = Batcher(connect(prometheus.address), requested=lambda _, size: sizes.append(size), collecting=0.002)

        for at in range(2):
            assert all(isinstance(answer, Result) for answer in await self.ask(batcher, "a", "b", at=at))

        assert sizes == [1, 1, 2]

    async def test_a_question_about_a_fixed_moment_is_the_same_at_each_look(self, prometheus, connect):
        """How long ago that was changes its text; that it is quick is known all the same."""
        prometheus.gives_value("1")
        sizes: list[int] = []
        batcher = Batcher(connect(prometheus.address), requested=lambda _, size: sizes.append(size), collecting=0.002)

        for at in (30, 40):
            prometheus.gives_value("1", to=f"q-a offset {at}s500ms")
            prometheus.gives_value("1", to=f"q-b offset {at}s500ms")
            assert all(
                isinstance(answer, Result)
                for answer in await self.ask(batcher, f"a offset {at}s500ms", f"b offset {at}s500ms", at=at)
            )

        assert sizes == [1, 1, 2]

    def test_what_was_late_is_asked_apart_from_others(self):
        """Whose it was is not known: so each namespace is asked for itself, and the quick ones are joined again."""
        lessons = Lessons(Clock())
        ours, theirs = Question("ours", 100), Question("theirs", 100)
        askers = [(ours, Asker("a")), (theirs, Asker("b"))]
        lessons.went_well([ours, theirs], 0.1)
        assert lessons.chunks(askers) == [(ours, theirs)]

        lessons.crowded([ours, theirs], late=True)

        assert lessons.chunks(askers) == [(ours,), (theirs,)]

    def test_slow_questions_are_never_joined_with_those_of_others(self):
        """However often they are answered."""
        lessons = Lessons(Clock())
        ours, theirs = Question("ours", 100), Question("theirs", 100)
        for _ in range(3):
            lessons.answered(ours, Result([], seconds=1.5), split=False)
            lessons.went_well([theirs], 2.0)

        assert lessons.chunks([(ours, Asker("a")), (theirs, Asker("b"))]) == [(ours,), (theirs,)]

    def test_what_is_remembered_of_questions_is_small(self):
        """Not their text, and not of more than so many."""
        lessons = Lessons(Clock())
        for number in range(20_100):
            lessons.chunks([(Question(f"{number} {'x' * 100}", 100), Asker("a"))])

        assert len(lessons._known) == 20_000
        assert all(len(mark) == 16 for mark in lessons._known)


class TestRests:
    """Slow questions are asked more rarely."""

    def test_ten_times_as_long_as_it_took(self):
        """From when it was sent."""
        clock = Clock()
        rests, one = Rests(clock), Holder("a", "checkout", "errors")
        clock.now = 104.0
        rests.cost(one, 4.0)

        assert rests.left(one) == 36.0
        clock.now = 139.9
        assert rests.left(one) > 0
        clock.now = 140.0
        assert rests.left(one) == 0

    def test_a_second_is_not_slow(self):
        """Nor does the other gate of a Release rest."""
        rests, one = Rests(Clock()), Holder("a", "checkout", "errors")
        rests.cost(one, 1.0)
        rests.cost(one._replace(gate="latency"), 2.0)

        assert rests.left(one) == 0
        rests.forget("a", "checkout")
        assert rests.left(one._replace(gate="latency")) == 0

    async def test_a_gate_rests_after_a_slow_query(self, prometheus):
        """As it is measured where it is asked; one of another namespace does not."""
        clock = Clock()

        def respond(handler) -> None:
            if "slow" in prometheus.parameters[-1]["query"]:
                clock.now += 4.0
            send(handler, 200, VALUE)

        prometheus.does(respond)
        config = ConnectionConfig(name="default", address=prometheus.address)
        reader = Reader({"default": Connection(config, clock=clock)}, collecting=0.001, clock=clock)
        await reader.read(gate("scalar(slow)"), names("a"), "abc", AT)
        await reader.read(gate("quick"), names("b"), "abc", AT)
        reader.close()

        assert reader.rest("a", "checkout", "errors") == 36.0
        assert reader.rest("b", "checkout", "errors") == 0

    async def test_a_server_that_hangs_for_all_makes_nobody_rest(self, prometheus):
        """It is not for a query that nothing comes: once it is back, all are looked at."""
        prometheus.hangs()
        config = ConnectionConfig(name="default", address=prometheus.address, timeout=timedelta(milliseconds=200))
        ticks = iter(range(0, 10_000, 5))
        reader = Reader({"default": Connection(config, clock=lambda: float(next(ticks)))}, collecting=0.001, clock=Clock())
        reading = await reader.read(gate("any"), names("a"), "abc", AT)
        reader.close()

        assert reading.trouble
        assert reader.rest("a", "checkout", "errors") == 0
