"""Whose turn it is to ask the API server: few ask at a time, and nobody has all of the turns.

One token may ask for more than there is room for, and what it asks for may hang. So each has few turns at a time, and requests that
change something have some that reading cannot take: a rollback is asked for when all is slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tidegate.runtime.own_turns import OwnTurns

AT_ONCE, READS_AT_ONCE = 32, 24
"""Requests that ask the API server at a time, and those of them that only read."""
LISTS_AT_ONCE, READ_LISTS_AT_ONCE = 3, 2
"""Those of them that read all Releases of a namespace: a page of these may have megabytes, whoever has written them."""
OWN_AT_ONCE = 4
"""Of one token, of those that only read and of the others each; of lists one of each."""


class Turns:
    """The turns of all."""

    def __init__(self) -> None:
        self._all, self._reads = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(READS_AT_ONCE)
        self._lists, self._read_lists = asyncio.Semaphore(LISTS_AT_ONCE), asyncio.Semaphore(READ_LISTS_AT_ONCE)
        self._own = OwnTurns()

    def __len__(self) -> int:
        """How many tokens' turns are kept, for each kind of request: none but of requests that are here."""
        return len(self._own)

    @asynccontextmanager
    async def of(self, identity: str, *, lists: bool, changes: bool) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Whoever waits for turns of their own holds none that others wait for.

        Args:
            identity: whose it is.
            lists: it reads all Releases of a namespace.
            changes: it is to change something.
        """
        async with AsyncExitStack() as held:
            if lists:
                await held.enter_async_context(self._own.of((identity, changes, True), 1))
            await held.enter_async_context(self._own.of((identity, changes, False), OWN_AT_ONCE))
            if lists:
                for turns in (self._lists,) if changes else (self._read_lists, self._lists):
                    await held.enter_async_context(turns)
            for turns in (self._all,) if changes else (self._reads, self._all):
                await held.enter_async_context(turns)
            yield
