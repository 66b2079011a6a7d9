"""What can happen to the checks of a version, as facts with their words."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert, Transition
from tidegate.engine.words import words


@dataclass(frozen=True)
class CheckPassed(Transition):
    """A Job, or whoever was called, has found nothing against a version."""

    id = "check-passed"
    reason = EventReason.CHECK_PASSED
    version: str
    check: str
    by: str


@dataclass(frozen=True)
class CheckFailed(Alert):
    """A version has failed a check, and what becomes of it."""

    id = "check-failed"
    reason = EventReason.CHECK_FAILED
    version: str
    check: str
    message: str
    then: str


@words.register
def _(it: CheckPassed) -> str:
    return f"{it.version} passed check {it.check} ({it.by})"


@words.register
def _(it: CheckFailed) -> str:
    return f"{it.version} failed check {it.check}, {it.then}: {it.message}"
