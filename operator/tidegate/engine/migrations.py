"""Questions about the migrations of a rollout: what is to be run, how it stands, and who waits for it. They change nothing.

Nothing that takes traffic away asks any of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from tidegate.api.migrated import ContractedStatus, MigrationResult, MigrationRun
from tidegate.api.migrations import BEFORE, MigrationJob, MigrationPhase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.engine.draft import Draft
from tidegate.engine.migrated import keeps_out

UNSEEN = timedelta(seconds=10)
"""So long after it is to be stopped a Job that was never seen may still come: the request that makes it may be under way."""


def declared(spec: RolloutPolicySpec) -> Mapping[MigrationPhase, MigrationJob]:
    """Return what a policy has run of a backup and migrations, in order."""
    migrations = spec.migrations
    found = {MigrationPhase.BACKUP: spec.backup}
    if migrations is not None:
        found |= {
            MigrationPhase.DRY_RUN: migrations.dry_run,
            MigrationPhase.EXPAND: migrations.expand,
            MigrationPhase.MIGRATE: migrations.migrate,
            MigrationPhase.CONTRACT: migrations.contract,
            MigrationPhase.ROLLBACK: migrations.rollback,
        }
    return {phase: job for phase, job in found.items() if job is not None}


def runs_of(draft: Draft) -> Mapping[MigrationPhase, MigrationRun]:
    """Return the Jobs of the rollout that is on, or of the last one, by phase."""
    migration = draft.status.migration
    return {one.phase: one for one in migration.runs} if migration is not None else {}


def result_of(draft: Draft, phase: MigrationPhase) -> MigrationResult | None:
    """Return what a phase has come to; None where it has not begun."""
    one = runs_of(draft).get(phase)
    return one.result if one is not None else None


def is_declared(draft: Draft, phase: MigrationPhase) -> bool:
    """Whether the rollout that is on has a phase; one that was in force here before has none."""
    return draft.active and draft.status.migration is not None and phase in declared(draft.spec)


def is_lacking(draft: Draft, phase: MigrationPhase) -> bool:
    """Whether the rollout that is on has a phase that has not succeeded."""
    return is_declared(draft, phase) and result_of(draft, phase) is not MigrationResult.PASSED


def first_lacking(draft: Draft) -> MigrationPhase | None:
    """Return what has to succeed next before anything of the new version is there; None where nothing has to."""
    return next((phase for phase in BEFORE if is_lacking(draft, phase)), None)


def is_prepared(draft: Draft) -> bool:
    """Whether the pods of the rollout that is on, and its routes, may be made."""
    return draft.step is not None or first_lacking(draft) is None


def running(draft: Draft) -> Iterator[MigrationRun]:
    """Yield the Jobs that are wanted, or are being stopped."""
    return (one for one in runs_of(draft).values() if one.result is MigrationResult.RUNNING)


def is_stopped(draft: Draft, one: MigrationRun) -> bool:
    """Whether nobody wants a Job to go on: its rollout is undone, or its Release goes."""
    migration = draft.status.migration
    assert migration is not None
    if draft.deleting or (draft.active and draft.undoing):
        return True
    return migration.over is not None and not migration.promoted and one.phase is not MigrationPhase.ROLLBACK


def is_gone(draft: Draft, one: MigrationRun) -> bool:
    """Whether a Job that is not there will not come any more."""
    migration = draft.status.migration
    assert migration is not None
    since = migration.over or (draft.rollout.undo_since if draft.active else None) or draft.now
    return bool(one.uid) or draft.deleting or draft.reached(since + UNSEEN)


def needs_reverse(draft: Draft) -> bool:
    """Whether a rollout has done something to a database: the Job was made, or may have been, whatever it came to."""
    return bool({MigrationPhase.EXPAND, MigrationPhase.MIGRATE} & runs_of(draft).keys())


def failed_after(draft: Draft) -> MigrationRun | None:
    """Return what has failed of a rollout that is over: it is to be run again by a person; None where nothing has.

    What the policy has no more is nobody's concern: who has done it by hand takes it out there.
    """
    migration = draft.status.migration
    if draft.active or migration is None or migration.over is None:
        return None
    wanted = (MigrationPhase.ROLLBACK,) if not migration.promoted else (MigrationPhase.MIGRATE, MigrationPhase.CONTRACT)
    failed = (one for one in migration.runs if one.phase in wanted and one.result is MigrationResult.FAILED)
    return next((one for one in failed if is_asked_still(draft, one.phase)), None)


def is_asked_still(draft: Draft, phase: MigrationPhase) -> bool:
    """Whether the policy has a phase as it is now; where there is no policy nobody has taken it out."""
    policy = draft.snap.policy
    return policy is None or phase in declared(policy.spec)


def names_wanted(draft: Draft) -> frozenset[str]:
    """Return the revisions by which the wanted template is known."""
    template = draft.workload.template if draft.workload is not None else None
    return (
        frozenset({template.revision, template.new_revision, *template.duplicates} - {""}) if template is not None else frozenset()
    )


def is_return(draft: Draft) -> bool:
    """Whether the wanted version was in force here before, and what it needs of a database is there since.

    It is not where a person has let an earlier version back after a contract: they have restored the database of that one.
    """
    contracted, names = draft.status.contracted, names_wanted(draft)
    undone = contracted.undone if contracted is not None else ()
    return bool(names & set(draft.status.served or ())) and not names & set(undone)


def goes_back(draft: Draft) -> bool:
    """Whether the wanted version is one that was in force here before the stable one."""
    stable = draft.status.stable
    if stable is None or draft.wants(stable.revision):
        return False
    return bool(names_wanted(draft) & set(draft.status.served or ()))


def contracted_away(draft: Draft) -> ContractedStatus | None:
    """Return the contract that may have removed what the wanted version needs; None where none has, or a person has allowed it."""
    contracted, stable = draft.status.contracted, draft.status.stable
    if contracted is None or draft.workload is None or draft.active or stable is None or draft.wants(stable.revision):
        return None
    return contracted if keeps_out(contracted, names_wanted(draft), draft.workload.template.version) else None
