"""A Release that is deleted hands the workload back as it serves."""

from __future__ import annotations

import pytest

from simulation.cluster import Template
from simulation.policies import at_weight, events, finish, gate, idle, policy, step
from simulation.world import World
from tidegate.api.names import Phase, Reason
from tidegate.engine.handover.deployment.view import Owner

SPEC = policy(step(0, "5s", 1), step(25, "5s"), step(100), gates=(gate(),), bake="5s")


def handed_back(world: World, seconds: float = 120) -> None:
    """Crank until the Release is gone, and check that nothing of the operator's is left."""
    assert world.crank(seconds, until=lambda: world.gone), world.status.message
    world.settle_controllers(10)
    assert all(route.backends == route.written for route in world.cluster.routes.values())
    assert set(world.cluster.services) <= {"checkout"}
    assert world.cluster.owned(Owner.RELEASE) == []


@pytest.mark.parametrize("pin", [True, False])
@pytest.mark.parametrize("after", [1, 3, 6, 12, 20, 25, 29, 33, 37])
def test_deleted_at_any_moment_of_a_rollout(after: float, pin: bool):
    """Deleted at any moment of a rollout: what serves serves on, everything that the user wrote is as it was."""
    world = idle(SPEC, pin=pin)
    world.apply("v2")
    world.crank(after)
    promoted = world.status.stable.version

    world.delete()
    world.crank(0.5)
    assert world.status.message.startswith("The Release is being deleted; its Deployment keeps serving and is handed back")
    handed_back(world)

    deployment = world.cluster.deployment
    assert deployment is not None
    serving = next(rs for rs in world.cluster.replica_sets.values() if rs.pods)
    assert len(serving.pods) == 4
    assert serving.template.image in {promoted, "v1", "v2"}
    assert deployment.paused is (serving.template != deployment.template)
    assert not deployment.labelled
    assert world.cluster.services["checkout"].revision is None


def test_deleted_mid_rollout_says_that_the_deployment_stays_paused():
    """The Deployment's template is not what serves: it stays paused, and an Event says so."""
    world = at_weight(25, SPEC)
    world.delete()

    handed_back(world)

    assert events(world, "RollingBack") == ["Rolling back v2: the Release is being deleted"]
    words = "The Deployment stays paused: v1 serves, and the template is another one; to roll that one out, resume the Deployment"
    assert events(world, "HandedBack") == [words]
    assert world.cluster.deployment is not None
    assert world.cluster.deployment.note.startswith(f"{words} (Release checkout, 20")


def test_what_was_rolled_back_is_nothing_to_be_resumed():
    """Deleted after a rollback, the Deployment has a template that was just rejected: the Event does not say to roll that out."""
    world = at_weight(25, SPEC)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    world.delete()

    handed_back(world)

    (message,) = events(world, "HandedBack")
    assert "restore the template of v1 before you resume it: the present one was rolled back (gate errors: " in message
    assert "to roll that one out" not in message


@pytest.mark.parametrize("admission", [True, False])
def test_deleted_while_idle(admission: bool):
    """An idle Release goes at once, and the Deployment is not held any more."""
    world = idle(SPEC, admission=admission)
    world.delete()

    world.crank(1)

    assert world.gone
    assert not world.cluster.deployment.paused


def test_deleted_while_the_deployment_adopts():
    """Deleted after the adoption, the promotion is finished first."""
    world = at_weight(25, SPEC)
    assert world.crank(60, until=lambda: bool(world.cluster.owned(Owner.NOBODY)))
    world.delete()

    handed_back(world)

    assert world.cluster.deployment.template.image == "v2"
    assert not world.cluster.deployment.paused


def test_deleted_while_the_router_says_nothing():
    """A router that says nothing is waited for, but not for ever."""
    world = at_weight(25, SPEC)
    world.cluster.router_works = False
    world.delete()
    world.crank(30)
    assert not world.gone

    handed_back(world, seconds=60)


def test_deleted_before_anything_served():
    """A Release that never took anything on goes at once; a Deployment that nothing serves of is not left paused."""
    world = World(SPEC)
    world.cluster.start_up["bad"] = None
    world.cluster.create_deployment(Template("bad"), 4)
    world.cluster.replica_sets.clear()
    world.crank(5)
    world.cluster.set_paused(True)
    world.delete()

    world.crank(1)

    assert world.gone
    assert not world.cluster.deployment.paused


def test_deleted_without_a_deployment():
    """The Deployment is gone already: what is left of the operator's is deleted."""
    world = at_weight(25, SPEC)
    world.cluster.deployment = None
    world.delete()

    assert world.crank(30, until=lambda: world.gone)

    assert set(world.cluster.services) == {"checkout"}
    assert [rs.template.image for rs in world.cluster.replica_sets.values()] == ["v1"], "its own is the garbage collector's"


def test_deleted_after_a_rollback():
    """Deleted when rolled back: the memory of the rejected version goes, the Deployment stays held."""
    world = at_weight(25, SPEC)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    world.delete()

    handed_back(world)

    assert world.cluster.deployment.paused


def test_nothing_is_asked_of_a_release_that_goes():
    """Requests and templates do not count while the Release is being deleted."""
    world = at_weight(25, SPEC)
    world.delete()
    world.ask("promote/1")
    world.crank(1)

    assert world.status.handled_request is None
    assert world.status.conditions[0].reason == Reason.DELETING


def test_pods_of_a_forgotten_replica_set_go_first():
    """A ReplicaSet of the Release's that somebody scaled up is emptied before it is deleted with the rest."""
    world = at_weight(25, SPEC)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    world.cluster.replica_sets["checkout-own-v2"].wanted = 2
    world.cluster.tick()
    world.delete()

    handed_back(world)
