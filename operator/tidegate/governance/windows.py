"""When windows are open: recurrences on the clock of a place, laid onto the time that all clocks share.

Expressions run over naive wall times, which is pure calendar, and each wall time is then placed in the zone. So a window is the
same each night on the clock that people look at, and on the night of a change it is an hour shorter or longer:

- A wall time that there is not (the clocks go forward) is where the gap ends: a window that begins in it begins there.
- Of a wall time that there is twice (the clocks go back), a window begins at the first and ends at the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tidegate.api.base import plain
from tidegate.api.windows import CRON_LENGTH, LONGEST_REASON, Recurrence, Windows

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_WEEK = timedelta(days=6)
_FIELDS = 5
MOST_TICKS = 1000
"""Times that are looked at for one answer. Thousands of windows of a minute each, in a row, have no answer in one go."""
_MOST_KNOWN = 1024
_MOST_EXPRESSIONS = 8192
_MOST_REASONS = 3


class WindowError(ValueError):
    """Windows cannot be read; the message is for people, and says what to change."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Whether windows are open at an instant.

    Attributes:
        open: nothing is against it.
        since: the instant that was asked about, or one before it since when this has held.
        until: open: it stays so at least until then. Shut: the next opening; None where none comes.
        complete: whether `until` is the next opening indeed. It is not where there was too much to look at: then it is shut at
            least until then, and has to be asked again.
        reasons: shut: what the denials on the way to the next opening give as theirs, the first first.
        trouble: why the windows could not be read; they are shut then. Empty where they could.
    """

    open: bool
    since: datetime
    until: datetime | None
    complete: bool = True
    reasons: tuple[str, ...] = ()
    trouble: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether it is known to be true of another instant."""
        return self.since <= now and (self.until is None or now < self.until)


