"""A check as it begins: what the status has of it before its Job is made."""

from __future__ import annotations

from tidegate.api.checked import CheckResult, CheckStatus
from tidegate.api.checks import Check
from tidegate.engine.draft import Draft
from tidegate.governance.runs import job_name


def is_by(one: CheckStatus, check: Check) -> bool:
    """Whether a check of the status is by an entry of a policy, as it is now."""
    return (one.name, one.at, one.cron_job, one.hook) == (check.name, check.at, check.cron_job, check.called)


def begun(draft: Draft, check: Check, digest: str, attempt: int = 1) -> CheckStatus:
    """Return a check that begins now.

    Args:
        draft: the decision in the making.
        check: as the policy has it.
        digest: of the content that is checked.
        attempt: the number of its Job.
    """
    release = draft.snap.release
    return CheckStatus(
        name=check.name,
        at=check.at,
        digest=digest,
        cron_job=check.cron_job,
        hook=check.called,
        job=job_name(release.name, release.uid, check.name, digest, point=check.at, since=draft.now, attempt=attempt),
        attempt=attempt,
        result=CheckResult.RUNNING,
        since=draft.now,
    )
