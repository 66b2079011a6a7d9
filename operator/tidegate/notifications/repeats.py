"""When the same is told again: once for each cause, and then after a time, with how often it was not. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Told:
    """The last time that a cause was told.

    Attributes:
        at: when what was told had happened.
        unsaid: how often it has happened since, untold.
    """

    at: datetime
    unsaid: int = 0


def is_repeat(before: Told | None, at: datetime, after: timedelta) -> bool:
    """Whether a cause was told already, and not long ago.

    Args:
        before: the last time that it was told; None where it was not.
        at: when it has happened again.
        after: after how long it is told again.
    """
    return before is not None and abs(at - before.at) < after


def unsaid(before: Told) -> Told:
    """Return what is known of a cause once it has happened again and is not told."""
    return replace(before, unsaid=before.unsaid + 1)


def addition(before: Told | None) -> str:
    """Return what is added to a sentence that is told again; empty where nothing was left out."""
    if before is None or not before.unsaid:
        return ""
    times = "once" if before.unsaid == 1 else f"{before.unsaid} times"
    return f" (repeated {times} since {before.at:%H:%M} UTC)"
