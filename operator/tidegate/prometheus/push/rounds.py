"""What was pushed for one Release, handed on like rounds of direct readings: a page for each process of each of its pods.

A page is put together of samples (`counting`), and bears their time. Pods are those that the API server lists for the Release's two
versions; what is pushed for others is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from tidegate.api.base import parse_time
from tidegate.api.push import Push
from tidegate.judge.histogram import Histogram
from tidegate.prometheus.config import PushedConfig
from tidegate.prometheus.direct.effort import CREDIT, SHARE, Cost, Effort
from tidegate.prometheus.direct.followed import AWAY, Round
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Missed, Pod, sampled
from tidegate.prometheus.direct.text import Series
from tidegate.prometheus.push.counting import Key, Part, Process, names_of, parts_of, process_of, reader_of, series_of
from tidegate.prometheus.push.request import Pushed, Sample
from tidegate.runtime.clock import Clock

MOST_PROCESSES = 8
"""Processes of one pod that are told apart at most."""
_EDGES = 4
"""Edges of native histograms for each series that a pod may have."""
_SPLIT = "two Prometheus servers scrape it and no label tells them apart: give each an external label __replica__"
_REFUSED = (
    "parts of its scrapes are missing, as requests of its sender, or samples of its namespace, are refused: look at "
    "tidegate_push_requests_total and tidegate_push_samples_total"
)
_FULL = "more series are pushed for all rollouts, or for those of its namespace, than are remembered"
_PUT_OFF = f"put off: to count what is pushed for this namespace takes more than {SHARE:.0%} of the operator's processor time"
_CROWDED = "more of the wanted series are pushed for it than are taken (push.seriesPerPod)"


class Fate(StrEnum):
    """What becomes of samples."""

    TAKEN = "taken"
    UNWANTED = "unwanted"
    NAMESPACE = "namespace"
    LATE = "late"
    FUTURE = "future"
    COPY = "copy"
    INVALID = "invalid"


class Registry(Protocol):
    """Knows who wants what is pushed for a namespace."""

    def add(self, namespace: str, rounds: Pushes) -> None:
        """Hand on to these from now on what is pushed for a namespace."""

    def drop(self, namespace: str, rounds: Pushes) -> None:
        """Hand on no more to these."""

    def hold(self, namespace: str, more: int) -> bool:
        """Take room for so many series or edges more, and return whether there is that much; less gives it back."""


@dataclass(frozen=True)
class Delivery:
    """How a series came.

    Attributes:
        sender: who has sent it.
        came: when, on the monotonic clock.
        whole: whether no request of this sender was refused lately, nor a sample of the namespace.
    """

    sender: str
    came: float
    whole: bool


@dataclass
class _PodOf:
    """What was pushed for one pod.

    Attributes:
        pod: which.
        processes: by what tells them apart.
        crowded: why some of its series are not taken; empty where all are.
    """

    pod: Pod
    processes: dict[bytes, Process] = field(default_factory=dict)
    crowded: str = ""

    @property
    def size(self) -> int:
        """How many series and edges it has."""
        return sum(len(one.keys) + one.held for one in self.processes.values())

    @property
    def heard(self) -> float:
        """When a sample came last, on the monotonic clock."""
        return max((one.heard for one in self.processes.values()), default=float("-inf"))


class Pushes:
    """What is pushed for the gates of one Release that have it judged in one way.

    Args:
        registry: hands on what is pushed.
        namespace: of the Release.
        push: how the gates have it judged.
        config: what their connection allows.
        clock: the time.
        effort: keeps account of processor time by namespaces; without one it is for these alone.
    """

    def __init__(
        self, registry: Registry, namespace: str, push: Push, config: PushedConfig, clock: Clock, *, effort: Effort | None = None
    ) -> None:
        self._registry, self._namespace, self._config, self._clock = registry, namespace, config, clock
        self._effort, self._put_off = effort or Effort(clock.monotonic), False
        self._patience = (AWAY + 2 * push.interval).total_seconds()
        self._wishes = Series(()).wishes
        self._canary, self._stable = Chosen[Pod](), Chosen[Pod]()
        self._pods: dict[str, _PodOf] = {}
        self._began = clock.now().timestamp()
        self.names: frozenset[bytes] = frozenset()
        """Names of the metrics that are wanted."""

    def choose(self, pods: Iterable[Mapping[str, Any]], most: int) -> Chosen[Pod]:
        """Return the pods of one version, each as `slim` returns it, that are listened to; of too many always the same ones."""
        there = sampled(pods)
        found = [
            Pod(
                str(pod["metadata"]["uid"]),
                str(pod["metadata"]["name"]),
                born=parse_time(pod["started"]) if pod["started"] else None,
            )
            for pod in there[:most]
        ]
        return Chosen(tuple(found), (), len(there))

    def listed(self, series: Series, canary: Sequence[Mapping[str, Any]], stable: Sequence[Mapping[str, Any]]) -> None:
        """Listen to these pods from now on, for these wishes."""
        if series.wishes != self._wishes:
            self._give_back(self._pods.values())
            self._wishes, self._pods = series.wishes, {}
            self._began = self._clock.now().timestamp()
            self.names = frozenset().union(*(names_of(one) for one in series.wishes))
        self._canary, self._stable = self.choose(canary, self._config.canary_pods), self.choose(stable, self._config.stable_pods)
        before, self._pods = self._pods, {}
        for pod in (*self._canary.targets, *self._stable.targets):
            known = before.get(pod.pod)
            kept = known is not None and known.pod.uid == pod.uid
            self._pods[pod.pod] = before.pop(pod.pod) if kept else _PodOf(pod)
            self._pods[pod.pod].pod = pod
        self._give_back(before.values())
        self._registry.add(self._namespace, self)

    def take(self, name: str, one: Pushed, samples: Sequence[Sample], delivery: Delivery) -> Fate:
        """Take a series of a pod in, and return what became of its samples.

        Args:
            name: of the pod; of any pod of the namespace.
            one: the series.
            samples: those of its samples that are neither too old nor of the future.
            delivery: how it came.
        """
        pod = self._pods.get(name)
        parts = parts_of(self._wishes, one) if pod is not None else []
        if pod is None or not parts:
            return Fate.UNWANTED
        process = self._process(pod, one, delivery)
        if process is None:
            return Fate.UNWANTED
        reader = reader_of(delivery.sender, one.labels)
        if process.reader != reader:
            if delivery.came - process.heard <= self._patience:
                return Fate.COPY
            process.listen(reader)
        digest, at = series_of(one.labels), self._clock.now()
        for part in parts:
            key: Key = (part.wish, digest if part.wish >= 0 else b"")
            if not self._room(pod, process, key, part):
                delivery = Delivery(delivery.sender, delivery.came, whole=False)
                continue
            for sample in samples:
                if not part.role and isinstance(sample.value, Histogram) and not self._fits(pod, process, key, sample.value):
                    continue
                process.take(key, part, sample, delivery.came, at, whole=delivery.whole)
        return Fate.TAKEN

    async def round(self) -> Round:
        """Return what has come since the last round; nothing while that took too much, and then all of it."""
        now = self._clock.monotonic()
        self._put_off = self._effort.debt(self._namespace) > CREDIT
        versions = () if self._put_off else (self._canary, self._stable)
        pages = [self._pages(one.targets, now) for one in versions] or [[], []]
        missed = [
            [Missed(pod.pod, words) for pod in one.targets if (words := self._why(pod, now))]
            for one in (self._canary, self._stable)
        ]
        return Round(self._clock.now(), pages[0], pages[1], self._canary, self._stable, missed[0], missed[1])

    def charge(self, seconds: float) -> None:
        """Charge the namespace with processor time that it has taken to count this."""
        self._effort.charge(Cost(self._namespace), seconds)

    def close(self) -> None:
        """Listen no more."""
        self._registry.drop(self._namespace, self)
        self._give_back(self._pods.values())
        self._pods.clear()

    def _give_back(self, pods: Iterable[_PodOf]) -> None:
        """Give back the room of pods that are not listened to any more."""
        self._registry.hold(self._namespace, -sum(one.size for one in pods))

    def _process(self, pod: _PodOf, one: Pushed, delivery: Delivery) -> Process | None:
        name = process_of(one.labels)
        process = pod.processes.get(name)
        if process is None:
            if len(pod.processes) >= MOST_PROCESSES:
                pod.crowded = _CROWDED
                return None
            started = None if pod.pod.born is None else pod.pod.born.timestamp()
            reader = reader_of(delivery.sender, one.labels)
            process = pod.processes[name] = Process(self._wishes, reader, self._began, started)
        return process

    def _room(self, pod: _PodOf, process: Process, key: Key, part: Part) -> bool:
        """Whether a series is known, or there is room for one more."""
        if (key, part.edge) in process.keys:
            return True
        if sum(len(one.keys) for one in pod.processes.values()) >= self._config.series_per_pod:
            pod.crowded = _CROWDED
            return False
        if not self._registry.hold(self._namespace, 1):
            pod.crowded = _FULL
            return False
        process.keys.add((key, part.edge))
        return True

    def _fits(self, pod: _PodOf, process: Process, key: Key, value: Histogram) -> bool:
        """Whether there is room for the buckets of a native histogram."""
        more = len(value.edges) - process.edges.get(key, 0)
        if more <= 0:
            return True
        if sum(one.held for one in pod.processes.values()) + more > _EDGES * self._config.series_per_pod:
            pod.crowded = _CROWDED
            return False
        if not self._registry.hold(self._namespace, more):
            pod.crowded = _FULL
            return False
        process.edges[key] = len(value.edges)
        process.held += more
        return True

    def _pages(self, pods: Iterable[Pod], now: float) -> list[Scraped]:
        found: list[Scraped] = []
        for pod in pods:
            known = self._pods[pod.pod]
            for name, process in known.processes.items():
                process.settle(now)
                page = process.page()
                # Of a pod of which some series are left out nobody knows the shares.
                if page is not None and not known.crowded:
                    found.append(Scraped(Pod(f"{pod.uid}/{name.hex()}", pod.pod, born=pod.born), *page))
        return found

    def _why(self, pod: Pod, now: float) -> str:
        """Say why nothing of a pod is judged; empty where it is."""
        known = self._pods[pod.pod]
        if self._put_off:
            return _PUT_OFF
        if known.heard == float("-inf"):
            return known.crowded or "no sample of it has been pushed yet"
        if now - known.heard > self._patience:
            return f"no sample of it was pushed for {now - known.heard:.0f}s"
        if any(one.torn for one in known.processes.values()):
            return _SPLIT if any(one.split for one in known.processes.values()) else _REFUSED
        return known.crowded
