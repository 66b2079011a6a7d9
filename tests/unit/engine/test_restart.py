"""What a process does that takes over in the midst of a rollout: the one before it may have known more than it could store."""

from __future__ import annotations

import pytest

from simulation.cluster import STABLE
from simulation.policies import at_weight, carried, gate, policy, step
from simulation.views import at, weight_of
from simulation.world import World
from tidegate.api.names import Phase

STEPS = (step(25, "30s"), step(50, "30s"), step(100))
SCORED = ({**gate("errors"), "weight": 1}, {**gate("slow"), "weight": 1})


def shut_and_dead(world: World, *gates: str) -> None:
    """A breach has shut the route, and the operator is dead before it could store why."""
    for name in gates:
        world.look(name, 0.5)
    made = world.operate(crash_after=1)
    assert [write.split("(")[0] for write in made.writes] == ["ShiftRoute"]
    assert world.status.rollout.undo is None


def passes(world: World, number: int = 6) -> None:
    """The next process is at work, and no gate is due yet."""
    for _ in range(number):
        world.cluster.now = round(world.now + 0.5, 3)
        world.cluster.tick()
        world.operate()


def share(world: World) -> float:
    """The weight that the new version has in the route, whatever the status says."""
    return weight_of(world.cluster.routes["web"].backends)


def test_version_that_was_shut_stays_shut_until_its_gate_is_looked_at():
    """Given a breach that nobody could store, the next process gives no weight, looks, and rolls back."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),)))
    world.crank(10)
    shut_and_dead(world, "errors")

    passes(world)
    before = share(world)
    world.look("errors", 0.5)
    passes(world)

    assert (0, 0) == (before, share(world))
    assert world.status.phase is Phase.ROLLING_BACK


def test_version_that_was_shut_by_its_score_stays_shut_and_does_not_rise():
    """Given a score that was too low when the step would end, the next process neither gives the weight nor ends the step."""
    world = at_weight(25, policy(*STEPS, gates=SCORED, scoring={"pass": 90, "warn": 75}))
    until = world.status.step.until
    assert world.crank(60, until=lambda: at(world.now + 0.5) >= until)
    world.cluster.now = round(world.now + 0.5, 3)
    shut_and_dead(world, "errors", "slow")

    passes(world, 12)

    assert 0 == share(world)
    assert (25, 0) == (world.status.weight, world.status.step.index)


@pytest.mark.parametrize("looks", [True, False])
def test_route_that_somebody_has_written_over_gets_weight_after_a_look(looks: bool):
    """Given a person who put their route back while no operator was there, the new version gets its weight only after a look."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),)))
    world.crank(5)
    world.die()
    world.resync()

    passes(world)
    if looks:
        world.look("errors", 0.0)
        passes(world)

    assert (25 if looks else 0) == share(world)
    assert STABLE in dict(world.cluster.routes["web"].backends)


def test_restart_in_a_quiet_moment_changes_nothing():
    """Given a route that carries what the status says, a new process writes nothing before it has looked."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),)))
    world.crank(5)
    world.die()

    passes(world)

    assert 25 == carried(world)
    assert world.last.writes == []
