"""One pass over one Release: gather, decide, carry out, conclude.

Whatever woke a Release, the same is done: a pass knows no event, only what is there now.
"""

from __future__ import annotations

from tidegate.api.names import Reason
from tidegate.cluster.errors import ApiError
from tidegate.controller.looks.subject import subject_of
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile.groups import Mode, Sources, Targets, Timers
from tidegate.controller.reconcile.memory import Memory
from tidegate.controller.reconcile.quiet import QuietLooks
from tidegate.controller.reconcile.stages.carry_out import Carried, CarryOut
from tidegate.controller.reconcile.stages.conclude import Conclude
from tidegate.controller.reconcile.stages.decide import Decide, Decision
from tidegate.controller.reconcile.stages.gather import Case, Gather
from tidegate.controller.reconcile.statuses import Statuses
from tidegate.engine.quiet import first_looks
from tidegate.engine.snapshot import Blocker
from tidegate.runtime.clock import Moment
from tidegate.runtime.errors import Terminal
from tidegate.runtime.queue import Lane
from tidegate.runtime.shelf import BareError
from tidegate.runtime.store import Change


class Reconciler:
    """Carries Releases from what is to what should be.

    Args:
        sources: where a pass has from what it decides on.
        targets: where what it does goes to.
        timers: the time, and what brings a Release back.
        mode: what holds for all Releases at the moment.
    """

    def __init__(self, sources: Sources, targets: Targets, timers: Timers, mode: Mode) -> None:
        self._sources, self._targets, self._timers = sources, targets, timers
        self._statuses = Statuses(sources.store, targets.cluster, clock=timers.clock, heartbeat=timers.heartbeat)
        self._gather = Gather(sources, targets, timers, mode)
        self._decide = Decide(sources, targets)
        self._carry_out = CarryOut(sources, targets, timers, mode, self._statuses)
        self._conclude = Conclude(sources, targets, timers, self._statuses)
        self._memory: dict[ReleaseKey, Memory] = {}
        self._busy: set[ReleaseKey] = set()
        sources.looks.quiet = QuietLooks(self._memory, self._busy, targets, timers).take

    async def reconcile(self, key: ReleaseKey) -> None:
        """Make one pass.

        Raises:
            Retry: the pass is worth another try.
            Terminal: nothing helps until something changes; it stands in the status.
            Exception: a bug, met while something was written.
        """
        self._busy.add(key)
        try:
            await self._pass(key)
        finally:
            self._busy.discard(key)

    async def _pass(self, key: ReleaseKey) -> None:
        case = self._case(key)
        if case is None:
            self._forget(key)
            return
        decision = await self._decision(case)
        if decision is None:
            return
        carried = Carried()
        try:
            carried = await self._carry_out.of(decision)
        finally:
            # A verdict that could not be stored or acted on has still been reached: people hear of it.
            wrote = decision.postponed or bool(decision.plan.away or decision.plan.actions)
            settling = wrote and carried.done.failed is None and not carried.done.interrupted
            self._conclude.after(decision, settling=settling)
        said = await self._say(key) if not carried.done.interrupted and case.memory.note(carried.done.failed) else None
        if (failed := carried.done.failed or carried.unsaved or said) is not None:
            raise failed

    def look_first(self, key: ReleaseKey) -> bool:
        """Have the gates of a rollout looked at before the first pass over it, if nothing but a look can be due; return whether.

        A process that starts has many of them, and a pass takes as long as some looks: so all of them are looked at sooner.
        """
        case, at = self._case(key), Moment.of(self._timers.clock)
        if case is None or case.prerequisites.blind or case.memory.status is not None:
            return False
        try:
            status = self._gather.known(case)
            looks = first_looks(status, at.wall)
            objects = self._sources.objects(key, status) if looks else None
        except (BareError, Terminal):
            # The pass reads what is missing, and says what is wrong.
            return False
        if objects is None or objects.workload is None:
            return False
        self._sources.looks.plan(key, looks, subject_of(objects, status, at.wall_at(case.memory.since)), at)
        return True

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

    def _case(self, key: ReleaseKey) -> Case | None:
        """Return what a pass is about; None where the Release is gone."""
        release = self._sources.store.get("Release", *key)
        if release is None:
            return None
        uid = release["metadata"]["uid"]
        memory = self._memory.get(key)
        if memory is None or memory.uid != uid:
            self._forget(key)
            memory = self._memory[key] = Memory(uid)
        return Case(key, release, memory, self._sources.prerequisites(release))

    async def _decision(self, case: Case) -> Decision | None:
        """Gather and decide; None where nothing can be decided, which the status says then."""
        if case.prerequisites.blind:
            await self._refuse(case, case.prerequisites.blockers)
            return None
        try:
            gathered = await self._gather.whole(case)
            return self._decide.on(gathered) if gathered is not None else None
        except (ApiError, BareError):
            # What is around it could not be read, and is not guessed.
            raise
        except Terminal as error:
            await self._refuse(case, (Blocker(_reason(error), error.message),))
            return None
        except Exception as error:
            # A mistake of the operator's own: whoever looks at the Release is to see that nothing is decided, and where to look on.
            words = f"internal error ({type(error).__name__}); retrying, see the operator's log"
            await self._refuse(case, (Blocker(Reason.INTERNAL_ERROR, words),))
            raise

    async def _say(self, key: ReleaseKey) -> ApiError | None:
        """Store a status that says what people have to know of the pass that has just ended; all else is left to the next pass."""
        case = self._case(key)
        gathered = self._gather.at_hand(case) if case is not None else None
        if case is None or gathered is None:
            return None
        decision = self._decide.on(gathered)
        unsaved = await self._statuses.store(key, case.memory)
        self._conclude.after(decision, settling=case.memory.trouble is None)
        return unsaved

    async def _refuse(self, case: Case, blockers: tuple[Blocker, ...]) -> None:
        """Say in the status why nothing is decided.

        Raises:
            ApiError: it could not be stored.
        """
        before = self._gather.known(case)
        happened = self._decide.against(case, before, blockers, self._timers.clock.now())
        self._conclude.refusal(case, happened)
        if (unsaved := await self._statuses.store(case.key, case.memory)) is not None:
            raise unsaved
        self._targets.outbox.tell_stored(case.release, case.memory)

    def _forget(self, key: ReleaseKey) -> None:
        self._memory.pop(key, None)
        self._sources.looks.forget(key)
        self._sources.questions.forget(key)
        self._timers.due.drop(key)
        self._targets.metrics.forget(*key)


def _reason(error: Terminal) -> Reason:
    return Reason(error.reason) if error.reason in {*Reason} else Reason.INVALID_SPEC
