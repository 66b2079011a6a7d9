"""What a status has of the checks of the version that is rolled out or wanted: which Jobs were made, and what they came to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Sentence, Time
from tidegate.api.recorded import RecordedStatus

MOST_CHECKS = 20
"""Checks that a policy can have."""


class CheckResult(StrEnum):
    """What a check has come to."""

    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"


class CheckStatus(Model):
    """A check of the version. It stands here before its Job is made, so that one is made once, whoever dies meanwhile."""

    name: Annotated[str, Field(max_length=63, description="Name of the check in the policy.")]
    at: Annotated[str, Field(max_length=10, description="Its point: Start, a weight, Promoted or RolledBack.")] = ""
    digest: Annotated[str, Field(max_length=71, description="Digest of the content that is checked, as in `candidate`.")] = ""
    cron_job: Annotated[str | None, Field(max_length=63, description="The CronJob that its Job is made from.")] = None
    hook: Annotated[str | None, Field(max_length=280, description="What is called: method, hook and path.")] = None
    job: Annotated[
        str | None, Field(max_length=63, description="Name of the last Job, or id of the last request; absent if it is attested.")
    ] = None
    uid: Annotated[str | None, Field(max_length=64, description="metadata.uid of that Job, once it was seen.")] = None
    attempt: Annotated[int, Field(ge=1, le=6, description="Number of that Job, from 1.")] = 1
    result: Annotated[CheckResult, Field(description="Running, Passed or Failed.")]
    message: Annotated[Sentence, Field(description="Why it failed, in words.")] = ""
    since: Annotated[Time, Field(description="Since when this Job is wanted; of an attested check, when it was noted.")]
    ended: Annotated[Time | None, Field(description="When the result was seen.")] = None


class CheckedStatus(RecordedStatus):
    """What a Release's status has of checks."""

    checks: Annotated[
        tuple[CheckStatus, ...],
        Field(max_length=MOST_CHECKS, description="Checks of the version that is rolled out or wanted, by Jobs or with a warning."),
        K8s(list_map_keys=("name",)),
    ] = ()
