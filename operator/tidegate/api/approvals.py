"""The field `approvals` of a policy: how many people of which roles have to let a version through, and where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule
from tidegate.api.gate import AT_LEAST_1S

START = "Start"
"""The point before a rollout starts."""
POINT = r"^(Start|(100|[1-9][0-9]?)%)$"
"""Pattern of a point of a rollout: its start, or a weight in percent."""
LONGEST_CONDITION = 512
"""Characters of a condition."""
ROLE_RULES = (
    Rule(
        "self.all(role, size(role) <= 63 && role.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') "
        "&& !(role in ['status', 'no-such-role']))",
        "keys must be names of roles in lower case (status and no-such-role are reserved)",
    ),
)


class Approval(Model):
    """At one point of a rollout: votes that it takes to go on."""

    at: Annotated[
        str,
        Field(
            max_length=5,
            pattern=POINT,
            description=(
                "Where votes are needed: Start, before anything of the new version is there, or a weight such as 50%, before the "
                "first step with that weight or more. 100% is before all of the traffic."
            ),
        ),
    ]
    roles: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=10)]],
        Field(
            min_length=1,
            max_length=8,
            description=(
                "How many people of each role have to approve, 1 to 10. Each is another person: one with several roles counts for "
                "one of them at each point, and the author of the change for none."
            ),
        ),
        K8s(rules=ROLE_RULES),
    ]
    expires: Annotated[
        Duration | None,
        Field(
            description=(
                "How long a vote counts, from when it was cast, at least 1s. What has started or got its weight by then keeps it. "
                "Default: none; then a vote counts until its own expires, if it has one."
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
                "the votes are needed. What cannot be evaluated lets nothing through. Default: none; they are always needed."
            ),
        ),
    ] = None

    @property
    def weight(self) -> int:
        """The weight before which it is asked for, in percent; 0 for the start."""
        return weight_of(self.at)


def weight_of(point: str) -> int:
    """Return the weight of a point in percent; 0 for the start."""
    return 0 if point == START else int(point.removesuffix("%"))
