"""What one process of a pod has counted, put together of samples that come one by one, late, twice, or not at all.

A page has all series of one moment. What is pushed has each series by itself: a scrape's series are spread over requests. So
samples wait until all series that a process is known by have one of that time, or for a while; then they are added up. The sum
never falls: each series that began again is told by itself, and one that is late or missing takes nothing away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b

from tidegate.judge import histogram
from tidegate.judge.histogram import EMPTY, Histogram
from tidegate.prometheus.direct.page import Counted, Page
from tidegate.prometheus.direct.wanted import BAD, BIRTH, UNTOLD, Wanted
from tidegate.prometheus.events import Events
from tidegate.prometheus.presets import COPIES, PROCESS
from tidegate.prometheus.push.request import Pushed, Sample

GRACE = 6.0
"""Seconds from the first sample of a time until those that are missing are not waited for: agents send after 5 s what they have."""
_WAITING = 4
"""Times of samples that wait, and one more; the oldest is added up as it is."""
_MOVED = 2000
"""Milliseconds by which the time at which a process says that it started may move on."""
_SKEW = 5000
"""Milliseconds by which clocks of two readers may differ whom no label tells apart: what is a bit lower so soon is the other's."""
_RESTARTED = 0.5
"""Below this share of what it was a counter began again, however soon that is."""
_AWAY = 2.5
"""Times as long as between two samples, after which they have stayed away."""
_TORN = 6
"""Times in a row at which series were missing that go on, from which on two read the process and no label tells them apart."""
READERS = (*COPIES, "__replica__", "prometheus")
"""Labels that tell who has scraped a process, and not what: of several readers one is listened to."""
_PROCESS = frozenset(PROCESS)
_READERS = frozenset(READERS)
_LE = "le"

Key = tuple[int, bytes]
"""Of a series: the number of the wish that it is counted for, and a digest of its labels without that of the bucket. The number of
a process' own start is no wish's."""
_BIRTH = -1
Value = float | Histogram | dict[float, float]
"""Of a series: a counter, a native histogram, or buckets by their edges."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one pushed series is to a wish.

    Attributes:
        wish: its number.
        role: what it counts, of a series of events; 0 for a histogram.
        edge: of the bucket; None where it is none.
        native: whether it is a native histogram: one that is pushed in both shapes counts in that which comes first.
    """

    wish: int
    role: int = 0
    edge: float | None = None
    native: bool = False


def parts_of(wishes: Sequence[Wanted], one: Pushed) -> list[Part]:
    """Return what a pushed series is to each wish that wants it."""
    found: list[Part] = []
    if one.name == BIRTH and any(wish.births for wish in wishes):
        found.append(Part(_BIRTH))
    for number, wish in enumerate(wishes):
        if wish.histogram:
            if one.name == f"{wish.histogram}_bucket" and wish.counts(one.labels):
                edge = _number(one.labels.get(_LE, ""))
                if not math.isnan(edge):
                    found.append(Part(number, edge=edge * wish.seconds))
            elif wish.native and one.name == wish.histogram and wish.counts(one.labels):
                found.append(Part(number, native=True))
        elif one.name == wish.events or (wish.native_events and one.name == wish.events.removesuffix("_count")):
            role = wish.role(one.labels)
            if role:
                found.append(Part(number, role, native=one.name != wish.events))
    return found


def names_of(wish: Wanted) -> frozenset[bytes]:
    """Return the names of the series that are pushed for a wish."""
    births = {BIRTH} if wish.births else set()
    if wish.histogram:
        return frozenset(
            name.encode() for name in {f"{wish.histogram}_bucket", *((wish.histogram,) if wish.native else ()), *births}
        )
    natives = {wish.events.removesuffix("_count")} if wish.native_events else set()
    return frozenset(name.encode() for name in {wish.events, *natives, *births})


def process_of(labels: dict[str, str]) -> bytes:
    """Return what tells a process from others."""
    return _digest((name, labels[name]) for name in labels if name in _PROCESS)


def reader_of(sender: str, labels: dict[str, str]) -> bytes:
    """Return what tells who has read a process from others who read it, too."""
    return _digest([("", sender), *((name, labels[name]) for name in labels if name in _READERS)])


def series_of(labels: dict[str, str]) -> bytes:
    """Return what tells a series of a process from its others, but for the edge of a bucket."""
    apart = _PROCESS | _READERS
    return _digest((name, labels[name]) for name in labels if name not in apart and name != _LE)


def _digest(pairs: object) -> bytes:
    return blake2b(repr(sorted(pairs)).encode(), digest_size=16).digest()  # type: ignore[call-overload]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(slots=True)
class _Series:
    """The last sample of one series.

    Attributes:
        value: what it said; None where it begins again with the next sample.
        at: when.
        start: since when it counts, as it says; 0 where it does not.
        ended: whether its scraper said that it is over.
    """

    value: Value | None
    at: int
    start: int
    ended: bool = False


