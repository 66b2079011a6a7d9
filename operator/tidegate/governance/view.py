"""What governance says of one Release at one instant: the part of the snapshot that barriers read, and no rule of a rollback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tidegate.governance.decisions import DecisionView
from tidegate.governance.flags import FlagView
from tidegate.governance.freezes import FreezeView
from tidegate.governance.runs import RunView
from tidegate.governance.upstreams import AfterView


@dataclass(frozen=True, kw_only=True)
class GovernanceView:
    """All of it, for one Release.

    Attributes:
        freezes: the ReleaseFreezes that match the Release, whenever they count, by name.
        freezes_unread: why it is not known which freezes there are, in words; empty where it is known.
        upstreams: what is asked of the Releases that the Release comes after, in its order.
        decisions: the ReleaseDecisions on the Release, in any order; only those whose author was in the right to make them.
        decisions_unread: why it is not known what was decided, in words; empty where it is known.
        entitled: by uid of a decision, whether whoever has made it may do so still; None where that was not asked, as it is only
            for `Inquiry.RIGHTS`.
        by_decision: people promote, resume and retry by decision alone, and not by annotation.
        records_kept: how many records of the Release are kept.
        runs: what was seen of the Jobs that check the version, by their names, as far as they were asked for.
        flags: what was seen of the definitions of flags, by the ids of these, as far as they were asked for.
    """

    freezes: tuple[FreezeView, ...] = ()
    freezes_unread: str = ""
    upstreams: tuple[AfterView, ...] = ()
    decisions: tuple[DecisionView, ...] = ()
    decisions_unread: str = ""
    entitled: Mapping[str, bool] | None = None
    by_decision: bool = False
    records_kept: int = 50
    runs: Mapping[str, RunView] = field(default_factory=dict)
    flags: Mapping[str, FlagView] = field(default_factory=dict)

    @cached_property
    def unsaid(self) -> frozenset[str]:
        """The uids of decisions that do not say what became of them; asked for again and again, and they may be thousands."""
        return frozenset(one.uid for one in self.decisions if one.outcome is None)


UNGOVERNED = GovernanceView()
"""Where nobody governs."""
