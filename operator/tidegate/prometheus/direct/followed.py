"""What was read directly for one gate, and is still to be decided on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import Source
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.judge.evidence.ahead import Ahead
from tidegate.judge.reading import Counts, Reading, Shown, Tally
from tidegate.prometheus import telling
from tidegate.prometheus.direct.crosscheck import Crosscheck
from tidegate.prometheus.direct.growing import Growing
from tidegate.prometheus.direct.manner import AT_GATEWAY, PUSHED, READ
from tidegate.prometheus.direct.page import PageError
from tidegate.prometheus.direct.seen import Known, Scraped, samples
from tidegate.prometheus.direct.targets import Chosen, Missed, Pod, named, not_read
from tidegate.prometheus.direct.wanted import Wanted, gateway_of
from tidegate.prometheus.evidence import Accounts, Tallied
from tidegate.prometheus.promql import Names

AWAY = timedelta(seconds=5)
"""After so long without a page of a version, and two intervals more, Prometheus is asked instead."""
OVERLAP = timedelta(seconds=60)
"""What Prometheus tells of a moment may have been counted as long before it, at its last scrape: so much is left out after what was
read directly, or it would count twice."""
_MOST = 600
"""Spans that wait for a decision at most; a pass that takes longer finds the last ones."""
_MANY = _MOST // 2
"""Spans from which on they are handed in without waiting for the next check: what comes when there are too many would be lost."""


@dataclass(frozen=True)
class Round:
    """What one round of reading has brought.

    Attributes:
        at: when it was over.
        canary: pages of the new version that came in since the round before.
        stable: likewise of stable.
        chosen: which pods of the new version are read.
        chosen_stable: likewise of stable.
        missed: pods whose pages did not come.
        missed_stable: likewise of stable.
        crowded: pods of gateways whose pages have too many series for some wishes, with these.
    """

    at: datetime
    canary: Sequence[Scraped] = ()
    stable: Sequence[Scraped] = ()
    chosen: Chosen[Pod] = field(default_factory=Chosen)
    chosen_stable: Chosen[Pod] = field(default_factory=Chosen)
    missed: Sequence[Missed] = ()
    missed_stable: Sequence[Missed] = ()
    crowded: Sequence[tuple[Missed, frozenset[Wanted]]] = ()

    def of(self, wishes: Sequence[Wanted]) -> Round:
        """Return what it has brought for one gate: the pages on which all that the gate wants is counted."""
        pages = [[one for one in of if all(wish in one.page.counted for wish in wishes)] for of in (self.canary, self.stable)]
        crowded = [one for one, there in self.crowded if not there.isdisjoint(wishes)]
        return replace(self, canary=pages[0], stable=pages[1], missed=[*self.missed, *crowded], crowded=())


@dataclass
class _Spans:
    """What was counted and is not in the status yet.

    Attributes:
        waiting: not handed in yet.
        handed: handed in, and when the reading was that they were handed in with.
    """

    waiting: list[Counts] = field(default_factory=list)
    handed: list[tuple[datetime, Counts]] = field(default_factory=list)


class Followed:
    """Follows one gate of a Release.

    Args:
        gate: the gate, which has `direct` or `push`.
        wanted: what it wants of a page.
        names: what the Release's objects are called.
        revision: the new version.
        accounts: the ledgers.
        of_stable: what it wants of a page for stable, where gateways count, on whose pages both versions are; else None.
    """

    def __init__(
        self, gate: Gate, wanted: Wanted, names: Names, revision: str, accounts: Accounts, *, of_stable: Wanted | None = None
    ) -> None:
        assert gate.own is not None
        way = gate.own
        self.gate, self.way, self.wanted, self.revision = gate, way, wanted, revision
        self.names, self._accounts, self.of_stable = names, accounts, of_stable
        self._words = AT_GATEWAY if of_stable is not None else READ if gate.direct is not None else PUSHED
        self.crosscheck, self.comparing = Crosscheck(self._words.accounts, parts=of_stable is None), False
        self.since = self._floor = datetime.min.replace(tzinfo=UTC)
        self._known, self._spans = Known(), _Spans()
        self._state: GateStatus | None = None
        self._ahead = Ahead(gate, None)
        self._told = Tallied()
        self._round: Round | None = None
        self._last: dict[str, datetime] = {}
        self._growing = Growing(), Growing()
        self._came: dict[str, datetime] = {}
        self._begun: datetime | None = None
        self._found = self._told_to_fail = False
        self._until: datetime | None = None
        """Until when what was read directly has been handed in."""

    @property
    def wishes(self) -> tuple[Wanted, ...]:
        """What is wanted of pages."""
        return (self.wanted,) if self.of_stable is None else (self.wanted, self.of_stable)

    @property
    def gateway(self) -> Source | None:
        """By what kind of gateway its requests are counted; None where pods count them."""
        return None if self.of_stable is None else gateway_of(self.gate)

    def settle(self, state: GateStatus | None, *, alone: bool) -> None:
        """Go on from a new status: what is in it waits no longer."""
        if state is self._state:
            return
        same = state is not None and self._state is not None and state.evidence == self._state.evidence
        self._state = state
        self._told_to_fail = state is not None and state.verdict is Verdict.FAIL
        if state is not None:
            self._spans.handed = [one for one in self._spans.handed if one[0] > state.at]
        if not same:
            self._look_ahead(alone=alone)

    def take(self, found: Round, *, alone: bool) -> None:
        """Take a round in."""
        found = found.of(self.wishes)
        compares = self.gate.versus_stable is not None
        # Samples that are pushed may be older than what Prometheus was judged by until now, or than the end of a warm-up.
        floor = max(self._floor, self.since) if self.gate.push is not None else self._floor
        self._found = self._found or any(one.page.counted[self.wanted].found for one in found.canary)
        self._come(found)
        canary, stable = ([page for page in pages if page.at >= floor] for pages in (found.canary, found.stable))
        found = replace(found, canary=canary, stable=stable)
        self._round = found
        self._last |= {name: found.at for name, tells in zip(("canary", "stable"), self._tell(found), strict=True) if tells}
        if not found.canary and not found.stable:
            return
        try:
            seen = samples(self.wanted, self._known, found.canary, found.stable if compares else None, self.of_stable)
            self._told = self._accounts.take(self.gate, self.names, self.revision, seen, found.at)
        except PageError as error:
            self._told = Tallied(trouble=str(error))
        counted = self._told.counts
        if counted is not None and counted.until is not None and counted.until > counted.since:
            whole = not not_read(self._missed(found) if self.of_stable is not None else found.missed)
            every = len(found.chosen.targets) == found.chosen.pods
            self.crosscheck.direct(counted, whole=whole and every, bounded=found.chosen.bounded)
            self._append(counted, alone=alone)

    @property
    def failing(self) -> bool:
        """Whether somebody was told that the gate fails, and has not decided on it."""
        return self._told_to_fail

    @property
    def full(self) -> bool:
        """Whether as much waits for a decision as may wait for a check."""
        return len(self._spans.waiting) >= _MANY

    def broken(self, error: Exception) -> bool:
        """Take note that what was read could not be taken in, which is a bug, and return whether that is news.

        Prometheus is asked until it can be.
        """
        before, self._told = (
            self._told.trouble,
            Tallied(trouble=f"a bug in Tidegate ({type(error).__name__}), see the operator's log"),
        )
        return before != self._told.trouble

    def fails(self, alpha: float) -> bool:
        """Whether the gate fails by what was read, and nobody has been told; a reading that is handed in tells it."""
        if self._told_to_fail or not self._spans.waiting:
            return False
        self._told_to_fail = self._ahead.fails(alpha)
        return self._told_to_fail

    def live(self, now: datetime) -> bool:
        """Whether the gate is judged by what was read directly: both versions' pages have come lately, with the series."""
        if self._round is None or not self._found or self._told.trouble:
            return False
        return self._lately(self._last, self._round, now) and self._told.series is not None

    def begins(self, now: datetime) -> bool:
        """Whether samples of both versions are pushed since a moment ago: they are not judged yet, and Prometheus no more.

        Those that are judged must be later than what Prometheus was judged by, and two of each are needed: with a check in between
        there would never be.
        """
        return self._begun is not None and not self._told.trouble and now < self._begun + AWAY + 3 * self.way.interval

    def reading(self, at: datetime) -> Reading:
        """Return what was read since the last reading, and hand it in."""
        found, told = self._round, self._told
        assert found is not None
        at = max(at, found.at)
        trouble = next((telling.in_words(self.gate, version, share) for version, share in told.untold), "")
        # What came in while good and bad could not be told apart is not judged.
        spans, self._spans.waiting = [] if trouble else self._spans.waiting, []
        self._spans.handed = [*self._spans.handed, *((at, one) for one in spans)][-_MOST:]
        if spans:
            self._until = spans[-1].until
        canary, stable = told.series or (None, None)
        last = spans[-1] if spans else self._nothing(at)
        shown = Shown(canary, stable, telling.known_by(self.gate) if canary and not trouble else "")
        return Reading(
            gate=self.gate.name,
            revision=self.revision,
            at=at,
            trouble=trouble,
            counts=None if trouble else last,
            earlier=tuple(spans[:-1]),
            newest=told.newest[0],
            newest_stable=told.newest[1],
            shown=shown,
            direct=self.in_words(found),
            disagrees=self.crosscheck.words,
        )

    def instead(self, reading: Reading) -> Reading:
        """Return a reading of Prometheus for one of its own, without what may have been counted already."""
        after = None if self._until is None else self._until + OVERLAP
        spans = [one for one in reading.spans if after is None or one.since >= after]
        if not all(map(_empty, spans)):
            # What is counted from there on is not counted again.
            self._begin_anew()
            self._came, self._begun = {}, None
            if self.gate.push is not None:
                self._floor = max(self._floor, reading.at)
        words = f"{self._why()}; Prometheus is asked instead"
        if reading.spans and not spans:
            return replace(reading, counts=self._nothing(reading.at), earlier=(), direct=words)
        last, earlier = (spans[-1], tuple(spans[:-1])) if spans else (None, ())
        return replace(reading, counts=last, earlier=earlier, direct=words)

    def in_words(self, found: Round) -> str:
        """Say how many pods are read directly, and which are not."""
        of = [(found.chosen, found.missed, "the new version"), (found.chosen_stable, found.missed_stable, "stable")]
        if self._words.of:
            of = of[:1]
        parts = [
            f"{len(one.targets) - len(not_read(missed))} of {one.pods} {self._words.of or f'pods of {whose}'}"
            for one, missed, whose in of
            if one.pods
        ]
        said = [f"{self._words.reads} {format_duration(self.way.interval)}{': ' if parts else ''}{', '.join(parts)}"]
        missed = self._missed(found)
        if lost := not_read(missed):
            said.append(f"{self._words.misses}: {named(lost, what=self._words.pods)}")
            if self._words.sample and len(found.chosen.targets) > len(not_read(found.missed)):
                said.append(self._words.sample)
        if seldom := [one for one in missed if one.read]:
            said.append(f"{self._words.seldom}: {named(seldom, what=self._words.pods)}")
        return "; ".join(said)

    def _why(self) -> str:
        """Say why nothing was read directly."""
        found = self._round
        if self._told.trouble:
            return f"{self._words.judged}: {self._told.trouble}"
        if found is None:
            return self._words.pending
        if missed := self._missed(found):
            return f"{self._words.silent}: {named(missed, what=self._words.pods)}"
        if found.canary and not self._found:
            return f"{self._words.whose} {self.wanted.events} yet"
        return self._words.absent

    def _missed(self, found: Round) -> list[Missed]:
        """Return what was not read."""
        ours = [*found.chosen.missed, *found.missed]
        # Both versions are on a gateway's pages.
        return ours if self.of_stable is not None else [*ours, *found.chosen_stable.missed, *found.missed_stable]

    def _tell(self, found: Round) -> tuple[bool, bool]:
        """Whether the pages that have come tell of each version: a pod's own do, those of gateways only where they count it.

        A gateway that has nothing to do with the Release can be read when the one that its requests go through cannot.
        """
        if self.of_stable is None:
            return bool(found.canary), bool(found.stable)
        (ours, theirs), missed = self._growing, bool(not_read(self._missed(found)))
        canary = ours.take(found.at, found.canary, self.wanted, missed=missed)
        return canary, theirs.take(found.at, found.stable, self.of_stable, missed=missed)

    def _come(self, found: Round) -> None:
        """Take note of which versions' samples have come, whether they can be judged or not."""
        if self.gate.push is None:
            return
        self._came |= {name: found.at for name, pages in (("canary", found.canary), ("stable", found.stable)) if pages}
        if self._begun is None and self._found and self._lately(self._came, found, found.at):
            self._begun = found.at

    def _lately(self, came: Mapping[str, datetime], found: Round, now: datetime) -> bool:
        """Whether something of each version that is needed has come in the last two intervals."""
        since = now - AWAY - 2 * self.way.interval
        wanted = ["canary"]
        if self.gate.versus_stable is not None and found.chosen_stable.pods:
            wanted.append("stable")
        return all(one in came and came[one] >= since for one in wanted)

    def _append(self, counted: Counts, *, alone: bool) -> None:
        waiting = self._spans.waiting
        if waiting and _empty(waiting[-1]) and _empty(counted):
            # A silent hour is one span.
            waiting[-1] = replace(counted, since=waiting[-1].since)
            return
        if len(waiting) < _MOST:
            waiting.append(counted)
            self._ahead.take(counted, counted.until or counted.since, alone=alone)

    def _nothing(self, at: datetime) -> Counts:
        nothing = Tally(0.0)
        return Counts(at, nothing, nothing if self.gate.versus_stable is not None else None, until=at)

    def _begin_anew(self) -> None:
        self._accounts.drop(self.gate, self.names)
        self._known, self._spans.waiting, self._told, self._last = Known(), [], Tallied(), {}
        self._look_ahead(alone=False)

    def _look_ahead(self, *, alone: bool) -> None:
        self._ahead = Ahead(self.gate, self._state.evidence if self._state is not None else None)
        for one in (*(counts for _, counts in self._spans.handed), *self._spans.waiting):
            self._ahead.take(one, one.until or one.since, alone=alone)


def _empty(one: Counts) -> bool:
    return not one.canary.total and (one.stable is None or not one.stable.total)
