"""What governance says of one Release at one instant: the part of the snapshot that barriers read, and no rule of a rollback."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.governance.freezes import FreezeView
from tidegate.governance.upstreams import AfterView


@dataclass(frozen=True, kw_only=True)
class GovernanceView:
    """All of it, for one Release.

    Attributes:
        freezes: the ReleaseFreezes that match the Release, whenever they count, by name.
        freezes_unread: why it is not known which freezes there are, in words; empty where it is known.
        upstreams: what is asked of the Releases that the Release comes after, in its order.
    """

    freezes: tuple[FreezeView, ...] = ()
    freezes_unread: str = ""
    upstreams: tuple[AfterView, ...] = ()


UNGOVERNED = GovernanceView()
"""Where nobody governs."""
