"""The barrier Approval: votes that a version lacks before it starts, or before more weight.

That they are all there is known from what people have decided; that those who have voted may do so still is asked of the API server
at the moment at which their votes are about to count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tidegate.api.approvals import Approval
from tidegate.engine.decided import ballot_of, entitled, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import conditions
from tidegate.engine.waits import Inquiry, Wait, Waiting
from tidegate.governance import approvals
from tidegate.governance.votes import Ballot

_RIGHTS = frozenset({Inquiry.RIGHTS})


def approval(draft: Draft, entries: Iterable[Approval], *, above: int, upto: int) -> Waiting | None:
    """Votes are missing before a weight.

    Args:
        draft: the decision in the making.
        entries: as the policy has them.
        above: the weight that the version has; -1 where it has not started.
        upto: the weight that it is to get.
    """
    ahead = [point for point in approvals.points(entries, conditions(draft)) if above < point.weight <= upto]
    if not ahead:
        return None
    if unread := draft.snap.governance.decisions_unread:
        return Waiting(Wait.APPROVAL, f"for ReleaseDecisions to be read: {unread}", what=f"votes could not be read: {unread}")
    said = ballot_of(draft)
    if (lack := approvals.missing(ahead, said, draft.now)) is not None:
        return _missing(draft, lack, said)
    # All votes are there; so it is asked at this moment whether those who cast them may do so still.
    if unasked(draft, (vote.uid for vote in said.votes)):
        return Waiting(Wait.RIGHTS, "to ask the API server whether those who have approved it still have the right", asks=_RIGHTS)
    said = entitled(draft, said)
    lack = approvals.missing(ahead, said, draft.now)
    return replace(_missing(draft, lack, said), asks=_RIGHTS) if lack is not None else None


def _missing(draft: Draft, lack: approvals.Missing, said: Ballot) -> Waiting:
    release, state = draft.snap.release, approvals.state(lack, said)
    how = approvals.command(lack, release.name, release.namespace)
    demand = approvals.demand(lack)
    words = demand + (f": {how}" if how else "") + state
    return Waiting(Wait.APPROVAL, words, what=demand.removeprefix("for ") + state, how=how, wakes=lack.tally.until)
