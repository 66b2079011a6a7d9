"""Pods of the version in force that do not start: it serves with fewer than it should, and a rollback has nothing else to go to."""

from __future__ import annotations

from datetime import timedelta

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.engine import transitions as happened
from tidegate.engine.draft import Draft

STARTING = timedelta(seconds=60)
"""For so long a pod that was made is starting, whatever it says of itself."""

_CURES = (
    (("configmap", "not found"), "restore it, and do not prune it while a version needs it"),
    (("secret", "not found"), "restore it, and do not prune it while a version needs it"),
    (("is being created",), "`kubectl describe pod` shows what it waits for, such as a pruned ConfigMap of a volume"),
)
"""What helps, by what the words have in them."""


def note_lacking(draft: Draft) -> str:
    """Note in the status why stable lacks pods, with an Event when it begins; return a clause for the message, or nothing."""
    before = draft.status.stable
    if before is None or draft.deleting:
        return ""
    words = _words(draft)
    draft.set(stable=edited(before, trouble=clip(words) or None))
    if not words:
        return ""
    count = f"{before.ready} of {before.replicas} pods of {draft.stable.version} are ready"
    lacking = f"{count}, the others do not start: {words}{_cure(words)}"
    if not before.trouble:
        draft.note(happened.StableLacksPods(lacking))
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
        return ""
    return found.words


def _cure(words: str) -> str:
    lower = words.lower()
    return next((f"; {cure}" for parts, cure in _CURES if all(part in lower for part in parts)), "")
