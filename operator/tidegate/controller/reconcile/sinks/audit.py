"""The sink of the audit stream, where the configuration has one: lines on their own stream, for transitions and for decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile.sinks.sink import Means

if TYPE_CHECKING:
    from tidegate.notifications.audit import Audit


def audit(means: Means) -> Audit | None:
    """Make it; None where nobody wants it."""
    config = means.notifications.audit
    if config is None:
        return None
    from tidegate.notifications.audit import Audit

    return Audit(
        config,
        cluster=means.notifications.cluster,
        moved=lambda namespace, name: means.moved(ReleaseKey(namespace, name)),
        decision=means.decision,
    )
