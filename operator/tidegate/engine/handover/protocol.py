"""The questions that rules and writes ask of any kind of workload, and what a kind may be able to do besides.

A rollout needs little of a workload: what serves, whether a changed template waits, how many pods a step has, when the new version
can be handed over, and from when on there is no way back. All questions are pure: they look at the draft and change nothing of it.
Only what yields writes may note what happens by them.

What not every kind can do is an ability: a small protocol of its own, and None where a kind has not got it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tidegate.api.policy import Step
    from tidegate.engine.draft import Draft
    from tidegate.engine.plan import Action
    from tidegate.engine.snapshot import Arm
    from tidegate.engine.waits import Waiting


class Restarts(Protocol):
    """A kind that restarts its pods by itself where a template differs in nothing but the restart."""

    def restarted(self, draft: Draft) -> Arm | None:
        """Return the arm that has come out of it, once the workload is done with it; None until then."""


class Bypass(Protocol):
    """A kind that a person can let roll a template out although it is held."""

    def outgrown(self, draft: Draft) -> Arm | None:
        """Return the arm that has come to serve so and has outgrown all that serve by right; None where none has."""

    def spare(self, draft: Draft) -> bool:
        """Whether there are pods of such an arm that stable can do without, and that are therefore stopped."""


class Reverts(Protocol):
    """A kind whose workload may turn a promotion round beyond the point of no return, while stable still has its pods."""

    def reverted(self, draft: Draft) -> str:
        """Return why stable has to serve again, in words; empty where it need not."""


class Handover(Protocol):
    """How one kind of workload comes to serve another version. One object for all workloads of the kind, without a state."""

    @property
    def kind(self) -> str:
        """What people call the kind, e.g. Deployment."""

    @property
    def arm(self) -> str:
        """What people call what keeps the pods of one version, e.g. ReplicaSet."""

    @property
    def restarts(self) -> Restarts | None:
        """Whether it restarts by itself; None where a restart is a version like any other."""

    @property
    def bypass(self) -> Bypass | None:
        """Whether a template can be rolled out past the hold; None where nobody can."""

    @property
    def reverts(self) -> Reverts | None:
        """Whether it may turn round beyond the point of no return; None where it goes forward only."""

    # What serves, and what holds. The workload is there.

    def observed(self, draft: Draft) -> bool:
        """Whether its controller has seen the workload as it is."""

    def serving(self, draft: Draft) -> Arm | None:
        """Return what serves, where no version is in force yet; None where that is not settled."""

    def starts_by_itself(self, draft: Draft) -> bool:
        """Whether nothing serves, where no version is in force yet, so that the workload may start its pods by itself."""

    def guarded(self, draft: Draft) -> bool:
        """Whether a template that changes now would be held."""

    def unheld(self, draft: Draft) -> Waiting | None:
        """Return that the wanted template is not held, so that its rollout cannot begin; None where it is."""

    # The way up.

    def size(self, draft: Draft, step: Step) -> int:
        """Return the pods that the new version needs at a step."""

    # Promotion.

    def unready(self, draft: Draft) -> Waiting | None:
        """Return what the workload lacks to take the new version over, but for its pods; None where it lacks nothing."""

    def committed(self, draft: Draft) -> bool:
        """Whether the promotion is beyond the point of no return. It is asked only while one is on."""

    def adopted(self, draft: Draft) -> bool:
        """Whether the workload has taken the new version over, and stops the old pods."""

    def unsettled(self, draft: Draft) -> Waiting | None:
        """Return what is left to be done once the old pods are gone; None where nothing is."""

    # Writes. The workload is there, but for those of the end.

    def writes(self, draft: Draft) -> Iterator[Action]:
        """Yield the writes on the workload; none where what was seen is what the status wants."""

    def lingers(self, draft: Draft) -> bool:
        """Whether there are pods that have to stop before the workload is handed back."""

    def hand_back(self, draft: Draft) -> Iterator[Action]:
        """Yield the writes that leave the workload to its user, and nothing of ours."""
