"""Data planes that leave out backends of weight 0: each has one request in ten thousand before it gets weight."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.cluster import CANARY, STABLE, USER, Backends
from simulation.policies import carried, events, finish, gate, idle, policy, reach, step
from simulation.views import at, warm_of, weight_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.engine.plan import ShiftRoute

LONG = (step(25, "60s"), step(100))


def cold(spec: dict[str, Any] | None = None, **more: Any) -> World:
    """A world whose data plane leaves out backends of weight 0."""
    world = idle(spec or policy(*LONG), **more)
    world.cluster.warms = True
    return world


def forms(world: World, until: str) -> list[Backends]:
    """What the data plane had of the route, one form after another, until a version serves and the Release rests."""
    found: list[Backends] = []

    def watch() -> bool:
        now = world.cluster.routes["web"].in_force
        found.extend([now] if not found or found[-1] != now else [])
        return world.status.stable.version == until and world.status.candidate is None and not world.status.original_rules

    assert world.crank(200, until=watch), world.status.message
    return found


def warm_ones(found: list[Backends]) -> list[tuple[str, str]]:
    return [form for form in map(warm_of, found) if form is not None]


def test_nothing_gets_weight_that_the_data_plane_does_not_know():
    """Given such a data plane, when v2 is promoted, then no request is lost: whoever gets all the weight was known before."""
    world = cold()
    world.apply("v2")

    found = forms(world, "v2")

    assert [] == world.cluster.routes["web"].lost
    way = [(USER, STABLE), (STABLE, USER), (STABLE, CANARY), (CANARY, STABLE), (CANARY, USER), (USER, CANARY)]
    assert way == warm_ones(found)
    assert found[0] == found[-1] == world.cluster.routes["web"].written


def test_without_that_the_same_data_plane_loses_requests():
    """The story shows what it is to show: with backends that enter at weight 0 such a data plane loses requests at each turn."""
    world = idle(policy(*LONG))
    world.cluster.warms = True
    world.never_warm = True
    world.apply("v2")

    forms(world, "v2")

    assert {USER, STABLE, CANARY} == {name for name, _ in world.cluster.routes["web"].lost}


def test_other_data_planes_see_no_warm_form():
    """Given any other data plane, then the route goes through the stages that it always has."""
    world = idle(policy(*LONG))
    world.apply("v2")

    assert [] == warm_ones(forms(world, "v2"))


@pytest.mark.parametrize(("weight", "lost"), [(25, {CANARY}), (100, {CANARY})])
def test_a_rollback_loses_nothing_of_stable(weight: int, lost: set[str]):
    """When v2 is rolled back, at its first step or in the bake, then stable is there at once; v2 itself is shut without a rest."""
    world = cold()
    world.apply("v2")
    reach(world, weight)
    world.ask("rollback/1")
    world.crank(1)
    assert 0 == dict(world.cluster.routes["web"].backends)[CANARY]

    finish(world, Phase.ROLLED_BACK)

    route = world.cluster.routes["web"]
    assert {name for name, _ in route.lost} <= lost
    assert route.backends == route.written


def test_no_pod_that_is_not_ready_gets_a_request():
    """Given pods of v2 that do not become ready, then the canary has not even one request in ten thousand."""
    world = cold()
    world.cluster.start_up["v2"] = None
    world.apply("v2")

    world.crank(30)

    assert 0 == dict(world.cluster.routes["web"].backends)[CANARY]
    assert world.status.rollout.warmed_at is None


def warming(spec: dict[str, Any] | None = None) -> World:
    """A world in which v2 is warm and has no weight yet."""
    world = cold(spec)
    world.apply("v2")
    assert world.crank(60, until=lambda: warm_of(world.cluster.routes["web"].backends) == (STABLE, CANARY))
    return world


def test_what_people_read_is_what_is():
    """While v2 is warm, WEIGHT says 0, and the message what it has and what it waits for."""
    world = warming()
    world.crank(1)

    assert (0, 0) == (world.status.weight, world.status.carried)
    assert "weight 0% (25% once the data plane has it)" in world.status.message
    assert "waits for the data plane to learn of v2, which gets one request in 10,000 meanwhile" in world.status.message


def test_a_rollback_from_there_drains_and_leaves_nothing():
    """When v2 is rolled back while it is warm, then it gets nothing at once, its pods stop after drain, the route is the user's."""
    world = warming()
    world.crank(1.5)
    world.ask("rollback/1")
    asked = world.now

    world.crank(1)
    assert 0 == weight_of(world.cluster.routes["web"].backends)
    assert world.crank(
        60, until=lambda: not any(rs.pods for rs in world.cluster.replica_sets.values() if rs.template.image == "v2")
    )

    assert world.now >= asked + 3
    finish(world, Phase.ROLLED_BACK)
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written


