"""The tasks that an operator process is made of: where one ends that is to last, the process ends, and is started again.

A watch or a worker that has ended quietly would leave Releases unwatched by a process that looks alive. So no part is made but
here, and the first end decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Parts:
    """Runs the parts of a process.

    Args:
        passing: names of parts that come to an end while all goes well.
        stop: name of the part whose end is the wish to end.
    """

    def __init__(self, *, passing: frozenset[str], stop: str) -> None:
        self._passing, self._stop = passing, stop
        self._names: dict[asyncio.Task[Any], str] = {}

    def start(self, name: str, part: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a part, which `name` says in errors."""
        task = asyncio.create_task(part, name=name)
        self._names[task] = name
        return task

    def join(self, name: str, task: asyncio.Task[Any]) -> None:
        """Let a task that runs already be a part."""
        self._names[task] = name

    async def first_end(self) -> None:
        """Wait until something ends that is to last.

        Raises:
            RuntimeError: a part has ended by itself; the message names it.
            Exception: whatever it ended by.
        """
        while True:
            ended, _ = await asyncio.wait(self._names, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
                name = self._names.pop(task)
                if name == self._stop:
                    return
                if name not in self._passing:
                    raise RuntimeError(f"{name} ended by itself")

    async def close(self) -> None:
        """Cancel all that still run, and wait until they have ended."""
        for part in self._names:
            part.cancel()
        await asyncio.gather(*self._names, return_exceptions=True)
