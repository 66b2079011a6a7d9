"""Takes part in the election of the one process that writes, by a Lease of the API (coordination.k8s.io/v1)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from tidegate.cluster.resources import LEASES
from tidegate.cluster.sending import Json
from tidegate.runtime.clock import Clock
from tidegate.runtime.lease import VACANT, Candidate, Claim, Step, Timing

log = structlog.get_logger(__name__)

WATCH_LIFETIME = 290
"""Seconds after which the server ends a watch."""
RESIGN_SECONDS = 1.0
"""What each of the requests gets that give the lease up; who waits for it takes it all the same, only later."""
NOTE = "left-at.tidegate.dev/"
"""Annotations of the Lease by which a leader that gives it up leaves word for the next one begin so."""
KEPT = "kept.tidegate.dev/"
"""Annotations of the Lease that every leader keeps for the next one, however it ends, begin so."""
PAUSED_SECONDS = 2.0
"""What each request gets at first while this process may not write; the next may find an API server that answers again."""
PAUSED_SHARE = 0.1
"""Of the time without the lease so much is added: an API server that is back, and slow, is given time to answer."""
LEAST_SECONDS = 0.1
"""Least time for a request, however little of the lease is left."""
SPREAD = 0.2
"""By how much the pauses of a standby vary, so that several do not ask in the same instant."""


class Deposed(Exception):  # noqa: N818 - it says what has become of the leader
    """This process does not lead any more."""


@dataclass(frozen=True)
class Place:
    """Where the Lease is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Health:
    """How a process stands in the election.

    Attributes:
        leads: whether it may write.
        sound: whether it could take the lease over if that became free.
        words: the same in words.
    """

    leads: bool
    sound: bool
    words: str


