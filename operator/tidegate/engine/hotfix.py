"""Hotfixes: whether somebody has overridden for the wanted version, what then does not count, and which reviews are to come."""

from __future__ import annotations

from tidegate.api.base import clip
from tidegate.api.hotfix import MOST_REVIEWS, Hotfix, HotfixStatus, ReviewStatus, Skip
from tidegate.api.release import ReleaseType
from tidegate.engine.decided import is_entitled, subject_of, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import policy_to_come, wanted_type
from tidegate.engine.waits import Inquiry, Wait, Waiting
from tidegate.governance.decisions import DecisionView, called
from tidegate.governance.hotfix import overrides


def _fields(draft: Draft) -> Hotfix | None:
    """Return what the policy says of hotfixes, where the wanted version is declared to be one and there is room for its review."""
    if wanted_type(draft) is not ReleaseType.HOTFIX or len(draft.status.reviews) >= MOST_REVIEWS:
        return None
    return policy_to_come(draft).spec.hotfix


def _overrides(draft: Draft) -> list[DecisionView]:
    subject = subject_of(draft)
    found = overrides(draft.snap.governance.decisions, subject) if subject is not None else []
    for one in found:
        if one.expires is not None:
            draft.wake(one.expires)
    return [one for one in found if not one.expired(draft.now)]


def rights(draft: Draft) -> Waiting | None:
    """Return that it is not known if who has overridden may do so still; None where it is, or where it is of no concern."""
    if _fields(draft) is None or not (found := _overrides(draft)):
        return None
    # It is to be known in the pass in which the rollout starts, whatever else that waits for.
    draft.inquiries.add(Inquiry.RIGHTS)
    if not unasked(draft, [one.uid for one in found]):
        return None
    words = f"to ask the API server whether {called(found[0].by)} still has the right before override by them counts"
    return Waiting(Wait.RIGHTS, words, asks=frozenset({Inquiry.RIGHTS}))


def granted(draft: Draft) -> HotfixStatus | None:
    """Return by whose word the wanted version is a hotfix if its rollout begins now; None where it is none."""
    fields = _fields(draft)
    one = next((one for one in _overrides(draft) if is_entitled(draft, one)), None) if fields is not None else None
    if fields is None or one is None:
        return None
    return HotfixStatus(by=called(one.by), decision=one.name, reason=clip(one.reason), skipped=tuple(sorted(fields.skip)))


def opened(draft: Draft, skip: Skip, closed: Waiting | None) -> Waiting | None:
    """Return what a closed barrier is waited for; None where a hotfix skips it.

    Args:
        draft: the decision in the making.
        skip: the barrier.
        closed: what it says.
    """
    if closed is None:
        return None
    found = draft.rollout.hotfix if draft.active else granted(draft)
    return None if found is not None and skip in found.skipped else closed


def to_review(draft: Draft, found: HotfixStatus) -> tuple[ReviewStatus, ...]:
    """Return the reviews that are to come once a hotfix has started; the wanted version is it."""
    template, spec = draft.workload.template if draft.workload is not None else None, policy_to_come(draft).spec
    assert template is not None
    assert spec.hotfix is not None
    before = next((one for one in draft.status.reviews if one.digest == template.digest), None)
    new = ReviewStatus(
        digest=template.digest,
        version=template.version,
        revision=template.revision,
        by=found.by,
        authors=tuple(called(one.name) for one in template.authors[:4]),
        skipped=found.skipped,
        # Where it is tried again, the first start is what its review is due for.
        since=draft.now if before is None else before.since,
        due=draft.now + spec.hotfix.review if before is None else before.due,
    )
    return (*(one for one in draft.status.reviews if one is not before), new)
