"""Reads gates: the queries of one look, asked together at one instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from tidegate.api.policy import Gate
from tidegate.judge.reading import Reading
from tidegate.prometheus.connections import Answer, Connection, Trouble, Value
from tidegate.prometheus.queries import Names, queries

Observer = Callable[[str, float, bool], None]
"""Told of every query: name of the connection, seconds that it took, whether there was an answer."""

_SHORTEST_WINDOW = timedelta(seconds=1)
_GRAIN = timedelta(milliseconds=100)
"""Windows of different Releases that differ by less are one, as are the instants at which looks are evaluated."""


class Reader:
    """Turns gates into readings."""

    def __init__(self, connections: Mapping[str, Connection], observe: Observer | None = None) -> None:
        self._connections = connections
        self._observe = observe
        self._asking: dict[tuple[str, str, datetime], asyncio.Task[Answer]] = {}

    async def read(self, gate: Gate, names: Names, revision: str, at: datetime, since: datetime | None = None) -> Reading:
        """Look once.

        All queries of a look are evaluated at the same instant, and a query that several gates share is asked once for the same
        instant, while it is under way.

        Args:
            gate: what to read.
            names: what the Release's objects are called.
            revision: the new version, as it is noted in the reading.
            at: evaluation time, with a time zone.
            since: when this revision first got traffic. The window never reaches back beyond it: a Service's counters also hold
                what the candidate before this one did. Default: no such bound.

        Returns:
            The reading; where something went wrong, with `trouble` and with the values that there are.
        """
        connection = self._connections.get(gate.connection)
        if connection is None:
            known = ", ".join(sorted(self._connections)) or "none"
            return _troubled(gate, revision, at, f"there is no Prometheus connection {gate.connection}, there are: {known}")
        window = gate.window if since is None else _bounded(gate.window, at - since)
        try:
            asked = queries(gate, names, window)
        except ValueError as error:
            return _troubled(gate, revision, at, str(error))
        texts = (asked.canary, asked.stable, asked.canary_samples, asked.stable_samples)
        canary, stable, canary_samples, stable_samples = await asyncio.gather(
            *(self._answer(connection, text, at) for text in texts)
        )
        answers = (canary, stable, canary_samples, stable_samples)
        return Reading(
            gate=gate.name,
            revision=revision,
            at=at,
            canary=_value(canary),
            stable=_value(stable),
            canary_samples=_value(canary_samples),
            stable_samples=_value(stable_samples),
            trouble=next((answer.message for answer in answers if isinstance(answer, Trouble)), ""),
        )

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()

    async def _answer(self, connection: Connection, promql: str | None, at: datetime) -> Answer | None:
        if promql is None:
            return None
        key = (connection.config.name, promql, at)
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(connection, promql, at))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # One gate's look may be cancelled while another waits for the same answer.
        return await asyncio.shield(task)

    async def _ask(self, connection: Connection, promql: str, at: datetime) -> Answer:
        started = time.perf_counter()
        answer = await connection.query(promql, at)
        if self._observe is not None:
            self._observe(connection.config.name, time.perf_counter() - started, not isinstance(answer, Trouble))
        return answer


def _bounded(window: timedelta, age: timedelta) -> timedelta:
    return max(_SHORTEST_WINDOW, min(window, age // _GRAIN * _GRAIN))


def _value(answer: Answer | None) -> float | None:
    return answer.value if isinstance(answer, Value) else None


def _troubled(gate: Gate, revision: str, at: datetime, trouble: str) -> Reading:
    return Reading(gate=gate.name, revision=revision, at=at, trouble=trouble)
