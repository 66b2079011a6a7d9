"""The barrier Check: what a version has to have passed outside of Tidegate before it starts, or before more weight.

That it has passed is known from attestations; that those who have attested may do so still is asked of the API server at the moment
at which their word is about to count. A check that failed keeps its version where it is, and takes nothing from it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.api.checks import Check
from tidegate.engine.decided import is_entitled, subject_of, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import conditions
from tidegate.engine.waits import Inquiry, Wait, Waiting
from tidegate.governance import checks
from tidegate.governance.decisions import called, person

_RIGHTS = frozenset({Inquiry.RIGHTS})


def check(draft: Draft, entries: Iterable[Check], *, above: int, upto: int) -> Waiting | None:
    """A check was not passed before a weight.

    Args:
        draft: the decision in the making.
        entries: as the policy has them.
        above: the weight that the version has; -1 where it has not started.
        upto: the weight that it is to get.
    """
    asked = checks.ahead(entries, conditions(draft), above=above, upto=upto)
    if not asked:
        return None
    if unread := draft.snap.governance.decisions_unread:
        return Waiting(Wait.CHECK, f"for ReleaseDecisions to be read: {unread}", what=f"attestations could not be read: {unread}")
    wanted = subject_of(draft)
    said = checks.attestations(draft.snap.governance.decisions, wanted) if wanted is not None else {}
    if (lack := checks.lacking(asked, said, draft.now)) is not None:
        return _missing(draft, lack)
    counts = [said[one.name, person(one.attested.role)] for one, _ in asked]
    if unasked(draft, (one.uid for one in counts)):
        return Waiting(
            Wait.RIGHTS, "to ask the API server whether those who have attested its checks still have the right", asks=_RIGHTS
        )
    for (one, _), attested in zip(asked, counts, strict=True):
        if not is_entitled(draft, attested):
            lost = f"; {called(attested.by)} has attested it, and may not as {one.attested.role} any more"
            return _missing(draft, checks.Lacking(one), lost, asks=_RIGHTS)
    return None


def _missing(draft: Draft, lack: checks.Lacking, said: str = "", asks: frozenset[Inquiry] = frozenset()) -> Waiting:
    release, state = draft.snap.release, said or checks.state(lack)
    how = checks.command(lack, release.name, release.namespace)
    demand = checks.demand(lack)
    words = demand + (f": {how}" if how else "") + state
    return Waiting(Wait.CHECK, words, what=demand.removeprefix("for ") + state, how=how, asks=asks)
