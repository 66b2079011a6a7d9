"""Jobs and requests for a version, which check it or change its database: what they are called, and what was seen of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_PART = 24
"""Characters of the Release's and of the check's name in that of a Job: it is a label of its pods, so it has 63 at most."""


class RunState(StrEnum):
    """How a Job stands."""

    RUNS = "Runs"
    COMPLETE = "Complete"
    FAILED = "Failed"
    GONE = "Gone"
    UNMADE = "Unmade"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A Job that is wanted, or that is to be stopped.

    Attributes:
        release: name of the Release.
        release_uid: its uid: the Job belongs to it.
        check: name of the check, or of the phase of a migration.
        cron_job: the CronJob that the Job is made of.
        job: its name.
        uid: its uid, once it was seen; one of its name is not made again then.
        stop: nobody wants to know what it comes to.
        seconds: how long it may take.
        env: what its containers are told, by the names of variables.
        migrates: it changes a database or backs one up: what it says at its end is read, and it is stopped with all its pods.
    """

    release: str
    release_uid: str
    check: str
    cron_job: str
    job: str
    uid: str = ""
    stop: bool = False
    seconds: int = 0
    env: Mapping[str, str]
    migrates: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that is wanted.

    Attributes:
        id: by which what comes of it is known; whoever is called may tell by it that it is the same once more.
        hook: name in the operator's configuration.
        method: GET or POST.
        path: behind the hook's address.
        statuses: one of which the answer has to have; empty for any of success.
        json_path: of a value in the answer; empty where none is looked at.
        json_equals: what it has to be.
        seconds: how long the answer may take.
        told: what is sent.
    """

    id: str
    hook: str
    method: str
    path: str
    statuses: tuple[int, ...] = ()
    json_path: str = ""
    json_equals: str = ""
    seconds: float
    told: Mapping[str, str]


@dataclass(frozen=True)
class RunView:
    """What was seen of a Job or of a request.

    Attributes:
        state: how it stands; a request under way runs.
        uid: its uid; empty where it is not there.
        words: why it failed or could not be made; empty where nothing is to be said.
        output: the last line that its pod has left at its end; empty where it has left none, or where nobody asks.
        progress: how far it is, as somebody has noted; empty where nobody has.
    """

    state: RunState
    uid: str = ""
    words: str = ""
    output: str = ""
    progress: str = ""


def job_name(release: str, release_uid: str, check: str, digest: str, *, point: str, since: datetime, attempt: int) -> str:
    """Return the name of a Job: no other Release, content, point, attempt or later try of the same has it.

    Args:
        release: name of the Release.
        release_uid: its uid.
        check: name of the check.
        digest: of the content.
        point: before what it has to have passed.
        since: since when it is wanted, as the status has it.
        attempt: its number.
    """
    about = "\n".join((release_uid, check, digest, point, since.isoformat(timespec="seconds"), str(attempt)))
    stem = "-".join(part[:_PART].strip("-.") for part in (release, check))
    return f"{stem}-{hashlib.sha256(about.encode()).hexdigest()[:10]}"


def whole_seconds(span: timedelta) -> int:
    """Return a span of time as a Job can have it: in whole seconds, and at least one."""
    return max(1, -(-span // timedelta(seconds=1)))
