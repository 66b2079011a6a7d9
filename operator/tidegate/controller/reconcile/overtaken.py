"""Whether what another process has stored is further than what was decided here and could not be stored: pure."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum

from tidegate.api.status import ReleaseStatus

_NEVER = datetime.min.replace(tzinfo=UTC)


class _Stage(IntEnum):
    ON = 0
    UNDONE = 1
    OVER = 2


def overtaken(ours: ReleaseStatus, theirs: ReleaseStatus) -> bool:
    """Return whether what another process has stored counts, and not what was decided here.

    Whoever was killed, or has lost its Lease, may have sent a status that arrives later: the process after it had read an older
    one, and is refused. What that has decided counts all the same, as it may be a verdict, unless the other one has come further:
    has shut a rollout that goes on here, has ended it, or has rejected a version that is not rejected here. All but verdicts and
    ends is decided on again from what is there.

    Args:
        ours: what was decided here and could not be stored.
        theirs: what another process has stored.
    """
    mine, other = _progress(ours), _progress(theirs)
    if mine != other:
        return mine < other
    if _rejected(theirs) > _rejected(ours):
        return True
    # The end is the same: it was when it was stored first.
    one, same = ours.last_rollout, theirs.last_rollout
    if mine[1] is not _Stage.OVER or one is None or same is None:
        return False
    return (one.revision, one.outcome) == (same.revision, same.outcome) and one.finished_at != same.finished_at


def _progress(status: ReleaseStatus) -> tuple[datetime, _Stage]:
    """Return which rollout is on, or was last, by its start, and how far it is."""
    if status.rollout is not None:
        return status.rollout.started_at, _Stage.ON if status.rollout.undo is None else _Stage.UNDONE
    return (status.last_rollout.started_at, _Stage.OVER) if status.last_rollout is not None else (_NEVER, _Stage.OVER)


def _rejected(status: ReleaseStatus) -> frozenset[str]:
    return frozenset(one.revision for one in status.rejected)
