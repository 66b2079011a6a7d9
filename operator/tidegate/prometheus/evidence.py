"""Reads gates that are judged by Evidence: raw counters in, what was counted since the look before out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts
from tidegate.prometheus.alignment import Labels
from tidegate.prometheus.answers import Ask, Cause, Result, Trouble
from tidegate.prometheus.batching import join, part
from tidegate.prometheus.counters import RawCounters, Shape, VersionCounters, raw_counters
from tidegate.prometheus.ledger import Ledger, Sightings
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names, self_contained
from tidegate.prometheus.samples import Answers, counts, labels_of, sightings
from tidegate.prometheus.telling import Untold, parted
from tidegate.runtime.turns import also

_PART = "tidegate_part"
"""Label that tells which of a version's queries a series answers."""

AskAt = Callable[[datetime], Ask]
"""Says how queries are evaluated at an instant."""


@dataclass(frozen=True)
class Tallied:
    """What a look at counters gave.

    Attributes:
        counts: what was counted since the look before; None where nothing could be.
        trouble: why, where something went wrong.
        earlier: what was counted until each but the last of several samples, in order; `counts` goes on from there.
        silent: versions without any series, the new one first.
        newest: time of the newest sample of the new version, and of stable; None where nobody tells.
        untold: versions of whose events too many cannot be told good or bad, with the share of them; there are no counts then.
    """

    counts: Counts | None = None
    trouble: str = ""
    earlier: tuple[Counts, ...] = ()
    silent: tuple[Version, ...] = ()
    newest: tuple[datetime | None, datetime | None] = (None, None)
    untold: tuple[tuple[Version, float], ...] = ()


