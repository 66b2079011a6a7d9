"""What the HTTP API takes and answers, as models: the OpenAPI document is made of these, so it cannot say anything else."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from tidegate.api.decision import NO_SUCH_ROLE, Action, Result
from tidegate.api.migrated import MigrationResult
from tidegate.api.migrations import MigrationPhase

A_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
A_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
A_RELEASE_ID = re.compile(r"^rel_[0-9]{8}_[0-9]{4}(_[0-9]{1,4})?$")
LABEL, NAME, RELEASE_ID = A_LABEL.pattern, A_NAME.pattern, A_RELEASE_ID.pattern
EITHER = rf"({RELEASE_ID})|({NAME})"
LONGEST_NAME = 63
WORDS = ("prepare", "promote", "rollback", "decide")
"""Parts of paths that are what can be done, and no rollout: a Release of such a name is in the list alone."""
Namespace = Annotated[str, Field(max_length=LONGEST_NAME, pattern=LABEL)]
Environment = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=LABEL, description="As in spec.environment.")]
Release = Annotated[
    str, Field(min_length=1, max_length=LONGEST_NAME, pattern=NAME, description="Name of a Release.", examples=["checkout"])
]
Id = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=EITHER,
        examples=["checkout"],
        description="Id of a rollout, such as rel_20240115_1200 (the minute at which it started, UTC), or the name of a Release: "
        "its rollout that is on, or else its last one.",
    ),
]
Reason = Annotated[str, Field(min_length=1, max_length=512, description="Why, for people and for the record.")]
RESERVED_ROLES = (NO_SUCH_ROLE, "status")
"""Names that are no role: the API server refuses them."""


def _no_reserved_role(role: str) -> str:
    if role in RESERVED_ROLES:
        raise ValueError(f"{' and '.join(RESERVED_ROLES)} are reserved: give another name")
    return role


Role = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=LABEL,
        description="Your role, as the policy names it.",
        json_schema_extra={"not": {"enum": list(RESERVED_ROLES)}},
        examples=["qa"],
    ),
    AfterValidator(_no_reserved_role),
]
ToVersion = Annotated[
    str, Field(min_length=1, max_length=128, description="The version in force that is meant; to another one nothing is done.")
]
Hold = Annotated[bool, Field(description="Also keep the next version from starting until Resume. Default: false.")]
Version = Annotated[str, Field(min_length=1, max_length=128, description="Name or revision of the version that is meant.")]


class Body(BaseModel):
    """A part of a request or an answer; what it does not know it refuses, for it would not be done."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class State(StrEnum):
    """Where a version is."""

    PREPARED = "prepared"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    IDLE = "idle"


class Prepare(Body):
    """Which version is to be brought where."""

    from_env: Annotated[Environment, Field(description="Environment in which the version is in force.", examples=["staging"])]
    to_env: Annotated[Environment, Field(description="Environment that is to get it.", examples=["production"])]
    release: Annotated[
        Release | None,
        Field(description="Name of the Release in to_env. Default: none; then there must be one only in that environment."),
    ] = None
    dry_run: Annotated[bool, Field(description="Only say what would be done. Default: false.")] = False


class Promote(Body):
    """Which rollout is to go on."""

    release_id: Id
    role: Annotated[Role | None, Field(description="Role in which you approve what waits for approval. Default: none.")] = None
    skip: Annotated[
        bool,
        Field(description="Promote at once, without the holds and gates that are left (the decision Promote). Default: false."),
    ] = False
    version: Annotated[Version | None, Field(description="Another version than this is not touched. Default: any.")] = None
    reason: Reason | None = None


class Rollback(Body):
    """Which rollout is to be undone."""

    release_id: Id
    to_version: ToVersion | None = None
    hold: Hold = False
    reason: Reason | None = None


class _Decision(Body):
    """A decision on a Release, with the fields of ReleaseDecision that its action has."""

    release_id: Id
    version: Annotated[Version | None, Field(description="Another version than this is not touched. Default: any.")] = None
    reason: Reason | None = None

    def said(self) -> dict[str, Any]:
        """Return what the decision says beside its action, under the names of ReleaseDecision; what is None is not said."""
        found = self.model_dump(mode="json", exclude={"release_id", "version", "action"})
        return {**found, **({"toVersion": found.pop("to_version")} if "to_version" in found else {})}


class Approve(_Decision):
    """Approve a version in a role."""

    action: Literal[Action.APPROVE]
    role: Role


