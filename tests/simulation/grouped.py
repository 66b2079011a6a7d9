"""Several Releases of one group: each in a world of its own, and each sees of the others what their statuses say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from simulation.policies import rests
from simulation.views import at
from simulation.world import Pass, World
from tidegate.api.grouped import Group
from tidegate.api.kept import packed
from tidegate.api.names import Cause
from tidegate.api.release import ReleaseSpec
from tidegate.controller.observe.members import member_of
from tidegate.engine.decide import decide
from tidegate.engine.snapshot import Snapshot
from tidegate.governance.groups import ABORTS, GroupView

NAME = "shop"


class Member(World):
    """The world of one Release of a group.

    Args:
        name: of the Release.
        arguments: as a world takes them.
        more: likewise.
    """

    def __init__(self, name: str, *arguments: Any, **more: Any) -> None:
        self.name = name
        self.peers: list[Member] = [self]
        """All of the group."""
        self.gather = timedelta(seconds=10)
        self.grouped = True
        """Whether somebody has taken it out of the group."""
        super().__init__(*arguments, **more)

    def spec(self) -> ReleaseSpec:
        """Return the Release's spec with its group."""
        group = Group(name=NAME, gather=self.gather) if self.grouped else None
        return super().spec().model_copy(update={"group": group})

    def snapshot(self) -> Snapshot:
        """Return what the operator sees."""
        found = super().snapshot()
        return replace(found, release=replace(found.release, name=self.name), group=self._group())

    def _group(self) -> GroupView | None:
        if not self.grouped:
            return None
        others = [one for one in self.peers if one is not self and one.grouped and one.deleting is None]
        return GroupView(NAME, tuple(member_of(one.stored()) for one in sorted(others, key=lambda one: one.name)))

    def stored(self) -> dict[str, Any]:
        """Return the Release as the API server has it."""
        return {"metadata": {"name": self.name}, "status": packed(self.status.to_wire())}

    @property
    def at_step(self) -> int | None:
        """Index of the step that its rollout is at; None while none goes forward."""
        on = self.status.rollout is not None and self.status.rollout.undo is None
        return (self.status.step.index if self.status.step is not None else -1) if on else None


class Together:
    """A group.

    Args:
        members: its Releases; each gets to know the others.
    """

    def __init__(self, *members: Member) -> None:
        self.members = {one.name: one for one in members}
        for one in members:
            one.peers = [*members]

    def __getitem__(self, name: str) -> Member:
        """Return one of them."""
        return self.members[name]

    def __iter__(self) -> Any:
        """Go over all of them."""
        return iter(self.members.values())

    def apply(self, image: str, *names: str) -> None:
        """Write the templates of some, or of all."""
        for name in names or self.members:
            self[name].apply(image)

    def crank(
        self,
        seconds: float,
        *,
        until: Callable[[], bool] = lambda: False,
        seen: Callable[[Member], None] = lambda _: None,
        every: float = 0.5,
    ) -> bool:
        """Let time go by for all of them side by side."""
        for _ in range(round(seconds / every)):
            if until():
                return True
            for one in self.members.values():
                one.crank(every, every=every)
                seen(one)
        return until()

    def settled(self, seconds: float = 300) -> None:
        """Let time go by until all rest."""
        self.crank(2)
        assert self.crank(seconds, until=lambda: all(rests(one) for one in self)), [one.status.message for one in self]


def gathering(spec: dict[str, Any]) -> Member:
    """Return a member with a new version, which waits for those of others."""
    group = Together(Member("api", spec), Member("orders", spec))
    group["api"].gather = timedelta(minutes=5)
    group.crank(15)
    group.apply("v2", "api")
    group.crank(5)
    return group["api"]


def check(member: Member, made: Pass) -> None:
    """Check a pass of one member.

    Raises:
        AssertionError: it went ahead of another one, or was not rolled back with it, or was later than it would have been alone.
    """
    before, after, view = made.snapshot.status, made.plan.status, made.snapshot.group
    if view is None:
        return
    _keeps_step(member, made, view)
    if before.rollout is not None and before.rollout.undo is None and after.rollout is not None and after.rollout.undo is None:
        mates = {mate.release: mate.revision for mate in before.rollout.moves_with}
        for one in member.peers:
            undo = one.status.rollout.undo if one.status.rollout is not None else None
            took_along = undo is Cause.GROUP and any(entry.member == member.name for entry in one.status.rejected)
            if one.grouped and one.deleting is None and one.name in mates and undo in ABORTS and not took_along:
                committed = after.phase == "Promoting"
                assert committed, f"{member.name} went on while {one.name} was rolled back"
    # Alone it would have been rolled back: in the group, too, and in the same pass.
    alone = decide(replace(made.snapshot, group=None), at(member.now), member.handover)
    undone = alone.status.rollout.undo if alone.status.rollout is not None else None
    if undone is not None:
        assert after.rollout is not None
        assert after.rollout.undo is not None, "a rollback waited for the group"
        assert alone.away == made.plan.away, "the group kept traffic on its way out"


def _keeps_step(member: Member, made: Pass, view: GroupView) -> None:
    """A weight rises to that of a step only if nobody who moves is more than one step behind."""
    before, after = made.snapshot.status, made.plan.status
    if after.step is None or (before.step is not None and before.step.index >= after.step.index):
        return
    for one in view.members:
        if one.standing.name != "CLIMBS" or one.away or one.last < 0:
            continue
        assert one.step >= min(after.step.index - 1, one.last), (
            f"{member.name} is at step {after.step.index}, {one.release} at {one.step}"
        )
