"""The ledger of raw counters: what two versions have counted between two looks, whatever happened to their processes meanwhile.

Series are followed one by one and corrected for resets before anything is added up. Where the truth cannot be known, less is
counted and never more: a request that is missed delays a verdict, one that is counted twice falsifies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.judge import histogram
from tidegate.judge.histogram import Histogram

Labels = tuple[tuple[str, str], ...]
"""Labels of a series, sorted by name."""

MOST_SERIES = 8192
"""Series of one version that are remembered at most."""
_KEPT = timedelta(hours=24)
"""For how long a series of the stable version that is not seen any more is remembered."""
_RESTARTED = 0.5
"""A counter that falls below this share of what it was began anew. One that falls less is most likely the answer of another replica
of Prometheus, whose last scrape is older: a process that has just started rarely counts half of what its predecessor had in all."""


@dataclass(frozen=True)
class Events:
    """Counters of one process, or one counter.

    Attributes:
        total: all events.
        bad: the bad ones among them; None where there is no such counter (yet), which is the same as 0.
    """

    total: float = 0.0
    bad: float | None = None


@dataclass(frozen=True)
class Sighting:
    """What one series said at a look.

    Attributes:
        process: labels that name the process that counts.
        value: its counters, or its histogram.
    """

    process: Labels
    value: Events | Histogram


Sightings = Mapping[Labels, Sighting]


@dataclass(frozen=True)
class Increases:
    """What was counted between two looks.

    Attributes:
        since: the look before.
        canary: increases of the new version, series by series.
        stable: likewise of the stable version; None where it is not followed.
    """

    since: datetime
    canary: tuple[Events | Histogram, ...]
    stable: tuple[Events | Histogram, ...] | None = None


@dataclass
class _Row:
    process: Labels
    value: Events | Histogram
    seen: datetime


class _Version:
    """The last sample of each series of one version."""

    def __init__(self) -> None:
        self.rows: dict[Labels, _Row] = {}
        self.crowded = False

    def take(self, at: datetime, sightings: Sightings, since_zero: Mapping[Labels, bool]) -> tuple[Events | Histogram, ...]:
        """Take the samples of a look in and return what is new, series by series."""
        found = []
        for series, sighting in sightings.items():
            row = self.rows.get(series)
            if row is None:
                self.rows[series] = _Row(sighting.process, sighting.value, at)
                if since_zero[series] and not self.crowded:
                    found.append(sighting.value)
                continue
            risen = _rise(row.value, sighting.value)
            row.seen = at
            if risen is not None:
                new, row.value = risen
                found.append(new)
        return tuple(found)

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
        self._resumed = resumed
        self._processes.update(dict.fromkeys(witnesses, at))
        self.at = at

    def advance(self, at: datetime, canary: Sightings, stable: Sightings | None) -> Increases | None:
        """Take a look in and return what was counted since the one before.

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
        since = self.at
        found = self._take(at, canary, stable)
        self.at, self._resumed = at, False
        return Increases(since, *found)

    def _take(
        self, at: datetime, canary: Sightings, stable: Sightings | None
    ) -> tuple[tuple[Events | Histogram, ...], tuple[Events | Histogram, ...] | None]:
        known, resumed = self._processes, self._resumed
        canary_from_zero = {name: not resumed and (not self._by_service or one.process in known) for name, one in canary.items()}
        stable_from_zero = {name: not resumed and one.process in known for name, one in (stable or {}).items()}
        found = self._canary.take(at, canary, canary_from_zero)
        others = None if stable is None else self._stable.take(at, stable, stable_from_zero)
        for sightings in (canary, stable or {}):
            self._processes.update((one.process, at) for one in sightings.values())
        self._canary.drop(at, kept=None)
        self._stable.drop(at, kept=_KEPT)
        if len(self._processes) > 2 * MOST_SERIES or any(at - seen > _KEPT for seen in self._processes.values()):
            living = {row.process for version in (self._canary, self._stable) for row in version.rows.values()}
            self._processes = {process: seen for process, seen in self._processes.items() if process in living}
        return found, others


def _rise(before: Events | Histogram, after: Events | Histogram) -> tuple[Events | Histogram, Events | Histogram] | None:
    """Return what is new in one series, and what to remember of it; None where its sample is older than the one before."""
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
