"""What is looked at for one Release: its gates under its present versions, and since when.

It is a value, so that looks that are under way can be told from what would be asked now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.api.release import PolicyKind
from tidegate.api.status import GateStatus, ReleaseStatus
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.engine.counted import weight_since
from tidegate.engine.gate_status import alpha_of
from tidegate.engine.plan import Role, own_name
from tidegate.engine.rules import split
from tidegate.prometheus.queries import Names
from tidegate.traffic import notes


@dataclass(frozen=True)
class Subject:
    """What is looked at for one Release.

    Attributes:
        gates: the gates by name.
        names: what its objects are called.
        revision: revision of the new version.
        since: when the new version first got traffic.
        states: what the gates said last, by name.
        alpha: chance of a false alarm that each gate may take, see `gate_status.alpha_of`.
        alone: all traffic is on the new version.
        weight_since: since when the new version has its present weight; None while it gets another.
        split_at: when the routes were split, for looks at what that has done; None where there are none.
        begun: since when this process knows the Release: its looks are about no earlier instant. None for no such bound.
        stable_revision: revision of the stable version.
        version_label: the label of pods whose value is the revision; empty where there is no workload.
    """

    gates: Mapping[str, Gate]
    names: Names
    revision: str
    since: datetime | None
    states: Mapping[str, GateStatus] = field(default_factory=dict)
    alpha: float = 0.01
    alone: bool = False
    weight_since: datetime | None = None
    split_at: datetime | None = None
    begun: datetime | None = None
    stable_revision: str = ""
    version_label: str = ""

    @property
    def earliest(self) -> datetime | None:
        """The earliest instant that a look may be about."""
        return max((moment for moment in (self.since, self.begun) if moment is not None), default=None)


def subject_of(objects: ReleaseObjects, status: ReleaseStatus, begun: datetime) -> Subject | None:
    """Return what is to be looked at for a Release; None where no rollout is on.

    Args:
        objects: the raw objects.
        status: the status, as decided.
        begun: since when this process knows the Release.
    """
    if status.candidate is None or status.stable is None or status.rollout is None:
        return None
    release, workload = objects.key, objects.workload
    service = objects.spec.traffic.service if objects.spec.traffic else ""
    revisions = status.stable.revision, status.candidate.revision
    stable_pods, canary_pods = (workload.pod_names(revision) if workload else "" for revision in revisions)
    names = Names(
        namespace=release.namespace,
        release=release.name,
        service=service,
        stable_service=own_name(service, Role.STABLE),
        canary_service=own_name(service, Role.CANARY),
        stable_pods=stable_pods,
        canary_pods=canary_pods,
        service_port=notes.port_of(status.original_rules, service),
        cluster_policy=status.rollout.policy.startswith(f"{PolicyKind.CLUSTER}/"),
    )
    spec = status.rollout.spec
    gates = {gate.name: gate for gate in (*spec.gates, *split.gates_of(spec, status.rollout.split_harmless))}
    return Subject(
        gates,
        names,
        status.candidate.revision,
        status.rollout.exposed_at,
        states={state.name: state for state in status.gates},
        alpha=alpha_of(status.rollout.spec),
        alone=status.weight == 100 and bool(service),
        weight_since=weight_since(status),
        split_at=split.watched_since(status),
        begun=begun,
        stable_revision=status.stable.revision,
        version_label=workload.version_label if workload else "",
    )
