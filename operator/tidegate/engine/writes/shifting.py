"""From the status to writes on routes and Services, one stage at a time.

A data plane learns of routes and of clusters on separate streams: a backend must have stood in the route before it gets weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tidegate.api.names import Cause, Reason
from tidegate.engine import gates, pods
from tidegate.engine import transitions as happened
from tidegate.engine.draft import Draft, leans
from tidegate.engine.facts import is_native, off_course, pins, split_wanted
from tidegate.engine.plan import Action, EnsureService, PinService, Role, ShiftRoute, Write
from tidegate.engine.pods import is_next
from tidegate.engine.snapshot import RouteStage, RouteView, ServiceView, Warm
from tidegate.engine.waits import MOMENT, Inquiry, Wait, Waiting

Move = tuple[RouteStage, int, Warm | None]
"""A stage, the canary's weight, and whose backend is warm besides."""


def route_actions(draft: Draft) -> Iterator[Write]:
    """Yield the writes on the routes."""
    split = split_wanted(draft)
    for route in draft.routes:
        for step in _towards_split(draft, route) if split else _towards_user(draft, route):
            if isinstance(step, tuple):
                stage, weight, warm = step
                yield ShiftRoute(route.ref, stage, weight, route.noted(draft.status.original_rules), warm)
            else:
                yield step


def away(draft: Draft, writes: Iterable[Action]) -> tuple[ShiftRoute, ...]:
    """Return those of the writes that take traffic from the new version."""
    routes = {route.ref: route for route in draft.routes}
    shifts = (write for write in writes if isinstance(write, ShiftRoute))
    return tuple(shift for shift in shifts if shift.stage is RouteStage.SPLIT and _takes(shift, routes[shift.route]))


def _takes(shift: ShiftRoute, route: RouteView) -> bool:
    cools = route.warm is Warm.CANARY and shift.warm is not Warm.CANARY
    return shift.weight < route.weight or (cools and shift.weight <= route.weight)


def _towards_split(draft: Draft, route: RouteView) -> Iterator[Move | Waiting | Inquiry]:
    if route.stage is RouteStage.SPLIT:
        yield from _towards_weight(draft, route)
        return
    if not selects_pods(draft):
        # To a Service of other pods, the way is closed; that it is the wrong one stands in the status.
        return
    if draft.step is None and not draft.undoing and _split_would_harm(draft.snap.user_service):
        # So far nobody has lost anything.
        return
    if not _services_ready(draft):
        yield Waiting(Wait.OWN_SERVICES, "for the operator's own Services to have endpoints", cause=_lasts(draft))
        return
    if draft.step is not None or draft.undoing:
        _notice_correction(draft, route)
        yield from pods.loss_inquiries(draft)
        if (waiting := _unlooked(draft)) is not None:
            yield waiting
        yield RouteStage.SPLIT, draft.status.weight if waiting is None else 0, None
    elif off_course(draft):
        # The user's backend reaches nobody: there is nothing to lose by haste.
        yield RouteStage.SPLIT, 0, None
    elif route.stage is RouteStage.USER or not route.uniform:
        yield RouteStage.ENTERING, 0, Warm.STABLE if route.warms and _stable_answers(draft) else None
    elif draft.warmed_up(route):
        yield RouteStage.SPLIT, 0, Warm.USER if route.warms else None


def _towards_weight(draft: Draft, route: RouteView) -> Iterator[Move | Waiting | Inquiry]:
    """Yield the weight for a route that is split; it falls at once, and rises only by what this process knows."""
    weight, warm = draft.status.weight, _warm_in_split(draft, route)
    if not route.uniform:
        _notice_correction(draft, route)
    if leans(route, weight) and route.warm is warm:
        return
    if weight > route.weight:
        yield from pods.loss_inquiries(draft)
        if (waiting := _unlooked(draft)) is not None:
            yield waiting
            return
        if not selects_pods(draft):
            return
    yield RouteStage.SPLIT, weight, warm


def _warm_in_split(draft: Draft, route: RouteView) -> Warm | None:
    """Return whose backend is to be known to a data plane that leaves out those of weight 0: what gets weight next, or may.

    Only what has ready endpoints is kept warm, and a version that is undone never.
    """
    if not route.warms or not draft.climbing:
        return None
    if draft.status.weight == 100:
        return Warm.STABLE if _stable_answers(draft) else None
    if draft.step is None:
        # The way in: the user's backend is let go of once the data plane has what has taken its place.
        return Warm.USER if route.warm is Warm.USER and not draft.warmed_up(route) else None
    return Warm.CANARY if is_next(draft) and selects_pods(draft) else None


