"""What a Release waits for, as its status has it in fields: one entry for each barrier that is closed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import Model, Sentence, Time


class WaitingFor(Model):
    """A barrier that is closed: what keeps a new version from more traffic, and what opens it."""

    barrier: Annotated[str, Field(max_length=32, description="Which barrier, e.g. Freeze or Approval.")]
    what: Annotated[Sentence, Field(description="What keeps it closed, in words.")]
    since: Annotated[Time, Field(description="Since when it is waited for.")]
    until: Annotated[Time | None, Field(description="When it opens by itself. Default: not known.")] = None
    how: Annotated[str, Field(max_length=1024, description="The command that opens it; empty where it is time alone.")] = ""


class HoldStatus(Model):
    """A person keeps every next version from being rolled out until the request resume."""

    message: Annotated[Sentence, Field(description="The request, in words.")] = ""
    since: Annotated[Time, Field(description="When it was asked for.")]
