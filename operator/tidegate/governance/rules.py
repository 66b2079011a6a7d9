"""The policy that counts for one release: what its rules set where they hold, in place of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tidegate.api.policy import MOST_APPROVALS, RolloutPolicySpec
from tidegate.governance.expressions import ExpressionError, Subject, applies


@dataclass(frozen=True)
class Ruled:
    """A policy as it counts for one release.

    Attributes:
        spec: the policy without rules.
        held: which rules held, from 1.
        trouble: why a rule could not be evaluated, in words, with the field: the spec is then the policy's own. Empty if all could.
    """

    spec: RolloutPolicySpec
    held: tuple[int, ...] = ()
    trouble: str = ""


def ruled(spec: RolloutPolicySpec, subject: Subject) -> Ruled:
    """Return the policy as it counts for a release.

    All rules are asked, in their order; what one sets, a later one may set again, but for approvals, which are added up: no rule
    does away with a vote. A rule that fails may have been the one that makes a policy stricter, so nothing comes of the others
    either.
    """
    if not spec.rules:
        return Ruled(spec)
    changes: dict[str, Any] = {"rules": ()}
    held: list[int] = []
    approvals = list(spec.approvals)
    for index, rule in enumerate(spec.rules):
        try:
            holds = applies(rule.when, subject)
        except ExpressionError as error:
            return Ruled(spec.model_copy(update={"rules": ()}), trouble=f"spec.rules[{index}].when: {error}")
        if holds:
            changes |= rule.set.given()
            approvals += rule.set.approvals or ()
            held.append(index + 1)
    if len(approvals) > MOST_APPROVALS:
        words = f"spec.rules: {len(approvals)} approvals come of them, and {MOST_APPROVALS} are the most: put some into one entry"
        return Ruled(spec.model_copy(update={"rules": ()}), trouble=words)
    return Ruled(spec.model_copy(update={**changes, "approvals": tuple(approvals)}), tuple(held))