class Reject(_Decision):
    """Reject a version, in a role or with the right on the Release itself."""

    action: Literal[Action.REJECT]
    role: Role | None = None


class Attest(_Decision):
    """Say what a check outside of Tidegate came to."""

    action: Literal[Action.ATTEST]
    role: Role
    check: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=LABEL, description="Name of the check.")]
    result: Annotated[Result, Field(description="What the check came to.")]
    url: Annotated[
        str | None,
        Field(min_length=1, max_length=1024, pattern=r"^https?://[^ ]+$", description="Where its report is. Default: none."),
    ] = None


class TakeBack(_Decision):
    """Give all requests back to the version in force."""

    action: Literal[Action.ROLLBACK]
    to_version: ToVersion | None = None
    hold: Hold = False


class Command(_Decision):
    """Promote, pause, resume, retry; or have a version count as a hotfix (Override)."""

    action: Literal[Action.OVERRIDE, Action.PROMOTE, Action.PAUSE, Action.RESUME, Action.RETRY]


class Decide(RootModel[Annotated[Approve | Reject | Attest | TakeBack | Command, Field(discriminator="action")]]):
    """Any decision on a Release. Each action has its own fields, as the API server will ask for them."""


class Waits(Body):
    """A barrier that is closed."""

    barrier: str
    what: str
    since: datetime
    until: datetime | None = None
    how: str = ""


class Migrates(Body):
    """A Job of the rollout's backup or migrations."""

    phase: MigrationPhase
    result: MigrationResult
    progress: Annotated[str | None, Field(description="How far it is, by its own account.")] = None
    output: Annotated[
        str, Field(description="The last line of its termination message: of Backup the reference of the artefact.")
    ] = ""
    message: Annotated[str, Field(description="Why it failed.")] = ""


class Rollout(Body):
    """A rollout, or what a Release is at."""

    release_id: Annotated[str | None, Field(description="None while no rollout of the Release has started.")] = None
    release: str
    namespace: str
    status: State
    from_env: Annotated[str | None, Field(description="Environment that must have proved the version, if one must.")] = None
    to_env: Annotated[str | None, Field(description="Environment of the Release, if it names one.")] = None
    version: str | None = None
    revision: str | None = None
    bundle_sha256: Annotated[
        str | None, Field(description="Digest of the pod template with its images: an approval counts for exactly this.")
    ] = None
    weight: Annotated[int, Field(ge=0, le=100, description="Share of the traffic, in percent.")] = 0
    images: dict[str, str] = {}
    migrations: Annotated[tuple[Migrates, ...], Field(description="Its backup and migrations, as far as they have begun.")] = ()
    waiting_for: tuple[Waits, ...] = ()
    message: str = ""
    created_at: datetime | None = None
    promoted_at: datetime | None = None
    failed_at: datetime | None = None
    error_message: str | None = None


class Decided(Body):
    """A decision that was made, and the rollout that it is about."""

    decision: Annotated[str, Field(description="Name of the ReleaseDecision.")]
    action: Action
    by: Annotated[str | None, Field(description="Who has decided, as the API server knows them.")] = None
    rollout: Rollout


class Latest(Body):
    """The section of /health on Releases: as far as the caller may read them."""

    configured: Annotated[bool, Field(description="Whether the API server has Releases.")]
    ok: Annotated[bool, Field(description="Whether no Release of the namespace is stalled or rolled back.")]
    latest_release: str | None = None
    environment: str | None = None


class Health(Body):
    """How this process is."""

    status: Annotated[str, Field(description="ok, or what is wrong.")]
    version: str
    releases: Annotated[Latest | None, Field(description="Only for requests with a token and a namespace.")] = None


class Problem(Body):
    """Why a request was not carried out."""

    code: Annotated[str, Field(description="For machines, such as `forbidden`.")]
    message: Annotated[str, Field(description="In words, with field and cause.")]
    request_id: Annotated[str, Field(description="As in the header X-Request-Id and the audit log.")]


class Refusal(Body):
    """The answer to a request that was not carried out."""

    success: bool = False
    error: Problem


class OneRollout(Body):
    """An answer."""

    success: bool = True
    data: Rollout


class ManyRollouts(Body):
    """An answer."""

    success: bool = True
    data: tuple[Rollout, ...]


class OneDecision(Body):
    """An answer."""

    success: bool = True
    data: Decided
