"""The field `checks` of a policy: what has to have been checked of a version, outside of Tidegate, before it goes on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.approvals import LONGEST_CONDITION, POINT, weight_of
from tidegate.api.base import Duration, Model, Rule
from tidegate.api.decision import NO_SUCH_ROLE
from tidegate.api.gate import AT_LEAST_1S, Name

REVIEW = "review"
"""Name of the check whose attestation is the review of a hotfix: nothing waits for it."""
CHECK_RULES = (
    Rule(f"self.name != '{REVIEW}'", f"{REVIEW} is reserved for the review of hotfixes: give another name", ".name"),
    Rule(
        f"!(self.attested.role in ['status', '{NO_SUCH_ROLE}'])",
        f"status and {NO_SUCH_ROLE} are reserved: give another name",
        ".attested.role",
    ),
)


class Attested(Model):
    """By whom a check is attested."""

    role: Annotated[
        Name,
        Field(
            description=(
                "Role that attests it, by a ReleaseDecision with action Attest: it takes the verb attest on the subresource "
                "releases/<role> of that Release, by name. A ServiceAccount, as of CI, may have it."
            )
        ),
    ]


class Check(Model):
    """A check, and the point before which it has to have passed."""

    name: Annotated[Name, Field(description="Name of the check, as attestations give it (spec.check), e.g. security-scan.")]
    at: Annotated[
        str,
        Field(
            max_length=5,
            pattern=POINT,
            description=(
                "Before what it has to have passed: Start, before anything of the new version is there, or a weight such as 50%, "
                "before the first step with that weight or more. 100% is before all of the traffic."
            ),
        ),
    ]
    attested: Annotated[
        Attested,
        Field(
            description=(
                "By which role. The latest attestation of the check for exactly this content counts. After Failed the version "
                "waits until a later attestation is Passed."
            )
        ),
    ]
    expires: Annotated[
        Duration | None,
        Field(
            description=(
                "How long an attestation counts, from when it was made, at least 1s. What has started or got its weight by then "
                "keeps it. Default: none; then it counts until its own expires, if it has one."
            )
        ),
        AT_LEAST_1S,
    ] = None
    when: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=LONGEST_CONDITION,
            description=(
                "Condition (CEL) on release.type, environment, labels, versions.stable and versions.candidate: only if it is true, "
                "the check is needed. What cannot be evaluated lets nothing through. Default: none; it is always needed."
            ),
        ),
    ] = None

    @property
    def weight(self) -> int:
        """The weight before which it is asked for, in percent; 0 for the start."""
        return weight_of(self.at)
