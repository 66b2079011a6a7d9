"""Last stage of a pass: what brings the Release back is arranged, and what was decided is told, however its writes went."""

from __future__ import annotations

from tidegate.api.outbox import TransitionStatus
from tidegate.controller.looks.subject import subject_of
from tidegate.controller.reconcile.groups import Sources, Targets, Timers
from tidegate.controller.reconcile.stages.decide import Decision
from tidegate.controller.reconcile.stages.gather import Case
from tidegate.controller.reconcile.statuses import Statuses

POSTPONED_SECONDS = 2.0
"""After this long, a status that was put off is as urgent as what it was put off for."""
TROUBLE_SECONDS = 60.0
"""After this long, what people have to mend is tried again, whether anything was seen to change or not; and so is a record that is
not known to be written."""
SETTLE_SECONDS = 1.0
"""After this long, what was written is looked at again, whether it was seen to change or not."""


class Conclude:
    """Concludes passes."""

    def __init__(self, sources: Sources, targets: Targets, timers: Timers, statuses: Statuses) -> None:
        self._sources, self._targets, self._timers, self._statuses = sources, targets, timers, statuses

    def after(self, decision: Decision, *, settling: bool) -> None:
        """Arrange what brings the Release back, and tell what was decided.

        Args:
            decision: what was decided.
            settling: something was written, and is to be looked at again soon.
        """
        status, before, release = decision.plan.status, decision.before, decision.objects.release
        self._arrange(decision, settling=settling)
        self._targets.metrics.show(*decision.case.key, status)
        if status.last_rollout is not None and status.last_rollout != before.last_rollout:
            self._targets.metrics.ended(status)
        self._targets.outbox.tell(release, decision.happened)
        self._targets.outbox.tell_stored(release, decision.case.memory)
        if not decision.case.memory.unsaved:
            # Before that it is not true: another process may decide otherwise.
            settled = (*decision.plan.outcomes, *self._sources.gatherer.decided(release).refused)
            self._targets.outcomes.tell(decision.case.key.namespace, settled, decision.at.wall)
            self._targets.records.tell(release, status)

    def refusal(self, case: Case, happened: tuple[TransitionStatus, ...]) -> None:
        """Tell that nothing is decided."""
        if case.memory.status is not None:
            self._targets.metrics.show(*case.key, case.memory.status)
            if not case.memory.unsaved:
                self._targets.records.tell(case.release, case.memory.status)
        self._targets.outbox.tell(case.release, happened)

    def _arrange(self, decision: Decision, *, settling: bool) -> None:
        # By the clock that was decided by: if it has been stepped since, the next pass is to notice, and not to come an hour late.
        key, memory, plan, at = decision.case.key, decision.case.memory, decision.plan, decision.at
        now, objects = self._timers.clock.monotonic(), decision.objects
        looks = (*plan.looks, *plan.split_looks)
        self._sources.looks.plan(key, looks, subject_of(objects, plan.status, at.wall_at(memory.since)), at)
        waits = [self._statuses.store_in(key, memory, now), *([POSTPONED_SECONDS] if memory.postponed else [])]
        label = objects.workload.version_label if objects.workload is not None else None
        waits += self._sources.questions.ask(key, plan, objects.services, label, stored=not memory.unsaved)
        if settling:
            # The watch tells of what was written, as a rule; a pass that nobody asked for costs nothing.
            waits.append(SETTLE_SECONDS)
        unwritten = plan.status.records is not None and bool(plan.status.records.pending)
        if memory.trouble is not None or memory.unsaved or unwritten:
            waits.append(TROUBLE_SECONDS)
        dues = [plan.due, *(at.wall_at(now + wait) for wait in waits if wait is not None)]
        self._timers.due.set(key, min((due for due in dues if due is not None), default=None), at)
