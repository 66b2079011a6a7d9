"""Without a route, the weights become ratios of pods."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from tidegate.api.names import Phase
from tidegate.api.policy import Step
from tidegate.engine.sizing import canary_size


@pytest.mark.parametrize(
    ("given", "replicas", "routed", "expected"),
    [
        (Step(weight=0), 10, True, 1),
        (Step(weight=1), 10, True, 1),
        (Step(weight=25), 10, True, 3),
        (Step(weight=100), 10, True, 10),
        (Step(weight=100, replicas=1), 10, True, 10),
        (Step(weight=25, replicas=7), 10, True, 7),
        (Step(weight=25, replicas="50%"), 5, True, 3),
        (Step(weight=25, replicas=0), 10, True, 1),
        (Step(weight=25, replicas="0%"), 10, False, 1),
        (Step(weight=0, replicas=0), 10, True, 0),
        (Step(weight=25), 0, True, 0),
        (Step(weight=0), 10, False, 0),
        (Step(weight=10), 9, False, 1),
        (Step(weight=20), 10, False, 3),
        (Step(weight=90), 10, False, 10),
        (Step(weight=100), 10, False, 10),
    ],
)
def test_size(given: Step, replicas: int, routed: bool, expected: int):
    """The new version has the pods of its share, never 0 where it has weight, all at 100%, and without a route at most half."""
    assert canary_size(given, replicas, routed=routed) == expected


def test_promotion_without_a_route():
    """A Release without traffic by route goes up by numbers of pods and is promoted by adoption."""
    world = at_weight(25, policy(step(25, "2s"), step(100)), routes=())
    assert len(world.cluster.replica_sets["checkout-own-v2"].pods) == 2

    reach(world, 100)
    world.operate()
    assert world.status.message.startswith("v2 has half of the pods and v1 is kept running")

    finish(world)
    assert world.status.stable.version == "v2"
    assert world.weights == [0, 25, 100, 0]


def test_rollback_without_a_route_stops_the_pods_at_once():
    """Without a route, the pods are the weight: they stop in the pass that reads the breach."""
    world = at_weight(25, policy(step(25, "60s"), step(100), gates=(gate(),)), routes=())
    world.look("errors", 0.5)
    world.operate()

    assert world.cluster.replica_sets["checkout-own-v2"].wanted == 0
    finish(world, Phase.ROLLED_BACK)


def test_preparing_without_a_route():
    """Scaled to 0 from the start of a rollout, it waits for pods to be wanted."""
    world = idle(policy(step(25, "60s"), step(100)), routes=())
    world.apply("v2")
    world.crank(1)
    world.cluster.scale(0)
    world.crank(10)

    assert world.status.message == "Rolling out v2 (stable: v1): nothing serves; waits for the Deployment to be scaled up from 0"
