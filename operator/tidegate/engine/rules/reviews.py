"""The rule for reviews of hotfixes: one that was given ends what is due. Nothing waits for a review."""

from __future__ import annotations

from tidegate.engine.draft import Draft
from tidegate.engine.reviews import Reviewed
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance.decisions import called
from tidegate.governance.hotfix import reviewed


def reviews_are_noted(draft: Draft) -> Ruling:
    """Somebody other than who overrode or changed it has attested the check review of a hotfix."""
    for one in draft.status.reviews:
        if (review := reviewed(one, draft.snap.governance.decisions, draft.snap.release.uid)) is None:
            continue
        draft.set(reviews=tuple(other for other in draft.status.reviews if other is not one))
        draft.note(Reviewed(one.version, called(review.by), review.result.value if review.result is not None else "done"))
        return CHANGED
    return None
