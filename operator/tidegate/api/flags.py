"""Feature flags: which a Release has, and what a step of its policy sets them to.

A policy names a flag by what it is for, such as `feature`, since many Releases share it; which flag that is, and where its
definition stands, the Release says, whose author has to have the right to change that object.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Rule
from tidegate.api.gate import Name

MOST_FLAGS = 8
"""Flags that a Release can have."""
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Variant = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]


class Position(StrEnum):
    """What a decision does with a switch."""

    OFF = "Off"
    ON = "On"
    BACK = "Back"


class Flag(Model):
    """A flag of the Release. No field is called on or off: YAML readers take these for true and false."""

    name: Annotated[
        Name, Field(description="What policies and decisions call it, by what it is for: feature, payments, maintenance.")
    ]
    flag: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
            description="Its key among the definitions. Default: the name.",
        ),
    ] = None
    on: Annotated[
        Variant,
        Field(
            alias="onVariant",
            description="Variant that is rolled out: percentages of steps count for it, and switching on forces it. Default: on.",
        ),
    ] = "on"
    off: Annotated[
        Variant, Field(alias="offVariant", description="The other variant, which switching off forces. Default: off.")
    ] = "off"


class ConfigMapKey(Model):
    """A key of a ConfigMap."""

    name: Annotated[ObjectName, Field(description="Name of the ConfigMap.")]
    key: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[-._a-zA-Z0-9]+$",
            description="Key of its data with the definitions, JSON as flagd reads it. Default: flags.json.",
        ),
    ] = "flags.json"


class FeatureFlagRef(Model):
    """A FeatureFlag of OpenFeature's operator."""

    name: Annotated[ObjectName, Field(description="Name of the FeatureFlag (core.openfeature.dev/v1beta1).")]


class FlagHook(Model):
    """A hook that sets flags."""

    hook: Annotated[
        Name, Field(description="Name of a hook in the operator's configuration (hooks), which gets a POST with what is wanted.")
    ]


class Flags(Model):
    """The Release's flags, and where their definitions are."""

    config_map: Annotated[
        ConfigMapKey | None,
        Field(
            description=(
                "A ConfigMap of the Release's namespace with the label tidegate.dev/flags=true. Pods see a change once the kubelet "
                "has it, after up to a minute or more. Default: none."
            )
        ),
    ] = None
    feature_flag: Annotated[
        FeatureFlagRef | None,
        Field(
            description=(
                "A FeatureFlag of the Release's namespace with the label tidegate.dev/flags=true. flagd serves a change at once. "
                "Default: none."
            )
        ),
    ] = None
    http: Annotated[FlagHook | None, Field(description="Whatever answers a hook. Default: none.")] = None
    items: Annotated[
        tuple[Flag, ...],
        Field(min_length=1, max_length=MOST_FLAGS, description="The flags, 1 to 8."),
        K8s(list_map_keys=("name",)),
    ]


FLAGS_RULES = (
    Rule(
        "[has(self.configMap), has(self.featureFlag), has(self.http)].exists_one(given, given)",
        "give exactly one of configMap, featureFlag and http",
    ),
    Rule(
        "self.items.all(a, self.items.exists_one(b, (has(a.flag) ? a.flag : a.name) == (has(b.flag) ? b.flag : b.name)))",
        "each flag can have one name alone",
        ".items",
    ),
    Rule("self.items.all(a, a.onVariant != a.offVariant)", "onVariant and offVariant must be different variants", ".items"),
)


class StepFlag(Model):
    """What a step sets a flag to."""

    name: Annotated[Name, Field(description="Name of the flag in spec.flags of the Release.")]
    percent: Annotated[
        int | None,
        Field(
            ge=0,
            le=100,
            description=(
                "How many users get the variant on, in percent, once the route carries the step's weight; users that had it before "
                "keep it. Default: none; then variant."
            ),
        ),
    ] = None
    variant: Annotated[
        Variant | None, Field(description="The variant that all get by default from there on. Default: none; then percent.")
    ] = None


STEP_FLAG_RULES = (Rule("has(self.percent) != has(self.variant)", "give exactly one of percent and variant"),)
