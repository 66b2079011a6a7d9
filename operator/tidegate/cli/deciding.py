"""What the commands share that decide on a Release: which version is meant, the decision itself, and what became of it.

A decision is made with the rights of whoever types the command, and with no others. Its name is made before the first try, so that
a try that was cut short and the next one make one decision.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.names import API_VERSION
from tidegate.api.status import Outcome, ReleaseStatus
from tidegate.cli import access, output
from tidegate.cluster.errors import AlreadyExists, Forbidden, NotFound, TooManyRequests, Unavailable
from tidegate.cluster.resources import RELEASE_DECISIONS, SELF_SUBJECT_REVIEWS

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

NOT_DONE = 1
"""Exit status of a decision that does not count, or of a rollout that ended otherwise than was asked."""
TRIES = 4
"""Of one request that gets no answer."""
AGAIN_SECONDS = 1.0
"""Between tries, and between looks at what became of it."""
_OVER = frozenset({DecisionOutcome.REFUSED, DecisionOutcome.EXPIRED, DecisionOutcome.SUPERSEDED})


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


def chosen(there: Sequence[Version], wanted: str | None, else_words: str, *, first: bool = False) -> Version | None:
    """Return which of some versions people decide on; None where there is none.

    Args:
        there: those that it can be.
        wanted: name or revision that the user has given, which must be of one of these; None where nothing was given.
        else_words: what is wrong with another one.
        first: it is the first of them unless the user names another; else it has to be said which of several is meant.
    """
    if wanted is None:
        if len(there) > 1 and not first:
            all_of_them = " and ".join(f"{one.name} {one.state}" for one in there)
            output.fail(f"{all_of_them}: give --version {' or '.join(one.name for one in there)}")
        return there[0] if there else None
    found = next((one for one in there if wanted in (one.name, one.revision)), None)
    if found is None:
        names = " and ".join(f"{one.name} (revision {one.revision})" for one in there)
        output.fail(f"--version: {wanted} {else_words}; " + (f"there is {names}" if there else "nothing is"))
    return found


async def make(
    cluster: Cluster, place: tuple[str, str], release: dict[str, Any], spec: dict[str, Any], about: Version | None
) -> Made:
    """Make a decision.

    Args:
        cluster: the API.
        place: namespace and name of the Release.
        release: the Release.
        spec: action, and what else the decision says; what is None is left out.
        about: the version that it is about; None for whichever is rolled out.

    Raises:
        ApiError: the API server refuses it, or does not answer.
    """
    namespace, name = place
    whole = {"release": name, "releaseUID": release["metadata"]["uid"], **spec, **await _caller(cluster)}
    if about is not None:
        whole |= {"revision": about.revision, "digest": about.digest or None}
    body = {
        "apiVersion": API_VERSION,
        "kind": RELEASE_DECISIONS.kind,
        "metadata": {"name": f"{name}-{uuid.uuid4()}", "namespace": namespace},
        "spec": {field: value for field, value in whole.items() if value is not None},
    }
    candidate = access.status_of(release).candidate
    return Made(place, about, candidate.revision if candidate else None, await _created(cluster, namespace, body))


async def _created(cluster: Cluster, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create an object once, however often it takes to hear that it is there."""
    for left in reversed(range(TRIES)):
        try:
            return await cluster.create(RELEASE_DECISIONS.path(namespace), body, manager="tidegate-cli")
        except AlreadyExists:
            # The name is nobody else's: an earlier try was heard, and its answer was not.
            return body
        except (Unavailable, TooManyRequests):
            if not left:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
    raise AssertionError("unreachable")


async def _caller(cluster: Cluster) -> dict[str, Any]:
    """Return who types the command, as the API server knows them: before Kubernetes 1.36 nobody else writes it down."""
    body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind}
    try:
        answer = await cluster.create(SELF_SUBJECT_REVIEWS.path(), body, manager="tidegate-cli")
    except (NotFound, Forbidden):
        return {}
    user = (answer.get("status") or {}).get("userInfo") or {}
    return {"by": user.get("username"), "groups": user.get("groups") or []}


async def settled(cluster: Cluster, made: Made, patience: timedelta) -> Made:
    """Wait until it is told what became of a decision, and of the rollout that it is about.

    Args:
        cluster: the API.
        made: the decision.
        patience: for how long; then the command ends.

    Raises:
        ApiError: the caller may not read decisions, or the API server does not answer any more.
    """
    deadline = time.monotonic() + patience.total_seconds()
    path = RELEASE_DECISIONS.path(made.place[0], made.name)
    while made.outcome is None:
        _in_time(deadline, patience, f"the operator has not told what became of ReleaseDecision {made.name}")
        made = replace(made, obj=await _read(cluster, path) or made.obj)
        await _pause(made.outcome is None)
    if made.outcome in _OVER or Action(made.obj["spec"]["action"]) not in _ENDS:
        return made
    wanted = _ENDS[Action(made.obj["spec"]["action"])]
    while (ended := _ended(await access.release(cluster, *made.place), made)) is None:
        _in_time(
            deadline,
            patience,
            f"Release {made.place[1]} is still being {'promoted' if wanted is Outcome.PROMOTED else 'rolled back'}",
        )
        await _pause(True)
    outcome, message = ended
    if outcome is not wanted:
        _end(f"the rollout has ended otherwise ({outcome.value}): {message}")
    return made


_ENDS = {Action.PROMOTE: Outcome.PROMOTED, Action.ROLLBACK: Outcome.ROLLED_BACK}
"""Actions that are done when a rollout has ended, and how."""


def _ended(release: dict[str, Any], made: Made) -> tuple[Outcome, str] | None:
    """Return how the rollout has ended that was on when the decision was made; None where it is on."""
    status, revision = access.status_of(release), made.rollout
    if status.rollout is not None and status.candidate is not None and revision in (None, status.candidate.revision):
        return None
    last = status.last_rollout
    if last is None or (revision is not None and last.revision != revision):
        return None
    return last.outcome, last.message


async def _read(cluster: Cluster, path: str) -> dict[str, Any] | None:
    try:
        return await cluster.get(path)
    except (Unavailable, TooManyRequests):
        return None


async def _pause(needed: bool) -> None:  # noqa: FBT001 - a plain answer
    if needed:
        await asyncio.sleep(AGAIN_SECONDS)


def _in_time(deadline: float, patience: timedelta, words: str) -> None:
    if time.monotonic() > deadline:
        output.fail(f"{words}, after {round(patience.total_seconds())} s")


def _end(message: str) -> NoReturn:
    typer.echo(f"tidegate: {message}", err=True)
    raise typer.Exit(NOT_DONE)


def refusal_of(made: Made) -> None:
    """End the command where a decision does not count."""
    if made.outcome in _OVER:
        assert made.outcome is not None
        _end(f"ReleaseDecision {made.name} does not count ({made.outcome.value}): {made.message}")
