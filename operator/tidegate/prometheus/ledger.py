"""The ledger of raw counters: what two versions have counted, whatever happened to their processes meanwhile.

Series are followed one by one and corrected for resets before anything is added up. Where the truth cannot be known, less is
counted and never more: a request that is missed delays a verdict, one that is counted twice falsifies it.

Where the time of each sample is told, it decides. A sample that is no newer than the one before it is the answer of another replica
of Prometheus, whatever its value is; a newer one that is lower is that of a process that began anew. What both versions have
counted is then handed out over the same time (`alignment`), since each process is scraped at instants of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from tidegate.judge.histogram import Histogram
from tidegate.prometheus.alignment import Alignment, Labels, Pace, Rise, Value
from tidegate.prometheus.budgets import EDGE, RISE, SERIES, Size
from tidegate.prometheus.events import Events
from tidegate.prometheus.rising import JITTER, bad, newer, nothing, reborn, rise

MOST = Size(16384, 64 * 1024 * 1024)
"""What is remembered at most of both versions, where nobody says how much it may be."""
MOST_SAMPLES = 6
"""Samples of one process that are read at one look at most."""
_KEPT = timedelta(hours=24)
"""For how long a series of the stable version that is not seen any more is remembered."""
_SKEW = timedelta(seconds=2)
"""By how much clocks of two replicas of Prometheus may differ: of samples that are no further apart nobody knows which is newer."""


class Sighting(NamedTuple):
    """What one series said at a look.

    Attributes:
        process: labels that name the process that counts.
        value: its counters, or its histogram.
        at: when the sample was taken; None where nobody tells.
        born: when the process started; None where nobody tells.
        less: it is a sum of fewer series than in the sample before, so that it gives a baseline.
    """

    process: Labels
    value: Value
    at: datetime | None = None
    born: datetime | None = None
    less: bool = False


Sightings = Mapping[Labels, Sighting]


@dataclass(frozen=True)
class Increases:
    """What was counted between two instants.

    Attributes:
        since: the first of them.
        canary: increases of the new version, series by series.
        stable: likewise of the stable version; None where it is not followed.
        until: the second one; `since` where nothing can be handed out yet.
    """

    since: datetime
    canary: tuple[Value, ...]
    stable: tuple[Value, ...] | None
    until: datetime


@dataclass(slots=True)
class _Row:
    process: Labels
    value: Value
    seen: datetime
    sampled: datetime | None
    born: datetime | None
    gap: timedelta | None = None
    gap_before: timedelta | None = None
    gone: bool = False
    """Whether its counter of bad events was there once, and was not in the last sample."""
    _pace: Pace | None = None

    @property
    def pace(self) -> Pace | None:
        """How often it is sampled: two replicas that answer by turns have a short window and a long one."""
        if self.sampled is None:
            return None
        if self._pace is None or self._pace.newest is not self.sampled:
            self._pace = Pace(self.sampled, self.gap if self.gap is None else max(self.gap, self.gap_before or self.gap))
        return self._pace


class _Version:
    """The last sample of each series of one version."""

    def __init__(self, *, forgets: bool) -> None:
        self._forgets = forgets
        self.rows: dict[Labels, _Row] = {}
        self.crowded = False
        self._unseen_since: datetime | None = None
        """No series was seen last before this instant."""

    def take(self, at: datetime, before: datetime, sightings: Sightings, from_zero: Callable[[Sighting], bool]) -> list[Rise]:
        """Take the samples of a look in and return what is new, series by series.

        Args:
            at: the look.
            before: the look before it; what has no time of its own was counted between the two.
            sightings: the samples.
            from_zero: whether a series that is met for the first time began at 0 after the look before.
        """
        found, rows = [], self.rows
        self._unseen_since = self._unseen_since or at
        for series, sighting in sightings.items():
            process, value, sampled, born, less = sighting
            row, end = rows.get(series), sampled or at
            if row is None:
                rows[series] = _Row(process, value, at, sampled, born)
                if not self.crowded and from_zero(sighting):
                    found.append(Rise(process, min(before, end), end, value))
                continue
            row.seen, start = at, row.sampled
            if sampled is not None and start is not None:
                if sampled <= start:
                    continue
                anew = reborn(row.born, born)
                gap = sampled - start
                if gap <= _SKEW and not anew and not less and rise(row.value, value) is None:
                    continue
                bad_before = bad(row.value)
                new, row.value = (
                    (nothing(value), value) if less else newer(row.value, value, anew=anew, gone=row.gone, forgets=self._forgets)
                )
                row.gone = bad_before is not None and not anew and bad(value) is None and bad(row.value) is not None
                row.gap, row.gap_before = gap, row.gap
            else:
                risen = rise(row.value, value, forgets=self._forgets)
                if risen is None:
                    continue
                start, (new, row.value) = before, risen
            row.sampled, row.born = sampled, born
            found.append(Rise(row.process, min(start, end), end, new))
        return found

    def paces(self, at: datetime) -> list[Pace]:
        """Return how often each process that was seen at a look is sampled; none of those whose samples have no time."""
        found, latest = [], dict[Labels, Pace]()
        for series, row in self.rows.items():
            pace = row.pace if row.seen == at else None
            if pace is None:
                continue
            if row.process is series:
                found.append(pace)
            elif row.process not in latest or pace.newest > latest[row.process].newest:
                latest[row.process] = pace
        return [*found, *latest.values()]

    @property
    def gap(self) -> timedelta | None:
        """The least time between two samples of a process; None where that is not known."""
        return min((row.gap for row in self.rows.values() if row.gap is not None), default=None)

    @property
    def edges(self) -> int:
        """Numbers that its histograms hold."""
        first = next(iter(self.rows.values()), None)
        if first is None or isinstance(first.value, Events):
            return 0
        return sum(len(row.value.counts) for row in self.rows.values() if isinstance(row.value, Histogram))

    def newest(self, at: datetime | None) -> datetime | None:
        """Return the time of the newest sample that a look was shown; None where there was none, or none has a time."""
        rows = (row for row in self.rows.values() if row.seen == at)
        return max((row.sampled for row in rows if row.sampled is not None), default=None)

    def drop(self, at: datetime, *, kept: timedelta | None, most: int) -> None:
        """Drop what was not seen for long, and the oldest where there is too much.

        Where series had to go, one that is met for the first time may be one of those, come back: none counts from 0 any more.
        """
        if kept is not None and self._unseen_since is not None and at - self._unseen_since > kept:
            for series in [series for series, row in self.rows.items() if at - row.seen > kept]:
                del self.rows[series]
            self._unseen_since = min((row.seen for row in self.rows.values()), default=None)
        excess = len(self.rows) - most
        if excess > 0:
            self.crowded = True
            for series in sorted(self.rows, key=lambda series: self.rows[series].seen)[:excess]:
                del self.rows[series]


class Ledger:
    """The counters of one gate, of a new version and of the stable one.

    Both advance together: where a look lacks one of them, do not take it in; the next look then covers the time of this one.

    Args:
        by_service: the series are a gateway's view of a Service that may have served another version before. A series of the new
            version that was never seen then counts from 0 only if its process was known before; else it may hold what its
            predecessor did.
        forgets: each series is a sum of some that its process forgets while it runs. Where it falls it gives a baseline.
    """

    def __init__(self, *, by_service: bool = False, forgets: bool = False) -> None:
        self._by_service = by_service
        self._canary, self._stable = _Version(forgets=forgets), _Version(forgets=forgets)
        self._processes: dict[Labels, datetime] = {}
        self._oldest: datetime | None = None
        """No process was seen last before this instant."""
        self._most = MOST
        self._alignment = Alignment()
        self._began: datetime | None = None
        self._resumed = False
        self.at: datetime | None = None

    @property
    def met(self) -> bool:
        """Whether any series of the new version was ever seen."""
        return bool(self._canary.rows)

    @property
    def met_stable(self) -> bool:
        """Whether any series of the stable version is known."""
        return bool(self._stable.rows)

    @property
    def newest(self) -> tuple[datetime | None, datetime | None]:
        """Time of the newest sample of each version at the last look; None where it had no series, or samples have no time."""
        return self._canary.newest(self.at), self._stable.newest(self.at)

    @property
    def size(self) -> Size:
        """What is remembered, of series that are gone as well, and about how many bytes of memory that takes."""
        series = len(self._canary.rows) + len(self._stable.rows)
        edges = self._canary.edges + self._stable.edges + self._alignment.edges
        return Size(series, series * (SERIES - RISE) + self._alignment.waiting * RISE + edges * EDGE)

    def keep_within(self, most: Size) -> None:
        """Remember no more than this from now on: at the cost of series that are gone, and of windows that are told apart."""
        self._most = most

    def between(self, at: datetime) -> tuple[datetime, ...]:
        """Return the instants between the last look and one at which counters are read, too, so that no sample is passed over.

        Each sample tells how bad events come, one by one or together. There is none where samples have no time, or are rarer than
        looks.
        """
        gap = self._canary.gap
        if self.at is None or gap is None:
            return ()
        step = timedelta(seconds=max(1, round(gap.total_seconds())))
        passed = min(MOST_SAMPLES, round((at - self.at) / step))
        return tuple(instant for number in range(passed - 1, 0, -1) if (instant := at - number * step) > self.at)

    def prime(
        self,
        at: datetime,
        canary: Sightings,
        stable: Sightings | None,
        witnesses: Iterable[Labels] = (),
        *,
        resumed: bool = False,
    ) -> None:
        """Take the baseline: nothing before this instant counts.

        Args:
            at: instant of the samples.
            canary: series of the new version.
            stable: series of the stable version; None where the gate does not compare with it.
            witnesses: processes that exist, whether they have such series or not.
            resumed: what was counted by then was taken in by another process. A series that is not among these may have been,
                too: the next look gives no more than a baseline for it.
        """
        self._take(at, canary, stable)
        self._alignment.begin(at)
        self._resumed, self._began = resumed, at
        self._processes.update(dict.fromkeys(witnesses, at))
        self.at = at

    def advance(self, at: datetime, canary: Sightings, stable: Sightings | None) -> Increases | None:
        """Take a look in and return what was counted, for both versions over the same time.

        What cannot be handed out yet, as the other version's samples of that time are still to come, is kept for a later look.

        Args:
            at: instant of the samples, the same for both versions.
            canary: series of the new version.
            stable: series of the stable version; None where the gate does not compare with it.

        Returns:
            The increases; None, with nothing taken in, where the instant is not after the one before, or where no series of the new
            version was ever seen.

        Raises:
            ValueError: there is no baseline yet.
        """
        if self.at is None:
            msg = "there is no baseline yet"
            raise ValueError(msg)
        if at <= self.at or not (canary or self.met):
            return None
        rises, others = self._take(at, canary, stable)
        self.at, self._resumed = at, False
        since = self._alignment.cut
        if others is None:
            return Increases(since, tuple(one.value for one in rises), None, self._alignment.begin(at))
        until = self._alignment.take(at, rises, others, self._canary.paces(at), self._stable.paces(at))
        ours, theirs = self._alignment.released(until) if until > since else ((), ())
        self._alignment.thin(self._alignment.waiting - max(0, self.size.bytes - self._most.bytes) // RISE)
        return Increases(since, ours, theirs, until)

    def _take(self, at: datetime, canary: Sightings, stable: Sightings | None) -> tuple[list[Rise], list[Rise] | None]:
        known, resumed, before = self._processes, self._resumed, self.at or at
        # What was forgotten as it was not seen for so long began earlier than that.
        young = None if self._began is None else max(self._began, at - _KEPT)

        def ours(one: Sighting) -> bool:
            return _born_since(young, one) or (not resumed and (not self._by_service or one.process in known))

        def theirs(one: Sighting) -> bool:
            return _born_since(young, one) or (not resumed and one.process in known)

        found = self._canary.take(at, before, canary, ours)
        others = None if stable is None else self._stable.take(at, before, stable, theirs)
        for sightings in (canary, stable or {}):
            known.update((one.process, at) for one in sightings.values())
        series, shown = self._most.series, len(stable or {})
        self._canary.drop(at, kept=None, most=series - shown)
        self._stable.drop(at, kept=_KEPT, most=series - len(self._canary.rows))
        self._forget(at)
        return found, others

    def _forget(self, at: datetime) -> None:
        """Let go of processes that were not seen for long, or that are too many."""
        self._oldest = self._oldest or at
        if len(self._processes) > 2 * self._most.series or at - self._oldest > _KEPT:
            living = {row.process for version in (self._canary, self._stable) for row in version.rows.values()}
            self._processes = {process: seen for process, seen in self._processes.items() if process in living}
            self._oldest = min(self._processes.values(), default=None)


def _born_since(instant: datetime | None, one: Sighting) -> bool:
    """Whether a process says that it started after an instant, so that it has counted nothing by then."""
    return instant is not None and one.born is not None and one.born > instant + JITTER
