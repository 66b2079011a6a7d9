"""What governance says of one Release at one instant: the part of the snapshot that barriers read, and no rule of a rollback."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.governance.freezes import FreezeView


@dataclass(frozen=True, kw_only=True)
class GovernanceView:
    """All of it, for one Release.

    Attributes:
        freezes: the ReleaseFreezes that match the Release, whenever they count, by name.
        freezes_unread: why it is not known which freezes there are, in words; empty where it is known.
    """

    freezes: tuple[FreezeView, ...] = ()
    freezes_unread: str = ""


UNGOVERNED = GovernanceView()
"""Where nobody governs."""