def _stable_answers(draft: Draft) -> bool:
    service = draft.snap.stable_service
    return service is not None and service.endpoints > 0 and _selects(service, draft.stable.revision)


def _unlooked(draft: Draft) -> Waiting | None:
    """Return that the process before this one may have shut a route for something that it could not say any more."""
    return pods.loss_unlooked(draft) or gates.unlooked(draft)


def _lasts(draft: Draft) -> bool:
    """Whether the route is waited for so long already that what it lacks is no matter of the moment."""
    since = draft.rollout.route_awaited
    return since is not None and draft.reached(since + MOMENT)


def _split_would_harm(service: ServiceView | None) -> bool:
    """Whether other workloads would lose their share, or requests what is bound to the Service by its name."""
    return service is not None and (service.alone is False or service.followed is False)


def _notice_correction(draft: Draft, route: RouteView) -> None:
    draft.note(happened.RouteCorrected(route.ref))


def _towards_user(draft: Draft, route: RouteView) -> Iterator[Move | Waiting | Inquiry]:
    at_rest = leans(route, draft.status.weight) and route.warm in {None, Warm.USER}
    if route.stage is RouteStage.SPLIT and draft.active and not at_rest:
        yield RouteStage.SPLIT, draft.status.weight, None
        return
    match route.stage:
        case RouteStage.USER | RouteStage.ENTERING if not route.uniform:
            # A hand has put some of its rules back. At 16 backends a rule has no room for ours.
            to = RouteStage.USER if draft.patience_is_over() else RouteStage.ENTERING
            yield from _to_the_user(draft, (to, 0, None))
        case RouteStage.USER:
            if route.our_marks:
                yield RouteStage.USER, 0, None
        case RouteStage.SPLIT if not route.uniform:
            # The user's backend may be missing: it comes back without weight first.
            yield RouteStage.SPLIT, round(route.weight), None
        case RouteStage.SPLIT:
            if draft.warmed_up(route):
                yield from _to_the_user(draft, _out_of_split(draft, route))
        case RouteStage.ENTERING:
            if draft.warmed_up(route):
                yield RouteStage.USER, 0, None


def _out_of_split(draft: Draft, route: RouteView) -> Move:
    """Return the form by which the user's backend gets its weight back, or that by which its data plane knows it before."""
    at_once = draft.patience_is_over() or (draft.undoing and draft.rollout.undo is Cause.SPLIT)
    if not route.warms or at_once:
        return RouteStage.ENTERING, 0, None
    if route.warm is not Warm.USER:
        return RouteStage.SPLIT, round(route.weight), Warm.USER
    return RouteStage.ENTERING, 0, Warm.CANARY if route.weight >= 50 else Warm.STABLE


def _to_the_user(draft: Draft, move: Move) -> Iterator[Move | Waiting | Inquiry]:
    """Yield the way back to the user's Service, or what it waits for: it has to be there and to have the endpoints that serve."""
    if (waiting := _user_service_waits(draft)) is not None:
        yield waiting
        return
    if not _user_service_is_pinned_right(draft):
        return
    if draft.snap.user_service is not None:
        yield Inquiry.ENDPOINTS
        if (waiting := _endpoints_wait(draft, draft.snap.user_service)) is not None:
            yield waiting
            return
    yield move


def _user_service_waits(draft: Draft) -> Waiting | None:
    """Return what is waited for until the user's Service is there and can lead to what serves."""
    user = draft.snap.user_service
    if (away := off_course(draft)) and not draft.patience_is_over():
        return Waiting(Wait.SERVICE_ASTRAY, f"for the Service or the template to be changed: {away}", cause=True)
    if user is None and not draft.deleting:
        return Waiting(Wait.SERVICE_GONE, "for the Service to be created again", cause=True)
    if user is None or not is_to_be_pinned(draft, user):
        return None
    serving = _serving(draft)
    if user.revision != serving and serving is not None and not _finds_pods(draft, user, serving):
        return Waiting(Wait.PINNABLE, f"for ready pods that Service {user.name} can be pinned to", cause=True)
    return None