@dataclass(slots=True)
class _Sum:
    """What the series of one wish have counted; it never falls."""

    found: bool = False
    total: float = 0.0
    bad: float | None = None
    untold: float | None = None
    histogram: Histogram | None = None
    native: bool = False

    def add(self, role: int, value: float | Histogram | None, *, native: bool) -> None:
        self.found = True
        if isinstance(value, Histogram):
            self.histogram = value if self.histogram is None else histogram.add([self.histogram, value])
            self.native = self.native or native
            return
        risen = 0.0 if value is None else value
        if role:
            self.total += risen
        if role & BAD:
            self.bad = (self.bad or 0.0) + risen
        if role & UNTOLD:
            self.untold = (self.untold or 0.0) + risen

    def counted(self, wish: Wanted) -> Counted:
        if wish.histogram:
            return Counted(found=self.found, histogram=self.histogram, native=self.native)
        return Counted(self.found, Events(self.total, self.bad), self.untold)


@dataclass(slots=True)
class _Moment:
    """Samples of one time that wait.

    Attributes:
        came: when the first of them came, on the monotonic clock.
        at: when that was.
        values: by series, with the time since which it counts and whether the series has ended.
        roles: what the series count.
        whole: whether all of their sender and namespace was taken before they came: what is new began after the last scrape.
    """

    came: float
    at: datetime
    values: dict[Key, tuple[Value | None, int]] = field(default_factory=dict)
    roles: dict[Key, int] = field(default_factory=dict)
    whole: bool = True


