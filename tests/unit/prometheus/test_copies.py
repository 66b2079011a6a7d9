"""Requests that count more than once, since several read one process and nobody deduplicates: noticed by the times of samples."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.judge.reading import Reading, Shown
from tidegate.judge.telemetry import in_words
from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.copies import EVERY, FIRST, Copies, apart, copies
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names
from unit.prometheus.test_counting import at

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)
POD = {"namespace": "shop", "pod": "c-abcde", "instance": "10.0.0.1:8080"}
Series = tuple[dict[str, str], float]


def gate(source: str = "HTTP", measure: str = "ErrorRate", **metric: Any) -> Gate:
    found = metric or {"preset": {"source": source, "measure": measure}}
    limit = {"maxIncrease": {"points": 1}}
    return Gate.model_validate({"name": "g", "metric": found, "versusStable": limit})


class Store:
    """One process, as it is kept: its series by their labels, the time of each one's sample, and what they count."""

    def __init__(self, series: list[Series], counts: dict[str, float] | None = None, *, native: bool = False) -> None:
        self._series, self._counts, self._native = series, counts or {}, native
        self.asked: list[str] = []

    async def ask(self, query: str) -> Result | Trouble:
        self.asked.append(query)
        if query.startswith("topk"):
            times = len({at for _, at in self._series})
            return Result([{"metric": POD, "value": [0, str(times)]}] if self._series else [])
        if query.startswith("timestamp"):
            return Result([{"metric": {**POD, **labels}, "value": [0, str(at)]} for labels, at in self._series])
        key = "histogram" if self._native else "value"
        wrapped = {who: {"count": str(n)} if self._native else str(n) for who, n in self._counts.items()}
        return Result([{"metric": {"x": who}, key: [0, n]} for who, n in wrapped.items()])


def twice(*labels: str, codes: tuple[str, ...] = ("200", "500")) -> list[Series]:
    """Series that two have read, each with a value of its own of these labels."""
    return [({"code": code, **dict.fromkeys(labels, who)}, at) for who, at in (("a", 10.0), ("b", 17.5)) for code in codes]


ALIKE = {"a": 1000.0, "b": 985.0}


@pytest.mark.parametrize(
    ("asked", "labels", "native", "words"),
    [
        (gate(), ("cluster_replica",), False, "cluster_replica; name it prometheus_replica, or have the store deduplicate by it"),
        (gate(), ("receive", "replica"), False, "receive and replica; name it prometheus_replica, or have the store dedup"),
        (gate(), ("endpoint", "job", "service"), False, "endpoint and job and service; have each pod scraped by one job"),
        (
            gate(measure="Latency"),
            ("replica",),
            True,
            "replica; have the store deduplicate by it (Thanos: --query.replica-label): nat",
        ),
        (
            gate(counters={"canary": {"bad": "b{}", "total": 'n{x="1"}'}, "stable": {"bad": "b{}", "total": 'n{x="2"}'}}),
            ("replica",),
            False,
            "replica; take max without (replica) of them, or have the store deduplicate by it (Thanos: --query.replica-label)",
        ),
    ],
)
async def test_copies_are_told_by_what_tells_them_apart(asked: Gate, labels: tuple[str, ...], native: bool, words: str) -> None:
    """Whatever the label is called; the cure is what can be done about this one."""
    store = Store(twice(*labels), ALIKE, native=native)

    said = await copies(store.ask, asked, NAMES, Version.CANARY)

    assert said.startswith(f"requests of the new version count twice: its series are there once for each {words}")


@pytest.mark.parametrize(
    ("series", "counts"),
    [
        ([], {}),
        (twice()[:2], {}),  # read by one
        (twice("prometheus_replica"), ALIKE),  # taken once already
        (twice("job"), ALIKE),
        (twice("cluster_replica"), {"a": 1000.0, "b": 300.0}),  # counted apart: two programs under one name
        (twice("cluster_replica"), {"a": 4.0, "b": 4.0}),  # too little to tell
        (twice(), ALIKE),  # nothing tells them apart: pushed at times of their own
    ],
)
async def test_what_counts_once_is_no_copy(series: list[Series], counts: dict[str, float]) -> None:
    """Nobody is told of what is as it should be, nor of what is not known."""
    assert "" == await copies(Store(series, counts).ask, gate(), NAMES, Version.CANARY)


async def test_containers_are_never_copies() -> None:
    """What kube-state-metrics counts is taken once, whoever says it."""
    store = Store(twice("x"), ALIKE)

    assert "" == await copies(store.ask, gate("Kubernetes", "Restarts"), NAMES, Version.CANARY)
    assert [] == store.asked


@given(
    st.lists(st.sampled_from(["200", "404", "500"]), min_size=1, max_size=3, unique=True), st.sampled_from(["job", "z", "code2"])
)
def test_a_label_of_requests_is_never_to_blame(codes: list[str], label: str) -> None:
    """Who reads a process reads all of its series at once, whatever these are of."""
    one_reader = [({"code": code, label: "a"}, 10.0) for code in codes]

    assert () == apart(one_reader)
    assert (label,) == apart([*one_reader, *(({"code": code, label: "b"}, 12.0) for code in codes)])


async def test_it_is_looked_for_on_the_side_once_series_have_gone_on() -> None:
    """No look waits for it; and once it was looked for, not again for ten minutes."""
    now = 0.0
    store, known = Store(twice("cluster_replica"), ALIKE), Copies(lambda: now)

    async def told() -> str:
        found = known.told(store.ask, gate(), NAMES)
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return found

    first = [await told()]
    now = FIRST
    asked = len(store.asked)
    first += [await told(), await told()]
    once = len(store.asked)
    now += EVERY - 1
    await told()

    assert ["", ""] == first[:2]
    assert "count twice" in first[2]
    assert 0 == asked < once == len(store.asked)


def test_it_stands_first_in_the_telemetry() -> None:
    """All numbers that follow are wrong by it."""
    reading = Reading("g", "c", at(0), shown=Shown(2, 3, copies="requests of stable count twice"))

    assert in_words(gate(), reading).startswith("requests of stable count twice; the new version: 2 processes")
