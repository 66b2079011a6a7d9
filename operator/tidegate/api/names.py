"""Names that people and tools rely on: group, labels, annotations, conditions, reasons, Events.

They are API: alerts, GitOps tools and scripts compare with them, so each is in the pages, and a test says so.
"""

from __future__ import annotations

from enum import StrEnum

GROUP = "tidegate.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "tidegate"

LABEL_RELEASE = "tidegate.dev/release"
"""On a Deployment: the Release that manages it. On objects of the operator's own: the Release that they belong to."""
LABEL_ROLE = "tidegate.dev/role"
"""On the operator's Services: `stable` or `canary`. On its ReplicaSets: `canary`."""
LABEL_POD_TEMPLATE_HASH = "pod-template-hash"
"""The label by which the Deployment controller tells the pods of its ReplicaSets apart."""
VERSION_LABELS = (LABEL_POD_TEMPLATE_HASH,)
"""Labels by which kinds of workloads tell the pods of their versions apart. In a selector one of them is the operator's pin."""
ANNOTATION_REQUEST = "tidegate.dev/request"
"""On a Release: `<verb>/<id>`, a request by a person. Each id is carried out once."""
ANNOTATION_RELEASE_UID = "tidegate.dev/release-uid"
"""On the operator's ReplicaSets: the uid of the Release that they belong to, by which one of the same name is told from it."""
ANNOTATION_HANDED_BACK = "tidegate.dev/handed-back"
"""On a Deployment that a Release has left paused: why, and what to do. Its Events are on a Release that is gone."""
ANNOTATION_CHANGED_BY = "tidegate.dev/changed-by"
"""On a Deployment and on a Release: the account that changed last what is to run, as the API server knows it."""
ANNOTATION_AUTHOR = "tidegate.dev/author"
"""On a Deployment and on a Release: whose change it is, where a tool makes it; nobody verifies it."""
LABEL_CHECK = "tidegate.dev/check"
"""On the operator's Jobs: the check that they make."""
ANNOTATION_RUN_FOR = "tidegate.dev/run-for"
"""On a CronJob: the Releases for whose checks Tidegate may make Jobs of it, by name with commas between; * for all."""
ANNOTATION_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
ANNOTATION_REVISION = "deployment.kubernetes.io/revision"
ANNOTATION_DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
ANNOTATION_MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
FINALIZER = "tidegate.dev/handback"
HOLD_POLICY = "tidegate-hold"
"""The MutatingAdmissionPolicy (and its binding) that holds a changed template in the request that changes it."""


class Phase(StrEnum):
    """Where a Release is."""

    PENDING = "Pending"
    IDLE = "Idle"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    BAKING = "Baking"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class Condition(StrEnum):
    """Condition types: the first three as kstatus reads them."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PROMOTED = "Promoted"
    REVIEW_OVERDUE = "ReviewOverdue"


class Reason(StrEnum):
    """Reasons of conditions."""

    PROMOTED = "Promoted"
    ADOPTING = "Adopting"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    WAITING = "Waiting"
    UNREVIEWED = "Unreviewed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    RESTARTING = "Restarting"
    SCALED_TO_ZERO = "ScaledToZero"
    DELETING = "Deleting"
    INVALID_SPEC = "InvalidSpec"
    MISSING_WORKLOAD = "MissingWorkload"
    MISSING_POLICY = "MissingPolicy"
    MISSING_SERVICE = "MissingService"
    SHARED_SERVICE = "SharedService"
    BOUND_BY_NAME = "BoundByName"
    SERVICE_ASTRAY = "ServiceAstray"
    MISSING_ROUTE = "MissingRoute"
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    NO_PERMISSION = "NoPermission"
    API_ABSENT = "APIAbsent"
    CONFLICT = "Conflict"
    API_ERROR = "APIError"
    INTERNAL_ERROR = "InternalError"


class Cause(StrEnum):
    """Why a rollout ended, or stopped, as it did."""

    PROMOTED = "Promoted"
    GATE = "GateBreached"
    REQUEST = "Requested"
    DEADLINE = "ProgressDeadlineExceeded"
    SUPERSEDED = "Superseded"
    REVERTED = "Reverted"
    DELETED = "Deleted"
    NO_DATA = "NoData"
    PODS_LOST = "PodsLost"
    SPLIT = "SplitHarms"
    REJECTED = "Rejected"
    CHECK = "CheckFailed"


class EventReason(StrEnum):
    """Reasons of the Events that the operator writes on a Release."""

    ADOPTED = "Adopted"
    ROLLOUT_STARTED = "RolloutStarted"
    WEIGHT_CHANGED = "WeightChanged"
    GATE_BREACHED = "GateBreached"
    GATE_UNDECIDED = "GateUndecided"
    SOURCES_DISAGREE = "SourcesDisagree"
    SCORE_WARNING = "ScoreWarning"
    PAUSED = "Paused"
    RESUMED = "Resumed"
    PROMOTION_REQUESTED = "PromotionRequested"
    NEXT_HELD = "NextHeld"
    WAITING = "Waiting"
    NEXT_RELEASED = "NextReleased"
    FOLLOWED = "Followed"
    FOLLOWING_HELD = "FollowingHeld"
    FOLLOWING_RESUMED = "FollowingResumed"
    RETRIED = "Retried"
    REJECTED = "Rejected"
    DECISION_REFUSED = "DecisionRefused"
    OVERRIDDEN = "Overridden"
    REVIEWED = "Reviewed"
    REVIEW_OVERDUE = "ReviewOverdue"
    CHECK_PASSED = "CheckPassed"
    CHECK_FAILED = "CheckFailed"
    BAKING = "Baking"
    PROMOTING = "Promoting"
    PROMOTED = "Promoted"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    REVERTED = "Reverted"
    HELD = "Held"
    PAUSE_UNDONE = "PauseUndone"
    BYPASSED = "Bypassed"
    ROUTE_CORRECTED = "RouteCorrected"
    REQUEST_REFUSED = "RequestRefused"
    HANDED_BACK = "HandedBack"
    RESTARTED = "Restarted"
    SCALED = "Scaled"
    BLOCKED = "Blocked"
    PODS_LOST = "PodsLost"
    STABLE_LACKS_PODS = "StableLacksPods"
    DEADLINE = "ProgressDeadlineExceeded"
    TRANSITIONS_DROPPED = "TransitionsDropped"
    NOTIFICATION_DROPPED = "NotificationDropped"


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"
    UNDECIDED = "Undecided"
