"""Rounds of reading wait for no pod that hangs, ask rarely what is dear or gone, and wait again for what is quick again."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import DirectConfig
from tidegate.prometheus.direct.effort import PUT_OFF
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.rounds import Rounds
from tidegate.prometheus.direct.scraper import Unscraped
from tidegate.prometheus.direct.targets import Chosen, Missed, Target
from tidegate.prometheus.direct.text import Series
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import START, target, text, wanted


class Answers:
    """Pods that answer as a test says, in place of those at the end of a network."""

    config = DirectConfig()

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hanging: set[str] = set()
        self.gone: set[str] = set()
        self.dear: dict[str, float] = {}
        self.put_off: set[str] = set()
        self.credit: int | None = None
        self.free = asyncio.Event()

    async def scrape(
        self, one: Target, series: Series, asker: Asker, seconds: float, *, by: object, protobuf: bool = False
    ) -> Page | Unscraped:
        self.asked.append(one.pod)
        if one.pod in self.hanging:
            await self.free.wait()
        if self.credit is not None:
            self.credit -= 1
        if one.pod in self.put_off or (self.credit is not None and self.credit < 0):
            return Unscraped(PUT_OFF, put_off=True)
        seconds = self.dear.get(one.pod, 0.0)
        if one.pod in self.gone:
            return Unscraped("no connection", seconds)
        return replace(text('http_requests_total{code="200"} 1\n', *series.wishes), seconds=seconds)


async def test_round_waits_for_no_pod_that_hangs() -> None:
    """A pod that hung is waited for no more, a pod that is gone is asked ever more rarely, and the others are read each time."""
    clock, pods, failed = ManualClock(START), Answers(), list[int]()
    rounds = Rounds(pods, Asker("shop"), 2.0, clock, lambda: failed.append(1))  # type: ignore[arg-type]
    canary = Chosen((target("c1"), target("c2")), pods=2)
    rounds.want(Series((wanted(),)), canary, Chosen((target("s1"), target("s2")), pods=2))
    pods.hanging, pods.gone = {"c2"}, {"s2"}

    first = await rounds.round()
    assert [one.target.pod for one in first.canary] == ["c1"]
    assert [one.target.pod for one in first.stable] == ["s1"]
    assert [one.pod for one in first.missed_stable] == ["s2"]
    for _ in range(20):
        clock.advance(2.0)
        assert len((await asyncio.wait_for(rounds.round(), 0.5)).canary) == 1
    assert pods.asked.count("c2") == 1
    assert pods.asked.count("c1") == 21
    assert pods.asked.count("s2") < 8
    assert failed
    rounds.close()


async def test_page_that_is_dear_is_read_more_rarely() -> None:
    """A pod whose page takes 0.5 s of processor time is read every 10 s, and is named; so is one whose page is refused then."""
    clock, pods = ManualClock(START), Answers()
    rounds = Rounds(pods, Asker("shop"), 5.0, clock, lambda: None)  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen(tuple(map(target, ("c1", "c2", "c3"))), pods=3), Chosen())
    pods.dear, pods.gone = {"c1": 0.5, "c2": 0.001, "c3": 5.0}, {"c3"}
    found = [await rounds.round()]
    for _ in range(8):
        clock.advance(5)
        found.append(await rounds.round())
    assert [pods.asked.count(one) for one in ("c1", "c2", "c3")] == [5, 9, 1]
    assert all(("c2" in {one.target.pod for one in each.canary}) for each in found)
    seldom = Missed("c1", "its page took 0.5s of processor time, so it is read every 10s", read=True)
    assert set(found[-1].missed) == {seldom, Missed("c3", "no connection")}
    rounds.close()


async def test_pod_that_is_put_off_is_not_taken_for_gone() -> None:
    """A pod that is put off for what others cost is named, asked again in the next round, and its list stays as it is."""
    clock, pods, failed = ManualClock(START), Answers(), list[int]()
    rounds = Rounds(pods, Asker("shop"), 5.0, clock, lambda: failed.append(1))  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen((target("c"),), pods=1), Chosen())
    pods.put_off = {"c"}
    for _ in range(5):
        clock.advance(5)
        assert (await rounds.round()).missed == (Missed("c", PUT_OFF),)
    pods.put_off = set()
    clock.advance(5)
    assert len((await rounds.round()).canary) == 1
    assert pods.asked.count("c") == 6
    assert failed == []
    rounds.close()


async def test_pod_that_is_gone_for_days() -> None:
    """However often a pod has not answered, it is asked again half a minute later, and the others are read."""
    clock, pods = ManualClock(START), Answers()
    rounds = Rounds(pods, Asker("shop"), 5.0, clock, lambda: None)  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen((target("c1"), target("c2")), pods=2), Chosen())
    pods.gone = {"c2"}
    for _ in range(1100):
        clock.advance(31)
        assert len((await rounds.round()).canary) == 1
    assert pods.asked.count("c2") == 1100
    rounds.close()


async def test_late_page_of_stable_holds_nothing_up() -> None:
    """A page of stable that comes a round late is left out: it is older than what the new version has said since."""
    clock, pods = ManualClock(START), Answers()
    rounds = Rounds(pods, Asker("shop"), 0.05, clock, lambda: None)  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen((target("c"),), pods=1), Chosen((target("s1"), target("s2")), pods=2))
    pods.hanging = {"s2"}
    await rounds.round()
    pods.free.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pods.free.clear()
    clock.advance(0.05)

    found = await rounds.round()

    assert [one.target.pod for one in found.stable] == ["s1"]
    rounds.close()


async def test_pod_that_was_slow_once_is_waited_for_again() -> None:
    """Stable's only pod, which was slow in one round, is read in every later one; in time as soon as it has been quick."""
    clock, pods = ManualClock(START), Answers()
    rounds = Rounds(pods, Asker("shop"), 0.05, clock, lambda: None)  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen((target("c"),), pods=1), Chosen((target("s"),), pods=1))
    pods.hanging = {"s"}
    assert not (await rounds.round()).stable
    pods.hanging = set()
    ages = []
    for _ in range(4):
        clock.advance(0.05)
        pods.free.set()
        await asyncio.sleep(0)
        found = await rounds.round()
        await asyncio.sleep(0)
        assert found.missed_stable == ()
        ages += [round((clock.now() - one.at).total_seconds(), 2) for one in found.stable]
    assert ages == [0.05, 0.0, 0.0, 0.0]
    rounds.close()


