"""Programs that the node agent runs to their end: limits, and cancellation at the worst moment."""

import asyncio
import os
import pathlib
import sys
from collections.abc import Callable

import pytest

from tidegate_sandbox.node_agent import process

TURNS = 12
"""Turns of the event loop within which the end of a process is passed on to whoever waits for it."""


async def run_to_the_end_and_stay(folder: pathlib.Path) -> None:
    await process.run([sys.executable, "-c", ""], os.environ, folder, 30)
    await asyncio.Event().wait()


def after_turns(turns: int, do: Callable[[], object]) -> None:
    if turns == 0:
        do()
    else:
        asyncio.get_running_loop().call_soon(after_turns, turns - 1, do)


@pytest.mark.parametrize("turns", range(TURNS))
async def test_cancellation_is_not_lost_as_a_process_ends(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, turns: int):
    """Given one that waits for a program, when it is cancelled any number of turns after the program's end, then it ends."""
    ended = process.Process._on_exit

    def ends(self: process.Process) -> None:
        ended(self)
        after_turns(turns, task.cancel)

    monkeypatch.setattr(process.Process, "_on_exit", ends)
    task = asyncio.create_task(run_to_the_end_and_stay(tmp_path))

    done, _ = await asyncio.wait({task}, timeout=20)

    assert done
    assert task.cancelled()


async def test_a_program_that_takes_too_long_is_killed(tmp_path: pathlib.Path):
    """Given a program that would run for a minute, then it is killed at its limit."""
    with pytest.raises(TimeoutError):
        await process.run([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, tmp_path, 0.1)
