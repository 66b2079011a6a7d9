"""Readings in the time of whoever dates the samples: what is asked is moved to Prometheus' clock, and what was read is moved back.

Beyond this, all times are those of this host: of the status, of the plans, and of readings.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts, Reading
from tidegate.prometheus.answers import Cause
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.difference import STEP, Difference, TimeTold
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.runtime.clock import Clock, Moment

EVERY = 60.0
"""Seconds between two questions what the time is."""
AGAIN = 10.0
"""Seconds until it is asked again where there was no answer."""
FIRST = 2.0
"""Seconds for which the first look waits to know it; a slower server is looked at by this host's clock until it has said."""

_LOG = logging.getLogger(__name__)

Told = Callable[[str, float], None]
"""Told of each connection by how many seconds its clock is ahead of this host's."""


class _Server:
    """One server's clock, asked for when somebody looks.

    Args:
        connection: to the server.
        clock: this host's.
        learned: called with each answer, and whether the time there has jumped.
    """

    def __init__(self, connection: Connection, clock: Clock, learned: Callable[[_Server, bool], None]) -> None:
        self.connection = connection
        self.difference = Difference()
        self.readers: set[tuple[str, str]] = set()
        self.words = ""
        self._clock = clock
        self._learned = learned
        self._offset = self._due = self._wait = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def known(self) -> None:
        """Have the time asked for if it is due; who comes first, or after this host's clock was stepped, waits for the answer."""
        now = Moment.of(self._clock)
        # A host that was suspended looks the same: its monotonic clock was, too, and what was learned by it is wrong.
        if abs(now.offset - self._offset) > STEP:
            self._offset, self._due, self._wait = now.offset, now.monotonic, now.monotonic + FIRST
        if self._asking is None and now.monotonic >= self._due:
            self._due = now.monotonic + AGAIN
            self._asking = asyncio.create_task(self._ask(), name=f"time of {self.connection.config.name}")
            self._asking.add_done_callback(self._ended)
        if self._asking is not None and now.monotonic < self._wait:
            await asyncio.wait({self._asking}, timeout=self._wait - now.monotonic)

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        answer = await self.connection.time(self._clock.monotonic)
        if isinstance(answer, TimeTold):
            self._due = self._clock.monotonic() + EVERY
            self._learned(self, self.difference.take(answer, Moment.of(self._clock)))
        elif answer.cause in (Cause.QUERY, Cause.METHOD):
            # It does not say, and will not.
            self._due = self._clock.monotonic() + EVERY

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the time of Prometheus connection %s was not learned", self.connection.config.name, exc_info=error)


class InTheirTime:
    """Reads gates as `Reader` does, whatever the clocks of its servers show.

    Where the time of a server jumps, what was counted by it counts anew, as it does where this host's clock is stepped.

    Args:
        reader: asks in Prometheus' time.
        connections: the same that the reader has.
        clock: this host's.
        told: told how far off a clock is, each time that it was asked for.
    """

    def __init__(self, reader: Reader, connections: Mapping[str, Connection], clock: Clock, told: Told = lambda *_: None) -> None:
        self._reader = reader
        self._clock = clock
        self._told = told
        self._servers = {name: _Server(one, clock, self._learned) for name, one in connections.items()}

    async def resume(self, gate: Gate, names: Names, revision: str, at: datetime, *, counted: bool = True) -> str:
        """Go on counting where another process has stopped; see `Reader.resume`."""
        ahead, _ = await self._ahead(gate, names)
        return await self._reader.resume(gate, names, revision, at + ahead, counted=counted)

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether a gate's baseline is taken; see `Reader.primed`."""
        return self._reader.primed(gate, names, revision)

    async def read(
        self,
        gate: Gate,
        names: Names,
        revision: str,
        at: datetime,
        since: datetime | None = None,
        *,
        weight_since: datetime | None = None,
    ) -> Reading:
        """Look once; see `Reader.read`."""
        ahead, words = await self._ahead(gate, names)
        reading = await self._reader.read(
            gate, names, revision, at + ahead, _moved(since, ahead), weight_since=_moved(weight_since, ahead)
        )
        return _in_our_time(reading, ahead, words)

    async def around(self, gate: Gate, names: Names, revision: str, at: datetime, split_at: datetime) -> Reading:
        """Look at what stable has counted before a route was split, and since; see `Reader.around`."""
        ahead, words = await self._ahead(gate, names)
        return _in_our_time(await self._reader.around(gate, names, revision, at + ahead, split_at + ahead), ahead, words)

    def rest(self, namespace: str, release: str, gate: str) -> float:
        """Return for how many seconds a gate is not looked at; see `Reader.rest`."""
        return self._reader.rest(namespace, release, gate)

    def forget(self, namespace: str, release: str) -> None:
        """Drop what is remembered of a Release."""
        self._reader.forget(namespace, release)
        for server in self._servers.values():
            server.readers.discard((namespace, release))

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers.values():
            server.close()
        self._reader.close()

    async def _ahead(self, gate: Gate, names: Names) -> tuple[timedelta, str]:
        """Return by how much the clock of a gate's server is ahead of this host's, and what is to be said of it."""
        server = self._servers.get(gate.connection)
        # Nothing of a server is told to those who may not ask it.
        if server is None or self._reader.refusal(gate, names):
            return timedelta(0), ""
        await server.known()
        server.readers.add((names.namespace, names.release))
        now = Moment.of(self._clock)
        return server.difference.ahead(now), server.difference.in_words(now)

    def _learned(self, server: _Server, jumped: bool) -> None:  # noqa: FBT001 - the one thing that was learned
        name, now = server.connection.config.name, Moment.of(self._clock)
        ahead = server.difference.ahead(now)
        self._told(name, ahead.total_seconds())
        words = server.difference.in_words(now)
        if words != server.words:
            _LOG.warning("Prometheus connection %s: %s", name, words or "its clock agrees with the operator's")
            server.words = words
        if jumped:
            # What was counted bears times that the server's clock does not go on from.
            for release in server.readers:
                self._reader.forget(*release)


def _moved(at: datetime | None, ahead: timedelta) -> datetime | None:
    return None if at is None else at + ahead


def _in_our_time(reading: Reading, ahead: timedelta, words: str) -> Reading:
    """Return a reading with its times by this host's clock."""
    if not ahead:
        return replace(reading, clock=words) if words else reading
    weight, around = reading.at_weight, reading.around
    return replace(
        reading,
        at=reading.at - ahead,
        counts=None if reading.counts is None else _counts(reading.counts, ahead),
        earlier=tuple(_counts(one, ahead) for one in reading.earlier),
        newest=_moved(reading.newest, -ahead),
        newest_stable=_moved(reading.newest_stable, -ahead),
        at_weight=None if weight is None else replace(weight, since=weight.since - ahead),
        around=None if around is None else replace(around, since=around.since - ahead),
        clock=words,
    )


def _counts(counts: Counts, ahead: timedelta) -> Counts:
    return replace(counts, since=counts.since - ahead, until=_moved(counts.until, -ahead))
