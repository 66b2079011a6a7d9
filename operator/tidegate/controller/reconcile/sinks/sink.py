"""What a sink is, and what it is made with: the recipe for the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tidegate.api.outbox import TransitionStatus
from tidegate.cluster.client import Cluster
from tidegate.controller.observe.references import ReleaseKey
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object


@dataclass(frozen=True)
class Means:
    """What sinks are made with.

    Attributes:
        cluster: the API.
        clock: the time.
        instance: name of this process.
        lost: is told of what a sink gives up, with the reason in one word.
        moved: brings a Release back to the queue, for its status to note what a sink has taken.
    """

    cluster: Cluster
    clock: Clock
    instance: str
    lost: Callable[[object], None]
    moved: Callable[[ReleaseKey], None]


class Sink(Protocol):
    """Takes what has happened to Releases.

    A sink never waits for what is behind it while it is called: it has a buffer and a task of its own. The outbox hands each
    transition on once in the life of a process, in the order of their numbers, and again in the next life until `taken` has said
    that the sink is done with it. With the UID of the Release the number is an id that no other transition has: a receiver that is
    told of it twice can tell.

    Attributes:
        name: its place in the status; stays as it is.
        early: it is handed what was decided before that is stored. Only for what a restart may decide again with another number
            or not at all: Events have names that follow from what they say. All others wait for the status.
    """

    name: str
    early: bool

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:
        """Take what has happened; returns at once.

        Args:
            release: what it has happened to, as it is stored.
            transition: what.
            again: an earlier life of the operator may have delivered it already.
        """
        ...

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        """Whether the sink is done with what it took: delivered, finally refused, or no news any more."""
        ...

    def start(self) -> None:
        """Begin to deliver, on the running loop."""
        ...

    async def stop(self, *, within: float) -> None:
        """Deliver what waits, and end; what takes longer than `within` seconds is left to the next life."""
        ...
