"""The rules for a Release without a rollout: what serves is taken on, what rolls by itself is watched, and a rollout starts."""

from __future__ import annotations

from dataclasses import replace

from tidegate.api.edits import edited
from tidegate.api.names import Cause, Phase
from tidegate.api.status import Outcome, RevisionStatus, RolloutStatus
from tidegate.engine import asking
from tidegate.engine import transitions as happened
from tidegate.engine.barriers import Rise, barrier, kept_asked
from tidegate.engine.changes import put_in_force, record_end
from tidegate.engine.draft import Draft
from tidegate.engine.facts import is_native, leads_past, obstacles, rejection, routes_return
from tidegate.engine.following import taken_anew
from tidegate.engine.hotfix import granted, to_review
from tidegate.engine.migrating import let_back, opened
from tidegate.engine.pods import trouble
from tidegate.engine.recording import commit_time, trail
from tidegate.engine.reviews import Overridden
from tidegate.engine.ruled import policy_to_come, stable_name, wanted_type
from tidegate.engine.running import held_up
from tidegate.engine.snapshot import Arm, Verb, WorkloadView
from tidegate.engine.waits import CHANGED, Inquiry, Ruling, Wait, Waiting
from tidegate.governance.hotfix import shortened

_BESIDE = frozenset({Inquiry.SELECTED, Inquiry.BOUND})
"""What is read of a Service before it is split, all at once."""


def stable_is_taken_on(draft: Draft) -> Ruling:
    """At first sight, and when the workload was recreated: what serves now is the stable version."""
    workload = draft.workload
    if workload is None or draft.deleting or not draft.handover.observed(draft):
        return None
    if draft.status.stable is not None and (workload.replicas == 0 or draft.stable_arm is not None):
        return None
    serving = draft.handover.serving(draft)
    if serving is None:
        draft.set(stable=None)
        words = f"for a first version of the {draft.handover.kind} to become available{trouble(draft)}"
        return Waiting(Wait.FIRST_VERSION, words)
    if (waiting := _selection(draft, asks=frozenset({Inquiry.SELECTED}))) is not None:
        return waiting
    put_in_force(draft, edited(_revision(draft, serving), promoted_at=draft.now))
    draft.set(stable_targets=None)
    name = draft.snap.release.spec.target_ref.name
    draft.note(happened.Adopted(draft.handover.kind, name, serving.version))
    return CHANGED


def _selection(draft: Draft, *, asks: frozenset[Inquiry]) -> Waiting | None:
    """Return that it is not known if the user's Service selects pods of other workloads, too."""
    service = draft.snap.user_service
    if service is None or not service.selects or service.alone is not None:
        return None
    return Waiting(Wait.SELECTION, f"to read the pods that Service {service.name} selects", asks=asks)


def _binding(draft: Draft, *, asks: frozenset[Inquiry]) -> Waiting | None:
    """Return that it is not known if all that is bound to the user's Service by its name follows a split."""
    service = draft.snap.user_service
    if service is None or not service.selects or service.followed is not None:
        return None
    return Waiting(Wait.BINDING, f"to read what is bound to Service {service.name} by its name", asks=asks)


def _revision(draft: Draft, arm: Arm) -> RevisionStatus:
    images, since = dict(arm.images) or None, commit_time(draft, arm.revision)
    return RevisionStatus(revision=arm.revision, version=arm.version, images=images, committed_at=since)


def native_change_is_done(draft: Draft) -> Ruling:
    """The workload has rolled its template out by itself: its new arm is the stable one."""
    restarts = draft.handover.restarts
    if restarts is None or draft.workload is None or draft.status.stable is None or not is_native(draft):
        return None
    if (waiting := routes_return(draft)) is not None:
        return waiting
    fresh = restarts.restarted(draft)
    if fresh is None:
        return Waiting(Wait.NATIVE_RESTART, f"for the {draft.handover.kind} to finish its own rolling restart")
    draft.note(happened.Restarted(draft.handover.kind, fresh.version))
    # A restart makes no other version of it: what is counted since it was promoted goes on.
    before = draft.status.stable
    stable = edited(_revision(draft, fresh), committed_at=before.committed_at)
    put_in_force(draft, edited(stable, promoted_at=before.promoted_at, rolled_back_at=before.rolled_back_at))
    return CHANGED


def facts_are_accepted(draft: Draft) -> Ruling:
    """Past the hold, another version of the workload has come to serve: to take it back now would be an outage."""
    bypass = draft.handover.bypass
    if bypass is None or draft.workload is None or draft.status.stable is None or is_native(draft):
        return None
    if (biggest := bypass.outgrown(draft)) is None:
        return None
    draft.note(happened.Bypassed(biggest.version, biggest.ready))
    stable = _revision(draft, biggest)
    if draft.active and draft.candidate.revision == biggest.revision:
        record_end(draft, Cause.PROMOTED, "it was rolled out without Tidegate")
    elif draft.active and not draft.undoing:
        draft.begin_undo(Cause.REVERTED, f"{biggest.version} was rolled out without Tidegate")
    put_in_force(draft, stable)
    draft.set(stable_targets=None)
    return CHANGED


def name_is_followed(draft: Draft) -> Ruling:
    """What the wanted template is called is for the Release to say, also after it has begun to be rolled out or to serve."""
    if draft.workload is None:
        return None
    name = draft.workload.template.version
    candidate, stable = (_named(draft, version, name) for version in (draft.status.candidate, draft.status.stable))
    if (candidate, stable) == (draft.status.candidate, draft.status.stable):
        return None
    draft.set(candidate=candidate, stable=stable)
    return CHANGED


