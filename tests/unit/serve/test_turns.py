"""Turns: no token has all of them, what changes something always finds one, and nothing is kept of whoever has gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serve.turns import AT_ONCE, LISTS_AT_ONCE, OWN_AT_ONCE, READ_LISTS_AT_ONCE, READS_AT_ONCE, Turns


@dataclass
class Asking:
    """Requests that never end by themselves."""

    turns: Turns = field(default_factory=Turns)
    having: Counter[tuple[str, bool, bool]] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def ask(self, *who: str, times: int = 1, lists: bool = False, changes: bool = False) -> None:
        self.tasks += [asyncio.create_task(self._hang(one, lists, changes)) for one in who for _ in range(times)]
        await self.rest()

    async def rest(self) -> None:
        """Let all go as far as they can: each turn takes a few steps of the loop."""
        for _ in range(4 * len(self.tasks) + 8):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _hang(self, who: str, lists: bool, changes: bool) -> None:
        async with self.turns.of(who, lists=lists, changes=changes):
            self.having[who, lists, changes] += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.having[who, lists, changes] -= 1


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("changes", [False, True])
async def test_whatever_one_token_asks_for_another_has_a_turn(lists: bool, changes: bool) -> None:
    """Given a token with far more of everything than there are turns, then another one's request has its turn at once."""
    asking = Asking()
    for kind in ((False, False), (False, True), (True, False), (True, True)):
        await asking.ask("ann", times=50, lists=kind[0], changes=kind[1])
    await asking.ask("bob", lists=lists, changes=changes)
    found = asking.having["bob", lists, changes]
    await asking.end()

    assert 1 == found


@pytest.mark.parametrize("lists", [False, True])
async def test_however_many_read_a_change_has_a_turn(lists: bool) -> None:
    """Given that all turns of reading are taken, and many wait for one, then who wants to change something has one."""
    asking = Asking()
    await asking.ask(*(f"reader-{number}" for number in range(50)), times=4, lists=lists)
    reading = sum(asking.having.values())
    await asking.ask("bob", lists=lists, changes=True)
    found = asking.having["bob", lists, True]
    await asking.end()

    assert (READ_LISTS_AT_ONCE if lists else READS_AT_ONCE, 1) == (reading, found)


async def test_who_waits_for_their_own_turn_holds_nobody_elses() -> None:
    """Given a token with all of its turns, then its lists that wait take no turn of lists from others."""
    asking = Asking()
    await asking.ask("ann", times=OWN_AT_ONCE)
    await asking.ask("ann", times=5, lists=True)
    await asking.ask("bob", "cay", lists=True)
    found = [asking.having[who, True, False] for who in ("ann", "bob", "cay")]
    await asking.end()

    assert [0, 1, 1] == found


KINDS = st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans())


@given(st.lists(st.one_of(KINDS, st.integers(0, 60)), max_size=80))
def test_bounds_hold_and_nothing_is_kept(steps: list[tuple[str, bool, bool] | int]) -> None:
    """Whoever comes, goes, or gives up waiting: no bound is passed, and in the end all turns are there and no token is known."""

    async def run() -> None:
        asking = Asking()
        for step in steps:
            if isinstance(step, tuple):
                await asking.ask(step[0], lists=step[1], changes=step[2])
            elif step < len(asking.tasks):
                asking.tasks[step].cancel()
                await asking.rest()
            having = asking.having
            assert sum(having.values()) <= AT_ONCE
            assert sum(count for (_, lists, _), count in having.items() if lists) <= LISTS_AT_ONCE
            assert all(count <= (1 if lists else OWN_AT_ONCE) for (_, lists, _), count in having.items())
        await asking.end()
        assert 0 == len(asking.turns)
        async with AsyncExitStack() as held, asyncio.timeout(5):
            for number in range(AT_ONCE - READS_AT_ONCE):
                await held.enter_async_context(asking.turns.of(f"{number}", lists=number < LISTS_AT_ONCE, changes=True))
            for number in range(READS_AT_ONCE):
                await held.enter_async_context(asking.turns.of(f"{number}", lists=False, changes=False))

    asyncio.run(run())
