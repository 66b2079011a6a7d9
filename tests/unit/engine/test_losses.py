"""Pods with traffic are lost: less weight at once, one more try, and then it is over."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, carried, events, finish, gate, idle, policy, reach, step
from simulation.views import Said, shifted, weight_of
from simulation.world import World
from tidegate.api.names import Cause, Phase
from tidegate.engine import sizing
from tidegate.engine.snapshot import RouteStage

WORDS = "container app ended, last exit code 1 (Error)"
LONG = {"bake": "60s", "progressDeadline": "20s"}


def baking(**more: object) -> World:
    """Return a world in which v2 has all of the traffic, and its bake has begun."""
    return at_weight(100, policy(step(5), step(50), step(100), **(LONG | more)))


def pods_of(world: World, image: str = "v2") -> list:
    return next(rs for rs in world.cluster.replica_sets.values() if rs.template.image == image).pods


def test_a_version_that_crashes_after_it_had_traffic_climbs_anew_from_the_first_step():
    """Given all traffic, when all containers crash once, then the steps begin anew, and the reason is told."""
    world = baking()

    world.crash("v2")
    world.crank(0.5)
    assert world.status.weight == 0
    reach(world, 100)

    assert world.weights == [0, 5, 50, 100, 0, 5, 50, 100]
    assert (world.status.rollout.lost.count, world.status.rollout.lost.pods) == (1, 0)
    assert WORDS in events(world, "PodsLost")[0]
    assert "if it loses them once more, it is rolled back" in events(world, "PodsLost")[0]
    assert "v2 has all traffic and v1 is kept running; lost pods once under traffic: pod " in world.status.message


def test_the_second_loss_rolls_back_with_the_containers_own_words():
    """Given a version that has crashed under traffic once, when it does so again, it is rolled back and stays out."""
    world = baking()
    world.crash("v2")
    world.crank(0.5)
    reach(world, 100)

    world.crash("v2")
    finish(world, Phase.ROLLED_BACK)
    world.crank(60)

    assert world.weights == [0, 5, 50, 100, 0, 5, 50, 100, 0]
    assert world.status.last_rollout.cause is Cause.PODS_LOST
    assert world.status.message.startswith("v2 was rolled back, v1 serves: it lost its pods twice under traffic: pod ")
    assert WORDS in world.status.message


@pytest.mark.parametrize(("tolerated", "climbs"), [(0, 1), (3, 4)])
def test_the_policy_says_how_many_losses_are_tolerated(tolerated: int, climbs: int):
    """With toleratedLosses 0 the first loss rolls back, with 3 the fourth."""
    world = baking(toleratedLosses=tolerated)

    for _ in range(climbs):
        reach(world, 100)
        world.crash("v2")
        world.crank(0.5)
    finish(world, Phase.ROLLED_BACK)

    assert world.weights.count(100) == climbs
    assert world.status.last_rollout.cause is Cause.PODS_LOST


def test_what_was_lost_is_known_after_a_restart_of_the_operator():
    """Given a loss before the operator died, when the next one sees another, that is the second."""
    world = baking()
    world.crash("v2")
    world.crank(0.5)
    world.die()
    reach(world, 100)
    world.die()

    world.crash("v2")
    finish(world, Phase.ROLLED_BACK)

    assert world.status.last_rollout.cause is Cause.PODS_LOST


def test_a_crash_in_the_very_second_in_which_traffic_began_is_known():
    """Given a node that tells times in whole seconds, the container's own words are told."""
    world = idle(policy(step(50, "10s"), step(100)))
    world.apply("v2")
    assert world.crank(60, until=lambda: world.status.weight == 50, every=0.3)
    exposed = world.status.rollout.exposed_at
    world.crash("v2")
    world.crank(3)

    assert exposed.microsecond, "the story needs a fraction of a second"
    assert WORDS in events(world, "PodsLost")[0]


def test_nothing_rises_while_the_reason_is_not_known():
    """Pods are read only once they are lost: until their words are there, or for 10 s, pods that are back get no weight."""
    world = baking()
    world.crash("v2", back=1)
    world.pods_say = Said()
    world.crank(8)
    assert world.status.weight == 0
    assert "waits to find out why v2 lost pods" in world.status.message

    assert world.crank(10, until=lambda: world.status.weight > 0)

    assert "its pods are ready again and give no reason; does a readiness probe fail now and then?" in events(world, "PodsLost")[0]


def test_what_is_no_fault_of_the_version_does_not_count():
    """Given evictions again and again, the steps begin anew each time, and the version is promoted in the end."""
    world = baking(bake="5s")
    for _ in range(3):
        reach(world, 100)
        world.crash("v2", back=2)
        world.pods_say = Said(trouble="pod p: Evicted: low on memory", outside=True)
        world.crank(0.5)
        assert world.status.weight == 0
    assert world.status.rollout.lost.count == 0

    finish(world)

    assert world.status.stable.version == "v2"


