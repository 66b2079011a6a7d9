"""Reads gates that are judged by Evidence: raw counters in, what was counted since the look before out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts
from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.counters import RawCounters, Shape, VersionCounters, raw_counters
from tidegate.prometheus.ledger import Labels, Ledger, Sightings
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names
from tidegate.prometheus.samples import counts, labels_of, sightings

Ask = Callable[[str], Awaitable[Result | Trouble]]
"""Evaluates a query at the instant of the look."""


@dataclass(frozen=True)
class Tallied:
    """What a look at counters gave.

    Attributes:
        counts: what was counted since the look before; None where nothing could be.
        trouble: why, where something went wrong.
        silent: versions without any series, the new one first.
    """

    counts: Counts | None = None
    trouble: str = ""
    silent: tuple[Version, ...] = ()


@dataclass
class _Account:
    """What is remembered of one gate."""

    gate: Gate
    names: Names
    revision: str
    asked: RawCounters
    ledger: Ledger
    shapes: frozenset[Shape] = field(default=frozenset(Shape))

    def queries(self, gate: Gate, names: Names) -> RawCounters:
        """Return the queries, as they were made before where nothing has changed.

        Raises:
            ValueError: see `raw_counters`.
        """
        if gate is not self.gate or names != self.names:
            self.asked = raw_counters(gate, names)
            self.gate, self.names = gate, names
        return self.asked


@dataclass(frozen=True)
class _Samples:
    """What the counters said at one instant.

    Attributes:
        canary: series of the new version.
        stable: series of the stable version; None where it is not followed.
        witnesses: processes that there are, as far as they were asked for.
        shapes: the shapes of histograms that had series, of each version.
    """

    canary: Sightings
    stable: Sightings | None
    witnesses: tuple[Labels, ...]
    shapes: tuple[frozenset[Shape], ...]


class Accounts:
    """The ledgers of all gates that are judged by Evidence, one for each gate of each Release and its present revision."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], dict[str, _Account]] = {}

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether counting has begun for a gate, its present metric and this revision."""
        return self._find(gate, names, revision) is not None

    async def prime(self, ask: Ask, gate: Gate, names: Names, revision: str, at: datetime, *, resumed: bool = False) -> str:
        """Begin to count at an instant, whatever was counted before, and return what went wrong; see `Ledger.prime`.

        Where counting is to be resumed and there were no series of the new version, it has not begun.
        """
        try:
            asked = raw_counters(gate, names)
            samples = await _ask_all(ask, asked, frozenset(Shape), witnesses=True)
        except ValueError as error:
            return str(error)
        if isinstance(samples, Trouble):
            return samples.message
        if resumed and not samples.canary:
            return ""
        account = self._find(gate, names, revision)
        if account is None:
            account = _Account(gate, names, revision, asked, Ledger(by_service=asked.by_service))
            self._accounts.setdefault((names.namespace, names.release), {})[gate.name] = account
        if account.ledger.at is None or at > account.ledger.at:
            account.ledger.prime(at, samples.canary, samples.stable, samples.witnesses, resumed=resumed)
        return ""

    async def read(self, ask: Ask, gate: Gate, names: Names, revision: str, at: datetime) -> Tallied:
        """Look once; where counting has not begun, it begins here."""
        account = self._find(gate, names, revision)
        if account is None:
            return Tallied(trouble=await self.prime(ask, gate, names, revision, at))
        try:
            asked = account.queries(gate, names)
            samples = await _ask_all(ask, asked, account.shapes)
        except ValueError as error:
            return Tallied(trouble=str(error))
        if isinstance(samples, Trouble):
            return Tallied(trouble=samples.message)
        account.shapes = _worth_asking(samples.shapes)
        increases = account.ledger.advance(at, samples.canary, samples.stable)
        silent = _silent(account.ledger, samples)
        try:
            counted = None if increases is None else counts(asked, increases, samples.canary, at)
        except ValueError as error:
            return Tallied(trouble=str(error), silent=silent)
        return Tallied(counted, silent=silent)

    def forget(self, namespace: str, release: str) -> None:
        """Drop all that was counted for a Release."""
        self._accounts.pop((namespace, release), None)

    def _find(self, gate: Gate, names: Names, revision: str) -> _Account | None:
        account = self._accounts.get((names.namespace, names.release), {}).get(gate.name)
        if account is None or account.revision != revision:
            return None
        before, compares = account.gate, (account.gate.versus_stable is None) == (gate.versus_stable is None)
        return account if compares and (before.metric, before.connection) == (gate.metric, gate.connection) else None


async def _ask_all(ask: Ask, asked: RawCounters, shapes: frozenset[Shape], *, witnesses: bool = False) -> _Samples | Trouble:
    """Ask for the counters of both versions at one instant; one trouble is enough to have none of them.

    Raises:
        CountError: an answer cannot be counted.
    """
    versions = [asked.canary] if asked.stable is None else [asked.canary, asked.stable]
    texts = [_texts(version, shapes) for version in versions]
    witness = [asked.witnesses] if witnesses and asked.witnesses else []
    answers = await asyncio.gather(*(ask(text) for some in texts for text in some), *(ask(text) for text in witness))
    for answer in answers:
        if isinstance(answer, Trouble):
            return answer
    data = iter([answer.data for answer in answers if isinstance(answer, Result)])
    found, stored = [], []
    for version in versions:
        total = next(data) if version.total else None
        bad = next(data) if version.bad else None
        buckets = {shape: next(data) for shape, _ in _buckets(version, shapes)}
        found.append(sightings(asked, total, bad, buckets))
        stored.append(frozenset(shape for shape, answer in buckets.items() if answer))
    seen = tuple(labels for _ in witness for labels in labels_of(next(data)))
    return _Samples(found[0], found[1] if len(found) > 1 else None, seen, tuple(stored))


def _texts(version: VersionCounters, shapes: frozenset[Shape]) -> list[str]:
    return [text for text in (version.total, version.bad, *(text for _, text in _buckets(version, shapes))) if text]


def _buckets(version: VersionCounters, shapes: frozenset[Shape]) -> Sequence[tuple[Shape, str]]:
    return [(shape, text) for shape, text in version.buckets if shape in shapes]


def _worth_asking(stored: Sequence[frozenset[Shape]]) -> frozenset[Shape]:
    """Return the shapes to ask for at the next look: one, if every version has it, and rather classic than native."""
    for shape in Shape:
        if all(shape in shapes for shapes in stored):
            return frozenset((shape,))
    return frozenset(Shape)


def _silent(ledger: Ledger, samples: _Samples) -> tuple[Version, ...]:
    canary: tuple[Version, ...] = () if ledger.met or samples.canary else (Version.CANARY,)
    stable: tuple[Version, ...] = () if samples.stable is None or ledger.met_stable else (Version.STABLE,)
    return (*canary, *stable)
