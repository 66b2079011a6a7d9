"""What reads the gates, made of the connections that the configuration names, with the metrics that count what it asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tidegate.controller.metrics import Metrics
from tidegate.controller.process.config import Config
from tidegate.prometheus import budgets, connections, reader, theirs
from tidegate.runtime.clock import Clock


def reader_of(config: Config, metrics: Metrics, clock: Clock, queried: Callable[[str, float, bool], None]) -> theirs.InTheirTime:
    """Return what asks Prometheus, and reckons by its clocks.

    Args:
        config: the operator's configuration.
        metrics: count requests.
        clock: the time.
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
    return theirs.InTheirTime(asks, known, clock, lambda connection, ahead: metrics.prometheus_clock.labels(connection).set(ahead))
