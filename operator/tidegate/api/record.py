"""ReleaseRecord: how one rollout went, written once when it ends and never changed, each chained to the one before by its hash.

All of it is text, whole numbers, lists and maps: these survive being stored, so their canonical form has the same hash wherever it
is taken. Fields without a value are left out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Model, Rule, Sentence, Time
from tidegate.api.checked import MOST_CHECKS, CheckResult
from tidegate.api.decision import Action, ReleaseName, Result
from tidegate.api.flagged import MOST_FLAG_STATUSES
from tidegate.api.followed import LONGEST_IMAGE, MOST_IMAGES
from tidegate.api.grouped import MOST_MEMBERS
from tidegate.api.hotfix import HotfixStatus
from tidegate.api.migrated import LONGEST_OUTPUT, MigrationResult
from tidegate.api.migrations import MigrationPhase
from tidegate.api.names import Cause, Verdict
from tidegate.api.recorded import MOST_AUTHORS, MOST_COURSE, CommitIgnored, Hash, RecordedAuthor, RecordedWeight, RecordNumber
from tidegate.api.release import ReleaseType
from tidegate.api.status import Outcome

MOST_DECISIONS = 24
"""Decisions that a record has; of more it says how many it leaves out."""
LONGEST_ACCOUNT = 128
"""Characters of an account's name that it has."""
LONGEST_REASON = 256
"""Characters of why somebody decided so, and of what a gate said."""
LONGEST_REPORT = 256
"""Characters of the address of a check's report."""
LARGEST_RECORD = 224 * 1024
"""Bytes of a record as JSON at most, whatever people have called things; most have two or three thousand."""
MOST_UPSTREAMS = 8
"""Releases that a record names that had to prove the version."""
_Quantity = Annotated[str, Field(max_length=32)]


class Omitted(StrEnum):
    """What a record that would be too large leaves out, one after the other in this order, by its place in the spec.

    First what is known elsewhere: images of the version before are in its own record, the numbers of gates beside their words. Last
    what a way back needs.
    """

    IMAGES_BEFORE = "from.images"
    GATE_LIMITS = "gates.limit"
    GATE_MESSAGES = "gates.message"
    CHECK_MESSAGES = "checks.message"
    MIGRATION_MESSAGES = "migrations.message"
    OUTPUTS = "migrations.output"
    REASONS = "decisions.reason"
    IMAGES = "to.images"


class RecordedVersion(Model):
    """A version."""

    version: Annotated[str, Field(max_length=128, description="Its name for people.")] = ""
    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")] = ""
    images: Annotated[
        dict[str, Annotated[str, Field(max_length=LONGEST_IMAGE)]],
        Field(max_length=MOST_IMAGES, description="Its images by container name."),
    ] = {}  # noqa: RUF012 - pydantic gives each object a copy


class RecordedDecision(Model):
    """A decision that counted for the new version."""

    name: Annotated[str, Field(max_length=253, description="Name of the ReleaseDecision.")] = ""
    uid: Annotated[str, Field(max_length=64, description="metadata.uid of it.")] = ""
    action: Annotated[Action, Field(description="What was decided.")]
    by: Annotated[
        str, Field(max_length=LONGEST_ACCOUNT, description="Who has decided, as the API server knows them; cut to 128 characters.")
    ] = ""
    role: Annotated[str, Field(max_length=63, description="As what.")] = ""
    at: Annotated[Time, Field(description="When.")]
    check: Annotated[str, Field(max_length=63, description="Name of the check that was attested.")] = ""
    result: Annotated[Result | None, Field(description="What the check came to.")] = None
    url: Annotated[
        str,
        Field(
            max_length=LONGEST_REPORT,
            description="Where the report of the check is, without user, password and query, cut to 256 characters.",
        ),
    ] = ""
    reason: Annotated[str, Field(max_length=LONGEST_REASON, description="Why, in their words, cut to 256 characters.")] = ""


class RecordedCheck(Model):
    """A check of the new version by a Job or a request; those that are attested are among the decisions."""

    name: Annotated[str, Field(max_length=63, description="Name of the check in the policy.")]
    at: Annotated[str, Field(max_length=10, description="Its point: Start, or a weight.")] = ""
    result: Annotated[CheckResult, Field(description="What it came to.")]
    by: Annotated[str, Field(max_length=280, description="The CronJob that its Job was made from, or what was called.")] = ""
    job: Annotated[str, Field(max_length=63, description="Name of the Job, or id of the request.")] = ""
    attempt: Annotated[int, Field(ge=1, le=6, description="Number of that Job, from 1.")] = 1
    ended: Annotated[Time | None, Field(description="When the result was seen.")] = None
    message: Annotated[str, Field(max_length=LONGEST_REASON, description="Why it failed, cut to 256 characters.")] = ""