async def test_stable_that_is_always_slow_is_read_a_round_late() -> None:
    """Where no pod of stable answers in time, what it said in the round before is judged: each round, a round late."""
    clock, pods = ManualClock(START), Answers()
    rounds = Rounds(pods, Asker("shop"), 0.05, clock, lambda: None)  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen((target("c"),), pods=1), Chosen((target("s"),), pods=1))
    pods.hanging = {"s"}
    await rounds.round()
    for _ in range(5):
        clock.advance(0.04)
        pods.free.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pods.free.clear()
        clock.advance(0.01)
        found = await rounds.round()
        assert [clock.now() - one.at for one in found.stable] == [timedelta(seconds=0.05)]
        assert len(found.canary) == 1
        assert found.missed_stable == ()
    rounds.close()


async def test_share_that_is_too_small_goes_round() -> None:
    """If a namespace's processor time is enough for two pages of four in each round, each pod is read in every other round."""
    clock, pods, read = ManualClock(START), Answers(), Counter[str]()
    rounds = Rounds(pods, Asker("shop"), 1.0, clock, lambda: None)  # type: ignore[arg-type]
    rounds.want(Series((wanted(),)), Chosen(tuple(map(target, ("c1", "c2", "c3", "c4"))), pods=4), Chosen())
    for _ in range(4):
        clock.advance(1)
        pods.credit = 2
        read.update(one.target.pod for one in (await rounds.round()).canary)
    assert read == {"c1": 2, "c2": 2, "c3": 2, "c4": 2}
    rounds.close()


async def test_share_that_is_too_small_is_both_versions() -> None:
    """The new version's pods, which are read first, do not have all of the processor time: stable's turn comes."""
    clock, pods, read = ManualClock(START), Answers(), Counter[str]()
    rounds = Rounds(pods, Asker("shop"), 1.0, clock, lambda: None)  # type: ignore[arg-type]
    canary, stable = (Chosen(tuple(map(target, names)), pods=3) for names in (("c1", "c2", "c3"), ("s1", "s2", "s3")))
    rounds.want(Series((wanted(),)), canary, stable)
    for _ in range(12):
        clock.advance(1)
        pods.credit = 2
        found = await rounds.round()
        read.update(one.target.pod for one in (*found.canary, *found.stable))
    assert {one: number >= 3 for one, number in read.items()} == dict.fromkeys(("c1", "c2", "c3", "s1", "s2", "s3"), True)
    rounds.close()


@pytest.mark.parametrize("late", [False, True], ids=["in this round", "from the round before"])
async def test_wishes_that_change_amid_a_round(late: bool) -> None:
    """If a gate is added while pages are under way, those say nothing of what it wants: they are left out, and later ones count."""
    clock, pods, tail = ManualClock(START), Answers(), wanted(measure="Tail")
    rounds = Rounds(pods, Asker("shop"), 0.05, clock, lambda: None)  # type: ignore[arg-type]
    both = Chosen((target("c1"), target("c2")), pods=2), Chosen((target("s1"),), pods=1)
    rounds.want(Series((wanted(),)), *both)
    pods.hanging = {"c1", "s1"}
    if late:
        await rounds.round()
        pods.free.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(0.05)
    under_way = asyncio.create_task(rounds.round())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rounds.want(Series((wanted(), tail)), *both)
    pods.free.set()
    assert not [one for one in (await under_way).canary if tail not in one.page.counted]
    pods.hanging = set()
    for _ in range(2):
        clock.advance(0.05)
        found = await rounds.round()
    assert {one.target.pod for one in (*found.canary, *found.stable)} == {"c1", "c2", "s1"}
    assert all(tail in one.page.counted for one in (*found.canary, *found.stable))
    rounds.close()


async def test_pods_that_change_amid_a_round() -> None:
    """If stable's slow pod goes away while its late page is taken in, the round ends as ever."""
    clock, pods = ManualClock(START), Answers()
    rounds = Rounds(pods, Asker("shop"), 0.05, clock, lambda: None)  # type: ignore[arg-type]
    series, canary = Series((wanted(),)), Chosen((target("c"),), pods=1)
    rounds.want(series, canary, Chosen((target("s1"), target("s2")), pods=2))
    pods.hanging = {"s2"}
    await rounds.round()
    pods.free.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.advance(0.05)
    under_way = asyncio.create_task(rounds.round())
    await asyncio.sleep(0)
    rounds.want(series, canary, Chosen((target("s1"),), pods=1))
    assert [one.target.pod for one in (await under_way).stable] == ["s1"]
    rounds.close()
