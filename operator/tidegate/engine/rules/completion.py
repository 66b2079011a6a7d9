"""The rules that end a rollout: promotion, and what is left to do after it was undone."""

from __future__ import annotations

from datetime import datetime

from tidegate.api.edits import edited
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.status import GateStatus, LastRollout, Outcome, RevisionStatus
from tidegate.engine import transitions as happened
from tidegate.engine.draft import Draft, silence
from tidegate.engine.snapshot import Owner, ReplicaSetView, RouteStage, Warm
from tidegate.engine.targets import off_course, targets_of_candidate
from tidegate.engine.waits import CHANGED, MOMENT, Ruling, Wait, Waiting

_ADOPTED = Waiting(Wait.ADOPTED, "for the Deployment to adopt the new ReplicaSet")


def adoption_waits(draft: Draft) -> Waiting | None:
    """Return what must happen before the Deployment can adopt the new ReplicaSet; None where nothing must."""
    workload, canary = draft.workload, draft.canary_set
    if workload is None or canary is None or canary.owner is not Owner.RELEASE:
        return Waiting(Wait.REPLICA_SET, f"for the ReplicaSet of {draft.candidate.version}")
    user = draft.snap.user_service
    traffic = draft.snap.release.spec.traffic
    unpinned = traffic is not None and traffic.pin_service and (user is None or user.revision != canary.revision)
    twins = [rs for rs in workload.replica_sets if rs.owner is Owner.DEPLOYMENT and rs.revision in _same(draft, canary)]
    strange = user is not None and not user.selects
    conditions = (
        (strange, Wait.OTHERS_SERVICE, f"for Service {user.name if user else ''} to select the Deployment's pods"),
        (not workload.paused, Wait.HELD_FOR_ADOPTION, "for the Deployment to be held"),
        (not workload.observed, Wait.OBSERVED, "for the Deployment controller to observe the Deployment"),
        (not draft.own_is(canary.revision), Wait.TEMPLATE_WRITTEN, "for the Deployment to have the template of the new version"),
        (bool(twins), Wait.TWIN, "for a duplicate ReplicaSet of the same template to be deleted"),
        (
            canary.wanted != workload.replicas or canary.available < workload.replicas,
            Wait.ALL_PODS,
            f"for all pods of the new version to be available ({canary.available} of {workload.replicas})",
        ),
        (
            not draft.routes_carry(100) or any(route.warm is not None for route in draft.routes),
            Wait.FULL_ROUTE,
            silence(draft.snap.routes) or "for the route to carry 100%",
        ),
        (
            not _stable_drained(draft),
            Wait.STABLE_DRAINED,
            f"for the last requests of {draft.stable.version} to end: one in 10,000 was kept for it until now",
        ),
        (unpinned, Wait.SERVICE_PINNED, "for the Service to select the new version"),
    )
    return next((Waiting(wait, words) for missing, wait, words in conditions if missing), None)


def _stable_drained(draft: Draft) -> bool:
    """Whether requests have ended that came to stable while it was kept warm beside all the traffic of the new version."""
    seen = [draft.route_seen(route) for route in draft.routes if route.warms]
    return all(moment is not None and draft.reached(moment + draft.spec.drain) for moment in seen)


def _same(draft: Draft, canary: ReplicaSetView) -> set[str]:
    workload = draft.workload
    assert workload is not None
    names = {workload.template.revision, *workload.template.twins}
    return names - {canary.revision} if canary.revision in names else set()


def promotion_is_done(draft: Draft) -> Ruling:
    """The Deployment has adopted the pods, the old ones are gone, and the routes are as the user wrote them."""
    workload, canary, old = draft.workload, draft.canary_set, draft.stable_set
    if workload is None or not draft.committed or canary is None:
        return adoption_waits(draft) or _ADOPTED
    if canary.owner is not Owner.DEPLOYMENT:
        return _ADOPTED
    if old is not None and (old.wanted > 0 or old.current > 0):
        return Waiting(Wait.OLD_PODS, f"for the pods of {draft.stable.version} to stop")
    if (waiting := routes_return(draft)) is not None:
        return waiting
    if workload.paused and draft.own_is(canary.revision) and not draft.snap.keep_held and not draft.deleting:
        return Waiting(Wait.RELEASED, "for the Deployment to be released")
    assert draft.status.candidate is not None
    stable = RevisionStatus(revision=canary.revision, version=draft.status.candidate.version)
    targets = targets_of_candidate(draft)
    record_end(draft, Cause.PROMOTED, _why_promoted(draft))
    draft.set(stable=stable, stable_targets=targets)
    return CHANGED


