"""Who has overridden for a hotfix, and who has reviewed it: somebody else than its author, each time, by their own name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tidegate.api.checks import REVIEW
from tidegate.api.decision import Action
from tidegate.api.hotfix import HotfixStatus, ReviewStatus
from tidegate.api.policy import RolloutPolicySpec
from tidegate.governance.decisions import OVER, DecisionView, called, person, stranger
from tidegate.governance.votes import Subject, rejected


def overrides(decisions: Iterable[DecisionView], subject: Subject) -> list[DecisionView]:
    """Return the Overrides for exactly this content that are by people other than its authors, in their order.

    An Override is for the content of a pod template, as a vote is; a later Reject by the same person withdraws it. One that has
    expired is among them: who asks has the time.
    """
    about = [one for one in decisions if not stranger(one, subject.release_uid, subject.release_created)]
    rejects: dict[str, datetime] = {}
    for (who, _), time in rejected(one for one in about if one.action is Action.REJECT and subject.is_of(one)).items():
        rejects[who] = max(time, rejects.get(who, time))
    found = [one for one in about if one.action is Action.OVERRIDE and subject.digest and one.digest == subject.digest]
    return sorted(
        (
            one
            for one in found
            if not barred(one, subject)
            if one.outcome not in OVER
            if (last := rejects.get(one.who)) is None or last < one.created
        ),
        key=lambda one: one.at,
    )


def barred(one: DecisionView, subject: Subject) -> str:
    """Return why an Override for a content never counts, in words; empty where it may."""
    if not _is_a_person(one):
        return f"{called(one.by)} is no person: only people override"
    if one.who in subject.people:
        return f"{called(one.by)} has made the change: somebody else has to override"
    return ""


def no_reviewer(one: DecisionView, review: ReviewStatus) -> str:
    """Return why an attestation is not the review of a hotfix, in words; empty where it is."""
    who = called(one.by)
    if not _is_a_person(one):
        return f"{who} is no person: only people review"
    if person(who) == person(review.by):
        return f"{who} has overridden it: somebody else has to review it"
    if person(who) in {person(name) for name in review.authors}:
        return f"{who} has made the change: somebody else has to review it"
    return ""


def reviewed(
    review: ReviewStatus, decisions: Iterable[DecisionView], release_uid: str, release_created: datetime | None, now: datetime
) -> list[DecisionView]:
    """Return the attestations by which a hotfix was reviewed, by people who neither overrode nor changed it, in their order.

    When the hotfix started is none of its terms: that is a time of the operator's clock, and an attestation has the API server's.
    One whose own time is over, or which was told that it does not count, is none.
    """
    found = (
        one
        for one in decisions
        if one.action is Action.ATTEST and one.check == REVIEW and one.digest == review.digest
        if not no_reviewer(one, review)
        if not one.expired(now) and one.outcome not in OVER
        if not stranger(one, release_uid, release_created)
    )
    return sorted(found, key=lambda one: one.at)


def shortened(spec: RolloutPolicySpec, hotfix: HotfixStatus | None) -> RolloutPolicySpec:
    """Return the policy of a rollout; of a hotfix, holds and bake are shorter, and what gates need stays."""
    if spec.hotfix is None or hotfix is None:
        return spec
    share = spec.hotfix.share
    steps = tuple(step.model_copy(update={"hold": step.hold * share}) for step in spec.steps)
    return spec.model_copy(update={"steps": steps, "bake": spec.bake * share})


def _is_a_person(one: DecisionView) -> bool:
    """Whether an account is no ServiceAccount: whoever edits its namespace can act as it."""
    return bool(one.who) and not one.by.startswith("system:")
