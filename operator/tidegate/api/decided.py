"""What a status has of decisions and rules: on which version people decide, what is kept out, carried out, and set by rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Sentence, Time
from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.grouped import MOST_MEMBERS, MateStatus
from tidegate.api.hotfix import HotfixStatus
from tidegate.api.names import Cause
from tidegate.api.release import ReleaseType

MOST_CARRIED = 64
"""Commands that a status can hold."""
LONGEST_WHY = 256
"""Characters of what is said of one."""


class WantedStatus(Model):
    """The version of the workload's template, as long as it is neither stable nor rolled out."""

    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")]
    version: Annotated[str, Field(max_length=128, description="Name for people.")] = ""
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its content, as in `candidate`.")] = None
    type: Annotated[ReleaseType | None, Field(description="Its type, as in `rollout`.")] = None
    since: Annotated[Time | None, Field(description="When it was first seen, while it is wanted: lead times count from here.")] = (
        None
    )


class CarriedStatus(Model):
    """A decision that was dealt with: a command that was carried out or refused, or a review, so that this happens once."""

    uid: Annotated[str, Field(max_length=64, description="metadata.uid of the ReleaseDecision.")]
    name: Annotated[str, Field(max_length=253, description="Its name.")]
    action: Annotated[Action, Field(description="Reject, Promote, Rollback, Pause, Resume, Retry, or Attest for a review.")]
    by: Annotated[str, Field(max_length=64, description="Who decided, cut to 64 characters.")] = ""
    made: Annotated[Time, Field(description="When the decision was made.")]
    outcome: Annotated[DecisionOutcome, Field(description="CarriedOut, Refused, Expired, Superseded; Counted for a review.")]
    message: Annotated[str, Field(max_length=LONGEST_WHY, description="What was done, or why nothing was.")] = ""


class RejectedStatus(Model):
    """A revision that gets no traffic until its template changes or a person says retry."""

    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")]
    version: Annotated[str, Field(max_length=128, description="Name for people.")] = ""
    cause: Annotated[Cause, Field(description="Why it was rejected.")]
    message: Annotated[Sentence, Field(description="The reason in words, with its numbers.")] = ""
    at: Annotated[Time, Field(description="When it was rejected.")]
    member: Annotated[
        str | None,
        Field(
            max_length=253,
            description="With GroupRolledBack: the Release of the group that was rolled back itself. When that one comes again, so "
            "does this version.",
        ),
    ] = None


class MovedStatus(Model):
    """With whom a rollout moves."""

    moves_with: Annotated[
        tuple[MateStatus, ...],
        Field(max_length=MOST_MEMBERS, description="Releases of the group that were rolled out at the same time."),
        K8s(list_map_keys=("release",)),
    ] = ()


class RuledStatus(MovedStatus):
    """What a rollout is by the rules of its policy."""

    type: Annotated[
        ReleaseType | None,
        Field(description="Type of the release: spec.type as it was at the start, else by the numbers of both versions."),
    ] = None
    hotfix: Annotated[HotfixStatus | None, Field(description="Set where somebody has overridden for a hotfix.")] = None
    rules: Annotated[
        tuple[Annotated[int, Field(ge=1, le=10)], ...],
        Field(max_length=10, description="Numbers of the policy's rules that hold for it, from 1; `spec` has what they set."),
    ] = ()
