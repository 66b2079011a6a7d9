"""What is bound to the user's Service by its name and not to the operator's two: no rollout starts, or weight rises, without it."""

from __future__ import annotations

from simulation.cluster import USER
from simulation.policies import at_weight, condition, events, finish, idle, policy, reach, ready, reason, step
from simulation.views import stage_of, weight_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.engine.snapshot import RouteStage
from tidegate.engine.waits import Inquiry

LONG = (step(25, "10s"), step(100))


def refused() -> World:
    """Return a world in which a version waits behind a policy that would not follow."""
    world = idle(policy(*LONG))
    world.unfollowed = True
    world.apply("v2")
    world.crank(60)
    return world


def test_rollout_does_not_start_before_it_follows():
    """Given a policy of the Service alone, no pod is made and no Service or route written; once it follows all goes on."""
    world = refused()

    assert {USER} == set(world.cluster.services)
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written
    assert world.status.rollout is None
    assert condition(world, "Stalled")
    assert "BoundByName" == reason(world)
    assert world.status.message.startswith("spec.traffic.service: BackendTLSPolicy tls applies to Service checkout by name")
    assert 1 == len(events(world, "Blocked"))

    world.unfollowed = False
    finish(world)
    assert world.status.stable.version == "v2"


def test_what_was_said_outlives_the_operator():
    """Given a restart, the version waits, and nobody is told twice, until it is known that all follows."""
    world = refused()
    world.notices.clear()

    world.die()
    world.readable = False
    world.crank(5)
    unknown = reason(world), events(world, "Blocked"), world.status.rollout
    world.readable, world.unfollowed = True, False

    assert ("BoundByName", [], None) == unknown
    finish(world)


def test_no_rollout_starts_before_it_is_known():
    """Given an API server that does not answer, the version waits, and the status says for what."""
    world = idle(policy(*LONG))
    world.readable = False
    world.apply("v2")

    world.crank(10)
    waits = world.status.rollout, world.status.message
    world.readable = True

    assert waits[0] is None
    assert "to read" in waits[1]
    finish(world)


def test_policy_that_comes_in_mid_rollout_stops_the_weight():
    """Given a policy that names the Service alone at 25%, the weight stays and the status names it; once it follows all goes on."""
    world = at_weight(25, policy(*LONG))
    world.unfollowed = True

    world.crank(60)
    held = weight_of(world.cluster.routes["web"].backends), world.status.message
    world.unfollowed = False
    finish(world)

    assert 25 == held[0]
    assert "BackendTLSPolicy tls applies to Service checkout" in held[1]
    assert world.status.stable.version == "v2"


def test_rollback_does_not_wait_for_it():
    """Given a policy that came amid a rollout, who rolls it back gets the route back to the Service that it holds for."""
    world = at_weight(25, policy(*LONG))
    world.unfollowed = True
    world.crank(5)

    world.ask("rollback/1")
    world.crank(60, until=lambda: world.status.candidate is None)
    world.crank(10)

    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.USER
    world.unfollowed = False
    finish(world, Phase.ROLLED_BACK)


def test_it_is_looked_for_only_while_it_matters():
    """Neither a Release that is taken on nor an idle one asks the API server what is bound to its Service."""
    world = World(policy(*LONG))
    asked = []
    world.after_write = lambda _: asked.append(world.last is not None and (Inquiry.BOUND in world.last.plan.inquiries))
    world.crank(30, until=lambda: ready(world))
    world.crank(5)

    assert world.last is not None
    assert not any(asked)
    assert Inquiry.BOUND not in world.last.plan.inquiries


def test_routes_past_the_steps_are_told():
    """Given routes that the Release does not name, then the rollout goes on, and Event and message say where they lead."""
    world = idle(policy(step(25, "60s"), step(100)))
    world.past = ("api", "legacy", "mobile", "partners")
    world.apply("v2")
    reach(world, 25)

    bypassing = "requests by HTTPRoute api, legacy, mobile and 1 more bypass the steps"
    told = f"{bypassing}: they go to Service checkout, so to pods of both versions"
    assert told in world.status.message
    (started,) = events(world, "RolloutStarted")
    assert started.endswith(f"; {told}; name it in spec.traffic.gatewayAPI.httpRoutes, or set spec.traffic.pinService")


def test_a_pinned_service_leads_nobody_past_the_steps():
    """Given a Service that is kept on the version that serves, then such routes are nothing to be told."""
    world = idle(policy(step(25, "60s"), step(100)), pin=True)
    world.past = ("api",)
    world.apply("v2")
    reach(world, 25)

    assert "bypass the steps" not in world.status.message + events(world, "RolloutStarted")[0]
