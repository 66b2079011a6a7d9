"""Pods of the version in force that do not start: it serves with fewer than it should, and a rollback has nothing else to go to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.api.names import EventReason
from tidegate.engine.draft import Draft
from tidegate.engine.transitions import Alert, Transition
from tidegate.engine.words import words as words_of

STARTING = timedelta(seconds=60)
"""For so long a pod that was made is starting, whatever it says of itself."""

_CURES = (
    (("configmap", "not found"), "restore it, and do not prune it while a version needs it"),
    (("secret", "not found"), "restore it, and do not prune it while a version needs it"),
    (("is being created",), "`kubectl describe pod` shows what it waits for, such as a pruned ConfigMap of a volume"),
)
"""What helps, by what the words have in them."""


@dataclass(frozen=True)
class StableLacksPods(Alert):
    """Pods of the version in force do not start."""

    id = "stable-lacks-pods"
    reason = EventReason.STABLE_LACKS_PODS
    message: str


@dataclass(frozen=True)
class StableRecovered(Transition):
    """No pod of the version in force fails to start any more."""

    id = "stable-recovered"
    reason = EventReason.STABLE_RECOVERED
    version: str
    ready: int
    replicas: int


@words_of.register
def _(it: StableLacksPods) -> str:
    return it.message


@words_of.register
def _(it: StableRecovered) -> str:
    return f"{it.ready} of {it.replicas} pods of {it.version} are ready, and none fails to start any more"


def note_lacking(draft: Draft) -> str:
    """Note in the status why stable lacks pods, with Events when it begins and ends; return a clause for the message."""
    before = draft.status.stable
    if before is None or draft.deleting:
        return ""
    words = _words(draft)
    draft.set(stable=edited(before, trouble=clip(words) or None))
    if not words:
        # Of the version that was in force when this decision began: another one in its place has ended it as well.
        known = draft.snap.status.stable
        if known is not None and known.trouble:
            draft.note(StableRecovered(draft.stable.version, before.ready, before.replicas))
        return ""
    count = f"{before.ready} of {before.replicas} pods of {draft.stable.version} are ready"
    lacking = f"{count}, the others do not start: {words}{_cure(words)}"
    if not before.trouble:
        draft.note(StableLacksPods(lacking))
    return f"; {lacking}"


def _words(draft: Draft) -> str:
    stable, found = draft.status.stable, draft.workload.stable_trouble if draft.workload is not None else None
    assert stable is not None
    if stable.ready >= stable.replicas:
        return ""
    if found is None:
        # What a process before this one has read is true until the pods are read again.
        return stable.trouble or ""
    if found.words and found.made is not None and draft.now < found.made + STARTING:
        draft.wake(found.made + STARTING)
        # The next one that was made in its place gets its minute, and is no sign that it is over.
        return stable.trouble or ""
    return found.words


def _cure(words: str) -> str:
    lower = words.lower()
    return next((f"; {cure}" for parts, cure in _CURES if all(part in lower for part in parts)), "")