def zone(name: str) -> ZoneInfo:
    """Return a zone by its name in the IANA database.

    Raises:
        WindowError: this machine does not know it.
    """
    if (found := _zone(name)) is None:
        raise WindowError(f"time zone {name} is not known to the operator: write one of the IANA database, e.g. Europe/Berlin")
    return found


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    """Read the rules of a zone; a name that there is not is remembered as well, so that no file is looked for again and again."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


def check(recurrence: Recurrence) -> None:
    """Read an expression.

    Raises:
        WindowError: it is none, or no day ever fits it.
    """
    if trouble := _trouble(recurrence.cron):
        raise WindowError(trouble)


@lru_cache(maxsize=1024)
def _trouble(cron: str) -> str:
    """Return what is wrong with an expression, in words; empty where it is sound."""
    if len(cron) > CRON_LENGTH or len(cron.split()) != _FIELDS:
        return f"{cron[:CRON_LENGTH]!r} is not five fields: minute, hour, day of the month, month, day of the week"
    try:
        # Whether a day comes at all depends on no year: 50 of them, which is where the search ends, have all that there are.
        comes = next(CronSim(cron, datetime(2000, 1, 1)), None) is not None  # noqa: DTZ001 - wall time of no place
    except CronSimError as error:
        return f"{cron!r} cannot be read: {str(error)[:1].lower()}{str(error)[1:]}"
    return "" if comes else f"{cron!r} never comes: no day fits it"


_known: dict[Windows, State] = {}
"""What is known of windows until their state changes: the same answer, which passes of a second need not look for again."""


def state(windows: Windows, now: datetime) -> State:
    """Return whether windows are open at an instant, and until when.

    Args:
        windows: what is allowed and what is denied.
        now: an aware time.
    """
    if (known := _known.get(windows)) is not None and known.holds(now):
        return known
    try:
        found = _Calendar(windows).state(now.astimezone(UTC))
    except WindowError as error:
        return State(open=False, since=now, until=None, trouble=str(error))
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[windows] = found
    return found


def clock(moment: datetime, windows: Windows, now: datetime) -> str:
    """Return an instant on the windows' own clock: `Mon 09:00 Europe/Berlin`, with its date where that is not this week's.

    Raises:
        WindowError: this machine does not know the zone.
    """
    there, here = (one.astimezone(zone(windows.time_zone)) for one in (moment, now))
    form = "%a %H:%M" if there - here < _WEEK else "%a %Y-%m-%d %H:%M"
    return f"{there:{form}} {windows.time_zone}"


def closed(found: State, windows: Windows, now: datetime) -> str:
    """Return why windows are shut and until when: `closed until Mon 09:00 Europe/Berlin (holidays)`."""
    if found.trouble:
        return f"closed, because it cannot be read: {found.trouble}"
    reasons = ", ".join(plain(reason, LONGEST_REASON) for reason in found.reasons)
    why = f" ({reasons})" if reasons else ""
    if found.until is None:
        return f"closed, and it never opens{why}"
    return f"closed until {'at least ' if not found.complete else ''}{clock(found.until, windows, now)}{why}"


class _Exhausted(Exception):  # noqa: N818 - no error: the answer is for later
    """So many times were looked at that the rest is for another call."""


class _Calendar:
    """Windows in their zone, with what one answer may still cost."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._zone = zone(windows.time_zone)
        self._left = MOST_TICKS
        for each in (*windows.allow, *windows.deny):
            check(each)

    def state(self, now: datetime) -> State:
        """Return the state at an instant, given in UTC."""
        at, complete = now, True
        reasons: dict[str, None] = {}
        try:
            while (shut := self._shut(at)) is not None:
                until, reason = shut
                reasons |= {reason: None} if reason else {}
                if until is None:
                    return State(open=False, since=now, until=None, reasons=tuple(reasons)[:_MOST_REASONS])
                at = until
        except _Exhausted:
            complete = False
        if at > now:
            return State(open=False, since=now, until=at, complete=complete, reasons=tuple(reasons)[:_MOST_REASONS])
        return State(open=True, since=now, until=self._open_until(now))

    def _shut(self, at: datetime) -> tuple[datetime | None, str | None] | None:
        """Return when that may end which shuts an instant, and the reason that is given for it; None where the instant is open."""
        denied = [(end, each.reason) for each in self._windows.deny if (end := self._end(each, at)) is not None]
        if denied:
            return max(denied, key=lambda one: one[0])
        if not self._windows.allow or any(self._end(each, at) is not None for each in self._windows.allow):
            return None
        return min((begin for each in self._windows.allow if (begin := self._next(each, at)) is not None), default=None), None

    def _open_until(self, now: datetime) -> datetime | None:
        """Return until when an open instant stays open at least."""
        ends = [end for each in self._windows.allow if (end := self._end(each, now)) is not None]
        begins = [begin for each in self._windows.deny if (begin := self._next(each, now)) is not None]
        return min([*begins, max(ends)] if ends else begins, default=None)

    def _end(self, each: Recurrence, at: datetime) -> datetime | None:
        """Return when the window ends that an instant lies in; None where it lies in none of this recurrence.

        Begins and ends come in the order of their wall times, and all windows of a recurrence are of one length: so the one that
        began last ends last.
        """
        last, _ = self._ticks(each, at)
        if last is None:
            return None
        end = self._placed(last + each.duration, fold=1)
        return end if end > at else None

    def _next(self, each: Recurrence, at: datetime) -> datetime | None:
        """Return when a window begins next after an instant."""
        _, following = self._ticks(each, at)
        return self._placed(following, fold=0) if following is not None else None

    def _ticks(self, each: Recurrence, at: datetime) -> _Around:
        self._left -= 1
        if self._left < 0:
            raise _Exhausted
        return _ticks(each.cron, self._begun(at))

    def _begun(self, at: datetime) -> datetime:
        """Return the last wall time, to the second, at which a window would have begun by now.

        That is what the clock shows; in an hour that comes twice, and comes for the second time, all of the hour has begun already.
        """
        local = at.astimezone(self._zone)
        wall = local.replace(tzinfo=None, fold=0, microsecond=0)
        if not local.fold:
            return wall
        first = local.replace(fold=0).astimezone(UTC)
        before = _offset(first, self._zone)
        return (self._change(first, at) + before).replace(tzinfo=None) - _SECOND

    def _placed(self, wall: datetime, fold: int) -> datetime:
        """Return the instant of a wall time; of two the one of that fold, and of none the end of the gap."""
        first, second = (wall.replace(tzinfo=self._zone, fold=one).astimezone(UTC) for one in (0, 1))
        if first > second:
            return self._change(second, first)
        return second if fold else first

    def _change(self, low: datetime, high: datetime) -> datetime:
        """Return when the clock changes between two instants, the second of which is after the change."""
        before = _offset(low, self._zone)
        while high - low > _SECOND:
            middle = low + (high - low) // 2
            low, high = (middle, high) if _offset(middle, self._zone) == before else (low, middle)
        return high.replace(microsecond=0)


def _offset(moment: datetime, place: ZoneInfo) -> timedelta:
    found = moment.astimezone(place).utcoffset()
    assert found is not None
    return found


_Around = tuple[datetime | None, datetime | None]
_around: dict[str, _Around] = {}
"""The times of an expression on both sides of where it was asked last: what comes once in years is searched for once."""


def _ticks(cron: str, wall: datetime) -> _Around:
    """Return the last time of an expression up to a wall time, and the first one after it."""
    last, following = _around.get(cron, (wall + _MINUTE, None))
    if (last is None or last <= wall) and (following is None or wall < following):
        return last, following
    minute = wall.replace(second=0)
    found = next(CronSim(cron, minute + _MINUTE, reverse=True), None), next(CronSim(cron, minute), None)
    if len(_around) >= _MOST_EXPRESSIONS:
        _around.clear()
    _around[cron] = found
    return found
