"""Second stage of a pass: a decision on what was gathered, which stands from then on, whether it can be stored at once or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from tidegate.api.names import Cause
from tidegate.api.outbox import TransitionStatus
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.controller.reconcile.groups import Sources, Targets
from tidegate.controller.reconcile.stages.gather import Case, Gathered
from tidegate.engine.conditions import refused
from tidegate.engine.decide import decide
from tidegate.engine.plan import Plan, notice_of
from tidegate.engine.snapshot import Blocker
from tidegate.engine.transitions import Blocked
from tidegate.runtime.clock import Moment

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Decision:
    """What a pass has decided, and on what.

    Attributes:
        case: what the pass is about.
        objects: the raw objects that it was decided on.
        before: the status until then.
        plan: what is to be done; its status keeps what has happened.
        happened: what has happened with it.
        undone: the rollout that is on is being undone.
        postponed: the status decided before was put off, and comes with this one.
        at: when.
    """

    case: Case
    objects: ReleaseObjects
    before: ReleaseStatus
    plan: Plan
    happened: tuple[TransitionStatus, ...]
    undone: bool
    postponed: bool
    at: Moment


class Decide:
    """Decides."""

    def __init__(self, sources: Sources, targets: Targets) -> None:
        self._looks, self._outbox, self._metrics = sources.looks, targets.outbox, targets.metrics

    def on(self, gathered: Gathered) -> Decision:
        """Decide on what was gathered."""
        case, now = gathered.case, gathered.at
        plan = decide(gathered.snapshot, now.wall)
        self._note_unjudged(case, plan)
        status, happened = self._outbox.put(case.release, plan.status, plan.notices, now.wall)
        case.memory.decide(status, passing=plan.passing)
        self._looks.decided(case.key)
        cause = _undone(status)
        if cause is Cause.GATE and _undone(gathered.before) is None:
            case.memory.breached = min((arrival.at for arrival in gathered.arrivals if arrival.beyond), default=None)
        return Decision(
            case,
            gathered.objects,
            gathered.before,
            plan=replace(plan, status=status) if happened else plan,
            happened=happened,
            undone=cause is not None,
            postponed=case.memory.postponed,
            at=now,
        )

    def against(
        self, case: Case, before: ReleaseStatus, blockers: tuple[Blocker, ...], now: datetime
    ) -> tuple[TransitionStatus, ...]:
        """Decide that nothing is decided, and say in the status why; return what has happened with that.

        Args:
            case: what the pass is about.
            before: the status until now.
            blockers: why.
            now: the time, with zone.
        """
        status = refused(before, blockers, generation=case.release["metadata"].get("generation", 0), now=now)
        notices = (notice_of(Blocked(status.message)),) if status.message != before.message else ()
        status, happened = self._outbox.put(case.release, status, notices, now)
        case.memory.decide(status)
        return happened

    def _note_unjudged(self, case: Case, plan: Plan) -> None:
        """Log and count what gates' own judging has failed over: each is a mistake of the operator's."""
        key = case.key
        for one in plan.unjudged:
            self._metrics.gate_unjudged.labels(*key, one.gate).inc()
            where = {"release": key.name, "namespace": key.namespace, "gate": one.gate}
            log.error("a gate could not be judged", **where, exception=one.error, state=one.state)


def _undone(status: ReleaseStatus) -> Cause | None:
    """Return why the rollout that is on is being undone; None where it is not."""
    return status.rollout.undo if status.rollout is not None else None
