"""What a rollout to come is like: its type, and the policy that its rules make of what is written."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseType
from tidegate.engine.draft import Draft
from tidegate.governance.expressions import Subject, applies
from tidegate.governance.rules import Ruled, ruled
from tidegate.governance.versions import release_type


def stable_name(draft: Draft) -> str:
    """Return what stable is called; what it was called before, if the Release's name for it was meant for the template to come."""
    assert draft.workload is not None
    if draft.stable.version != draft.workload.template.version:
        return draft.stable.version
    last, arm = draft.status.last_rollout, draft.stable_arm
    if last is not None and last.revision == draft.stable.revision:
        return last.version
    return arm.version if arm is not None else draft.stable.version


def wanted_type(draft: Draft) -> ReleaseType:
    """Return the type of the wanted version; there is a stable one and a workload."""
    assert draft.workload is not None
    return release_type(stable_name(draft), draft.workload.template.version, draft.snap.release.spec.type)


def subject_of_conditions(draft: Draft, kind: ReleaseType) -> Subject:
    """Return what conditions of a policy are about: the version of the workload's template, as a release of a type."""
    assert draft.workload is not None
    release = draft.snap.release
    return Subject(
        type=kind,
        environment=release.spec.environment or "",
        labels=release.labels,
        stable=stable_name(draft),
        candidate=draft.workload.template.version,
    )


def conditions(draft: Draft) -> Callable[[str], bool]:
    """Return what tells whether a condition is true of the version that is rolled out or wanted; ValueError where that fails."""
    subject = subject_of_conditions(draft, (draft.rollout.type if draft.active else None) or wanted_type(draft))
    return lambda condition: applies(condition, subject)


def policy_to_come(draft: Draft) -> Ruled:
    """Return the policy that a rollout of the wanted version would have if it began now; a policy is there."""
    assert draft.snap.policy is not None
    subject = subject_of_conditions(draft, wanted_type(draft))
    if draft.ruled is None or draft.ruled[0] != subject:
        # Each barrier asks, and conditions are evaluated for the first.
        draft.ruled = subject, ruled(draft.snap.policy.spec, subject)
    return draft.ruled[1]


def policy_now(draft: Draft) -> RolloutPolicySpec | None:
    """Return the policy of the rollout that is on, or of the one that may start."""
    if draft.active:
        return draft.spec
    return policy_to_come(draft).spec if draft.snap.policy is not None else None
