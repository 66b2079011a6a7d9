"""Gives each case its turn: some side by side, all in bounded time, and once more alone where one has failed by its time only."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from faults.runner import Heard, Result

WAITING = 3
"""Of so many that are met at a time one mostly waits, for as long as there are both sorts: so the machine always has work."""


@dataclass(frozen=True)
class Case:
    """Something that a run meets.

    Attributes:
        name: `<journey>/<where>/<kind>`.
        meet: meets it, and says what became of it; raises nothing.
        waits: whether it passes most of its time waiting, so that others can be met beside it.
    """

    name: str
    meet: Callable[[], Awaitable[Result]]
    waits: bool = False


More = Callable[[], bool]
"""Whether there is time to begin another one."""


def always() -> bool:
    """There is time for all."""
    return True


async def run(
    cases: Sequence[Case],
    *,
    side_by_side: int,
    more: More = always,
    by: float = math.inf,
    heard: Heard | None = None,
) -> list[Result]:
    """Meet cases, some at a time, in their order.

    Args:
        cases: which.
        side_by_side: how many at a time.
        more: whether there is time to begin another one.
        by: when all have to have ended, on the monotonic clock: what is under way then is given up, and is not in the result.
        heard: is told of each that has ended.
    """
    results: list[Result] = []
    busy = deque(case for case in cases if not case.waits)
    waiting = deque(case for case in cases if case.waits)

    async def work(*lanes: deque[Case]) -> None:
        for lane in lanes:
            while lane and more():
                result = await lane.popleft().meet()
                results.append(result)
                if heard is not None:
                    heard(result)

    apart = side_by_side // WAITING
    workers = [work(busy, waiting) for _ in range(side_by_side - apart)] + [work(waiting, busy) for _ in range(apart)]
    try:
        async with asyncio.timeout(None if by == math.inf else by - time.monotonic()):
            await asyncio.gather(*workers)
    except TimeoutError:
        pass
    return results


async def repeat(
    results: Sequence[Result],
    case_of: Callable[[str], Case],
    *,
    more: More = always,
    by: float = math.inf,
    heard: Heard | None = None,
) -> None:
    """Meet once more, one after another and with nothing beside them, the cases that have failed by their time only.

    What comes of it is kept beside what was seen at first, which stays as it is.

    Args:
        results: of all cases; those that are repeated are given what has come of it.
        case_of: returns a case by its name.
        more: whether there is time for another one.
        by: when all have to have ended, on the monotonic clock.
        heard: is told of each that has ended.
    """
    for result in results:
        if not result.late or not more():
            continue
        met = await run([case_of(result.name)], side_by_side=1, by=by)
        result.alone = met[0] if met else None
        if result.alone is not None and heard is not None:
            heard(result.alone)
