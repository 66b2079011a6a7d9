"""The rule for reviews of hotfixes: one that was given ends what is due. Nothing waits for a review."""

from __future__ import annotations

from tidegate.api.decision import DecisionOutcome
from tidegate.engine.carrying import has_room, note_carried
from tidegate.engine.draft import Draft
from tidegate.engine.reviews import Reviewed
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance.decisions import called
from tidegate.governance.hotfix import reviewed


def reviews_are_noted(draft: Draft) -> Ruling:
    """Somebody other than who overrode or changed it has attested the check review of a hotfix.

    The decision stands in the status from the very write on that ends what is due: it is told what became of it later.
    """
    for one in draft.status.reviews:
        release = draft.snap.release
        review = reviewed(one, draft.snap.governance.decisions, release.uid, release.created, draft.now)
        if review is None or not has_room(draft):
            continue
        result = review.result.value if review.result is not None else "done"
        draft.set(reviews=tuple(other for other in draft.status.reviews if other is not one))
        if review.uid not in {done.uid for done in draft.status.carried_out}:
            # Of a hotfix that was tried again it may have counted before.
            note_carried(draft, review, DecisionOutcome.COUNTED, f"the review of hotfix {one.version}: {result}")
        draft.note(Reviewed(one.version, called(review.by), result))
        return CHANGED
    return None
