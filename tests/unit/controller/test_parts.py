"""The tasks of a process: the first that ends, and is to last, ends it."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.controller.process.parts import Parts


@pytest.fixture
def parts() -> Parts:
    return Parts(passing=frozenset({"start"}), stop="stop")


async def ends() -> None:
    """A part that has nothing left to do."""


async def fails() -> None:
    raise LookupError("the shelf is empty")


async def lasts() -> None:
    await asyncio.Event().wait()


async def test_what_may_pass_ends_nothing_and_the_wish_to_stop_does(parts: Parts) -> None:
    """The start of the operator comes to an end and all goes on, until it is told to stop."""
    watch = parts.start("watch of Releases", lasts())
    await parts.start("start", ends())
    stopped = asyncio.Event()
    parts.start("stop", stopped.wait())
    waiting = asyncio.create_task(parts.first_end())
    await asyncio.sleep(0)
    assert not waiting.done()

    stopped.set()
    await waiting
    await parts.close()

    assert watch.cancelled()


async def test_a_part_that_is_to_last_and_ends_is_named(parts: Parts) -> None:
    """Nobody would see that a watch has ended: so the process does."""
    parts.start("watch of Releases", ends())

    with pytest.raises(RuntimeError, match="watch of Releases ended by itself"):
        await parts.first_end()


async def test_the_error_that_a_part_ends_by_is_that_of_the_process(parts: Parts) -> None:
    """Also one of those that may pass: to have started is no reason to go on where the start has failed."""
    parts.start("start", fails())

    with pytest.raises(LookupError, match="the shelf is empty"):
        await parts.first_end()
