"""Releases that move together: what a spec says of its group, and what a status keeps of the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule
from tidegate.api.gate import Name

MOST_MEMBERS = 20
"""Members that a group may have: each of them reads all others in every pass."""


class Group(Model):
    """A group of Releases in one namespace, whose rollouts move and end together."""

    name: Annotated[Name, Field(description="Name of the group. Releases of this namespace with the same name are its members.")]
    gather: Annotated[
        Duration,
        Field(
            description="How long a new version waits for those of the other members before its rollout starts, 0s to 10m. It ends "
            "sooner if all members have one, or if one of them is being rolled out. Default: 30s."
        ),
        K8s(rules=(Rule("duration(self) <= duration('10m')", "must be at most 10m"),)),
    ] = timedelta(seconds=30)


class MateStatus(Model):
    """Another Release of the group whose rollout was on at the same time."""

    release: Annotated[str, Field(max_length=253, description="Name of the other Release.")]
    revision: Annotated[str, Field(max_length=63, description="Revision that was rolled out there.")]
