"""What a status has of the database's changes with a version: which Jobs were made, what they came to, and what cannot go back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Sentence, Time
from tidegate.api.checked import CheckedStatus
from tidegate.api.migrations import MigrationPhase

LONGEST_OUTPUT = 1024
"""Characters of the last line of a termination message that are kept: a plan of a few statements fits."""
LONGEST_PROGRESS = 64
MOST_ATTEMPTS = 1000
MOST_CONTRACTED = 20


class MigrationResult(StrEnum):
    """How a Job of a migration stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"
    STOPPED = "Stopped"


class MigrationRun(Model):
    """One Job of it. It stands here before the Job is made, so that one is made once, whoever dies meanwhile."""

    phase: Annotated[MigrationPhase, Field(description="Backup, DryRun, Expand, Migrate, Contract or Rollback.")]
    cron_job: Annotated[str, Field(max_length=63, description="The CronJob that its Job is made from.")]
    seconds: Annotated[int, Field(ge=1, description="How long the Job may take.", json_schema_extra={"format": "int64"})]
    job: Annotated[str | None, Field(max_length=63, description="Name of the last Job; absent while Pending.")] = None
    uid: Annotated[str | None, Field(max_length=64, description="metadata.uid of that Job, once it was seen.")] = None
    attempt: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS, description="Number of that Job, from 1.")] = 1
    result: Annotated[
        MigrationResult,
        Field(
            description="Pending: it waits for Jobs that are being stopped, or for a freeze to end. Running. Passed. Failed. "
            "Stopped: the rollout was undone meanwhile."
        ),
    ]
    progress: Annotated[
        str | None,
        Field(
            max_length=LONGEST_PROGRESS,
            description="How far it is, by the annotation tidegate.dev/progress of the Job, or by its completions.",
        ),
    ] = None
    output: Annotated[
        str,
        Field(
            max_length=LONGEST_OUTPUT,
            description="The last line of the termination message of its pod, cut to 1024 characters. Of Backup: the reference of "
            "the artefact.",
        ),
    ] = ""
    message: Annotated[Sentence, Field(description="Why it failed, in words.")] = ""
    since: Annotated[Time | None, Field(description="Since when this Job is wanted.")] = None
    ended: Annotated[Time | None, Field(description="When the result was seen.")] = None


class MigrationStatus(Model):
    """What is run for one rollout: that which is on, or else the last one."""

    version: Annotated[str, Field(max_length=128, description="The new version.")]
    revision: Annotated[str, Field(max_length=63, description="Its revision.")]
    digest: Annotated[str, Field(max_length=71, description="Digest of its content.")] = ""
    before: Annotated[str, Field(max_length=128, description="The version that was in force when the rollout started.")] = ""
    since: Annotated[Time, Field(description="When the rollout started.")]
    over: Annotated[Time | None, Field(description="When it ended; absent while it is on.")] = None
    promoted: Annotated[bool, Field(description="Whether it ended with the new version promoted.")] = False
    runs: Annotated[
        tuple[MigrationRun, ...],
        Field(max_length=len(MigrationPhase), description="Its Jobs, the last of each phase."),
        K8s(list_map_keys=("phase",)),
    ] = ()


class ContractedStatus(Model):
    """What contract has removed: versions that were in force before may need it."""

    version: Annotated[str, Field(max_length=128, description="The version whose contract was the last to begin.")]
    at: Annotated[Time, Field(description="When it began.")]
    revisions: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...],
        Field(max_length=MOST_CONTRACTED, description="Revisions that are rolled out only if a person requests retry."),
    ] = ()
    undone: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...],
        Field(
            max_length=MOST_CONTRACTED,
            description="Revisions that a person has undone by letting an earlier version back, with a restored database: they run "
            "their migrations again.",
        ),
    ] = ()
    held: Annotated[str | None, Field(max_length=63, description="Revision that is held for a person now.")] = None
    allowed: Annotated[
        str | None, Field(max_length=63, description="Revision that a person wants rolled out all the same, once.")
    ] = None


class MigratedStatus(CheckedStatus):
    """What a Release's status has of migrations."""

    migration: Annotated[
        MigrationStatus | None, Field(description="Backup and migrations of the rollout that is on, or of the last one.")
    ] = None
    contracted: Annotated[
        ContractedStatus | None, Field(description="Which versions cannot go back without a person; absent if nothing was removed.")
    ] = None