class Election:
    """One process's part in the election; it is the fence of that process's writes, too.

    Args:
        cluster: the API; not one that is fenced by this election. Its connections are best not shared with other requests.
        clock: its monotonic time decides; its wall clock only gives the times that the Lease shows to people.
        place: where the Lease is.
        identity: name of this process, which no other has or has ever had.
        timing: how long things take; the duration in whole seconds.
        jitter: spreads requests.
        wants: whether this process would take the lease if it could; `reconsider` has it asked again.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock,
        place: Place,
        identity: str,
        timing: Timing,
        jitter: random.Random | None = None,
        wants: Callable[[], bool] = lambda: True,
    ) -> None:
        self._cluster, self._clock, self._place, self._timing = cluster, clock, place, timing
        self._wants = wants
        self._random = jitter or random.Random()  # noqa: S311 - spreads requests, guards nothing
        self._path = LEASES.path(place.namespace, place.name)
        self._candidate = Candidate(identity, timing)
        self._stored: Json | None = None
        self._heard = float("-inf")
        self._trouble = "the lease has not been read yet"
        self._paused = False
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.won = asyncio.Event()
        """Set once this process leads."""
        self.note: Mapping[str, str] = {}
        """What the leader before has left in the Lease when it gave it up; empty if it did not."""
        self.kept: Mapping[str, str] = {}
        """What leaders before have kept in the Lease, however they ended."""
        self.keep: Callable[[], Mapping[str, str]] = lambda: self.kept
        """Gives what this leader keeps there; it goes with each renewal."""

    # The fence.

    def remaining(self) -> float:
        """Return for how many seconds this process may still begin writes; 0.0 where it may not."""
        return self._candidate.remaining(self._clock.monotonic())

    @property
    def grace(self) -> float:
        """Seconds between the last moment at which this process may write and the first at which another may."""
        return self._timing.duration - self._timing.renew_deadline

    # What others may know.

    @property
    def holder(self) -> str:
        """Identity of who holds the lease, as far as this process knows; empty where nobody does."""
        claim = self._candidate.claim
        return claim.holder if claim is not None and claim.holder != VACANT else ""

    @property
    def heard(self) -> bool:
        """Whether the lease has been read."""
        return self._heard > float("-inf")

    def vacant(self) -> float:
        """Return for how many seconds anybody may have taken the lease, as far as this process knows; 0.0 where it is held."""
        one = self._candidate
        if one.claim is None or one.renewed is not None:
            return 0.0
        return max(0.0, self._clock.monotonic() - one.changed - one.left)

    def reconsider(self) -> None:
        """Have it asked again whether this process wants the lease."""
        self._news.set()

    # The election.

    async def run(self) -> None:
        """Take part until cancelled.

        Raises:
            Deposed: this process has led and does not any more; it must write no more.
        """
        try:
            while True:
                await self._next()
        finally:
            await self._stop_watching()

    async def resign(self, note: Mapping[str, str] | None = None) -> None:
        """Give the lease up, so that another may take it at once: when nothing is being written any more, and `run` has ended.

        Args:
            note: annotations of the Lease for the next leader.
        """
        if not self.remaining():
            return
        self._candidate = self._candidate.resigned()
        for _ in range(2):
            try:
                if not self._candidate.known:
                    self._take_in(await self._cluster.get(self._path, within=RESIGN_SECONDS))
                if self._candidate.claim is None or self._candidate.claim.holder != self._candidate.identity:
                    return
                freed = self._body({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._time()}, note=note or {})
                await self._cluster.update(self._path, freed, within=RESIGN_SECONDS)
            except Conflict:
                # A renewal was cut off, and had been done all the same.
                self._candidate = self._candidate.forgot()
            except ApiError as error:
                log.warning("the lease could not be given up; it runs out by itself", lease=str(self._place), cause=str(error))
                return
            else:
                log.info("gave the lease up", lease=str(self._place))
                return

    def health(self) -> Health:
        """Return how this process stands."""
        now, claim = self._clock.monotonic(), self._candidate.claim
        if self._candidate.renewed is not None:
            remaining = self.remaining()
            words = f"leads; the lease {self._place} was renewed {now - self._candidate.renewed:.1f} s ago"
            words += f"; {self._trouble}" if self._trouble else ""
            lost = "does not lead any more" if self._candidate.taken else "writes nothing until the lease can be renewed"
            return Health(remaining > 0, remaining > 0, words if remaining else f"{lost}; {self._trouble}".removesuffix("; "))
        silent = now - self._heard
        if self._trouble or silent > self._timing.duration:
            return Health(False, False, self._trouble or f"nothing heard of the lease for {silent:.0f} s")
        holder = claim.holder if claim is not None else ""
        words = f"standby; the lease {self._place} is held by {holder}" if holder else f"standby; the lease {self._place} is free"
        return Health(False, True, words)

    async def _next(self) -> None:
        advice = self._candidate.advise(now := self._clock.monotonic())
        if self._candidate.paused(now) and not self._paused:
            self._paused = True
            log.warning("the lease could not be renewed: nothing is written until it can be", lease=str(self._place))
        match advice.step:
            case Step.STEP_DOWN:
                raise Deposed(advice.words)
            case Step.READ:
                await self._read()
            case Step.MAKE:
                await self._make()
            case Step.CLAIM if self._candidate.renewed is not None or self._wants():
                await self._claim()
            case Step.CLAIM:
                await self._wait(now + self._timing.duration)
            case Step.WAIT:
                await self._wait(advice.until)

    async def _wait(self, until: float) -> None:
        if not self.won.is_set():
            self._start_watching()
        self._news.clear()
        await self._clock.sleep(until - self._clock.monotonic(), wake=self._news)

    async def _read(self) -> None:
        begun = self._clock.monotonic()
        try:
            self._take_in(await self._cluster.get(self._path, within=self._patience()))
        except NotFound:
            self._take_in(None)
        except ApiError as error:
            self._fail(begun, error)

    async def _make(self) -> None:
        begun = self._clock.monotonic()
        try:
            self._take_in(await self._create({"holderIdentity": VACANT}))
        except ApiError as error:
            self._fail(begun, error, outdated=isinstance(error, AlreadyExists))

    async def _claim(self) -> None:
        begun, held, found = self._clock.monotonic(), self.won.is_set(), self._noted()
        try:
            lease = await self._write()
        except (Conflict, AlreadyExists, NotFound) as error:
            self._fail(begun, error, outdated=True)
            return
        except ApiError as error:
            self._fail(begun, error)
            return
        self._stored, self._trouble = lease, ""
        self._candidate = self._candidate.won(self._claim_of(lease), begun, self._clock.monotonic())
        self._heard = self._clock.monotonic()
        if self._paused and self.remaining():
            self._paused = False
            log.info("still holds the lease, which no other replica has taken, and continues", lease=str(self._place))
        if self.remaining() and not held:
            self.note, self.kept = found, self._annotations(KEPT)
            log.info("took the lease", lease=str(self._place), identity=self._candidate.identity)
            self.won.set()
            await self._stop_watching()

    async def _write(self) -> Json:
        """Take the lease or renew it; the version that was read last is the condition."""
        now, claim, me = self._time(), self._candidate.claim, self._candidate.identity
        if claim is None:
            # It was removed under this leader.
            return await self._create({"holderIdentity": me, "acquireTime": now})
        spec: Json = {"holderIdentity": me, "leaseDurationSeconds": int(self._timing.duration), "renewTime": now}
        if claim.holder != me:
            before = (self._stored or {}).get("spec") or {}
            spec |= {"acquireTime": now, "leaseTransitions": int(before.get("leaseTransitions") or 0) + 1}
        return await self._cluster.update(self._path, self._body(spec), within=self._patience())

    async def _create(self, fields: Json) -> Json:
        metadata = {"name": self._place.name, "namespace": self._place.namespace}
        spec = {"leaseDurationSeconds": int(self._timing.duration), "renewTime": self._time(), "leaseTransitions": 0, **fields}
        lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        return await self._cluster.create(LEASES.path(self._place.namespace), lease, within=self._patience())

    def _body(self, spec: Json, *, note: Mapping[str, str] | None = None) -> Json:
        """Return the Lease as it is stored, with these fields changed and this note in place of the one before."""
        stored = self._stored or {}
        metadata = stored.get("metadata") or {}
        kept = {name: value for name, value in (metadata.get("annotations") or {}).items() if not name.startswith(NOTE)}
        if self.won.is_set():
            kept = {name: value for name, value in kept.items() if not name.startswith(KEPT)} | dict(self.keep())
        annotations = {"annotations": {**kept, **(note or {})}}
        return {**stored, "metadata": {**metadata, **annotations}, "spec": {**(stored.get("spec") or {}), **spec}}

    def _noted(self) -> Mapping[str, str]:
        """Return the note in a Lease that was given up."""
        if self._stored is None or self._candidate.claim is None or self._candidate.claim.holder:
            return {}
        return self._annotations(NOTE)

    def _annotations(self, prefix: str) -> Mapping[str, str]:
        metadata = (self._stored or {}).get("metadata") or {}
        return {name: value for name, value in (metadata.get("annotations") or {}).items() if name.startswith(prefix)}

    def _patience(self) -> float:
        """Return how long a request may take: two must fit in before the lease is lost."""
        half = self._timing.renew_deadline / 2
        if not self.won.is_set():
            return half
        if not (remaining := self.remaining()):
            return min(half, PAUSED_SECONDS + PAUSED_SHARE * self._candidate.overdue(self._clock.monotonic()))
        return max(LEAST_SECONDS, min(half, remaining))

    def _fail(self, begun: float, error: ApiError, *, outdated: bool = False) -> None:
        now = self._clock.monotonic()
        if not outdated:
            if not self._trouble:
                log.warning("the lease cannot be read or written; this is tried again", lease=str(self._place), cause=str(error))
            self._trouble = str(error)
        self._candidate = self._candidate.failed(begun, now, outdated=outdated)

    def _take_in(self, lease: Json | None) -> None:
        """Note what was read or watched."""
        self._heard, self._trouble, self._stored = self._clock.monotonic(), "", lease
        before = self._candidate.claim
        claim = self._claim_of(lease) if lease is not None else None
        self._candidate = self._candidate.saw(claim, self._heard)
        if claim is not None and (before is None or before.holder != claim.holder):
            log.info("lease", lease=str(self._place), holder=claim.holder or "nobody")

    def _claim_of(self, lease: Json) -> Claim:
        spec = lease.get("spec") or {}
        duration = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        return Claim(spec.get("holderIdentity") or "", duration, lease["metadata"]["resourceVersion"])

    def _time(self) -> str:
        """Return the wall clock's time as a MicroTime, for people."""
        return self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    # The watch of a standby.

    def _start_watching(self) -> None:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="watch of the lease")
        elif self._watching.done():
            # It has no end but by a bug, which ends the process.
            self._watching.result()

    async def _watch(self) -> None:
        """Follow the lease until cancelled; whenever that fails, it is read."""
        selector, path = f"metadata.name={self._place.name}", LEASES.path(self._place.namespace)
        silence = max(2 * self._timing.retry, self._timing.duration / 3)
        while True:
            try:
                # Without a version the first event is the lease as it is.
                watch = self._cluster.watch(path, "", lifetime=WATCH_LIFETIME, inactivity=silence, field_selector=selector)
                async with aclosing(watch) as events:
                    async for event in events:
                        self._hear(event.type, event.object)
            except ApiError as error:
                log.debug("watch of the lease", lease=str(self._place), cause=str(error))
            self._candidate = self._candidate.forgot()
            self._news.set()
            await self._clock.sleep(self._timing.retry * self._random.uniform(1 - SPREAD, 1 + SPREAD))

    def _hear(self, kind: str, lease: Json) -> None:
        if kind == "BOOKMARK":
            return
        self._take_in(None if kind == "DELETED" else lease)
        self._news.set()

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
