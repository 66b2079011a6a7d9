"""All sinks that there are: here alone each is named, so that one more is a module and a line."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.controller.reconcile.sinks.audit import audit
from tidegate.controller.reconcile.sinks.channels import channels
from tidegate.controller.reconcile.sinks.events import events
from tidegate.controller.reconcile.sinks.sink import Means, Sink

SINKS: tuple[Callable[[Means], Sink], ...] = (events,)


def sinks(means: Means) -> list[Sink]:
    """Make all sinks, the audit stream where there is to be one, and one for each channel of the configuration."""
    account = audit(means)
    return [*(make(means) for make in SINKS), *([account] if account is not None else []), *channels(means)]
