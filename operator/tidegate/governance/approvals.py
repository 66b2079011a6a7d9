"""Which votes are missing before a version goes on, and in which words people are asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from tidegate.api.approvals import Approval
from tidegate.api.base import MOST_TOLD, and_more
from tidegate.governance import commands
from tidegate.governance.decisions import called
from tidegate.governance.times import moment
from tidegate.governance.votes import Ballot, RoleTally, Seats, Tally, tally


@dataclass(frozen=True)
class Point:
    """A point of a rollout and the votes that it takes.

    Attributes:
        weight: the weight before which it is asked for; 0 for the start.
        seats: the seats by role.
        trouble: which condition could not be evaluated, and why; empty where all could.
    """

    weight: int
    seats: dict[str, Seats]
    trouble: str = ""


@dataclass(frozen=True)
class Missing:
    """Votes that are missing.

    Attributes:
        weight: the weight before which they are needed; 0 for the start.
        tally: the seats.
        trouble: why it cannot be said which votes are needed; empty where it can.
    """

    weight: int
    tally: Tally
    trouble: str = ""

    @property
    def roles(self) -> tuple[RoleTally, ...]:
        """Those that lack a vote."""
        return tuple(role for role in self.tally.roles if role.missing > 0)


def points(entries: Iterable[Approval], applies: Callable[[str], bool]) -> list[Point]:
    """Return the points of a policy at which votes are needed of a version, in the order in which they come.

    Where several entries are about one point, each has to be satisfied, and nobody fills two seats of it: of each role as many
    votes are needed as the entry that wants most of it says, and each counts no longer than the strictest of them says.

    Args:
        entries: as the policy has them.
        applies: whether a condition is true of the version; it raises ValueError where that cannot be said.
    """
    found: dict[int, Point] = {}
    for entry in entries:
        point = found.setdefault(entry.weight, Point(entry.weight, {}))
        try:
            if entry.when is not None and not applies(entry.when):
                continue
        except ValueError as error:
            found[entry.weight] = Point(entry.weight, point.seats, point.trouble or str(error))
            continue
        for role, needed in entry.roles.items():
            before = point.seats.get(role, Seats(0))
            ends = [time for time in (before.expires, entry.expires) if time is not None]
            point.seats[role] = Seats(max(before.needed, needed), min(ends, default=None))
    return sorted((one for one in found.values() if one.seats or one.trouble), key=lambda one: one.weight)


def missing(asked: Iterable[Point], said: Ballot, now: datetime) -> Missing | None:
    """Return which votes are missing at the first point that lacks some; None where none does.

    Args:
        asked: the points that are ahead, in their order.
        said: what was said about the version.
        now: the time.
    """
    for point in asked:
        found = Missing(point.weight, tally(said.votes, point.seats, now), point.trouble)
        if point.trouble or not found.tally.met:
            return found
    return None


def demand(lack: Missing) -> str:
    """Return what is missing, to be put behind `waits`."""
    if lack.trouble:
        return f"for a condition in its policy's approvals to be fixed: {lack.trouble}"
    asked = [
        f"{'for ' if place == 0 else ''}{role.missing} more {'approval' if role.missing == 1 else 'approvals'} by role {role.role}"
        f" ({len(role.given)} of {role.needed} given)"
        for place, role in enumerate(lack.roles)
    ]
    return " and ".join(asked)


def state(lack: Missing, said: Ballot) -> str:
    """Return who has voted and whose vote does not count, to be put behind what is missing; empty where nobody has."""
    given = [f"{called(who)} ({role.role})" for role in lack.tally.roles for who in role.given]
    parts = [f"approved by {_list(given)}"] if given else []
    parts += [f"{called(who)} counts for {role} alone, as one person fills one seat" for who, role in lack.tally.spare[:1]]
    parts += [f"withdrawn by {_list([f'{called(who)} ({role})' for who, role in said.withdrawn])}"] if said.withdrawn else []
    if lack.tally.until is not None:
        parts.append(f"the first of these votes expires at {moment(lack.tally.until)}")
    parts += said.own[:1]
    return "".join(f"; {part}" for part in parts)


def command(lack: Missing, release: str, namespace: str) -> str:
    """Return the command by which somebody of the first role that lacks a vote gives one; empty where no vote helps."""
    return commands.on_release("approve", release, namespace, "--role", lack.roles[0].role) if lack.roles else ""


def _list(names: list[str]) -> str:
    return ", ".join(names[:MOST_TOLD]) + and_more(len(names))
