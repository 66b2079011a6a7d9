"""Which lane of the queue a change brings its Releases into: what somebody has just decided goes before what came with a list."""

from __future__ import annotations

from tidegate.cluster.resources import RELEASE_DECISIONS
from tidegate.runtime.queue import Lane
from tidegate.runtime.store import Change, Object


def lane_of(change: Change) -> Lane:
    """Return the lane for the Releases that a change is about."""
    if change.listed:
        return Lane.LOW
    return Lane.DECIDED if change.key.kind == RELEASE_DECISIONS.kind else Lane.NORMAL


def lane_at_start(release: Object | None) -> Lane:
    """Return the lane of a Release that nobody has looked at for a while: those that are rolled out go first."""
    status = (release or {}).get("status") or {}
    return Lane.NORMAL if status.get("rollout") else Lane.LOW
