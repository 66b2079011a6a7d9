"""Cases have their turns, and what was too slow has another one alone; nothing of it is hidden."""

from __future__ import annotations

import asyncio
import time

import pytest

from faults import report, timetable
from faults.oracle import Violation
from faults.runner import Result
from faults.timetable import Case

SLOW = Violation("ends", "not within 60 s")
UNTOLD = Violation("explained", "no Event tells of the weight 50%")
BUG = Violation("harness", "AssertionError: the operator has a bug")
UNSAFE = Violation("ready-pods", "the route gives weight to a Service without pods")
NAME = "promotion/write-1/lost"


def case(name: str, *outcomes: list[Violation], waits: bool = False) -> Case:
    """Return a case that ends in these ways, one after another."""
    coming = iter(outcomes)

    async def meet() -> Result:
        await asyncio.sleep(0)
        return Result(name, hits=1, violations=next(coming))

    return Case(name, meet, waits)


async def told(*outcomes: list[Violation]) -> Result:
    """Return what becomes of a case that ends in these ways."""
    met = case(NAME, *outcomes)
    results = await timetable.run([met], side_by_side=2)
    await timetable.repeat(results, lambda _: met)
    return results[0]


def written(*results: Result) -> dict:
    """Return the report on them."""
    return report.summary(results, seconds=1.0, planned=[NAME])


async def test_all_have_their_turn():
    """Those that mostly wait and the others, each once."""
    cases = [case(f"breach/write-{n}/lost", [], waits=n % 3 == 0) for n in range(20)]

    results = await timetable.run(cases, side_by_side=3)

    assert sorted(one.name for one in cases) == sorted(result.name for result in results)


async def test_nothing_is_begun_when_time_is_up():
    """What there is no time for is not met, and the report names it."""
    results = await timetable.run([case(NAME, [])], side_by_side=2, more=lambda: False)

    assert [NAME] == written(*results)["left_out"]


async def test_what_is_under_way_at_the_end_is_given_up():
    """A case that does not end by the end is not in the result."""

    async def hangs() -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    results = await timetable.run([Case(NAME, hangs), case("breach/write-2/lost", [])], side_by_side=2, by=time.monotonic() + 0.05)

    assert ["breach/write-2/lost"] == [result.name for result in results]


@pytest.mark.parametrize("first", [[SLOW], [SLOW, UNTOLD]])
async def test_what_was_too_slow_and_holds_alone_is_told_as_both(first: list[Violation]):
    """It is no violation, and what was seen at first stands in the report."""
    found = written(await told(first, []))

    assert [] == found["violations"]
    assert [(NAME, True)] == [(one["injection"], one["holds_alone"]) for one in found["repeated"]]
    assert SLOW.message == found["repeated"][0]["at_first"][0]["message"]


async def test_what_fails_alone_too_is_a_violation():
    """A machine without other work is not to blame."""
    found = written(await told([SLOW], [SLOW]))

    assert [NAME] == [one["injection"] for one in found["violations"]]
    assert [False] == [one["holds_alone"] for one in found["repeated"]]


@pytest.mark.parametrize("first", [[UNSAFE], [SLOW, UNSAFE], [UNTOLD], [BUG], [SLOW, BUG]])
async def test_what_no_machine_can_be_blamed_for_is_not_tried_again(first: list[Violation]):
    """Safety that was violated once was violated."""
    found = written(await told(first, []))

    assert [] == found["repeated"]
    assert {NAME} == {one["injection"] for one in found["violations"]}


async def test_what_cannot_be_repeated_stays_a_violation():
    """Without time for another turn, what was seen at first counts."""
    met = case(NAME, [SLOW])
    results = await timetable.run([met], side_by_side=1)
    await timetable.repeat(results, lambda _: met, more=lambda: False)

    assert [NAME] == [one["injection"] for one in written(*results)["violations"]]


async def test_table_says_how_many_of_each_kind_met_each_journey():
    """With the sums, and with what was violated."""
    results = [Result(NAME, hits=1), Result("breach/write-1/lost", hits=1, violations=[UNSAFE])]

    lines = [line.split() for line in report.table(results, {"all": 9, "met": {"lost": 2}}).splitlines()]

    assert ["breach", "promotion", "all", "mean", "s", "of", "9", "writes"] == lines[0]
    assert ["lost", "1", "(1", "bad)", "1", "2", "(1", "bad)", "0", "2"] == lines[1]
