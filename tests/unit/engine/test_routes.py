"""Routes: one stage at a time, put right when written over, and the user's again afterwards."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from simulation.cluster import CANARY, STABLE, USER, Controller
from simulation.policies import at_weight, events, finish, idle, policy, reach, step
from simulation.views import at, stage_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.api.originals import OriginalRule
from tidegate.api.release import ReleaseSpec, Traffic
from tidegate.api.status import Outcome, ReleaseStatus
from tidegate.engine.decide import decide
from tidegate.engine.plan import Plan, ShiftRoute
from tidegate.engine.routing import traffic_in_force
from tidegate.engine.snapshot import RouteStage
from tidegate.engine.waits import Inquiry

LONG = (step(25, "60s"), step(100))
BOTH = (("checkout", 1), ("legacy", 3))


def test_backends_enter_and_leave_at_weight_zero():
    """The route goes up and down one stage at a time, each in force for the warm-up before the next."""
    world = idle()
    seen: list[tuple[RouteStage, float]] = []

    def watch() -> bool:
        stage = stage_of(world.cluster.routes["web"].in_force)
        if not seen or seen[-1][0] != stage:
            seen.append((stage, world.now))
        return world.status.stable.version == "v2"

    world.apply("v2")
    assert world.crank(120, until=watch)

    up = [RouteStage.USER, RouteStage.ENTERING, RouteStage.SPLIT]
    assert [stage for stage, _ in seen] == up + up[-2::-1]
    times = [time for _, time in seen]
    assert all(later - earlier >= 1.5 for earlier, later in pairwise(times[1:]))


def test_third_backend_keeps_its_share():
    """A backend of the user's that is not the Service keeps its share all along."""
    world = idle(policy(*LONG))
    world.cluster.routes["web"].written = BOTH
    world.resync()
    world.apply("v2")
    reach(world, 25)
    assert dict(world.cluster.routes["web"].backends)["legacy"] == 300

    finish(world)

    assert world.cluster.routes["web"].backends == BOTH


def test_drift_is_put_right_within_a_pass():
    """A route that a GitOps tool writes over mid-rollout is put right in the next pass, and an Event names the field to ignore."""
    world = at_weight(25, policy(*LONG))
    world.resync()
    world.operate()

    assert dict(world.cluster.routes["web"].backends)["checkout-canary"] == 25
    words = "HTTPRoute web: spec.rules[].backendRefs was overwritten during the rollout and has been restored; "
    assert events(world, "RouteCorrected") == [words + "configure your GitOps tool to ignore that field"]


