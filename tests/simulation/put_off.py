"""What the API server has of what was decided: numbers, and what follows from more, are put off, and die with the operator.

And what is decided without a decision: looks in which nothing but numbers is new.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulation.views import at
from tidegate.api.status import ReleaseStatus
from tidegate.controller.reconcile.status_patch import Weight, weigh
from tidegate.engine.decide import decide
from tidegate.engine.quiet import taken_in

if TYPE_CHECKING:
    from simulation.world import Pass, World

HEARTBEAT = 60.0
"""Seconds after which all that was decided is stored, however little it weighs."""


class PutOff:
    """Knows what a new operator would find."""

    def __init__(self) -> None:
        self._stored: tuple[ReleaseStatus, float] | None = None
        """What is stored while what was decided since is put off, and since when; None where all is stored."""

    def decided(self, before: ReleaseStatus, after: ReleaseStatus, now: float) -> None:
        """Note a decision: one that weighs little is not stored."""
        known, since = self._stored or (before, now)
        light = weigh(known.to_wire(), after.to_wire()) < Weight.DECISION and now < since + HEARTBEAT
        self._stored = (known, since) if light else None

    def found(self, status: ReleaseStatus) -> ReleaseStatus:
        """Return what the next operator finds, where this one had decided on a status."""
        found, self._stored = status if self._stored is None else self._stored[0], None
        return found


def quiet_looks_decide_nothing(made: Pass, world: World) -> None:
    """A look that is taken in without a decision makes no other difference to it than that its numbers are there."""
    snapshot, now = made.snapshot, at(world.now)
    if len(snapshot.readings) != 1 or snapshot.known_since is None:
        return
    status = taken_in(snapshot.status, snapshot.readings[0], now, known_since=snapshot.known_since)
    if status is None:
        return
    without = decide(replace(snapshot, readings=()), now, world.handover)
    wrote, writes = ((plan.away, plan.actions, plan.notices, plan.waits, plan.outcomes) for plan in (without, made.plan))
    assert wrote == writes, "a look that needed no decision has made a difference to one"
    assert made.plan.status.gates in (status.gates, ()), "a look that was taken in says something else than one decided on"
    assert weigh(without.status.to_wire(), made.plan.status.to_wire()) <= Weight.NUMBERS, "it has decided something"
