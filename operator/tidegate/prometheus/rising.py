"""From two samples of one series to what was counted between them.

Processes restart, replicas of Prometheus answer in turn, and a counter of bad events may not be there before the first one: each is
told from a fall of the numbers here, and nowhere else.

A gateway forgets series while it runs, as those of an Ingress that is removed, and the sum of those that are left falls without any
restart. Which it was nobody can tell, so such a sum gives a baseline where it has fallen: less is counted then, and never more.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tidegate.judge import histogram
from tidegate.judge.histogram import EMPTY, Histogram
from tidegate.prometheus.alignment import Value
from tidegate.prometheus.events import Events

JITTER = timedelta(seconds=2)
"""By how much the time at which a process says that it started may move on: some reckon it from how long they have been up."""
_RESTARTED = 0.5
"""Where samples have no time: a counter that falls below this share of what it was began anew. One that falls less is most likely
the answer of another replica of Prometheus, whose last scrape is older: a process that has just started rarely counts half of what
its predecessor had in all."""


def reborn(before: datetime | None, after: datetime | None) -> bool:
    """Whether the time at which a process says that it started has moved on: it is another process."""
    return before is not None and after is not None and after - before > JITTER


def bad(value: Value) -> float | None:
    """Return the counter of bad events; None where there is none."""
    return value.bad if isinstance(value, Events) else None


def newer(before: Value, after: Value, *, anew: bool, gone: bool, forgets: bool = False) -> tuple[Value, Value]:
    """Return what is new in one series since an older sample, all of it where its process began anew, and what to remember.

    Args:
        before: what is remembered.
        after: the newer sample.
        anew: the process says so.
        gone: the counter of bad events was there, and was not in the sample before this one.
        forgets: its process forgets some of what is added up in it while it runs.
    """
    if forgets and _fell(before, after):
        return nothing(after), after
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


def rise(before: Value, after: Value, *, forgets: bool = False) -> tuple[Value, Value] | None:
    """Return what is new in one series, and what to remember of it; None where its sample is older than the one before.

    For samples without a time. See `newer`.
    """
    if forgets and not _stale(before.total, after.total) and _fell(before, after):
        return nothing(after), after
    if isinstance(before, Histogram) and isinstance(after, Histogram):
        if _stale(before.total, after.total):
            return None
        return histogram.increase(before, after), after
    if isinstance(before, Events) and isinstance(after, Events):
        return _of_events(before, after)
    # A program that began to store its histogram in another way is another program.
    return after, after


def _of_events(before: Events, after: Events) -> tuple[Events, Events] | None:
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


def _fell(before: Value, after: Value) -> bool:
    """Whether any number of a series has fallen, that of good events among them.

    That the counter of bad events is not there is no fall, but that it is back lower.
    """
    if isinstance(before, Histogram) and isinstance(after, Histogram):
        return histogram.fell(before, after)
    if isinstance(before, Events) and isinstance(after, Events):
        if after.bad is None:
            return after.total < before.total
        more, more_bad = after.total - before.total, after.bad - (before.bad or 0.0)
        return more < 0 or more_bad < 0 or more_bad > more
    return True


def nothing(value: Value) -> Value:
    """Return an increase in which nothing is counted, of the kind of a value."""
    return EMPTY if isinstance(value, Histogram) else Events()


def _stale(before: float, after: float) -> bool:
    return before * _RESTARTED <= after < before
