"""The operator's own metrics. Names and labels are API: dashboards and alerts rest on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from tidegate.api.names import Phase
from tidegate.api.status import Outcome, ReleaseStatus
from tidegate.controller.release_metrics import ReleaseMetrics
from tidegate.governance import dora

_RELEASE = ("namespace", "release")
_FAST = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_LONG = (10, 30, 60, 300, 900, 1800, 3600, 4 * 3600, 24 * 3600)
"""Buckets in seconds: of what the operator does, and of what it waits for."""
_MOST_NAMESPACES = 100
"""Namespaces that have a series of their own in what they wait for, of each connection."""
SEVERAL, OTHERS = "(several)", "(others)"
"""What is no namespace's: no namespace can be called that."""


DELIVERY_SPAN = timedelta(days=30)
"""Rollouts of so many days until now count for the keys of delivery."""
MOST_DELIVERED = 200
"""Rollouts of one Release that count, the last ones."""
MOST_DELIVERING = 5000
"""Releases that have series of these."""
_AGAIN = timedelta(hours=1)
"""After so long without a rollout it is looked which are too old by now."""
_Key = tuple[str, str, str]


class Delivery:
    """The four keys of delivery of each Release and environment, of its rollouts as records have them: none is lost with a process.

    Args:
        registry: where they are shown.
        now: the time.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._rollouts: dict[_Key, dict[int, dora.Rollout]] = {}
        self._shown: dict[_Key, tuple[datetime, tuple[float | None, ...]]] = {}
        registry.register(self)

    def add(self, spec: Mapping[str, Any]) -> None:
        """Count a rollout once, however often its record is met."""
        try:
            rollout, number = dora.rollout_of(spec), int(spec["number"])
            key = (str(spec["namespace"]), str(spec["release"]), str(spec.get("environment", "")))
        except (ValueError, KeyError, TypeError):
            # Somebody else has written it.
            return
        if self._now() - rollout.ended > DELIVERY_SPAN or (key not in self._rollouts and len(self._rollouts) >= MOST_DELIVERING):
            return
        found = self._rollouts.setdefault(key, {})
        found[number] = rollout
        if len(found) > MOST_DELIVERED:
            del found[min(found, key=lambda one: found[one].ended)]
        self._shown.pop(key, None)

    def forget(self, namespace: str, release: str) -> None:
        """Stop showing a Release that is gone."""
        for key in [key for key in self._rollouts if key[:2] == (namespace, release)]:
            del self._rollouts[key]
            self._shown.pop(key, None)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without their series."""
        return [GaugeMetricFamily(name, words, labels=(*_RELEASE, "environment")) for name, words, _ in _DELIVERY]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        families = [GaugeMetricFamily(name, words, labels=(*_RELEASE, "environment")) for name, words, _ in _DELIVERY]
        now = self._now()
        for key in list(self._rollouts):
            for family, value in zip(families, self._values(key, now), strict=True):
                if value is not None:
                    family.add_metric(key, value)
        return families

    def _values(self, key: _Key, now: datetime) -> tuple[float | None, ...]:
        known = self._shown.get(key)
        if known is not None and now - known[0] < _AGAIN:
            return known[1]
        found = {number: one for number, one in self._rollouts[key].items() if now - one.ended <= DELIVERY_SPAN}
        if not found:
            del self._rollouts[key]
            self._shown.pop(key, None)
            return (None,) * len(_DELIVERY)
        self._rollouts[key] = found
        measured = dora.measures(found.values(), DELIVERY_SPAN)
        values = tuple(of(measured) for _, _, of in _DELIVERY)
        self._shown[key] = now, values
        return values


_TARGETS = {target.name: target.value for target in dora.TARGETS}
_DELIVERY: tuple[tuple[str, str, Callable[[dora.Measures], float | None]], ...] = (
    ("tidegate_deployments_per_week", "Versions promoted in a week, of the last 30 days.", lambda found: found.per_week),
    (
        "tidegate_lead_time_seconds",
        "Median time from the commit of a version, or else from its first sight, to its promotion, of the last 30 days.",
        _TARGETS["leadTimeSeconds"],
    ),
    (
        "tidegate_change_failure_ratio",
        "Share of the changes of the last 30 days that failed: rolled back after traffic, or replaced by a hotfix.",
        _TARGETS["changeFailureRate"],
    ),
    (
        "tidegate_time_to_restore_seconds",
        "Mean time at most that users met a failed change, of the last 30 days.",
        _TARGETS["timeToRestoreSeconds"],
    ),
)
"""Names, words and values of the four keys."""


