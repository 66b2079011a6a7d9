"""What a HorizontalPodAutoscaler knows of the load, and what follows from it while pods of two versions match its selector.

The controller computes ceil(usage / target * ready pods that match the Deployment's selector), and leaves the Deployment's
replicas as they are while usage / target is within its tolerance of 1 (pkg/controller/podautoscaler/replica_calculator.go of
Kubernetes 1.36). Pods of a new version that have little traffic yet match as well: with as many idle as busy pods, a load that
has doubled looks like 1. So what the pods that serve must carry is computed here from the autoscaler's own numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from tidegate.api.release import WorkloadKind
from tidegate.workloads.quantities import quantity

TOLERANCE: Final = 0.1
"""By so much usage / target may differ from 1 (--horizontal-pod-autoscaler-tolerance)."""
MEMORY: Final = 120.0
"""Seconds for which the load before is remembered; until then the metrics of pods that have become ready are there as a rule."""
READS: Final = 3
"""After so many new averages, the processor time of a pod that is ready is in them for certain, however long a window is: the first
may be from before the pod became ready, and the window of the second may have begun before."""

_KINDS: Final = {"Resource": "resource", "ContainerResource": "containerResource", "Pods": "pods"}
"""Types of metric that are an average over pods, and where their numbers stand. The others do not depend on the pods of a new
version, or are not averages."""
_PROCESSOR: Final = "cpu"
_RESOURCES: Final = {"Resource", "ContainerResource"}


_KINDS_OF_WORKLOADS: Final = frozenset(map(str, WorkloadKind))


class ScaleTarget(NamedTuple):
    """What an autoscaler scales, in its own namespace."""

    kind: str
    name: str


def target_of(autoscaler: Mapping[str, Any]) -> ScaleTarget | None:
    """Return the workload that an autoscaler scales; None where it scales what no Release can name."""
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    group = str(target.get("apiVersion") or "apps/v1").partition("/")[0]
    kind = target.get("kind")
    return ScaleTarget(kind, str(target.get("name"))) if kind in _KINDS_OF_WORKLOADS and group == "apps" else None


def usages(autoscaler: Mapping[str, Any]) -> dict[str, float]:
    """Return how many times its target a pod uses on average, by the name of the metric.

    Only of metrics that say how busy pods are: a pod without load has its share of memory all the same, so the memory of two
    versions says nothing about the load. Empty where the autoscaler cannot tell.
    """
    status = autoscaler.get("status") or {}
    if any(c.get("type") == "ScalingActive" and c.get("status") == "False" for c in status.get("conditions") or ()):
        return {}
    found: dict[str, float] = {}
    for wanted in (autoscaler.get("spec") or {}).get("metrics") or ():
        shares = [share for now in status.get("currentMetrics") or () if (share := _share(wanted, now)) is not None]
        if shares and (name := _name(wanted)) is not None:
            found[name] = max(shares[0], found.get(name, 0.0))
    return found


def counted_for_certain(metric: str) -> bool:
    """Whether every pod has this metric, named as in :func:`usages`; those of applications may come with the first request."""
    return metric.partition(" ")[0] in _RESOURCES


def most_replicas(autoscaler: Mapping[str, Any], *, least_within: Callable[[float], int]) -> int:
    """Return the most pods that the autoscaler may ask for now, by its maximum and by how fast it may scale up.

    Args:
        autoscaler: the object.
        least_within: how few pods the Deployment was to have at some time in the last so many seconds.
    """
    spec = autoscaler.get("spec") or {}
    most = int(spec.get("maxReplicas") or 1)
    rules = (spec.get("behavior") or {}).get("scaleUp") or {}
    choice = rules.get("selectPolicy") or "Max"
    if choice == "Disabled":
        return min(most, least_within(0.0))
    limits = [limit for policy in rules.get("policies") or () if (limit := _limit(policy, least_within)) is not None]
    return min(most, min(limits) if choice == "Min" else max(limits)) if limits else most


def tolerance(autoscaler: Mapping[str, Any]) -> float:
    """Return by how much of its target usage may be above it before the autoscaler scales up."""
    rules = ((autoscaler.get("spec") or {}).get("behavior") or {}).get("scaleUp") or {}
    own = quantity(rules.get("tolerance"))
    return TOLERANCE if own is None else float(own)


class Average:
    """What an average over pods tells of the load, although it does not tell over which pods it was taken.

    Pods that have just become ready are not in it until there is a whole window of their usage, and never where they have no such
    metric. Multiplied by too many pods, it would tell of a load that is not there, and more pods would seem to need more pods. So
    pods that come count once their coming has lowered the average: as soon as the average times all pods is no more than the load
    was shortly before. Until then, the others alone tell the least that the load can be.

    Args:
        counted: ready pods that are in the average, by ReplicaSet.
        certain: whether pods are in it for certain after some time.
    """

    def __init__(self, counted: Mapping[str, int], *, certain: bool) -> None:
        self._counted, self._known, self._certain = dict(counted), dict(counted), certain
        self._heard, self._reads = float("-inf"), READS
        self._loads: deque[tuple[float, float]] = deque()

    def load(self, usage: float, ready: Mapping[str, int], *, now: float, heard: float) -> float:
        """Return for how many pods at their target the load is, at least.

        Args:
            usage: the average, as a multiple of the target.
            ready: pods that are ready, by ReplicaSet.
            now: the time in seconds.
            heard: when the average became what it is, likewise.
        """
        if self._known != ready:
            self._known, self._reads = dict(ready), 0
        elif heard > self._heard:
            self._reads += 1
        self._heard = heard
        self._counted = {name: min(self._counted.get(name, 0), number) for name, number in ready.items()}
        least, every = usage * sum(self._counted.values()), usage * sum(ready.values())
        settled = self._certain and self._reads >= READS
        if settled or 0 < every <= self._before(now, least) * (1 + TOLERANCE):
            self._counted, least = dict(ready), every
        self._note(now, least)
        return least

    def _before(self, now: float, least: float) -> float:
        # Each load was in force until the next was noted.
        while len(self._loads) > 1 and self._loads[1][0] < now - MEMORY:
            self._loads.popleft()
        return max([least, *(load for _, load in self._loads)])

    def _note(self, now: float, load: float) -> None:
        if not self._loads or self._loads[-1][1] != load:
            self._loads.append((now, load))


def _name(metric: Mapping[str, Any]) -> str | None:
    """Name a metric that says how busy pods are; None for others."""
    kind = str(metric.get("type"))
    if kind not in _KINDS:
        return None
    source = metric.get(_KINDS[kind]) or {}
    if kind in _RESOURCES:
        name = source.get("name")
        return f"{kind} {name} {source.get('container', '')}".strip() if name == _PROCESSOR else None
    named = source.get("metric") or {}
    return f"{kind} {named.get('name')} {sorted(_labels(named.get('selector') or {}))}"


def _labels(selector: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items())
    for wanted in selector.get("matchExpressions") or ():
        yield f"{wanted.get('key')} {wanted.get('operator')} {sorted(wanted.get('values') or ())}"


def _share(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> float | None:
    name = _name(wanted)
    if name is None or name != _name(current):
        return None
    place = _KINDS[str(wanted.get("type"))]
    target, now = (wanted.get(place) or {}).get("target") or {}, (current.get(place) or {}).get("current") or {}
    for field in ("averageUtilization", "averageValue"):
        aim, value = quantity(target.get(field)), quantity(now.get(field))
        if aim and value is not None:
            return max(0.0, float(value / aim))
    return None


def _limit(policy: Mapping[str, Any], least_within: Callable[[float], int]) -> int | None:
    """As calculateScaleUpLimitWithScalingRules of horizontal.go; what the Deployment had least stands for its size before."""
    value, before = int(policy.get("value") or 0), least_within(float(policy.get("periodSeconds") or 0))
    match policy.get("type"):
        case "Pods":
            return before + value
        case "Percent":
            return -(-before * (100 + value) // 100)
        case _:
            return None
