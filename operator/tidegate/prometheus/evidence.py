"""Reads gates that are judged by Evidence: raw counters in, what was counted since the look before out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from functools import cached_property, partial

from tidegate.api.gate import Gate
from tidegate.api.metric import Metric
from tidegate.judge.reading import Counts
from tidegate.prometheus.answers import AskCounters, Cause, Trouble
from tidegate.prometheus.asking import asker_of
from tidegate.prometheus.budgets import Holder, Holdings, Size, of_release
from tidegate.prometheus.counters import RawCounters, Shape, raw_counters
from tidegate.prometheus.instants import COUNTER, Samples, ask_all, texts_of
from tidegate.prometheus.ledger import Ledger
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names
from tidegate.prometheus.samples import CountError, Form, TooMuchError, counts, number_of
from tidegate.prometheus.telling import Untold
from tidegate.prometheus.turns import Turns
from tidegate.runtime.turns import also

_FEW = 250
"""Series up to which gates read as they like. Those that have more, or of which nobody knows, take turns, so that no more answers
are in hand than can be taken in."""
_AT_ONCE = 32
"""Such gates that read at the same time."""
_PATIENCE = 30.0
"""Seconds for which they wait for their turn."""
_AGAIN = 60.0
"""Seconds after which a gate that has too many series is asked for them again."""
AskAt = Callable[[datetime], AskCounters]
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
        series: how many series of the new version there were at the last instant, and of stable where it is asked for; None where
            there was no answer.
    """

    counts: Counts | None = None
    trouble: str = ""
    earlier: tuple[Counts, ...] = ()
    silent: tuple[Version, ...] = ()
    newest: tuple[datetime | None, datetime | None] = (None, None)
    untold: tuple[tuple[Version, float], ...] = ()
    series: tuple[int, int | None] | None = None


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
    texts: int = 0
    """Bytes of its queries."""
    together: bool = True
    """Whether the queries of a version can be joined, which those of people need not be."""
    mark: str = ""
    """Tells its holder from that of the same gate in other accounts."""

    @cached_property
    def holder(self) -> Holder:
        """Whose it is."""
        return Holder(self.names.namespace, self.names.release, f"{self.gate.name}{self.mark}")

    @classmethod
    def new(cls, gate: Gate, names: Names, revision: str, asked: RawCounters, mark: str = "") -> _Account:
        """Return one in which nothing is counted yet."""
        ledger = Ledger(by_service=asked.by_service, forgets=asked.forgets)
        untold = Untold(by_service=asked.by_service, forgets=asked.forgets)
        return cls(gate, names, revision, asked, ledger, untold, texts=_length(asked), mark=mark)

    def queries(self, gate: Gate, names: Names) -> RawCounters:
        """Return the queries, as they were made before where nothing has changed.

        Raises:
            ValueError: see `raw_counters`.
        """
        if gate is not self.gate or names != self.names:
            self.asked = raw_counters(gate, names)
            self.texts = _length(self.asked)
            self.gate, self.names = gate, names
        return self.asked

    @property
    def size(self) -> Size:
        """What is remembered."""
        held = self.ledger.size
        return Size(held.series, held.bytes + self.untold.counters * COUNTER + self.texts)


@dataclass(frozen=True)
class _Refused:
    """That a gate has too many series.

    Attributes:
        metric: of the gate.
        revision: that was looked at.
        copies: labels by which copies of its series were known to be told apart: with others there may be fewer of them.
        until: when it is asked again, on the monotonic clock.
        words: what is said meanwhile.
    """

    metric: Metric
    revision: str
    copies: tuple[str, ...]
    until: float
    words: str


class Resumed(Enum):
    """Whether counting goes on from an instant that has passed."""

    NOT = "not"
    BEGUN = "begun"
    """A process before this one began to count then, and nothing of that was judged."""
    COUNTED = "counted"
    """What was counted by then was judged."""


