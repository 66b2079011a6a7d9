"""The kinds of workloads that there are: the one place where the engine knows them by name."""

from __future__ import annotations

from tidegate.api.release import WorkloadKind
from tidegate.engine.handover.deployment.questions import DeploymentHandover
from tidegate.engine.handover.protocol import Handover

HANDOVERS: dict[WorkloadKind, Handover] = {WorkloadKind.DEPLOYMENT: DeploymentHandover()}
"""By the kind that a Release names in spec.targetRef."""
