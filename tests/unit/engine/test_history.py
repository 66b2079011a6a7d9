"""ReplicaSets that there are of a template already: of versions that have served, and of those that came past the hold."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.names import Phase

QUICK = (step(50, "4s"), step(100))


def with_history() -> World:
    """Return a world in which v2 has taken over from v1."""
    world = at_weight(50, policy(*QUICK, gates=(gate(),), bake="2s"))
    finish(world)
    assert world.status.stable.version == "v2"
    return world


def test_older_version_in_place_of_a_rollout_is_taken_from_the_history():
    """Given v3 under way, v1's template replaces it: its own ReplicaSet is rolled out, no other is made of it."""
    world = with_history()
    world.apply("v3")
    reach(world, 50)
    made = world.cluster.replica_sets["checkout-k8s-v1"].created

    world.apply("v1")
    finish(world)

    assert world.status.stable.revision == "k8s-v1"
    assert [rs.created for rs in world.cluster.of_template(world.cluster.deployment.template)] == [made]


@pytest.mark.parametrize("operator_first", [True, False])
def test_held_deployment_that_was_scaled_to_0_rolls_out_again(operator_first: bool):
    """Given a rejected version that is held, scaled to 0 and up: whoever starts stable again, a restart of it is rolled out."""
    world = at_weight(50, policy(*QUICK, gates=(gate(),)))
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    world.cluster.scale(0)
    world.crank(3)

    world.cluster.scale(4)
    if operator_first:
        world.operate()
    world.crank(10)
    world.apply("v1", restarted="now")
    finish(world)

    assert (world.status.stable.revision, world.status.stable.ready) == ("k8s-v1now", 4)


def test_restart_of_a_rejected_version_with_a_duplicate_stays_out():
    """Given v2 with a second ReplicaSet, which a Deployment that was let go has made, it is rejected: a restart of it is, too."""
    world = at_weight(50, policy(*QUICK))
    world.resume()
    world.settle_controllers(1)
    world.operate()
    assert {"checkout-own-v2", "checkout-k8s-v2"} < set(world.cluster.replica_sets)
    world.apply("v2", restarted="now")

    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    world.crank(30)

    assert (world.status.phase, world.status.weight) == (Phase.ROLLED_BACK, 0)


def test_version_that_was_rejected_without_a_replica_set_stays_out():
    """Given v2 that was rejected before it had pods: when a Deployment that is let go makes a ReplicaSet of it, it is known."""
    world = idle(policy(*QUICK))
    world.apply("v2")
    world.crank(1)
    world.ask("rollback/1")
    world.operate()
    world.apply("v3")
    finish(world)
    assert [entry.revision for entry in world.status.rejected] == ["own-v2"]
    assert "checkout-own-v2" not in world.cluster.replica_sets

    weights = list(world.weights)
    world.apply("v2")
    world.resume()
    world.settle_controllers(1)
    assert "checkout-k8s-v2" in world.cluster.replica_sets
    finish(world, Phase.ROLLED_BACK)

    assert world.status.stable.version == "v3"
    assert world.weights == weights