def test_pods_that_fall_ill_while_warm_get_nothing():
    """When the pods of v2 are ready no more while it is warm, then it gets nothing, and that is no loss of pods with traffic."""
    world = warming()
    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods if rs.template.image == "v2" else ():
            pod.down = True
    world.crank(1)

    assert 0 == dict(world.cluster.routes["web"].backends)[CANARY]
    assert world.status.rollout.lost is None


def test_the_judge_takes_no_request_of_the_warm_time_for_the_first_step():
    """Given a gate, then it is first looked at with the first weight, and what it asks of the weight counts from there."""
    world = warming(policy(*LONG, gates=(gate(),)))
    warm_since = world.now
    while world.status.weight == 0:
        assert not world.last.plan.looks
        world.crank(0.5)

    assert world.status.rollout.warmed_at <= at(warm_since)
    assert world.status.rollout.exposed_at == at(world.now) > at(warm_since)


def test_a_tool_that_writes_the_route_back_is_noticed():
    """Given a warm route, when a tool applies the user's again, then that is told, put right, and the rollout goes on."""
    world = warming()

    world.resync()
    world.crank(1)

    assert events(world, "RouteCorrected")
    assert STABLE in dict(world.cluster.routes["web"].backends)
    reach(world, 25)


def test_an_operator_that_does_not_keep_warm_goes_on_from_any_form():
    """Given a warm route, when the operator comes back and is told not to keep warm, then it goes on, and all ends as ever."""
    world = warming()
    world.die()
    world.cluster.warms = False

    reach(world, 25)
    assert [] == [form for form in [warm_of(world.cluster.routes["web"].backends)] if form]
    finish(world)
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written


def test_stable_is_kept_warm_only_while_it_has_endpoints():
    """Given v2 with all traffic, when stable's pods are all gone, then stable has nothing; and it is kept warm again with them."""
    world = cold(policy(step(100), bake="60s"))
    world.apply("v2")
    reach(world, 100)
    world.crank(2)
    assert (CANARY, STABLE) == warm_of(world.cluster.routes["web"].backends)
    old = next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == "v1")

    for pod in old.pods:
        pod.down = True
    world.crank(2)
    assert 100 == weight_of(world.cluster.routes["web"].backends)
    for pod in old.pods:
        pod.down = False
    world.crank(3)
    assert (CANARY, STABLE) == warm_of(world.cluster.routes["web"].backends)


def test_stable_pods_stop_only_after_their_last_requests():
    """When v2 takes over, then stable gets nothing for as long as drain says before its pods may stop."""
    world = cold(policy(step(100), bake="3s", drain="8s"))
    world.apply("v2")
    assert world.crank(90, until=lambda: world.status.phase is Phase.PROMOTING)

    assert world.crank(60, until=lambda: any(write.startswith("Adopt") for write in world.last.writes))

    route = world.cluster.routes["web"]
    assert 100 == weight_of(route.in_force)
    assert world.now >= route.accepted_at + 8
    finish(world)


def test_a_version_at_no_weight_is_not_kept_warm():
    """Given a step of weight 0, then its hold passes without a request, and the warm form comes before the first weight."""
    world = cold(policy(step(0, "10s", replicas=1), *LONG))
    world.apply("v2")
    assert world.crank(60, until=lambda: carried(world) == 0)
    shifts = []
    while world.status.step.index == 0:
        world.crank(0.5)
        shifts += [action for action in world.last.plan.actions if isinstance(action, ShiftRoute)]

    reach(world, 25)
    assert all(shift.warm is None for shift in shifts[:-1])
    assert [] == world.cluster.routes["web"].lost