@dataclass
class _Account:
    """What is remembered of one gate."""

    gate: Gate
    names: Names
    revision: str
    asked: RawCounters
    ledger: Ledger
    untold: Untold
    shapes: frozenset[Shape] = field(default=frozenset(Shape))
    together: bool = True
    """Whether the queries of a version can be joined, which those of people need not be."""

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
        totals: the answers for the counters of all events, by version.
    """

    canary: Sightings
    stable: Sightings | None
    witnesses: tuple[Labels, ...]
    shapes: tuple[frozenset[Shape], ...]
    totals: Mapping[Version, object]


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
            samples, together = await _ask_all(ask, asked, frozenset(Shape), witnesses=True)
        except ValueError as error:
            return str(error)
        if isinstance(samples, Trouble):
            return samples.message
        if resumed and not samples.canary:
            return ""
        account = self._find(gate, names, revision)
        if account is None:
            by_service = asked.by_service
            account = _Account(gate, names, revision, asked, Ledger(by_service=by_service), Untold(by_service=by_service))
            self._accounts.setdefault((names.namespace, names.release), {})[gate.name] = account
        if account.ledger.at is None or at > account.ledger.at:
            account.together = together
            account.ledger.prime(at, samples.canary, samples.stable, samples.witnesses, resumed=resumed)
            account.untold.begin(samples.totals)
        return ""

    async def read(self, ask: AskAt, gate: Gate, names: Names, revision: str, at: datetime) -> Tallied:
        """Look once; where counting has not begun, it begins here.

        Where several samples were taken since the look before, the counters are read as of each of them.
        """
        account = self._find(gate, names, revision)
        if account is None:
            return Tallied(trouble=await self.prime(ask(at), gate, names, revision, at))
        try:
            asked = account.queries(gate, names)
        except ValueError as error:
            return Tallied(trouble=str(error))
        instants = [*account.ledger.between(at), at]
        found = await asyncio.gather(*(also(partial(self._sample, ask(instant), account, asked)) for instant in instants))
        seen = [self._count(account, asked, samples, instant) for samples, instant in zip(found, instants, strict=True)]
        earlier = tuple(one.counts for one in seen[:-1] if one.counts is not None)
        return replace(seen[-1], earlier=earlier, newest=account.ledger.newest)

    @staticmethod
    async def _sample(ask: Ask, account: _Account, asked: RawCounters) -> _Samples | str:
        """Return what the counters say at an instant, or what went wrong."""
        try:
            samples, account.together = await _ask_all(ask, asked, account.shapes, together=account.together)
        except ValueError as error:
            return str(error)
        return samples.message if isinstance(samples, Trouble) else samples

    @staticmethod
    def _count(account: _Account, asked: RawCounters, samples: _Samples | str, at: datetime) -> Tallied:
        if isinstance(samples, str):
            return Tallied(trouble=samples)
        account.shapes = _worth_asking(samples.shapes)
        increases = account.ledger.advance(at, samples.canary, samples.stable)
        silent = _silent(account.ledger, samples)
        account.untold.take(at, samples.totals)
        if untold := tuple(account.untold.too_many()):
            return Tallied(silent=silent, untold=untold)
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


async def _ask_all(
    ask: Ask, asked: RawCounters, shapes: frozenset[Shape], *, witnesses: bool = False, together: bool = True
) -> tuple[_Samples | Trouble, bool]:
    """Ask for the counters of both versions at one instant; one trouble is enough to have none of them.

    What is asked of one version goes out as one query, so that values and the times of their samples are of one replica of
    Prometheus. Queries that do not bear that are asked one by one, and without the times.

    Returns:
        What was found, and whether queries could be joined.

    Raises:
        CountError: an answer cannot be counted.
    """
    versions = [asked.canary] if asked.stable is None else [asked.canary, asked.stable]
    found = await _ask_versions(ask, versions, shapes, together=together)
    if isinstance(found, Trouble) and found.cause is Cause.QUERY and together:
        found = await _ask_versions(ask, versions, shapes, together=False)
        # What fails one by one, too, tells nothing against asking it together.
        together = isinstance(found, Trouble)
    if isinstance(found, Trouble):
        return found, together
    witness = await ask(asked.witnesses) if witnesses and asked.witnesses else None
    if isinstance(witness, Trouble):
        return witness, together
    seen = () if witness is None else tuple(labels_of(witness.data))
    totals = dict(zip((Version.CANARY, Version.STABLE), [one.total for one in found], strict=False)) if asked.grouped else {}
    told = [replace(one, total=parted(one.total)[0]) for one in found] if asked.grouped else found
    read = [sightings(asked, one) for one in told]
    stored = tuple(frozenset(shape for shape, answer in one.buckets.items() if answer) for one in found)
    return _Samples(read[0], read[1] if len(read) > 1 else None, seen, stored, totals), together


async def _ask_versions(
    ask: Ask, versions: Sequence[VersionCounters], shapes: frozenset[Shape], *, together: bool
) -> list[Answers] | Trouble:
    found = await asyncio.gather(*(also(partial(_ask_version, ask, version, shapes, together=together)) for version in versions))
    trouble = next((one for one in found if isinstance(one, Trouble)), None)
    return trouble or [one for one in found if isinstance(one, Answers)]


async def _ask_version(ask: Ask, version: VersionCounters, shapes: frozenset[Shape], *, together: bool) -> Answers | Trouble:
    kept = dict(_buckets(version, shapes))
    texts = [version.total, version.bad, *kept.values()]
    together = together and all(self_contained(text) for text in texts if text)
    if together:
        texts += [version.times, version.births]
    given = [text for text in texts if text]
    if together and len(given) > 1:
        answer = await ask(join(given, _PART, _PART))
        if isinstance(answer, Trouble):
            return answer
        parts = part(answer.data, _PART, len(given), _PART)
        if parts is None:
            return Trouble("the answers could not be told apart", Cause.QUERY)
        data: list[object] = list(parts)
    else:
        answers = await asyncio.gather(*(ask(text) for text in given))
        trouble = next((one for one in answers if isinstance(one, Trouble)), None)
        if trouble is not None:
            return trouble
        data = [one.data for one in answers if isinstance(one, Result)]
    rest = iter(data)
    total, bad, *others = (next(rest) if text else None for text in texts)
    times, births = (others[-2], others[-1]) if together else (None, None)
    return Answers(total, bad, dict(zip(kept, others, strict=False)), times, births)


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
