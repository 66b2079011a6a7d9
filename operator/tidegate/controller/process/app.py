"""The operator, put together: caches, queue, workers, looks, endpoints.

Here alone it is decided what is made of what, what starts before what, and in which order it all ends; nothing is decided about
Releases.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import Iterable, Iterator
from functools import partial

import structlog

from tidegate import __version__
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.cluster.connection import Connection
from tidegate.cluster.reflector import State
from tidegate.cluster.resources import RELEASE_DECISIONS, RELEASES, Target
from tidegate.controller.looks.looks import Looks
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.admission import Admission
from tidegate.controller.observe.clusters import Clusters
from tidegate.controller.observe.decisions import Decisions
from tidegate.controller.observe.gather import Gatherer
from tidegate.controller.observe.informers import Informers
from tidegate.controller.observe.members import Members
from tidegate.controller.observe.questions import Questions
from tidegate.controller.observe.references import References, ReleaseKey
from tidegate.controller.observe.relations import SERVICE_OF_SLICE, Relations
from tidegate.controller.observe.releases import Releases
from tidegate.controller.observe.rights import Rights
from tidegate.controller.observe.write_through import CachedCluster
from tidegate.controller.process.catching_up import LOOK_ROUND, CatchingUp
from tidegate.controller.process.config import Config, Requests, warn
from tidegate.controller.process.follower import Edge
from tidegate.controller.process.gauges import bring_up
from tidegate.controller.process.handover import note
from tidegate.controller.process.health import alive, ready
from tidegate.controller.process.http import Check, Endpoints
from tidegate.controller.process.lanes import lane_of, woken
from tidegate.controller.process.leadership import Terms, instance, terms_of
from tidegate.controller.process.parts import Parts
from tidegate.controller.process.prometheus import reader_of
from tidegate.controller.process.suspects import Suspects, folder_of
from tidegate.controller.process.taking_over import TAKING_OVER, TakingOver
from tidegate.controller.reconcile.groups import Mode, Sources, Targets, Timers
from tidegate.controller.reconcile.leftovers import Leftovers
from tidegate.controller.reconcile.orphans import Orphans
from tidegate.controller.reconcile.outbox import Outbox
from tidegate.controller.reconcile.outcomes import Outcomes
from tidegate.controller.reconcile.reconciler import Reconciler
from tidegate.controller.reconcile.records import Records
from tidegate.controller.reconcile.sinks.registry import sinks
from tidegate.controller.reconcile.sinks.sink import Means
from tidegate.runtime.clock import Clock, SystemClock
from tidegate.runtime.errors import Outcome
from tidegate.runtime.queue import KeyedQueue, Lane
from tidegate.runtime.scheduler import Scheduler
from tidegate.runtime.spare import Spare
from tidegate.runtime.store import Change, Store
from tidegate.runtime.turns import Work
from tidegate.runtime.workers import Workers
from tidegate.traffic.routers import Routers

log = structlog.get_logger(__name__)

URGENT_WORKERS = 8
"""Passes of breached Releases that may run beside all others: requests of another tenant that hang are no reason to wait."""
HANDOVER_SECONDS = 5.0
"""What passes that are under way get to finish when the process ends."""
STORING_SECONDS = 0.5
"""After this long, no further status that was put off is stored: what is left is found again by the next process."""
FLUSH_SECONDS = 2.0
"""What Events that wait to be written get then."""
PASSING = frozenset({"start", LOOK_ROUND, "work", TAKING_OVER})
"""Parts that come to an end while all goes well."""
HURRY_SECONDS = 0.2
"""The same where another process waits to take over."""


class App:
    """One operator process.

    Args:
        config: the operator's configuration.
        connection: the API server.
        edge: follows Releases.
        terms: on which Releases it works, and for how long; by default on all, as long as the Lease of the configuration lets it.
    """

    def __init__(self, config: Config, connection: Connection, edge: Edge, terms: Terms | None = None) -> None:
        self._config, self._connection, self._edge = config, connection, edge
        clock, spread = SystemClock(), random.Random()  # noqa: S311 - spreads retries, guards nothing
        routers, self._metrics = Routers.all(config.warm_weights), Metrics()
        self.metrics = self._metrics
        self._relations = Relations(routers)
        self._terms = terms = terms or terms_of(config.leader_election, connection, observe=self._requested)
        self._shard, self._election, self._campaign = terms.shard, terms.election, terms.campaign
        self._references = References(self._relations, self._shard)
        labels = (SERVICE_OF_SLICE, LABEL_RELEASE, LABEL_POD_TEMPLATE_HASH)
        spare = Spare.shared(self._shard.count)
        self._store = store = Store(clock, labels=labels, needed=self._references.need, spare=spare)
        self.filled, self._works = asyncio.Event(), False
        """Set once the caches are filled, so that it can begin as soon as it may."""
        self._cluster = CachedCluster(connection, store, self._relations, observe=self._requested, fence=terms.fence)
        self._queue: KeyedQueue[ReleaseKey] = KeyedQueue(clock, jitter=spread)
        self._due: Scheduler[ReleaseKey] = Scheduler(clock)
        self._releases = Releases(self._cluster, store, clock=clock, namespaces=config.watch_namespaces)
        self._informers = self._informers_of(clock, spread)
        self._clusters = Clusters(config.clusters, clock=clock, jitter=spread, changed=self._proved, turned=self._turned)
        known, shard = self._knows_releases, self._shard
        self._leftovers = Leftovers(self._cluster, store, routers, clock=clock, trusted=known, shard=shard)
        told = config.notifications, self._metrics.notified, partial(store.get, RELEASE_DECISIONS.kind)
        self._outbox = Outbox(sinks(Means(self._cluster, clock, instance(), self._metrics.dropped, self._queue.add, *told)))
        self._reader, lane = reader_of(config, self._metrics, clock, self._cluster, self._metrics.queried)
        folder = folder_of(config.state_directory)
        add, suffix = self._queue.add, terms.file_suffix
        self._suspects = Suspects(clock=clock, metrics=self._metrics, folder=folder, add=add, suffix=suffix)
        if self._election is not None:
            self._election.keep = self._suspects.note
        turns = self._suspects.turns
        self._looks = Looks(clock=clock, reader=self._reader, arrived=self._queue.add, turns=turns, direct=lane)
        self._admission = Admission(self._cluster, clock=clock, changed=self._all_again, shown=self._metrics.admission)
        self._decisions = Decisions(store, lambda: self._admission.standing)
        self._outcomes = Outcomes(self._cluster, clock=clock, noted=self._outbox.decided)
        arrived, entitled = self._queue.add, partial(self._queue.add, lane=Lane.DECIDED)
        scope = partial(Records, namespaces=config.watch_namespaces, shard=shard)
        self._records = scope(self._cluster, self._outbox.recorded, clock=clock, moved=arrived, metrics=self._metrics)
        self._orphans = Orphans(store, self._decisions, self._outcomes, clock=clock, trusted=known, shard=shard)
        rights = Rights(self._cluster, self._decisions, self._admission)
        asked = partial(Questions, clock=clock, routers=routers, rights=rights, hooks=config.hooks)
        self._questions = asked(self._cluster, arrived=arrived, entitled=entitled)
        self._gatherer = self._gatherer_of(clock, routers)
        self._reconciler = self._reconciler_of(clock, routers)
        self._taking_over = TakingOver(store, self._reconciler, self._looks, self._suspects, clock)
        self._workers = self._workers_of(clock)
        self._endpoints = self._endpoints_of(clock)
        self._parts = Parts(passing=PASSING, stop="stop")

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop.

        The API server may be away, at the start or later: it is waited for.

        Raises:
            Terminal: the operator cannot serve; the message says why.
            Deposed: another process works now, or may.
            Exception: whatever ended one of its parts; the process must end, and be started again.
        """
        try:
            if self._terms.campaign is None:
                await self._endpoints.start()
                log.info("listening", version=__version__, server=self._connection.server, **self._endpoints.ports)
                warn(self._config)
            self._subscribe()
            self._outbox.start()
            self._parts.start("stop", stop.wait())
            self._parts.start("start", self._begin())
            await self._parts.first_end()
        finally:
            log.info("stopping")
            await self._close()

    async def _begin(self) -> None:
        """Fill the caches, and keep them; whether this process works or stands by."""
        # First: of what no Release names little is kept.
        await self._releases.first()
        for reflector in self._informers.reflectors:
            self._parts.start(f"watch of {reflector.resource.qualified}", reflector.run())
        await self._informers.first()
        await self._admission.look()
        # What was imported and listed stays: the garbage collector, which stops everything, need not go through it again and again.
        gc.collect()
        gc.freeze()
        for name, part in self._clusters.parts():
            self._parts.start(name, part)
        self._parts.start("lists of Releases", self._releases.run())
        self._parts.start("surroundings", self._informers.run())
        self._parts.start("admission policy", self._admission.run())
        self._parts.start("watch of Releases", self._edge(store=self._store, connection=self._connection, answered=self._answered))
        if self._campaign is not None:
            self._parts.join("leader election", self._campaign)
        elif self._election is not None:
            self._campaign = self._parts.start("leader election", self._election.run())
        self.filled.set()
        self._parts.start("work", self._work())

    async def _work(self) -> None:
        """Begin to decide and to write, once this process is the one that may."""
        if self._election is not None:
            log.info("the caches are filled; waiting for the lease")
            await self._election.won.wait()
            one_watch = len(self._config.watch_namespaces) <= 1
            catching_up = CatchingUp(self._store, self._relations, self._informers, self._releases, self._shard, one_watch)
            await catching_up.behind(self._election, self._parts)
        self._parts.start("due times", self._due.run(lambda key: self._queue.add(key, self._reconciler.lane(key))))
        self._parts.start("looks", self._looks.run())
        self._parts.start("outcomes of decisions", self._outcomes.run())
        self._parts.start("records", self._records.run())
        self._parts.start("decisions on Releases that are gone", self._orphans.run())
        self._parts.start("leftovers", self._leftovers.run())
        self._suspects.begin(self._election.kept if self._election is not None else {})
        self._parts.start("Releases put off", self._suspects.run())
        self._works = True
        self._parts.start(TAKING_OVER, self._taking_over.run(self._own()))
        self._workers.start()
        served = ", ".join(self._config.watch_namespaces) or "all"
        held, elected = self._informers.keep_held, self._election is not None
        log.info("serving", namespaces=served, workers=self._config.workers, keepHeld=held, leaderElection=elected)

    async def _close(self) -> None:
        deposed = self._election is not None and self._works and not self._leads
        finished = await self._workers.stop(within=0.0 if deposed else HANDOVER_SECONDS)
        if not deposed:
            await self._store_postponed()
        await self._questions.stop()
        flush = FLUSH_SECONDS if self._election is None else HURRY_SECONDS
        await self._outbox.stop(within=0.0 if deposed else flush)
        await self._hand_over(finished=finished)
        await self._parts.close()
        self._suspects.close()
        self._reader.close()
        await self._endpoints.stop()
        await self._cluster.close()
        if self._terms.electorate is not None:
            await self._terms.electorate.close()

    async def _store_postponed(self) -> None:
        """Store what a burst of breaches has put off. One that is cut short rests on a version: late, it is refused or right."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * STORING_SECONDS):
                await self._reconciler.store_postponed(STORING_SECONDS)

    async def _hand_over(self, *, finished: bool) -> None:
        """Let another process take over, now that this one writes no more."""
        if self._election is None or self._campaign is None:
            return
        self._campaign.cancel()
        await asyncio.gather(self._campaign, return_exceptions=True)
        if finished:
            await self._election.resign(note(self._store, self._relations, self._shard) if self._works else {})
        elif self._leads:
            log.warning("a write was cut short and may still be on its way: the lease is left to run out")

    def _informers_of(self, clock: Clock, spread: random.Random) -> Informers:
        return Informers(
            self._cluster,
            self._store,
            self._relations,
            clock=clock,
            namespaces=self._config.watch_namespaces,
            jitter=spread,
            changed=self._all_again,
            cluster_policies=self._config.cluster_policies,
        )

    def _gatherer_of(self, clock: Clock, routers: Routers) -> Gatherer:
        return Gatherer(
            self._store,
            routers,
            clock=clock,
            warm_up=self._config.warm_up.total_seconds(),
            delays=self._config.delays,
            step_replicas_limit=self._config.step_replicas_limit,
            records_kept=self._config.records_kept,
            unread=self._informers.unread,
            namespaces=self._config.watch_namespaces,
            decisions=self._decisions,
            by_decision=self._config.requests is Requests.DECISIONS,
            elsewhere=self._clusters.view,
            runs=self._questions.runs,
            members=Members(self._store, self._references.members),
            flags=self._questions.flagged,
        )

    def _reconciler_of(self, clock: Clock, routers: Routers) -> Reconciler:
        return Reconciler(
            Sources(self._store, self._gatherer, self._looks, self._questions, self._informers.prerequisites),
            Targets(self._cluster, routers, self._outbox, self._metrics, self._outcomes, self._records),
            Timers(clock, self._due, self._queue.add, self._config.status_heartbeat),
            Mode(
                keep_held=lambda: self._informers.keep_held,
                pressing=lambda: not self._workers.stopping and self._queue.fresh(Lane.URGENT),
                ending=lambda: self._workers.stopping,
            ),
        )

    def _workers_of(self, clock: Clock) -> Workers[ReleaseKey]:
        return Workers(
            self._queue,
            lambda key: self._suspects.turns.of(Work(*key), partial(self._reconciler.reconcile, key)),
            count=self._config.workers,
            urgent=URGENT_WORKERS,
            clock=clock,
            on_done=self._done,
        )

    def alive(self) -> list[Check]:
        """Return what only a new start mends."""
        return alive(self._workers, self._releases)

    def ready(self) -> list[Check]:
        """Return whether this operator does its work, or could take it over."""
        return ready(self._workers, self._queue, self._releases, self._informers, self._election)

    @property
    def leads(self) -> bool:
        """Whether it works, and may write."""
        return self._works and self._leads

    def owns(self) -> int:
        """Return how many Releases there are of its own."""
        return self._references.count

    def _endpoints_of(self, clock: Clock) -> Endpoints:
        return Endpoints(
            host=self._config.http_host,
            port=self._config.http_port,
            probe_port=self._config.probe_port,
            alive=self.alive,
            ready=self.ready,
            registry=self._metrics.registry,
            refresh=self.refresh,
            clock=clock,
        )

    # From changes to keys.

    def _subscribe(self) -> None:
        for resource in self._relations.resources:
            self._store.on_change(resource.kind, self._changed)

    def _changed(self, change: Change) -> None:
        if change.old is not None and (change.new is None or change.new["metadata"]["uid"] != change.old["metadata"]["uid"]):
            self._gatherer.forget(change.old["metadata"]["uid"])
        if change.key.kind == RELEASES.kind:
            key = ReleaseKey(change.key.namespace, change.key.name)
            self._store.let_go(self._references.learn(key, change.new))
            if change.old is None:
                self._leftovers.came(key)
            for keys, lane in woken(change, self._references, echo=self._reconciler.echoes(key, change)):
                self._again(keys, lane)
        else:
            self._again(self._references.of(change), lane_of(change))

    def _proved(self, cluster: str, change: Change) -> None:
        self._again(self._references.dependents(change, cluster), lane_of(change))

    def _turned(self, cluster: str) -> None:
        self._again(self._references.looking_at(cluster), Lane.LOW)

    def _again(self, keys: Iterable[ReleaseKey], lane: Lane) -> None:
        if not self._works:
            # All of them will be looked at once it does.
            return
        for key in keys:
            if self._shard.has(*key):
                self._suspects.add(key, lane)

    def _own(self) -> Iterator[ReleaseKey]:
        names = (ReleaseKey(namespace, name) for _, namespace, name in self._store.names(RELEASES.kind))
        return (key for key in names if self._shard.has(*key))

    def _all_again(self) -> None:
        self._again(self._own(), Lane.LOW)

    # What the parts tell.

    def _answered(self, verb: str, path: str, status: int, seconds: float) -> None:
        self._requested(verb, Target.of(path).resource, status, seconds)
        self._releases.answered(verb, path, status)

    def _requested(self, verb: str, resource: str, status: int, _: float) -> None:
        self._metrics.api_requests.labels(verb, resource, str(status)).inc()

    def _done(self, key: ReleaseKey, outcome: Outcome, seconds: float) -> None:
        self._metrics.reconcile.labels(outcome.value).observe(seconds)
        self._suspects.done(key)

    @property
    def _leads(self) -> bool:
        """Whether this process may write."""
        return self._terms.fence is None or self._terms.fence.remaining() > 0

    def _knows_releases(self) -> bool:
        """Whether all Releases that there are are known, and this process may write."""
        return self._releases.health.state is State.SYNCED and self._leads

    def refresh(self) -> None:
        """Bring the metrics up to now."""
        bring_up(self._metrics, self._queue, self._releases, self._informers, self._clusters, leads=self.leads)
