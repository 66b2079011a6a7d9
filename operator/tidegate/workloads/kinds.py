"""The kinds of workloads that there are, for adapters: what is watched, read and written of each is asked here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.api.release import WorkloadKind
from tidegate.workloads.deployment.kind import DeploymentKind
from tidegate.workloads.kind import Kind

KINDS: Mapping[str, Kind] = {WorkloadKind.DEPLOYMENT: DeploymentKind()}
"""By the kind that a Release names in spec.targetRef."""
KEEPERS: frozenset[str] = frozenset(resource.kind for kind in KINDS.values() for resource in kind.keepers)
"""Kinds of what keeps the pods of a workload: its owner says whose it is."""
