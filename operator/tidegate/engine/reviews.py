"""What can happen to hotfixes and their reviews, as facts with their words: that one went past a barrier is told at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tidegate.api.hotfix import Skip
from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert, Transition
from tidegate.engine.words import words
from tidegate.governance.times import moment


@dataclass(frozen=True)
class Overridden(Alert):
    """A hotfix starts by somebody's word."""

    id = "overridden"
    reason = EventReason.OVERRIDDEN
    version: str
    by: str
    why: str
    skipped: tuple[Skip, ...]
    due: datetime


@dataclass(frozen=True)
class Reviewed(Transition):
    """Somebody has reviewed a hotfix."""

    id = "reviewed"
    reason = EventReason.REVIEWED
    version: str
    by: str
    result: str


@dataclass(frozen=True)
class ReviewOverdue(Alert):
    """Nobody has reviewed a hotfix in time."""

    id = "review-overdue"
    reason = EventReason.REVIEW_OVERDUE
    message: str


@words.register
def _(it: Overridden) -> str:
    skipped = f"without {' and '.join(it.skipped)}" if it.skipped else "by the policy's hotfix"
    why = f": {it.why}" if it.why else ""
    return f"{it.version} starts as a hotfix {skipped}, overridden by {it.by}{why}; to be reviewed by {moment(it.due)}"


@words.register
def _(it: Reviewed) -> str:
    return f"Hotfix {it.version} was reviewed by {it.by}: {it.result}"


@words.register
def _(it: ReviewOverdue) -> str:
    return it.message