class Metrics:
    """All metrics of one operator process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.delivery = Delivery(self.registry)
        self.of_releases = ReleaseMetrics(self.registry)
        self._of_releases(self.registry)
        self._of_gates(self.registry)
        self._of_work(self.registry)
        self._of_requests(self.registry)
        self._phases: dict[tuple[str, str], Phase] = {}
        self._unexposed: dict[tuple[str, str], datetime | None] = {}
        """By Release without traffic for a new version: when the rollout that is on has started, or that none is on."""
        self._waiting: dict[str, set[str]] = {}

    def _of_releases(self, r: CollectorRegistry) -> None:
        self.releases = Gauge("tidegate_releases", "Releases by phase.", ("phase",), registry=r)
        self.rollouts = Counter("tidegate_rollouts_total", "Rollouts that ended.", ("outcome", "cause"), registry=r)
        self.prepared = Counter("tidegate_releases_prepared_total", "Versions that got their first traffic.", registry=r)
        self.prepare_seconds = Histogram(
            "tidegate_release_prepare_seconds",
            "Seconds from the start of a rollout to the first traffic of its version.",
            buckets=_LONG,
            registry=r,
        )
        self.promoted = Counter("tidegate_releases_promoted_total", "Versions that were promoted.", registry=r)
        self.failed = Counter("tidegate_releases_failed_total", "Versions that were rolled back.", registry=r)
        self.promote_seconds = Histogram(
            "tidegate_release_promote_seconds", "Seconds from the start of a rollout to its promotion.", buckets=_LONG, registry=r
        )
        self.record_head = Gauge(
            "tidegate_record_chain_head", "Number of the last record of a Release; it never falls.", _RELEASE, registry=r
        )
        self.records_unwritten = Counter(
            "tidegate_records_unwritten_total", "Records that could not be written, and are tried again.", ("why",), registry=r
        )
        self.breach_to_stable = Histogram(
            "tidegate_breach_to_stable_seconds",
            "Seconds from reading a breach until the route sends everything to stable.",
            buckets=_FAST,
            registry=r,
        )

    def _of_gates(self, r: CollectorRegistry) -> None:
        self.gate_unjudged = Counter(
            "tidegate_gate_unjudged_total", "Checks of a gate that failed by a bug in the judge.", (*_RELEASE, "gate"), registry=r
        )

    def _of_work(self, r: CollectorRegistry) -> None:
        self.reconcile = Histogram(
            "tidegate_reconcile_seconds", "One pass over one Release.", ("outcome",), buckets=_FAST, registry=r
        )
        self.queue_depth = Gauge("tidegate_queue_depth", "Releases in the queue.", registry=r)
        self.queue_age = Gauge(
            "tidegate_queue_oldest_seconds", "Seconds that the oldest Release in the queue has waited.", registry=r
        )
        self.loop_held = Counter(
            "tidegate_loop_held_total",
            "Times that the event loop was held for more than half a second.",
            (*_RELEASE, "gate"),
            registry=r,
        )
        self.suspects = Gauge("tidegate_releases_suspected", "Releases that may have crashed the operator.", registry=r)
        self.leader = Gauge("tidegate_leader", "Whether this replica is the leader: 1 or 0.", registry=r)
        self.policies = Gauge(
            "tidegate_admission_policy_in_force",
            "Whether an admission policy is in force as this version ships it: 1 or 0.",
            ("policy",),
            registry=r,
        )
        self.watch_age = Gauge(
            "tidegate_watch_age_seconds", "Seconds since a watch last received something.", ("resource",), registry=r
        )
        self.cluster_age = Gauge(
            "tidegate_cluster_age_seconds", "Seconds since another cluster was last heard.", ("cluster",), registry=r
        )

    def _of_requests(self, r: CollectorRegistry) -> None:
        self.api_requests = Counter(
            "tidegate_api_requests_total", "Requests to the Kubernetes API.", ("verb", "resource", "code"), registry=r
        )
        self.prometheus_seconds = Histogram(
            "tidegate_prometheus_query_seconds", "Queries to Prometheus.", ("connection", "outcome"), buckets=_FAST, registry=r
        )
        self.prometheus_requests = Counter(
            "tidegate_prometheus_requests_total",
            "HTTP requests to Prometheus; each carries many queries.",
            ("connection",),
            registry=r,
        )
        self.prometheus_clock = Gauge(
            "tidegate_prometheus_clock_offset_seconds",
            "By how much the clock of Prometheus is ahead of the operator's.",
            ("connection",),
            registry=r,
        )
        self.prometheus_wait = Counter(
            "tidegate_prometheus_wait_seconds_total",
            "Time that HTTP requests to Prometheus have waited for their turn.",
            ("connection", "namespace"),
            registry=r,
        )
        self.direct_pages = Counter(
            "tidegate_direct_pages_total", "Pages of pods that were read directly.", ("connection", "outcome"), registry=r
        )
        self.notifications = Counter(
            "tidegate_notifications_total", "Messages of channels, and tries that failed.", ("channel", "outcome"), registry=r
        )
        self.events_dropped = Counter("tidegate_events_dropped_total", "Events that were not written.", ("why",), registry=r)

    def waited(self, connection: str, namespace: str, seconds: float) -> None:
        """Count how long a request to Prometheus has waited for its turn.

        Args:
            connection: its name.
            namespace: for whose Releases; empty where it was for several.
            seconds: until it was sent, or given up.
        """
        known = self._waiting.setdefault(connection, set())
        if namespace and namespace not in known and len(known) < _MOST_NAMESPACES:
            known.add(namespace)
        whose = namespace if namespace in known else OTHERS if namespace else SEVERAL
        self.prometheus_wait.labels(connection, whose).inc(seconds)

    def scraped(self, connection: str, outcome: str) -> None:
        """Count what has become of a page of a pod that is read directly."""
        self.direct_pages.labels(connection, outcome).inc()

    def notified(self, channel: str, outcome: str) -> None:
        """Count what has become of a message, or of a try to deliver it."""
        self.notifications.labels(channel, outcome).inc()

    def queried(self, connection: str, seconds: float, ok: bool) -> None:  # noqa: FBT001 - the reader's signature
        """Count a query to Prometheus."""
        self.prometheus_seconds.labels(connection, "ok" if ok else "failed").observe(seconds)

    def dropped(self, why: object) -> None:
        """Count an Event that was not written."""
        self.events_dropped.labels(str(getattr(why, "value", why))).inc()

    def admission(self, policy: str, /, *, in_force: bool) -> None:
        """Show whether an admission policy is in force."""
        self.policies.labels(policy).set(1 if in_force else 0)

    def unwritten(self, why: str) -> None:
        """Count a record that could not be written."""
        self.records_unwritten.labels(why).inc()

    def show(self, namespace: str, name: str, status: ReleaseStatus) -> None:
        """Show where a Release is now."""
        key = (namespace, name)
        before = self._phases.get(key)
        if before is not status.phase:
            if before is not None:
                self.releases.labels(before).dec()
            self.releases.labels(status.phase).inc()
            self._phases[key] = status.phase
        self.of_releases.show(key, status)
        if status.records is not None:
            self.record_head.labels(*key).set(status.records.number)
        self._count_prepared(key, status)

    def _count_prepared(self, key: tuple[str, str], status: ReleaseStatus) -> None:
        """Count a version whose pods have got traffic since its Release was last shown."""
        rollout = status.rollout
        if rollout is None or rollout.exposed_at is None:
            self._unexposed[key] = None if rollout is None else rollout.started_at
            return
        # Of one that this process has only ever seen with traffic, the process before has counted it.
        if self._unexposed.pop(key, None) == rollout.started_at:
            self.prepared.inc()
            self.prepare_seconds.observe((rollout.exposed_at - rollout.started_at).total_seconds())

    def show_gates(self, namespace: str, release: str, status: ReleaseStatus) -> None:
        """Show what the gates of a Release say."""
        self.of_releases.show_gates((namespace, release), status)

    def ended(self, status: ReleaseStatus) -> None:
        """Count a rollout that has just ended."""
        last = status.last_rollout
        if last is None:
            return
        self.rollouts.labels(last.outcome, last.cause).inc()
        if last.outcome is Outcome.PROMOTED:
            self.promoted.inc()
            self.promote_seconds.observe((last.finished_at - last.started_at).total_seconds())
        elif last.outcome is Outcome.ROLLED_BACK:
            self.failed.inc()

    def forget(self, namespace: str, name: str) -> None:
        """Stop showing a Release that is gone."""
        key = (namespace, name)
        self.delivery.forget(*key)
        phase = self._phases.pop(key, None)
        if phase is None:
            return
        self.releases.labels(phase).dec()
        self._unexposed.pop(key, None)
        self.of_releases.forget(key)
        # Until here, so that one that has failed in a short rollout is not missed.
        for counter in (self.gate_unjudged, self.loop_held, self.record_head):
            counter.remove_by_labels({"namespace": namespace, "release": name})
