"""What was put back keeps no mark of ours, also where the pass that put it back got no further."""

from __future__ import annotations

from dataclasses import replace

from simulation.policies import idle
from simulation.views import at
from tidegate.engine.decide import decide
from tidegate.engine.plan import PinService, SetFinalizer, ShiftRoute
from tidegate.engine.route import RouteRef
from tidegate.engine.snapshot import RouteStage, Snapshot
from tidegate.traffic.httproute import KIND


def marked(snapshot: Snapshot, *, route: bool = False, service: bool = False) -> Snapshot:
    """Return what is seen where our mark is on the route, or on the user's Service."""
    routes = tuple(replace(one, our_marks=route) for one in snapshot.routes)
    assert snapshot.user_service is not None
    return replace(snapshot, routes=routes, user_service=replace(snapshot.user_service, our_marks=service))


def test_mark_on_a_route_is_erased():
    """A route that is as the user wrote it is brought to that stage once more, which erases the mark."""
    world = idle()

    plan = decide(marked(world.snapshot(), route=True), at(world.now))

    shifts = [action for action in plan.actions if isinstance(action, ShiftRoute)]
    assert shifts == [ShiftRoute(RouteRef(KIND, "web"), RouteStage.USER, 0, ())]


def test_mark_on_the_service_is_erased():
    """The same for the user's Service, which was pinned once."""
    world = idle()

    plan = decide(marked(world.snapshot(), service=True), at(world.now))

    assert PinService(None) in plan.actions


def test_release_is_not_let_go_before():
    """A Release that is being deleted stays until its mark is gone: after it nobody would erase it."""
    world = idle()
    world.delete()
    snapshot = world.snapshot()

    plan = decide(marked(snapshot, route=True), at(world.now))

    assert SetFinalizer(present=False) not in plan.actions
    assert SetFinalizer(present=False) in decide(snapshot, at(world.now)).actions
