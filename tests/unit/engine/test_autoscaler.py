"""With an autoscaler: the version that serves has pods for all of the load, although idle pods of the other one hide it."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, events, finish, policy, reach, step
from simulation.world import World
from tidegate.engine.snapshot import AutoscalerView

PREVIEW = (step(0, "30s", replicas="100%"), step(50, "60s"), step(100))


def carries(world: World, load: float | None, *, most: int = 20, tolerance: float = 0.1) -> None:
    """The autoscaler's numbers tell of a load for so many pods at their target."""
    world.autoscaler = lambda _: AutoscalerView("checkout", load, most, tolerance)


def replicas(world: World) -> int:
    """Return the size of the Deployment."""
    assert world.cluster.deployment is not None
    return world.cluster.deployment.replicas


@pytest.fixture
def previewed() -> World:
    """A world in which 4 pods of v1 serve, and 4 pods of v2 are ready and idle."""
    world = at_weight(0, policy(*PREVIEW))
    assert sum(rs.ready(world.now) for rs in world.cluster.replica_sets.values()) == 8
    return world


def test_load_that_has_doubled(previewed: World):
    """Four busy pods at twice their target and four idle ones are on target on average: the Deployment gets its eight pods."""
    carries(previewed, 8)

    previewed.crank(5)

    assert replicas(previewed) == 8
    assert "Deployment scaled from 4 to 8" in events(previewed, "Scaled")[0]


@pytest.mark.parametrize(("load", "tolerance", "expected"), [(4.3, 0.1, 4), (4.5, 0.1, 5), (4.5, 0.2, 4), (4.9, 0.2, 5)])
def test_load_within_the_autoscalers_tolerance_changes_nothing(previewed: World, load: float, tolerance: float, expected: int):
    """What the pods that serve can carry within the autoscaler's own tolerance is left to the autoscaler."""
    carries(previewed, load, tolerance=tolerance)

    previewed.crank(5)

    assert expected == replicas(previewed)


@pytest.mark.parametrize("load", [None, 0.0, 2.0, 4.0])
def test_nothing_is_ever_scaled_down(previewed: World, load: float | None):
    """With less load, or none known, the Deployment stays as its autoscaler has it."""
    carries(previewed, load)

    previewed.crank(5)

    assert (replicas(previewed), events(previewed, "Scaled")) == (4, [])


@pytest.mark.parametrize(("most", "expected"), [(10, 10), (4, 4), (3, 4)])
def test_autoscaler_has_the_last_word_on_the_most(previewed: World, most: int, expected: int):
    """Never more pods than the autoscaler may ask for; what a person has beyond that is left to it."""
    carries(previewed, 24, most=most)

    previewed.crank(5)

    assert expected == replicas(previewed)


@pytest.mark.parametrize("request_", ["pause/1", "rollback/1"])
def test_in_every_phase_of_a_rollout(previewed: World, request_: str):
    """Paused or on the way back: pods of both versions are there, so it is looked after."""
    reach(previewed, 50)
    previewed.ask(request_)
    carries(previewed, 8)

    previewed.crank(2)

    assert replicas(previewed) == 8


def test_in_the_bake(previewed: World):
    """With all traffic, the new version is sized like the Deployment, and so is the one that it may be rolled back to."""
    reach(previewed, 100)
    carries(previewed, 8)

    previewed.crank(5)

    assert [8, 8] == [rs.ready(previewed.now) for rs in previewed.cluster.replica_sets.values()]


def test_while_a_release_is_deleted_on_the_way(previewed: World):
    """Until the pods of the new version are gone, they hide the load: it is looked after to the end."""
    carries(previewed, 8)
    previewed.deleting = previewed.now

    previewed.crank(60, until=lambda: previewed.gone)

    assert previewed.gone
    assert replicas(previewed) == 8


def test_deployment_that_was_scaled_to_nothing_stays_so(previewed: World):
    """A person scales to 0: what the autoscaler said last brings no pods back."""
    carries(previewed, 8)
    previewed.cluster.scale(0)

    previewed.crank(30)

    assert replicas(previewed) == 0


def test_without_a_rollout_the_autoscaler_is_alone():
    """With one version there are no idle pods, and nothing to be set right."""
    world = at_weight(0, policy(*PREVIEW))
    finish(world)
    carries(world, 6)

    world.crank(10)

    assert replicas(world) == 4
