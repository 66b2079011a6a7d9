"""People who decide on a Release by ReleaseDecisions, and what these say of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from simulation.views import at
from tidegate.api.decision import Action
from tidegate.engine.plan import Settled
from tidegate.governance.decisions import DecisionView
from tidegate.governance.view import GovernanceView

if TYPE_CHECKING:
    from simulation.world import World

ON_A_VERSION = frozenset({Action.APPROVE, Action.REJECT, Action.ATTEST})


@dataclass
class People:
    """What people have decided on a Release, as the API server has it."""

    decisions: list[DecisionView] = field(default_factory=list)
    dismissed: set[str] = field(default_factory=set)
    """Who has lost the rights in which they have decided."""
    words: dict[str, str] = field(default_factory=dict)
    """What decisions say of what has become of them, by their uid."""

    def govern(self, governance: GovernanceView, *, asked: bool) -> GovernanceView:
        """Return what the operator sees of governance.

        Args:
            governance: what else there is of it.
            asked: whether it has asked for their rights.
        """
        if not self.decisions:
            return governance
        rights = {one.uid: one.by not in self.dismissed for one in self.decisions}
        return replace(governance, decisions=tuple(self.decisions), entitled=rights if asked else None)

    def hear(self, settled: Settled, version: int) -> None:
        """Have a decision say what has become of it, which gives it another resourceVersion."""
        self.words[settled.uid] = settled.message
        for place, one in enumerate(self.decisions):
            if one.uid == settled.uid:
                self.decisions[place] = replace(one, outcome=settled.outcome, version=version)


def decide(world: World, action: Action, by: str = "ann", **more: Any) -> DecisionView:
    """`kubectl tidegate approve`, and the like: on the version that waits, else on the one that is rolled out."""
    number, about = world.cluster.next_id(), world.status.wanted or world.status.candidate
    base: dict[str, Any] = {"release_uid": "release", "version": number, "uid": f"uid-{number}", "created": at(int(world.now))}
    if about is not None and action in ON_A_VERSION:
        base |= {"revision": about.revision, "digest": about.digest or "", "role": "qa"}
    made = DecisionView(name=f"d{number}", action=action, by=by, **(base | more))
    world.people.decisions.append(made)
    return made


def approve(world: World, by: str = "ann", role: str = "qa", **more: Any) -> DecisionView:
    """Somebody approves the version that waits, or is rolled out."""
    return decide(world, Action.APPROVE, by, role=role, **more)


def outcome(world: World, decision: DecisionView) -> str | None:
    """Return what a decision says has become of it."""
    found = next(one for one in world.people.decisions if one.uid == decision.uid)
    return found.outcome.value if found.outcome is not None else None


def why(world: World, decision: DecisionView) -> str:
    """Return in which words a decision says what has become of it."""
    return world.people.words.get(decision.uid, "")
