"""Releases that move together: how each of the others stands, whether it is behind, and whether it was rolled back.

All of it follows from the statuses of the others, which nobody but the operator writes. Nobody notes which movement is on: those
that are being rolled out at the same time are one, and each keeps in its own status with whom it has moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from tidegate.api.names import Cause

ABORTS = frozenset(
    {
        Cause.GATE,
        Cause.REQUEST,
        Cause.DEADLINE,
        Cause.NO_DATA,
        Cause.PODS_LOST,
        Cause.SPLIT,
        Cause.REJECTED,
        Cause.CHECK,
        Cause.MIGRATION,
        Cause.GROUP,
    }
)
"""Why a rollout ends for all of the group: something was found of the version. Who changes a template or deletes a Release leaves
the movement, and no more."""


class Standing(Enum):
    """Where another member is."""

    REST = "no new version is there for it"
    WAITS = "it has a new version, whose rollout has not started"
    KEPT_OUT = "its new version was rejected"
    CLIMBS = "its new version goes up the steps, or is paused at one"
    PROMOTES = "its new version has passed all steps"
    UNDONE = "its new version is being rolled back"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A rollout that was rolled back for a reason that is one for all of the group.

    Attributes:
        revision: of the version.
        version: its name.
        cause: why.
        message: why, in words.
        origin: the member because of which it was rolled back; empty where it was for a reason of its own.
        at: when it was rejected; None where that is not known.
    """

    revision: str
    version: str
    cause: Cause
    message: str
    origin: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class MemberView:
    """Another member of the group.

    Attributes:
        release: its name.
        standing: where it is.
        version: name of its new version; empty where it has none.
        revision: revision of that.
        step: index of the step that it is at; -1 before the first.
        last: index of its last step; -1 where that is not known.
        ready: it waits for nothing but the other members: it has passed its step, or could start.
        waits: what else it waits for, by the names of barriers; empty where it names none.
        how: the command that ends the first of these; empty where there is none.
        away: it is scaled to 0, so it has no traffic to move.
        undone: the rollback that is on, if its reason is one for all.
        failed: how its last rollout ended, or why its new version was rejected, if that is a reason for all; of one that is kept
            out, the latter.
        unread: why nothing is known of it, in words; empty where something is.
    """

    release: str
    standing: Standing = Standing.REST
    version: str = ""
    revision: str = ""
    step: int = -1
    last: int = -1
    ready: bool = False
    waits: tuple[str, ...] = ()
    how: str = ""
    away: bool = False
    undone: Failure | None = None
    failed: Failure | None = None
    unread: str = ""

    @property
    def moves(self) -> bool:
        """Whether its rollout is on, and goes forward."""
        return self.standing in (Standing.CLIMBS, Standing.PROMOTES)


@dataclass(frozen=True)
class GroupView:
    """The group of a Release, without itself.

    Attributes:
        name: of the group.
        members: the others, by name; those that are being deleted are none.
        whole: the group has no more members than it may have; else `members` are some of them.
    """

    name: str
    members: tuple[MemberView, ...] = ()
    whole: bool = True

    def member(self, release: str) -> MemberView | None:
        """Return a member by its name; None where it is none."""
        return next((one for one in self.members if one.release == release), None)


def has_passed(member: MemberView, step: int | None) -> bool:
    """Whether a member does not hold others back from what comes after a step.

    Args:
        member: the member.
        step: index of the step by the count of the one that asks; None for the last step of each. A policy with fewer steps is
            through with its last one.
    """
    if member.standing is not Standing.CLIMBS or member.away:
        return True
    if member.step < 0 or member.last < 0:
        return False
    wanted = member.last if step is None else min(step, member.last)
    return member.step > wanted or (member.step == wanted and member.ready)


def about_to_start(view: GroupView) -> list[MemberView]:
    """Return the members whose rollout is to start now: they wait for nothing but the group, and no member keeps them.

    That theirs has started may be seen late, as where the write that says so is slow: who has started with them is not to be a
    step ahead. Where a member keeps them, those that climb go on without them, as without it.
    """
    keeps = any(
        one.standing is Standing.UNDONE
        or (one.standing is Standing.KEPT_OUT and one.failed is not None)
        or (one.standing is Standing.WAITS and not one.ready and not one.away)
        for one in view.members
    )
    ready = [one for one in view.members if one.standing is Standing.WAITS and one.ready and not one.away]
    return [] if keeps else ready


def aborted(view: GroupView, own: str, moved_with: dict[str, str]) -> tuple[MemberView, Failure] | None:
    """Return the member because of which a rollout is to be rolled back, and what happened there; None where there is none.

    One that failed for a reason of its own goes before those that it took along.

    Args:
        view: the group.
        own: name of the Release that asks.
        moved_with: revisions by member that were rolled out at the same time.
    """
    found = [(one, failure) for one in view.members if (failure := _failure(one, moved_with.get(one.release))) is not None]
    found = [(one, failure) for one, failure in found if failure.origin != own]
    return min(found, key=lambda pair: (bool(pair[1].origin), pair[0].release), default=None)


def _failure(member: MemberView, revision: str | None) -> Failure | None:
    """Return what happened to a member that is a reason for those that moved with it.

    How its last rollout ended is none once the same revision is tried again, not even while that is taken back by whoever changes
    its template: they leave the movement, and no more.
    """
    if member.undone is not None:
        return member.undone
    again = (member.moves or member.standing is Standing.UNDONE) and member.revision == revision
    failed = member.failed
    return failed if failed is not None and not again and failed.revision == revision else None
