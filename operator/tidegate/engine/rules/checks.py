"""The rules for checks by Jobs, and for those that only warn: what they came to is written down, and people are told."""

from __future__ import annotations

from tidegate.api.checked import MOST_CHECKS, CheckResult, CheckStatus
from tidegate.api.checks import AFTER, Check, OnFailure
from tidegate.api.decision import Result
from tidegate.api.edits import edited
from tidegate.engine.checked import CheckFailed, CheckPassed
from tidegate.engine.checking import attestations
from tidegate.engine.draft import Draft
from tidegate.engine.facts import wanted_name
from tidegate.engine.running import about, again, ended, entry_of, is_over, live, replaced
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance import checks, commands
from tidegate.governance.runs import RunState

_THEN = {
    OnFailure.REJECT: "and is rejected (onFailure: Reject)",
    OnFailure.PAUSE: "and waits (onFailure: Pause)",
    OnFailure.WARN: "and goes on (onFailure: Warn)",
}

_AFTER = "and nothing is undone"


def checks_are_noted(draft: Draft) -> Ruling:
    """Jobs have come to an end, were seen first, or were stopped as nobody wants to know what they come to."""
    before = draft.status.checks
    for one in before:
        _note(draft, one)
    return None if draft.status.checks == before else CHANGED


def _note(draft: Draft, one: CheckStatus) -> None:
    seen = draft.snap.governance.runs.get(one.job or "")
    if is_over(draft, one):
        if one.result is not CheckResult.RUNNING or one.cron_job is None or (seen is not None and seen.state is RunState.GONE):
            replaced(draft, one, None)
    elif one.result is CheckResult.RUNNING and seen is not None:
        if seen.state in (RunState.COMPLETE, RunState.FAILED, RunState.GONE):
            _note_end(draft, one, seen.state, seen.words)
        elif seen.uid and one.hook is None:
            replaced(draft, one, edited(one, uid=seen.uid))


def _note_end(draft: Draft, one: CheckStatus, state: RunState, why: str) -> None:
    after, job, check = one.at in AFTER, one.job or "", entry_of(draft, one)
    version = about(draft, one)[0] if after else wanted_name(draft)
    if state is RunState.COMPLETE:
        replaced(draft, one, ended(draft, one, CheckResult.PASSED))
        draft.note(CheckPassed(version, one.name, one.hook or f"Job {job}"))
        return
    message = f"{one.hook or f'Job {job}'} {why}"
    if state is RunState.FAILED and one.hook is None:
        message += f"; its output: {commands.logs(job, draft.snap.release.namespace)}"
    further = again(draft, check, one) if check is not None else None
    if further is not None and check is not None:
        then = f"and is checked again (attempt {further.attempt} of {1 + (check.retries or 0)})"
        replaced(draft, one, further)
    else:
        then = _AFTER if after else _THEN[check.failure if check is not None else OnFailure.PAUSE]
        replaced(draft, one, ended(draft, one, CheckResult.FAILED, message))
    draft.note(CheckFailed(version, one.name, message, then))


def warnings_are_noted(draft: Draft) -> Ruling:
    """A version went on although a check was attested as failed, as the policy has it: once, people are told."""
    if not any(_only_warns(one) for one in draft.spec.checks) or not (digest := live(draft)):
        return None
    known, said = {one.name for one in draft.status.checks}, attestations(draft)
    for one in draft.spec.checks:
        if not _only_warns(one) or one.name in known or one.weight > draft.status.weight or len(known) >= MOST_CHECKS:
            continue
        found = checks.counted(one, said, draft.now)
        if found is None or found.result is not Result.FAILED:
            continue
        message = checks.state(checks.Lacking(one, found)).removeprefix("; ")
        entry = CheckStatus(name=one.name, at=one.at, digest=digest, result=CheckResult.FAILED, message=message, since=draft.now)
        draft.set(checks=(*draft.status.checks, ended(draft, entry, CheckResult.FAILED, message)))
        draft.note(CheckFailed(draft.candidate.version, one.name, message, _THEN[OnFailure.WARN]))
        return CHANGED
    return None


def _only_warns(one: Check) -> bool:
    return one.attested is not None and one.failure is OnFailure.WARN
