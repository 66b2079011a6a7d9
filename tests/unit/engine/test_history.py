"""ReplicaSets of versions that have served: they are the Deployment's history, from which `kubectl rollout undo` takes them."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.engine.snapshot import Owner

QUICK = (step(50, "4s"), step(100))


def with_history() -> World:
    """Return a world in which v2 has taken over from v1."""
    world = at_weight(50, policy(*QUICK, gates=(gate(),), bake="2s"))
    finish(world)
    assert world.status.stable.version == "v2"
    return world


def in_the_history(world: World, name: str = "checkout-k8s-v1") -> bool:
    rs = world.cluster.replica_sets.get(name)
    return rs is not None and (rs.owner, rs.wanted) == (Owner.DEPLOYMENT, 0) and rs.number > 0


@pytest.mark.parametrize("then", ["v2", "v3"])
def test_older_version_that_is_not_promoted_again_stays_in_the_history(then: str):
    """Given v1 that is rolled out again and given up for another template, its ReplicaSet is the Deployment's as before."""
    world = with_history()
    world.apply("v1")
    reach(world, 50)
    assert world.cluster.replica_sets["checkout-k8s-v1"].owner is Owner.RELEASE

    world.apply(then)
    finish(world)
    world.crank(2)

    assert world.status.stable.version == then
    assert in_the_history(world)


def test_older_version_that_was_rejected_is_remembered_by_its_replica_set():
    """Given v1 that is rolled out again and breaches, its ReplicaSet stays the Release's until it may be forgotten."""
    world = with_history()
    world.apply("v1")
    reach(world, 50)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    assert world.cluster.replica_sets["checkout-k8s-v1"].owner is Owner.RELEASE

    world.ask("retry/1")
    reach(world, 50)
    world.apply("v2")
    finish(world)
    world.crank(2)

    assert in_the_history(world)


def test_older_version_in_place_of_a_rollout_is_taken_from_the_history():
    """Given v3 under way, v1's template takes its place: its own ReplicaSet is rolled out, no other is made of it."""
    world = with_history()
    world.apply("v3")
    reach(world, 50)
    made = world.cluster.replica_sets["checkout-k8s-v1"].created

    world.apply("v1")
    finish(world)

    assert world.status.stable.revision == "k8s-v1"
    assert [rs.created for rs in world.cluster.of_template(world.cluster.deployment.template)] == [made]


def test_deleted_release_leaves_the_history():
    """Given v1 that is rolled out again when the Release is deleted, the Deployment has its whole history at the end."""
    world = with_history()
    world.apply("v1")
    reach(world, 50)

    world.delete()
    assert world.crank(120, until=lambda: world.gone), world.status.message
    world.settle_controllers(5)

    assert in_the_history(world)


def test_restart_of_a_rejected_version_with_a_twin_stays_out():
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
