"""What must hold whatever governance says: nothing rises past what is closed, and nothing is taken away any later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from simulation.world import Pass
from tidegate.api.decision import Action
from tidegate.api.hotfix import Skip
from tidegate.api.migrated import MigrationResult
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import ReleaseStatus
from tidegate.api.windows import During, Windows
from tidegate.engine.decide import decide
from tidegate.engine.handover.protocol import Handover
from tidegate.engine.migrations import UNSEEN
from tidegate.engine.snapshot import Snapshot
from tidegate.governance.upstreams import AfterView
from tidegate.governance.view import GovernanceView


def frozen(governance: GovernanceView, now: datetime) -> bool:
    """Whether weights are frozen, counted here once more."""
    counting = (freeze.begins <= now and (freeze.ends is None or freeze.ends > now) for freeze in governance.freezes)
    return bool(governance.freezes_unread) or any(counting)


def denied(begins: datetime, length: timedelta, during: During = During.ALWAYS) -> dict[str, Any]:
    """Return windows that are shut once a year, from a minute on."""
    cron = f"{begins.minute} {begins.hour} {begins.day} {begins.month} *"
    minutes = length // timedelta(minutes=1)
    return {"timeZone": "UTC", "deny": [{"cron": cron, "for": f"{minutes}m"}], "during": during.value}


def shut(windows: Windows | None, now: datetime) -> bool:
    """Whether windows of `denied` are shut, counted here once more."""
    if windows is None:
        return False
    minute, hour, day, month = (int(field) for field in windows.deny[0].cron.split()[:4])
    begins = now.replace(month=month, day=day, hour=hour, minute=minute, second=0, microsecond=0)
    return begins <= now < begins + windows.deny[0].duration


def in_force(made: Pass) -> Windows | None:
    """Return the windows that count for what a pass may let rise; None where there are none, or where they bind only a start."""
    before = made.snapshot.status
    if before.rollout is None:
        return made.snapshot.policy.spec.windows if made.snapshot.policy is not None else None
    if before.rollout.hotfix is not None and Skip.WINDOW in before.rollout.hotfix.skipped:
        return None
    found = before.rollout.spec.windows
    return found if found is not None and found.during is During.ALWAYS else None


def ungoverned(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot of which nothing governs."""

    def free(spec: RolloutPolicySpec) -> RolloutPolicySpec:
        return spec.model_copy(update={"windows": None, "rules": (), "approvals": (), "checks": (), "hotfix": None})

    policy, rollout = snapshot.policy, snapshot.status.rollout
    policy = replace(policy, spec=free(policy.spec)) if policy is not None else None
    rollout = rollout.model_copy(update={"spec": free(rollout.spec)}) if rollout is not None else None
    status = snapshot.status.model_copy(update={"rollout": rollout})
    # What people command is no barrier: it stays.
    governance = replace(snapshot.governance, freezes=(), freezes_unread="", upstreams=())
    return replace(snapshot, governance=governance, policy=policy, status=status)


def proved(after: AfterView, made: Pass, now: datetime) -> bool:
    """Whether what one Release asks of another is fulfilled, told by the facts once more. Images are names here."""
    upstream, workload = after.upstream, made.snapshot.workload
    assert workload is not None
    began = max((moment for moment in (upstream.promoted_at, upstream.rolled_back_at) if moment is not None), default=None)
    there = upstream.exists and not upstream.unread and not upstream.rolling_back and upstream.promoted_at is not None
    return there and began is not None and now >= began + after.soak and dict(upstream.images) == dict(workload.template.images)


def retried(snapshot: Snapshot, after: ReleaseStatus) -> bool:
    """Whether a person has a rejected version tried again in a pass, by annotation or by decision."""
    request, before = snapshot.release.request, snapshot.status
    by_annotation = request and request.text == after.handled_request != before.handled_request and request.verb == "retry"
    known = {one.uid for one in before.carried_out}
    return bool(by_annotation) or any(one.action is Action.RETRY and one.uid not in known for one in after.carried_out)


def taken_over_at(made: Pass) -> datetime | None:
    """Return when what the followed Release has in force has soaked there; None where none is followed or it promoted none."""
    view = made.snapshot.following
    if view is None or view.upstream.promoted_at is None:
        return None
    return max(view.upstream.promoted_at, view.upstream.rolled_back_at or view.upstream.promoted_at) + view.soak


def unseen_until(made: Pass) -> datetime | None:
    """Return when a migration's Job that was stopped and never seen will not come any more; None where there is none."""
    migration = made.plan.status.migration
    if migration is None or migration.over is None or migration.promoted:
        return None
    unseen = any(one.result is MigrationResult.RUNNING and not one.uid for one in migration.runs)
    return migration.over + UNSEEN if unseen else None


def due_at_rest(made: Pass) -> set[datetime | None]:
    """Return when something may be due though all is done.

    What is followed has soaked, a decision's time is over, or a Job that was refused will not come any more.
    """
    decisions = made.snapshot.governance.decisions
    ends = {one.expires for one in decisions} | {one.created + timedelta(days=30) for one in decisions}
    return {None, taken_over_at(made), unseen_until(made), *ends}


def _taken_over(made: Pass, now: datetime) -> None:
    """What was taken over in a pass was promoted in the Release that is followed, has soaked there, and was not rejected here.

    Raises:
        AssertionError: it was not, or it was taken over while a rollout was on or while a person held that.
    """
    before, after, view = made.snapshot.status, made.plan.status, made.snapshot.following
    if after.followed is None or (before.followed is not None and after.followed.images == before.followed.images):
        return
    assert view is not None
    upstream = view.upstream
    assert upstream.exists
    assert not upstream.rolling_back
    assert upstream.promoted_at is not None
    assert now >= upstream.promoted_at + view.soak, "a version was taken over before its time"
    assert dict(upstream.images) == after.followed.images
    assert after.rollout is None, "a version was taken over while a rollout was on"
    resumed = after.handled_request != before.handled_request or after.carried_out != before.carried_out
    assert before.followed is None or before.followed.held is None or resumed, "a version was taken over while a person held that"
    assert view.names.isdisjoint(entry.revision for entry in after.rejected), "a rejected version was taken over again"


def check(made: Pass, now: datetime, handover: Handover | None) -> None:
    """Check a pass.

    Raises:
        AssertionError: something rose past a barrier, or went away later than it would have without any.
    """
    governance, before, after = made.snapshot.governance, made.snapshot.status, made.plan.status
    _taken_over(made, now)
    free = ungoverned(made.snapshot)
    if free == made.snapshot:
        return
    for closed, what in ((frozen(governance, now), "during a freeze"), (shut(in_force(made), now), "while windows were shut")):
        if closed:
            assert after.weight <= before.weight, f"a weight rose {what}"
            assert before.rollout is not None or after.rollout is None, f"a rollout began {what}"
    if before.rollout is None and after.rollout is not None and after.candidate is not None:
        again = after.candidate.revision in (before.served or ())
        assert again or all(proved(after_view, made, now) for after_view in governance.upstreams), "a version began without proof"
    without = decide(free, now, handover)
    undone = without.status.rollout.undo if without.status.rollout is not None else None
    if undone is not None:
        assert after.rollout is not None
        assert after.rollout.undo is undone, "a rollback waited for governance"
        assert without.away == made.plan.away, "governance kept traffic on its way out"
        assert without.actions == made.plan.actions, "governance changed how a rollback goes"
