"""Who reads gates: what looks and backtests ask for, whether it is the plain reader, one in Prometheus' time, or a test's."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tidegate.api.gate import Gate
from tidegate.judge.reading import Reading
from tidegate.prometheus.promql import Names


class GateReader(Protocol):
    """Reads gates at instants that follow each other; what it has counted so far is part of its state."""

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

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether a gate's baseline is taken; if not, its first reading only takes it. See `Reader.primed`."""

    def forget(self, namespace: str, release: str) -> None:
        """Drop what is remembered of a Release."""


class LiveGateReader(GateReader, Protocol):
    """Reads gates of rollouts that are on."""

    async def around(self, gate: Gate, names: Names, revision: str, at: datetime, split_at: datetime) -> Reading:
        """Look at what stable has counted before a route was split, and since; see `Reader.around`."""

    async def resume(self, gate: Gate, names: Names, revision: str, at: datetime, *, counted: bool = True) -> str:
        """Go on counting where another process has stopped; then `primed` is true, if that was possible. See `Reader.resume`."""

    def rest(self, namespace: str, release: str, gate: str) -> float:
        """Return for how many seconds a gate is not to be looked at, since its queries are slow; 0 where it may be."""
