"""What must hold whatever governance says: nothing rises past what is closed, and nothing is taken away any later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from simulation.world import Pass
from tidegate.engine.decide import decide
from tidegate.engine.handover.protocol import Handover
from tidegate.governance.view import UNGOVERNED, GovernanceView


def frozen(governance: GovernanceView, now: datetime) -> bool:
    """Whether weights are frozen, counted here once more."""
    counting = (freeze.begins <= now and (freeze.ends is None or freeze.ends > now) for freeze in governance.freezes)
    return bool(governance.freezes_unread) or any(counting)


def check(made: Pass, now: datetime, handover: Handover | None) -> None:
    """Check a pass.

    Raises:
        AssertionError: something rose past a barrier, or went away later than it would have without any.
    """
    governance, before, after = made.snapshot.governance, made.snapshot.status, made.plan.status
    if governance == UNGOVERNED:
        return
    if frozen(governance, now):
        assert after.weight <= before.weight, "a weight rose during a freeze"
        assert before.rollout is not None or after.rollout is None, "a rollout began during a freeze"
    without = decide(replace(made.snapshot, governance=UNGOVERNED), now, handover)
    undone = without.status.rollout.undo if without.status.rollout is not None else None
    if undone is not None:
        assert after.rollout is not None
        assert after.rollout.undo is undone, "a rollback waited for governance"
        assert without.away == made.plan.away, "governance kept traffic on its way out"
        assert without.actions == made.plan.actions, "governance changed how a rollback goes"
