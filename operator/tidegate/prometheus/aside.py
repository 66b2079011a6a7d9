"""Work that is done beside looks, and can wait: so much of it at a time at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tidegate.runtime.turns import also


class Aside:
    """Tasks that look for what is said at later looks.

    Args:
        most: how many may be under way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def free(self) -> bool:
        """Whether another may be started."""
        return len(self._tasks) < self._most

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start one, as part of the turn that asks for it."""
        task = asyncio.create_task(also(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()
