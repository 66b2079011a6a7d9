"""What both versions have counted, over the same time, although each process is scraped at instants of its own.

Between two samples of a process lies a window. Nothing is known of where in a window its requests lie, and the windows of the two
versions do not coincide: each target keeps a phase of its own within the scrape interval. Counts that are cut at an instant are
then about different times at their ends. That does no harm while all is as usual. But where everything fails for a moment, the
version that is scraped first seems to fail alone. So the instants at which counts are cut are chosen:

- **No earlier than all tell.** The new version's windows are handed out once each process of stable that is still scraped has a
  sample from after them. Then it is known whether stable failed at that time, too.
- **Where stable was quiet.** An instant that lies within a window of either version is no cut while a window of stable nearby holds
  more bad events than usual. What begins and ends between two cuts lies whole between them, for both versions.
- **Not for ever.** Stable that is never quiet, as where both fail for long, is cut all the same after PATIENCE windows: the windows
  at the cut are alike then.

When a cut is made never depends on the new version's bad events, so that the judge's bets stay fair. Where both versions are told
by the same scrape (a gateway), no window is ever cut, and nothing waits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tidegate.judge import histogram
from tidegate.judge.evidence import usual
from tidegate.judge.histogram import Histogram
from tidegate.prometheus.events import Events

Labels = Hashable
"""What tells a series, or a process, from others: a digest of its labels."""
Value = Events | Histogram
"""What one series counts."""

PATIENCE = 3.0
"""Windows of the process that is sampled most rarely for which a cut waits for stable to be quiet."""
MISSED = 1.5
"""Windows after which a process that has no new sample is not waited for any more."""
LONGEST = timedelta(seconds=120)
"""Longest window that is waited for."""
UNKNOWN = timedelta(seconds=60)
"""Length of the windows of a process that was sampled once."""
_SLOWEST = 0.05
"""Share of stable's requests that are taken for slow, at most."""
_TOLD = 100.0
"""Requests of stable after which it is known which those are."""
_FADING = 0.97
"""Weight of what was usual after one more window."""
_GUESS = 0.5, 50.0
"""Bad events, and requests, that are taken for usual before anything is known."""


class Rise(NamedTuple):
    """What one series has counted in one window.

    Attributes:
        process: who counts.
        start: time of the sample before.
        end: time of the sample.
        value: the increase.
    """

    process: Labels
    start: datetime
    end: datetime
    value: Value


class Pace:
    """How often a process is sampled.

    Args:
        newest: time of its newest sample.
        gap: the longest of its last windows; None where it was sampled once.
    """

    __slots__ = ("late", "newest", "window")

    def __init__(self, newest: datetime, gap: timedelta | None) -> None:
        self.newest = newest
        self.window = min(gap or UNKNOWN, LONGEST)
        """How long a window of it is waited for."""
        self.late = newest + MISSED * self.window
        """When it has missed a scrape, and is not waited for any more."""


@dataclass(slots=True)
class _Window:
    """All that one process of stable has counted between two samples."""

    start: datetime
    end: datetime
    total: float = 0.0
    bad: float = 0.0


