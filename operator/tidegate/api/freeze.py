"""ReleaseFreeze: for some time no new version gets more traffic, in a part of the cluster or all of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Rule, Time
from tidegate.api.gate import Name

_LABEL_KEY = Annotated[str, Field(min_length=1, max_length=317)]
_LABEL_VALUE = Annotated[str, Field(max_length=63)]


class SelectorOperator(StrEnum):
    """How a requirement of a label selector compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelRequirement(Model):
    """One requirement of a label selector."""

    key: Annotated[_LABEL_KEY, Field(description="Key of the label.")]
    operator: Annotated[SelectorOperator, Field(description="In, NotIn, Exists or DoesNotExist.")]
    values: Annotated[
        tuple[_LABEL_VALUE, ...],
        Field(max_length=64, description="Values that In and NotIn compare with. Default: none."),
    ] = ()


REQUIREMENT_RULES = (
    Rule(
        "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        "In and NotIn need values; Exists and DoesNotExist take none",
        ".values",
    ),
)


class LabelSelector(Model):
    """Labels that an object must have; as everywhere in Kubernetes, all of it must hold, and an empty one selects everything."""

    match_labels: Annotated[
        dict[_LABEL_KEY, _LABEL_VALUE],
        Field(max_length=32, description="Labels with their values. Default: none."),
    ] = {}  # noqa: RUF012 - pydantic gives each object a copy
    match_expressions: Annotated[
        tuple[Annotated[LabelRequirement, K8s(rules=REQUIREMENT_RULES)], ...],
        Field(max_length=32, description="Requirements. Default: none."),
        K8s(list_map_keys=("key", "operator")),
    ] = ()


class ReleaseFreezeSpec(Model):
    """From when until when, for whom, and why."""

    reason: Annotated[
        str,
        Field(min_length=1, max_length=256, description="Why, for people: it stands in the status of every Release that waits."),
    ]
    begins: Annotated[
        Time | None,
        Field(alias="from", description="From when it counts. Default: since it was created."),
    ] = None
    until: Annotated[Time | None, Field(description="Until when it counts. Default: until it is deleted.")] = None
    namespace_selector: Annotated[
        LabelSelector | None,
        Field(
            description=(
                "Labels of the namespaces whose Releases are frozen; each namespace has kubernetes.io/metadata.name. "
                "Default: all namespaces."
            )
        ),
    ] = None
    release_selector: Annotated[
        LabelSelector | None,
        Field(description="Labels of the Releases that are frozen. Default: all Releases."),
    ] = None
    environments: Annotated[
        tuple[Name, ...],
        Field(max_length=20, description="Environments (spec.environment of Releases) that are frozen. Default: all."),
        K8s(list_set=True),
    ] = ()


FREEZE_RULES = (
    Rule(
        "!has(self.spec.from) || !has(self.spec.until) || timestamp(self.spec.from) < timestamp(self.spec.until)",
        "must be later than from",
        ".spec.until",
    ),
)
