"""The rules for what is noted of routes and of the user's Service, so that both can be restored whatever comes."""

from __future__ import annotations

from tidegate.engine.draft import Draft
from tidegate.engine.facts import pins, routes_return, split_wanted
from tidegate.engine.snapshot import RouteStage
from tidegate.engine.waits import CHANGED, Ruling


def originals_are_noted(draft: Draft) -> Ruling:
    """Whatever a person wrote into a route last is what the route is put back to."""
    written = {(route.kind.label, route.name): route.originals for route in draft.routes if route.originals}
    kept = (rule for rule in draft.status.original_rules if (rule.of_kind, rule.route) not in written)
    fresh = (*kept, *(rule for rules in written.values() for rule in rules))
    order = tuple(sorted(fresh, key=lambda rule: (rule.of_kind, rule.route, rule.rule)))
    traffic = draft.snap.release.spec.traffic
    service = traffic.service if traffic is not None and order else None
    if (order, service) == (draft.status.original_rules, draft.status.shifted_service):
        return None
    draft.set(original_rules=order, shifted_service=service)
    return CHANGED


def originals_are_dropped(draft: Draft) -> Ruling:
    """No rollout is on and every route is as the user wrote it: there is nothing to put back any more."""
    if not draft.status.original_rules:
        return None
    if (waiting := routes_return(draft)) is not None:
        return waiting
    if draft.our_marks:
        return None
    if draft.snap.release.traffic_later and (draft.snap.stable_service or draft.snap.canary_service):
        return None  # Nobody would find the operator's Services of the old name any more.
    draft.set(original_rules=(), shifted_service=None)
    return CHANGED


def pin_is_noted(draft: Draft) -> Ruling:
    """Which Service is to be pinned stands in the status before it is, and until it is let go of, whatever the spec names."""
    noted, service = draft.status.pinned_service, draft.snap.user_service
    pinned = service is not None and pins(draft, service)
    if noted is None:
        wanted = service.name if service is not None and pinned else None
        draft.set(pinned_service=wanted)
        return CHANGED if wanted is not None else None
    current = service if service is not None and service.name == noted else draft.snap.former_service
    let_go = current is None or current.untouched
    if not let_go or (pinned and service is not None and service.name == noted):
        return None
    draft.set(pinned_service=None)
    return CHANGED


def overwriting_is_noted(draft: Draft) -> Ruling:
    """Somebody has written over a route that was split: whoever has done so once may do it while the version is shut out."""
    if draft.rollout.written_over or (draft.step is None and not draft.undoing):
        return None
    if not split_wanted(draft) or all(route.stage is RouteStage.SPLIT and route.uniform for route in draft.routes):
        return None
    draft.set_rollout(written_over=True)
    return CHANGED
