"""What a person asks for by the request annotation: promote, rollback, rollback-and-hold, pause, resume, retry."""

from __future__ import annotations

from tidegate.engine import transitions as happened
from tidegate.engine.asked import carry_out
from tidegate.engine.decided import by_decision_alone
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import CHANGED, Ruling, Wait, Waiting

LONGEST_REQUEST = 256
"""Characters of a request that the status can hold; the admission policy lets fewer through."""


def request_is_carried_out(draft: Draft) -> Ruling:
    """A person's request, once for each id."""
    request = draft.snap.release.request
    if request is None or draft.deleting or (text := request.text[:LONGEST_REQUEST]) == draft.status.handled_request:
        return None
    if request.verb is Verb.RETRY and draft.undoing:
        return Waiting(Wait.ROLLBACK_FIRST, f"for the rollback to end before {text} is carried out")
    draft.set(handled_request=text)
    refusal = (
        by_decision_alone(draft, request.verb) or carry_out(draft, request.verb, text)
        if request.verb
        else "it must be <verb>/<id>, with promote, rollback, rollback-and-hold, pause, resume or retry as the verb"
    )
    if refusal:
        draft.note(happened.RequestRefused(text, refusal))
    return CHANGED