class RecordedMigration(Model):
    """A Job of the backup or of the migrations of the new version."""

    phase: Annotated[MigrationPhase, Field(description="Backup, DryRun, Expand or Migrate.")]
    result: Annotated[
        MigrationResult, Field(description="What it had come to when the rollout ended; Running: it was being stopped.")
    ]
    by: Annotated[str, Field(max_length=63, description="The CronJob that its Job was made from.")] = ""
    job: Annotated[str, Field(max_length=63, description="Name of the Job.")] = ""
    output: Annotated[
        str,
        Field(
            max_length=LONGEST_OUTPUT,
            description="The last line of its termination message, cut to 1024 characters: of Backup the reference of the "
            "artefact, of DryRun its result.",
        ),
    ] = ""
    ended: Annotated[Time | None, Field(description="When the result was seen.")] = None
    message: Annotated[str, Field(max_length=LONGEST_REASON, description="Why it failed, cut to 256 characters.")] = ""


class RecordedUpstream(Model):
    """Another Release, which had to prove the version (spec.after) or from which it was taken (spec.follow)."""

    release: Annotated[str, Field(max_length=253, description="Its name.")]
    namespace: Annotated[str, Field(max_length=63, description="Its namespace.")]
    cluster: Annotated[str, Field(max_length=63, description="Its cluster; absent for this one.")] = ""


class RecordedFlag(Model):
    """A feature flag that the rollout has set."""

    name: Annotated[str, Field(max_length=63, description="Its name in spec.flags of the Release.")]
    flag: Annotated[str, Field(max_length=128, description="Key of the flag.")]
    before: Annotated[str, Field(max_length=64, description="What it was before: a variant, or a percentage such as 10%.")] = ""
    set: Annotated[str, Field(max_length=64, description="What the rollout has set it to last.")] = ""
    restored: Annotated[bool, Field(description="After a rollback: it was what it was before when the rollout ended.")] = False
    left: Annotated[bool, Field(description="Somebody else has set it meanwhile.")] = False
    switched: Annotated[str, Field(max_length=64, description="The variant that a decision forced on everybody then.")] = ""


class RecordedGate(Model):
    """What a gate said last."""

    name: Annotated[str, Field(max_length=63, description="Name of the gate in the policy.")]
    verdict: Annotated[Verdict, Field(description="Pass, Fail or Undecided.")]
    canary: Annotated[_Quantity, Field(description="Value of the new version, in the metric's unit, as text.")] = ""
    stable: Annotated[_Quantity, Field(description="Value of the stable version.")] = ""
    limit: Annotated[str, Field(max_length=LONGEST_REASON, description="The limit in words.")] = ""
    requests: Annotated[_Quantity, Field(description="Requests of the new version that were counted.")] = ""
    bad: Annotated[_Quantity, Field(description="Bad ones among them.")] = ""
    message: Annotated[str, Field(max_length=LONGEST_REASON, description="The verdict in words, cut to 256 characters.")] = ""


