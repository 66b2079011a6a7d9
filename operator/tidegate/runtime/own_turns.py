"""Turns of one's own: of what many wait for, each has a few at a time, so that whoever asks for much waits behind themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Own:
    """The turns of one.

    Attributes:
        turns: how many are left.
        users: those that have one or wait for one.
    """

    turns: asyncio.Semaphore
    users: int = 0


class OwnTurns:
    """The turns of each; kept only while somebody has one or waits for one."""

    def __init__(self) -> None:
        self._own: dict[Hashable, _Own] = {}

    def __len__(self) -> int:
        """Whose turns are kept, by number."""
        return len(self._own)

    @asynccontextmanager
    async def of(self, key: Hashable, most: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Args:
            key: whose it is.
            most: turns that it has at a time.
        """
        own = self._own.setdefault(key, _Own(asyncio.Semaphore(most)))
        own.users += 1
        try:
            async with own.turns:
                yield
        finally:
            own.users -= 1
            if not own.users:
                del self._own[key]
