"""How much each kind of transition matters to whoever is told: one word for each id, beside the facts and not in the status."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Severity(StrEnum):
    """How soon somebody should look, least first."""

    INFO = "info"
    """It goes on as planned."""
    NOTICE = "notice"
    """A rollout starts, waits or ends, or a person has directed it."""
    WARNING = "warning"
    """Somebody should look, today."""
    CRITICAL = "critical"
    """Traffic was taken from a version, or somebody is needed now."""


SEVERITIES: Mapping[str, Severity] = {
    "adopted": Severity.INFO,
    "restarted": Severity.INFO,
    "bypassed": Severity.WARNING,
    "blocked": Severity.WARNING,
    "stable-lacks-pods": Severity.CRITICAL,
    "stable-recovered": Severity.NOTICE,
    "scaled": Severity.INFO,
    "rollout-started": Severity.NOTICE,
    "weight-raised": Severity.INFO,
    "weight-lowered": Severity.WARNING,
    "baking": Severity.INFO,
    "promoting": Severity.INFO,
    "route-corrected": Severity.WARNING,
    "steps-restarted": Severity.WARNING,
    "deadline-passed": Severity.WARNING,
    "gate-undecided": Severity.WARNING,
    "sources-disagree": Severity.WARNING,
    "breach-told": Severity.WARNING,
    "breach-pauses": Severity.CRITICAL,
    "breach-rolls-back": Severity.CRITICAL,
    "score-warns": Severity.WARNING,
    "request-refused": Severity.WARNING,
    "transitions-dropped": Severity.WARNING,
    "notification-dropped": Severity.WARNING,
    "paused": Severity.NOTICE,
    "resumed": Severity.NOTICE,
    "promotion-requested": Severity.NOTICE,
    "waits": Severity.NOTICE,
    "next-held": Severity.NOTICE,
    "next-released": Severity.NOTICE,
    "retried": Severity.NOTICE,
    "rolling-back": Severity.CRITICAL,
    "ended": Severity.WARNING,
    "held-again": Severity.NOTICE,
    "pause-undone": Severity.WARNING,
    "handed-back": Severity.WARNING,
    "kept-out": Severity.WARNING,
    "decision-refused": Severity.WARNING,
    "overridden": Severity.WARNING,
    "check-passed": Severity.INFO,
    "check-failed": Severity.WARNING,
    "migration-started": Severity.INFO,
    "migration-done": Severity.INFO,
    "migration-failed": Severity.WARNING,
    "reverse-failed": Severity.CRITICAL,
    "return-held": Severity.CRITICAL,
    "flag-set": Severity.INFO,
    "flag-put-back": Severity.NOTICE,
    "flag-not-set": Severity.WARNING,
    "switched": Severity.CRITICAL,
    "reviewed": Severity.NOTICE,
    "review-overdue": Severity.WARNING,
    "followed": Severity.NOTICE,
    "following-held": Severity.NOTICE,
    "following-resumed": Severity.NOTICE,
}
"""Of each kind, by its id. One rollback has one that is critical, so that it pages once: `ended` comes after it."""


def severity_of(event: str, type_: str) -> Severity:
    """Return how much a transition matters.

    Args:
        event: its id; one that is not known, as after an older operator came back, counts by its type.
        type_: type of its Event: what nobody need look at is a notice at most, as the end of a rollout that is promoted.
    """
    warns = type_ == "Warning"
    known = SEVERITIES.get(event, Severity.WARNING if warns else Severity.NOTICE)
    return Severity.NOTICE if not warns and known in {Severity.WARNING, Severity.CRITICAL} else known
