"""The barrier Check: what a version has to have passed outside of Tidegate before it starts, or before more weight.

That it has passed is known from attestations, or from what a Job or a request came to; that those who have attested may do so
still is asked of the API server at the moment at which their word is about to count. A check that failed keeps its version where it
is, and takes nothing from it, unless its policy has it rejected.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.api.base import format_duration
from tidegate.api.checked import CheckResult, CheckStatus
from tidegate.api.checks import Check, OnFailure
from tidegate.api.decision import Result
from tidegate.engine import asking
from tidegate.engine.begun import is_by
from tidegate.engine.decided import is_entitled, subject_of, unasked
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import conditions
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import Inquiry, Wait, Waiting
from tidegate.governance import checks, commands
from tidegate.governance.decisions import DecisionView, called
from tidegate.governance.runs import RunState

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
    attests = any(one.attested is not None for one, _ in asked)
    if attests and (unread := draft.snap.governance.decisions_unread):
        return Waiting(Wait.CHECK, f"for ReleaseDecisions to be read: {unread}", what=f"attestations could not be read: {unread}")
    said = attestations(draft) if attests else {}
    counts: list[tuple[Check, DecisionView]] = []
    for one, trouble in asked:
        if trouble or one.attested is not None:
            found = checks.counted(one, said, draft.now)
            if found is None or trouble or not checks.is_passed(one, found):
                return _missing(draft, checks.Lacking(one, found, trouble))
            counts.append((one, found))
        elif (waiting := _unrun(draft, one)) is not None:
            return waiting
    if counts and unasked(draft, (found.uid for _, found in counts)):
        return Waiting(
            Wait.RIGHTS, "to ask the API server whether those who have attested its checks still have the right", asks=_RIGHTS
        )
    for one, found in counts:
        if not is_entitled(draft, found):
            lost = f"; {called(found.by)} has attested it, and may not as {checks.role_of(one)} any more"
            return _missing(draft, checks.Lacking(one), lost, asks=_RIGHTS)
    return None


def attestations(draft: Draft) -> dict[tuple[str, str], DecisionView]:
    """Return what was attested last of the version of the workload's template, by check and role."""
    wanted = subject_of(draft)
    return checks.attestations(draft.snap.governance.decisions, wanted) if wanted is not None else {}


def noted(draft: Draft, one: Check) -> CheckStatus | None:
    """Return what the status has of a check of the version of the workload's template; None where it has nothing."""
    subject = subject_of(draft)
    digest = subject.digest if subject is not None else ""
    return next((entry for entry in draft.status.checks if digest and entry.digest == digest and is_by(entry, one)), None)


def _missing(draft: Draft, lack: checks.Lacking, said: str = "", asks: frozenset[Inquiry] = frozenset()) -> Waiting:
    release, state = draft.snap.release, said or checks.state(lack)
    how = checks.command(lack, release.name, release.namespace)
    demand = checks.demand(lack)
    words = demand + (f": {how}" if how else "") + state
    failed = lack.said is not None and lack.said.result is Result.FAILED and not lack.trouble
    rejects = f"check {lack.check.name} failed{state}" if failed and lack.check.failure is OnFailure.REJECT else ""
    return Waiting(Wait.CHECK, words, what=demand.removeprefix("for ") + state, how=how, asks=asks, rejects=rejects)


def _unrun(draft: Draft, one: Check) -> Waiting | None:
    """Return that a check has not passed by its Job; None where it has, or where it failed and only warns."""
    entry, job = (
        noted(draft, one),
        next((entry.job for entry in draft.status.checks if entry.name == one.name and entry.cron_job), None),
    )
    if entry is None and job is not None:
        # Two of one check at once might be in each other's way.
        words = f"for check {one.name}: Job {job} of an earlier version has to stop first{_trouble(draft, job)}"
        return Waiting(Wait.CHECK, words, what=words.removeprefix("for "))
    if entry is None:
        what = one.called or f"a Job of CronJob {one.cron_job}"
        words = f"for check {one.name}: {what} is to be made"
        return Waiting(Wait.CHECK, words, what=words.removeprefix("for "), begins=one.name)
    if entry.result is CheckResult.PASSED or (entry.result is CheckResult.FAILED and one.failure is OnFailure.WARN):
        return None
    if entry.result is CheckResult.RUNNING:
        return _running(draft, one, entry)
    rejects = f"check {one.name} failed: {entry.message}" if one.failure is OnFailure.REJECT else ""
    words = f"for check {one.name}, which failed: {entry.message}"
    cure = asking.cure(draft, "to run it again", Verb.RETRY)
    return Waiting(
        Wait.CHECK,
        f"{words}; {cure}",
        what=words.removeprefix("for "),
        how=asking.command(draft, Verb.RETRY),
        rejects=rejects,
    )


def _running(draft: Draft, one: Check, entry: CheckStatus) -> Waiting:
    assert entry.job is not None
    logs = commands.logs(entry.job, draft.snap.release.namespace)
    seen = draft.snap.governance.runs.get(entry.job)
    if (trouble := _trouble(draft, entry.job)) and seen is not None and seen.state is RunState.UNMADE:
        words = f"for check {one.name}, whose {'request' if one.http else 'Job'} cannot be made{trouble}"
    elif one.http is not None:
        words = f"for check {one.name}: {one.http.words} has {format_duration(one.longest)} to answer"
    else:
        tried = f" (attempt {entry.attempt} of {1 + (one.retries or 0)})" if one.retries else ""
        words = f"for check {one.name}: Job {entry.job}{tried} may take {format_duration(one.longest)}; its output: {logs}{trouble}"
    return Waiting(Wait.CHECK, words, what=words.removeprefix("for "))


def _trouble(draft: Draft, job: str) -> str:
    """Return what keeps a Job from being made or stopped, or from being seen; empty where nothing does."""
    seen = draft.snap.governance.runs.get(job)
    return f": {seen.words}" if seen is not None and seen.words else ""
