"""Questions about a draft that several ask: rules, writes and the report. Each has one answer, and changes nothing."""

from __future__ import annotations

from datetime import datetime

from tidegate.api.base import MOST_TOLD, and_more
from tidegate.api.decided import RejectedStatus
from tidegate.api.names import Cause, Condition, Reason
from tidegate.api.originals import TargetsStatus
from tidegate.api.status import (
    PauseStatus,
    RevisionStatus,
)
from tidegate.engine.draft import Draft, apart, silence
from tidegate.engine.migrations import is_prepared
from tidegate.engine.pods import needed
from tidegate.engine.route import labels
from tidegate.engine.snapshot import Arm, Blocker, RouteStage, ServiceView, Warm
from tidegate.engine.waits import MOMENT, Wait, Waiting


def rejection(draft: Draft) -> RejectedStatus | None:
    """Return the rejection of the wanted template, None where it was not rejected.

    A restart does not make another version of it, so a template that differs in nothing but restartedAt stays rejected.
    """
    if draft.workload is None:
        return None
    template = draft.workload.template
    names = {template.revision, template.new_revision, *template.duplicates}
    stable = draft.status.stable
    if stable is None or not (draft.wants(stable.revision) or stable.revision in template.restart_of):
        names.update(template.restart_of)
    return next((entry for entry in draft.status.rejected if entry.revision in names), None)


def wanted_name(draft: Draft) -> str:
    """Return the name of the version that the template is of."""
    assert draft.workload is not None
    template = draft.workload.template
    return apart(RevisionStatus(revision=template.revision, version=template.version), draft.status.stable).version


def is_native(draft: Draft) -> bool:
    """Whether the wanted template is the workload's own affair: nothing is to be protected, or it is a restart only."""
    workload = draft.workload
    if workload is None or draft.active or draft.deleting:
        return False
    if draft.status.stable is None:
        return draft.handover.starts_by_itself(draft)
    if draft.wants(draft.stable.revision) or rejection(draft) is not None:
        return False
    return draft.handover.restarts is not None and draft.stable.revision in workload.template.restart_of


def rolls_natively(draft: Draft) -> bool:
    """Whether the workload may roll its template out by itself now: no route is bound to the pods that it stops."""
    return is_native(draft) and draft.routes_back


def pins(draft: Draft, service: ServiceView) -> bool:
    """Whether the user's Service, if it is the workload's, is to be pinned.

    It is where its user wants that, and where the routes go back to it while pods are there that were shut out.
    """
    traffic = draft.snap.release.spec.traffic
    if traffic is None or draft.deleting or not service.selects:
        return False
    return traffic.pin_service or _shut_out(draft)


def _shut_out(draft: Draft) -> bool:
    """Whether a version that may get no request has pods, which the user's Service would find, and the routes lead to that.

    They do where the split itself did harm; and may at any time where somebody has written over a route, as tools do again and
    again, or where a tool has left its mark on one.
    """
    if not draft.undoing or not has_pods(draft.canary_arm):
        return False
    applied = any(route.applied for route in draft.routes)
    return draft.rollout.undo is Cause.SPLIT or bool(draft.rollout.written_over) or applied


def leads_past(draft: Draft, *, cure: bool = False) -> str:
    """Say which routes lead to the user's Service past the steps; empty where none does, or the Service is kept on what serves.

    Args:
        draft: the decision.
        cure: whether to say what helps.
    """
    service, traffic = draft.snap.user_service, draft.snap.release.spec.traffic
    if service is None or traffic is None or traffic.pin_service or not service.past:
        return ""
    first = service.past[:MOST_TOLD]
    names = labels(first) + and_more(len(service.past))
    words = f"; requests by {names} bypass the steps: they go to Service {service.name}, so to pods of both versions"
    where = first[0].kind
    return f"{words}; name it in {where.field}.{where.names}, or set spec.traffic.pinService" if cure else words


def _told(draft: Draft) -> list[Blocker]:
    """What was said of harm that a split would do holds until that is read again, as after a restart of the operator."""
    service = draft.snap.user_service
    if service is None:
        return []
    unknown = {Reason.SHARED_SERVICE: service.alone is None, Reason.BOUND_BY_NAME: service.followed is None}
    said = (c for c in draft.status.conditions if c.type == Condition.STALLED and c.status == "True")
    return [Blocker(reason, c.message) for c in said for reason in unknown if c.reason == reason and unknown[reason]]


def obstacles(draft: Draft) -> list[Blocker]:
    """Return what is missing before a rollout can start or a route can be shifted."""
    snap, spec = draft.snap, draft.snap.release.spec
    found = list(snap.blockers)
    if draft.workload is None:
        found.append(
            Blocker(Reason.MISSING_WORKLOAD, f"spec.targetRef: {draft.handover.kind} {spec.target_ref.name} was not found")
        )
    if snap.policy is None and not draft.active:
        ref = spec.policy_ref
        found.append(Blocker(Reason.MISSING_POLICY, f"spec.policyRef: {ref.kind} {ref.name} was not found or is not valid"))
    if spec.traffic is None:
        return found
    found += _told(draft)
    if snap.user_service is None:
        where = "status.shiftedService" if snap.release.traffic_later else "spec.traffic.service"
        found.append(Blocker(Reason.MISSING_SERVICE, f"{where}: Service {spec.traffic.service} was not found"))
    for route in snap.routes:
        if not route.exists:
            found.append(Blocker(Reason.MISSING_ROUTE, f"{route.kind.field}: {route.label} was not found"))
        elif not route.matches:
            words = f"{route.kind.field}: no rule of {route.label} names Service {spec.traffic.service}"
            found.append(Blocker(Reason.MISSING_ROUTE, words))
        elif route.trouble:
            found.append(Blocker(Reason.ROUTE_NOT_ACCEPTED, f"{route.label}: {route.trouble}"))
    return found


