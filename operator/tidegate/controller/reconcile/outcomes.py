"""Writes into decisions what has become of them: in a lane of its own, in nobody's way, and each once.

What was carried out stands in the Release's status; this is for whoever has decided. It is offered again by each pass until the
decision says so, so what could not be written is not lost, and a process that dies leaves it to the next one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from tidegate.api.base import format_time
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden, Invalid, NotFound
from tidegate.cluster.resources import RELEASE_DECISIONS
from tidegate.engine.plan import Settled
from tidegate.runtime.clock import Clock

log = structlog.get_logger(__name__)

WRITERS = 2
"""Writes that are under way at once: those of breaches need the connections, too."""
MOST_WAITING = 10_000
"""Decisions whose outcome may wait to be written; of those beyond, passes to come tell again."""
AGAIN_SECONDS = (0.5, 2.0, 10.0)
"""Between attempts at one; after the last it is left to a pass to come."""
REMEMBERED = 4096
"""Outcomes that are known to be written: a pass that was under way meanwhile tells of them once more."""


class _Task(NamedTuple):
    namespace: str
    settled: Settled
    at: datetime


class Outcomes:
    """Writes them.

    Args:
        cluster: the API.
        clock: waits between attempts.
        noted: told of each outcome once in the life of a process, before it is written.
    """

    def __init__(
        self, cluster: Cluster, *, clock: Clock, noted: Callable[[str, Settled, datetime], None] = lambda *_: None
    ) -> None:
        self._cluster, self._clock, self._noted = cluster, clock, noted
        self._waiting: asyncio.Queue[_Task] = asyncio.Queue()
        self._known: set[tuple[str, str]] = set()
        self._written: OrderedDict[tuple[str, str], None] = OrderedDict()

    def tell(self, namespace: str, settled: Iterable[Settled], at: datetime) -> None:
        """Have it written what has become of decisions.

        Args:
            namespace: theirs.
            settled: what; it stands in the Release's status, where it is a command that was carried out.
            at: since when.
        """
        for one in settled:
            key = one.uid, one.outcome.value
            if key not in self._known and key not in self._written and self._waiting.qsize() < MOST_WAITING:
                self._noted(namespace, one, at)
                self._known.add(key)
                self._waiting.put_nowait(_Task(namespace, one, at))

    async def run(self) -> None:
        """Write, until cancelled."""
        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(self._write_all())

    async def _write_all(self) -> None:
        while True:
            task = await self._waiting.get()
            key = task.settled.uid, task.settled.outcome.value
            try:
                if await self._write(task):
                    self._written[key] = None
                    if len(self._written) > REMEMBERED:
                        self._written.popitem(last=False)
            finally:
                self._known.discard(key)

    async def _write(self, task: _Task) -> bool:
        """Write one; return whether that is done for good."""
        one = task.settled
        path = RELEASE_DECISIONS.path(task.namespace, one.name, "status")
        value = {"outcome": one.outcome.value, "at": format_time(task.at)} | ({"message": one.message} if one.message else {})
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": one.uid},
            # The write of another life of the operator may have come first, and this one late.
            {"op": "test", "path": "/status", "value": None}
            if one.before is None
            else {"op": "test", "path": "/status/outcome", "value": one.before.value},
            {"op": "add", "path": "/status", "value": value},
        ]
        error: ApiError | None = None
        for wait in (*AGAIN_SECONDS, None):
            try:
                await self._cluster.json_patch(path, patch)
            except (NotFound, Invalid) as gone:
                # Deleted, or another one of that name since; or it says already what became of it.
                log.debug("an outcome could not be written", decision=one.name, namespace=task.namespace, cause=str(gone))
                return True
            except Forbidden as forbidden:
                error = forbidden
                break
            except ApiError as failed:
                error = failed
                if wait is not None:
                    await self._clock.sleep(wait)
            else:
                return True
        log.warning("an outcome could not be written", decision=one.name, namespace=task.namespace, cause=str(error))
        return False
