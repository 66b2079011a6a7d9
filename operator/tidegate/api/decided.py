"""What a Release's status has of people's decisions: on which version they may decide."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import Model


class WantedStatus(Model):
    """The version of the workload's template, as long as it is neither stable nor rolled out."""

    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")]
    version: Annotated[str, Field(max_length=128, description="Name for people.")] = ""
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its content, as in `candidate`.")] = None
