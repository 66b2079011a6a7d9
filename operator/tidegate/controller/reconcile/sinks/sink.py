"""What a sink is, and what it is made with: the recipe for the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol, runtime_checkable

from tidegate.api.outbox import TransitionStatus
from tidegate.cluster.client import Cluster
from tidegate.cluster.events import Recorder
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.plan import Settled
from tidegate.notifications.config import NotificationsConfig
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
        notifications: channels, as the operator's configuration has them.
        told: counts what has become of a notification, by the channel's name.
        decision: returns a ReleaseDecision by namespace and name; None where it is gone.
    """

    cluster: Cluster
    clock: Clock
    instance: str
    lost: Callable[[object], None]
    moved: Callable[[ReleaseKey], None]
    notifications: NotificationsConfig
    told: Callable[[str, str], None]
    decision: Callable[[str, str], Object | None]

    @cached_property
    def recorder(self) -> Recorder:
        """What writes Events: the sink of Events starts and stops it."""
        return Recorder(self.cluster, clock=self.clock, instance=self.instance, on_drop=self.lost)


@runtime_checkable
class Account(Protocol):
    """A sink that is told of decisions and records, too."""

    def decided(self, namespace: str, settled: Settled, at: datetime) -> None:
        """Take what became of a decision; returns at once.

        Args:
            namespace: of the ReleaseDecision.
            settled: which, and what became of it.
            at: since when.
        """
        ...

    def recorded(self, record: Object, written: Callable[[], None]) -> None:
        """Take a record; returns at once.

        Args:
            record: the ReleaseRecord, as it is stored.
            written: to be called once the sink has it for good.
        """
        ...


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

    def wants(self, release: Object, event: str, type_: str) -> bool:
        """Whether the sink is to be told; what it does not want takes no place in the status for it.

        Args:
            release: what it happens to.
            event: id of the kind of transition.
            type_: type of its Event, Normal or Warning.
        """
        ...

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