class ReleaseRecordSpec(Model):
    """How one rollout went."""

    id: Annotated[
        str,
        Field(
            max_length=40,
            pattern=r"^rel_[0-9]{8}_[0-9]{4}(_[0-9]+)?$",
            description="rel_YYYYMMDD_hhmm by the start of the rollout, in UTC; of several of a Release in one minute, or after a "
            "clock went back, the later ones have _2, _3 behind. No two records of a Release have the same.",
        ),
    ]
    number: Annotated[RecordNumber, Field(ge=1, description="Its place in the chain of its Release, from 1.")]
    previous: Annotated[Hash | None, Field(description="hash of the record before; absent for the first.")] = None
    hash: Annotated[
        Hash | None,
        Field(description="SHA-256 over the canonical JSON (RFC 8785) of this spec without this field."),
    ] = None
    checkpoint: Annotated[
        RecordNumber,
        Field(ge=1, description="The chain is kept from this number on: earlier records may be gone, no later one may."),
    ]
    release: Annotated[ReleaseName, Field(description="Name of the Release.")]
    release_uid: Annotated[
        str, Field(alias="releaseUID", max_length=64, description="metadata.uid of it: each Release has a chain of its own.")
    ]
    namespace: Annotated[str, Field(max_length=63, description="Namespace of both.")]
    workload: Annotated[str, Field(max_length=300, description="Kind and name of the workload.")] = ""
    service: Annotated[str, Field(max_length=63, description="The Service; absent without traffic by routes.")] = ""
    environment: Annotated[str, Field(max_length=63, description="Environment of the Release.")] = ""
    after: Annotated[
        tuple[RecordedUpstream, ...],
        Field(max_length=MOST_UPSTREAMS, description="Releases that it followed or came after, as the Release said when it ended."),
    ] = ()
    moved_with: Annotated[
        tuple[Annotated[str, Field(max_length=253)], ...],
        Field(max_length=MOST_MEMBERS, description="Releases of its group (spec.group) that were rolled out at the same time."),
    ] = ()
    type: Annotated[ReleaseType | None, Field(description="How much the version changes, or hotfix.")] = None
    policy: Annotated[str, Field(max_length=300, description="Kind and name of the policy.")] = ""
    before: Annotated[RecordedVersion, Field(alias="from", description="The version that was in force.")]
    to: Annotated[RecordedVersion, Field(description="The version that was rolled out.")]
    digest: Annotated[
        str,
        Field(
            max_length=71,
            description="SHA-256 of the new version's content: its canonical pod template with image references, but for kubectl's "
            "restartedAt. By this it was approved.",
        ),
    ] = ""
    authors: Annotated[
        tuple[RecordedAuthor, ...], Field(max_length=MOST_AUTHORS, description="Who has changed the version, as far as known.")
    ] = ()
    decisions: Annotated[
        tuple[RecordedDecision, ...],
        Field(max_length=MOST_DECISIONS, description="Votes, attestations and commands that counted for it, in order."),
    ] = ()
    decisions_omitted: Annotated[RecordNumber | None, Field(description="How many more there were.")] = None
    checks: Annotated[
        tuple[RecordedCheck, ...], Field(max_length=MOST_CHECKS, description="Its checks by Jobs and requests until it ended.")
    ] = ()
    migrations: Annotated[
        tuple[RecordedMigration, ...],
        Field(max_length=len(MigrationPhase), description="Its backup and migrations until the rollout ended."),
    ] = ()
    flags: Annotated[
        tuple[RecordedFlag, ...], Field(max_length=MOST_FLAG_STATUSES, description="Feature flags that the rollout has set.")
    ] = ()
    hotfix: Annotated[HotfixStatus | None, Field(description="By whose word it was a hotfix, and which barriers it skipped.")] = (
        None
    )
    seen_at: Annotated[Time, Field(description="When the version was first seen; it may have waited for barriers since.")]
    committed_at: Annotated[
        Time | None,
        Field(
            description="When the commit of the version was made, as spec.committedAt of the Release or the annotation "
            "tidegate.dev/committed-at of the workload said; lead times count from here. Absent where neither did."
        ),
    ] = None
    commit_ignored: Annotated[
        CommitIgnored | None,
        Field(
            description="Why the lead time does not count from the commit: Unreadable (no time as in RFC 3339), Future (later than "
            "the version was first seen), TooOld (more than a year before that) or NotNewer (not later than the commit of the "
            "version before). Absent if it does, or if no commit was named."
        ),
    ] = None
    started_at: Annotated[Time, Field(description="When the rollout started.")]
    exposed_at: Annotated[Time | None, Field(description="When the version first got traffic; absent if it never did.")] = None
    undo_at: Annotated[Time | None, Field(description="When it began to be rolled back; absent if it never was.")] = None
    ended_at: Annotated[Time, Field(description="When the rollout ended.")]
    course: Annotated[
        tuple[RecordedWeight, ...], Field(max_length=MOST_COURSE, description="Which weight it had from when on, by step.")
    ] = ()
    course_omitted: Annotated[RecordNumber | None, Field(description="How many changes of its weight are left out.")] = None
    gates: Annotated[tuple[RecordedGate, ...], Field(max_length=20, description="What each gate said last.")] = ()
    outcome: Annotated[Outcome, Field(description="Promoted, RolledBack, Superseded or Reverted.")]
    cause: Annotated[Cause, Field(description="Why it ended so.")]
    message: Annotated[Sentence, Field(description="The reason in words, with its numbers.")] = ""
    omitted: Annotated[
        tuple[Omitted, ...],
        Field(
            max_length=len(Omitted),
            description="What had no room in this record and is left out, by its place in it; absent where nothing is.",
        ),
    ] = ()


RECORD_RULES = (Rule("self.spec == oldSelf.spec", "a record is never changed", ".spec"),)
