"""Keeps the store true for one resource: list, watch, list again when the watch cannot go on, and never give up."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import structlog

from tidegate.cluster.client import WATCH_INACTIVITY, Cluster, WatchEvent
from tidegate.cluster.errors import ApiError, Expired, Forbidden, NotFound, Silent, Unauthorized
from tidegate.cluster.resources import Resource
from tidegate.cluster.sending import Json
from tidegate.runtime.clock import Clock, Moment
from tidegate.runtime.packing import unpack
from tidegate.runtime.shelf import key_of
from tidegate.runtime.store import Change, Store

log = structlog.get_logger(__name__)

WATCH_LIFETIME = 290
"""Seconds after which the server ends a watch: below the five minutes after which load balancers cut connections."""
BACKOFF_FIRST = 0.2
BACKOFF_CAP = 10.0
"""Seconds between attempts at most: also how late the return of the API is noticed."""
SLOW_RETRY = 30.0
"""Seconds between attempts at a resource that is absent or forbidden: people change that, not time."""
SILENCES = 5
"""Watches in a row without a sign of life after which a list is made: after a restore of etcd the server accepts a
version from the future and stays silent until history gets there."""
QUIET = 0.1
"""Seconds without an event after which a watch that was recreated has told what there was to tell."""
SHORT_WATCH = 1.0
"""Seconds: a watch that ends sooner without an event has failed, whatever the server says."""


class State(Enum):
    """How far what the store holds of one resource can be trusted."""

    STARTING = "Starting"
    """Nothing has been listed yet."""
    SYNCED = "Synced"
    """The store follows the cluster."""
    STALE = "Stale"
    """The store holds what was true until the API was lost."""
    ABSENT = "Absent"
    """The API does not serve this resource: its CustomResourceDefinition is not installed."""
    FORBIDDEN = "Forbidden"
    """A permission is missing."""


@dataclass(frozen=True, slots=True)
class Health:
    """State of one reflector.

    Attributes:
        state: how far the store can be trusted.
        message: what is wrong, in words; empty while synced.
        age: seconds since the API was last heard; infinite if never.
        heard: when that was, by the wall clock; None if never.
        steady: seconds for which the store has followed the cluster without a break. What was missed in a break is told right
            behind its end, so a store that has been steady for less than a moment may lack it.
    """

    state: State
    message: str
    age: float
    heard: datetime | None = None
    steady: float = 0.0


def _as_it_is(obj: Json) -> Json:
    return obj


class Reflector:
    """Mirrors one resource into the store.

    A list that follows another is compared with the store, so that a deletion whose event was missed is noticed.
    Objects stay in the store when the API becomes unreachable, forbidden or absent: not to see them is not to know that
    they are gone.

    Args:
        cluster: the API.
        resource: what to mirror.
        store: where to; under `resource.kind`.
        clock: measures silence and back-off.
        namespace: only this one; None for all.
        label_selector: only objects that match it.
        keep: whether an object is worth keeping; one that stops being so leaves the store.
        on_event: told of each change that this reflector made to the store (not of those that our own writes made).
        jitter: spreads watches' ends and retries.
        turns: held while a list is made, so that not all resources need the memory for theirs at once; None to wait for nobody.
        inactivity: seconds of silence after which a watch is renewed.
        shape: returns what is to be kept of an object; None for all of it.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        store: Store,
        *,
        clock: Clock,
        namespace: str | None = None,
        label_selector: str | None = None,
        keep: Callable[[Json], bool] | None = None,
        on_event: Callable[[Change], None] | None = None,
        jitter: random.Random | None = None,
        turns: asyncio.Semaphore | None = None,
        inactivity: float = WATCH_INACTIVITY,
        shape: Callable[[Json], Json] | None = None,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._store = store
        self._clock = clock
        self._namespace = namespace
        self._path = resource.path(namespace)
        self._label_selector = label_selector
        self._keep = keep
        self._on_event = on_event
        self._random = jitter or random.Random()  # noqa: S311 - spreads requests, guards nothing
        self._turns = turns or asyncio.Semaphore()
        self._inactivity = inactivity
        self._shape = shape or _as_it_is
        self._version: str | None = None
        self._failures = 0
        self._silences = 0
        self._events = 0
        self._state = State.STARTING
        self._message = ""
        self._settled = asyncio.Event()
        self._accepted = asyncio.Event()
        self._round: asyncio.Timeout | None = None
        self._heard: Moment | None = None
        self._synced_at = 0.0

    @property
    def resource(self) -> Resource:
        """What is mirrored."""
        return self._resource

    @property
    def health(self) -> Health:
        """How things stand; a watch that is silent for too long is stale even if nothing has failed."""
        now, last = self._clock.monotonic(), self._heard
        age, heard = (float("inf"), None) if last is None else (now - last.monotonic, last.wall)
        if self._state is State.SYNCED and age > 2 * self._inactivity:
            return Health(State.STALE, f"nothing heard of {self._resource.qualified} for {age:.0f} s", age, heard)
        return Health(self._state, self._message, age, heard, now - self._synced_at if self._state is State.SYNCED else 0.0)

    async def wait_synced(self, within: float) -> State:
        """Waits until it is known how things stand: synced, absent or forbidden.

        Args:
            within: seconds to wait at most.

        Returns:
            The state then; Starting or Stale if the time was up.
        """
        if not self._settled.is_set():
            await self._clock.sleep(within, wake=self._settled)
        return self.health.state

    async def renew(self, within: float) -> bool:
        """Makes the watch anew, so that what was missed is told now, also by a watch that had died unnoticed.

        Args:
            within: seconds to wait at most.

        Returns:
            Whether the API has accepted it and has told what there was to tell.
        """
        self._accepted.clear()
        if self._round is not None:
            self._round.reschedule(asyncio.get_running_loop().time())
            self._round = None
        deadline = self._clock.monotonic() + within
        await self._clock.sleep(within, wake=self._accepted)
        while self._accepted.is_set() and (left := deadline - self._clock.monotonic()) > 0:
            # What was missed comes right behind the acceptance; nothing marks its end but that no more comes.
            events = self._events
            await self._clock.sleep(min(left, QUIET))
            if events == self._events:
                return True
        return False

    async def run(self) -> None:
        """Mirrors until cancelled; no error ends it."""
        while True:
            try:
                async with asyncio.timeout(None) as self._round:
                    await self._attempt()
            except TimeoutError:
                # By `renew`, and by nothing else: all that is asked for has a timeout of its own, which is an ApiError.
                continue
            finally:
                self._round = None

    async def _attempt(self) -> None:
        try:
            await self._follow()
        except ApiError as error:
            delay = self._failed(error)
        except Exception as error:
            log.exception("reflector failed", resource=self._resource.qualified)
            self._version = None
            self._become(State.STALE, f"{type(error).__name__}: {error}")
            delay = self._backoff()
        else:
            return
        await self._clock.sleep(delay)

    async def _follow(self) -> None:
        if self._version is None:
            async with self._turns:
                self._version = await self._list()
        started, self._events = self._clock.monotonic(), 0
        try:
            await self._watch(self._version)
        except Silent:
            # A quiet resource gets no bookmarks before the server has seen a first event of it, so silence alone is no
            # failure: watching again from the same version loses nothing and costs one request.
            self._failures = 0
            self._silences += 1
            if self._silences >= SILENCES:
                self._silences = 0
                self._version = None
            return
        if self._events or self._clock.monotonic() - started >= SHORT_WATCH:
            self._failures = 0
        else:
            await self._clock.sleep(self._backoff())

    async def _watch(self, version: str) -> None:
        watch = self._cluster.watch(
            self._path,
            version,
            lifetime=int(WATCH_LIFETIME * self._random.uniform(0.9, 1.0)),
            inactivity=self._inactivity,
            label_selector=self._label_selector,
            on_open=self._open,
        )
        async with aclosing(watch) as stream:
            async for event in stream:
                self._take(event)

    async def _list(self) -> str:
        newest = self._store.newest(self._resource.kind)
        taking, shape = self._store.taking(self._resource.kind), self._shape
        listing = await self._cluster.list(self._path, label_selector=self._label_selector, slim=lambda obj: taking(shape(obj)))
        objects = (obj for obj in map(unpack, listing.items) if self._keep is None or self._keep(dict(obj)))
        # A list without resourceVersion is at least as new as all that was seen before it was asked for. If it is not,
        # the cluster was restored from a backup and its versions count from an earlier number again.
        rewound = int(listing.resource_version) < newest
        if rewound:
            log.warning("resourceVersions went back: was etcd restored?", resource=self._resource.qualified)
        changes = 0
        for change in self._store.replacing(
            self._resource.kind, objects, listing.resource_version, namespace=self._namespace, rewound=rewound
        ):
            changes += 1
            self._report(change)
        self._hear()
        log.debug("listed", resource=self._resource.qualified, objects=len(listing.items), changes=changes)
        return listing.resource_version

    def _take(self, event: WatchEvent) -> None:
        self._hear()
        self._events += 1
        self._failures = self._silences = 0
        kind, told = self._resource.kind, event.object
        # A bookmark is none of the objects that there are.
        obj = told if event.type == "BOOKMARK" else self._shape(told)
        version = told["metadata"]["resourceVersion"]
        if self._version is not None and int(version) < int(self._version):
            message = f"resourceVersions went back from {self._version} to {version}"
            raise Expired(410, "Rewound", message, verb="watch", path=self._path)
        match event.type:
            case "ADDED" | "MODIFIED" if self._keep is None or self._keep(obj):
                self._report(self._store.upsert(kind, obj))
            case "ADDED" | "MODIFIED":
                # Not of interest (any more). What never was needs no tombstone.
                if self._store.kept(*key_of(kind, obj)) is not None:
                    self._report(self._store.remove(kind, obj))
            case "DELETED":
                self._report(self._store.remove(kind, obj))
        # Last: an object that could not be taken in must not be skipped when the watch goes on from here.
        self._version = version

    def _failed(self, error: ApiError) -> float:
        """Notes a failure and returns how many seconds to wait."""
        match error:
            case Expired():
                # History ran out, which happens to a watch that was away for minutes; the store is as it was till then.
                self._version = None
                log.info("watch expired, listing again", resource=self._resource.qualified)
                return self._backoff()
            case NotFound():
                self._version = None
                self._become(State.ABSENT, f"the API does not serve {self._resource.qualified}")
                return SLOW_RETRY * self._random.uniform(0.8, 1.2)
            case Forbidden() | Unauthorized():
                self._become(State.FORBIDDEN, error.message)
                # An API server that has just started refuses everything for a second, until it has read its roles.
                return self._backoff()
            case _:
                if self._displeases(error):
                    self._version = None
                if self._state not in {State.ABSENT, State.FORBIDDEN}:
                    self._become(State.STARTING if self._heard is None else State.STALE, str(error))
                return max(self._backoff(), error.after or 0.0)

    @staticmethod
    def _displeases(error: ApiError) -> bool:
        """Whether it is our version that the server does not like, as after a restore of etcd."""
        malformed = 400 <= error.status < 500 and error.status != 429
        return malformed or any(cause.reason == "ResourceVersionTooLarge" for cause in error.causes)

    def _become(self, state: State, message: str) -> None:
        if state is not self._state:
            level = logging.INFO if state is State.SYNCED else logging.WARNING
            log.log(level, "reflector", resource=self._resource.qualified, state=state.value, message=message)
        self._state, self._message = state, message
        if state in {State.SYNCED, State.ABSENT, State.FORBIDDEN}:
            self._settled.set()

    def _open(self) -> None:
        self._hear()
        self._accepted.set()

    def _hear(self) -> None:
        """Notes a list, an accepted watch or an event: from here on the store follows the cluster."""
        if self.health.state is not State.SYNCED:
            self._synced_at = self._clock.monotonic()
        self._become(State.SYNCED, "")
        self._heard = Moment.of(self._clock)
        self._store.touch(self._resource.kind)

    def _backoff(self) -> float:
        delay = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return delay * self._random.uniform(0.8, 1.2)

    def _report(self, change: Change | None) -> None:
        if change is None or self._on_event is None:
            return
        try:
            self._on_event(change)
        except Exception:
            log.exception("event handler failed", key=str(change.key))