def _user_service_is_pinned_right(draft: Draft) -> bool:
    """Whether nothing is to be written into the user's Service before requests go through it; it is written in the same pass."""
    user = draft.snap.user_service
    if user is not None and is_to_be_pinned(draft, user):
        return user.revision == _serving(draft)
    unpinned = user is None or user.revision is None
    # What is left to be done may be no more than to erase our mark.
    pins = (write for write in pin_actions(draft) if isinstance(write, PinService))
    return all(pin.former or (pin.revision is None and unpinned) for pin in pins)


def _endpoints_wait(draft: Draft, user: ServiceView) -> Waiting | None:
    """Return that the user's Service lacks endpoints that serve: their controller may be behind, and requests would find none."""
    serving = draft.canary_arm if draft.committed else draft.stable_arm
    nobody = user.endpoints == 0 and serving is not None and serving.ready > 0
    if (user.missing_endpoints == 0 and not nobody) or (user.missing_endpoints is not None and draft.patience_is_over()):
        at_once = draft.patience_is_over() or (draft.undoing and draft.rollout.undo is Cause.SPLIT)
        if at_once or not (user.ending or (draft.committed and _reaches_the_old(draft))):
            return None
        whose = (
            "the stopping pods"
            if not draft.active
            else f"the stopping pods of {(draft.stable if draft.committed else draft.candidate).version}"
        )
        words = f"for {whose} to leave the endpoints of Service {user.name}"
        return Waiting(Wait.OLD_ENDPOINTS, words, cause=True)
    why = f": {user.gap}" if user.gap else ""
    words = f"for Service {user.name} to have the endpoints that serve{why}"
    return Waiting(Wait.SERVICE_ENDPOINTS, words, cause=user.missing_endpoints is not None)


def _reaches_the_old(draft: Draft) -> bool:
    """Whether pods that are to stop are still endpoints: of the user's Service, too, and they may not answer on its port."""
    service = draft.snap.stable_service
    return service is not None and service.revision == draft.stable.revision and service.endpoints + service.portless > 0


def _selects(service: ServiceView | None, revision: str) -> bool:
    return service is not None and service.revision == revision and service.current


def _services_ready(draft: Draft) -> bool:
    """Whether the operator's Services can stand in for the user's: without stable pods to be reached, neither has endpoints.

    That holds only for a Service that selects the workload's pods: of any other, the pods are none of the workload's.
    """
    stable, old = draft.snap.stable_service, draft.stable_arm
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
    """Whether the user's Service selects the pods of the workload, as far as there are both."""
    return draft.snap.user_service is None or draft.snap.user_service.selects


def is_to_be_pinned(draft: Draft, service: ServiceView) -> bool:
    """Whether the user's Service is to be pinned, there is a version to pin it to, and no other workload's pods are selected."""
    return pins(draft, service) and service.alone is not False and draft.status.stable is not None


def pin_actions(draft: Draft) -> Iterator[PinService | Inquiry]:
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
            if service.revision is None:
                yield Inquiry.SELECTED
            if service.revision is not None or service.alone:
                yield PinService(serving)
        return
    ours = {draft.stable.revision, draft.candidate.revision if draft.active else draft.stable.revision}
    pinned = service.revision in ours or (noted and service.revision is not None)
    if (pinned or (service.our_marks and service.revision is None)) and not (service.selects and split_wanted(draft)):
        yield PinService(None)


def watched(draft: Draft) -> frozenset[Inquiry]:
    """Return what has to be read of the user's Service as long as it matters if a split of it would do harm.

    It does while requests are split or may be soon, and as long as it stands in the status that it would.
    """
    service = draft.snap.user_service
    if service is None or not service.selects or draft.deleting:
        return frozenset()
    split = draft.reversible
    told = {condition.reason for condition in draft.status.conditions}
    read = {Reason.SHARED_SERVICE: Inquiry.SELECTED, Reason.BOUND_BY_NAME: Inquiry.BOUND}
    return frozenset(inquiry for reason, inquiry in read.items() if split or reason in told)


def _finds_pods(draft: Draft, service: ServiceView, revision: str) -> bool:
    """Whether a Service that is pinned to a revision would have endpoints; one scaled to 0 has none, pinned or not."""
    workload = draft.workload
    rs = workload.arm(revision) if workload is not None else None
    if workload is None or revision in service.misses:
        return False
    return workload.replicas == 0 or (rs is not None and rs.ready > 0)


def _serving(draft: Draft) -> str | None:
    """Return the revision that callers past the routes are to get; None while the workload rolls by itself."""
    if is_native(draft):
        return None
    taking_over = draft.promoting and (draft.committed or draft.routes_carry(100))
    return draft.candidate.revision if taking_over else draft.stable.revision
