"""From the status to writes on routes and Services, one stage at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from tidegate.api.names import Cause, EventReason, Reason
from tidegate.engine import gates, losses
from tidegate.engine.draft import Draft, carries
from tidegate.engine.endings import has_pods
from tidegate.engine.plan import Action, EnsureService, PinService, Role, ShiftRoute
from tidegate.engine.snapshot import Owner, RouteStage, RouteView, ServiceView
from tidegate.engine.standing import is_native, pins
from tidegate.engine.targets import off_course
from tidegate.engine.waits import MOMENT, Wait

Move = tuple[RouteStage, int] | None


def route_actions(draft: Draft) -> Iterator[Action]:
    """Yield the writes on the routes."""
    split = split_wanted(draft)
    for route in draft.routes:
        move = _towards_split(draft, route) if split else _towards_user(draft, route)
        if move is not None:
            originals = tuple(rule for rule in draft.status.original_rules if rule.route == route.name)
            yield ShiftRoute(route.name, *move, originals)


def away(draft: Draft, writes: Iterable[Action]) -> tuple[ShiftRoute, ...]:
    """Return those of the writes that take traffic from the new version."""
    routes = {route.name: route for route in draft.routes}
    shifts = (write for write in writes if isinstance(write, ShiftRoute))
    return tuple(shift for shift in shifts if shift.stage is RouteStage.SPLIT and shift.weight < routes[shift.route].weight)


def split_wanted(draft: Draft) -> bool:
    """Whether the routes have to tell the two versions apart: both have pods, or are about to."""
    if not draft.active:
        return False
    if draft.committed:
        adopted = draft.canary_set is not None and draft.canary_set.owner is Owner.DEPLOYMENT
        return not adopted or has_pods(draft.stable_set)
    # What the split itself does is over only when the routes are as their user wrote them.
    return has_pods(draft.canary_set) and draft.rollout.undo is not Cause.SPLIT if draft.undoing else True


def _towards_split(draft: Draft, route: RouteView) -> Move:
    weight = draft.status.weight
    if route.stage is RouteStage.SPLIT:
        if not route.uniform:
            _notice_correction(draft, route)
        more = weight > route.weight
        may = not carries(route, weight) and (not more or (_known_to_be_good(draft) and selects_pods(draft)))
        return (RouteStage.SPLIT, weight) if may else None
    if not selects_pods(draft):
        # To a Service of other pods, the way is closed; that it is the wrong one stands in the status.
        return None
    if draft.step is None and not draft.undoing and _split_would_harm(draft.snap.user_service):
        # So far nobody has lost anything.
        return None
    if not _services_ready(draft):
        draft.wait_for(Wait.OWN_SERVICES, "for the operator's own Services to have endpoints", cause=_lasts(draft))
        return None
    if draft.step is not None or draft.undoing:
        _notice_correction(draft, route)
        return RouteStage.SPLIT, weight if _known_to_be_good(draft) else 0
    if off_course(draft):
        # The user's backend reaches nobody: there is nothing to lose by haste.
        return RouteStage.SPLIT, 0
    if route.stage is RouteStage.USER or not route.uniform:
        return RouteStage.ENTERING, 0
    return (RouteStage.SPLIT, 0) if _warmed_up(draft, route) else None


def overwriting_is_noted(draft: Draft) -> bool:
    """Somebody has written over a route that was split: whoever has done so once may do it while the version is shut out."""
    if not draft.active or draft.committed or draft.rollout.written_over or (draft.step is None and not draft.undoing):
        return False
    if not split_wanted(draft) or all(route.stage is RouteStage.SPLIT and route.uniform for route in draft.routes):
        return False
    draft.set_rollout(written_over=True)
    return True


def _known_to_be_good(draft: Draft) -> bool:
    """Whether this process knows of nothing for which the one before it may have shut a route, and could not say so any more."""
    return losses.looked(draft) and gates.looked(draft)


def _lasts(draft: Draft) -> bool:
    """Whether the route is waited for so long already that what it lacks is no matter of the moment."""
    since = draft.rollout.route_awaited
    if since is None:
        return False
    draft.wake(since + MOMENT)
    return draft.now >= since + MOMENT


def _split_would_harm(service: ServiceView | None) -> bool:
    """Whether other workloads would lose their share, or requests what is bound to the Service by its name."""
    return service is not None and (service.alone is False or service.followed is False)


def _notice_correction(draft: Draft, route: RouteView) -> None:
    draft.notice(
        EventReason.ROUTE_CORRECTED,
        f"HTTPRoute {route.name}: spec.rules[].backendRefs was overwritten during the rollout and has been restored; "
        "configure your GitOps tool to ignore that field",
        warn=True,
    )


def _towards_user(draft: Draft, route: RouteView) -> Move:
    if route.stage is RouteStage.SPLIT and draft.active and not carries(route, draft.status.weight):
        return RouteStage.SPLIT, draft.status.weight
    match route.stage:
        case RouteStage.USER | RouteStage.ENTERING if not route.uniform:
            # A hand has put some of its rules back. At 16 backends a rule has no room for ours.
            may = _user_service_serves(draft) and _user_service_has_endpoints(draft)
            return (RouteStage.USER if draft.patience_is_over() else RouteStage.ENTERING, 0) if may else None
        case RouteStage.USER:
            return (RouteStage.USER, 0) if route.traces else None
        case RouteStage.SPLIT if not route.uniform:
            # The user's backend may be missing: it comes back without weight first.
            return RouteStage.SPLIT, round(route.weight)
        case RouteStage.SPLIT:
            may = _warmed_up(draft, route) and _user_service_serves(draft) and _user_service_has_endpoints(draft)
            return (RouteStage.ENTERING, 0) if may else None
        case RouteStage.ENTERING:
            return (RouteStage.USER, 0) if _warmed_up(draft, route) else None


def _warmed_up(draft: Draft, route: RouteView) -> bool:
    seen = draft.route_seen(route)
    if seen is None:
        return False
    ready = seen + timedelta(seconds=draft.snap.warm_up)
    draft.wake(ready)
    return draft.now >= ready


def _user_service_serves(draft: Draft) -> bool:
    """Whether the user's Service is there and leads to what serves."""
    if (away := off_course(draft)) and not draft.patience_is_over():
        draft.wait_for(Wait.SERVICE_ASTRAY, f"for the Service or the template to be changed: {away}", cause=True)
        return False
    if draft.snap.user_service is None and not draft.deleting:
        draft.wait_for(Wait.SERVICE_GONE, "for the Service to be there", cause=True)
        return False
    user = draft.snap.user_service
    if user is not None and is_to_be_pinned(draft, user) and user.revision != (serving := _serving(draft)):
        if serving is not None and not _finds_pods(draft, user, serving):
            draft.wait_for(Wait.PINNABLE, f"for pods that Service {user.name} can be pinned to", cause=True)
        return False
    unpinned = user is None or user.revision is None
    # What is left to be done may be no more than to erase our mark.
    return all(action.former or (action.revision is None and unpinned) for action in pin_actions(draft))


