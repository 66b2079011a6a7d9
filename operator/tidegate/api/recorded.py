"""What a status has of records: the trail of the rollout that is on, the head of the chain, and records yet to be written.

A record is made in the decision that ends its rollout and stands in the status until it is written: no crash loses it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Time
from tidegate.api.decided import RuledStatus
from tidegate.api.followed import LONGEST_IMAGE, MOST_IMAGES
from tidegate.api.hotfix import ReviewedStatus

MOST_COURSE = 40
"""Changes of the weight that are kept of a rollout: the first and the last of them."""
MOST_AUTHORS = 4
MOST_PENDING = 3
"""Records that may wait to be written: a rollout more, and the oldest of them is given up."""
LONGEST_PENDING = 131_072
GREATEST = 2_147_483_647
RecordNumber = Annotated[int, Field(ge=0, le=GREATEST)]
Hash = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


class CommitIgnored(StrEnum):
    """Why a lead time does not count from the commit that was named."""

    UNREADABLE = "Unreadable"
    FUTURE = "Future"
    TOO_OLD = "TooOld"
    NOT_NEWER = "NotNewer"


class RecordedAuthor(Model):
    """Who has changed a version."""

    name: Annotated[str, Field(max_length=128, description="The account, cut to 128 characters.")]
    claimed: Annotated[bool, Field(description="A tool has made the change and gives this name, which is not verified.")] = False


class RecordedWeight(Model):
    """From when on the new version had a weight."""

    step: Annotated[int, Field(ge=0, le=20, description="Number of the step, from 1; 0 where it was at none.")] = 0
    weight: Annotated[int, Field(ge=0, le=100, description="Weight in percent.")]
    at: Annotated[Time, Field(description="From when on.")]


class TrailStatus(Model):
    """What is kept of a rollout for its record alone."""

    seen_at: Annotated[Time, Field(description="When the version was first seen.")]
    committed_at: Annotated[Time | None, Field(description="When its commit was made, as was said when the rollout started.")] = (
        None
    )
    commit_ignored: Annotated[CommitIgnored | None, Field(description="Why its lead time does not count from there.")] = None
    images: Annotated[
        dict[str, Annotated[str, Field(max_length=LONGEST_IMAGE)]],
        Field(max_length=MOST_IMAGES, description="Images of the new version by container name."),
    ] = {}  # noqa: RUF012 - pydantic gives each object a copy
    authors: Annotated[tuple[RecordedAuthor, ...], Field(max_length=MOST_AUTHORS, description="Who has changed it.")] = ()
    course: Annotated[tuple[RecordedWeight, ...], Field(max_length=MOST_COURSE, description="Its weights so far.")] = ()
    omitted: Annotated[RecordNumber, Field(description="Changes of its weight that are left out of `course`.")] = 0


class TrailedStatus(RuledStatus):
    """What a rollout's status has of its record."""

    trail: Annotated[TrailStatus | None, Field(description="What is kept for its record.")] = None


class PendingRecord(Model):
    """A record that is yet to be written."""

    number: Annotated[RecordNumber, Field(description="Its place in the chain.")]
    kept: Annotated[
        str, Field(max_length=LONGEST_PENDING, description="The spec of the ReleaseRecord in one text (JSON, deflate, base64).")
    ]


class RecordsStatus(Model):
    """The head of the Release's chain of records."""

    number: Annotated[RecordNumber, Field(description="Number of the last record.")] = 0
    hash: Annotated[Hash | None, Field(description="Hash of the last record.")] = None
    id: Annotated[str, Field(max_length=40, description="Id of the last record.")] = ""
    checkpoint: Annotated[RecordNumber, Field(description="The chain is kept from this number on.")] = 0
    pending: Annotated[
        tuple[PendingRecord, ...],
        Field(max_length=MOST_PENDING, description="Records that may not be written yet."),
        K8s(list_map_keys=("number",)),
    ] = ()


class RecordedStatus(ReviewedStatus):
    """What a Release's status has of records."""

    records: Annotated[RecordsStatus | None, Field(description="The chain of ReleaseRecords; absent before the first.")] = None
