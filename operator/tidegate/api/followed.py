"""What a Release has taken over from the one that it follows, in its status: the operator's own overlay, beside the user's spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import Model, Time
from tidegate.api.waiting import HoldStatus

MOST_IMAGES = 40
"""Containers of a version whose images a status has."""
LONGEST_IMAGE = 512
"""Characters of an image that it has."""


class FollowedStatus(Model):
    """The version that was taken over last."""

    release: Annotated[str, Field(max_length=253, description="Name of the Release that it was taken from.")]
    namespace: Annotated[str, Field(max_length=63, description="Namespace of that.")]
    cluster: Annotated[str, Field(max_length=63, description="Cluster of that; empty for this one.")] = ""
    version: Annotated[str, Field(max_length=128, description="Name of the version for people.")] = ""
    images: Annotated[
        dict[str, Annotated[str, Field(max_length=LONGEST_IMAGE)]],
        Field(max_length=MOST_IMAGES, description="Its images by container name, which are laid over the Deployment's own."),
    ] = {}  # noqa: RUF012 - pydantic gives each object a copy
    committed_at: Annotated[Time | None, Field(description="When its commit was made, as that Release has it.")] = None
    at: Annotated[Time, Field(description="When it was taken over.")]
    held: Annotated[
        HoldStatus | None,
        Field(description="Set after a requested rollback: nothing is taken over until a request to resume."),
    ] = None