def _named(draft: Draft, version: RevisionStatus | None, name: str) -> RevisionStatus | None:
    return edited(version, version=name) if version is not None and draft.wants(version.revision) else version


def stable_is_described(draft: Draft) -> Ruling:
    """An operator before this one did not note what the stable version is made of, and since when it counts."""
    stable, arm, last = draft.status.stable, draft.stable_arm, draft.status.last_rollout
    if stable is None or stable.images or arm is None or not arm.images:
        return None
    known = last is not None and last.outcome is Outcome.PROMOTED and last.revision == stable.revision
    since = last.finished_at if last is not None and known else draft.now
    draft.set(stable=edited(stable, images=dict(arm.images), promoted_at=stable.promoted_at or since))
    return CHANGED


def rejections_are_forgotten(draft: Draft) -> Ruling:
    """What serves is not rejected, whoever brought it there; nor for ever what had no pods in time, which is no verdict on it."""
    if draft.status.stable is None or draft.workload is None:
        return None
    serving = {draft.stable.revision}
    if draft.wants(draft.stable.revision):
        template = draft.workload.template
        serving |= {template.revision, template.new_revision, *template.duplicates}
    wanted = rejection(draft)
    kept = tuple(
        entry
        for entry in draft.status.rejected
        if entry.revision not in serving and (entry.cause is not Cause.DEADLINE or draft.undoing or entry is wanted)
    )
    if kept == draft.status.rejected:
        return None
    draft.set(rejected=kept)
    return CHANGED


def rollout_starts(draft: Draft) -> Ruling:
    """The wanted template is not the stable one and was not rejected: its rollout starts."""
    workload, policy = draft.workload, draft.snap.policy
    if draft.status.stable is None or workload is None or draft.deleting or policy is None:
        return None
    if draft.wants(draft.stable.revision) or is_native(draft) or rejection(draft) is not None or obstacles(draft):
        return None
    if taken_anew(draft):
        return None
    if (waiting := _kept_from_starting(draft, workload)) is not None:
        return held_up(draft, waiting)
    rollout = _rollout(draft, policy.label)
    reviews = to_review(draft, rollout.hotfix) if rollout.hotfix is not None else draft.status.reviews
    if draft.stable.version == workload.template.version:
        draft.set(stable=edited(draft.stable, version=stable_name(draft)))
    draft.set(migration=opened(draft))
    let_back(draft)
    draft.set(
        candidate=RevisionStatus(
            revision=workload.template.revision, version=workload.template.version, digest=workload.template.digest or None
        ),
        rollout=rollout,
        reviews=reviews,
        phase=Phase.PROGRESSING,
        step=None,
        weight=0,
        gates=(),
    )
    unread = tuple(draft.snap.user_service.unread) if draft.snap.user_service is not None else ()
    versions = draft.candidate.version, draft.stable.version
    type_told = rollout.type if policy.spec.rules else None
    if (hotfix := rollout.hotfix) is not None:
        draft.note(Overridden(versions[0], hotfix.by, hotfix.reason, tuple(hotfix.skipped), reviews[-1].due))
    draft.note(happened.RolloutStarted(*versions, policy.label, unread, leads_past(draft, cure=True), type_told, rollout.rules))
    return CHANGED


def _kept_from_starting(draft: Draft, workload: WorkloadView) -> Waiting | None:
    """Return what the wanted version waits for before its rollout starts; None where nothing is in the way."""
    if draft.status.held is not None:
        verdict, cure = f"for a request to resume before {workload.template.version} is rolled out: ", "to roll it out"
        words = asking.with_cure(verdict, draft.status.held.message, f"; {asking.cure(draft, cure, Verb.RESUME)}")
        return Waiting(Wait.RESUME, words)
    if draft.snap.release.traffic_later:
        return Waiting(Wait.TRAFFIC_LATER, "for the routes to be restored before a rollout starts")
    if (waiting := draft.handover.unheld(draft)) is not None:
        return waiting
    if workload.replicas == 0:
        # Whatever comes while nothing serves is judged as soon as something does, by whatever it is scaled up.
        kind = draft.handover.kind
        words = f"for the {kind} to be scaled up from 0; {workload.template.version} is then rolled out step by step"
        return Waiting(Wait.SCALED_UP, words)
    if (closed := barrier(draft, Rise.ROLLOUT)) is not None:
        # What is read for one of these questions has to be known still when the other is answered.
        return replace(closed, asks=closed.asks | _BESIDE | kept_asked(draft)) if closed.asks else closed
    beside = _BESIDE | kept_asked(draft)
    if (waiting := _binding(draft, asks=beside) or _selection(draft, asks=beside)) is not None:
        return waiting
    if (bypass := draft.handover.bypass) is not None and bypass.spare(draft):
        words = "for pods that were rolled out without Tidegate to stop before a rollout starts"
        return Waiting(Wait.BYPASSED_PODS, words, asks=beside)
    return None


def _rollout(draft: Draft, label: str) -> RolloutStatus:
    """Return the rollout of the wanted version as it begins: with the policy as it counts for it."""
    assert draft.workload is not None
    found, hotfix, template = policy_to_come(draft), granted(draft), draft.workload.template
    return RolloutStatus(
        policy=label,
        spec=shortened(found.spec, hotfix),
        started_at=draft.now,
        type=wanted_type(draft),
        rules=found.held,
        hotfix=hotfix,
        trail=trail(draft, template),
    )