def test_pods_that_are_deleted_or_evicted_are_no_fault_of_the_version():
    """Given nodes that are drained one after another, the version climbs anew each time, and is never rolled back for it."""
    world = idle(policy(step(50, "10s"), step(100, "10s")))
    world.apply("v2")
    for _ in range(3):
        assert world.crank(90, until=lambda: carried(world) == 50)
        world.evict("v2", back=4)
        assert world.crank(5, until=lambda: world.status.weight == 0)
        said = world.status.message
    finish(world)

    assert "its pods were deleted or evicted, and replaced" in said
    assert world.status.stable.version == "v2"
    assert events(world, "PodsLost") == []


def test_a_loss_that_stable_shares_is_no_fault_of_the_version():
    """When stable's pods are gone as well, something else is wrong than the new version."""
    world = baking()
    for pod in [*pods_of(world, "v1"), *pods_of(world, "v2")]:
        pod.down = True
    world.pods_say = Said(trouble="pod p: container app runs, but its readiness probe does not pass")

    world.crank(2)

    assert (world.status.weight, world.status.rollout.lost.count, world.status.rollout.lost.unexplained) == (0, 0, 0)


def test_pods_that_are_left_carry_what_they_can_and_no_bake_ends():
    """Given 3 of 4 pods lost at 100%, the weight is 25%, the status says so, the bake does not end, and then all comes back."""
    world = baking(bake="10s")
    for pod in pods_of(world)[:3]:
        pod.down = True
    world.pods_say = Said(trouble="pod p: Unschedulable: 0/3 nodes are available", outside=True)

    world.crank(15)
    assert (world.status.weight, world.status.phase) == (25, Phase.BAKING)
    assert world.status.message.startswith("v2 has 25% of the traffic (100% once its pods are available) and v1 is kept running")
    assert "waits for pods of v2 to be ready (1 of 4 pods)" in world.status.message
    words = "Weight of v2 lowered from 100% to 25%: only 1 of 4 pods are available"
    assert words in events(world, "WeightChanged")[-1]
    since = world.status.step.since

    for pod in pods_of(world):
        pod.down = False
    world.crank(3)
    assert (world.status.weight, world.status.step.since) == (100, since)
    finish(world)
    assert world.status.stable.version == "v2"


def test_pods_that_stay_away_end_by_the_deadline():
    """Pods that are missing in a hold are waited for as long as at its beginning, from when they went on."""
    world = baking(bake="10m")
    for pod in pods_of(world)[:1]:
        pod.down = True
    world.pods_say = Said(trouble="pod p: container app runs, but its readiness probe does not pass")
    world.crank(15)
    assert world.status.weight == 75

    finish(world, Phase.ROLLED_BACK)

    assert world.status.last_rollout.cause is Cause.DEADLINE


def test_single_pods_that_crash_again_and_again_are_a_loss_once_they_are_as_many_as_carry_the_weight():
    """One of four pods crashes: 75%, and the hold goes on. The fourth time the steps begin anew; in the end it is rolled back."""
    world = baking(bake="10m", progressDeadline="60s")
    for number in range(1, 4):
        world.crash("v2", pods=1)
        assert world.crank(10, until=lambda: world.status.weight == 75)
        assert world.crank(10, until=lambda: world.status.weight == 100)
        assert (world.status.rollout.lost.count, world.status.rollout.lost.pods) == (0, number)
    world.crash("v2", pods=1)
    world.crank(0.5)
    assert world.status.rollout.lost.count == 1
    reach(world, 100)

    for _ in range(4):
        world.crash("v2", pods=1)
        world.crank(5)

    finish(world, Phase.ROLLED_BACK)
    assert world.status.last_rollout.cause is Cause.PODS_LOST


def test_scaling_is_no_loss():
    """Pods that a scaling asks for are not missing from the weight that is there, nor are those that it takes away lost."""
    world = at_weight(50, policy(step(50, "30s"), step(100)))
    world.cluster.start_up["v2"] = 12

    world.cluster.scale(8)
    world.crank(5)
    assert (world.status.weight, world.status.step.pods) == (50, 2)
    world.crank(15)
    assert (world.status.weight, world.status.step.pods) == (50, 4)
    world.cluster.scale(4)
    world.crank(5)

    assert (world.status.weight, world.status.step.pods, world.status.rollout.lost) == (50, 2, None)


def test_where_stable_has_lost_pods_too_the_rest_shares():
    """Half of the nodes are gone: the weight does not go to a stable version that has no more pods than the new one."""
    world = baking()
    for pod in [*pods_of(world, "v1")[:2], *pods_of(world)[:2]]:
        pod.down = True

    world.crank(2)

    assert world.status.weight == 50


def test_min_ready_seconds_count():
    """Weight is given to available pods alone: those that have been ready for as long as the Deployment says."""
    world = idle(policy(step(5, "30s"), step(100)))
    world.cluster.deployment.min_ready = 8
    world.apply("v2")
    world.crank(7)
    assert world.status.weight == 0
    words = "waits for pods of v2 to be available (0 of 1 pods; a pod is available once it has been ready for the Deployment's"
    assert words in world.status.message

    reach(world, 5)

    assert all(pod.available(world.now, 8) for pod in pods_of(world)[:1])


