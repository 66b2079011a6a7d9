"""What Prometheus said about one gate at one instant, and what the judge makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tidegate.api.names import Verdict
from tidegate.api.status import EvidenceStatus


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
    """Increases of counters between two instants, corrected for resets series by series, over the same time for both versions.

    Attributes:
        since: from which instant on the increases count: the end of those before.
        canary: the new version.
        stable: the stable version; None where the gate does not compare with it.
        bounds: bounds of latency in seconds, rising; empty where no latencies are counted.
        until: the instant until which they count, `since` where nothing is new; None for that of the look.
    """

    since: datetime
    canary: Tally
    stable: Tally | None = None
    bounds: tuple[float, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True)
class AtWeight:
    """Requests of the new version at the weight that it has, as far as they lie within the gate's window.

    Attributes:
        since: when it got the weight that was asked about.
        requests: how many.
    """

    since: datetime
    requests: float


@dataclass(frozen=True)
class Around:
    """What stable has counted around the moment at which a route was split.

    Attributes:
        before: in the time before it, by whatever Service requests came.
        lately: in the last part of that time.
        after: since then.
        since: that moment.
        seconds: how long after it was counted.
        seconds_before: how long the time before it was.
    """

    before: Tally
    lately: Tally
    after: Tally
    since: datetime
    seconds: float
    seconds_before: float


@dataclass(frozen=True)
class Shown:
    """What there is of a gate's metric.

    Attributes:
        canary: how many processes, containers or series of the new version were read; None where that is not known.
        stable: likewise of the stable version; None where the gate does not compare with it, too.
        telling: in words, how bad events are told from good ones, or that they cannot be; empty where there are none to be told, or
            nobody knows.
        copies: in words, that requests are kept more than once; empty where they are not, or nobody knows.
    """

    canary: int | None = None
    stable: int | None = None
    telling: str = ""
    copies: str = ""


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
        earlier: where several samples were taken since the look before: what was counted until each but the last, in order.
            `counts` goes on from there.
        newest: time of the newest sample of the new version that Prometheus showed; None where there is none, or nobody can tell.
        newest_stable: likewise for the stable version.
        at_weight: for the judge Limit, what the new version has counted since it got its weight; None where nobody can tell.
        around: for a look at what the split has done, what stable has counted before and since; None for all others.
        shown: what there is of the metric; None where Prometheus has not said.
        clock: in words, how Prometheus' clock differs from this host's, by which all times here are; empty where it does not.
        direct: in words, which pods were read directly and which were not; empty where the gate does not ask for that.
        disagrees: in words, that Prometheus and direct readings tell different things for long; empty where they do not.
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
    newest: datetime | None = None
    newest_stable: datetime | None = None
    earlier: tuple[Counts, ...] = ()
    at_weight: AtWeight | None = None
    around: Around | None = None
    shown: Shown | None = None
    clock: str = ""
    direct: str = ""
    disagrees: str = ""

    @property
    def spans(self) -> tuple[Counts, ...]:
        """All that was counted since the look before, in order."""
        return self.earlier if self.counts is None else (*self.earlier, self.counts)


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
        anew: whether evidence had to begin anew, since what was stored of it cannot be read.
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
    anew: bool = False
