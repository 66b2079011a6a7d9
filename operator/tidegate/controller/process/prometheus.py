"""What reads the gates, made of the connections that the configuration names, with the metrics that count what it asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tidegate.cluster.client import Cluster
from tidegate.controller.looks.direct import DirectLane, Pushing, pods_of_gateway
from tidegate.controller.metrics import Metrics
from tidegate.controller.process.config import Config
from tidegate.prometheus import budgets, connections, reader, theirs
from tidegate.prometheus.config import DirectConfig
from tidegate.prometheus.direct.effort import Effort
from tidegate.prometheus.direct.gateways import Gateways
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.runtime.clock import Clock


def reader_of(
    config: Config, metrics: Metrics, clock: Clock, cluster: Cluster, queried: Callable[[str, float, bool], None]
) -> tuple[DirectReadings, DirectLane]:
    """Return what reads gates, of Prometheus by its clock and of pods, and what has the pods read.

    Args:
        config: the operator's configuration.
        metrics: count requests.
        clock: the time.
        cluster: lists pods.
        queried: told of each query: its connection, how many seconds it took, and whether it was answered.
    """
    unread = budgets.Unread(config.budgets.answer_bytes)
    known = {one.name: connections.Connection(one, unread, partial(metrics.waited, one.name)) for one in config.connections}
    asks = reader.Reader(
        known,
        queried,
        requested=lambda connection, _: metrics.prometheus_requests.labels(connection).inc(),
        budgets=config.budgets,
    )
    in_their_time = theirs.InTheirTime(asks, known, clock, lambda name, ahead: metrics.prometheus_clock.labels(name).set(ahead))
    configs = {one.name: one for one in config.connections}
    readings = DirectReadings(in_their_time, configs, asks.refusal, asks.holdings, clock)
    effort = Effort(clock.monotonic)
    scrapers = {
        one.name: Scraper(one.direct, clock, effort, partial(metrics.scraped, one.name))
        for one in config.connections
        if one.direct is not None
    }
    gateways = {
        one.name: _gateways(one.direct, clock, effort, partial(metrics.scraped, one.name), cluster)
        for one in config.connections
        if one.direct is not None and one.direct.gateways
    }
    return readings, DirectLane(readings, scrapers, cluster, clock, _pushing(config, metrics, clock), gateways=gateways)


def _gateways(direct: DirectConfig, clock: Clock, effort: Effort, told: Callable[[str], None], cluster: Cluster) -> Gateways:
    # The token is for pods of Releases: whoever runs a gateway has no part in it.
    scraper = Scraper(DirectConfig.model_validate({**dict(direct), "bearer_token_file": None}), clock, effort, told)
    return Gateways(direct, scraper, partial(pods_of_gateway, cluster), clock)


def _pushing(config: Config, metrics: Metrics, clock: Clock) -> Pushing | None:
    if config.push is None:
        return None
    # Where nobody pushes nothing of it is in memory.
    from tidegate.controller.process.push import PushPort
    from tidegate.controller.process.push_metrics import PushMetrics

    allowed = {one.name: one.push for one in config.connections if one.push is not None}
    return PushPort(config.push, allowed, PushMetrics(metrics.registry), clock)
