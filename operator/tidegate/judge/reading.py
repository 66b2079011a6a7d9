"""What Prometheus said about one gate at one instant, and what the judge makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tidegate.api.names import Verdict
from tidegate.api.release import EvidenceStatus


@dataclass(frozen=True)
class Tally:
    """What one version has counted in an interval.

    Attributes:
        total: requests; pod-hours where restarts are counted.
        bad: bad events among them: errors, unanswered requests, restarts. 0 where latencies are counted.
        over: requests that took longer than each of the interval's bounds, in the same order, so never rising.
    """

    total: float
    bad: float = 0.0
    over: tuple[float, ...] = ()


@dataclass(frozen=True)
class Counts:
    """Increases of counters between two looks, corrected for resets series by series, over the same time for both versions.

    Attributes:
        since: the look before, from which on the increases count.
        canary: the new version.
        stable: the stable version; None where the gate does not compare with it.
        bounds: bounds of latency in seconds, rising; empty where no latencies are counted.
    """

    since: datetime
    canary: Tally
    stable: Tally | None = None
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reading:
    """One look of one gate.

    Attributes:
        gate: name of the gate.
        revision: revision of the new version that was asked for.
        at: evaluation time of the queries; the same instant for both versions.
        canary: value of the new version in the metric's unit (ratio 0 to 1, seconds, or a plain number); None without data.
        stable: value of the stable version, likewise.
        canary_samples: requests of the new version in the window; None where the metric cannot tell.
        stable_samples: requests of the stable version in the window, likewise.
        trouble: why there is no value, in the words of Prometheus or of the connection; empty where nothing went wrong.
        hint: what in the names matched nothing, where there is no data; empty where nobody knows.
        counts: what was counted since the look before, for the judge Evidence; None where nothing could be.
    """

    gate: str
    revision: str
    at: datetime
    canary: float | None = None
    stable: float | None = None
    canary_samples: float | None = None
    stable_samples: float | None = None
    trouble: str = ""
    hint: str = ""
    counts: Counts | None = None


@dataclass(frozen=True)
class Judgement:
    """A verdict on one look, in words, with its numbers.

    Attributes:
        verdict: whether the new version is within the limit, beyond it, or cannot be judged yet.
        limit: the limit in words, e.g. `less than 1 point above stable`.
        message: the verdict in one sentence, with the numbers.
        canary: value of the new version, in the metric's unit; None where it is not known.
        stable: value of the stable version, likewise.
        samples: requests of the new version that the value rests on; None where they are not known.
        starved: whether it is undecided for want of data, and not because the data says neither yes nor no.
        clear: whether there were enough requests and nothing speaks against the new version, be that proven or not.
        evidence: what the judge Evidence goes on from at the next look; None for the judge Limit.
    """

    verdict: Verdict
    limit: str
    message: str
    canary: float | None = None
    stable: float | None = None
    samples: float | None = None
    starved: bool = False
    clear: bool = False
    evidence: EvidenceStatus | None = None