class Alignment:
    """Increases of both versions that are still to be handed out, and where they are cut."""

    def __init__(self) -> None:
        self.cut = datetime.min.replace(tzinfo=UTC)
        self._canary: list[Rise] = []
        self._stable: list[Rise] = []
        self._loud: list[_Window] = []
        """Most often none: a deque takes 760 bytes for that."""
        self._usual = _Usual()
        self._refused: datetime | None = None

    def begin(self, at: datetime) -> datetime:
        """Count from an instant on, whatever there is from before; returns the instant."""
        self.cut, self._canary, self._stable, self._refused = at, [], [], None
        self._loud.clear()
        return at

    def take(
        self, at: datetime, canary: Sequence[Rise], stable: Sequence[Rise], ours: Sequence[Pace], theirs: Sequence[Pace]
    ) -> datetime:
        """Take in what is new at a look, and return until when it may be handed out; the last cut where not further.

        Args:
            at: the look.
            canary: increases of the new version.
            stable: increases of stable.
            ours: how the processes of the new version are sampled.
            theirs: how those of stable are.
        """
        self._canary += canary
        self._stable += stable
        self._listen(stable)
        newest = max([pace.newest for pace in (*ours, *theirs)], default=at)
        until = min([pace.newest for pace in theirs if newest <= pace.late], default=at)
        self._forget(until - 4 * LONGEST)
        if until <= self.cut:
            return self.cut
        if self._quiet(until, ours):
            self._refused = None
            return until
        self._refused = self._refused or until
        longest = max((pace.window for pace in (*ours, *theirs)), default=timedelta(0))
        if until - self._refused < PATIENCE * longest:
            return self.cut
        self._refused = None
        return until

    def released(self, until: datetime) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """Cut at an instant and return the increases of both versions in the windows that end before it."""
        found = []
        for rises in (self._canary, self._stable):
            found.append(tuple(one.value for one in rises if one.end <= until))
            rises[:] = [one for one in rises if one.end > until]
        self.cut = until
        return found[0], found[1]

    @property
    def waiting(self) -> int:
        """Windows that are still to be handed out."""
        return len(self._canary) + len(self._stable)

    @property
    def edges(self) -> int:
        """Numbers that the histograms of these windows hold."""
        values = (one.value for rises in (self._canary, self._stable) for one in rises)
        return sum(len(value.counts) for value in values if isinstance(value, Histogram))

    def thin(self, most: int) -> None:
        """Keep no more windows than this, if that can be had by joining windows of one process that follow each other.

        What was counted in them stays; it is handed out once the last of them may be.
        """
        while self.waiting > most:
            before = self.waiting
            for rises in (self._canary, self._stable):
                rises[:] = _joined(rises)
            if self.waiting == before:
                return

    def _quiet(self, until: datetime, ours: Sequence[Pace]) -> bool:
        """Whether no window of stable is loud that shares time with a window in which the cut lies."""
        if not self._loud:
            return True
        cut = [(one.start, one.end) for one in (*self._canary, *self._stable) if one.start < until < one.end]
        cut += [(pace.newest, until) for pace in ours if pace.newest < until <= pace.late]
        if not cut:
            return True
        first, last = min(start for start, _ in cut), max(end for _, end in cut)
        return not any(window.start < last and window.end > first for window in self._loud)

    def _listen(self, stable: Sequence[Rise]) -> None:
        """Learn what is usual for stable, and which of its windows are louder than that."""
        windows: dict[Labels, _Window] = {}
        for rise in stable:
            window = windows.get(rise.process)
            if window is None:
                window = windows[rise.process] = _Window(rise.start, rise.end)
            total, bad = self._usual.counted(rise.value)
            window.total += total
            window.bad += bad
        for window in windows.values():
            if self._usual.take(window.total, window.bad):
                self._loud.append(window)

    def _forget(self, before: datetime) -> None:
        late = (place for place, window in enumerate(self._loud) if window.end >= before)
        del self._loud[: next(late, len(self._loud))]


def _joined(rises: Iterable[Rise]) -> list[Rise]:
    """Add up what each process has counted in one window, and in pairs of windows that follow each other."""
    windows: dict[tuple[Labels, datetime, datetime], list[Value]] = {}
    for rise in rises:
        windows.setdefault((rise.process, rise.start, rise.end), []).append(rise.value)
    found: list[Rise] = []
    open_at: dict[tuple[Labels, datetime], int] = {}
    for (process, start, end), values in sorted(windows.items(), key=lambda item: item[0][1]):
        at = open_at.pop((process, start), None)
        if at is None:
            open_at[process, end] = len(found)
            found.append(Rise(process, start, end, _sum(values)))
        else:
            found[at] = Rise(process, found[at].start, end, _sum([found[at].value, *values]))
    return found


def _sum(values: Sequence[Value]) -> Value:
    if len(values) == 1:
        return values[0]
    events = [one for one in values if isinstance(one, Events)]
    if events:
        return Events(sum(one.total for one in events), sum(one.bad or 0.0 for one in events))
    return histogram.add(one for one in values if isinstance(one, Histogram))


class _Usual:
    """The share of stable's requests that are bad, or slow, as a rule: one outage does not change it much."""

    def __init__(self) -> None:
        self._bad, self._total = _GUESS
        self._edge: float | None = None

    def counted(self, value: Value) -> tuple[float, float]:
        """Return the requests in an increase, and the bad or slow ones among them."""
        if isinstance(value, Events):
            return value.total, value.bad or 0.0
        if self._edge is not None:
            # An edge of the histogram, as a rule: its own index of edges would cost more than what is asked of it.
            place = bisect_left(value.edges, self._edge)
            if place < len(value.edges) and value.edges[place] == self._edge:
                return value.total, value.total - value.counts[place]
        if self._edge is None or not value.knows(self._edge):
            self._edge = self._slow(value)
        return value.total, 0.0 if self._edge is None else value.total - value.up_to(self._edge)

    def take(self, total: float, bad: float) -> bool:
        """Take a window in, and return whether it is louder than usual."""
        expected = self._bad / self._total * total
        most = usual.most(expected)
        if total > 0:
            # An idle weekend tells nothing of what is usual: faded to the smallest numbers that there are, all would be.
            self._bad = self._bad * _FADING + min(bad, most)
            self._total = self._total * _FADING + total
        return bad > most

    @staticmethod
    def _slow(value: Histogram) -> float | None:
        """Return the first edge that few requests exceed; None where too few tell."""
        if value.total < _TOLD:
            return None
        over = zip(value.edges, value.counts, strict=True)
        return next((edge for edge, count in over if value.total - count <= _SLOWEST * value.total), None)
