"""What has become of ReleaseDecisions, for those who have made them. Nothing here changes what is decided.

Each comes to an end of its own some day: what was carried out at once, what counts for a version when that is gone for long. So the
operator keeps no more of them than can still be of concern.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.checks import REVIEW
from tidegate.api.decided import CarriedStatus
from tidegate.api.decision import Action, DecisionOutcome
from tidegate.engine.decided import PAST, ballot_of, is_past, subject_of, too_late
from tidegate.engine.draft import Draft
from tidegate.engine.plan import Settled
from tidegate.governance import checks
from tidegate.governance.decisions import COMMANDS, DecisionView, called, person
from tidegate.governance.hotfix import barred, no_reviewer
from tidegate.governance.votes import WITHDRAWN, Ballot, Subject

LAPSES = timedelta(days=30)
"""So long after it was made a decision counts for a version that is not wanted: it may come back, as by a revert."""
_GONE = "its version is neither wanted nor rolled out, and it was made more than 30 days ago: decide again"
_Became = tuple[DecisionOutcome, str]


@dataclass(frozen=True)
class _Known:
    """What is asked about each of them, found once.

    Attributes:
        done: decisions that the status says were dealt with.
        said: who has voted for the wanted version.
        counted: uids of the votes that count.
        attested: what was attested last of the wanted version, by check and role.
        subject: the wanted version; None where there is no workload.
        digests: of all content that is of concern.
        revisions: likewise.
        others: digests and revisions that a decision is about which a Reject may withdraw.
    """

    done: dict[str, CarriedStatus]
    said: Ballot
    counted: frozenset[str]
    attested: dict[tuple[str, str], DecisionView]
    subject: Subject | None
    digests: frozenset[str]
    revisions: frozenset[str]
    others: frozenset[str]


def outcomes(draft: Draft) -> Iterator[Settled]:
    """Yield what has become of the decisions that do not say so yet, by the status as it is to be stored."""
    live = [one for one in draft.snap.governance.decisions if _may_change(one)]
    if not live:
        return
    known = _known(draft)
    for one in sorted(live, key=lambda one: one.at):
        became = _became(draft, one, known)
        if became is not None and became[0] is not one.outcome:
            yield Settled(one.name, one.uid, *became, before=one.outcome)


def _may_change(one: DecisionView) -> bool:
    """Whether something else may become of a decision than it says."""
    if one.action is Action.REJECT:
        return one.outcome is not DecisionOutcome.SUPERSEDED
    return one.outcome in (None, DecisionOutcome.COUNTED)


def _known(draft: Draft) -> _Known:
    subject, candidate = subject_of(draft), draft.status.candidate
    digests = {one.digest for one in draft.status.reviews} | ({candidate.digest or ""} if candidate is not None else set())
    revisions = {candidate.revision} if candidate is not None else set()
    if subject is not None:
        digests, revisions = digests | {subject.digest}, revisions | subject.revisions
    others = (one for one in draft.snap.governance.decisions if one.action is not Action.REJECT and _may_change(one))
    said = ballot_of(draft)
    return _Known(
        done={one.uid: one for one in draft.status.carried_out},
        said=said,
        counted=frozenset(vote.uid for vote in said.votes),
        attested=checks.attestations(draft.snap.governance.decisions, subject) if subject is not None else {},
        subject=subject,
        digests=frozenset(digests),
        revisions=frozenset(revisions),
        others=frozenset(about for one in others for about in (one.digest, one.revision) if about),
    )


def _became(draft: Draft, one: DecisionView, known: _Known) -> _Became | None:
    """Return what has become of a decision; None where nothing new has."""
    if one.outcome is None and (entry := known.done.get(one.uid)) is not None:
        return entry.outcome, entry.message
    if one.outcome is None and is_past(draft, one):
        return PAST
    if one.action is Action.REJECT:
        return _let_go(draft, one, known)
    if one.action in COMMANDS or one.action is Action.SWITCH:
        return None
    if draft.active and (hotfix := draft.rollout.hotfix) is not None and hotfix.decision == one.name:
        return DecisionOutcome.COUNTED, f"{draft.candidate.version} is rolled out as a hotfix by it"
    if (late := too_late(draft, one)) is not None:
        return late
    if one.action is Action.ATTEST and one.check != REVIEW:
        return _attested(draft, one, known) or _lapsed(draft, one, known)
    # That it once counted is not denied, whoever is its author by now and whoever has withdrawn it.
    return (_first(draft, one, known) if one.outcome is None else None) or _lapsed(draft, one, known)


def _first(draft: Draft, one: DecisionView, known: _Known) -> _Became | None:
    """Return what becomes of a decision of which nothing was said yet."""
    if never := _never(draft, one, known.subject):
        return DecisionOutcome.REFUSED, never
    if draft.workload is not None and one.uid in known.counted:
        words = f"a vote by role {one.role} for {draft.workload.template.version}, wherever the policy needs one of that role"
        return DecisionOutcome.COUNTED, words
    if one.action is Action.APPROVE and (why := known.said.uncounted.get(one.uid)):
        return DecisionOutcome.SUPERSEDED if why == WITHDRAWN else DecisionOutcome.REFUSED, why
    return None


def _attested(draft: Draft, one: DecisionView, known: _Known) -> _Became | None:
    """Return what becomes of the attestation of a check; None where nothing new has, or where the policy is not known."""
    if draft.snap.policy is None or draft.workload is None:
        return None
    entries = (*draft.snap.policy.spec.checks, *(draft.spec.checks if draft.active else ()))
    if one.outcome is None and not checks.asks(entries, one):
        named = (
            ", ".join(dict.fromkeys(f"{check.name} by role {checks.role_of(check)}" for check in entries if check.attested))
            or "none"
        )
        return DecisionOutcome.REFUSED, f"nothing waits for check {one.check} by role {one.role}; checks of the policy: {named}"
    if known.subject is None or one.digest != known.subject.digest:
        return None
    if known.attested.get((one.check, person(one.role))) is not one:
        return DecisionOutcome.SUPERSEDED, f"check {one.check} was attested again since"
    result = one.result.value if one.result is not None else "nothing"
    return DecisionOutcome.COUNTED, f"check {one.check} of {draft.workload.template.version}: {result}"


def _never(draft: Draft, one: DecisionView, subject: Subject | None) -> str:
    """Return why an Override or a review by this person never counts for its content, in words; empty where it may."""
    if one.action is Action.OVERRIDE and subject is not None and one.digest == subject.digest:
        return barred(one, subject)
    if one.action is Action.ATTEST:
        due = (review for review in draft.status.reviews if review.digest == one.digest)
        return next((no_reviewer(one, review) or _unentitled(draft, one) for review in due), "")
    return ""


def _unentitled(draft: Draft, one: DecisionView) -> str:
    """Return that somebody may not attest any more, in words; empty where they may, or nobody has asked."""
    may = (draft.snap.governance.entitled or {}).get(one.uid, True)
    return "" if may else f"{called(one.by)} may not attest as {one.role} any more"


def _lapsed(draft: Draft, one: DecisionView, known: _Known) -> _Became | None:
    """Return that a decision is over as nobody wants its version any more; None where that may still come."""
    if known.subject is None or _is_of_concern(one, known) or not draft.reached(one.created + LAPSES):
        return None
    return DecisionOutcome.EXPIRED, _GONE


def _let_go(draft: Draft, one: DecisionView, known: _Known) -> _Became | None:
    """Return that a Reject is over, once nothing is left that it withdraws: whatever it does not keep out by then nobody wants."""
    if one.outcome is None or {one.digest, one.revision} & known.others or _lapsed(draft, one, known) is None:
        return None
    return DecisionOutcome.SUPERSEDED, "no vote that it withdraws is left, and its version was not wanted for long"


def _is_of_concern(one: DecisionView, known: _Known) -> bool:
    return one.digest in known.digests if one.digest else one.revision in known.revisions