def promotion_waits(draft: Draft) -> Waiting | None:
    """Return what must happen before the workload can take the new version over; None where nothing must."""
    workload, canary = draft.workload, draft.canary_arm
    if workload is None or canary is None or canary.foreign:
        return Waiting(Wait.REPLICA_SET, f"for the {draft.handover.arm} of {draft.candidate.version}")
    user, is_drained = draft.snap.user_service, _stable_drained(draft)  # Its time may come while all else is waited for.
    if user is not None and not user.selects:
        return Waiting(Wait.OTHERS_SERVICE, f"for Service {user.name} to select the {draft.handover.kind}'s pods")
    if (waiting := draft.handover.unready(draft)) is not None:
        return waiting
    traffic = draft.snap.release.spec.traffic
    unpinned = traffic is not None and traffic.pin_service and (user is None or user.revision != canary.revision)
    conditions = (
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
            not is_drained,
            Wait.STABLE_DRAINED,
            f"for the last requests of {draft.stable.version} to end: it got one request in 10,000 until now",
        ),
        (unpinned, Wait.SERVICE_PINNED, "for the Service to select the new version"),
    )
    return next((Waiting(wait, words) for missing, wait, words in conditions if missing), None)


def routes_return(draft: Draft) -> Waiting | None:
    """Return that some routes are not as the user wrote them; None where all are."""
    waiting = [route for route in draft.routes if route.stage is not RouteStage.USER or not route.uniform]
    if not waiting:
        return None
    return router_silent(draft) or Waiting(Wait.ROUTES_BACK, f"for {labels(waiting)} to be restored")


def router_silent(draft: Draft) -> Waiting | None:
    """Return that parents of routes which are not in force as they are have said nothing of them; None where that is not so."""
    words = silence(route for route in draft.routes if draft.route_seen(route) is None)
    began = draft.rollout.undo_since if draft.undoing else None
    if not words or (began is not None and not draft.reached(began + MOMENT)):
        return None
    return Waiting(Wait.ROUTER_SILENT, words)


def has_pods(arm: Arm | None) -> bool:
    """Whether an arm that the operator or the workload scales has pods, or is to have some."""
    return arm is not None and (arm.wanted > 0 or arm.current > 0) and not arm.foreign


def serves(draft: Draft, arm: Arm) -> bool:
    """Whether an arm is that of the version in force."""
    return draft.status.stable is not None and arm.revision == draft.stable.revision


def pods_wanted(draft: Draft) -> int | None:
    """Return the pods that the new version is to have; None to leave it as it is until its traffic has gone elsewhere."""
    if draft.step is not None and not draft.undoing:
        return needed(draft)
    moment = drained(draft)
    if moment is None:
        return None
    return 0 if draft.reached(moment) else None


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


def is_to_be_seen_anew(draft: Draft) -> bool:
    """Whether stable has changed in this decision, and what was seen of the Service had something against the version before."""
    service = draft.snap.user_service
    return is_new_in_force(draft) and service is not None and bool(service.astray or service.diverted)


def off_course(draft: Draft) -> str:
    """Return why the user's Service does not lead to stable's pods, in words; empty where it does, or is meant to lead elsewhere.

    Where the template is stable's, what the Service says is what its people want of stable.
    """
    service = draft.snap.user_service
    if service is None or draft.status.stable is None or draft.committed or is_new_in_force(draft):
        return ""
    why = service.astray
    if not why and (draft.active or not draft.wants(draft.stable.revision)):
        why = service.diverted
    return f"Service {service.name} does not reach the pods of {draft.stable.version}: {why}" if why else ""


def is_new_in_force(draft: Draft) -> bool:
    """Whether stable has changed in this decision: what was seen of the Service speaks of the version before."""
    seen, stable = draft.snap.status.stable, draft.status.stable
    return stable is not None and (seen is None or seen.revision != stable.revision)


def targets_of_candidate(draft: Draft) -> TargetsStatus | None:
    """Return what is to be known of the ports once the new version is stable: what its pods have answered on so far."""
    user, canary = draft.snap.user_service, draft.snap.canary_service
    ports = canary.targets if canary is not None and canary.targets is not None else user.targets if user is not None else None
    return TargetsStatus(service=user.name, ports=ports) if user is not None and ports is not None else None


def whom_it_asks(paused: PauseStatus) -> str:
    """Return what a pause waits for, in words."""
    if paused.ask:
        return f"waits for {' and '.join(paused.ask)} to resume, promote or roll back"
    return "waits for a request to resume, promote or roll back"


def _stable_drained(draft: Draft) -> bool:
    """Whether requests have ended that came to stable while it was kept warm beside all the traffic of the new version."""
    seen = [draft.route_seen(route) for route in draft.routes if route.warms]
    return all(moment is not None and draft.reached(moment + draft.spec.drain) for moment in seen)


def split_wanted(draft: Draft) -> bool:
    """Whether the routes have to tell the two versions apart: both have pods, or are about to."""
    if not draft.active:
        return False
    if draft.committed:
        return not draft.handover.adopted(draft) or has_pods(draft.stable_arm)
    # What the split itself does is over only when the routes are as their user wrote them.
    return has_pods(draft.canary_arm) and draft.rollout.undo is not Cause.SPLIT if draft.undoing else is_prepared(draft)
