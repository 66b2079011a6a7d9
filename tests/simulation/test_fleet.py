"""Whole lives of rollouts of a kind that the engine does not know run through `decide`, and the same invariants hold."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, rule

from simulation.cluster import CANARY
from simulation.effort import TIMES
from simulation.fleet import FleetOracle, FleetWorld
from simulation.oracle import Oracle
from simulation.policies import condition, events, finish, reach
from simulation.test_invariants import GOALS, POLICY, Rollouts
from simulation.views import weight_of
from simulation.world import World
from tidegate.api.names import EventReason, Phase


def serving(routes: tuple[str, ...] = ("web",)) -> FleetWorld:
    """Return a world in which v1 serves and the Release has taken it on."""
    world = FleetWorld(POLICY, routes=routes)
    assert world.crank(10, until=lambda: condition(world, "Ready")), world.status.message
    return world


@pytest.mark.parametrize("routes", [("web",), ()])
def test_fleet_is_promoted(routes: tuple[str, ...]) -> None:
    """Given v1 that serves, when v2 comes and its gates pass, then v2 serves with the pods that were judged."""
    world = serving(routes)
    world.apply("v2")
    reach(world, 100)
    judged = {pod.id for group in world.cluster.owned_by_the_release() for pod in group.pods}

    finish(world)

    assert "v2" == world.cluster.fleet.serves.image
    assert judged == {pod.id for pod in world.cluster.group(world.cluster.fleet.serves).pods}
    assert [] == world.cluster.owned_by_the_release(pods=True), "v1 is kept, without pods"
    assert ["v2 takes over in the Fleet"] == [words[:26] for words in events(world, EventReason.PROMOTING)]


def test_fleet_is_rolled_back() -> None:
    """Given v2 at 50%, when a gate fails, then its traffic is gone in the same pass, and its pods after the drain."""
    world = serving()
    world.apply("v2")
    reach(world, 50)

    world.quality["errors"] = 0.5
    world.crank(4, until=lambda: world.status.phase is Phase.ROLLING_BACK)

    assert 0 == weight_of(world.cluster.routes["web"].backends)
    finish(world, Phase.ROLLED_BACK)
    assert ("v1", None) == (world.cluster.fleet.serves.image, world.cluster.fleet.tried)
    assert [] == world.cluster.owned_by_the_release(pods=True)


def test_fleet_is_handed_back() -> None:
    """Given v2 at 10%, when the Release is deleted, then v1 serves on, and nothing of v2 or of ours is left."""
    world = serving()
    world.apply("v2")
    reach(world, 10)

    world.delete()
    world.crank(120, until=lambda: world.gone)

    assert world.gone, world.status.message
    assert ("v1", None) == (world.cluster.fleet.serves.image, world.cluster.fleet.tried)
    assert CANARY not in world.cluster.services


def test_sentences_name_the_kind() -> None:
    """Given a Fleet that is scaled to 0, when v2 comes, then what people read speaks of a Fleet."""
    world = serving()
    world.cluster.scale(0)
    world.apply("v2")

    world.crank(5)

    assert (
        "v1 is the stable version, but the Fleet is scaled to 0; waits for the Fleet to be scaled up from 0" in world.status.message
    )
    assert not [words for words in world.told if "Deployment" in words or "ReplicaSet" in words]


class FleetRollouts(Rollouts):
    """The same people, routers, Prometheus and crashes, around a Fleet."""

    goals = GOALS | {"adoption": lambda world: world.status.phase is Phase.PROMOTING}

    @initialize(
        routes=st.sampled_from([("web",), ("web",), ("web", "api"), ()]),
        pin=st.booleans(),
        adopted=st.sampled_from([True, True, True, False]),
        delay=st.sampled_from([0.0, 0.0, 2.5]),
        warms=st.sampled_from([False, False, True]),
    )
    def begin(self, routes: tuple[str, ...], pin: bool, adopted: bool, delay: float, warms: bool) -> None:  # type: ignore[override]
        super().begin(routes=routes, pin=pin, admission=True, adopted=adopted, delay=delay, warms=warms)

    def new_world(self, *, routes: tuple[str, ...], pin: bool, admission: bool) -> World:
        return FleetWorld(POLICY, routes=routes, pin=pin)

    def oracle_of(self, world: World) -> Oracle:
        return FleetOracle(world)

    def let_go(self, image: str, seconds: int) -> None:  # type: ignore[override]
        """Nobody can let a Fleet go."""

    @rule(what=st.sampled_from(["restart", "resync"]))
    def people(self, what: str) -> None:
        super().people(what)


TestFleetRollouts = FleetRollouts.TestCase
TestFleetRollouts.pytestmark = [pytest.mark.timeout(600 * TIMES), pytest.mark.no_cover]
TestFleetRollouts.settings = settings(
    max_examples=30 * TIMES,
    stateful_step_count=12,
    suppress_health_check=list(HealthCheck),
)
