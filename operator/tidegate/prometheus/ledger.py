"""The ledger of raw counters: what two versions have counted, whatever happened to their processes meanwhile.

Series are followed one by one and corrected for resets before anything is added up. Where the truth cannot be known, less is
counted and never more: a request that is missed delays a verdict, one that is counted twice falsifies it.

Where the time of each sample is told, it decides. A sample that is no newer than the one before it is the answer of another replica
of Prometheus, whatever its value is; a newer one that is lower is that of a process that began anew. What both versions have
counted is then handed out over the same time (`alignment`), since each process is scraped at instants of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.judge import histogram
from tidegate.judge.histogram import Histogram
from tidegate.prometheus.alignment import Alignment, Labels, Pace, Rise, Value
from tidegate.prometheus.events import Events

MOST_SERIES = 8192
"""Series of one version that are remembered at most."""
MOST_SAMPLES = 6
"""Samples of one process that are read at one look at most."""
_KEPT = timedelta(hours=24)
"""For how long a series of the stable version that is not seen any more is remembered."""
_JITTER = timedelta(seconds=2)
"""By how much the time at which a process says that it started may move on: some reckon it from how long they have been up."""
_SKEW = timedelta(seconds=2)
"""By how much clocks of two replicas of Prometheus may differ: of samples that are no further apart nobody knows which is newer."""
_RESTARTED = 0.5
"""Where samples have no time: a counter that falls below this share of what it was began anew. One that falls less is most likely
the answer of another replica of Prometheus, whose last scrape is older: a process that has just started rarely counts half of what
its predecessor had in all."""


@dataclass(frozen=True)
class Sighting:
    """What one series said at a look.

    Attributes:
        process: labels that name the process that counts.
        value: its counters, or its histogram.
        at: when the sample was taken; None where nobody tells.
        born: when the process started; None where nobody tells.
    """

    process: Labels
    value: Value
    at: datetime | None = None
    born: datetime | None = None


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


@dataclass
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

    def __init__(self) -> None:
        self.rows: dict[Labels, _Row] = {}
        self.crowded = False

    def take(self, at: datetime, before: datetime, sightings: Sightings, since_zero: Mapping[Labels, bool]) -> list[Rise]:
        """Take the samples of a look in and return what is new, series by series.

        Args:
            at: the look.
            before: the look before it; what has no time of its own was counted between the two.
            sightings: the samples.
            since_zero: whether a series that is met for the first time began at 0 after the look before.
        """
        found = []
        for series, sighting in sightings.items():
            row, end = self.rows.get(series), sighting.at or at
            if row is None:
                self.rows[series] = _Row(sighting.process, sighting.value, at, sighting.at, sighting.born)
                if since_zero[series] and not self.crowded:
                    found.append(Rise(sighting.process, min(before, end), end, sighting.value))
                continue
            row.seen = at
            if sighting.at is not None and row.sampled is not None:
                if sighting.at <= row.sampled:
                    continue
                start, anew = row.sampled, _reborn(row.born, sighting.born)
                gap = sighting.at - start
                if not anew and gap <= _SKEW and _rise(row.value, sighting.value) is None:
                    continue
                bad_before = _bad(row.value)
                new, row.value = _newer(row.value, sighting.value, anew=anew, gone=row.gone)
                row.gone = not anew and _bad(sighting.value) is None and bad_before is not None and _bad(row.value) is not None
                row.gap, row.gap_before = gap, row.gap
            else:
                risen = _rise(row.value, sighting.value)
                if risen is None:
                    continue
                start, (new, row.value) = before, risen
            row.sampled, row.born = sighting.at, sighting.born
            found.append(Rise(sighting.process, min(start, end), end, new))
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

    def newest(self, at: datetime | None) -> datetime | None:
        """Return the time of the newest sample that a look was shown; None where there was none, or none has a time."""
        rows = (row for row in self.rows.values() if row.seen == at)
        return max((row.sampled for row in rows if row.sampled is not None), default=None)

    def drop(self, at: datetime, *, kept: timedelta | None) -> None:
        """Drop what was not seen for long, and the oldest where there is too much.

        Where series had to go, one that is met for the first time may be one of those, come back: none counts from 0 any more.
        """
        if kept is not None:
            for series in [series for series, row in self.rows.items() if at - row.seen > kept]:
                del self.rows[series]
        excess = len(self.rows) - MOST_SERIES
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
    """

    def __init__(self, *, by_service: bool = False) -> None:
        self._by_service = by_service
        self._canary, self._stable = _Version(), _Version()
        self._processes: dict[Labels, datetime] = {}
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
        return Increases(since, ours, theirs, until)

    def _take(self, at: datetime, canary: Sightings, stable: Sightings | None) -> tuple[list[Rise], list[Rise] | None]:
        known, resumed, before = self._processes, self._resumed, self.at or at
        # What was forgotten as it was not seen for so long began earlier than that.
        young = None if self._began is None else max(self._began, at - _KEPT)
        canary_from_zero = {
            name: _born_since(young, one) or (not resumed and (not self._by_service or one.process in known))
            for name, one in canary.items()
        }
        stable_from_zero = {
            name: _born_since(young, one) or (not resumed and one.process in known) for name, one in (stable or {}).items()
        }
        found = self._canary.take(at, before, canary, canary_from_zero)
        others = None if stable is None else self._stable.take(at, before, stable, stable_from_zero)
        for sightings in (canary, stable or {}):
            self._processes.update((one.process, at) for one in sightings.values())
        self._canary.drop(at, kept=None)
        self._stable.drop(at, kept=_KEPT)
        if len(self._processes) > 2 * MOST_SERIES or any(at - seen > _KEPT for seen in self._processes.values()):
            living = {row.process for version in (self._canary, self._stable) for row in version.rows.values()}
            self._processes = {process: seen for process, seen in self._processes.items() if process in living}
        return found, others


