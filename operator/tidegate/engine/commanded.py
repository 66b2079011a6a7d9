"""What can happen to what people have decided by ReleaseDecisions, as facts with their words."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert
from tidegate.engine.words import words


@dataclass(frozen=True)
class KeptOut(Alert):
    """A person has rejected a version whose rollout has not started."""

    id = "kept-out"
    reason = EventReason.REJECTED
    version: str
    message: str


@dataclass(frozen=True)
class DecisionRefused(Alert):
    """A command by a ReleaseDecision was not carried out."""

    id = "decision-refused"
    reason = EventReason.DECISION_REFUSED
    what: str
    why: str


@words.register
def _(it: KeptOut) -> str:
    return f"{it.version} will not be rolled out: {it.message}"


@words.register
def _(it: DecisionRefused) -> str:
    return f"{it.what} was not carried out: {it.why}"
