"""How far the clock of a server is off this host's, learned from what it says the time is.

A sample is dated by the clock of whoever scrapes, so a look must be asked for in that clock's time. Pure: who asks is elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

from tidegate.judge import words
from tidegate.runtime.clock import Moment

LEAST = 1.0
"""Seconds of a difference from which on it counts: below that, scrapes are further apart than clocks."""
NAMED = timedelta(seconds=5)
"""From here on people are told: no host whose clock is kept by NTP is as far off."""
DOUBTED = timedelta(minutes=1)
"""From here on people are told that a server contradicts itself: some show the state of half a minute ago on purpose."""
STEP = 1.0
"""Seconds by which the time there has jumped at least if what was counted by it counts anew."""
_STAYS = 0.5
"""Seconds by which a difference may be wrong before another one takes its place: looks of many Releases ask for one instant."""
_DRIFT = 0.001
"""Seconds by which two clocks may part in a second, far more than a bad quartz does: what was learned is worth less with time."""
_WRITTEN = 2.0
"""Seconds by which a response's date, which knows whole seconds, may be off the time that is told in it."""


@dataclass(frozen=True)
class TimeTold:
    """What a server has said the time is.

    Attributes:
        told: the instant at which it has evaluated a query that names none, in seconds since 1970.
        dated: the date of the response, in whole seconds; None where it has none.
        sent: when it was asked, on this host's monotonic clock.
        received: when the answer was there, likewise.
        late: seconds by which it evaluates at an older instant on purpose, at most.
    """

    told: float
    dated: float | None
    sent: float
    received: float
    late: float = 0.0

    @property
    def doubtful(self) -> bool:
        """Whether the response's date contradicts it: one of them is a cache's or a proxy's, or an older state is shown."""
        if self.dated is None:
            return False
        slow = self.received - self.sent
        return not -_WRITTEN - slow - self.late <= self.told - self.dated <= _WRITTEN


@dataclass(frozen=True)
class _Bounds:
    """Seconds by which the clock there is ahead of this host's monotonic one, at least and at most, as of a moment."""

    least: float
    most: float
    at: float

    def later(self, at: float) -> _Bounds:
        """Return what is left of it at a later moment."""
        drift = _DRIFT * max(0.0, at - self.at)
        return _Bounds(self.least - drift, self.most + drift, at)

    @property
    def middle(self) -> float:
        """The best guess."""
        return (self.least + self.most) / 2


def dated(header: str | None) -> float | None:
    """Return what a response's header `Date` says, in seconds since 1970; None where it says nothing."""
    try:
        found = None if header is None else parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    # One with the zone -0000 has none; it is in UTC as all are.
    return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Difference:
    """What is known of one server's clock. Where nothing is, it is taken to be right.

    It is held against this host's monotonic clock: so it stays right when the wall clock of this host is stepped.
    """

    def __init__(self) -> None:
        self._bounds: _Bounds | None = None
        self._ahead = 0.0
        self._doubtful: float | None = None

    def take(self, answer: TimeTold, now: Moment) -> bool:
        """Learn from an answer; a slow one tells little. One that contradicts itself tells nothing.

        Returns:
            Whether the time there has jumped, by what was known of it until now.
        """
        if answer.doubtful:
            self._doubtful = answer.told - answer.received
            return False
        self._doubtful = None
        before = self.ahead(now)
        fresh = _Bounds(answer.told - answer.received, answer.told + answer.late - answer.sent, answer.received)
        known = None if self._bounds is None else self._bounds.later(answer.received)
        if known is not None and known.least <= fresh.most and fresh.least <= known.most:
            fresh = _Bounds(max(known.least, fresh.least), min(known.most, fresh.most), answer.received)
        self._bounds = fresh
        return abs((self.ahead(now) - before).total_seconds()) > STEP

    def ahead(self, now: Moment) -> timedelta:
        """Return by how much the clock there is ahead of this host's; negative where it is behind."""
        if self._bounds is None:
            return timedelta(0)
        seconds = self._bounds.middle - now.offset
        if abs(seconds - self._ahead) > _STAYS:
            self._ahead = 0.0 if abs(seconds) < LEAST else round(seconds, 1)
        return timedelta(seconds=self._ahead)

    def in_words(self, now: Moment) -> str:
        """Say what is wrong with the clocks, and what helps; empty where nothing is known to be."""
        if self._doubtful is not None and abs(off := timedelta(seconds=self._doubtful - now.offset)) >= DOUBTED:
            return (
                f"Prometheus evaluates queries at a time {_off(off)} the operator's clock, but the Date header of its responses "
                "does not agree: look for a cache or a proxy in front of it, and check its clock"
            )
        if abs(ahead := self.ahead(now)) >= NAMED:
            return f"Prometheus' clock is {_off(ahead)} the operator's: synchronize both, for example with NTP"
        return ""


def _off(ahead: timedelta) -> str:
    return f"{words.age(abs(ahead))} {'ahead of' if ahead > timedelta(0) else 'behind'}"
