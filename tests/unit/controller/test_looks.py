"""Looks of gates: none is lost, none is taken twice, and none comes in a rush."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import BreachAction, Gate
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.controller.looks.looks import Looks, _in_turn, _instant
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.plan import Look
from tidegate.judge.reading import Reading
from tidegate.prometheus.queries import Names
from tidegate.runtime.clock import ManualClock, Moment
from tidegate.runtime.queue import Lane
from unit.controller.api_server import settled

KEY = ReleaseKey("shop", "checkout")
NAMES = Names(
    namespace="shop",
    release="checkout",
    service="checkout",
    stable_service="checkout-stable",
    canary_service="checkout-canary",
    stable_pods="stable-.*",
    canary_pods="canary-.*",
    service_port=80,
)
METRIC = {"promql": {"canary": "canary", "unit": "Ratio"}}
ERRORS = Gate.model_validate({"name": "errors", "metric": METRIC, "threshold": {"max": 0.01}, "interval": "10s"})
SLOW = ERRORS.model_copy(update={"name": "slow", "on_breach": BreachAction.PAUSE})


class Prometheus:
    """Answers when the test says so."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[str, str, datetime]] = []
        self.values: dict[str, float | Exception] = {}
        self.forgotten: list[tuple[str, str]] = []
        self.unprimed: set[str] = set()
        self.rests: dict[str, float] = {}
        self.resumed: list[tuple[str, datetime]] = []
        self.counted: list[bool] = []
        self.late: dict[str, asyncio.Event] = {}
        self.answers = asyncio.Event()
        self.answers.set()

    async def resume(self, gate: Gate, names: Names, revision: str, at: datetime, *, counted: bool = True) -> str:
        self.resumed.append((gate.name, at))
        self.counted.append(counted)
        self.unprimed.discard(gate.name)
        return ""

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        return gate.name not in self.unprimed

    def rest(self, namespace: str, release: str, gate: str) -> float:
        return max(0.0, self.rests.get(gate, 0.0) - self.clock.monotonic())

    def forget(self, namespace: str, release: str) -> None:
        self.forgotten.append((namespace, release))

    async def read(
        self, gate: Gate, names: Names, revision: str, at: datetime, since: datetime | None, *, weight_since: datetime | None = None
    ) -> Reading:
        self.asked.append((gate.name, revision, at))
        await self.answers.wait()
        if gate.name in self.late:
            await self.late[gate.name].wait()
        if gate.name in self.unprimed and not isinstance(self.values.get(gate.name), str):
            self.unprimed.discard(gate.name)
            return Reading(gate=gate.name, revision=revision, at=at)
        value = self.values.get(gate.name, 0.0)
        if isinstance(value, Exception):
            raise value
        return Reading(gate=gate.name, revision=revision, at=at, canary=value)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def prometheus(clock: ManualClock) -> Prometheus:
    return Prometheus(clock)


@pytest.fixture
def arrived() -> list[tuple[ReleaseKey, Lane]]:
    return []


@pytest.fixture
async def looks(clock: ManualClock, prometheus: Prometheus, arrived: list[tuple[ReleaseKey, Lane]]) -> AsyncIterator[Looks]:
    looks = Looks(clock=clock, reader=prometheus, arrived=lambda key, lane: arrived.append((key, lane)))
    running = asyncio.create_task(looks.run())
    await asyncio.sleep(0)
    yield looks
    running.cancel()


def plan(looks: Looks, clock: ManualClock, *gates: Gate, after: float = 5, revision: str = "bbbb") -> None:
    """Ask for the next look of some gates."""
    at = clock.now() + timedelta(seconds=after)
    watch = Subject({gate.name: gate for gate in gates}, NAMES, revision, None)
    looks.plan(KEY, [Look(gate.name, at) for gate in gates], watch if gates else None, Moment.of(clock))


