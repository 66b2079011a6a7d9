"""Whether Prometheus and direct readings tell the same: two accounts of the same requests, of which one is judged.

They are not of the same instants: Prometheus is as late as its last scrape. So minutes are compared, and only what differs by
much and for long is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.judge import words
from tidegate.judge.reading import Counts

FOR = timedelta(minutes=5)
"""How long both are compared before anything is said."""
_ENOUGH = 200.0
"""Requests of the new version from which on a difference says something."""
_FEWER = 0.5
"""Share of the other's requests below which one of both misses many."""
_SHARE, _POINTS = 0.5, 0.02
"""By how much shares of bad requests differ at least that are told: relative to the greater, and in all."""
_KEPT = 900
"""Instants that are remembered."""


@dataclass
class _Sum:
    """All that one of both has counted of the new version, by the time."""

    times: list[datetime] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    partly: datetime | None = None
    """Until when something of it was not of all pods."""

    def add(self, counts: Counts, *, whole: bool = True) -> None:
        until = counts.until or counts.since
        if not whole:
            self.partly = until
        if self.times and until <= self.times[-1]:
            return
        self.times.append(until)
        self.total.append((self.total[-1] if self.total else 0.0) + counts.canary.total)
        self.bad.append((self.bad[-1] if self.bad else 0.0) + counts.canary.bad)
        if len(self.times) > _KEPT:
            for kept in (self.times, self.total, self.bad):
                del kept[: _KEPT // 3]

    def between(self, first: datetime, last: datetime) -> tuple[float, float]:
        """Return requests and bad ones that were counted from the one instant to the other."""
        ends = [sum(1 for time in self.times if time <= instant) - 1 for instant in (first, last)]
        if min(ends) < 0:
            return 0.0, 0.0
        return self.total[ends[1]] - self.total[ends[0]], self.bad[ends[1]] - self.bad[ends[0]]


class Crosscheck:
    """Compares what Prometheus says of a gate with what was read directly, or pushed.

    Args:
        accounts: what is compared with it, in words.
        parts: what is read may be a sample of all pods, with fewer requests than Prometheus has. Of gateways all are to be read.

    Attributes:
        words: a sentence without a full stop where both disagree for long; empty where they do not, or nobody knows.
    """

    def __init__(self, accounts: str = "direct readings", *, parts: bool = True) -> None:
        self.words, self._accounts, self._parts = "", accounts, parts
        self._direct, self._theirs = _Sum(), _Sum()

    def direct(self, counts: Counts, *, whole: bool, bounded: bool = False) -> None:
        """Take in what was read directly.

        Args:
            counts: what was counted.
            whole: whether it is of all pods that count the new version.
            bounded: whether pods are left out because the configuration says that so many are enough.
        """
        self._direct.add(counts, whole=not bounded and (whole or not self._parts))

    def theirs(self, spans: tuple[Counts, ...]) -> None:
        """Take in what Prometheus has said of the same gate, and compare."""
        for one in spans:
            self._theirs.add(one)
        if not self._theirs.times or not self._direct.times:
            return
        first, last = max(self._theirs.times[0], self._direct.times[0]), min(self._theirs.times[-1], self._direct.times[-1])
        if last - first < FOR:
            return
        # The last minutes alone: what has been put right is over.
        first = max(first, last - 2 * FOR)
        partly = self._direct.partly
        whole = partly is None or partly <= first
        self.words = self._differ(self._direct.between(first, last), self._theirs.between(first, last), whole=whole)

    def _differ(self, own: tuple[float, float], theirs: tuple[float, float], *, whole: bool) -> str:
        (total, bad), (total_there, bad_there) = own, theirs
        if max(total, total_there) < _ENOUGH:
            return ""
        if total_there < _FEWER * total or (whole and total < _FEWER * total_there):
            said = f"{self._accounts} have {words.requests(total)} in the last minutes, and Prometheus {words.count(total_there)}"
            return f"{self._accounts} and Prometheus disagree on the new version; {said}"
        if min(total, total_there) < _ENOUGH:
            return ""
        share, share_there = bad / total, bad_there / total_there
        if abs(share - share_there) <= max(_POINTS, _SHARE * max(share, share_there)):
            return ""
        read, there = words.percent(100 * share, 2), words.percent(100 * share_there, 2)
        said = f"{self._accounts} have {read} bad requests, and Prometheus {there}"
        return f"{self._accounts} and Prometheus disagree on the new version; {said}"
