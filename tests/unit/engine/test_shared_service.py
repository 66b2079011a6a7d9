"""A Service that selects pods of other workloads, too: it is not pinned and no route is split, or they would lose their share."""

from __future__ import annotations

import pytest

from simulation.cluster import USER
from simulation.policies import at_weight, condition, events, finish, idle, policy, ready, reason, step
from simulation.views import stage_of, weight_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.engine.snapshot import RouteStage
from tidegate.engine.waits import Inquiry

LONG = (step(25, "10s"), step(100))


@pytest.mark.parametrize("pin", [True, False])
def test_rollout_over_a_shared_service_does_not_start(pin: bool):
    """Given a Service with pods of another workload, nothing of the user's is written, and the status names the other."""
    world = World(policy(*LONG), pin=pin)
    world.shared = True
    world.crank(10)
    world.apply("v2")

    world.crank(60)

    assert world.cluster.services[USER].revision is None
    assert {USER} == set(world.cluster.services)
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written
    assert world.status.rollout is None
    assert condition(world, "Stalled")
    assert "SharedService" == reason(world)
    assert world.status.message.startswith("spec.traffic.service: Service checkout also selects pods of Deployment spot")
    assert 1 == len(events(world, "Blocked"))


def test_it_is_said_as_soon_as_the_release_is_there():
    """Between rollouts nothing is lost, and yet people hear of it before their first rollout."""
    world = World(policy(*LONG))
    world.shared = True

    assert world.crank(10, until=lambda: condition(world, "Stalled")), world.status.message
    assert "SharedService" == reason(world)

    world.shared = False
    assert world.crank(10, until=lambda: ready(world)), world.status.message


def test_what_was_said_outlives_the_operator():
    """Given a restart, the Release is not Ready until it is known that the Service is the Deployment's alone."""
    world = World(policy(*LONG))
    world.shared = True
    world.crank(10)
    world.notices.clear()

    world.die()
    world.readable = False
    world.crank(5)
    unknown = reason(world), events(world, "Blocked")
    world.readable, world.shared = True, False

    assert ("SharedService", []) == unknown
    assert world.crank(10, until=lambda: ready(world)), world.status.message


def test_another_workload_that_comes_in_mid_rollout_stops_the_weight():
    """Given pods of another workload that come at 25%, the weight stays and the status says why; once they are gone all goes on."""
    world = at_weight(25, policy(*LONG))
    world.shared = True

    world.crank(60)
    held = weight_of(world.cluster.routes["web"].backends), world.status.message
    world.shared = False
    finish(world)

    assert 25 == held[0]
    assert "also selects pods of Deployment spot" in held[1]
    assert world.status.stable.version == "v2"


def test_rollback_does_not_wait_for_others_pods():
    """Given pods of another workload amid a rollout, who rolls it back gets their share back to them."""
    world = at_weight(25, policy(*LONG))
    world.shared = True
    world.crank(5)

    world.ask("rollback/1")
    world.crank(60, until=lambda: world.status.candidate is None)
    world.crank(10)

    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.USER
    assert world.status.candidate is None
    world.shared = False
    finish(world, Phase.ROLLED_BACK)


def test_others_pods_are_looked_for_only_while_it_matters():
    """An idle Release has no pods read: there may be thousands of them."""
    world = idle(policy(*LONG))

    world.crank(5)

    assert world.last is not None
    assert Inquiry.SELECTED not in world.last.plan.inquiries