def _born_since(instant: datetime | None, one: Sighting) -> bool:
    """Whether a process says that it started after an instant, so that it has counted nothing by then."""
    return instant is not None and one.born is not None and one.born > instant + _JITTER


def _reborn(before: datetime | None, after: datetime | None) -> bool:
    """Whether the time at which a process says that it started has moved on: it is another process."""
    return before is not None and after is not None and after - before > _JITTER


def _bad(value: Value) -> float | None:
    return value.bad if isinstance(value, Events) else None


def _newer(before: Value, after: Value, *, anew: bool, gone: bool) -> tuple[Value, Value]:
    """Return what is new in one series since an older sample, all of it where its process began anew, and what to remember.

    Args:
        before: what is remembered.
        after: the newer sample.
        anew: the process says so.
        gone: the counter of bad events was there, and was not in the sample before this one.
    """
    if isinstance(before, Histogram) and isinstance(after, Histogram):
        return (after if anew else histogram.increase(before, after)), after
    if isinstance(before, Events) and isinstance(after, Events):
        old, new = before.bad or 0.0, after.bad or 0.0
        fell = after.bad is not None and new < old
        if anew or after.total < before.total or (fell and not gone):
            return after, after
        if fell:
            # The restart was while it was gone, and what was counted in all since then has been handed out.
            return Events(after.total - before.total, new), after
        # That the counter of bad events is gone tells nothing by itself: it need not be there before the first one.
        return Events(after.total - before.total, max(0.0, new - old)), after if new >= old else Events(after.total, old)
    # A program that began to store its histogram in another way is another program.
    return after, after


def _rise(before: Value, after: Value) -> tuple[Value, Value] | None:
    """Return what is new in one series, and what to remember of it; None where its sample is older than the one before.

    For samples without a time.
    """
    if isinstance(before, Histogram) and isinstance(after, Histogram):
        if _stale(before.total, after.total):
            return None
        return histogram.increase(before, after), after
    if isinstance(before, Events) and isinstance(after, Events):
        return _rise_of_events(before, after)
    # A program that began to store its histogram in another way is another program.
    return after, after


def _rise_of_events(before: Events, after: Events) -> tuple[Events, Events] | None:
    if _stale(before.total, after.total):
        return None
    if after.total < before.total:
        return after, after
    old, new = before.bad or 0.0, after.bad or 0.0
    if new >= old:
        return Events(after.total - before.total, new - old), Events(after.total, new)
    # All events rose and the bad ones fell: a restart between the looks, if they fell by much. The counter of bad events need not
    # be there at all before the first one.
    anew = after.bad is not None and new < old * _RESTARTED
    return Events(after.total - before.total, new if anew else 0.0), Events(after.total, new if anew else old)


def _stale(before: float, after: float) -> bool:
    return before * _RESTARTED <= after < before