def test_paused_by_a_person_a_loss_still_takes_the_weight():
    """A pause keeps a weight from rising, and nothing else: a second loss rolls back."""
    world = at_weight(50, policy(step(50, "60s"), step(100)))
    world.ask("pause/1")
    world.crank(1)
    world.crash("v2")
    world.crank(20)
    assert (world.status.weight, carried(world)) == (0, None)

    world.ask("resume/1")
    reach(world, 50)

    assert world.status.rollout.lost.count == 1


def test_gates_go_on_after_a_loss():
    """The weight rises again only with gates that have passed."""
    world = at_weight(100, policy(step(5, "2s"), step(100), gates=(gate(),), bake="60s"))
    world.crash("v2")
    world.crank(0.5)
    world.prometheus_trouble = "connection refused"

    world.crank(40)

    assert world.status.weight == 5


@pytest.mark.parametrize(
    ("available", "given", "pods", "stable", "routed", "weight"),
    [
        (4, 100, 4, 4, True, 100),
        (1, 100, 4, 4, True, 25),
        (0, 100, 4, 0, True, 0),
        (3, 100, 4, 0, True, 100),
        (1, 5, 2, 10, True, 5),
        (1, 50, 2, 4, False, 25),
        (9, 10, 3, 4, True, 10),
    ],
)
def test_what_pods_can_carry(available: int, given: int, pods: int, stable: int, routed: bool, weight: int):
    """Each pod carries its share of what was given, and no pod of stable gets more than one of the new version."""
    assert weight == sizing.carried(available, given=given, pods=pods, stable=stable, routed=routed)


# What the operator before this one could not note any more.


def shut_and_killed(world: World, *, pods: int = 100) -> None:
    """The operator shuts the route of v2, whose containers have ended, and is killed before that stands in the status."""
    given = world.status.weight
    world.cluster.now += 1
    world.crash("v2", pods=pods, back=0.5)
    world.cluster.tick("slices")
    world.operate(crash_after=1)
    assert (world.status.weight, route_of(world) < given) == (given, True)
    world.cluster.now += 1
    world.cluster.tick()


def route_of(world: World) -> float:
    return weight_of(world.cluster.routes["web"].backends)


def test_a_loss_that_could_not_be_noted_is_found_again_by_the_pods_own_words():
    """Given a route that was shut for lost pods by an operator that died at once, when they are back, the next one counts that."""
    world = baking()
    shut_and_killed(world)

    world.operate()
    assert (world.status.weight, world.status.rollout.lost.count, route_of(world)) == (5, 1, 5)
    assert WORDS in events(world, "PodsLost")[0]
    reach(world, 100)
    shut_and_killed(world)
    finish(world, Phase.ROLLED_BACK)

    assert world.status.last_rollout.cause is Cause.PODS_LOST
    assert "it lost its pods twice under traffic" in world.status.message


def test_some_of_the_pods_of_such_a_loss_are_known_as_some():
    """Given 3 of 4 pods that have ended, and came back, when nobody noted it, the version keeps what it had, and 3 are counted."""
    world = baking()
    shut_and_killed(world, pods=3)

    world.crank(3)

    assert (world.status.weight, route_of(world)) == (100, 100)
    assert (world.status.rollout.lost.count, world.status.rollout.lost.pods) == (0, 3)


def test_pods_that_are_lost_one_after_another_are_told_from_those_that_were_noted():
    """Given one of two pods that was lost and noted, when the other follows in that second and is not, it is found again."""
    world = at_weight(50, policy(step(50, "1h"), step(100), progressDeadline="20s"))
    world.cluster.now = float(int(world.now + 1))
    world.crash("v2", pods=1, back=0.6)
    world.operate()
    assert (world.status.weight, world.status.rollout.lost.pods) == (25, 1)

    world.cluster.now += 0.3
    world.crash("v2", back=0.3)
    world.pods_say.pods = 2
    world.operate(crash_after=1)
    world.cluster.now += 1
    world.cluster.tick()
    world.operate()

    assert (world.status.rollout.lost.count, world.status.rollout.lost.pods) == (1, 0)


def test_nothing_rises_before_the_pods_have_been_read():
    """While the API server does not list pods, a route that was shut stays so, for 10 s, and it is told why."""
    world = baking()
    shut_and_killed(world)
    world.readable = False

    world.crank(9)
    assert (world.status.weight, route_of(world)) == (100, 0)
    assert "waits to find out whether v2 lost pods: its route carries less weight than it was given" in world.status.message
    world.crank(3)

    assert route_of(world) == 100


def test_a_shut_route_alone_is_no_loss():
    """Given containers that ended before the version climbed anew, when its route lacks what it was given, nothing is counted."""
    world = at_weight(50, policy(step(50, "1h"), step(100), progressDeadline="20s"))
    world.crash("v2")
    world.crank(0.5)
    reach(world, 50)
    world.crank(2)
    world.die()
    world.cluster.routes["web"].put(shifted(world.cluster.routes["web"].written, RouteStage.SPLIT, 0), world.now)

    world.crank(3)

    assert (world.status.rollout.lost.count, route_of(world)) == (1, 50)