def _why_promoted(draft: Draft) -> str:
    """Return why a version was promoted: a person who has asked for it answers for what no step and no gate has."""
    if not draft.rollout.skip_to_end:
        return "all steps passed"
    request = draft.status.handled_request or ""
    by = f" ({request})" if request.startswith("promote/") else ""
    unconvinced = [
        f"{state.name} ({state.verdict})" for state in draft.status.gates if state.verdict is not Verdict.PASS and not state.clear
    ]
    said = f"; not passed: {', '.join(unconvinced)}" if unconvinced else ""
    return f"full promotion was requested{by}, which skips steps and gates{said}"


def undo_is_done(draft: Draft) -> Ruling:
    """The pods of the new version are gone; the routes are as the user wrote them, unless a newer version needs them at once."""
    canary, undo = draft.canary_set, draft.rollout.undo
    assert undo is not None
    if has_pods(canary):
        silent = _router_silent(draft) if drained(draft) is None else None
        return silent or Waiting(Wait.NEW_PODS, f"for the pods of {draft.candidate.version} to stop")
    next_one = undo is Cause.SUPERSEDED and draft.workload is not None and not draft.deleting
    # A route that cannot go back, for the Service leads elsewhere, stays where stable serves: that is no reason to undo for ever.
    stays = next_one or (off_course(draft) and draft.routes_are_shut())
    if not stays and (waiting := routes_return(draft)) is not None:
        return waiting
    record_end(draft, undo, draft.rollout.undo_message)
    return CHANGED


def has_pods(rs: ReplicaSetView | None) -> bool:
    """Whether a ReplicaSet that the operator or the Deployment scales has pods, or is to have some."""
    return rs is not None and rs.owner is not Owner.OTHER and (rs.wanted > 0 or rs.current > 0)


def routes_return(draft: Draft) -> Waiting | None:
    """Return that some routes are not as the user wrote them; None where all are."""
    waiting = [route.name for route in draft.routes if route.stage is not RouteStage.USER or not route.uniform]
    if not waiting:
        return None
    return _router_silent(draft) or Waiting(Wait.ROUTES_BACK, f"for HTTPRoute {', '.join(waiting)} to be restored")


def _router_silent(draft: Draft) -> Waiting | None:
    """Return that parents of routes which are not in force as they are have said nothing of them; None where that is not so."""
    words = silence(route for route in draft.routes if draft.route_seen(route) is None)
    began = draft.rollout.undo_since if draft.undoing else None
    if not words or (began is not None and not draft.reached(began + MOMENT)):
        return None
    return Waiting(Wait.ROUTER_SILENT, words)


def drained(draft: Draft) -> datetime | None:
    """Return from when on pods that are to have no traffic may stop; None while a router has not taken the weight away."""
    began = draft.rollout.undo_since or draft.rollout.started_at
    if not draft.routed or (draft.rollout.exposed_at is None and draft.rollout.warmed_at is None):
        return began
    moments = [began]
    for route in draft.routes:
        seen = draft.route_seen(route)
        if seen is None or ((route.weight > 0 or route.warm is Warm.CANARY) and route.stage is RouteStage.SPLIT):
            return None
        moments.append(seen)
    # A tool may write a route back for ever: whichever way it leads then, it does not lead to them.
    kept_out = draft.rollout.written_over and _is_pinned_to_stable(draft)
    return max(*moments, began + draft.spec.drain) if kept_out else max(moments) + draft.spec.drain


def _is_pinned_to_stable(draft: Draft) -> bool:
    user, stable = draft.snap.user_service, draft.status.stable
    return draft.undoing and user is not None and stable is not None and user.revision == stable.revision


def _at_the_end(state: GateStatus) -> GateStatus:
    """Return a gate as people want to read it afterwards: no test goes on from here."""
    if state.evidence is None:
        return state
    return edited(state, evidence=edited(state.evidence, state=""))


_OUTCOMES = {
    Cause.PROMOTED: Outcome.PROMOTED,
    Cause.SUPERSEDED: Outcome.SUPERSEDED,
    Cause.REVERTED: Outcome.REVERTED,
}


def record_end(draft: Draft, cause: Cause, message: str) -> None:
    """Write into the status how the rollout that is on ended, and that none is on any more."""
    rollout, candidate = draft.rollout, draft.candidate
    outcome = _OUTCOMES.get(cause, Outcome.ROLLED_BACK)
    assert draft.status.candidate is not None
    last = LastRollout(
        version=draft.status.candidate.version,
        revision=candidate.revision,
        outcome=outcome,
        cause=cause,
        message=message,
        started_at=rollout.started_at,
        finished_at=draft.now,
        gates=tuple(_at_the_end(state) for state in draft.status.gates),
    )
    draft.note(happened.Ended(candidate.version, draft.stable.version, outcome, cause, message))
    draft.set(last_rollout=last, rollout=None, candidate=None, step=None, weight=0, gates=(), phase=Phase.IDLE)
