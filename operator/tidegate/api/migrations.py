"""The fields `migrations` and `backup` of a policy: what is run of a database's changes before, during and after a rollout."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, Model, Rule
from tidegate.api.gate import AT_LEAST_1S


class MigrationPhase(StrEnum):
    """What a Job does to the database of a version."""

    BACKUP = "Backup"
    DRY_RUN = "DryRun"
    EXPAND = "Expand"
    MIGRATE = "Migrate"
    CONTRACT = "Contract"
    ROLLBACK = "Rollback"


BEFORE = (MigrationPhase.BACKUP, MigrationPhase.DRY_RUN, MigrationPhase.EXPAND)
"""What is run before anything of a version is there, in this order."""
LONGEST = {
    MigrationPhase.BACKUP: timedelta(hours=1),
    MigrationPhase.DRY_RUN: timedelta(minutes=10),
    MigrationPhase.EXPAND: timedelta(minutes=30),
    MigrationPhase.MIGRATE: timedelta(hours=24),
    MigrationPhase.CONTRACT: timedelta(hours=1),
    MigrationPhase.ROLLBACK: timedelta(hours=1),
}
"""How long each may take where the policy does not say."""
MIGRATIONS_RULES = (
    Rule(
        "has(self.dryRun) || has(self.expand) || has(self.migrate) || has(self.contract)",
        "give at least one of dryRun, expand, migrate and contract",
    ),
    Rule(
        "!has(self.rollback) || has(self.expand) || has(self.migrate)",
        "rollback undoes expand and migrate: give one of them",
        ".rollback",
    ),
)


class MigrationJob(Model):
    """A CronJob that a Job is made from."""

    cron_job: Annotated[
        str,
        Field(
            min_length=1,
            max_length=52,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            description=(
                "CronJob of the Release's namespace; a suspended one will do. It has to name the Release in its annotation "
                "tidegate.dev/run-for. The last line of its termination message is shown in the status, and recorded."
            ),
        ),
    ]
    timeout: Annotated[
        Duration | None,
        Field(
            description=(
                "How long the Job may take, with all tries of its backoffLimit, at least 1s; then it is stopped, and has failed. "
                "Default: backup, contract and rollback 1h, dryRun 10m, expand 30m, migrate 24h."
            )
        ),
        AT_LEAST_1S,
    ] = None


class Migrations(Model):
    """Changes of a database that come with a version, as Jobs."""

    dry_run: Annotated[
        MigrationJob | None,
        Field(
            description=(
                "Shows what expand would do, and changes nothing: before it. Its last line is recorded. If it fails, the version "
                "is rejected, and nothing of it starts. Default: none."
            )
        ),
    ] = None
    expand: Annotated[
        MigrationJob | None,
        Field(
            description=(
                "Adds what the new version needs, such that the stable one keeps working: before the first pod of the new version. "
                "If it fails, the version is rejected, and nothing of it starts. Default: none."
            )
        ),
    ] = None
    migrate: Annotated[
        MigrationJob | None,
        Field(
            description=(
                "Moves data, in batches: it begins with the first step, and has to have succeeded before the new version gets "
                "100%. If it fails, the version is rejected and rolled back. Default: none."
            )
        ),
    ] = None
    contract: Annotated[
        MigrationJob | None,
        Field(
            description=(
                "Removes what only earlier versions need: after the bake, once the new version is promoted and no pod of the "
                "earlier one is left. From then on an earlier version is rolled out only if a person requests retry. Default: none."
            )
        ),
    ] = None
    rollback: Annotated[
        MigrationJob | None,
        Field(
            description=(
                "Undoes expand and migrate of a rollout that is undone, once stable has all of the traffic and no pod of the new "
                "version is left. The next rollout waits for it. It has to cope with an expand that was stopped. Default: none."
            )
        ),
    ] = None
