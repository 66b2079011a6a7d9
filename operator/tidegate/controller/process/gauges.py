"""What the metrics show of the process itself, which is looked at only when somebody asks for them."""

from __future__ import annotations

from tidegate.cluster.resources import RELEASES
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.clusters import Clusters
from tidegate.controller.observe.informers import Informers
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.releases import Releases
from tidegate.runtime.queue import KeyedQueue


def bring_up(
    metrics: Metrics,
    queue: KeyedQueue[ReleaseKey],
    releases: Releases,
    informers: Informers,
    clusters: Clusters,
    *,
    leads: bool,
) -> None:
    """Bring the gauges up to now.

    Args:
        metrics: where they are shown.
        queue: what waits.
        releases: the watch of Releases.
        informers: all other watches.
        clusters: other clusters.
        leads: whether this process works, and may write.
    """
    metrics.leader.set(1.0 if leads else 0.0)
    metrics.queue_depth.set(queue.depth())
    metrics.queue_age.set(queue.oldest_age())
    ages = {RELEASES.qualified: releases.health.age, **informers.ages()}
    for resource, age in ages.items():
        metrics.watch_age.labels(resource).set(age)
    for cluster, age in clusters.ages().items():
        metrics.cluster_age.labels(cluster).set(age)