def _user_service_has_endpoints(draft: Draft) -> bool:
    """Whether the user's Service has the endpoints that serve: their controller may be behind, and requests would find none."""
    user, serving = draft.snap.user_service, draft.canary_set if draft.committed else draft.stable_set
    if user is None:
        return True
    draft.inquire = True
    nobody = user.endpoints == 0 and serving is not None and serving.ready > 0
    if (user.lacks == 0 and not nobody) or (user.lacks is not None and draft.patience_is_over()):
        at_once = draft.patience_is_over() or (draft.undoing and draft.rollout.undo is Cause.SPLIT)
        if at_once or not (user.ending or (draft.committed and _reaches_the_old(draft))):
            return True
        whose = "the pods" if not draft.active else f"the pods of {(draft.stable if draft.committed else draft.candidate).version}"
        words = f"for Service {user.name} to be without {whose}, which are being stopped"
        draft.wait_for(Wait.OLD_ENDPOINTS, words, cause=True)
        return False
    why = f": {user.gap}" if user.gap else ""
    words = f"for Service {user.name} to have the endpoints that serve{why}"
    draft.wait_for(Wait.SERVICE_ENDPOINTS, words, cause=user.lacks is not None)
    return False


def _reaches_the_old(draft: Draft) -> bool:
    """Whether pods that are to stop are still endpoints: of the user's Service, too, and they may not answer on its port."""
    service = draft.snap.stable_service
    return service is not None and service.revision == draft.stable.revision and service.endpoints + service.portless > 0


