"""All sinks that there are: here alone each is named, so that one more is a module and a line."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.controller.reconcile.sinks.events import events
from tidegate.controller.reconcile.sinks.sink import Means, Sink

SINKS: tuple[Callable[[Means], Sink], ...] = (events,)


def sinks(means: Means) -> list[Sink]:
    """Make all sinks."""
    return [make(means) for make in SINKS]
