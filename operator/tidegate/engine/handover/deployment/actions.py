"""The writes on a Deployment and its ReplicaSets that a plan may want; each is safe by itself, and so is to stop after any."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.engine.plan import OfWorkload


class OfDeployment(OfWorkload):
    """A write on a Deployment or on one of its ReplicaSets."""


@dataclass(frozen=True)
class LabelWorkload(OfDeployment):
    """Put the label on the Deployment that brings it under the hold policy, or take it away.

    Attributes:
        note: with the label taken away, what the Deployment says from then on of the state that it is left in; empty for nothing.
    """

    present: bool
    note: str = ""


@dataclass(frozen=True)
class Hold(OfDeployment):
    """Set spec.paused of the Deployment, or remove it.

    To remove it is safe only for the template that was seen: the write must fail if the Deployment has changed since.
    """

    paused: bool


@dataclass(frozen=True)
class SetImages(OfDeployment):
    """Write the Release's images into the template of the held Deployment, so that it equals the candidate's."""


@dataclass(frozen=True)
class CreateCanary(OfDeployment):
    """Create the ReplicaSet of the wanted template, controlled by the Release."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class Detach(OfDeployment):
    """Move control of a ReplicaSet from the Deployment to the Release."""

    replica_set: str


@dataclass(frozen=True)
class Adopt(OfDeployment):
    """Remove the Release's control of a ReplicaSet, so that the Deployment adopts it.

    The snapshot that the next decision is made on must show this write: from here on there is no way back.
    """

    replica_set: str


@dataclass(frozen=True)
class Scale(OfDeployment):
    """Set spec.replicas of a ReplicaSet. One of the Deployment's that gets its size is annotated with it."""

    replica_set: str
    replicas: int


@dataclass(frozen=True)
class DeleteReplicaSet(OfDeployment):
    """Delete a ReplicaSet that has no pods and is controlled by the Release."""

    replica_set: str
