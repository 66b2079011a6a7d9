"""How many pods a step has: never more than its Deployment, whatever its policy asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.policy import Step
from tidegate.engine.sizing import canary_size, cut_from

sizes = st.one_of(st.none(), st.integers(0, 10_000), st.integers(0, 100).map(lambda share: f"{share}%"))
steps = st.builds(Step, weight=st.integers(0, 100), replicas=sizes)


def pods(world: World) -> int:
    """Return the pods that the new version is to have."""
    return world.cluster.replica_sets["checkout-own-v2"].wanted


@given(asked=steps, replicas=st.integers(0, 500), routed=st.booleans())
def test_no_step_has_more_pods_than_its_deployment(asked: Step, replicas: int, routed: bool):
    """For any step, of any Deployment: at most max(replicas, 1) pods, none only without weight or without pods at all."""
    size = canary_size(asked, replicas, routed=routed)

    assert 0 <= size <= max(replicas, 1)
    assert size > 0 or asked.weight == 0 or replicas == 0


@given(asked=steps, replicas=st.integers(0, 500), routed=st.booleans(), limit=st.integers(0, 1_000))
def test_what_the_operator_allows_is_the_only_way_beyond(asked: Step, replicas: int, routed: bool, limit: int):
    """With a limit of the operator's configuration, a number up to it is given as it was asked for; never more than both."""
    size = canary_size(asked, replicas, routed=routed, limit=limit)

    assert size <= max(replicas, limit, 1)
    if replicas > 0 and asked.weight < 100 and isinstance(asked.replicas, int) and asked.replicas <= limit:
        assert max(asked.replicas, 1 if asked.weight else 0) == size


@given(asked=steps, replicas=st.integers(0, 500), limit=st.integers(0, 1_000))
def test_what_is_cut_is_known(asked: Step, replicas: int, limit: int):
    """A step that gets fewer pods than the number that it asks for says for how many it asked; no other does."""
    size, asks = canary_size(asked, replicas, routed=True, limit=limit), cut_from(asked, replicas, limit=limit)

    fewer = isinstance(asked.replicas, int) and asked.weight < 100 and 0 < replicas and size < asked.replicas
    assert (asked.replicas if fewer else None) == asks


def test_number_above_the_deployment_is_cut_and_said():
    """A Deployment of 2 with a step of 60 pods gets 2, and the message names both numbers and the field that allows more."""
    world = at_weight(1, policy(step(1, "60s", 60), step(100)), replicas=2)
    world.operate()

    assert 2 == pods(world)
    assert (
        "Rolling out v2 (stable: v1): step 1 of 2, weight 1%, held for at least 1m, limited to 2 of the 60 pods "
        "that the step wants (the Deployment has 2, and the operator's stepReplicasLimit is 0); waits until"
    ) in world.status.message


def test_preview_without_traffic_is_cut_too():
    """A step of weight 0 is bounded like any."""
    world = idle(policy(step(0, "60s", 9), step(100)), replicas=3)
    world.apply("v2")
    reach(world, 0)

    assert 3 == pods(world)


def test_cut_is_said_while_paused():
    """Who looks at a paused rollout sees why it has fewer pods than its policy says."""
    world = at_weight(1, policy(step(1, "60s", 60), step(100), gates=(gate(on_breach="Pause"),)), replicas=2)
    world.look("errors", 0.5)
    world.operate()

    assert "is paused at 1%: " in world.status.message
    assert "limited to 2 of the 60 pods" in world.status.message


def test_cut_follows_the_deployment():
    """Scaled up, the step has what it asks for, and the word goes away; scaled down, it shrinks with the Deployment."""
    world = at_weight(1, policy(step(1, "600s", 5), step(100)), replicas=2)
    world.cluster.scale(8)
    world.crank(20)
    grown, said = pods(world), world.status.message
    world.cluster.scale(3)
    world.crank(20)

    assert (5, 3) == (grown, pods(world))
    assert "limited to" not in said
    assert "limited to 3 of the 5 pods" in world.status.message


def test_operator_may_allow_more():
    """With stepReplicasLimit, a step gets up to that many, and a rollout with such a step ends as any other."""
    world = World(policy(step(1, "5s", 60), step(100)), replicas=2)
    world.step_replicas_limit = 10
    world.crank(10)
    world.apply("v2")
    reach(world, 1)
    world.operate()

    assert 10 == pods(world)
    assert (
        "limited to 10 of the 60 pods that the step wants (the Deployment has 2, and the operator's stepReplicasLimit is 10)"
        in (world.status.message)
    )
    finish(world)
    assert "v2" == world.status.stable.version
