"""Whether bad events could be told from good ones at all. No bad series is not no bad events.

A counter without the label that tells errors says 0% whatever happens. So what has no such label, or a value of it that says
nothing, is counted apart from the rest: neither good nor bad, and no data where it is more than a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Source
from tidegate.judge import words
from tidegate.prometheus.presets import TELEMETRY, Telling, Version

FEW = 0.001
"""Share of the requests of a version that may go untold."""
UNTOLD = "tidegate_untold"
"""Label of the series that count what cannot be told."""
MOST = 2000
"""Counters of one version that are remembered at most, and are not there any more."""

_HALF_LIFE = timedelta(minutes=5)
_RESTARTED = 0.5
"""As the ledger has it: what falls by less is the answer of a replica whose last scrape is older."""
_ALL = 0.9995
"""From here on a share is written as 100%."""


def beside(total: str, untold: str) -> str:
    """Return one query for the counters of all events and, beside them, of those that cannot be told good or bad."""
    return f'{total} or label_replace({untold}, "{UNTOLD}", "yes", "", "")'


def what_tells(gate: Gate) -> tuple[Source, Measure, Telling] | None:
    """Return how bad events of a gate's metric are told; None where it counts none, or where people's own queries do."""
    preset, budget = gate.metric.preset, gate.metric.error_budget
    if preset is not None and preset.measure in (Measure.ERROR_RATE, Measure.AVAILABILITY):
        return preset.source, preset.measure, TELEMETRY[preset.source].telling(preset.measure)
    if budget is not None:
        return budget.source, budget.measure, TELEMETRY[budget.source].telling(budget.measure)
    return None


def in_words(gate: Gate, version: Version, share: float | None = None) -> str:
    """Say that bad events of a version could not be told from good ones.

    Args:
        gate: of an error rate, an availability or an error budget.
        version: whose requests.
        share: the share of its requests that could not be told; None where it is only known that it was too much.
    """
    found = what_tells(gate)
    whose = {Version.CANARY: "the new version", Version.STABLE: "stable", Version.ALL: "the service"}[version]
    if found is None:
        return ""
    label = found[2].label
    cannot = f"bad answers of {whose} cannot be told from good ones"
    if share is not None and share >= _ALL:
        return f"{cannot}: the label {label} identifies them on none of its requests"
    much = f"more than {words.number(FEW * 100)}%" if share is None else f"{words.number(share * 100, 2)}%"
    return f"{cannot}: {much} of its requests have no known value of the label {label}"


def known_by(gate: Gate) -> str:
    """Say how bad events are told from good ones; empty where there are none, or where people's own queries tell them."""
    found = what_tells(gate)
    return "" if found is None else f"bad events are identified by the label {found[2].label}"


@dataclass(frozen=True)
class Told:
    """What the counters of one version say.

    Attributes:
        events: all events, by what tells one process from another.
        untold: those of them that cannot be told good or bad, likewise.
    """

    events: Mapping[bytes, float] = field(default_factory=dict)
    untold: Mapping[bytes, float] = field(default_factory=dict)


@dataclass
class _Version:
    """What one version has counted lately.

    Attributes:
        rows: the last value of each counter of all events.
        untold_rows: the last value of each counter of what cannot be told.
        crowded: some had to be forgotten, so that none that is met is known to be new.
        events: all events, the older ones with less weight.
        untold: those of them that cannot be told, likewise.
        blind: whether none of all that it has ever counted can be told.
    """

    rows: dict[bytes, float] = field(default_factory=dict)
    untold_rows: dict[bytes, float] = field(default_factory=dict)
    crowded: bool = False
    events: float = 0.0
    untold: float = 0.0
    blind: bool = False

    @property
    def share(self) -> float:
        """Share of what cannot be told."""
        if self.events > 0:
            return min(1.0, self.untold / self.events)
        return 1.0 if self.blind else 0.0

    def forget(self, told: Told) -> None:
        """Forget what is gone, where that is too much."""
        for rows, now in ((self.rows, told.events), (self.untold_rows, told.untold)):
            if len(rows) > len(now) + MOST:
                self.crowded = True
                for gone in [key for key in rows if key not in now]:
                    del rows[gone]


class Untold:
    """Follows what cannot be told, for one gate.

    Args:
        by_service: the series are a gateway's, and may hold what another version did: one that is met for the first time gives no
            more than a baseline.
        forgets: likewise where it has fallen, see `rising`.
    """

    def __init__(self, *, by_service: bool = False, forgets: bool = False) -> None:
        self._by_service, self._forgets = by_service, forgets
        self._versions: dict[Version, _Version] = {}
        self._at: datetime | None = None

    def begin(self, answers: Mapping[Version, Told]) -> None:
        """Take the baseline from the answers for each version, whatever was counted before."""
        self._versions.clear()
        self._at = None
        for version, told in answers.items():
            self._take(version, told, weight=0.0, first=True)

    def take(self, at: datetime, answers: Mapping[Version, Told]) -> None:
        """Take the answers of a look in, which is after the one before."""
        passed = timedelta(0) if self._at is None else at - self._at
        self._at = at
        for version, told in answers.items():
            self._take(version, told, weight=0.5 ** (max(passed, timedelta(0)) / _HALF_LIFE), first=False)

    @property
    def counters(self) -> int:
        """Counters that are remembered."""
        return sum(len(one.rows) + len(one.untold_rows) for one in self._versions.values())

    def too_many(self) -> Iterator[tuple[Version, float]]:
        """Give the versions of whose requests too many could not be told, with the share, the new version first."""
        for version in (Version.CANARY, Version.STABLE):
            followed = self._versions.get(version)
            if followed is not None and followed.share > FEW:
                yield version, followed.share

    def _take(self, version: Version, told: Told, *, weight: float, first: bool) -> None:
        followed = self._versions.setdefault(version, _Version())
        followed.events *= weight
        followed.untold *= weight
        from_zero = not first and version is Version.CANARY and not self._by_service and not followed.crowded
        # Where a process has counted before, its first event that cannot be told is a new one.
        met = dict.fromkeys(followed.rows) if not first and told.untold else {}
        forgets = self._forgets
        followed.events += _rises(told.events, followed.rows, lambda _: from_zero, forgets=forgets)
        followed.untold += _rises(told.untold, followed.untold_rows, lambda key: from_zero or key in met, forgets=forgets)
        level, untold = sum(told.events.values()), sum(told.untold.values())
        followed.blind = untold > 0 and untold >= level
        followed.forget(told)


def _rises(values: Mapping[bytes, float], rows: dict[bytes, float], from_zero: Callable[[bytes], bool], *, forgets: bool) -> float:
    """Return by how much counters rose since they were seen last, and remember them."""
    risen = 0.0
    for key, value in values.items():
        before = rows.get(key)
        if before is None:
            before = 0.0 if from_zero(key) else value
        if forgets and value < before:
            rows[key] = value
        elif value < before * _RESTARTED:
            risen += value
            rows[key] = value
        elif value > before:
            risen += value - before
            rows[key] = value
        else:
            rows[key] = before
    return risen
