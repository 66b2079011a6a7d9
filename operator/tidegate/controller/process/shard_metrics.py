"""The metrics of a replica that works on shards: those of each shard's operator with its number, and those of sharing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tidegate.controller.process.app import App

LABEL = "shard"


class ShardMetrics(Collector):
    """All metrics of one replica.

    Args:
        count: how many shards there are.
    """

    def __init__(self, count: int) -> None:
        self.registry = CollectorRegistry()
        self._operators: dict[int, App] = {}
        self._held = Gauge(
            "tidegate_shard_held", "Whether this replica works on a shard: 1 or 0.", (LABEL,), registry=self.registry
        )
        self._releases = Gauge(
            "tidegate_shard_releases", "Releases of a shard that this replica has.", (LABEL,), registry=self.registry
        )
        self._vacant = Gauge(
            "tidegate_shard_vacant_seconds",
            "Seconds since a shard's Lease was last held; 0 while it is.",
            (LABEL,),
            registry=self.registry,
        )
        self._requests = Counter(
            "tidegate_lease_requests_total", "Requests for Leases of shards.", ("verb", "code"), registry=self.registry
        )
        for shard in range(count):
            self._held.labels(str(shard)).set(0)
        self.registry.register(self)

    def requested(self, verb: str, _resource: str, status: int, _seconds: float) -> None:
        """Count a request for a Lease."""
        self._requests.labels(verb, str(status)).inc()

    def show(self, shard: int, *, held: bool, vacant: float, operator: App | None) -> None:
        """Show how a shard stands here.

        Args:
            shard: its number.
            held: whether this replica works on it.
            vacant: seconds for which nobody has held it.
            operator: the operator that this replica has for it; None for none.
        """
        label = str(shard)
        self._held.labels(label).set(1 if held else 0)
        self._vacant.labels(label).set(vacant)
        if operator is None:
            self._operators.pop(shard, None)
            self._releases.remove(label)
        else:
            self._operators[shard] = operator
            self._releases.labels(label).set(operator.owns())

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is changes with the shards."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all operators here, each once, with the shards' numbers."""
        found: dict[str, Metric] = {}
        for shard, operator in sorted(self._operators.items()):
            for metric in operator.metrics.registry.collect():
                whole = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                whole.samples += [_of_shard(sample, shard) for sample in metric.samples]
        yield from found.values()


def _of_shard(sample: Sample, shard: int) -> Sample:
    return sample._replace(labels={**sample.labels, LABEL: str(shard)})
