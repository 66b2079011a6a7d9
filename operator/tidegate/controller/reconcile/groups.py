"""What passes are made with, in four groups: sources, targets, timers, and the mode of the process.

Each stage takes the groups that it needs, and from these alone it is known what it can read, write, wake or wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.status import ReleaseStatus
from tidegate.controller.looks.looks import Looks
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.gather import Gatherer, ReleaseObjects
from tidegate.controller.observe.informers import Prerequisites
from tidegate.controller.observe.questions import Questions
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.write_through import CachedCluster
from tidegate.controller.reconcile.outbox import Outbox
from tidegate.controller.reconcile.outcomes import Outcomes
from tidegate.controller.reconcile.records import Records
from tidegate.runtime.clock import Clock
from tidegate.runtime.scheduler import Scheduler
from tidegate.runtime.store import Object, Store
from tidegate.traffic.routers import Routers


@dataclass(frozen=True)
class Sources:
    """Where a pass has from what it decides on.

    Attributes:
        store: the caches.
        gatherer: makes snapshots of them.
        looks: takes looks of gates.
        questions: reads what is not watched.
        prerequisites: what is in the way of a Release, and is none of its own objects.
    """

    store: Store
    gatherer: Gatherer
    looks: Looks
    questions: Questions
    prerequisites: Callable[[Object], Prerequisites]

    def objects(self, key: ReleaseKey, status: ReleaseStatus) -> ReleaseObjects | None:
        """Return what is around a Release now; None where it is gone."""
        candidate = status.candidate.revision if status.candidate else None
        stable = status.stable.revision if status.stable else None
        pods, stable_pods = self.questions.pods(key, candidate), self.questions.stable_pods(key, stable)
        return self.gatherer.collect(key, status, pods=pods, stable_pods=stable_pods)


@dataclass(frozen=True)
class Targets:
    """Where what a pass does goes to.

    Attributes:
        cluster: the API; its writes go into the store.
        routers: shift routes.
        outbox: tells of what happens.
        metrics: the operator's own.
        outcomes: writes into decisions what has become of them.
        records: writes down how rollouts went.
    """

    cluster: CachedCluster
    routers: Routers
    outbox: Outbox
    metrics: Metrics
    outcomes: Outcomes
    records: Records


@dataclass(frozen=True)
class Timers:
    """The time, and what brings a Release back.

    Attributes:
        clock: the time.
        due: brings a Release back to the queue at a time.
        again: brings it back at once.
        heartbeat: how often numbers alone are written.
    """

    clock: Clock
    due: Scheduler[ReleaseKey]
    again: Callable[[ReleaseKey], None]
    heartbeat: timedelta


@dataclass(frozen=True)
class Mode:
    """What holds for all Releases at the moment.

    Attributes:
        keep_held: whether Deployments stay paused between rollouts.
        pressing: whether other Releases wait to have traffic taken from a bad version.
        ending: whether this process is about to end, and another to take over: what is not begun is left to it.
    """

    keep_held: Callable[[], bool]
    pressing: Callable[[], bool]
    ending: Callable[[], bool]
