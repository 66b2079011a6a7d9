"""Whose turns of the event loop are long, and what is under way when a process dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from tidegate.runtime.mark import MarkFile
from tidegate.runtime.turns import Turns, Work, also

SHOP, OTHER = Work("shop", "checkout", "errors"), Work("shop", "cart")


class Seconds:
    """A clock that work itself moves, as work that holds the loop does."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Held:
    """Turns that were told of."""

    def __init__(self) -> None:
        self.seconds = Seconds()
        self.told: list[tuple[Work, float]] = []
        self.turns = Turns(lambda work, seconds: self.told.append((work, seconds)), clock=self.seconds)

    async def work(self, *holds: float) -> str:
        for one in holds:
            self.seconds.now += one
            await asyncio.sleep(0)
        return "done"


@pytest.fixture
def held() -> Held:
    return Held()


async def test_turn_that_is_long_is_told_of_whoever_had_it(held: Held) -> None:
    """Given two pieces of work side by side, each long turn is told with its own seconds, and many short ones are not."""
    done = await asyncio.gather(
        held.turns.of(SHOP, partial(held.work, 0.4, 0.6, 0.4)), held.turns.of(OTHER, partial(held.work, 0.3, 0.3, 2.0))
    )

    assert ["done", "done"] == done
    assert [(SHOP, pytest.approx(0.6)), (OTHER, pytest.approx(2.0))] == held.told


async def test_tasks_of_a_piece_of_work_are_its_own(held: Held) -> None:
    """What a look starts beside itself is told under its name."""

    async def look() -> None:
        await asyncio.gather(also(partial(held.work, 0.1, 0.7)), also(partial(held.work, 0.1)))

    await held.turns.of(SHOP, look)
    await also(partial(held.work, 9.0))

    assert [(SHOP, pytest.approx(0.7))] == held.told


async def test_task_that_outlives_its_work_has_its_name_and_not_its_place(held: Held, tmp_path: Path) -> None:
    """What goes on after a look is told as that look's, and marks nothing that is under way now."""
    mark, beside = MarkFile(tmp_path / "mark"), list[asyncio.Task[str]]()
    turns = Turns(lambda work, seconds: held.told.append((work, seconds)), mark=mark, clock=held.seconds)
    go_on = asyncio.Event()

    async def later() -> str:
        await go_on.wait()
        held.seconds.now += 3.0
        return "turn" if mark._map[0] else "nobody's"

    async def look() -> None:
        beside.append(asyncio.create_task(also(later)))
        await asyncio.sleep(0)

    await turns.of(SHOP, look)
    go_on.set()

    assert "nobody's" == await beside[0]
    assert [(SHOP, pytest.approx(3.0))] == held.told
    mark.close()


async def test_errors_and_ends_pass_through(held: Held) -> None:
    """What is thrown into a piece of work reaches it, and what it raises is raised."""
    heard: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("nothing there")

    waiting = asyncio.create_task(held.turns.of(SHOP, waits))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(LookupError, match="nothing there"):
        await held.turns.of(SHOP, fails)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await held.turns.of(SHOP, waits)

    assert ["cancelled", "cancelled"] == heard


DIES = """
    import asyncio, os, signal, sys
    from functools import partial
    from pathlib import Path
    from tidegate.runtime.mark import MarkFile
    from tidegate.runtime.turns import Turns, Work

    async def quiet():
        await asyncio.sleep(0)

    async def waits():
        await asyncio.Event().wait()

    async def poison():
        await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    async def main(poisonous):
        turns = Turns(lambda *_: None, mark=MarkFile(Path(sys.argv[1])))
        await turns.of(Work("shop", "before"), quiet)
        waiting = asyncio.create_task(turns.of(Work("shop", "waits", "errors"), waits))
        if poisonous:
            await turns.of(Work("shop", "checkout", "latency"), poison)
        await poison()

    asyncio.run(main(sys.argv[2] == "poisonous"))
"""


@pytest.mark.parametrize(
    ("how", "left"),
    [("poisonous", (Work("shop", "checkout", "latency"),)), ("outside", (Work("shop", "waits", "errors"),))],
)
def test_what_was_under_way_outlives_a_killed_process(tmp_path: Path, how: str, left: tuple[Work, ...]) -> None:
    """Given a process that is killed, whose turn it was is known; between turns, all that was under way and had not ended."""
    path = tmp_path / "mark"
    operator = str(Path(__file__).parents[3] / "operator")
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DIES), str(path), how], check=False, env={**os.environ, "PYTHONPATH": operator}
    )

    first = MarkFile(path)
    first.close()
    after = MarkFile(path)
    after.close()

    assert -signal.SIGKILL == ended.returncode
    assert left == first.left
    assert () == after.left
    assert 0o600 == path.stat().st_mode & 0o777


def test_file_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    """A second process does not write into the file of the first, and follows no link."""
    path, link = tmp_path / "mark", tmp_path / "link"
    first = MarkFile(path)
    link.symlink_to(path)

    for one in (path, link):
        with pytest.raises(OSError, match=r"."):
            MarkFile(one)

    first.close()
    MarkFile(path).close()


def test_file_that_holds_anything_is_read(tmp_path: Path) -> None:
    """What is no mark is no trouble; more pieces of work than there is room for, and endless names, are not written down."""
    path = tmp_path / "mark"
    path.write_bytes(os.urandom(300_000))
    mark = MarkFile(path)
    places = [mark.begin(Work("shop", f"r{number}")) for number in range(300)]
    long = mark.begin(Work("shop", "x" * 2000))
    for place in places:
        mark.end(place)
    again = mark.begin(SHOP)
    mark.close()

    assert 255 == len({place for place in places if place})
    assert (0, True) == (long, again > 0)
