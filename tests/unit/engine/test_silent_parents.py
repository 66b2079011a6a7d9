"""Parents of a route that never say anything: they are named, hold a rollout up, and never a rollback."""

from __future__ import annotations

from simulation.cluster import USER
from simulation.policies import at_weight, condition, finish, idle, policy, reason, step
from simulation.views import stage_of
from tidegate.api.names import Phase
from tidegate.engine.snapshot import RouteStage

LONG = (step(50, "60s"), step(100))


def test_rollout_names_the_parent_that_it_waits_for():
    """Given a route with a parent that nobody controls, the status says whose word is missing, and no pod is made for it."""
    world = idle(policy(*LONG))
    world.cluster.routes["web"].mute = "Gateway internal"

    world.apply("v2")
    world.crank(30)

    assert "waits for Gateway internal to accept HTTPRoute web" in world.status.message
    assert world.status.weight == 0


def test_rollback_does_not_wait_for_a_parent_that_never_speaks():
    """Given a silent parent that was added at 50%, a rollback ends by the word of the others, and the route is put back."""
    world = at_weight(50, policy(*LONG))
    world.cluster.routes["web"].mute = "Gateway internal"

    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK, seconds=60)

    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.USER


def test_rollback_by_a_gateway_that_is_away_names_it():
    """Given that nobody has taken the weight away, pods stay for requests that may come, and it is said whom it waits for."""
    world = at_weight(50, policy(*LONG))
    world.cluster.router_works = False
    world.cluster.routes["web"].mute = "Gateway internal"

    world.ask("rollback/1")
    world.crank(60)

    assert world.status.phase is Phase.ROLLING_BACK
    assert "waits for Gateway internal to accept HTTPRoute web" in world.status.message


def test_rollback_over_a_changed_service_does_not_wait_for_a_parent_that_never_speaks():
    """Given a Service that was changed for the version that goes, and a silent parent, the rollback ends and a person is called."""
    world = at_weight(50, policy(*LONG))
    world.cluster.services[USER].version = "v2"
    world.cluster.routes["web"].mute = "Gateway internal"

    world.ask("rollback/1")
    world.crank(60)

    assert (world.status.rollout, reason(world), condition(world, "Stalled")) == (None, "ServiceAstray", True)
    assert "the route stays with checkout-stable" in world.status.message
