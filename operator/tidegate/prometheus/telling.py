"""Whether bad events could be told from good ones at all. No bad series is not no bad events.

A counter without the label that tells errors says 0% whatever happens. So what has no such label, or a value of it that says
nothing, is counted apart from the rest: neither good nor bad, and no data where it is more than a little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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

_HALF_LIFE = timedelta(minutes=5)
_RESTARTED = 0.5
"""As the ledger has it: what falls by less is the answer of a replica whose last scrape is older."""
_ALL = 0.9995
"""From here on a share is written as 100%."""

_Labels = tuple[tuple[str, str], ...]


def beside(total: str, untold: str) -> str:
    """Return one query for the counters of all events and, beside them, of those that cannot be told good or bad."""
    return f'{total} or label_replace({untold}, "{UNTOLD}", "yes", "", "")'


def parted(data: object) -> tuple[object, list[object]]:
    """Take the answer to such a query apart: all events, and those that cannot be told."""
    if not isinstance(data, list):
        return data, []
    total: list[object] = []
    untold: list[object] = []
    for series in data:
        labels = series.get("metric") if isinstance(series, dict) else None
        if isinstance(labels, dict) and UNTOLD in labels:
            untold.append({**series, "metric": {name: value for name, value in labels.items() if name != UNTOLD}})
        else:
            total.append(series)
    return total, untold


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
        return f"{cannot}: none of its requests says by the label {label} which it was"
    much = f"more than {words.number(FEW * 100)}%" if share is None else f"{words.number(share * 100, 2)}%"
    return f"{cannot}: {much} of its requests do not say by the label {label} which they were"


@dataclass
class _Version:
    """What one version has counted lately.

    Attributes:
        rows: the last value of each counter, by whether it counts what cannot be told.
        events: all events, the older ones with less weight.
        untold: those of them that cannot be told, likewise.
        blind: whether none of all that it has ever counted can be told.
    """

    rows: dict[tuple[bool, _Labels], float] = field(default_factory=dict)
    events: float = 0.0
    untold: float = 0.0
    blind: bool = False

    @property
    def share(self) -> float:
        """Share of what cannot be told."""
        if self.events > 0:
            return min(1.0, self.untold / self.events)
        return 1.0 if self.blind else 0.0


class Untold:
    """Follows what cannot be told, for one gate; see `parted`.

    Args:
        by_service: the series are a gateway's, and may hold what another version did: one that is met for the first time gives no
            more than a baseline.
    """

    def __init__(self, *, by_service: bool = False) -> None:
        self._by_service = by_service
        self._versions: dict[Version, _Version] = {}
        self._at: datetime | None = None

    def begin(self, answers: Mapping[Version, object]) -> None:
        """Take the baseline from the answers for each version, whatever was counted before."""
        self._versions.clear()
        self._at = None
        for version, data in answers.items():
            self._take(version, data, weight=0.0, first=True)

    def take(self, at: datetime, answers: Mapping[Version, object]) -> None:
        """Take the answers of a look in, which is after the one before."""
        passed = timedelta(0) if self._at is None else at - self._at
        self._at = at
        for version, data in answers.items():
            self._take(version, data, weight=0.5 ** (max(passed, timedelta(0)) / _HALF_LIFE), first=False)

    def too_many(self) -> Iterator[tuple[Version, float]]:
        """Give the versions of whose requests too many could not be told, with the share, the new version first."""
        for version in (Version.CANARY, Version.STABLE):
            followed = self._versions.get(version)
            if followed is not None and followed.share > FEW:
                yield version, followed.share

    def _take(self, version: Version, data: object, *, weight: float, first: bool) -> None:
        followed = self._versions.setdefault(version, _Version())
        total, untold = parted(data)
        followed.events *= weight
        followed.untold *= weight
        from_zero = not first and version is Version.CANARY and not self._by_service
        # Where a process has counted before, its first event that cannot be told is a new one.
        met = set() if first else {labels for part, labels in followed.rows if not part}
        levels = [0.0, 0.0]
        for part, counters in ((False, _values(total)), (True, _values(untold))):
            for labels, value in counters:
                levels[part] += value
                before = followed.rows.get((part, labels), 0.0 if from_zero or labels in met else value)
                anew = value < before * _RESTARTED
                rise = value if anew else max(0.0, value - before)
                followed.rows[part, labels] = value if anew else max(value, before)
                if part:
                    followed.untold += rise
                else:
                    followed.events += rise
        followed.blind = levels[True] > 0 and levels[True] >= levels[False]


def _values(data: object) -> Iterator[tuple[_Labels, float]]:
    """Give what can be counted; the ledger says what is wrong with the rest."""
    for series in data if isinstance(data, list) else ():
        if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
            continue
        pair = series.get("value")
        try:
            value = float(pair[1]) if isinstance(pair, list) else math.nan
        except (IndexError, TypeError, ValueError):
            continue
        if math.isfinite(value) and value >= 0:
            yield tuple(sorted(series["metric"].items())), value