async def rest() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_look_is_taken_when_it_is_due(looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list) -> None:
    """A look is taken at its time and not before, and brings its Release back with what it found."""
    plan(looks, clock, ERRORS)
    due = clock.now() + timedelta(seconds=5)
    clock.advance(4.9)
    await rest()
    early = list(prometheus.asked)
    clock.advance(0.2)
    await settled(lambda: bool(arrived))

    assert [] == early
    assert [("errors", "bbbb", due)] == prometheus.asked
    assert [(KEY, Lane.NORMAL)] == arrived
    assert [0.0] == [arrival.reading.canary for arrival in looks.waiting(KEY)]


async def test_a_gate_whose_queries_are_slow_rests(looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list) -> None:
    """It is looked at once it has rested, and meanwhile nothing is handed in: no look is none that found nothing."""
    prometheus.rests["slow"] = clock.monotonic() + 40
    plan(looks, clock, ERRORS, SLOW)
    due = clock.now() + timedelta(seconds=5)
    clock.advance(5)
    await settled(lambda: bool(arrived))
    clock.advance(34.9)
    await rest()
    early = list(prometheus.asked)
    clock.advance(0.2)
    await settled(lambda: len(arrived) == 2)

    assert early == [("errors", "bbbb", due)]
    assert [gate for gate, *_ in prometheus.asked] == ["errors", "slow"]


async def test_reading_stays_until_it_is_decided_on(looks: Looks, clock: ManualClock, arrived: list) -> None:
    """A reading is handed out as often as it is asked for, oldest first, until a decision was made."""
    for _ in range(2):
        plan(looks, clock, ERRORS)
        clock.advance(31)
        before = len(arrived)
        await settled(lambda before=before: len(arrived) > before)  # type: ignore[misc]

    first, second = looks.waiting(KEY), looks.waiting(KEY)
    looks.decided(KEY)

    assert first == second
    assert 2 == len(first)
    assert first[0].reading.at < first[1].reading.at
    assert () == looks.waiting(KEY)


@pytest.mark.parametrize(("gate", "urgent"), [(ERRORS, True), (SLOW, False)], ids=["Rollback", "Pause"])
async def test_what_is_beyond_a_limit_waits_for_no_other_work(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list, gate: Gate, urgent: bool
) -> None:
    """A reading that may roll back goes first and cuts a pass short; one that asks people has its turn like all others."""
    prometheus.values[gate.name] = 0.5
    plan(looks, clock, gate)
    clock.advance(5)
    await settled(lambda: bool(arrived))

    assert [(KEY, Lane.URGENT if urgent else Lane.NORMAL)] == arrived
    assert urgent is looks.urgent(KEY)


def turns(interval: float, releases: int, *, looks: int) -> list[list[float]]:
    """Return when Releases that were looked at in the same instant are looked at from then on, in seconds."""
    begin, apart = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=interval)
    found = []
    for number in range(releases):
        at = [begin]
        for _ in range(looks):
            at.append(_in_turn(ReleaseKey("shop", f"service-{number}"), at[-1] + apart, apart))
        found.append([(moment - begin).total_seconds() for moment in at])
    return found


@pytest.mark.parametrize("interval", [1.0, 2.0, 5.0, 10.0, 31.0, 60.0])
def test_releases_that_were_looked_at_together_are_spread_over_the_interval(interval: float) -> None:
    """From the third look on, no tick of the interval has more than its share, and each Release keeps to its own."""
    tick = min(3.0, interval / 10)
    found = turns(interval, 400, looks=8)

    gaps = [[round(b - a, 6) for a, b in itertools.pairwise(one)] for one in found]
    shares = Counter(round(one[-1] / tick) % math.ceil(round(interval / tick, 6)) for one in found)

    assert all(interval / 2 - tick <= gap <= interval + tick for one in gaps for gap in one)
    assert all(len({*one[3:]}) == 1 for one in gaps)
    assert max(shares.values()) <= 2.0 * 400 / len(shares)
    assert len(shares) >= 10