def _selects(service: ServiceView | None, revision: str) -> bool:
    return service is not None and service.revision == revision and service.current


def _services_ready(draft: Draft) -> bool:
    """Whether the operator's Services can stand in for the user's: without stable pods to be reached, neither has endpoints.

    That holds only for a Service that selects the Deployment's pods: of any other, the pods are none of the Deployment's.
    """
    stable, old = draft.snap.stable_service, draft.stable_set
    # Where stable's pods lack the port, the user's Service reaches none of them either, and the new version may be the cure.
    served = stable is not None and (stable.endpoints > 0 or stable.portless > 0 or old is None or old.ready == 0)
    return served and _selects(stable, draft.stable.revision) and _selects(draft.snap.canary_service, draft.candidate.revision)


def service_actions(draft: Draft) -> Iterator[Action]:
    """Yield the writes on the operator's own Services, for as long as routes may name them."""
    gone = draft.snap.user_service is None or not selects_pods(draft)
    if gone or draft.status.stable is None or (draft.routes_back and not draft.active):
        return
    if not _selects(draft.snap.stable_service, draft.stable.revision):
        yield EnsureService(Role.STABLE, draft.stable.revision)
    canary = draft.snap.canary_service
    # What the new version's pods have answered on so far they answer on, whatever comes while they are adopted.
    kept = draft.committed and canary is not None and canary.revision == draft.candidate.revision
    if draft.active and not kept and not _selects(canary, draft.candidate.revision):
        yield EnsureService(Role.CANARY, draft.candidate.revision)


def selects_pods(draft: Draft) -> bool:
    """Whether the user's Service selects the pods of the Deployment, as far as there are both."""
    return draft.snap.user_service is None or draft.snap.user_service.selects


def is_to_be_pinned(draft: Draft, service: ServiceView) -> bool:
    """Whether the user's Service is to be pinned, there is a version to pin it to, and no other workload's pods are selected."""
    return pins(draft, service) and service.alone is not False and draft.status.stable is not None


def pin_actions(draft: Draft) -> Iterator[PinService]:
    """Yield the writes on the user's Service: pinned to the version that serves if the user wants that, else as it was."""
    former = draft.snap.former_service
    if former is not None and not former.untouched:
        yield PinService(None, former=True)
    service = draft.snap.user_service
    if service is None or draft.snap.release.spec.traffic is None or draft.status.stable is None:
        return
    noted = draft.status.pinned_service == service.name
    if is_to_be_pinned(draft, service):
        serving = _serving(draft)
        if service.revision != serving and noted and (serving is None or _finds_pods(draft, service, serving)):
            draft.inquire_selected = service.revision is None
            if service.revision is not None or service.alone:
                yield PinService(serving)
        return
    ours = {draft.stable.revision, draft.candidate.revision if draft.active else draft.stable.revision}
    pinned = service.revision in ours or (noted and service.revision is not None)
    if (pinned or (service.traces and service.revision is None)) and not (service.selects and split_wanted(draft)):
        yield PinService(None)


def is_watched(draft: Draft, reason: Reason) -> bool:
    """Whether it matters now if a split of the user's Service would do harm, for a reason that has to be read for.

    It does while requests are split or may be soon, and as long as it stands in the status that it would.
    """
    service = draft.snap.user_service
    if service is None or not service.selects or draft.deleting:
        return False
    refused = any(condition.reason == reason for condition in draft.status.conditions)
    return refused or (draft.active and not draft.committed and not draft.undoing)


def _finds_pods(draft: Draft, service: ServiceView, revision: str) -> bool:
    """Whether a Service that is pinned to a revision would have endpoints; one scaled to 0 has none, pinned or not."""
    workload = draft.workload
    rs = workload.replica_set(revision) if workload is not None else None
    if workload is None or revision in service.misses:
        return False
    return workload.replicas == 0 or (rs is not None and rs.ready > 0)


def _serving(draft: Draft) -> str | None:
    """Return the revision that callers past the routes are to get; None while the Deployment rolls by itself."""
    if is_native(draft):
        return None
    taking_over = draft.promoting and (draft.committed or draft.routes_carry(100))
    return draft.candidate.revision if taking_over else draft.stable.revision
