"""What can happen to the database of a version, as facts with their words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tidegate.api.migrated import ContractedStatus
from tidegate.api.migrations import MigrationPhase
from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert, Transition
from tidegate.engine.words import words
from tidegate.governance.times import moment
from tidegate.governance.versions import numbers

CALLED = {
    MigrationPhase.BACKUP: "backup",
    MigrationPhase.DRY_RUN: "dry run",
    MigrationPhase.EXPAND: "expand",
    MigrationPhase.MIGRATE: "migrate",
    MigrationPhase.CONTRACT: "contract",
    MigrationPhase.ROLLBACK: "rollback",
}
"""What each is called in sentences."""


def called(phase: MigrationPhase, version: str) -> str:
    """Return what a phase of a version is called in sentences: its rollback is not that of its traffic."""
    return f"{CALLED[phase]} of {version}'s migrations" if phase is MigrationPhase.ROLLBACK else f"{CALLED[phase]} of {version}"


RESTORE = "restore it first; then, to roll it out all the same"
"""What is done about a version that may need what a contract has removed, before the command that lets it back."""


def removed(contracted: ContractedStatus, version: str) -> str:
    """Return why a version is not let back after a contract, in words."""
    return f"contract of {contracted.version} has run since {moment(contracted.at)} and has removed what {version} may need"


def keeps_out(contracted: ContractedStatus, revisions: Collection[str], version: str) -> bool:
    """Whether a version waits for a person, as a contract may have removed what it needs.

    Args:
        contracted: what contract has removed.
        revisions: by which the version is known; empty where that is not known.
        version: its name.
    """
    if contracted.allowed in revisions:
        return False
    wanted, last = numbers(version), numbers(contracted.version)
    older = wanted is not None and last is not None and wanted < last
    return older or not set(revisions).isdisjoint(contracted.revisions)


@dataclass(frozen=True)
class MigrationStarted(Transition):
    """A Job of a migration is wanted from now on."""

    id = "migration-started"
    reason = EventReason.MIGRATION_STARTED
    version: str
    phase: MigrationPhase
    job: str


@dataclass(frozen=True)
class MigrationDone(Transition):
    """A Job of a migration has succeeded."""

    id = "migration-done"
    reason = EventReason.MIGRATION_DONE
    version: str
    phase: MigrationPhase
    job: str
    output: str


@dataclass(frozen=True)
class MigrationFailed(Alert):
    """A Job of a migration has failed, and what becomes of the version."""

    id = "migration-failed"
    reason = EventReason.MIGRATION_FAILED
    version: str
    phase: MigrationPhase
    message: str
    then: str


@dataclass(frozen=True)
class ReverseFailed(Alert):
    """What a rollout has done to a database could not be undone: nothing starts until somebody has seen to it."""

    id = "reverse-failed"
    reason = EventReason.MIGRATION_FAILED
    version: str
    message: str
    cure: str


@dataclass(frozen=True)
class ReturnHeld(Alert):
    """A version is to come back that may need what a contract has removed."""

    id = "return-held"
    reason = EventReason.RETURN_HELD
    version: str
    stable: str
    message: str


@words.register
def _(it: MigrationStarted) -> str:
    return f"{called(it.phase, it.version)} starts (Job {it.job})"


@words.register
def _(it: MigrationDone) -> str:
    return f"{called(it.phase, it.version)} succeeded (Job {it.job}){f': {it.output}' if it.output else ''}"


@words.register
def _(it: MigrationFailed) -> str:
    return f"{called(it.phase, it.version)} failed, {it.then}: {it.message}"


@words.register
def _(it: ReverseFailed) -> str:
    return f"{called(MigrationPhase.ROLLBACK, it.version)} failed, and the next rollout waits: {it.message}; {it.cure}"


@words.register
def _(it: ReturnHeld) -> str:
    return f"{it.version} is not rolled back to, {it.stable} serves: {it.message}"
