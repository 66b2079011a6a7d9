"""Changes of a status that a type checker sees: no field that does not exist, no value of another type.

`model_copy(update=...)` takes anything: a misspelt name would be a silent loss in the one object that must survive a crash.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, TypedDict, Unpack, overload

from tidegate.api.base import Model
from tidegate.api.checked import CheckResult, CheckStatus
from tidegate.api.decided import CarriedStatus, RejectedStatus, WantedStatus
from tidegate.api.flagged import FlagSetting, FlagStatus
from tidegate.api.followed import FollowedStatus
from tidegate.api.grouped import MateStatus
from tidegate.api.hotfix import HotfixStatus, ReviewStatus
from tidegate.api.migrated import ContractedStatus, MigrationResult, MigrationRun, MigrationStatus
from tidegate.api.migrations import MigrationPhase
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.originals import OriginalRule, PortStatus, TargetsStatus
from tidegate.api.outbox import OutboxStatus
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.recorded import CommitIgnored, PendingRecord, RecordedAuthor, RecordedWeight, RecordsStatus, TrailStatus
from tidegate.api.release import ReleaseType
from tidegate.api.status import (
    ConditionStatus,
    EvidenceStatus,
    GateStatus,
    LastRollout,
    LossStatus,
    PauseStatus,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)
from tidegate.api.waiting import HoldStatus, WaitingFor


class ReleaseEdit(TypedDict, total=False):
    """What may change in a `ReleaseStatus`."""

    reviews: tuple[ReviewStatus, ...]
    records: RecordsStatus | None
    checks: tuple[CheckStatus, ...]
    migration: MigrationStatus | None
    contracted: ContractedStatus | None
    flags: tuple[FlagStatus, ...]
    observed_generation: int
    phase: Phase
    message: str
    weight: int
    carried: int
    progress: str
    stable: RevisionStatus | None
    candidate: RevisionStatus | None
    wanted: WantedStatus | None
    step: StepStatus | None
    gates: tuple[GateStatus, ...]
    rollout: RolloutStatus | None
    original_rules: tuple[OriginalRule, ...]
    shifted_service: str | None
    pinned_service: str | None
    stable_targets: TargetsStatus | None
    rejected: tuple[RejectedStatus, ...]
    served: tuple[str, ...] | None
    followed: FollowedStatus | None
    last_rollout: LastRollout | None
    waiting_for: tuple[WaitingFor, ...]
    held: HoldStatus | None
    handled_request: str | None
    carried_out: tuple[CarriedStatus, ...]
    carried_until: datetime | None
    outbox: OutboxStatus | None
    conditions: tuple[ConditionStatus, ...]


class RolloutEdit(TypedDict, total=False):
    """What may change in a `RolloutStatus`."""

    type: ReleaseType | None
    hotfix: HotfixStatus | None
    rules: tuple[int, ...]
    trail: TrailStatus | None
    policy: str
    kept: str
    spec: RolloutPolicySpec
    started_at: datetime
    split_at: datetime | None
    split_harmless: tuple[str, ...]
    warmed_at: datetime | None
    exposed_at: datetime | None
    route_awaited: datetime | None
    route_overdue: bool | None
    written_over: bool | None
    moves_with: tuple[MateStatus, ...]
    skip_to_end: bool
    lost: LossStatus | None
    paused: PauseStatus | None
    undo: Cause | None
    undo_message: str
    undo_since: datetime | None


class StepEdit(TypedDict, total=False):
    """What may change in a `StepStatus`."""

    index: int
    weight: int
    entered: datetime
    since: datetime | None
    until: datetime | None
    given: int
    pods: int
    missing: datetime | None
    overdue: bool | None


class GateEdit(TypedDict, total=False):
    """What may change in a `GateStatus`."""

    name: str
    verdict: Verdict
    stable: float | None
    canary: float | None
    limit: str
    samples: float | None
    message: str
    at: datetime
    looks: str
    telemetry: str
    disagrees: str
    undecided_since: datetime | None
    clear: bool
    blind: bool
    warned: bool
    newest: datetime | None
    newest_stable: datetime | None
    weight_requests: float | None
    quiet_since: datetime | None
    usual_gap: float
    evidence: EvidenceStatus | None
    kept: str


class EvidenceEdit(TypedDict, total=False):
    """What may change in a `EvidenceStatus`."""

    since: datetime
    until: datetime | None
    canary_requests: float
    canary_bad: float | None
    stable_requests: float
    stable_bad: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    confidence: float
    harm: float
    proof: float
    needed: float
    bursts: float
    requests_needed: float | None
    minutes_needed: float | None
    towards: Verdict | None
    history_step: float
    history: tuple[float, ...]
    state: str


class LossEdit(TypedDict, total=False):
    """What may change in a `LossStatus`."""

    count: int
    pods: int
    unexplained: int
    message: str
    at: datetime


class RevisionEdit(TypedDict, total=False):
    """What may change in a `RevisionStatus`."""

    revision: str
    version: str
    digest: str | None
    replicas: int
    ready: int
    trouble: str | None
    images: dict[str, str] | None
    committed_at: datetime | None
    promoted_at: datetime | None
    rolled_back_at: datetime | None


class CheckEdit(TypedDict, total=False):
    """What may change in a `CheckStatus`."""

    name: str
    at: str
    digest: str
    cron_job: str | None
    hook: str | None
    job: str | None
    uid: str | None
    attempt: int
    result: CheckResult
    message: str
    since: datetime
    ended: datetime | None


class MigrationEdit(TypedDict, total=False):
    """What may change in a `MigrationStatus`."""

    version: str
    revision: str
    digest: str
    before: str
    since: datetime
    over: datetime | None
    promoted: bool
    runs: tuple[MigrationRun, ...]


class MigrationRunEdit(TypedDict, total=False):
    """What may change in a `MigrationRun`."""

    phase: MigrationPhase
    cron_job: str
    seconds: int
    job: str | None
    uid: str | None
    attempt: int
    result: MigrationResult
    progress: str | None
    output: str
    message: str
    since: datetime | None
    ended: datetime | None


class ContractedEdit(TypedDict, total=False):
    """What may change in a `ContractedStatus`."""

    version: str
    at: datetime
    revisions: tuple[str, ...]
    undone: tuple[str, ...]
    held: str | None
    allowed: str | None


class FlagEdit(TypedDict, total=False):
    """What may change in a `FlagStatus`."""

    target: str
    name: str
    on: str
    off: str
    before: FlagSetting | None
    given: tuple[FlagSetting, ...]
    restore: bool
    left: bool
    forced: str | None
    released: bool
    by: str
    decided: datetime | None
    in_force: datetime | None
    done: datetime | None
    since: datetime
    message: str


class PauseEdit(TypedDict, total=False):
    """What may change in a `PauseStatus`."""

    cause: Cause
    gate: str | None
    message: str
    ask: tuple[str, ...]
    since: datetime


class FollowedEdit(TypedDict, total=False):
    """What may change in a `FollowedStatus`."""

    release: str
    namespace: str
    version: str
    images: dict[str, str]
    committed_at: datetime | None
    at: datetime
    held: HoldStatus | None


class TargetsEdit(TypedDict, total=False):
    """What may change in a `TargetsStatus`."""

    service: str
    ports: tuple[PortStatus, ...]
    next_ports: tuple[PortStatus, ...] | None
    changed_at: datetime | None


class TrailEdit(TypedDict, total=False):
    """What may change in a `TrailStatus`."""

    seen_at: datetime
    committed_at: datetime | None
    commit_ignored: CommitIgnored | None
    images: dict[str, str]
    authors: tuple[RecordedAuthor, ...]
    course: tuple[RecordedWeight, ...]
    omitted: int


class RecordsEdit(TypedDict, total=False):
    """What may change in a `RecordsStatus`."""

    number: int
    hash: str | None
    id: str
    checkpoint: int
    pending: tuple[PendingRecord, ...]


@overload
def edited(model: ReleaseStatus, /, **changes: Unpack[ReleaseEdit]) -> ReleaseStatus: ...
@overload
def edited(model: RolloutStatus, /, **changes: Unpack[RolloutEdit]) -> RolloutStatus: ...
@overload
def edited(model: StepStatus, /, **changes: Unpack[StepEdit]) -> StepStatus: ...
@overload
def edited(model: GateStatus, /, **changes: Unpack[GateEdit]) -> GateStatus: ...
@overload
def edited(model: EvidenceStatus, /, **changes: Unpack[EvidenceEdit]) -> EvidenceStatus: ...
@overload
def edited(model: LossStatus, /, **changes: Unpack[LossEdit]) -> LossStatus: ...
@overload
def edited(model: RevisionStatus, /, **changes: Unpack[RevisionEdit]) -> RevisionStatus: ...
@overload
def edited(model: CheckStatus, /, **changes: Unpack[CheckEdit]) -> CheckStatus: ...
@overload
def edited(model: MigrationStatus, /, **changes: Unpack[MigrationEdit]) -> MigrationStatus: ...
@overload
def edited(model: MigrationRun, /, **changes: Unpack[MigrationRunEdit]) -> MigrationRun: ...
@overload
def edited(model: ContractedStatus, /, **changes: Unpack[ContractedEdit]) -> ContractedStatus: ...
@overload
def edited(model: FlagStatus, /, **changes: Unpack[FlagEdit]) -> FlagStatus: ...
@overload
def edited(model: PauseStatus, /, **changes: Unpack[PauseEdit]) -> PauseStatus: ...
@overload
def edited(model: FollowedStatus, /, **changes: Unpack[FollowedEdit]) -> FollowedStatus: ...
@overload
def edited(model: TargetsStatus, /, **changes: Unpack[TargetsEdit]) -> TargetsStatus: ...
@overload
def edited(model: TrailStatus, /, **changes: Unpack[TrailEdit]) -> TrailStatus: ...
@overload
def edited(model: RecordsStatus, /, **changes: Unpack[RecordsEdit]) -> RecordsStatus: ...
def edited(model: Model, /, **changes: Any) -> Model:
    """Return a part of a status with some of its fields replaced; the part itself where they have these values already.

    Args:
        model: what it is now; it stays as it is.
        changes: new values by field.

    Raises:
        TypeError: there is no such field, from where no type checker has looked.
    """
    if not changes.keys() <= (known := _fields_of(type(model))):
        raise TypeError(f"{type(model).__name__} has no field {', '.join(sorted(changes.keys() - known))}")
    # Most edits of a pass change nothing, and a copy costs more than all of them.
    for name, value in changes.items():
        before = getattr(model, name)
        if before is not value and not (isinstance(value, str) and before == value):
            return model.model_copy(update=changes)
    return model


@lru_cache(maxsize=64)
def _fields_of(kind: type[Model]) -> frozenset[str]:
    return frozenset(kind.model_fields)
