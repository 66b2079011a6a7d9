"""What has happened to a Release and is yet to be told, as its status keeps it: no crash may lose it, and no sink hear it twice.

A sink is where transitions go: Events, and whatever else is to hear of them. Each goes at its own pace, so each has its own place.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Sentence, Time

KEPT = 8
"""Transitions that a status keeps for sinks that are behind: as many as a short rollout has, and some three kilobytes."""
LONGEST_VERSION = 128
"""Characters of a version's name."""
Number = Annotated[int, Field(ge=0, le=2_147_483_647)]


class TransitionStatus(Model):
    """Something that has happened to the Release."""

    number: Annotated[Number, Field(description="Its place among all transitions of the Release, from 1; no two have the same.")]
    id: Annotated[str, Field(max_length=63, description="Its kind, for machines, such as `weight-raised`.")]
    reason: Annotated[str, Field(min_length=1, max_length=128, description="The reason of its Event.")]
    type: Annotated[str, Field(description="Normal or Warning.", json_schema_extra={"enum": ["Normal", "Warning"]})] = "Normal"
    message: Annotated[Sentence, Field(description="What has happened in words, with its numbers.")] = ""
    version: Annotated[str | None, Field(max_length=LONGEST_VERSION, description="The version that it is about.")] = None
    at: Annotated[Time, Field(description="When it was decided.")]


class SinkStatus(Model):
    """How far a sink is that has not taken all transitions."""

    name: Annotated[str, Field(max_length=63, description="Name of the sink: `events` writes Events on the Release.")]
    taken: Annotated[Number, Field(description="It has taken all transitions until this number.")] = 0
    dropped: Annotated[
        Number,
        Field(description="Transitions that it may have missed since it fell behind: they had to make room for newer ones."),
    ] = 0


class OutboxStatus(Model):
    """Transitions that sinks have not taken yet."""

    last: Annotated[Number, Field(description="Number of the last transition of the Release.")] = 0
    transitions: Annotated[
        tuple[TransitionStatus, ...],
        Field(
            max_length=KEPT,
            description="Those that a sink may not have taken yet, oldest first; after a restart the operator hands them on again.",
        ),
    ] = ()
    sinks: Annotated[
        tuple[SinkStatus, ...],
        Field(max_length=8, description="Sinks that are behind; all others have taken every transition."),
        K8s(list_map_keys=("name",)),
    ] = ()
