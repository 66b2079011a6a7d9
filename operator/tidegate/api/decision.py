"""ReleaseDecision: what one person, whom the API server knows, has decided on a Release.

It is made once and never changed: who changes their mind makes another. Who may make which is the RBAC verb of its action on that
very Release, asked by the admission policies of `deploy/admission`; they also fill in who it was.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, Model, Rule, Sentence, Time
from tidegate.api.flags import Position
from tidegate.api.gate import AT_LEAST_1S, Name

NO_SUCH_ROLE = "no-such-role"
"""Role that nobody has by name: whoever may decide in it holds all roles by a wildcard, and votes in none."""
MOST_GROUPS = 2000
"""Some people are in hundreds."""
ReleaseName = Annotated[str, Field(min_length=1, max_length=52, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Account = Annotated[str, Field(max_length=512)]


class Action(StrEnum):
    """What is decided. The RBAC verb for it on the Release is the same word in lower case."""

    APPROVE = "Approve"
    REJECT = "Reject"
    ATTEST = "Attest"
    OVERRIDE = "Override"
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    PAUSE = "Pause"
    RESUME = "Resume"
    RETRY = "Retry"
    SWITCH = "Switch"


class Result(StrEnum):
    """What a check outside of Tidegate came to."""

    PASSED = "Passed"
    FAILED = "Failed"


class DecisionOutcome(StrEnum):
    """What became of a decision."""

    COUNTED = "Counted"
    CARRIED_OUT = "CarriedOut"
    REFUSED = "Refused"
    EXPIRED = "Expired"
    SUPERSEDED = "Superseded"


class ReleaseDecisionSpec(Model):
    """Who decides what, and on which version of which Release."""

    release: Annotated[ReleaseName, Field(description="Name of the Release, in the same namespace.")]
    action: Annotated[
        Action,
        Field(
            description=(
                "What is decided. Approve, Reject, Attest and Override count for one version until they expire or a later one "
                "withdraws them; Promote, Rollback, Pause, Resume, Retry and Switch are carried out once. It takes the verb of "
                "the same name on that Release."
            )
        ),
    ]
    release_uid: Annotated[
        str | None,
        Field(
            alias="releaseUID",
            min_length=1,
            max_length=64,
            description=(
                "metadata.uid of the Release. A decision with another uid is refused: the Release was deleted and "
                "made again since. Default: none; then it must be younger than the Release."
            ),
        ),
    ] = None
    revision: Annotated[
        Name | None,
        Field(
            description=(
                "Revision of the version that it is about (status.candidate.revision of the Release). Required for Approve, Attest "
                "and Override. Default: none; a command then counts for whatever is rolled out when it is carried out."
            )
        ),
    ] = None
    digest: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[a-z0-9]([-a-z0-9:]*[a-z0-9])?$",
            description=(
                "Digest of what is approved, the pod template with its images (status.candidate.digest of the Release): a version "
                "counts as approved by its content, whatever it is called. Required for Approve, Attest and Override. Default: "
                "none."
            ),
        ),
    ] = None
    role: Annotated[
        Name | None,
        Field(
            description=(
                "Role of the approval, rejection or attestation: it takes the verb on the subresource releases/<role> of that "
                "Release. Required for Approve and Attest. Default: none."
            )
        ),
    ] = None
    check: Annotated[
        Name | None,
        Field(description="Name of the check that is attested. For Attest, which requires it. Default: none."),
    ] = None
    result: Annotated[
        Result | None,
        Field(description="What the check came to: Passed or Failed. For Attest, which requires it. Default: none."),
    ] = None
    url: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^https?://[^ ]+$",
            description="Where the report of the check is, for people; Tidegate never reads it. For Attest alone. Default: none.",
        ),
    ] = None
    to_version: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description=(
                "For Rollback alone: the version that is in force and is to be again; a rollback to another one is refused. "
                "Default: none; then whichever version is in force."
            ),
        ),
    ] = None
    hold: Annotated[
        bool,
        Field(
            description=(
                "For Rollback alone: also keep the next version from starting until somebody resumes, as what comes next may be as "
                "bad. Default: false."
            )
        ),
    ] = False
    flag: Annotated[
        Name | None,
        Field(description="Name of the flag in spec.flags of the Release. For Switch, which requires it. Default: none."),
    ] = None
    switch: Annotated[
        Position | None,
        Field(
            description=(
                "For Switch, which requires it. Off or On: everybody gets that variant of the flag, whatever its definition and a "
                "rollout say, until it is switched Back. Default: none."
            )
        ),
    ] = None
    reason: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="Why, for people and for the record. Default: none.")
    ] = None
    expires: Annotated[
        Duration | None,
        Field(
            description=(
                "How long it counts, from its creation on; a command that was not carried out by then is not carried out. At least "
                "1s. Default: none; a vote then counts for as long as the policy has it count."
            )
        ),
        AT_LEAST_1S,
    ] = None
    by: Annotated[
        Account | None,
        Field(
            description=(
                "Name of the account that decides, as the API server knows it. It is filled in, and another name is refused; "
                "before Kubernetes 1.36 it has to be written (`tidegate approve` does). Default: none."
            )
        ),
    ] = None
    groups: Annotated[
        tuple[Account, ...],
        Field(
            max_length=MOST_GROUPS,
            description="Groups of that account, filled in likewise, for its right is checked again later. Default: none.",
        ),
    ] = ()


_ABOUT_A_VERSION = "!(self.spec.action in ['Approve', 'Attest', 'Override'])"
DECISION_RULES = (
    Rule("self.spec == oldSelf.spec", "a decision is never changed: make another one, which withdraws it", ".spec"),
    Rule(
        "has(self.spec.by) && size(self.spec.by) > 0",
        "is required before Kubernetes 1.36: give the name of your account (kubectl auth whoami)",
        ".spec.by",
    ),
    Rule(f"{_ABOUT_A_VERSION} || has(self.spec.revision)", "is required for Approve, Attest and Override", ".spec.revision"),
    Rule(f"{_ABOUT_A_VERSION} || has(self.spec.digest)", "is required for Approve, Attest and Override", ".spec.digest"),
    Rule("!(self.spec.action in ['Approve', 'Attest']) || has(self.spec.role)", "is required for Approve and Attest", ".spec.role"),
    Rule(
        "!has(self.spec.role) || self.spec.action in ['Approve', 'Reject', 'Attest']",
        "is for Approve, Reject and Attest alone",
        ".spec.role",
    ),
    Rule(
        f"!has(self.spec.role) || !(self.spec.role in ['{NO_SUCH_ROLE}', 'status'])",
        f"{NO_SUCH_ROLE} and status are reserved: give another name",
        ".spec.role",
    ),
    Rule("has(self.spec.check) == (self.spec.action == 'Attest')", "is required for Attest, and for nothing else", ".spec.check"),
    Rule("has(self.spec.result) == (self.spec.action == 'Attest')", "is required for Attest, and for nothing else", ".spec.result"),
    Rule("!has(self.spec.url) || self.spec.action == 'Attest'", "is for Attest alone", ".spec.url"),
    Rule("!has(self.spec.toVersion) || self.spec.action == 'Rollback'", "is for Rollback alone", ".spec.toVersion"),
    Rule("has(self.spec.flag) == (self.spec.action == 'Switch')", "is required for Switch, and for nothing else", ".spec.flag"),
    Rule("has(self.spec.switch) == (self.spec.action == 'Switch')", "is required for Switch, and for nothing else", ".spec.switch"),
    Rule("!self.spec.hold || self.spec.action == 'Rollback'", "is for Rollback alone", ".spec.hold"),
)


class ReleaseDecisionStatus(Model):
    """What became of it; only the operator writes this."""

    outcome: Annotated[
        DecisionOutcome | None,
        Field(
            description=(
                "Counted: it counts for its version. CarriedOut: what it asked for has been done. Refused, Expired, Superseded: it "
                "does not count (any more). Default: none; it has not been looked at yet."
            )
        ),
    ] = None
    message: Annotated[Sentence | None, Field(description="Why, in one sentence. Default: none.")] = None
    at: Annotated[Time | None, Field(description="Since when. Default: none.")] = None
