"""What is done about a version's migrations: when a Job begins, which are made and stopped, and what a weight or a start waits for.

A Job stands in the status before it is made, by a name of its own: whoever dies meanwhile, it is made once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tidegate.api.base import format_duration
from tidegate.api.edits import edited
from tidegate.api.migrated import MOST_ATTEMPTS, MOST_CONTRACTED, ContractedStatus, MigrationResult, MigrationRun, MigrationStatus
from tidegate.api.migrations import LONGEST, MigrationJob, MigrationPhase
from tidegate.api.names import Condition, Reason
from tidegate.api.status import Outcome, RevisionStatus
from tidegate.engine import asking, governed
from tidegate.engine.conditions import Told
from tidegate.engine.draft import Draft, apart
from tidegate.engine.migrated import CALLED, RESTORE, MigrationStarted, called, removed
from tidegate.engine.migrations import (
    contracted_away,
    declared,
    failed_after,
    goes_back,
    is_asked_still,
    is_lacking,
    is_return,
    is_stopped,
    names_wanted,
    needs_reverse,
    result_of,
    running,
    runs_of,
)
from tidegate.engine.ruled import policy_now
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import Wait, Waiting
from tidegate.governance import commands
from tidegate.governance.runs import Run, RunState, job_name, whole_seconds
from tidegate.governance.times import moment


def opened(draft: Draft) -> MigrationStatus | None:
    """Return what is to be run for the rollout that starts, as it begins; None where nothing is."""
    assert draft.workload is not None
    assert draft.status.stable is not None
    if draft.snap.policy is None or not (policy := policy_now(draft)) or not declared(policy) or is_return(draft):
        return None
    template = draft.workload.template
    return MigrationStatus(
        version=template.version,
        revision=template.revision,
        digest=template.digest,
        before=draft.status.stable.version,
        since=draft.now,
    )


def begin(draft: Draft, phase: MigrationPhase) -> None:
    """Have the Job of a phase made, or made again."""
    migration, before = draft.status.migration, runs_of(draft).get(phase)
    assert migration is not None
    job = declared(draft.spec).get(phase) if draft.active else None
    if before is None:
        assert job is not None
        before = _pending(phase, job)
    attempt = min(before.attempt + (before.job is not None), MOST_ATTEMPTS)
    release, called = draft.snap.release, CALLED[phase].replace(" ", "-")
    point = f"{phase} {migration.since.isoformat()} {draft.now.isoformat()}"
    name = job_name(release.name, release.uid, called, migration.digest, point=point, since=draft.now, attempt=attempt)
    _put(
        draft,
        MigrationRun(
            phase=phase,
            cron_job=before.cron_job,
            seconds=before.seconds,
            job=name,
            attempt=attempt,
            result=MigrationResult.RUNNING,
            since=draft.now,
        ),
    )
    if phase is MigrationPhase.CONTRACT:
        _note_contracted(draft)
    draft.note(MigrationStarted(migration.version, phase, name))


def replaced(draft: Draft, one: MigrationRun, other: MigrationRun) -> None:
    """Put another in the place of a Job in the status."""
    if one is not other:
        _put(draft, other)


def ended(draft: Draft, outcome: Outcome) -> None:
    """Note that the rollout that is on ends, and what is to be run for that once all else has stopped."""
    migration, spec = draft.status.migration, declared(draft.spec)
    if migration is None:
        return
    promoted = outcome is Outcome.PROMOTED
    draft.set(migration=edited(migration, over=draft.now, promoted=promoted))
    if promoted and (contracted := draft.status.contracted) is not None and contracted.undone:
        names = {migration.revision} | (names_wanted(draft) if draft.wants(migration.revision) else frozenset())
        draft.set(contracted=edited(contracted, undone=tuple(one for one in contracted.undone if one not in names)))
    expanded = not is_lacking(draft, MigrationPhase.EXPAND)
    contract, reverse = spec.get(MigrationPhase.CONTRACT), spec.get(MigrationPhase.ROLLBACK)
    if draft.deleting:
        return
    if promoted and contract is not None and expanded:
        _put(draft, _pending(MigrationPhase.CONTRACT, contract))
    elif not promoted and reverse is not None and needs_reverse(draft):
        _put(draft, _pending(MigrationPhase.ROLLBACK, reverse))


def run_again(draft: Draft) -> str:
    """Have run again what failed after a rollout, or let a version come back; return what was done, for people.

    A contract begins as its first Job did: it has no way back, so a freeze holds it up, too.
    """
    if (contracted := contracted_away(draft)) is not None:
        assert draft.workload is not None
        draft.set(contracted=edited(contracted, allowed=draft.workload.template.revision, held=None))
        return _wanted(draft)
    if (failed := failed_after(draft)) is None or any(running(draft)):
        return ""
    if failed.phase is MigrationPhase.CONTRACT:
        attempt = min(failed.attempt + 1, MOST_ATTEMPTS)
        again = MigrationRun(
            phase=failed.phase,
            cron_job=failed.cron_job,
            seconds=failed.seconds,
            attempt=attempt,
            result=MigrationResult.PENDING,
        )
        _put(draft, again)
    else:
        begin(draft, failed.phase)
    return _named(draft, failed)


def is_in_its_own_way(draft: Draft) -> bool:
    """Whether the wanted version waits for its own reverse, which failed: that is run again before the version is tried again."""
    migration, failed = draft.status.migration, failed_after(draft)
    reverses = migration is not None and failed is not None and failed.phase is MigrationPhase.ROLLBACK
    return reverses and migration is not None and migration.revision in names_wanted(draft)


def why_not_again(draft: Draft, *, names: bool) -> str:
    """Return why nothing is run again, and no version is let back, in words; empty where nothing is against it.

    Args:
        draft: the decision in the making.
        names: who asks for it says that it is about the wanted version.
    """
    failed, contracted = failed_after(draft), contracted_away(draft)
    if failed is None or (contracted is not None and names):
        return ""
    if contracted is not None:
        what = f"it could mean {_named(draft, failed)}, which failed, or {_wanted(draft)}, which waits for a person"
        reverses = failed.phase is MigrationPhase.ROLLBACK
        when = f"{CALLED[failed.phase]} is run again by the next request after that" if reverses else _only_while(draft, failed)
        back = f"to let {_wanted(draft)} back, {way_back(draft)[0]}"
        return f"{what}; {back}; {when}" if reverses else f"{what}; {when}; {back}"
    return "" if _is_run_again(draft, failed) else f"{_named(draft, failed)} failed, and {_only_while(draft, failed)}"


def _is_run_again(draft: Draft, failed: MigrationRun) -> bool:
    """Whether a request runs again what failed after a rollout: what concerns the version in force, only while that is wanted."""
    if failed.phase is MigrationPhase.ROLLBACK:
        return True
    return draft.status.stable is not None and draft.wants(draft.status.stable.revision)


def _only_while(draft: Draft, failed: MigrationRun) -> str:
    """Return when what failed after a promotion is run again by a request, in words."""
    migration = draft.status.migration
    assert migration is not None
    return f"{CALLED[failed.phase]} is run again only while {migration.version} is the wanted version"


def let_back(draft: Draft) -> None:
    """What a person has allowed counts for one rollout, which starts.

    With a database that was restored for it, what came after the version is not there any more: a version that was in force since
    runs its migrations again.
    """
    contracted, stable = draft.status.contracted, draft.status.stable
    if contracted is None or not (contracted.allowed or contracted.held):
        return
    names, undone = names_wanted(draft), contracted.undone
    if contracted.allowed in names and stable is not None:
        served = (*(draft.status.served or ()), stable.revision)
        place = max((number for number, one in enumerate(served, 1) if one in names), default=0)
        undone = tuple(one for one in dict.fromkeys((*undone, *served[place:])) if one not in names)[-MOST_CONTRACTED:]
    draft.set(contracted=edited(contracted, allowed=None, held=None, undone=undone))


# What is waited for.


def before_start(draft: Draft) -> Waiting | None:
    """What was run for the last rollout is not over, or was not undone: its database is not as anybody expects it."""
    migration = draft.status.migration
    if draft.active or migration is None or migration.over is None:
        return None
    for one in migration.runs:
        reverses = one.phase is MigrationPhase.ROLLBACK
        if one.result is MigrationResult.RUNNING or (reverses and one.result is MigrationResult.PENDING):
            words = f"for {_named(draft, one)} to end first: {how_it_stands(draft, one)}"
            return Waiting(Wait.MIGRATION, words, what=words.removeprefix("for "))
        if reverses and one.result is MigrationResult.FAILED and is_asked_still(draft, one.phase):
            words = f"for {_named(draft, one)}, which failed: {one.message}"
            cure = f"{asking.cure(draft, 'to run it again', Verb.RETRY)}; or take migrations.rollback out of the policy"
            how = asking.command(draft, Verb.RETRY)
            return Waiting(Wait.MIGRATION, f"{words}; {cure}", what=words.removeprefix("for "), how=how)
    return None


def before_return(draft: Draft) -> Waiting | None:
    """The wanted version may need what a contract has removed, and no person has said that it may come back."""
    contracted = contracted_away(draft)
    if contracted is None:
        return None
    cure, how = way_back(draft)
    why = why_held(draft, contracted)
    return Waiting(Wait.CONTRACTED, f"for a person: {why}; {cure}", what=why, how=how)


def way_back(draft: Draft) -> tuple[str, str]:
    """Return what to do in order to let the wanted version back, as an end of a sentence, and the command that asks for it.

    While a contract has failed the command names the version: without that it might be meant for the contract.
    """
    if failed_after(draft) is None or draft.workload is None:
        return asking.cure(draft, RESTORE, Verb.RETRY), asking.command(draft, Verb.RETRY)
    release = draft.snap.release
    which = "--version", draft.workload.template.revision
    how = commands.on_release(Verb.RETRY.value, release.name, release.namespace, *which)
    return f"{RESTORE}: {how}", how


def why_held(draft: Draft, contracted: ContractedStatus) -> str:
    """Return why a version is not let back, in words."""
    return removed(contracted, _wanted(draft))


def before_full(draft: Draft, upto: int) -> Waiting | None:
    """The new version would get all of the traffic, and its data were not moved.

    Args:
        draft: the decision in the making.
        upto: the weight that it is to get.
    """
    if upto < 100 or not is_lacking(draft, MigrationPhase.MIGRATE):
        return None
    one = runs_of(draft).get(MigrationPhase.MIGRATE)
    state = how_it_stands(draft, one) if one is not None else "its Job is to be made"
    words = f"for {CALLED[MigrationPhase.MIGRATE]} to succeed before 100%: {state}"
    return Waiting(Wait.MIGRATION, words, what=words.removeprefix("for "))


def until_prepared(draft: Draft, one: MigrationRun) -> Waiting:
    """Return that a Job before the first pod is waited for."""
    words = f"for {CALLED[one.phase]} to succeed before anything of {draft.candidate.version} starts: {how_it_stands(draft, one)}"
    return Waiting(Wait.MIGRATION, words, what=words.removeprefix("for "))


def how_it_stands(draft: Draft, one: MigrationRun) -> str:
    """Return how a Job that has not ended stands, in words."""
    if one.job is None:
        return "it begins once the Jobs before it have stopped"
    seen = draft.snap.governance.runs.get(one.job)
    trouble = f": {seen.words}" if seen is not None and seen.words else ""
    if is_stopped(draft, one):
        absent = not one.uid and seen is not None and seen.state in (RunState.GONE, RunState.UNMADE)
        return f"Job {one.job} was not seen; if it still comes, it is stopped" if absent else f"Job {one.job} is being stopped"
    if trouble and seen is not None and seen.state is RunState.UNMADE:
        return f"its Job cannot be made{trouble}"
    progress = f", {one.progress} done by its own account," if one.progress else ""
    logs = commands.logs(one.job, draft.snap.release.namespace)
    return f"Job {one.job}{progress} may take {format_duration(timedelta(seconds=one.seconds))}; its output: {logs}{trouble}"


def after_rollout(draft: Draft) -> str:
    """Return what is run, or has failed, after the last rollout, as an end of a sentence; empty where nothing is."""
    migration = draft.status.migration
    if draft.active or draft.deleting or migration is None or migration.over is None:
        return ""
    if (failed := failed_after(draft)) is not None:
        again = _is_run_again(draft, failed)
        cure = asking.cure(draft, "to run it again", Verb.RETRY) if again else _only_while(draft, failed)
        return f"; {_named(draft, failed)} failed: {failed.message}; {cure}"
    unended = (MigrationResult.RUNNING, MigrationResult.PENDING)
    found = next((one for one in migration.runs if one.result in unended), None)
    if found is not None and found.phase is MigrationPhase.CONTRACT and found.job is None and goes_back(draft):
        return f"; {_named(draft, found)} does not begin while {_wanted(draft)} is wanted, which was in force here before"
    if found is not None and (frozen := frozen_contract(draft, found)) is not None:
        return f"; {_named(draft, found)} begins after {frozen}"
    if found is None:
        return ""
    verb = "ends" if found.job is not None and is_stopped(draft, found) else "runs"
    return f"; {_named(draft, found)} {verb}: {how_it_stands(draft, found)}"


def frozen_contract(draft: Draft, one: MigrationRun) -> str | None:
    """Return the freeze that keeps a contract from beginning and its end, in words; None where none does, or something else."""
    if one.phase is not MigrationPhase.CONTRACT or one.result is not MigrationResult.PENDING or not may_contract(draft):
        return None
    if (frozen := governed.freeze(draft)) is None:
        return None
    if draft.snap.governance.freezes_unread:
        return "ReleaseFreezes were read"
    return frozen.what.partition(":")[0] + (f", which ends {moment(frozen.until)}" if frozen.until is not None else "")


def failure(draft: Draft) -> Iterator[Told]:
    """Say what has failed of the last rollout's migrations; where nothing has there is no such condition."""
    failed = failed_after(draft)
    if failed is not None and not draft.deleting:
        yield Told(Condition.MIGRATION_FAILED, True, Reason.MIGRATION_FAILED, after_rollout(draft).removeprefix("; "))