class Accounts:
    """The ledgers of all gates that are judged by Evidence, one for each gate of each Release and its present revision.

    Args:
        holdings: what they may remember.
        clock: monotonic seconds.
        mark: tells what they hold from what others hold for the same gates.
    """

    def __init__(self, holdings: Holdings, clock: Callable[[], float] = time.monotonic, *, mark: str = "") -> None:
        self._holdings, self._clock, self._mark = holdings, clock, mark
        self._refused: dict[Holder, _Refused] = {}
        self._turns = Turns(_AT_ONCE, 10**6, clock=clock)
        self._accounts: dict[tuple[str, str], dict[str, _Account]] = {}

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether counting has begun for a gate, its present metric and this revision."""
        return self._find(gate, names, revision) is not None

    async def prime(
        self, ask: AskCounters, gate: Gate, names: Names, revision: str, at: datetime, *, resumed: Resumed = Resumed.NOT
    ) -> str:
        """Begin to count at an instant, whatever was counted before, and return what went wrong; see `Ledger.prime`.

        Where counting is to be resumed and nothing is known of then, it has not begun.
        """
        if refused := self._still_refused(gate, names, revision):
            return refused
        try:
            async with self._in_turn(gate, names):
                asked = raw_counters(gate, names)
                form = self._form(asked)
                samples, together = await ask_all(ask, asked, form, frozenset(Shape), witnesses=True)
                if isinstance(samples, Trouble):
                    return self._troubled(gate, names, revision, samples)
                if not _known(samples, resumed):
                    return ""
                account = self._find(gate, names, revision) or _Account.new(gate, names, revision, asked, self._mark)
                self._begin(account, samples, at, together=together, resumed=resumed is Resumed.COUNTED)
        except ValueError as error:
            return self._refuse(gate, names, revision, error)
        return ""

    def _begin(self, account: _Account, samples: Samples, at: datetime, *, together: bool, resumed: bool) -> None:
        if account.ledger.at is not None and at <= account.ledger.at:
            return
        self._make_room(account, samples)
        names, stable = account.names, None if samples.stable is None else samples.stable.sightings
        self._accounts.setdefault((names.namespace, names.release), {})[account.gate.name] = account
        account.together = together
        account.ledger.prime(at, samples.canary.sightings, stable, samples.witnesses, resumed=resumed)
        account.untold.begin(samples.told if account.asked.grouped else {})
        self._holdings.hold(account.holder, account.size)

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
        if refused := self._still_refused(gate, names, revision):
            return Tallied(trouble=refused)
        instants = [*account.ledger.between(at), at]
        if account.ledger.size.series * len(instants) <= _FEW:
            seen = await self._looks(ask, account, asked, instants)
        else:
            # One after the other: no more are in hand than are remembered.
            seen = []
            for instant in instants:
                async with self._in_turn(gate, names):
                    seen += await self._looks(ask, account, asked, [instant])
        earlier = tuple(one.counts for one in seen[:-1] if one.counts is not None)
        last = seen[-1]
        return Tallied(last.counts, last.trouble, earlier, last.silent, account.ledger.newest, last.untold, last.series)

    def take(self, gate: Gate, names: Names, revision: str, samples: Samples, at: datetime) -> Tallied:
        """Take in what was read without a query; where counting has not begun, it begins here.

        Not all of a version's processes need be among these samples. So none of the new version counts from zero that was not known
        before, unless it says that it began later.
        """
        if refused := self._still_refused(gate, names, revision):
            return Tallied(trouble=refused)
        account = self._find(gate, names, revision)
        try:
            if account is None:
                asked = replace(raw_counters(gate, names), by_service=True)
                self._begin(_Account.new(gate, names, revision, asked, self._mark), samples, at, together=True, resumed=False)
                return Tallied()
        except ValueError as error:
            return Tallied(trouble=self._refuse(gate, names, revision, error))
        return replace(self._count(account, account.asked, samples, at), newest=account.ledger.newest)

    async def _looks(self, ask: AskAt, account: _Account, asked: RawCounters, instants: Sequence[datetime]) -> list[Tallied]:
        if len(instants) == 1:
            # Nearly all looks are: a task of its own would cost each of them more than its numbers do.
            found = [await self._sample(ask(instants[0]), account, asked)]
        else:
            found = await asyncio.gather(*(also(partial(self._sample, ask(instant), account, asked)) for instant in instants))
        return [self._count(account, asked, samples, instant) for samples, instant in zip(found, instants, strict=True)]

    async def _sample(self, ask: AskCounters, account: _Account, asked: RawCounters) -> Samples | str:
        """Return what the counters say at an instant, or what went wrong."""
        try:
            form = self._form(asked)
            samples, account.together = await ask_all(ask, asked, form, account.shapes, together=account.together)
        except ValueError as error:
            return self._refuse(account.gate, account.names, account.revision, error)
        if isinstance(samples, Trouble):
            return self._troubled(account.gate, account.names, account.revision, samples)
        return samples

    def _count(self, account: _Account, asked: RawCounters, samples: Samples | str, at: datetime) -> Tallied:
        if isinstance(samples, str):
            return Tallied(trouble=samples)
        try:
            self._make_room(account, samples)
        except ValueError as error:
            return Tallied(trouble=self._refuse(account.gate, account.names, account.revision, error))
        account.shapes = _worth_asking([one.shapes for one in samples.versions])
        stable = None if samples.stable is None else samples.stable.sightings
        increases = account.ledger.advance(at, samples.canary.sightings, stable)
        silent = _silent(account.ledger, samples)
        account.untold.take(at, samples.told if asked.grouped else {})
        self._holdings.hold(account.holder, account.size)
        found = number_of(samples.canary.sightings, grouped=asked.grouped)
        series = found, None if stable is None else number_of(stable, grouped=asked.grouped)
        if untold := tuple(account.untold.too_many()):
            return Tallied(silent=silent, untold=untold, series=series)
        try:
            counted = None if increases is None else counts(asked, increases, samples.canary.pods, at)
        except ValueError as error:
            return Tallied(trouble=str(error), silent=silent, series=series)
        return Tallied(counted, silent=silent, series=series)

    def drop(self, gate: Gate, names: Names) -> None:
        """Drop what was counted for one gate."""
        self._accounts.get((names.namespace, names.release), {}).pop(gate.name, None)
        self._holdings.drop(self._holder(gate, names))

    def forget(self, namespace: str, release: str) -> None:
        """Drop all that was counted for a Release."""
        self._accounts.pop((namespace, release), None)
        self._holdings.forget(namespace, release)
        for holder in of_release(self._refused, namespace, release):
            del self._refused[holder]

    def _form(self, asked: RawCounters) -> Form:
        return Form.of(asked, self._holdings.budgets.series_per_gate)

    @asynccontextmanager
    async def _in_turn(self, gate: Gate, names: Names) -> AsyncIterator[None]:
        """Wait until it is a gate's turn to read what may be much.

        Raises:
            CountError: it was not for long.
        """
        asker = asker_of(gate, names)
        if not await self._turns.take(asker, _PATIENCE):
            raise CountError(f"{_AT_ONCE} gates with many series are being read already; the next check tries again")
        try:
            yield
        finally:
            self._turns.give_back(asker)

    def _make_room(self, account: _Account, samples: Samples) -> None:
        """Leave the ledger as much room as there is.

        Raises:
            TooMuchError: samples cannot be taken in.
        """
        size, texts = samples.size, account.texts
        wanted = Size(size.series, size.bytes + texts)
        room, counters = self._holdings.room(account.holder), account.untold.counters * COUNTER
        tight = wanted.series >= room.series or wanted.bytes >= room.bytes
        if tight and (refusal := self._holdings.refusal(account.holder, wanted)):
            raise TooMuchError(refusal)
        account.ledger.keep_within(Size(room.series, room.bytes - texts - counters))

    def _refuse(self, gate: Gate, names: Names, revision: str, error: ValueError) -> str:
        """Say what is wrong; what is too much is not asked for again for a while."""
        if isinstance(error, TooMuchError):
            until = self._clock() + _AGAIN
            self._refused[self._holder(gate, names)] = _Refused(gate.metric, revision, names.copies, until, str(error))
        return str(error)

    def _troubled(self, gate: Gate, names: Names, revision: str, trouble: Trouble) -> str:
        if trouble.cause is not Cause.SIZE:
            return trouble.message
        return self._refuse(gate, names, revision, TooMuchError(trouble.message))

    def _still_refused(self, gate: Gate, names: Names, revision: str) -> str:
        holder = self._holder(gate, names)
        refused = self._refused.get(holder)
        if refused is None:
            return ""
        same = (refused.metric, refused.revision, refused.copies) == (gate.metric, revision, names.copies)
        if same and self._clock() < refused.until:
            return refused.words
        del self._refused[holder]
        return ""

    def _holder(self, gate: Gate, names: Names) -> Holder:
        return Holder(names.namespace, names.release, f"{gate.name}{self._mark}")

    def _find(self, gate: Gate, names: Names, revision: str) -> _Account | None:
        account = self._accounts.get((names.namespace, names.release), {}).get(gate.name)
        if account is None or account.revision != revision:
            return None
        if account.names.copies != names.copies:
            # What it has counted is of all copies, from which that of one cannot be told.
            return None
        before, compares = account.gate, (account.gate.versus_stable is None) == (gate.versus_stable is None)
        return account if compares and (before.metric, before.connection) == (gate.metric, gate.connection) else None


def _known(samples: Samples, resumed: Resumed) -> bool:
    """Whether what was read of an instant is what there was: a Prometheus that has lost its data knows of nothing.

    Where a process has counted by then, it has seen series of the new version. Where it only began, new pods may not have been
    scraped yet.
    """
    if resumed is Resumed.NOT or samples.canary.sightings:
        return True
    others = samples.witnesses or (samples.stable is not None and samples.stable.sightings)
    return resumed is Resumed.BEGUN and bool(others)


def _length(asked: RawCounters) -> int:
    return sum(len(text) for text in texts_of(asked))


def _worth_asking(stored: Sequence[frozenset[Shape]]) -> frozenset[Shape]:
    """Return the shapes to ask for at the next look: one, if every version has it, and rather classic than native."""
    for shape in Shape:
        if all(shape in shapes for shapes in stored):
            return frozenset((shape,))
    return frozenset(Shape)


def _silent(ledger: Ledger, samples: Samples) -> tuple[Version, ...]:
    canary: tuple[Version, ...] = () if ledger.met or samples.canary.sightings else (Version.CANARY,)
    stable: tuple[Version, ...] = () if samples.stable is None or ledger.met_stable else (Version.STABLE,)
    return (*canary, *stable)
