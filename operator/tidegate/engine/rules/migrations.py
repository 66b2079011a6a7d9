"""The rules for backup and migrations: what runs before, during and after a rollout, and what comes of it."""

from __future__ import annotations

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.api.migrated import MigrationResult, MigrationRun
from tidegate.api.migrations import BEFORE, MigrationPhase
from tidegate.api.names import Cause
from tidegate.engine import asking, governed
from tidegate.engine.barriers import Rise, barrier
from tidegate.engine.changes import roll_back
from tidegate.engine.draft import Draft, Stage
from tidegate.engine.facts import wanted_name
from tidegate.engine.migrated import CALLED, MigrationDone, MigrationFailed, ReturnHeld, ReverseFailed
from tidegate.engine.migrating import begin, may_contract, replaced, until_prepared, way_back, why_held
from tidegate.engine.migrations import (
    contracted_away,
    first_lacking,
    is_asked_still,
    is_gone,
    is_lacking,
    is_stopped,
    result_of,
    running,
    runs_of,
)
from tidegate.engine.running import held_up
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance import commands
from tidegate.governance.runs import RunState, RunView

_TAKEN_OUT = "it was taken out of the policy before it began"
_ENDS = (RunState.COMPLETE, RunState.FAILED, RunState.GONE)


def migrations_are_noted(draft: Draft) -> Ruling:
    """Jobs have come to an end, were seen first, have said how far they are, or were stopped."""
    before = draft.status.migration
    for one in tuple(running(draft)):
        seen = draft.snap.governance.runs.get(one.job or "")
        if seen is not None:
            _note(draft, one, seen)
    return None if draft.status.migration is before else CHANGED


def _note(draft: Draft, one: MigrationRun, seen: RunView) -> None:
    if seen.state in _ENDS:
        if is_stopped(draft, one):
            _note_stopped(draft, one, seen)
        else:
            _note_end(draft, one, seen)
    elif seen.uid:
        replaced(draft, one, edited(one, uid=seen.uid, progress=seen.progress or one.progress))


def _note_stopped(draft: Draft, one: MigrationRun, seen: RunView) -> None:
    if seen.state is RunState.COMPLETE:
        replaced(draft, one, edited(one, result=MigrationResult.PASSED, output=seen.output, ended=draft.now))
    elif seen.state is RunState.FAILED or is_gone(draft, one):
        replaced(draft, one, edited(one, result=MigrationResult.STOPPED, output=seen.output, ended=draft.now))


def _note_end(draft: Draft, one: MigrationRun, seen: RunView) -> None:
    migration, job = draft.status.migration, one.job or ""
    assert migration is not None
    if seen.state is RunState.COMPLETE:
        replaced(draft, one, edited(one, result=MigrationResult.PASSED, output=seen.output, progress=None, ended=draft.now))
        draft.note(MigrationDone(migration.version, one.phase, job, seen.output))
        return
    said = f": {seen.output}" if seen.output else ""
    logs = f"; its output: {commands.logs(job, draft.snap.release.namespace)}" if seen.state is RunState.FAILED else ""
    message = clip(f"Job {job} {seen.words}{said}{logs}")
    replaced(draft, one, edited(one, result=MigrationResult.FAILED, output=seen.output, message=message, ended=draft.now))
    if one.phase is MigrationPhase.ROLLBACK:
        draft.note(ReverseFailed(migration.version, message, asking.cure(draft, "to run it again", Verb.RETRY)))
    else:
        draft.note(MigrationFailed(migration.version, one.phase, message, _then(draft, one)))


def _then(draft: Draft, one: MigrationRun) -> str:
    if not draft.active:
        return "and nothing is undone"
    return "and nothing of it starts" if one.phase in BEFORE else "and the version is rolled back"


def failure_rolls_back(draft: Draft) -> Ruling:
    """Backup, dry run, expand or migrate has failed: the version is rejected, and nothing of it is left."""
    for phase in (*BEFORE, MigrationPhase.MIGRATE):
        if result_of(draft, phase) is MigrationResult.FAILED:
            roll_back(draft, Cause.MIGRATION, clip(f"{CALLED[phase]} failed: {runs_of(draft)[phase].message}"))
            return CHANGED
    return None


def migrations_begin(draft: Draft) -> Ruling:
    """Nothing else keeps the first step from beginning: one after the other runs before it, and migrate begins with it.

    Where the first step began in a pause, migrate begins once that is over: full weight would wait for it for ever.
    """
    if draft.replicas == 0:
        return None
    phase = first_lacking(draft) if draft.step is None else None
    if phase is None:
        unbegun = is_lacking(draft, MigrationPhase.MIGRATE) and MigrationPhase.MIGRATE not in runs_of(draft)
        phase = MigrationPhase.MIGRATE if unbegun else None
    elif (one := runs_of(draft).get(phase)) is not None:
        return until_prepared(draft, one)
    if phase is None or draft.stage is not Stage.CLIMBING:
        return None
    if (closed := barrier(draft, Rise.MIGRATION)) is not None:
        return held_up(draft, closed)
    begin(draft, phase)
    return CHANGED


def what_follows_begins(draft: Draft) -> Ruling:
    """A rollout is over: what it did to a database is undone, or what it has left behind is removed."""
    if draft.deleting:
        return None
    if (given_up := _given_up(draft)) is not None:
        replaced(draft, given_up, edited(given_up, result=MigrationResult.STOPPED, message=_TAKEN_OUT, ended=draft.now))
        return CHANGED
    for phase in (MigrationPhase.ROLLBACK, MigrationPhase.CONTRACT):
        if result_of(draft, phase) is not MigrationResult.PENDING or any(running(draft)):
            continue
        if phase is MigrationPhase.CONTRACT:
            if not may_contract(draft):
                continue
            if (frozen := governed.freeze(draft)) is not None:
                return frozen
        begin(draft, phase)
        return CHANGED
    return None


def _given_up(draft: Draft) -> MigrationRun | None:
    """Return a contract that has not begun and that the policy has no more: it removes nothing then; None where there is none."""
    one = runs_of(draft).get(MigrationPhase.CONTRACT)
    pending = one is not None and one.result is MigrationResult.PENDING
    return one if pending and not draft.active and not is_asked_still(draft, MigrationPhase.CONTRACT) else None


def return_is_told(draft: Draft) -> Ruling:
    """A version is wanted that may need what a contract has removed: a person is called, once."""
    contracted = contracted_away(draft)
    if contracted is None or draft.workload is None or contracted.held == draft.workload.template.revision:
        return None
    draft.set(contracted=edited(contracted, held=draft.workload.template.revision))
    draft.note(ReturnHeld(wanted_name(draft), draft.stable.version, f"{why_held(draft, contracted)}; {way_back(draft)[0]}"))
    return CHANGED
