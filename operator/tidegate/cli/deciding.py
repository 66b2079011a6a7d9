"""What the commands share that decide on a Release: which version is meant, and what became of the decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.status import Outcome
from tidegate.caller.decisions import AGAIN_SECONDS, Made, Version
from tidegate.cli import access, output
from tidegate.cluster.errors import TooManyRequests, Unavailable
from tidegate.cluster.resources import RELEASE_DECISIONS

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

NOT_DONE = 1
"""Exit status of a decision that does not count, or of a rollout that ended otherwise than was asked."""
OVER = frozenset({DecisionOutcome.REFUSED, DecisionOutcome.EXPIRED, DecisionOutcome.SUPERSEDED})
"""Outcomes of a decision that does not count."""


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
    if made.outcome in OVER or Action(made.obj["spec"]["action"]) not in _ENDS:
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
    if made.outcome in OVER:
        assert made.outcome is not None
        _end(f"ReleaseDecision {made.name} does not count ({made.outcome.value}): {made.message}")
