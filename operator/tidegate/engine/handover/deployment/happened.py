"""What can happen to Deployments alone, as facts with their words: spec.paused is a person's to change as well."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert, Transition
from tidegate.engine.words import words


@dataclass(frozen=True)
class HeldAgain(Transition):
    """The Deployment was resumed before its template was released, and is paused again."""

    id = "held-again"
    reason = EventReason.HELD
    cure: str


@dataclass(frozen=True)
class PauseUndone(Alert):
    """The Deployment was paused by somebody while no rollout is on, and is resumed."""

    id = "pause-undone"
    reason = EventReason.PAUSE_UNDONE


@dataclass(frozen=True)
class HandedBack(Alert):
    """The Deployment is left paused as the Release goes."""

    id = "handed-back"
    reason = EventReason.HANDED_BACK
    serving: str
    rejected: str


@words.register
def _(it: HeldAgain) -> str:
    return f"The Deployment was resumed before its template was released, and is paused again; {it.cure}"


@words.register
def _(_: PauseUndone) -> str:
    return (
        "The Deployment was paused outside a rollout (kubectl rollout pause?) and has been resumed; a pause does not "
        "collect changes, as each changed template starts a rollout. To make several changes at once, apply them "
        "together; to stop a rollout where it is, annotate the Release with tidegate.dev/request=pause/<id>"
    )


@words.register
def _(it: HandedBack) -> str:
    cure = "to roll that one out, resume the Deployment"
    if it.rejected:
        cure = f"restore the template of {it.serving} before you resume it: the present one was rolled back ({it.rejected})"
    return f"The Deployment stays paused: {it.serving} serves, and the template is another one; {cure}"
