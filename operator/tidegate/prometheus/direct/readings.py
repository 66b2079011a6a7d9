"""Direct readings of all gates that have them, and beside them Prometheus: which of both a look at a gate is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.api.status import GateStatus
from tidegate.judge import choice
from tidegate.judge.reading import Reading
from tidegate.prometheus.aside import Aside
from tidegate.prometheus.budgets import Holdings
from tidegate.prometheus.config import ConnectionConfig, DirectConfig, PushedConfig
from tidegate.prometheus.direct.followed import AWAY, Followed, Round
from tidegate.prometheus.direct.wanted import Wanted, gateway_of, wanted_at_gateway, wanted_of
from tidegate.prometheus.evidence import Accounts
from tidegate.prometheus.promql import Names
from tidegate.prometheus.theirs import InTheirTime
from tidegate.runtime.clock import Clock

MARK = " (direct)"
"""Tells what is held for direct readings of a gate from what is held for those of Prometheus: no gate's name has a space."""
_AT_ONCE = 256
"""Gates for which Prometheus is asked beside direct readings at the same time."""


class DirectReadings:
    """A reader of gates: by what was read directly where that is so, and else by Prometheus, which it compares with otherwise.

    Args:
        reader: asks Prometheus.
        connections: their configurations by name.
        refusal: says why a gate may not use its connection; empty where it may.
        holdings: what may be remembered.
        clock: the time.
    """

    def __init__(
        self,
        reader: InTheirTime,
        connections: Mapping[str, ConnectionConfig],
        refusal: Callable[[Gate, Names], str],
        holdings: Holdings,
        clock: Clock,
    ) -> None:
        self._reader, self._refusal, self._clock = reader, refusal, clock
        self._connections = connections
        self._accounts = Accounts(holdings, clock.monotonic, mark=MARK)
        self._followed: dict[tuple[str, str], dict[str, Followed]] = {}
        self._aside = Aside(_AT_ONCE)

    def config(self, gate: Gate, names: Names) -> DirectConfig | PushedConfig | None:
        """Return what a gate's connection allows; None where it does not allow it, or the gate does not want it."""
        if gate.own is None or self._refusal(gate, names) or self._wishes(gate, names) is None:
            return None
        connection = self._connections[gate.connection]
        return connection.push if gate.direct is None else connection.direct

    def follow(
        self, gates: Iterable[Gate], names: Names, revision: str, states: Mapping[str, GateStatus], *, alone: bool
    ) -> tuple[Followed, ...]:
        """Return what is followed for the gates of a Release that are read directly, with their present states.

        Args:
            gates: all gates that are looked at.
            names: what the Release's objects are called.
            revision: the new version.
            states: what the gates said last, by name.
            alone: all traffic is on the new version.
        """
        before = self._followed.get((names.namespace, names.release), {})
        now: dict[str, Followed] = {}
        for gate in gates:
            wishes = None if self.config(gate, names) is None else self._wishes(gate, names)
            if wishes is None:
                continue
            one = before.get(gate.name)
            if one is None or one.revision != revision or one.gate != gate or one.wishes != wishes:
                self._accounts.drop(gate, names)
                one = Followed(gate, wishes[0], names, revision, self._accounts, of_stable=next(iter(wishes[1:]), None))
                one.since = self._clock.now()
            one.names = names
            one.settle(states.get(gate.name), alone=alone)
            now[gate.name] = one
        self._followed[names.namespace, names.release] = now
        return tuple(now.values())

    @staticmethod
    def take(followed: Followed, found: Round, *, alpha: float, alone: bool) -> Reading | None:
        """Take a round of reading in for a gate, and return a reading if it is to be decided on at once.

        That is where the gate fails, or where as much waits as can wait for the next look.
        """
        followed.take(found, alone=alone)
        return followed.reading(found.at) if (followed.fails(alpha) or followed.full) and followed.live(found.at) else None

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
        """Look once; see `Reader.read`. What was read directly is there already: nothing is waited for."""
        followed = self._of(gate, names, revision)
        if followed is None:
            reading = await self._reader.read(gate, names, revision, at, since, weight_since=weight_since)
            return reading if gate.own is None else replace(reading, direct=self._refused(gate, names))
        if followed.begins(self._clock.now()) and not followed.live(self._clock.now()):
            return Reading(
                gate=gate.name, revision=revision, at=at, direct="pushed samples have begun to come, and are judged from now on"
            )
        if not followed.live(self._clock.now()):
            reading = await self._reader.read(gate, names, revision, at, since, weight_since=weight_since)
            if reading.counts is None and self._clock.now() < followed.since + AWAY:
                # Its pods are only being asked for the first time: that Prometheus has nothing to say is no trouble yet.
                return Reading(gate=gate.name, revision=revision, at=reading.at)
            return followed.instead(reading)

        async def compare() -> None:
            try:
                found = await self._reader.read(gate, names, revision, at, since, weight_since=weight_since)
                followed.crosscheck.theirs(found.spans)
            finally:
                followed.comparing = False

        if self._aside.free and not followed.comparing:
            followed.comparing = True
            self._aside.start(compare)
        return followed.reading(at)

    async def around(self, gate: Gate, names: Names, revision: str, at: datetime, split_at: datetime) -> Reading:
        """Look at what stable has counted before a route was split, and since; see `Reader.around`."""
        return await self._reader.around(gate, names, revision, at, split_at)

    async def resume(self, gate: Gate, names: Names, revision: str, at: datetime, *, counted: bool = True) -> str:
        """Go on counting where another process has stopped; see `Reader.resume`.

        For a gate that is read directly nothing is resumed: Prometheus' last sample before that time is older than what was read
        directly until then, and what lies between would count twice. Its pods are read again within a second.
        """
        if self._of(gate, names, revision) is not None:
            return ""
        return await self._reader.resume(gate, names, revision, at, counted=counted)

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether a gate's baseline is taken; see `Reader.primed`."""
        return self._reader.primed(gate, names, revision)

    def rest(self, namespace: str, release: str, gate: str) -> float:
        """Return for how many seconds a gate is not looked at; see `Reader.rest`. One that is read directly never rests."""
        followed = self._followed.get((namespace, release), {}).get(gate)
        if followed is not None and followed.live(self._clock.now()):
            return 0.0
        return self._reader.rest(namespace, release, gate)

    def forget(self, namespace: str, release: str) -> None:
        """Drop what is remembered of a Release."""
        self._followed.pop((namespace, release), None)
        self._accounts.forget(namespace, release)
        self._reader.forget(namespace, release)

    def close(self) -> None:
        """Stop what is under way."""
        self._aside.close()
        self._reader.close()

    def _of(self, gate: Gate, names: Names, revision: str) -> Followed | None:
        one = self._followed.get((names.namespace, names.release), {}).get(gate.name)
        return one if one is not None and one.revision == revision and one.gate == gate else None

    def _wishes(self, gate: Gate, names: Names) -> tuple[Wanted, ...] | None:
        """Return what a gate wants of pages, of pods or, for both versions, of gateways; None where that is on none."""
        if not choice.by_evidence(gate):
            return None
        source = gateway_of(gate)
        if source is None or gate.direct is None:
            wanted = wanted_of(gate)
            return None if wanted is None else (wanted,)
        direct = self._connections[gate.connection].direct
        return wanted_at_gateway(gate, names) if direct is not None and direct.at(source) else None

    def _refused(self, gate: Gate, names: Names) -> str:
        """Say why a gate that wants its pods judged by what they say themselves has them not."""
        if self._refusal(gate, names):
            return ""
        connection = self._connections[gate.connection]
        if gate.direct is None:
            if connection.push is None:
                return f"pushed samples are not judged: the connection {gate.connection} does not allow it (push)"
            return "pushed samples are not judged: that takes a preset that pods count themselves, and the judge Evidence"
        if connection.direct is None:
            return f"pods are not read directly: the connection {gate.connection} does not allow it (direct)"
        source = gateway_of(gate)
        if source is not None and choice.by_evidence(gate):
            if not connection.direct.at(source):
                return f"gateways are not read directly: the connection {gate.connection} names none of {source} (direct.gateways)"
            return "gateways are not read directly: the Release has no route"
        return "pods are not read directly: that takes a preset that they count themselves, and the judge Evidence"
