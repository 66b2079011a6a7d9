"""Requests that are kept more than once, since several read one process and nobody deduplicates: each counts once all the same."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bench.stand_in import joined_of
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.judge.reading import Reading, Shown
from tidegate.judge.telemetry import in_words
from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.config import Budgets
from tidegate.prometheus.copies import AT_ONCE, EVERY, FIRST, Copied, Copies, apart, copies, of_one
from tidegate.prometheus.counters import raw_counters
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names
from tidegate.prometheus.queries import queries
from tidegate.prometheus.reader import Reader
from unit.prometheus.conftest import send
from unit.prometheus.test_counting import at

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)
POD = {"namespace": "shop", "pod": "c-abcde", "instance": "10.0.0.1:8080"}
IDLE = {"namespace": "shop", "pod": "c-zzzzz", "instance": "10.0.0.2:8080"}
OWN = {"counters": {"canary": {"bad": "b{}", "total": 'n{x="1"}'}, "stable": {"bad": "b{}", "total": 'n{x="2"}'}}}
ADDED_UP = {"counters": {"canary": {"bad": "sum(b{})", "total": 'sum(n{x="1"})'}, "stable": {"bad": "b{}", "total": "n{}"}}}
Counter = Callable[[float], float]
"""What a process has counted at a time."""
Series = tuple[dict[str, str], float, Counter]
"""Labels that a series has beside those of the pod, the phase of who reads it every 15 s, and what it counts."""


def gate(source: str = "HTTP", measure: str = "ErrorRate", **metric: Any) -> Gate:
    found = metric or {"preset": {"source": source, "measure": measure}}
    limit = {"maxIncrease": {"points": 1}}
    return Gate.model_validate({"name": "g", "metric": found, "versusStable": limit})


class Store:
    """One process, as it is kept by several who read it every 15 s, and perhaps another that has not counted anything."""

    def __init__(self, series: list[Series], *, native: bool = False) -> None:
        self._series, self._native = series, native
        self.asked: list[str] = []

    async def ask(self, query: str) -> Result | Trouble:
        self.asked.append(query)
        now = 1000.0 - {"": 0, "30s": 30, "1m": 60, "2m": 120}[found[1] if (found := re.search(r" offset (\w+)", query)) else ""]
        if "timestamp" in query and ">" in query:
            now = 1000.0
        at = [now - (now - phase) % 15 for _, phase, _ in self._series]
        if query.startswith("topk"):
            times = str(len(set(at)))
            return Result([{"metric": one, "value": [0, times]} for one in (IDLE, POD)] if self._series else [])
        if query.startswith("sum by"):
            return Result([{"metric": IDLE, "value": [0, "0"]}, {"metric": POD, "value": [0, "9"]}])
        assert self._series == [] or POD["pod"] in query
        if query.startswith("timestamp"):
            return Result(
                [{"metric": {**POD, **one[0]}, "value": [0, str(time)]} for one, time in zip(self._series, at, strict=True)]
            )
        key = "histogram" if self._native else "value"
        numbers = [str(one[2](time)) for one, time in zip(self._series, at, strict=True)]
        values: list[Any] = [{"count": number} if self._native else number for number in numbers]
        return Result([{"metric": {**POD, **one[0]}, key: [0, v]} for one, v in zip(self._series, values, strict=True)])


def twice(*labels: str, other: float = 1.0, rate: float = 2.0) -> list[Series]:
    """Two counters that two have read, each with a value of its own of these labels; one has seen another share of them."""
    return [
        (
            {"code": code, **dict.fromkeys(labels, who)},
            phase,
            lambda t, much=much, code=code: float(int(t * rate * much / int(code))),
        )
        for who, phase, much in (("a", 10.0, 100.0), ("b", 17.5, 100.0 * other))
        for code in ("200", "500")
    ]


@pytest.mark.parametrize(
    ("asked", "labels", "native", "left_out", "told_by"),
    [
        (gate(), ("cluster_replica",), False, ("cluster_replica",), "cluster_replica"),
        (gate(), ("receive", "replica"), False, ("receive",), "receive and replica"),
        (gate(), ("endpoint", "job", "service"), False, ("endpoint", "service"), "endpoint and job and service"),
        (gate(measure="Latency"), ("stored_by",), True, ("stored_by",), "stored_by"),
        (gate(**OWN), ("replica",), False, ("replica",), "replica"),
    ],
)
async def test_copies_count_once_whatever_tells_them_apart(
    asked: Gate, labels: tuple[str, ...], native: bool, left_out: tuple[str, ...], told_by: str
) -> None:
    """By whatever label: where all samples are of one counter, those who have read it do not count."""
    found = await copies(Store(twice(*labels), native=native).ask, asked, NAMES, Version.CANARY)

    words = f"requests of the new version are kept twice, once for each {told_by}; each counts once"
    assert found == Copied(left_out, words)


@pytest.mark.parametrize(
    ("asked", "labels", "other", "cure"),
    [
        (
            gate(),
            "stored_by",
            0.95,
            "name it prometheus_replica, or have the store deduplicate by it (Thanos: --query.replica-label)",
        ),
        (gate(), "service", 0.95, "have each pod scraped by one job"),
        (gate(**ADDED_UP), "replica", 1.0, "take max without (replica) of them, or have the store deduplicate by it"),
    ],
)
async def test_what_is_alike_and_cannot_be_taken_once_is_told_with_its_cure(
    asked: Gate, labels: str, other: float, cure: str
) -> None:
    """Counters of their own may be alike by chance, and what people add up themselves is added up."""
    found = await copies(Store(twice(labels, other=other)).ask, asked, NAMES, Version.CANARY)

    assert found is not None
    assert (found.labels, found.once) == ((), False)
    assert found.words.startswith(
        f"requests of the new version are kept twice, once for each {labels}, and may count as often; {cure}"
    )


@pytest.mark.parametrize(
    "series",
    [
        [],
        twice()[:2],  # read by one
        twice("prometheus_replica"),  # taken once always
        twice("job"),
        twice("cluster_replica", other=0.3),  # counted apart: two programs under one name
        twice("cluster_replica", rate=0.001),  # too little to tell
        twice(),  # nothing tells them apart: pushed at times of their own
    ],
)
async def test_what_counts_once_is_no_copy(series: list[Series]) -> None:
    """Nobody is told of what is as it should be, nor of what is not known."""
    assert Copied() == await copies(Store(series).ask, gate(), NAMES, Version.CANARY)


async def test_containers_are_never_copies() -> None:
    """What kube-state-metrics counts is taken once, whoever says it."""
    store = Store(twice("x"))

    assert Copied() == await copies(store.ask, gate("Kubernetes", "Restarts"), NAMES, Version.CANARY)
    assert [] == store.asked


async def test_no_answer_is_no_knowledge() -> None:
    """Of a server that does not answer it is not known that nothing is kept twice."""

    async def ask(_: str) -> Result | Trouble:
        return Trouble("no")

    assert None is await copies(ask, gate(), NAMES, Version.CANARY)


@given(
    st.lists(st.sampled_from(["200", "404", "500"]), min_size=1, max_size=3, unique=True), st.sampled_from(["job", "z", "code2"])
)
def test_a_label_of_requests_is_never_to_blame(codes: list[str], label: str) -> None:
    """Who reads a process reads all of its series at once, whatever these are of."""
    one_reader = [({"code": code, label: "a"}, 10.0) for code in codes]

    assert () == apart(one_reader)
    assert (label,) == apart([*one_reader, *(({"code": code, label: "b"}, 12.0) for code in codes)])


@given(st.randoms(use_true_random=False), st.floats(0.1, 40), st.floats(0.5, 14))
def test_two_programs_are_never_taken_for_one(chance: random.Random, rate: float, phase: float) -> None:
    """Even where both count the same requests a second, as halves of one load do; but what two read of one program is of one."""

    def told(*counters: dict[int, float]) -> list[Any]:
        def series(instant: int, number: int, value: float) -> dict[str, Any]:
            return {"metric": {"who": str(number)}, "value": [instant, str(value)]}

        found = []
        for instant in (900, 960, 990, 1020):
            values = [series(instant, number, one[instant]) for number, one in enumerate(counters)]
            times = [series(instant, number, instant - number * phase) for number, _ in enumerate(counters)]
            found.append((values, times))
        return found

    def counted(behind: float) -> dict[int, float]:
        return {instant: float(int((instant - behind) * rate)) for instant in (900, 960, 990, 1020)}

    ahead = chance.uniform(phase * rate + 2, phase * rate + 100)
    one, copy = counted(0), counted(phase)
    program = {instant: value + ahead for instant, value in copy.items()}

    assert of_one(["who"], told(one, copy))
    assert not of_one(["who"], told(one, program)) or phase < 1


async def test_it_is_looked_for_before_anything_counts_and_on_the_side_once_series_have_gone_on() -> None:
    """What has been there for a while is known from the first request on; no later look waits, nor asks again for ten minutes."""
    now = 0.0
    store, young, known = Store(twice("cluster_replica")), Store([]), Copies(lambda: now)

    async def told(store: Store) -> str:
        found = known.told(store.ask, gate(), NAMES)
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return found

    await known.begin(young.ask, gate(), NAMES)
    await known.begin(young.ask, gate(), NAMES)
    before = (len(young.asked), known.within(gate(), NAMES), await told(store))
    now = FIRST
    await told(store)
    words, once = await told(store), len(store.asked)
    now += EVERY - 1
    await told(store)
    asked = len(store.asked)
    other = Copies(lambda: now)
    await other.begin(store.ask, gate(), NAMES)

    assert before == (1, NAMES, "")
    assert "kept twice" in words
    assert known.within(gate(), NAMES).copies == other.within(gate(), NAMES).copies == ("cluster_replica",)
    assert asked == once


async def test_no_look_waits_twice_for_a_store_that_does_not_say() -> None:
    """Given a store to which this question is too much, the first look goes on without, and it is asked again beside the next."""
    store, known, asked = Store(twice("cluster_replica")), Copies(lambda: 5.0), []

    async def too_much(query: str) -> Result | Trouble:
        asked.append(query)
        return Trouble("query processing would load too many samples into memory")

    await known.begin(too_much, gate(), NAMES)
    await known.begin(too_much, gate(), NAMES)
    once = len(asked)
    known.told(store.ask, gate(), NAMES)
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    assert once == 1
    assert known.within(gate(), NAMES).copies == ("cluster_replica",)


class Kept:
    """A Prometheus that answers from a store."""

    def __init__(self, prometheus: Any, store: Store) -> None:
        self._prometheus, self._store = prometheus, store
        prometheus.understands = self._note
        prometheus.does(self._respond)
        self.requests: list[str] = []

    def _note(self, query: str) -> str:
        self.requests.append(query)
        return ""

    def _respond(self, handler: Any) -> None:
        query = self.requests[-1]
        series = []
        for one, labels in joined_of(query) or [(query, {})]:
            # Whatever is asked is of the store's one process.
            answer = asyncio.run(self._store.ask(f"{one} # {POD['pod']}"))
            assert isinstance(answer, Result)
            series += [{**found, "metric": {**found["metric"], **labels}} for found in answer.data]
        send(handler, 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode())


async def test_a_new_process_asks_for_copies_and_counters_in_one_request(prometheus: Any, connect: Any) -> None:
    """After a restart all Releases ask at once; where there are no copies, nothing is asked a second time."""
    kept, reader = Kept(prometheus, Store([({"code": "200"}, 10.0, lambda t: t)])), Reader({"default": connect(prometheus.address)})

    assert await reader.resume(gate(), NAMES, "c", at(0)) == ""

    assert reader.primed(gate(), NAMES, "c")
    assert len(kept.requests) == 1


async def test_a_new_process_counts_copies_once_from_the_beginning(prometheus: Any, connect: Any) -> None:
    """Where there are copies, the counters are asked for again without what tells them apart."""
    kept = Kept(prometheus, Store(twice("cluster_replica")))
    reader = Reader({"default": connect(prometheus.address)})

    assert await reader.resume(gate(), NAMES, "c", at(0)) == ""

    assert reader.primed(gate(), NAMES, "c")
    assert "replica, cluster_replica)" in kept.requests[-1]


async def test_series_that_are_too_many_as_copies_are_asked_for_again(prometheus: Any, connect: Any) -> None:
    """What was refused before copies were known waits for no minute: without them it may be little enough."""
    kept = Kept(prometheus, Store(twice("cluster_replica")))
    reader = Reader({"default": connect(prometheus.address)}, budgets=Budgets(series_per_gate=3))

    await reader.resume(gate(), NAMES, "c", at(0))

    assert "replica, cluster_replica)" not in kept.requests[0]
    assert "replica, cluster_replica)" in kept.requests[-1]


def test_what_tells_copies_apart_is_left_out_of_every_query() -> None:
    """Of presets for both judges, and of people's own counters."""
    names = replace(NAMES, copies=("written_by",))
    asked, own = raw_counters(gate(), names).canary, raw_counters(gate(**OWN), names).canary
    tail = dict(raw_counters(gate(measure="Tail"), names).canary.buckets)
    limit = queries(gate(), names).canary_samples

    texts = (asked.total, asked.bad, *tail.values(), limit or "")
    assert all("without (job, prometheus_replica, replica, written_by)" in text for text in texts)
    assert (own.total, own.bad) == ('max without (written_by) (\nn{x="1"}\n)', "max without (written_by) (\nb{}\n)")
    assert own.times == 'max without (written_by) (\ntimestamp(\nn{x="1"}\n)\n)'


async def test_releases_that_are_looked_at_together_are_asked_about_together() -> None:
    """What is asked first of both versions, and of each way to count, needs no answer to anything else: all goes out at once."""
    now, held = 0.0, asyncio.Event()
    store, known = Store([]), Copies(lambda: now)

    async def ask(query: str) -> Result | Trouble:
        answer = await store.ask(query)
        await held.wait()
        return answer

    def look() -> None:
        for number in range(20):
            for measure in ("ErrorRate", "Latency"):
                asked = gate(measure=measure).model_copy(update={"name": measure})
                known.told(ask, asked, replace(NAMES, release=f"checkout-{number}"))

    look()
    now = FIRST
    look()
    for _ in range(8):
        await asyncio.sleep(0)
    waiting = len(store.asked)
    held.set()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    assert (AT_ONCE // 2) * 2 * (1 + 2) == waiting == len(store.asked)


def test_it_stands_first_in_the_telemetry() -> None:
    """Whoever compares with a dashboard sees why that has more."""
    reading = Reading("g", "c", at(0), shown=Shown(2, 3, copies="requests of stable are kept twice"))

    assert in_words(gate(), reading).startswith("requests of stable are kept twice; the new version: 2 processes")
