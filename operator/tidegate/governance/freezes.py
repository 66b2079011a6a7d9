"""ReleaseFreezes as the engine sees them: from when until when nobody's weight rises, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class FreezeView:
    """A ReleaseFreeze that matches a Release.

    Attributes:
        name: object name.
        reason: why, in its author's words, or why it could not be read.
        begins: from when it counts.
        ends: until when; None where that is until it is deleted.
    """

    name: str
    reason: str
    begins: datetime
    ends: datetime | None = None

    def counts(self, now: datetime) -> bool:
        """Whether weights are frozen now: from the first moment on, and at the last no more."""
        return self.begins <= now and (self.ends is None or now < self.ends)


def in_force(freezes: Iterable[FreezeView], now: datetime) -> FreezeView | None:
    """Return the freeze that people are told of: of those that count now the one that lasts longest; None where none does."""
    counting = [freeze for freeze in freezes if freeze.counts(now)]
    open_ended = next((freeze for freeze in counting if freeze.ends is None), None)
    return open_ended or max(counting, key=lambda freeze: freeze.ends or now, default=None)
