"""What a gate would say now: its tests, with what has been counted since its status in them, one span after the other.

Counts may come every second, and a decision on them only now and then: what they come to must be known at once all the same.
"""

from __future__ import annotations

import math
from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.api.status import EvidenceStatus
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Counts


class Ahead:
    """Takes spans into the tests of a gate as they come. What is decided is decided by `gate.judge`, from the status, as ever.

    Args:
        gate: whose tests.
        known: what its status has of them; None before the first look.
    """

    def __init__(self, gate: Gate, known: EvidenceStatus | None) -> None:
        self._limits = limits_of(gate)
        trial = Trial(self._limits, known.state, known.since) if known is not None and known.state else None
        self._trial = trial if trial is not None and trial.resumed else None

    def take(self, counts: Counts, at: datetime, *, alone: bool) -> None:
        """Take a span in, which follows those before; one that cannot be used is left to whoever judges it to tell of."""
        if self._trial is None:
            self._trial = Trial(self._limits, "", counts.since)
        stable = counts.stable
        self._trial.take(counts, at, alone=alone and (stable is None or stable.total <= 0))

    def fails(self, alpha: float) -> bool:
        """Whether the gate fails by all of it."""
        return self._trial is not None and self._trial.harm() >= -math.log(alpha)
