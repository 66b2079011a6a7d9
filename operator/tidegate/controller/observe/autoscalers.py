"""HorizontalPodAutoscalers by the workload that they scale, and the load that their numbers tell of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.cluster.resources import HORIZONTAL_POD_AUTOSCALERS
from tidegate.engine.snapshot import Arm, AutoscalerView
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Change, Object, Store
from tidegate.workloads import autoscaling
from tidegate.workloads.autoscaling import Average, ScaleTarget

LONGEST_PERIOD = 1800.0
"""The longest period of a scaling policy that the API server lets through, in seconds."""


@dataclass
class _Followed:
    """What is kept of one workload.

    Attributes:
        scaler: uid of its autoscaler.
        averages: by metric.
        sizes: how many pods it was to have, each with the time from when on.
    """

    scaler: str
    averages: dict[str, Average] = field(default_factory=dict)
    sizes: deque[tuple[float, int]] = field(default_factory=deque)


class Autoscalers:
    """Follows autoscalers in the store.

    Args:
        store: where autoscalers are.
        clock: the time.
    """

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._of: dict[tuple[str, ScaleTarget], set[str]] = {}
        self._heard: dict[str, float] = {}
        self._followed: dict[str, _Followed] = {}
        store.on_change(HORIZONTAL_POD_AUTOSCALERS.kind, self._learn)

    def view(self, kind: str, workload: Object, arms: Iterable[Arm]) -> AutoscalerView | None:
        """Return what the autoscaler of a workload says; None where it has none, or several, which contradict each other.

        Args:
            kind: kind of the workload.
            workload: the workload.
            arms: all arms whose pods match its selector.
        """
        metadata = workload["metadata"]
        target = ScaleTarget(kind, metadata["name"])
        names = self._of.get((metadata["namespace"], target), set())
        scaler = self._store.get(HORIZONTAL_POD_AUTOSCALERS.kind, metadata["namespace"], min(names)) if len(names) == 1 else None
        if scaler is None:
            self._followed.pop(metadata["uid"], None)
            return None
        uid, now = scaler["metadata"]["uid"], self._clock.monotonic()
        followed = self._followed.get(metadata["uid"])
        if followed is None or followed.scaler != uid:
            followed = self._followed[metadata["uid"]] = _Followed(uid)
        replicas = (workload.get("spec") or {}).get("replicas", 1)
        return AutoscalerView(
            name=scaler["metadata"]["name"],
            load=_load(followed, scaler, tuple(arms), now=now, heard=self._heard.get(uid, now)),
            most=autoscaling.most_replicas(scaler, least_within=_sizes(followed, replicas, now).least_within),
            tolerance=autoscaling.tolerance(scaler),
        )

    def forget(self, uid: str) -> None:
        """Forget what was kept of an object that is gone."""
        self._followed.pop(uid, None)
        self._heard.pop(uid, None)

    def _learn(self, change: Change) -> None:
        if change.old is not None and (target := autoscaling.target_of(change.old)) is not None:
            names = self._of[change.key.namespace, target]
            names.discard(change.key.name)
            if not names:
                del self._of[change.key.namespace, target]
        if change.new is not None and (target := autoscaling.target_of(change.new)) is not None:
            self._of.setdefault((change.key.namespace, target), set()).add(change.key.name)
            if change.old is None or _numbers(change.old) != _numbers(change.new):
                self._heard[change.new["metadata"]["uid"]] = self._clock.monotonic()


def _numbers(autoscaler: Object) -> object:
    """Return what its controller has read, as exactly as it tells: usages are in whole percents, averages are not."""
    return (autoscaler.get("status") or {}).get("currentMetrics")


@dataclass(frozen=True)
class _Sizes:
    sizes: tuple[tuple[float, int], ...]
    now: float

    def least_within(self, seconds: float) -> int:
        """Return the smallest size that was in force in the last so many seconds; each was until the next."""
        ends = (*(since for since, _ in self.sizes[1:]), float("inf"))
        return min(size for (_, size), end in zip(self.sizes, ends, strict=True) if end > self.now - seconds)


def _sizes(followed: _Followed, replicas: int, now: float) -> _Sizes:
    sizes = followed.sizes
    if not sizes or sizes[-1][1] != replicas:
        sizes.append((now, replicas))
    while len(sizes) > 1 and sizes[1][0] < now - LONGEST_PERIOD:
        sizes.popleft()
    return _Sizes(tuple(sizes), now)


def _load(followed: _Followed, scaler: Object, arms: tuple[Arm, ...], *, now: float, heard: float) -> float | None:
    """Return the load by the metric that asks for most; None where none is known."""
    ready = {arm.revision: arm.ready for arm in arms}
    usages = autoscaling.usages(scaler)
    loads = []
    for metric, usage in usages.items():
        if metric not in followed.averages:
            # Seen for the first time, pods of the workload's own are taken for old ones.
            own = {arm.revision: arm.ready for arm in arms if arm.owned}
            followed.averages[metric] = Average(own, certain=autoscaling.counted_for_certain(metric))
        loads.append(followed.averages[metric].load(usage, ready, now=now, heard=heard))
    return max(loads, default=None)