async def test_gate_is_looked_at_once_at_a_time(looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list) -> None:
    """Given a look that takes long, plans that are made meanwhile do not take a second; it is planned once it is over."""
    prometheus.answers.clear()
    plan(looks, clock, ERRORS)
    clock.advance(5)
    await rest()
    plan(looks, clock, ERRORS, after=0)
    clock.advance(10)
    await rest()
    during = len(prometheus.asked)
    prometheus.answers.set()
    await settled(lambda: bool(arrived))
    looks.decided(KEY)
    plan(looks, clock, ERRORS, after=1)
    clock.advance(1)
    await settled(lambda: len(arrived) == 2)

    assert 1 == during
    assert 2 == len(prometheus.asked)


async def test_one_moment_counts_once(looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list) -> None:
    """Given a reading that came in while a pass was still planning by what it knew, the next look is an interval after it."""
    plan(looks, clock, ERRORS)
    clock.advance(5)
    await settled(lambda: bool(arrived))
    plan(looks, clock, ERRORS, after=0)
    clock.advance(9)
    await rest()
    early = len(prometheus.asked)
    clock.advance(1)
    await settled(lambda: len(arrived) == 2)

    assert 1 == early
    assert 2 == len(prometheus.asked)


async def test_look_under_way_keeps_the_revision_that_it_was_taken_of(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given another version while a look is under way, the reading says of which version it is, and the next is of the other."""
    prometheus.answers.clear()
    plan(looks, clock, ERRORS)
    clock.advance(5)
    await rest()
    plan(looks, clock, ERRORS, revision="cccc")
    prometheus.answers.set()
    await settled(lambda: bool(arrived))
    plan(looks, clock, ERRORS, revision="cccc", after=0)
    await settled(lambda: len(arrived) == 2)

    assert ["bbbb", "cccc"] == [arrival.reading.revision for arrival in looks.waiting(KEY)]


async def test_plan_without_a_gate_takes_no_look_of_it(looks: Looks, clock: ManualClock, prometheus: Prometheus) -> None:
    """A gate that the newest plan does not name is not looked at any more; nor is any once there is no plan."""
    plan(looks, clock, ERRORS, SLOW)
    plan(looks, clock, SLOW)
    clock.advance(5)
    await rest()
    named = [name for name, _, _ in prometheus.asked]
    plan(looks, clock, ERRORS, SLOW)
    plan(looks, clock)
    clock.advance(60)
    await rest()

    assert ["slow"] == named
    assert 1 == len(prometheus.asked)


async def test_look_that_fails_counts_as_one_that_found_nothing(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given a bug in reading, the gate has a reading that says so: the next look comes an interval later, and others are taken."""
    prometheus.values["errors"] = ValueError("a secret")
    plan(looks, clock, ERRORS, SLOW)
    clock.advance(5)
    await settled(lambda: len(arrived) == 2)

    readings = {arrival.reading.gate: arrival.reading for arrival in looks.waiting(KEY)}
    assert "the look failed (ValueError)" == readings["errors"].trouble
    assert readings["errors"].canary is None
    assert clock.now() == readings["errors"].at
    assert 0.0 == readings["slow"].canary


async def test_gates_that_are_due_together_ask_at_the_same_instant(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Looks that fall due within a tenth of their interval share a tick, and one evaluation time."""
    plan(looks, clock, ERRORS, SLOW, after=5.07)
    clock.advance(0.5)
    await settled(lambda: not arrived)
    clock.advance(5.5)
    await settled(lambda: len(arrived) == 2)

    assert 1 == len({at for _, _, at in prometheus.asked})
    assert all(at <= clock.now() for _, _, at in prometheus.asked)


async def test_looks_that_come_in_together_are_decided_on_together(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given two looks under way, the first that comes in waits a moment for the other; what may roll back does not."""
    plan(looks, clock, ERRORS, SLOW)
    clock.advance(5)
    await settled(lambda: bool(arrived))
    together = [arrival.reading.gate for arrival in looks.waiting(KEY)]
    looks.decided(KEY)
    brought, slow = len(arrived), asyncio.Event()
    prometheus.values["errors"] = 0.5
    prometheus.late["slow"] = slow
    plan(looks, clock, ERRORS, SLOW)
    clock.advance(5)
    await settled(lambda: len(arrived) > brought)
    alone = [arrival.reading.gate for arrival in looks.waiting(KEY)]
    slow.set()

    assert ["errors", "slow"] == sorted(together)
    assert 1 == brought
    assert ["errors"] == alone
    assert (KEY, Lane.URGENT) == arrived[brought]


async def test_a_look_at_the_split_goes_with_that_of_its_gate(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Wherever the gate has its turn, both are asked at the same instant."""
    beside = ERRORS.model_copy(update={"name": "errors/split"})
    state = GateStatus(name="errors", verdict=Verdict.PASS, limit="", samples=0, message="", at=clock.now())
    watch = Subject({"errors": ERRORS, beside.name: beside}, NAMES, "bbbb", None, states={"errors": state})
    at = clock.now() + timedelta(seconds=10)
    looks.plan(KEY, [Look("errors", at), Look(beside.name, at)], watch, Moment.of(clock))
    clock.advance(10)
    await settled(lambda: bool(arrived))

    assert ["errors", "errors/split"] == sorted(gate for gate, *_ in prometheus.asked)
    assert 1 == len({instant for *_, instant in prometheus.asked})


@pytest.mark.parametrize(
    ("late", "since", "asked"),
    [(0.4, 0.0, 0.0), (0.6, 0.0, 0.5), (0.93, 0.0, 0.5), (0.4, 0.3, 0.4), (0.93, 0.7, 0.9)],
    ids=["in time", "late", "later", "traffic since the tick", "traffic since the half tick"],
)
def test_looks_that_are_late_share_evaluation_times_too(late: float, since: float, asked: float) -> None:
    """Given an operator that does not keep up, its looks are asked together all the same, at an instant with traffic."""
    tick = datetime(2026, 1, 1, 12, tzinfo=UTC)

    found = _instant(tick + timedelta(seconds=late), timedelta(seconds=10), tick + timedelta(seconds=since))

    assert asked == round((found - tick).total_seconds(), 3)


async def test_nothing_is_kept_of_a_release_that_is_gone(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given a Release that goes while a look is under way, what comes in brings it back once more, and can be forgotten again."""
    prometheus.answers.clear()
    plan(looks, clock, ERRORS, SLOW)
    clock.advance(5)
    await rest()
    looks.forget(KEY)
    prometheus.answers.set()
    await settled(lambda: len(arrived) == 2)
    looks.forget(KEY)

    kept = (looks._subjects, looks._wanted, looks._arrivals, looks._flying)
    assert ({}, {}, {}, {}) == kept
    assert 0 == len(looks._scheduler)


async def test_a_late_look_is_still_asked_with_the_others(
    looks: Looks, clock: ManualClock, prometheus: Prometheus, arrived: list
) -> None:
    """Given a busy operator that takes a look a little late, it is evaluated at the tick that it was due at."""
    plan(looks, clock, ERRORS)
    due = clock.now() + timedelta(seconds=5)
    clock.advance(5.4)
    await settled(lambda: len(arrived) == 1)

    assert [due] == [at for _, _, at in prometheus.asked]


async def test_ledger_is_closed_with_the_rollout(looks: Looks, clock: ManualClock, prometheus: Prometheus) -> None:
    """When nothing is looked at any more, what was known of the Release's counters is let go of."""
    plan(looks, clock, ERRORS)

    looks.plan(KEY, (), None, Moment.of(clock))
    looks.plan(KEY, (), None, Moment.of(clock))

    assert [("shop", "checkout")] == prometheus.forgotten
