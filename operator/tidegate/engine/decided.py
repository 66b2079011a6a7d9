"""Questions about ReleaseDecisions that several ask: which count, which are too late, whose right is known. They change nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import Verb
from tidegate.governance import commands
from tidegate.governance.decisions import CAREFUL, COMMANDS, DecisionView, called, in_order, stranger
from tidegate.governance.votes import Ballot, Subject, ballot

_GIVES = frozenset({Verb.PROMOTE, Verb.RESUME, Verb.RETRY})
"""What gives a version traffic, or may."""
PAST = DecisionOutcome.EXPIRED, "many commands were carried out since it was made: decide again"
"""What is told of a command of a time that is over."""


def pending(draft: Draft) -> list[DecisionView]:
    """Return the commands that were not dealt with, in the order in which they are carried out."""
    done = {one.uid for one in draft.status.carried_out}
    found = in_order(draft.snap.governance.decisions)
    return [one for one in found if one.outcome is None and one.uid not in done and not is_past(draft, one)]


def switches_pending(draft: Draft) -> list[DecisionView]:
    """Return the decisions on switches that were not dealt with, in the order in which they were made."""
    done = {one.uid for one in draft.status.carried_out}
    every = draft.snap.governance.decisions
    found = [one for one in every if one.action is Action.SWITCH and one.outcome is None and one.uid not in done]
    return sorted(found, key=lambda one: one.at)


def is_past(draft: Draft, one: DecisionView) -> bool:
    """Whether a command is of a time that is over: whatever is not in the status was dealt with, or was let go of.

    Times have whole seconds. What takes traffic away may be seen after others of its second are over, and is not over with them.
    """
    until = draft.status.carried_until
    if until is None or one.action not in COMMANDS:
        return False
    return one.created < until or (one.created == until and one.action not in CAREFUL)


def untold(draft: Draft) -> set[str]:
    """Return the uids of commands that were dealt with and whose decisions do not say so yet."""
    unsaid = draft.snap.governance.unsaid
    return {one.uid for one in draft.status.carried_out if one.uid in unsaid}


def too_late(draft: Draft, one: DecisionView) -> tuple[DecisionOutcome, str] | None:
    """Return why a decision does not count at all: it is for another Release, or its time is over; None where it may."""
    release = draft.snap.release
    if why := stranger(one, release.uid, release.created):
        return DecisionOutcome.REFUSED, why
    if one.expired(draft.now):
        over = "was over before it was carried out" if one.action in COMMANDS else "is over"
        return DecisionOutcome.EXPIRED, f"its time (spec.expires) {over}"
    return PAST if is_past(draft, one) else None


def text_of(one: DecisionView) -> str:
    """Return a command for people: what, and by whom."""
    return f"{one.action.value.lower()} by {called(one.by)}"


def about_candidate(draft: Draft, one: DecisionView) -> bool:
    """Whether a decision is about the version that is rolled out; only to be asked while a rollout is on."""
    candidate = draft.status.candidate
    assert candidate is not None
    if one.digest:
        return one.digest == candidate.digest or (draft.wants(candidate.revision) and about_wanted(draft, one))
    return one.revision == candidate.revision or (draft.wants(candidate.revision) and about_wanted(draft, one))


def about_wanted(draft: Draft, one: DecisionView) -> bool:
    """Whether a decision is about the version of the workload's template."""
    return (subject := subject_of(draft)) is not None and subject.is_of(one)


def subject_of(draft: Draft) -> Subject | None:
    """Return what people vote on: the version of the workload's template; None where there is none."""
    if draft.workload is None:
        return None
    template, release = draft.workload.template, draft.snap.release
    return Subject(
        digest=template.digest,
        revisions=frozenset({template.revision, template.new_revision, *template.duplicates} - {""}),
        authors=template.authors,
        release_uid=release.uid,
        release_created=release.created,
    )


def ballot_of(draft: Draft) -> Ballot:
    """Return who has voted for the version of the workload's template."""
    subject = subject_of(draft)
    return ballot(draft.snap.governance.decisions, subject, draft.now) if subject is not None else Ballot()


def unasked(draft: Draft, uids: Iterable[str]) -> bool:
    """Whether it is not known of each of these decisions if whoever has made it may do so still."""
    known = draft.snap.governance.entitled
    return known is None or not known.keys() >= set(uids)


def is_entitled(draft: Draft, one: DecisionView) -> bool:
    """Whether the API server has said that whoever has made a decision may do so still."""
    return bool((draft.snap.governance.entitled or {}).get(one.uid))


def entitled(draft: Draft, said: Ballot) -> Ballot:
    """Return a ballot without the votes of those who may not vote so any more; they are told of."""
    known = draft.snap.governance.entitled or {}
    lost = [vote for vote in said.votes if not known.get(vote.uid)]
    words = (f"{called(vote.by)} may not approve as {vote.role} any more" for vote in lost)
    kept = tuple(vote for vote in said.votes if known.get(vote.uid))
    return replace(said, votes=kept, own=tuple(dict.fromkeys((*said.own, *words))))


def takes_decision(draft: Draft, verb: Verb) -> bool:
    """Whether an annotation is not enough for what a person asks for."""
    return draft.snap.governance.by_decision and verb in _GIVES


def by_decision_alone(draft: Draft, verb: Verb) -> str:
    """Return why an annotation is not enough for what a person asks for, in words; empty where it is."""
    if not takes_decision(draft, verb):
        return ""
    release = draft.snap.release
    return f"here it takes a ReleaseDecision: {commands.on_release(verb.value, release.name, release.namespace)}"
