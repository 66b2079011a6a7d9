"""Third stage of a pass: the status of the decision is stored, and what its plan asks for is written, in the order that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.api.edits import edited
from tidegate.cluster.errors import ApiError
from tidegate.controller.reconcile import act
from tidegate.controller.reconcile.groups import Mode, Sources, Targets, Timers
from tidegate.controller.reconcile.memory import Memory
from tidegate.controller.reconcile.stages.decide import Decision
from tidegate.controller.reconcile.statuses import Statuses
from tidegate.engine.plan import Action

HEAD_START = 0.02
"""Seconds by which a route that must be shut is before the status, so that in a burst they do not compete. The longer it is, the
more an operator that dies in between leaves to be found again."""
STORE_PATIENCE = 1.0
"""Seconds that a status gets to be stored before traffic is taken from a bad version all the same; and that a route gets in a burst
before the status is stored all the same."""

NOT_BEGUN = act.Done(interrupted=True)
"""How writes went that were not begun."""


@dataclass(frozen=True)
class Carried:
    """What has become of a decision.

    Attributes:
        unsaved: what kept its status from being stored.
        done: how its writes went.
    """

    unsaved: ApiError | None = None
    done: act.Done = NOT_BEGUN


class CarryOut:
    """Carries decisions out."""

    def __init__(self, sources: Sources, targets: Targets, timers: Timers, mode: Mode, statuses: Statuses) -> None:
        self._sources, self._targets, self._timers, self._mode = sources, targets, timers, mode
        self._statuses = statuses

    async def of(self, decision: Decision) -> Carried:
        """Store the status and do what the plan asks for.

        The status comes first, so that after a crash it is known what was decided. Only what takes traffic from a new version goes
        before it, by a head start; while others wait for the same, the status waits for them. Pods without a route that are to go
        wait for the status a second.
        """
        plan, memory = decision.plan, decision.case.memory
        if not plan.away and not decision.undone:
            return await self._in_turn(decision)
        shutting = asyncio.create_task(self._act(decision, plan.away)) if plan.away else None
        saving: asyncio.Task[ApiError | None] | None = None
        try:
            if shutting is not None:
                may_wait = not memory.unsaved
                await asyncio.wait({shutting}, timeout=STORE_PATIENCE if may_wait and self._mode.pressing() else HEAD_START)
                if _succeeded(shutting) and plan.left != plan.status.carried:
                    # The status tells of it, and need not be written once more for that.
                    memory.status = edited(plan.status, carried=plan.left)
                if may_wait and self._mode.pressing() and _succeeded(shutting):
                    self._note_stable(memory)
                    self._postpone(decision)
                    return Carried()
            saving = asyncio.create_task(self._statuses.store(decision.case.key, memory))
            await asyncio.wait({saving}, timeout=STORE_PATIENCE if decision.undone else None)
            shut = await shutting if shutting is not None else act.Done()
            if plan.away and shut.failed is None:
                self._note_stable(memory)
            if saving.done() and saving.result() is not None and not decision.undone:
                return Carried(saving.result())
            if self._mode.ending():
                return Carried(await saving)
            done = shut if shut.failed is not None else await self._act(decision, plan.actions)
            if done.shifted and not done.interrupted:
                self._note_stable(memory)
            return Carried(await saving, done)
        finally:
            for task in (shutting, saving):
                if task is not None:
                    task.cancel()

    async def _in_turn(self, decision: Decision) -> Carried:
        """Store the status, and then do what the plan asks for: one after the other needs no tasks, as in nearly all passes."""
        memory = decision.case.memory
        unsaved = await self._statuses.store(decision.case.key, memory)
        if unsaved is not None or self._mode.ending():
            return Carried(unsaved)
        done = await self._act(decision, decision.plan.actions)
        if done.shifted and not done.interrupted:
            self._note_stable(memory)
        return Carried(None, done)

    def _postpone(self, decision: Decision) -> None:
        memory = decision.case.memory
        memory.unsaved = memory.postponed = True
        self._timers.again(decision.case.key)

    def _note_stable(self, memory: Memory) -> None:
        """Measure how long it took from a reading that was beyond its limit until stable had everything again."""
        if memory.breached is not None:
            self._targets.metrics.breach_to_stable.observe(self._timers.clock.monotonic() - memory.breached)
            memory.breached = None

    async def _act(self, decision: Decision, actions: Sequence[Action]) -> act.Done:
        key, status = decision.case.key, decision.plan.status
        return await act.carry_out(
            actions,
            decision.objects,
            lambda: self._sources.objects(key, status),
            interrupted=lambda: self._sources.looks.urgent(key) or self._mode.ending(),
            cluster=self._targets.cluster,
            routers=self._targets.routers,
        )


def _succeeded(task: asyncio.Task[act.Done]) -> bool:
    return task.done() and task.exception() is None and task.result().failed is None
