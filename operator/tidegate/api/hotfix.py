"""The field `hotfix` of a policy: what somebody may override where production is broken now, and the review that follows."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Sentence, Time
from tidegate.api.gate import AT_LEAST_1S

MOST_REVIEWS = 8
"""Hotfixes that may be without a review at once: after so many the next one takes the way of all releases."""
Account = Annotated[str, Field(max_length=64)]


class Skip(StrEnum):
    """Barriers that a hotfix may skip, by their names in `status.waitingFor`. Freezes, approvals and gates are not among them."""

    UPSTREAM = "Upstream"
    WINDOW = "Window"


class Hotfix(Model):
    """What an Override does to a release of type hotfix."""

    skip: Annotated[
        tuple[Skip, ...],
        Field(
            max_length=2,
            description=(
                "Barriers that do not count for it: Upstream (proof by the Releases in spec.after), Window (the windows). "
                "Default: none."
            ),
        ),
        K8s(list_set=True),
    ] = ()
    holds: Annotated[
        str,
        Field(
            max_length=4,
            pattern=r"^(100|[1-9]?[0-9])%$",
            description="Share of each hold and of the bake that it takes, 0% to 100%. Gates count as ever. Default: 100%.",
        ),
    ] = "100%"
    review: Annotated[
        Duration,
        Field(
            description=(
                "By when, counted from its start, somebody else has to record a review (an Attest of the check review), at least "
                "1s. Then the condition ReviewOverdue is true. Default: 24h."
            )
        ),
        AT_LEAST_1S,
    ] = timedelta(hours=24)

    @property
    def share(self) -> float:
        """The share of holds and bake, from 0 to 1."""
        return int(self.holds.removesuffix("%")) / 100


class HotfixStatus(Model):
    """That the rollout is a hotfix, by whose word, and what does not count for it."""

    by: Annotated[Account, Field(description="Who has overridden, cut to 64 characters.")]
    decision: Annotated[str, Field(max_length=253, description="Name of the ReleaseDecision.")]
    reason: Annotated[Sentence, Field(description="Why, in their words.")] = ""
    skipped: Annotated[
        tuple[Skip, ...], Field(max_length=2, description="Barriers that do not count for it."), K8s(list_set=True)
    ] = ()


class ReviewStatus(Model):
    """A hotfix that nobody has reviewed yet."""

    digest: Annotated[str, Field(max_length=71, description="Digest of its content, as in `candidate`.")]
    version: Annotated[str, Field(max_length=128, description="Name for people.")] = ""
    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")] = ""
    by: Annotated[Account, Field(description="Who has overridden.")] = ""
    authors: Annotated[tuple[Account, ...], Field(max_length=4, description="Who has changed it, as far as that was known.")] = ()
    skipped: Annotated[
        tuple[Skip, ...], Field(max_length=2, description="Barriers that did not count for it."), K8s(list_set=True)
    ] = ()
    since: Annotated[Time, Field(description="When its rollout started.")]
    due: Annotated[Time, Field(description="By when it is to be reviewed.")]


class ReviewedStatus(Model):
    """What a Release's status has of reviews."""

    reviews: Annotated[
        tuple[ReviewStatus, ...],
        Field(max_length=MOST_REVIEWS, description="Hotfixes that are to be reviewed, oldest first."),
        K8s(list_map_keys=("digest",)),
    ] = ()
