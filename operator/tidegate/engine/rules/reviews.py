"""The rule for reviews of hotfixes: one that was given ends what is due. Nothing waits for a review."""

from __future__ import annotations

from tidegate.api.decision import DecisionOutcome
from tidegate.engine.carrying import has_room, note_carried
from tidegate.engine.decided import is_entitled, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.reviews import Reviewed
from tidegate.engine.waits import CHANGED, Inquiry, Ruling, Wait, Waiting
from tidegate.governance.decisions import called
from tidegate.governance.hotfix import reviewed


def reviews_are_noted(draft: Draft) -> Ruling:
    """Somebody other than who overrode or changed it has attested the check review of a hotfix, and may do so still.

    The decision stands in the status from the very write on that ends what is due: it is told what became of it later.
    """
    waiting: Ruling = None
    for one in draft.status.reviews:
        release = draft.snap.release
        found = reviewed(one, draft.snap.governance.decisions, release.uid, release.created, draft.now)
        if not found or not has_room(draft):
            continue
        if unasked(draft, [other.uid for other in found]):
            words = f"to ask the API server whether {called(found[0].by)} still has the right before the review by them counts"
            waiting = Waiting(Wait.RIGHTS, words, asks=frozenset({Inquiry.RIGHTS}))
            continue
        if (review := next((other for other in found if is_entitled(draft, other)), None)) is None:
            continue
        result = review.result.value if review.result is not None else "done"
        draft.set(reviews=tuple(other for other in draft.status.reviews if other is not one))
        if review.uid not in {done.uid for done in draft.status.carried_out}:
            # Of a hotfix that was tried again it may have counted before.
            note_carried(draft, review, DecisionOutcome.COUNTED, f"the review of hotfix {one.version}: {result}")
        draft.note(Reviewed(one.version, called(review.by), result))
        return CHANGED
    return waiting