# Jobs.


def runs(draft: Draft) -> Iterator[Run]:
    """Yield the Jobs that are to be made and looked at, and those that are to be stopped, by the status as it is to be stored."""
    release, migration = draft.snap.release, draft.status.migration
    for one in running(draft):
        assert migration is not None
        assert one.job is not None
        yield Run(
            release=release.name,
            release_uid=release.uid,
            check=one.phase.value,
            cron_job=one.cron_job,
            job=one.job,
            uid=one.uid or "",
            stop=is_stopped(draft, one),
            seconds=one.seconds,
            env={
                "TIDEGATE_RELEASE": release.name,
                "TIDEGATE_VERSION": migration.version,
                "TIDEGATE_REVISION": migration.revision,
                "TIDEGATE_STABLE_VERSION": migration.before,
                "TIDEGATE_ENVIRONMENT": release.spec.environment or "",
                "TIDEGATE_PHASE": one.phase.value,
                "TIDEGATE_DRY_RUN": "true" if one.phase is MigrationPhase.DRY_RUN else "false",
            },
            migrates=True,
        )


def may_contract(draft: Draft) -> bool:
    """Whether all that comes before a contract has succeeded, and nobody wants a version that needs what it removes."""
    moved = result_of(draft, MigrationPhase.MIGRATE)
    return not goes_back(draft) and moved in (None, MigrationResult.PASSED) and not any(running(draft))


