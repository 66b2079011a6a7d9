"""What the engine sees of a Deployment and its ReplicaSets: who controls which is what tells how far a rollout is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tidegate.engine.snapshot import Arm, WorkloadView


class Owner(Enum):
    """Who controls a ReplicaSet."""

    DEPLOYMENT = "Deployment"
    RELEASE = "Release"
    NOBODY = "nobody"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class ReplicaSetView(Arm):
    """A ReplicaSet whose pods match the Deployment's selector. Its revision is the value of its pod-template-hash label.

    Attributes:
        name: object name.
        owner: who controls it.
        number: the Deployment controller's revision number; 0 where it has given none.
        desired: the size of the Deployment when its controller last scaled by it; None where it never did.
    """

    name: str
    owner: Owner
    number: int = 0
    desired: int | None = None

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's: neither the Deployment nor the operator scales it."""
        return self.owner is Owner.OTHER

    @property
    def owned(self) -> bool:
        """Whether the Deployment controls it."""
        return self.owner is Owner.DEPLOYMENT


@dataclass(frozen=True, kw_only=True)
class DeploymentView(WorkloadView):
    """A Deployment.

    Attributes:
        paused: spec.paused.
        labelled: it carries the label that puts it under the hold policy, with this Release's name.
        settled: its controller has seen its generation and its own rollout is complete: every pod is of its template and
            available.
        observed: its controller has seen its generation.
        own_revision: revision of the ReplicaSet that has the Deployment's own template, without the overlay; None where there
            is none.
        arms: all ReplicaSets whose pods match its selector.
        rolling: its strategy is RollingUpdate.
    """

    paused: bool
    labelled: bool
    settled: bool
    observed: bool
    own_revision: str | None
    arms: tuple[ReplicaSetView, ...] = ()
    rolling: bool = True

    def arm(self, revision: str | None) -> ReplicaSetView | None:
        """Return the ReplicaSet of that revision, None where there is none."""
        return next((rs for rs in self.arms if rs.revision == revision), None)
