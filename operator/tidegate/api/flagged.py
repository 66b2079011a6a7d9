"""What a status has of flags: what a rollout has set them to and from what, and what a decision forces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Sentence, Time
from tidegate.api.migrated import MigratedStatus

MOST_FLAG_STATUSES = 16
"""Flags that a status can have: those of the spec, and those of an earlier one that are not as they were yet."""
MOST_GIVEN = 24
"""Settings of one flag in one rollout that are known: a policy has 20 steps."""


class FlagSetting(Model):
    """What a flag gives."""

    variant: Annotated[str, Field(max_length=64, description="The default variant.")] = ""
    percent: Annotated[int | None, Field(ge=0, le=100, description="How many get the variant on, in percent.")] = None


class FlagStatus(Model):
    """A flag that a rollout has set or that is forced by decision, and what is not done about it yet."""

    target: Annotated[
        str, Field(max_length=700, description="The flag: kind, object, key of a ConfigMap (or nothing), and key of the flag.")
    ]
    name: Annotated[str, Field(max_length=63, description="Its name in spec.flags.")]
    on: Annotated[str, Field(alias="onVariant", max_length=64, description="Variant that is rolled out.")] = "on"
    off: Annotated[str, Field(alias="offVariant", max_length=64, description="The other variant.")] = "off"
    before: Annotated[FlagSetting | None, Field(description="What it was before the rollout set it.")] = None
    given: Annotated[
        tuple[FlagSetting, ...],
        Field(max_length=MOST_GIVEN, description="What the rollout has set it to; the last is what it is to be now."),
    ] = ()
    restore: Annotated[bool, Field(description="It is restored to what it was before.")] = False
    left: Annotated[bool, Field(description="Somebody else has set it meanwhile: this rollout leaves it so.")] = False
    forced: Annotated[str | None, Field(max_length=64, description="Variant that a decision forces on everybody.")] = None
    released: Annotated[bool, Field(description="What was forced is being taken away, by a decision.")] = False
    by: Annotated[str, Field(max_length=64, description="Who decided so, cut to 64 characters.")] = ""
    decided: Annotated[Time | None, Field(description="When that was decided.")] = None
    in_force: Annotated[Time | None, Field(description="Since when what is forced stands in its definition.")] = None
    done: Annotated[Time | None, Field(description="Since when it is what the rollout wants; absent while it is not.")] = None
    since: Annotated[Time, Field(description="Since when the last that is wanted is wanted.")]
    message: Annotated[Sentence, Field(description="Why it is not as wanted, in words.")] = ""


class FlaggedStatus(MigratedStatus):
    """What a Release's status has of flags."""

    flags: Annotated[
        tuple[FlagStatus, ...],
        Field(max_length=MOST_FLAG_STATUSES, description="Flags that the rollout has set, and switches that a decision forces."),
        K8s(list_map_keys=("target",)),
    ] = ()
