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
    verb: str


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
    return (
        "The Deployment was resumed before its template was released, and is paused again; to go on, annotate the Release with "
        f"tidegate.dev/request={it.verb}/<id>"
    )


@words.register
def _(_: PauseUndone) -> str:
    return (
        "The Deployment was paused while no rollout is on (kubectl rollout pause?), and is resumed; pausing it does not "
        "collect changes, since each changed template starts a rollout. To make several changes at once, apply them "
        "together; to stop a rollout where it is, annotate the Release with tidegate.dev/request=pause/<id>"
    )


@words.register
def _(it: HandedBack) -> str:
    cure = "resume it to roll its template out"
    if it.rejected:
        cure = f"set the template of {it.serving} back before you resume it: its own was rolled back ({it.rejected})"
    return f"The Deployment stays paused, since its template is not that of {it.serving}, which serves; {cure}"