def test_a_tool_that_writes_the_route_back_reaches_no_version_that_was_shut_out():
    """Given a tool that has written over the route once, when v2 is shut out, the Service is pinned to v1 until v2 is gone."""
    world = at_weight(25, policy(*LONG, drain="8s"))
    world.resync()
    reach(world, 25)
    world.ask("rollback/1")
    world.crank(2)
    pods = {pod.id for rs in world.cluster.replica_sets.values() if rs.template.image == "v2" for pod in rs.pods}
    reached: set[int] = set()

    for _ in range(10):
        world.resync()
        world.crank(0.5)
        world.cluster.tick("router")
        reached |= world.cluster.services[USER].addresses & pods
        world.crank(1)
    assert (bool(pods), reached) == (True, set())
    assert not [rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v2" and rs.wanted], "drained all the same"
    world.crank(60)

    assert (world.status.phase, world.status.pinned_service) == (Phase.ROLLED_BACK, None)
    assert world.cluster.services[USER].revision is None


def test_what_a_tool_applies_is_pinned_before_its_first_write_back():
    """Given a route with a tool's mark, when v2 is shut out, then the first write-back of the rollout leads to none of its pods."""
    world = at_weight(25, policy(*LONG, drain="8s"))
    world.cluster.routes["web"].applied = True
    world.ask("rollback/1")
    world.crank(2)
    pods = {pod.id for rs in world.cluster.replica_sets.values() if rs.template.image == "v2" for pod in rs.pods}

    world.resync()
    world.cluster.tick("slices", "router")

    assert pods
    assert not world.cluster.services[USER].addresses & pods
    finish(world, Phase.ROLLED_BACK)
    assert (world.status.pinned_service, world.cluster.services[USER].revision) == (None, None)


def test_a_route_that_nobody_writes_over_costs_no_pin():
    """Without a correction, and a mark of a tool, the user's Service is left as it is through a rollback."""
    world = at_weight(25, policy(*LONG))
    world.ask("rollback/1")
    wrote = [world.operate().writes]
    assert world.crank(60, until=lambda: wrote.append(world.last.writes) or world.status.phase is Phase.ROLLED_BACK)

    assert not [one for writes in wrote for one in writes if "Pin" in one]


def test_weight_that_somebody_writes_is_put_right():
    """A weight that somebody else writes into the split is put right."""
    world = at_weight(25, policy(*LONG))
    world.cluster.routes["web"].put((("checkout-stable", 10), ("checkout-canary", 90)), world.now)

    world.operate()

    assert dict(world.cluster.routes["web"].backends)["checkout-canary"] == 25


def test_what_the_user_wrote_last_is_put_back():
    """Backends that the user changes mid-rollout are what the route is put back to."""
    world = at_weight(25, policy(*LONG))
    world.cluster.routes["web"].written = BOTH
    world.resync()

    finish(world)

    assert world.cluster.routes["web"].backends == BOTH


def test_route_that_vanishes_and_comes_back():
    """A route that is deleted mid-rollout holds the weight; made again, it is put right and the rollout goes on."""
    world = at_weight(25, policy(step(25, "5s"), step(100)))
    route = world.cluster.routes.pop("web")
    world.crank(20)
    assert world.status.weight == 25
    assert "HTTPRoute web was not found" in world.status.message

    world.cluster.routes["web"] = route
    world.resync()
    finish(world)

    assert world.status.stable.version == "v2"
    assert route.backends == route.written


def test_rollout_without_any_route_left_can_be_rolled_back():
    """With its only route gone a rollout can still be undone."""
    world = at_weight(25, policy(*LONG))
    world.cluster.routes.clear()
    world.ask("rollback/1")

    world.crank(30)

    assert world.status.last_rollout.version == "v2"


def test_no_route_is_named():
    """Traffic without a route in the spec waits and says so."""
    world = idle(policy(*LONG))
    world.cluster.routes.clear()
    spec = world.spec()
    world.spec = lambda: spec.model_copy(update={"traffic": spec.traffic.model_copy(update={"gateway_api": None})})
    world.route_names = ()
    world.apply("v2")

    world.crank(5)

    assert world.status.message.endswith("waits for a route to be named")


def test_deleted_service_of_ours_is_made_again():
    """The operator's Services are made again when somebody deletes them mid-rollout."""
    world = at_weight(25, policy(*LONG))
    world.cluster.services.pop("checkout-canary")
    world.cluster.services.pop("checkout-stable")

    world.operate()

    assert world.cluster.services["checkout-canary"].revision == "own-v2"
    assert world.cluster.services["checkout-stable"].revision == "k8s-v1"


def test_route_is_prepared_when_services_have_endpoints():
    """The route is not touched before the operator's stable Service has endpoints."""
    world = idle(policy(*LONG))
    world.stale = {"services"}
    world.apply("v2")
    world.crank(5)
    assert world.cluster.routes["web"].generation == 1

    world.stale = set()
    reach(world, 25)


def test_user_service_that_is_gone_keeps_the_route_split():
    """A route is not put back to a Service that is not there."""
    world = at_weight(25, policy(step(25, "2s"), step(100)))
    service = world.cluster.services.pop("checkout")
    world.crank(60)
    assert world.status.phase is Phase.PROMOTING
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.SPLIT

    world.cluster.services["checkout"] = service
    finish(world)

    assert world.status.stable.version == "v2"


@pytest.mark.parametrize("end", ["promotion", "rollback"])
def test_route_waits_for_the_endpoints_of_the_users_service(end: str):
    """Given that the slices of the user's Service are behind, the route stays with the operator's, whose endpoints serve."""
    world = at_weight(25, policy(step(25, "2s"), step(100)))
    world.cluster.behind = {"checkout"}
    world.cluster.services["checkout"].addresses = frozenset()
    if end == "rollback":
        world.ask("rollback/1")

    world.crank(60)
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.SPLIT
    assert world.status.message.endswith("waits for Service checkout to have the endpoints that serve")

    world.cluster.behind = set()
    finish(world, Phase.IDLE if end == "promotion" else Phase.ROLLED_BACK)
    assert world.status.last_rollout.outcome is (Outcome.PROMOTED if end == "promotion" else Outcome.ROLLED_BACK)


def test_route_waits_until_the_users_service_has_all_endpoints():
    """Given endpoints of the user's Service from before the last pods came, those pods would get no requests: the route waits."""
    world = at_weight(25, policy(step(25, "2s"), step(100)))
    world.cluster.behind = {"checkout"}

    world.crank(60)

    assert world.cluster.services["checkout"].addresses
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.SPLIT


def test_endpoints_are_read_only_when_a_route_is_about_to_go_back():
    """Nobody has the endpoints of the user's Service read while the rollout climbs, or when it is over."""
    world = at_weight(25, policy(step(25, "2s"), step(100)))
    climbing = Inquiry.ENDPOINTS in world.last.plan.inquiries

    finish(world)

    assert (False, False) == (climbing, (Inquiry.ENDPOINTS in world.last.plan.inquiries))


def test_deletion_waits_a_minute_for_endpoints():
    """Given a Service whose endpoints are not told, a Release that is being deleted hands the route back after a minute."""
    world = at_weight(25, policy(*LONG))
    world.cluster.behind = {"checkout"}
    world.cluster.services["checkout"].addresses = frozenset()
    world.delete()

    world.crank(50)
    assert not world.gone

    world.crank(60)
    assert world.gone
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written


@pytest.mark.parametrize("stage", [RouteStage.USER, RouteStage.ENTERING])
def test_route_of_which_a_rule_was_put_back_by_hand_takes_no_short_cut(stage: RouteStage):
    """Given that a hand has put one of a route's rules back, the others' backends still leave at weight 0, and to endpoints."""
    world = at_weight(25, policy(*LONG))
    world.ask("rollback/1")
    world.crank(60, until=lambda: Inquiry.ENDPOINTS in world.last.plan.inquiries)
    before = world.snapshot()
    mixed = replace(before, routes=tuple(replace(route, stage=stage, uniform=False) for route in before.routes))
    behind = replace(mixed, user_service=replace(mixed.user_service, endpoints=0, missing_endpoints=4))
    deleted = replace(behind, release=replace(behind.release, deleting=at(world.now - 61)))

    assert [(RouteStage.ENTERING, 0)] == shifts(decide(mixed, at(world.now)))
    assert [] == shifts(decide(behind, at(world.now)))
    assert [(RouteStage.USER, 0)] == shifts(decide(deleted, at(world.now)))


def shifts(plan: Plan) -> list[tuple[RouteStage, int]]:
    return [(action.stage, action.weight) for action in plan.actions if isinstance(action, ShiftRoute)]


def test_pods_of_the_other_version_do_not_keep_a_pinned_service_waiting():
    """Given a pinned Service and pods of the new version that nobody stops, the route goes back: they have no weight."""
    world = at_weight(25, policy(*LONG), pin=True)
    orphans = world.cluster.services["checkout-canary"].addresses
    world.ask("rollback/1")
    tick = world.cluster.tick

    def with_orphans(*which: Controller) -> None:
        tick(*which)
        world.cluster.services["checkout-canary"].addresses |= orphans

    world.cluster.tick = with_orphans

    finish(world, Phase.ROLLED_BACK)

    assert orphans
    assert orphans <= world.cluster.services["checkout-canary"].addresses


def test_way_back_that_is_refused_is_tried_with_what_was_read():
    """Given an API server that refuses the way back, each pass plans it: none asks again first, as if nothing had been refused."""
    world = at_weight(25, policy(*LONG))
    world.ask("rollback/1")
    world.crank(60, until=lambda: Inquiry.ENDPOINTS in world.last.plan.inquiries)
    world.refused = (ShiftRoute,)
    world.crank(1)

    planned = []
    world.crank(5, until=lambda: planned.append(bool(shifts(world.last.plan))))

    assert planned
    assert all(planned)


def test_deletion_without_a_reading_leaves_the_route_where_it_is_served():
    """Given that the endpoints cannot be listed, a minute of deletion is no reason to send requests into nothing."""
    world = at_weight(25, policy(*LONG))
    world.readable = False
    world.delete()

    world.crank(120)
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.SPLIT

    world.readable = True
    world.crank(30)
    assert world.gone


@pytest.mark.parametrize("end", ["promotion", "rollback"])
def test_traffic_that_is_taken_out_during_a_rollout_counts_afterwards(end: str):
    """Given a Release from which somebody takes the traffic while routes are shifted, they are shifted on, and put back."""
    world = at_weight(25, policy(step(25, "2s"), step(100)))
    world.traffic_gone = True
    if end == "rollback":
        world.ask("rollback/1")

    world.crank(1)
    assert world.status.message.endswith("spec.traffic has changed and takes effect once the routes are restored")
    assert "checkout" == world.status.shifted_service

    finish(world, Phase.IDLE if end == "promotion" else Phase.ROLLED_BACK)
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written
    assert (None, ()) == (world.status.shifted_service, world.status.original_rules)
    assert "spec.traffic" not in world.status.message


def test_traffic_that_counts():
    """What the spec names counts, unless routes are shifted for another Service; then that one counts, with these routes."""
    rules = [OriginalRule(route=name, rule=0, backend_refs="[]") for name in ("web", "web-2", "gone")]
    shifted = ReleaseStatus(shifted_service="checkout", original_rules=tuple(rules))
    spec = idle(policy(*LONG)).spec()
    other = spec.model_copy(update={"traffic": spec.traffic.model_copy(update={"service": "shop"})})

    def is_about(rule: OriginalRule, service: str) -> bool:
        return rule.route != "gone" and service == "checkout"

    def in_force(spec: ReleaseSpec, status: ReleaseStatus, *, routed: bool = True, about: Any = is_about) -> Traffic | None:
        return traffic_in_force(spec, status, routed=routed, is_about=about)

    kept = in_force(other, shifted)

    assert spec.traffic is in_force(spec, shifted)
    assert other.traffic is in_force(other, ReleaseStatus())
    assert other.traffic is in_force(other, shifted.model_copy(update={"original_rules": ()}))
    assert other.traffic is in_force(other, shifted.model_copy(update={"original_rules": (rules[-1],)}))
    assert other.traffic is in_force(other, shifted, about=lambda *_: False)
    assert kept is not None
    assert ("checkout", False) == (kept.service, kept.pin_service)
    assert kept == in_force(spec, shifted, routed=False)


def test_what_was_made_for_the_old_traffic_is_taken_away():
    """Given traffic that was taken out, the operator's Services go once the routes are back, and nothing is left in the status."""
    world = at_weight(25, policy(step(25, "2s"), step(100)))
    world.traffic_gone = True

    finish(world)
    world.crank(5)

    assert ["checkout"] == list(world.cluster.services)


def test_next_rollout_waits_for_the_old_traffic_to_be_put_back():
    """Given traffic that was taken out and a third version, its rollout begins without traffic, when the routes are back."""
    world = at_weight(25, policy(*LONG))
    world.traffic_gone = True
    world.apply("v3")

    world.crank(60, until=lambda: world.status.candidate is not None and world.status.candidate.version == "v3")

    assert world.status.rollout is not None
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written
    assert () == world.status.original_rules


def without_the_port(image: str = "v2", spec: dict[str, Any] | None = None) -> World:
    """A world in which a version comes whose pods call their port otherwise than the Service does."""
    world = idle(spec)
    world.cluster.ports = {image: "web"}
    world.apply(image)
    return world


def test_ready_pods_without_the_named_port_get_no_weight():
    """Given ready pods that nobody can reach, the status says which port they lack, and the deadline undoes the rollout."""
    world = without_the_port(spec=policy(step(50), step(100), progressDeadline="30s"))

    told = world.crank(29, until=lambda: "2 ready pods have no port named http" in world.status.message)
    finish(world, Phase.ROLLED_BACK)

    assert told
    assert world.weights == [0]
    assert "its pods could not be reached within 30s: 2 ready pods have no port named http" in world.status.message


def test_stable_without_the_named_port_does_not_keep_its_cure_out():
    """Given a Service that reaches none of stable's pods either, the version that has the port is rolled out."""
    world = idle(policy(step(50), step(100)))
    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods:
            pod.port = "web"

    world.apply("v2")
    finish(world)

    assert world.status.stable.version == "v2"


def test_route_does_not_go_back_to_a_service_without_reachable_endpoints():
    """Given a Service whose targetPort nobody has any more as the rollout ends, the route stays until that is mended."""
    world = at_weight(100, policy(step(100, "10s")))
    world.cluster.services[USER].target = "gone"
    world.cluster.behind = {STABLE, CANARY}

    stuck = not world.crank(60, until=lambda: world.status.stable.version == "v2")
    said, stage = world.status.message, stage_of(world.cluster.routes["web"].backends)
    world.cluster.services[USER].target, world.cluster.behind = "http", set()
    finish(world)

    assert stuck
    assert stage is RouteStage.SPLIT
    assert "waits for Service checkout to have the endpoints that serve: 4 ready pods have no port named gone" in said


def test_route_does_not_go_back_to_a_service_that_gives_out_pods_that_are_being_stopped():
    """Given publishNotReadyAddresses, requests would go to a version that was shut out, until its pods are gone."""
    world = at_weight(50, policy(step(50, "1h"), step(100)))
    world.cluster.services[USER].ending = 2
    world.ask("rollback/1")

    stuck = not world.crank(60, until=lambda: world.status.phase is Phase.ROLLED_BACK)
    said, stage = world.status.message, stage_of(world.cluster.routes["web"].backends)
    world.cluster.services[USER].ending = 0
    finish(world, Phase.ROLLED_BACK)

    assert stuck
    assert stage is RouteStage.SPLIT
    assert "waits for the stopping pods of v2 to leave the endpoints of Service checkout" in said
