"""The checks that Jobs make: when one begins, whose are of concern still, and what becomes of a version that has failed one.

A Job stands in the status before it is made, by a name of its own: whoever dies meanwhile, it is made once. Nothing that takes
traffic away asks any of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tidegate.api.base import clip
from tidegate.api.checked import MOST_CHECKS, CheckResult, CheckStatus
from tidegate.api.checks import AFTER, Check, Expect, OnFailure
from tidegate.api.edits import edited
from tidegate.api.names import Cause
from tidegate.engine.begun import begun, is_by
from tidegate.engine.changes import keep_out, roll_back
from tidegate.engine.commanded import KeptOut
from tidegate.engine.decided import subject_of
from tidegate.engine.draft import Draft
from tidegate.engine.facts import rejection
from tidegate.engine.waits import CHANGED, Ruling, Waiting
from tidegate.governance.runs import Call, Run, whole_seconds

CALLED_AGAIN = timedelta(seconds=5)
"""So long after a request that failed the next one is made."""


def live(draft: Draft) -> str:
    """Return the digest of the version whose checks are of concern: the wanted one, while it may get traffic; empty for none."""
    subject, stable = subject_of(draft), draft.status.stable
    if draft.deleting or subject is None or stable is None or draft.wants(stable.revision) or rejection(draft) is not None:
        return ""
    return subject.digest


def _entries(draft: Draft) -> tuple[Check, ...] | None:
    """Return the checks of the policy that counts now; None where there is none. No rule of a policy sets others."""
    if draft.active:
        return draft.spec.checks
    return draft.snap.policy.spec.checks if draft.snap.policy is not None else None


def entry_of(draft: Draft, one: CheckStatus) -> Check | None:
    """Return the entry of the policy that a check of the status is by; None where there is none any more."""
    return next((entry for entry in _entries(draft) or () if is_by(one, entry)), None)


def is_over(draft: Draft, one: CheckStatus) -> bool:
    """Whether nobody wants to know what a check comes to: its version is not wanted, or the policy does not ask for it any more.

    One after a rollout is of concern until the next one begins.
    """
    if one.at in AFTER:
        gone = draft.active or draft.deleting
    else:
        digest = live(draft)
        gone = not digest or one.digest != digest
    return gone or (_entries(draft) is not None and entry_of(draft, one) is None)


def held_up(draft: Draft, waiting: Waiting) -> Ruling:
    """Do what a closed barrier asks for: as a rule to wait; a check may have to begin, or may have a version rejected.

    One begins only if nothing but it is in the way: no Job runs in a freeze.

    Args:
        draft: the decision in the making.
        waiting: what the barriers wait for.
    """
    why = next((one.rejects for one in (waiting, *waiting.beside) if one.rejects), "")
    if why:
        _reject(draft, why)
        return CHANGED
    found = [one for one in _entries(draft) or () if waiting.begins and one.name == waiting.begins]
    digest = live(draft)
    if not found or not digest or len(draft.status.checks) >= MOST_CHECKS:
        return waiting
    draft.set(checks=(*draft.status.checks, begun(draft, found[0], digest)))
    return CHANGED


def _reject(draft: Draft, why: str) -> None:
    if draft.active:
        roll_back(draft, Cause.CHECK, clip(why))
        return
    assert draft.workload is not None
    template = draft.workload.template
    keep_out(draft, template.revision, template.version, Cause.CHECK, clip(why))
    draft.note(KeptOut(template.version, clip(why)))


def again(draft: Draft, check: Check, one: CheckStatus) -> CheckStatus | None:
    """Return the next attempt of a check that failed; None where that was its last."""
    return None if one.attempt > (check.retries or 0) else begun(draft, check, one.digest, one.attempt + 1)


def replaced(draft: Draft, one: CheckStatus, other: CheckStatus | None) -> None:
    """Put another in the place of a check in the status, or nothing."""
    with_other = (other if entry is one else entry for entry in draft.status.checks)
    draft.set(checks=tuple(entry for entry in with_other if entry is not None))


def ended(draft: Draft, one: CheckStatus, result: CheckResult, message: str = "") -> CheckStatus:
    """Return a check with what it came to."""
    return edited(one, result=result, message=clip(message), ended=draft.now)


def run_again(draft: Draft) -> bool:
    """Let go of the checks that failed and are waited for, so that they begin again; return whether there were any."""
    waited = [
        one
        for one in draft.status.checks
        if one.result is CheckResult.FAILED and one.at not in AFTER and not is_over(draft, one)
        if (entry := entry_of(draft, one)) is not None and entry.failure is not OnFailure.WARN
    ]
    if not waited:
        return False
    draft.set(checks=tuple(one for one in draft.status.checks if one not in waited))
    return True


def runs(draft: Draft) -> Iterator[Run]:
    """Yield the Jobs that are to be made and looked at, and those that are to be stopped, by the status as it is to be stored."""
    release = draft.snap.release
    for one in draft.status.checks:
        if one.result is not CheckResult.RUNNING or one.job is None or one.cron_job is None:
            continue
        check = None if is_over(draft, one) else entry_of(draft, one)
        yield Run(
            release=release.name,
            release_uid=release.uid,
            check=one.name,
            cron_job=one.cron_job,
            job=one.job,
            uid=one.uid or "",
            stop=is_over(draft, one),
            seconds=whole_seconds(check.longest) if check is not None else 0,
            env=_env(draft, one) if check is not None else {},
        )


def about(draft: Draft, one: CheckStatus) -> tuple[str, str]:
    """Return version and revision that a check is of; it is of concern still."""
    last = draft.status.last_rollout
    if one.at in AFTER:
        return (last.version, last.revision) if last is not None else ("", "")
    assert draft.workload is not None
    return draft.workload.template.version, draft.workload.template.revision


def calls(draft: Draft) -> Iterator[Call]:
    """Yield the requests that are to be made, by the status as it is to be stored; further ones after a while."""
    for one in draft.status.checks:
        check = entry_of(draft, one)
        if one.result is not CheckResult.RUNNING or one.hook is None or one.job is None or check is None or is_over(draft, one):
            continue
        if check.http is None or (one.attempt > 1 and not _is_due(draft, one)):
            continue
        expect = check.http.expect or Expect()
        yield Call(
            id=one.job,
            hook=check.http.hook,
            method=check.http.method.value,
            path=check.http.path,
            statuses=expect.status or (),
            json_path=expect.json_value.path if expect.json_value is not None else "",
            json_equals=expect.json_value.equals if expect.json_value is not None else "",
            seconds=check.longest.total_seconds(),
            told={
                "namespace": draft.snap.release.namespace,
                "check": check.name,
                **{_camel(name): told for name, told in _env(draft, one).items()},
            },
        )


def _is_due(draft: Draft, one: CheckStatus) -> bool:
    """Whether a further request may be made; one that is under way stays so, whatever the clock says: it would be made twice."""
    return one.job in draft.snap.governance.runs or draft.reached(one.since + CALLED_AGAIN)


def _camel(variable: str) -> str:
    first, *others = variable.removeprefix("TIDEGATE_").lower().split("_")
    return first + "".join(map(str.capitalize, others))


def _env(draft: Draft, one: CheckStatus) -> dict[str, str]:
    release, stable, (version, revision) = draft.snap.release, draft.status.stable, about(draft, one)
    return {
        "TIDEGATE_RELEASE": release.name,
        "TIDEGATE_VERSION": version,
        "TIDEGATE_REVISION": revision,
        "TIDEGATE_STABLE_VERSION": stable.version if stable is not None else "",
        "TIDEGATE_ENVIRONMENT": release.spec.environment or "",
        "TIDEGATE_PHASE": one.at,
    }
