"""Which Releases a change brings into the queue, and into which lane: what was decided goes before what came with a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tidegate.cluster.resources import RELEASE_DECISIONS
from tidegate.controller.observe.members import lane_of_mates, told_to_mates
from tidegate.controller.observe.references import References, ReleaseKey
from tidegate.controller.observe.upstreams import told_apart
from tidegate.runtime.queue import Lane
from tidegate.runtime.store import Change, Object


def lane_of(change: Change) -> Lane:
    """Return the lane for the Releases that a change is about."""
    if change.listed:
        return Lane.LOW
    return Lane.DECIDED if change.key.kind == RELEASE_DECISIONS.kind else Lane.NORMAL


def woken(change: Change, references: References, *, echo: bool) -> Iterator[tuple[Iterable[ReleaseKey], Lane]]:
    """Yield the Releases that a change of one concerns, with their lanes.

    Args:
        change: of a Release.
        references: what Releases name; the change is known to it.
        echo: the change is nothing but the answer to what was written here. Or each failure that is told in the status would bring
            the Release back at once.
    """
    key, lane = ReleaseKey(change.key.namespace, change.key.name), lane_of(change)
    if (mates := references.mates(change)) and told_to_mates(change):
        yield mates, lane_of_mates(change, lane)
    keys = references.dependents(change) if told_apart(change) else set()
    yield keys if echo else keys | {key, *references.rivals(key, change)}, lane


def lane_at_start(release: Object | None) -> Lane:
    """Return the lane of a Release that nobody has looked at for a while: those that are rolled out go first."""
    status = (release or {}).get("status") or {}
    return Lane.NORMAL if status.get("rollout") else Lane.LOW