def _pending(phase: MigrationPhase, job: MigrationJob) -> MigrationRun:
    longest = job.timeout if job.timeout is not None else LONGEST[phase]
    return MigrationRun(phase=phase, cron_job=job.cron_job, seconds=whole_seconds(longest), result=MigrationResult.PENDING)


def _put(draft: Draft, one: MigrationRun) -> None:
    migration = draft.status.migration
    assert migration is not None
    by_phase = {entry.phase: entry for entry in migration.runs} | {one.phase: one}
    ordered = tuple(by_phase[phase] for phase in MigrationPhase if phase in by_phase)
    draft.set(migration=edited(migration, runs=ordered))


def _note_contracted(draft: Draft) -> None:
    migration, before = draft.status.migration, draft.status.contracted
    assert migration is not None
    stable = draft.status.stable.revision if draft.status.stable is not None else ""
    known = (*(before.revisions if before is not None else ()), *(draft.status.served or ()))
    revisions = tuple(one for one in dict.fromkeys(known) if one != stable)[-MOST_CONTRACTED:]
    undone = before.undone if before is not None else ()
    draft.set(contracted=ContractedStatus(version=migration.version, at=draft.now, revisions=revisions, undone=undone))


def _wanted(draft: Draft) -> str:
    assert draft.workload is not None
    template = draft.workload.template
    return apart(RevisionStatus(revision=template.revision, version=template.version), draft.status.stable).version


def _named(draft: Draft, one: MigrationRun) -> str:
    migration = draft.status.migration
    assert migration is not None
    return called(one.phase, migration.version)