class Process:
    """One process, as one reader tells of it.

    Args:
        wishes: what is wanted.
        reader: who is listened to.
        since: from when on all of its samples have come here, in seconds since 1970.
        started: when its container began; None where that is not known.
    """

    def __init__(self, wishes: Sequence[Wanted], reader: bytes, since: float, started: float | None = None) -> None:
        self._wishes, self.reader = wishes, reader
        self._since, self._started = since, started
        self.heard = float("-inf")
        """When a sample came last, on the monotonic clock."""
        self._series: dict[Key, _Series] = {}
        self._sums = [_Sum() for _ in wishes]
        self._native: dict[int, bool] = {}
        self._moments: dict[int, _Moment] = {}
        self.keys: set[tuple[Key, float | None]] = set()
        """Its series, and buckets, that were ever met."""
        self.edges: dict[Key, int] = {}
        """Of native histograms, how many edges they have had at most."""
        self.held = 0
        """All of these."""
        self._settled = self._missing = self._apart = self._last = 0
        self._steady = self._gap = 0
        """Settled times since samples stayed away last, and milliseconds between two of them."""
        self._at: datetime | None = None
        self._shown: datetime | None = None
        self._birth = self._born = 0.0

    @property
    def torn(self) -> bool:
        """Whether its series never come together: if two read it whom no label tells apart, all would count twice."""
        return self._missing >= _TORN

    @property
    def split(self) -> bool:
        """Whether two read it whom no label tells apart: its series do not come together, though nothing of them was refused."""
        return self.torn and self._apart >= _TORN

    @property
    def _young(self) -> bool:
        """Whether it began when all of its samples came here already: none of its series can have counted before."""
        began = self._birth or self._started
        return began is not None and began > self._since + _MOVED / 1000

    def listen(self, reader: bytes) -> None:
        """Listen to another reader: that of until now is silent."""
        self.reader = reader
        self._moments.clear()

    def take(self, key: Key, part: Part, sample: Sample, came: float, at: datetime, *, whole: bool) -> bool:
        """Let a sample wait for the others of its time, and return whether it is new.

        Args:
            key: of its series.
            part: what that is.
            sample: the sample.
            came: when it came, on the monotonic clock.
            at: when that was.
            whole: whether all of its sender and namespace was taken lately, see `Delivery`.
        """
        known = self._series.get(key)
        if self._native.setdefault(part.wish, part.native) != part.native:
            return False
        if known is not None and sample.at < known.at:
            return False
        if known is not None and sample.at == known.at and not (part.edge is not None and isinstance(known.value, dict)):
            return False
        self.heard = came
        moment = self._moments.get(sample.at)
        if moment is None:
            if len(self._moments) > _WAITING:
                oldest = min(self._moments)
                self._settle(oldest, self._moments.pop(oldest))
            moment = self._moments[sample.at] = _Moment(came, at)
        moment.whole = moment.whole and whole
        moment.roles[key] = part.role
        value: Value | None = sample.value
        if part.role and isinstance(value, Histogram):
            value = sample.count
        if part.edge is not None and isinstance(value, float):
            before = moment.values.get(key)
            buckets = before[0] if before is not None and isinstance(before[0], dict) else {}
            buckets[part.edge] = value
            value = buckets
        moment.values[key] = (value, sample.start)
        return True

    def settle(self, now: float) -> None:
        """Add up what waits no longer."""
        for time in sorted(self._moments):
            moment = self._moments[time]
            complete = self._complete(moment)
            if not (complete or now - moment.came >= GRACE):
                # What is later is counted later.
                return
            if self._settled and time > self._last:
                self._missing = 0 if complete else self._missing + 1
                # What was refused and is sent again is as late as if another had scraped it: that says nothing of readers.
                self._apart = 0 if complete else self._apart + moment.whole
            self._settle(time, self._moments.pop(time))

    def page(self) -> tuple[datetime, Page] | None:
        """Return what it has counted, and when that was; None where nothing is new since it was last asked for."""
        if self._at is None or (self._shown is not None and self._at <= self._shown) or self.torn:
            return None
        self._shown = self._at
        counted = {wish: one.counted(wish) for wish, one in zip(self._wishes, self._sums, strict=True)}
        return self._at, Page(counted, self._born or None)

    def _complete(self, moment: _Moment) -> bool:
        """Whether every series that goes on has a sample, with each of its buckets."""
        if not self._settled:
            return False
        for key, one in self._series.items():
            if one.ended or one.at < self._last:
                continue
            found = moment.values.get(key)
            if found is None or (isinstance(one.value, dict) and isinstance(found[0], dict) and len(found[0]) < len(one.value)):
                return False
        return True

    def _settle(self, time: int, moment: _Moment) -> None:
        birth = moment.values.pop((_BIRTH, b""), None)
        if birth is not None and isinstance(birth[0], float) and 0 < birth[0] < math.inf:
            self._began(birth[0])
        if self._gap and time - self._last > _AWAY * self._gap:
            # Others have judged what came meanwhile, and of the first scrape after it only a part may come.
            self._steady = 0
        for key, (value, start) in moment.values.items():
            self._count(key, value, start, time, moment)
        if not self._settled:
            starts = [one.start for one in self._series.values()]
            self._born = self._birth or (min(starts, default=0) / 1000)
        if time > self._last:
            self._gap = time - self._last if self._steady else self._gap
            self._settled += 1
            self._steady += 1
            self._last, self._at = time, min(moment.at, datetime.fromtimestamp(time / 1000, UTC))

    def _began(self, birth: float) -> None:
        """Take in when the process says that it started: a later time makes all its series begin again."""
        if self._birth and birth - self._birth > _MOVED / 1000:
            for one in self._series.values():
                one.value = None
        self._birth = birth

    def _count(self, key: Key, value: Value | None, start: int, time: int, moment: _Moment) -> None:
        known, role = self._series.get(key), moment.roles[key]
        if value is None:
            if known is not None:
                known.ended = True
            return
        if isinstance(value, dict):
            if known is not None and isinstance(known.value, dict) and not known.value.keys() <= value.keys():
                # Some of its buckets are missing: they are counted with the next ones.
                return
            if len(value) < 2 or math.inf not in value:
                return
        sums = self._sums[key[0]]
        native = isinstance(value, Histogram)
        if known is None:
            # All is counted from what was there when the process was first met; half of its first scrape may have come before
            # anybody wanted it. What comes later began later, unless some of it may have been lost.
            began_here = self._young and self._steady == self._settled
            later = moment.whole and time > self._last and (self._steady > 1 or began_here)
            self._series[key] = _Series(value, time, start)
            sums.add(role, _whole(value) if not self._settled or later else _nothing(value), native=native)
            return
        anew = known.value is None or (known.start > 0 and start - known.start > _MOVED)
        before = None if anew else known.value
        if before is not None and time - known.at <= _SKEW and _lower(before, value):
            return
        sums.add(role, _risen(before, value), native=native)
        known.value, known.at, known.start, known.ended = value, time, start, False


def _whole(value: Value) -> float | Histogram:
    return histogram.cumulative(value) if isinstance(value, dict) else value


def _nothing(value: Value) -> float | Histogram:
    return 0.0 if isinstance(value, float) else EMPTY


def _risen(before: Value | None, after: Value) -> float | Histogram:
    """Return what was counted between two samples of one series; all of the later one where the process began again."""
    new = _whole(after)
    old = None if before is None else _whole(before)
    if isinstance(new, Histogram):
        return histogram.increase(old, new) if isinstance(old, Histogram) else new
    if isinstance(old, float) and new >= old:
        return new - old
    return new


def _lower(before: Value, after: Value) -> bool:
    """Whether a counter is lower than it was, but not so much lower that it began again."""
    old, new = (one if isinstance(one, float) else _whole(one) for one in (before, after))
    was, is_ = (one.total if isinstance(one, Histogram) else one for one in (old, new))
    return _RESTARTED * was <= is_ < was
