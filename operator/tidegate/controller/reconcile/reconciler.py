"""One pass over one Release: snapshot, decision, writes, and when to look again.

Whatever woke a Release, the same is done: a pass knows no event, only what is there now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from tidegate.api.edits import edited
from tidegate.api.names import Cause, Reason
from tidegate.api.outbox import TransitionStatus
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.errors import ApiError
from tidegate.controller.looks.looks import Looks
from tidegate.controller.looks.subject import subject_of
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.gather import Gatherer, ReleaseObjects
from tidegate.controller.observe.informers import Prerequisites
from tidegate.controller.observe.questions import Questions
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.whole import with_whole
from tidegate.controller.observe.write_through import CachedCluster
from tidegate.controller.reconcile import act
from tidegate.controller.reconcile.memory import Memory
from tidegate.controller.reconcile.outbox import Outbox
from tidegate.controller.reconcile.statuses import Statuses
from tidegate.engine.conditions import refused
from tidegate.engine.decide import decide
from tidegate.engine.mend import moved
from tidegate.engine.plan import Action, Plan, notice_of
from tidegate.engine.snapshot import Blocker
from tidegate.engine.transitions import Blocked
from tidegate.runtime.clock import Clock, Moment
from tidegate.runtime.errors import Terminal
from tidegate.runtime.queue import Lane
from tidegate.runtime.scheduler import Scheduler
from tidegate.runtime.shelf import BareError
from tidegate.runtime.store import Change, Object, Store
from tidegate.traffic.routers import Routers

log = structlog.get_logger(__name__)

HEAD_START = 0.02
"""Seconds by which a route that must be shut is before the status, so that in a burst they do not compete. The longer it is, the
more an operator that dies in between leaves to be found again."""
STORE_PATIENCE = 1.0
"""Seconds that a status gets to be stored before traffic is taken from a bad version all the same; and that a route gets in a burst
before the status is stored all the same."""
POSTPONED_SECONDS = 2.0
"""After this long, a status that was put off is as urgent as what it was put off for."""
TROUBLE_SECONDS = 60.0
"""After this long, what people have to mend is tried again, whether anything was seen to change or not."""
SETTLE_SECONDS = 1.0
"""After this long, what was written is looked at again, whether it was seen to change or not."""


@dataclass(frozen=True)
class Decision:
    """What a pass has decided, and on what.

    Attributes:
        around: the raw objects.
        before: the status until then.
        plan: what is to be done; its status keeps what has happened.
        happened: what has happened with it.
        at: when.
    """

    around: ReleaseObjects
    before: ReleaseStatus
    plan: Plan
    happened: tuple[TransitionStatus, ...]
    at: Moment


class Reconciler:
    """Carries Releases from what is to what should be.

    Args:
        store: the caches.
        cluster: the API; its writes go into the store.
        gatherer: makes snapshots.
        routers: shift routes.
        looks: takes looks of gates.
        questions: reads what is not watched.
        outbox: tells of what happens.
        metrics: the operator's own.
        clock: the time.
        due: brings a Release back to the queue.
        heartbeat: how often numbers alone are written.
        prerequisites: what is in the way of a Release, and is none of its own objects.
        keep_held: whether Deployments stay paused between rollouts.
        again: brings a Release back to the queue at once.
        pressing: whether other Releases wait to have traffic taken from a bad version.
        ending: whether this process is about to end, and another to take over: what is not begun is left to it.
    """

    def __init__(
        self,
        *,
        store: Store,
        cluster: CachedCluster,
        gatherer: Gatherer,
        routers: Routers,
        looks: Looks,
        questions: Questions,
        outbox: Outbox,
        metrics: Metrics,
        clock: Clock,
        due: Scheduler[ReleaseKey],
        heartbeat: timedelta,
        prerequisites: Callable[[Object], Prerequisites],
        keep_held: Callable[[], bool],
        again: Callable[[ReleaseKey], None],
        pressing: Callable[[], bool],
        ending: Callable[[], bool],
    ) -> None:
        self._store, self._cluster, self._gatherer, self._routers = store, cluster, gatherer, routers
        self._looks, self._questions, self._metrics = looks, questions, metrics
        self._outbox = outbox
        self._clock, self._due = clock, due
        self._statuses = Statuses(store, cluster, clock=clock, heartbeat=heartbeat)
        self._prerequisites, self._keep_held = prerequisites, keep_held
        self._again, self._pressing, self._ending = again, pressing, ending
        self._memory: dict[ReleaseKey, Memory] = {}

    async def reconcile(self, key: ReleaseKey) -> None:
        """Make one pass.

        Raises:
            Retry: the pass is worth another try.
            Terminal: nothing helps until something changes; it stands in the status.
            Exception: a bug, met while something was written.
        """
        release = self._store.get("Release", *key)
        if release is None:
            self._forget(key)
            return
        memory = self._memory_of(key, release)
        decision = await self._decide_or_refuse(key, memory, release)
        if decision is None:
            return
        done, postponed = act.Done(interrupted=True), memory.postponed
        try:
            unsaved, done = await self._carry_out(key, memory, decision)
        finally:
            # A verdict that could not be stored or acted on has still been reached: people hear of it.
            wrote = postponed or bool(decision.plan.away or decision.plan.actions)
            settling = wrote and done.failed is None and not done.interrupted
            self._conclude(key, memory, decision, settling=settling)
        said = await self._say(key, memory) if not done.interrupted and memory.note(done.failed) else None
        if (failed := done.failed or unsaved or said) is not None:
            raise failed

    async def store_postponed(self, within: float) -> None:
        """Store the statuses that were put off, before another process takes over.

        Args:
            within: seconds after which no further write is begun.
        """
        postponed = [(key, memory) for key, memory in self._memory.items() if memory.postponed]
        await self._statuses.store_all(postponed, within)

    def lane(self, key: ReleaseKey) -> Lane:
        """Return the lane in which a Release comes back whose time has come."""
        memory = self._memory.get(key)
        return Lane.URGENT if memory is not None and memory.postponed else Lane.NORMAL

    def echoes(self, key: ReleaseKey, change: Change) -> bool:
        """Whether a change of a Release is nothing but the answer to a status that was written here."""
        memory = self._memory.get(key)
        return memory is not None and memory.echoed(change)

    def _memory_of(self, key: ReleaseKey, release: Object) -> Memory:
        uid = release["metadata"]["uid"]
        memory = self._memory.get(key)
        if memory is None or memory.uid != uid:
            self._forget(key)
            memory = self._memory[key] = Memory(uid)
        return memory

    async def _decide_or_refuse(self, key: ReleaseKey, memory: Memory, release: Object) -> Decision | None:
        prerequisites = self._prerequisites(release)
        if prerequisites.blind:
            await self._refuse(key, memory, release, prerequisites.blockers)
            return None
        try:
            return await with_whole(self._cluster, self._store, lambda: self._decide(key, memory, release, prerequisites))
        except (ApiError, BareError):
            # What is around it could not be read, and is not guessed.
            raise
        except Terminal as error:
            await self._refuse(key, memory, release, (Blocker(_reason(error), error.message),))
            return None
        except Exception as error:
            # A mistake of the operator's own: whoever looks at the Release is to see that nothing is decided, and where to look on.
            words = f"internal error ({type(error).__name__}); retrying, see the operator's log"
            await self._refuse(key, memory, release, (Blocker(Reason.INTERNAL_ERROR, words),))
            raise

    def _decide(self, key: ReleaseKey, memory: Memory, release: Object, prerequisites: Prerequisites) -> Decision | None:
        now = Moment.of(self._clock)
        before = self._before(key, memory, release, now)
        around = self._look_round(key, before)
        if around is None:
            return None
        arrivals = self._looks.waiting(key)
        snapshot = self._gatherer.snapshot(
            around,
            now=now.wall,
            status=before,
            readings=tuple(arrival.reading for arrival in arrivals),
            blockers=(*prerequisites.blockers, *([memory.trouble] if memory.trouble else ())),
            keep_held=self._keep_held(),
            answers=self._questions.answers(key, around.services),
            known_since=now.wall_at(memory.since),
        )
        plan = decide(snapshot, now.wall)
        self._note_unjudged(key, plan)
        status, happened = self._outbox.put(plan.status, plan.notices, now.wall)
        # From here on the decision stands, whether it can be stored at once or not.
        memory.decide(status, passing=plan.passing)
        self._looks.decided(key)
        if _undone(status) is Cause.GATE and _undone(before) is None:
            memory.breached = min((arrival.at for arrival in arrivals if arrival.beyond), default=None)
        return Decision(around, before, replace(plan, status=status) if happened else plan, happened, now)

    def _note_unjudged(self, key: ReleaseKey, plan: Plan) -> None:
        """Log and count what gates' own judging has failed over: each is a mistake of the operator's."""
        for one in plan.unjudged:
            self._metrics.gate_unjudged.labels(*key, one.gate).inc()
            where = {"release": key.name, "namespace": key.namespace, "gate": one.gate}
            log.error("a gate could not be judged", **where, exception=one.error, state=one.state)

    def _known(self, memory: Memory, release: Object) -> ReleaseStatus:
        """Return the status as it is known; what an earlier life of the operator may have left untold is told again."""
        started = memory.status is None
        status = memory.known(release, self._clock.monotonic())
        if started:
            self._outbox.tell_again(release, memory)
        return self._outbox.settled(release, status)

    def _before(self, key: ReleaseKey, memory: Memory, release: Object, now: Moment) -> ReleaseStatus:
        """Return the status to decide on; after a step of the host's clock, with its moments moved along."""
        before = self._known(memory, release)
        step = memory.stepped(now.offset)
        if not step or before.rollout is None:
            return before
        log.warning("the host's clock was stepped", seconds=round(step, 3), release=key.name, namespace=key.namespace)
        memory.status = moved(before, timedelta(seconds=step))
        self._looks.recount(key)
        return memory.status

    def _look_round(self, key: ReleaseKey, status: ReleaseStatus) -> ReleaseObjects | None:
        candidate = status.candidate.revision if status.candidate else None
        stable = status.stable.revision if status.stable else None
        pods, stable_pods = self._questions.pods(key, candidate), self._questions.stable_pods(key, stable)
        return self._gatherer.collect(key, status, pods=pods, stable_pods=stable_pods)

    async def _carry_out(self, key: ReleaseKey, memory: Memory, decision: Decision) -> tuple[ApiError | None, act.Done]:
        """Store the status and do what the plan asks for; return what kept the status from being stored, and how the rest went.

        The status comes first, so that after a crash it is known what was decided. Only what takes traffic from a new version goes
        before it, by a head start; while others wait for the same, the status waits for them. Pods without a route that are to go
        wait for the status a second.
        """
        plan, undone = decision.plan, _undone(decision.plan.status) is not None
        shutting = asyncio.create_task(self._act(key, decision, plan.away)) if plan.away else None
        saving: asyncio.Task[ApiError | None] | None = None
        try:
            if shutting is not None:
                may_wait = not memory.unsaved
                await asyncio.wait({shutting}, timeout=STORE_PATIENCE if may_wait and self._pressing() else HEAD_START)
                if _succeeded(shutting) and plan.left != plan.status.carried:
                    # The status tells of it, and need not be written once more for that.
                    memory.status = edited(plan.status, carried=plan.left)
                if may_wait and self._pressing() and _succeeded(shutting):
                    self._note_stable(memory)
                    self._postpone(key, memory)
                    return None, act.Done(interrupted=True)
            saving = asyncio.create_task(self._statuses.store(key, memory))
            await asyncio.wait({saving}, timeout=STORE_PATIENCE if undone else None)
            shut = await shutting if shutting is not None else act.Done()
            if plan.away and shut.failed is None:
                self._note_stable(memory)
            if saving.done() and saving.result() is not None and not undone:
                return saving.result(), act.Done(interrupted=True)
            if self._ending():
                return await saving, act.Done(interrupted=True)
            done = shut if shut.failed is not None else await self._act(key, decision, plan.actions)
            if done.shifted and not done.interrupted:
                self._note_stable(memory)
            return await saving, done
        finally:
            for task in (shutting, saving):
                if task is not None:
                    task.cancel()

    def _postpone(self, key: ReleaseKey, memory: Memory) -> None:
        memory.unsaved = memory.postponed = True
        self._again(key)

    def _note_stable(self, memory: Memory) -> None:
        """Measure how long it took from a reading that was beyond its limit until stable had everything again."""
        if memory.breached is not None:
            self._metrics.breach_to_stable.observe(self._clock.monotonic() - memory.breached)
            memory.breached = None

    async def _act(self, key: ReleaseKey, decision: Decision, actions: Sequence[Action]) -> act.Done:
        return await act.carry_out(
            actions,
            decision.around,
            lambda: self._look_round(key, decision.plan.status),
            interrupted=lambda: self._looks.urgent(key) or self._ending(),
            cluster=self._cluster,
            routers=self._routers,
        )

    async def _say(self, key: ReleaseKey, memory: Memory) -> ApiError | None:
        """Store a status that says what people have to know of the pass that has just ended; all else is left to the next pass."""
        release = self._store.get("Release", *key)
        if release is None:
            return None
        decision = self._decide(key, memory, release, self._prerequisites(release))
        if decision is None:
            return None
        unsaved = await self._statuses.store(key, memory)
        self._conclude(key, memory, decision, settling=memory.trouble is None)
        return unsaved

    async def _refuse(self, key: ReleaseKey, memory: Memory, release: Object, blockers: tuple[Blocker, ...]) -> None:
        """Say in the status why nothing is decided.

        Raises:
            ApiError: it could not be stored.
        """
        before, now = self._known(memory, release), self._clock.now()
        status = refused(before, blockers, generation=release["metadata"].get("generation", 0), now=now)
        news = status.message != before.message
        notices = (notice_of(Blocked(status.message)),) if news else ()
        status, happened = self._outbox.put(status, notices, now)
        memory.decide(status)
        self._metrics.show(*key, status)
        self._outbox.tell(release, happened)
        if (unsaved := await self._statuses.store(key, memory)) is not None:
            raise unsaved
        self._outbox.tell_stored(release, memory)

    def _conclude(self, key: ReleaseKey, memory: Memory, decision: Decision, *, settling: bool) -> None:
        """Arrange what brings the Release back, and tell what was decided."""
        plan, before = decision.plan, decision.before
        self._arrange(key, memory, decision, settling=settling)
        self._metrics.show(*key, plan.status)
        if plan.status.last_rollout is not None and plan.status.last_rollout != before.last_rollout:
            self._metrics.ended(plan.status)
        self._outbox.tell(decision.around.release, decision.happened)
        self._outbox.tell_stored(decision.around.release, memory)

    def _arrange(self, key: ReleaseKey, memory: Memory, decision: Decision, *, settling: bool) -> None:
        # By the clock that was decided by: if it has been stepped since, the next pass is to notice, and not to come an hour late.
        status, at, now = decision.plan.status, decision.at, self._clock.monotonic()
        looks = (*decision.plan.looks, *decision.plan.split_looks)
        self._looks.plan(key, looks, subject_of(decision.around, status, at.wall_at(memory.since)), at)
        waits = [self._statuses.store_in(key, memory, now), *([POSTPONED_SECONDS] if memory.postponed else [])]
        waits += self._questions.ask(key, decision.plan, decision.around.services)
        if settling:
            # The watch tells of what was written, as a rule; a pass that nobody asked for costs nothing.
            waits.append(SETTLE_SECONDS)
        if memory.trouble is not None or memory.unsaved:
            waits.append(TROUBLE_SECONDS)
        dues = [decision.plan.due, *(at.wall_at(now + wait) for wait in waits if wait is not None)]
        self._due.set(key, min((due for due in dues if due is not None), default=None), at)

    def _forget(self, key: ReleaseKey) -> None:
        self._memory.pop(key, None)
        self._looks.forget(key)
        self._questions.forget(key)
        self._due.drop(key)
        self._metrics.forget(*key)


def _reason(error: Terminal) -> Reason:
    return Reason(error.reason) if error.reason in {*Reason} else Reason.INVALID_SPEC


def _succeeded(task: asyncio.Task[act.Done]) -> bool:
    return task.done() and task.exception() is None and task.result().failed is None


def _undone(status: ReleaseStatus) -> Cause | None:
    """Return why the rollout that is on is being undone; None where it is not."""
    return status.rollout.undo if status.rollout is not None else None
