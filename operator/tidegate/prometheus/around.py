"""What stable has counted before a route was split and since, for the question whether the split itself does harm.

Before the split a gateway counts by the user's Service, since then by the operator's for stable. So before counts what the service
has as a whole, and since then what stable's series have, each from what it had at the split, or from 0 where it was not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from tidegate.api.base import format_duration
from tidegate.api.metric import Preset
from tidegate.prometheus import presets
from tidegate.prometheus.budgets import Holder, of_release
from tidegate.prometheus.presets import TELEMETRY, Telemetry, Version, places
from tidegate.prometheus.promql import Names, Where, selector
from tidegate.prometheus.queries import requests

BEFORE = timedelta(minutes=5)
"""The time before the split that stable is compared with."""
LATELY = timedelta(minutes=1)
"""The last part of it: what has begun to fail there was no fault of the split."""


SETTLED = timedelta(seconds=30)
"""So long after the split no sample from before it comes any more: some servers hide the newest half of a minute."""


class Before:
    """Remembers what was counted before splits, so that it is not asked for at each look."""

    def __init__(self) -> None:
        self._known: dict[Holder, tuple[datetime, tuple[float, ...]]] = {}

    def of(self, holder: Holder, split_at: datetime) -> tuple[float, ...] | None:
        """Return the numbers of `AroundQueries.before` and `lately` for this split; None where they are to be asked for."""
        known = self._known.get(holder)
        return known[1] if known is not None and known[0] == split_at else None

    def note(self, holder: Holder, split_at: datetime, numbers: tuple[float, ...], ago: timedelta) -> None:
        """Remember them, unless some samples may still be missing."""
        if ago >= SETTLED:
            self._known[holder] = split_at, numbers

    def forget(self, namespace: str, release: str) -> None:
        """Drop those of a Release."""
        for holder in of_release(self._known, namespace, release):
            del self._known[holder]


@dataclass(frozen=True)
class AroundQueries:
    """The queries, each for one number. All are about one instant: so those of many Releases share requests.

    Attributes:
        before: requests and bad ones before the split.
        lately: likewise, shortly before it.
        after: requests of stable since then, and bad ones.
    """

    before: tuple[str, str]
    lately: tuple[str, str]
    after: tuple[str, str]


def around_queries(preset: Preset, names: Names, ago: timedelta) -> AroundQueries:
    """Return the queries of a preset that counts bad requests.

    Args:
        preset: its source and measure.
        names: what the Release's objects are called.
        ago: how long ago the route was split, in tenths of a second.

    Raises:
        ValueError: the preset needs a route and there is none.
    """
    known = TELEMETRY[preset.source]
    service, stable = places(preset.source, names, Version.ALL), places(preset.source, names, Version.STABLE)
    bad = known.telling(preset.measure).bad

    offset, once = format_duration(ago), partial(presets.once, copies=names.copies)

    def before(span: timedelta) -> tuple[str, str]:
        window = format_duration(span)
        each = (once(requests(known, service, (one,), "increase", window, ago=offset)) for one in bad)
        return _sum(once(requests(known, service, (), "increase", window, ago=offset))), _sum(*each)

    after = _sum(_since(known, stable, (), offset, once)), _sum(*(_since(known, stable, (one,), offset, once) for one in bad))
    return AroundQueries(before(BEFORE), before(LATELY), after)


def _sum(*series: str) -> str:
    """Return the query for a sum; 0 where nothing is counted."""
    return f"sum({' or '.join(series)}) or vector(0)"


def _since(known: Telemetry, where: tuple[Where, ...], which: Where, offset: str, once: Callable[[str], str]) -> str:
    """Return the query for how much each series has risen; one that began anew meanwhile says nothing."""
    counters, native = _counters(known, where, which), _histograms(known, where, which)

    def at(moment: str) -> str:
        each = (*(f"{one}{moment}" for one in counters), *(f"histogram_count({one}{moment})" for one in native))
        return once(" or ".join(each))

    now, then = at(""), at(f" offset {offset}")
    return f"clamp_min({now} - ({then} or {now} * 0), 0)"


def _counters(known: Telemetry, where: tuple[Where, ...], which: Where) -> tuple[str, ...]:
    return tuple(selector(known.counter or f"{known.histogram}_count", (*one, *which)) for one in where)


def _histograms(known: Telemetry, where: tuple[Where, ...], which: Where) -> tuple[str, ...]:
    return () if known.counter else tuple(selector(known.histogram, (*one, *which)) for one in where)
