"""Conditions as the conventions of Kubernetes want them: of one generation, and moved in time only where their status changes.

Two of ours say them: a decision, and a pass in which nothing could be decided. Tools wait for both by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.api.names import Condition, Reason
from tidegate.api.status import ConditionStatus, ReleaseStatus
from tidegate.engine.snapshot import Blocker


@dataclass(frozen=True)
class Told:
    """What a condition says.

    Attributes:
        kind: which condition.
        value: whether it is so; None where that is not known.
        reason: in one word.
        message: in words.
    """

    kind: Condition
    value: bool | None
    reason: Reason
    message: str


def conditions(status: ReleaseStatus, told: Iterable[Told], *, generation: int, now: datetime) -> tuple[ConditionStatus, ...]:
    """Return conditions as they are stored.

    Args:
        status: the status so far: a condition that says the same as there has not changed since then.
        told: what they say.
        generation: of the spec that they speak of.
        now: the time, with zone.
    """
    before = {condition.type: condition for condition in status.conditions}

    def stored(one: Told) -> ConditionStatus:
        value = "Unknown" if one.value is None else str(one.value)
        known, says = before.get(one.kind), (value, one.reason, one.message, generation)
        if known is not None and says == (known.status, known.reason, known.message, known.observed_generation):
            return known
        return ConditionStatus(
            type=one.kind,
            status=value,
            reason=one.reason,
            message=one.message,
            last_transition_time=known.last_transition_time if known is not None and known.status == value else now,
            observed_generation=generation,
        )

    made = tuple(map(stored, told))
    return status.conditions if made == status.conditions else made


def refused(status: ReleaseStatus, blockers: tuple[Blocker, ...], *, generation: int, now: datetime) -> ReleaseStatus:
    """Return a status that says why nothing is decided; whatever is on stays as it is.

    Args:
        status: the status so far.
        blockers: why; at least one.
        generation: of the Release.
        now: the time, with zone.
    """
    message, reason = clip("; ".join(blocker.message for blocker in blockers)), blockers[0].reason
    values = {Condition.READY: False, Condition.RECONCILING: False, Condition.STALLED: True, Condition.PROMOTED: None}
    told = [Told(kind, value, reason, message) for kind, value in values.items()]
    made = conditions(status, told, generation=generation, now=now)
    return edited(status, conditions=made, message=message, observed_generation=generation)
