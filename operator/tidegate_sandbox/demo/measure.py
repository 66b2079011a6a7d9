"""From what was recorded to the numbers that are judged. Times are of ``time.time``, durations in seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate_sandbox.demo.probe import Probe
from tidegate_sandbox.demo.scenario import GateTerms
from tidegate_sandbox.demo.seen import PodSeen, RouteSeen
from tidegate_sandbox.loadgen import Answer

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Spread:
    """The least and the greatest of some values."""

    least: float
    greatest: float


def judged(probes: Iterable[Probe], terms: GateTerms) -> list[tuple[Probe, float, float]]:
    """Return the probes that rest on enough data, each with its value of the new version and of stable."""
    return [
        (probe, probe.canary, probe.stable)
        for probe in probes
        if probe.canary is not None and probe.stable is not None and round(probe.samples or 0) >= terms.min_samples
    ]


def beyond(terms: GateTerms, canary: float, stable: float) -> bool:
    """Whether a value is beyond a gate's limit: an increase of exactly the limit is."""
    if terms.points is not None:
        return (canary - stable) * 100 >= terms.points * (1 - _TOLERANCE)
    assert terms.percent is not None
    return canary > stable and (canary - stable) * 100 >= terms.percent * stable * (1 - _TOLERANCE)


def breach_visible_at(probes: Sequence[Probe], terms: GateTerms, *, shut: bool = False) -> float | None:
    """Return the first evaluation at which Prometheus showed the breach, on enough data; None where it never did.

    Args:
        probes: in order.
        terms: of the gate.
        shut: whether the version was shut out. Then whatever shows the breach will do where nothing shows it on enough data: rates
            leave out what a series began with, and there are no more requests to come.
    """
    for needed in (terms, replace(terms, min_samples=0)) if shut else (terms,):
        found = (probe.at for probe, canary, stable in judged(probes, needed) if beyond(terms, canary, stable))
        if (at := next(found, None)) is not None:
            return at
    return None


def ratios(probes: Iterable[Probe], terms: GateTerms) -> Spread | None:
    """Return the spread of the new version's value relative to stable's; None without any data."""
    values = [canary / stable for _, canary, stable in judged(probes, terms) if stable > 0]
    return Spread(min(values), max(values)) if values else None


def last_sent(answers: Iterable[Answer], version: str) -> float | None:
    """Return when the last of the requests was sent that this version answered."""
    return max((answer.at - answer.seconds for answer in answers if answer.version == version), default=None)


def stable_since(answers: Iterable[Answer], version: str, counts: Sequence[tuple[float, int]]) -> float | None:
    """Return since when all traffic is on stable at Envoy: the later of two independent measurements.

    Args:
        answers: what the load generator recorded.
        version: the version that was shut out.
        counts: Envoy's counter of requests to it, with the time at which each new value was first read.
    """
    rises = [later[0] for earlier, later in itertools.pairwise(counts) if later[1] > earlier[1]]
    moments = [moment for moment in (last_sent(answers, version), rises[-1] if rises else None) if moment is not None]
    return max(moments, default=None)


def weights_seen(routes: Iterable[RouteSeen]) -> list[int]:
    """Return the shares in percent that the route gave the canary, in order, without repetitions."""
    weights: list[int] = []
    for seen in routes:
        if seen.weight is not None and (not weights or weights[-1] != round(seen.weight)):
            weights.append(round(seen.weight))
    return weights


def pods_restarted(before: Iterable[PodSeen], after: Iterable[PodSeen], serving: str) -> int:
    """Return how often a pod or container was restarted or replaced that should have been left alone.

    That is each restart of a container of whichever version, and each pod that went away although it is of the version
    that serves in the end.

    Args:
        before: all pods when the act began.
        after: all pods that were seen by its end, those that are gone included.
        serving: the version that serves at its end.
    """
    earlier = sum(pod.restarts for pod in before)
    gone_before = sum(pod.gone_at is not None and pod.version == serving for pod in before)
    seen = list(after)
    gone = sum(pod.gone_at is not None and pod.version == serving for pod in seen)
    return sum(pod.restarts for pod in seen) - earlier + gone - gone_before


def api_requests(lines: Iterable[str], agent: str, begun: float, ended: float) -> int:
    """Return the number of requests in an audit log by clients whose User-Agent begins like this, within two times."""
    requests = set()
    for line in lines:
        # Most lines are other people's: parsing JSON for each would take seconds.
        if f'"userAgent":"{agent}' not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the last line, half written
        if begun <= datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp() < ended:
            requests.add(entry["auditID"])
    return len(requests)
