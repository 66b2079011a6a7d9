"""A decision on a Release: which version is meant, and how it is made, once, however often it takes to hear that it is there.

A decision is made with the rights of whoever asks for it, and with no others. Its name is made before the first try, so that a try
that was cut short and the next one make one decision.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidegate.api.decision import DecisionOutcome
from tidegate.api.migrated import MigrationResult
from tidegate.api.migrations import MigrationPhase
from tidegate.api.names import API_VERSION
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.errors import AlreadyExists, Forbidden, NotFound, TooManyRequests, Unavailable
from tidegate.cluster.resources import RELEASE_DECISIONS, SELF_SUBJECT_REVIEWS

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

TRIES = 4
"""Of one request that gets no answer."""
AGAIN_SECONDS = 1.0
"""Between tries."""


@dataclass(frozen=True)
class Version:
    """The version that a decision is about.

    Attributes:
        name: for people.
        revision: its revision.
        digest: of its content; empty where the operator does not say it.
        state: where it is, as a verb.
    """

    name: str
    revision: str
    digest: str
    state: str = "waits"


@dataclass(frozen=True)
class Made:
    """A decision that was made.

    Attributes:
        place: namespace and name of its Release.
        version: that it is about; None where it is about whichever is rolled out.
        rollout: revision that was rolled out when it was made; None where none was.
        obj: as the API server has it.
    """

    place: tuple[str, str]
    version: Version | None
    rollout: str | None
    obj: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the decision."""
        return str(self.obj["metadata"]["name"])

    @property
    def outcome(self) -> DecisionOutcome | None:
        """What became of it; None where that is not told yet."""
        found = str((self.obj.get("status") or {}).get("outcome"))
        return DecisionOutcome(found) if found in {*DecisionOutcome} else None

    @property
    def message(self) -> str:
        """Why."""
        return str((self.obj.get("status") or {}).get("message") or "")

    def to_wire(self) -> dict[str, Any]:
        """Return it as a document for machines."""
        spec, outcome = self.obj["spec"], self.outcome
        document = {
            "decision": self.name,
            "uid": self.obj["metadata"].get("uid"),
            "namespace": self.place[0],
            "release": self.place[1],
            "action": spec["action"],
            "role": spec.get("role"),
            "check": spec.get("check"),
            "result": spec.get("result"),
            "flag": spec.get("flag"),
            "switch": spec.get("switch"),
            "by": spec.get("by"),
            "version": self.version.name if self.version else None,
            "revision": spec.get("revision"),
            "digest": spec.get("digest"),
            "outcome": outcome.value if outcome else None,
            "message": self.message or None,
        }
        return {name: value for name, value in document.items() if value is not None}


def waiting(status: ReleaseStatus) -> list[Version]:
    """Return the version that waits; none where none does."""
    found = status.wanted
    return [Version(found.version, found.revision, found.digest or "")] if found is not None else []


def rolled_out(status: ReleaseStatus) -> list[Version]:
    """Return the version that is rolled out; none where none is."""
    found = status.candidate
    return [Version(found.version, found.revision, found.digest or "", "is rolled out")] if found is not None else []


def is_for_what_failed(status: ReleaseStatus) -> bool:
    """Whether a retry that names no version is for a migration that failed after the last rollout, and for no version.

    Then none is named for whoever has named none: a version that a contract holds back is let back by its name alone, and that
    has to be theirs.
    """
    migration, wanted = status.migration, status.wanted
    if migration is None or migration.over is None or status.candidate is not None:
        return False
    rejected = {one.revision for one in status.rejected}
    phases = _AFTER_PROMOTION if migration.promoted else (MigrationPhase.ROLLBACK,)
    failed = any(one.phase in phases and one.result is MigrationResult.FAILED for one in migration.runs)
    return failed and (wanted is None or wanted.revision not in rejected)


_AFTER_PROMOTION = (MigrationPhase.MIGRATE, MigrationPhase.CONTRACT)


async def make(
    cluster: Cluster,
    place: tuple[str, str],
    release: dict[str, Any],
    spec: dict[str, Any],
    about: Version | None,
    *,
    manager: str = "tidegate-cli",
) -> Made:
    """Make a decision.

    Args:
        cluster: the API.
        place: namespace and name of the Release.
        release: the Release.
        spec: action, and what else the decision says; what is None is left out.
        about: the version that it is about; None for whichever is rolled out.
        manager: field manager of what is written.

    Raises:
        ApiError: the API server refuses it, or does not answer.
    """
    namespace, name = place
    whole = {"release": name, "releaseUID": release["metadata"]["uid"], **spec, **await caller(cluster)}
    if about is not None:
        whole |= {"revision": about.revision, "digest": about.digest or None}
    body = {
        "apiVersion": API_VERSION,
        "kind": RELEASE_DECISIONS.kind,
        "metadata": {"name": f"{name}-{uuid.uuid4()}", "namespace": namespace},
        "spec": {field: value for field, value in whole.items() if value is not None},
    }
    candidate = (release.get("status") or {}).get("candidate") or {}
    return Made(place, about, candidate.get("revision"), await _created(cluster, namespace, body, manager))


async def _created(cluster: Cluster, namespace: str, body: dict[str, Any], manager: str) -> dict[str, Any]:
    """Create an object once, however often it takes to hear that it is there."""
    for left in reversed(range(TRIES)):
        try:
            return await cluster.create(RELEASE_DECISIONS.path(namespace), body, manager=manager)
        except AlreadyExists:
            # The name is nobody else's: an earlier try was heard, and its answer was not.
            return body
        except (Unavailable, TooManyRequests):
            if not left:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
    raise AssertionError("unreachable")


async def caller(cluster: Cluster) -> dict[str, Any]:
    """Return who asks, as the API server knows them (`by`, `groups`): before Kubernetes 1.36 nobody else writes it down.

    Raises:
        ApiError: the API server does not know them, or does not answer.
    """
    body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind}
    try:
        answer = await cluster.create(SELF_SUBJECT_REVIEWS.path(), body, manager="tidegate-cli")
    except (NotFound, Forbidden):
        return {}
    user = (answer.get("status") or {}).get("userInfo") or {}
    return {"by": user.get("username"), "groups": user.get("groups") or []}
