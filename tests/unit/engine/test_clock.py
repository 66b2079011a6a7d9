"""Clocks that are stepped: how long something has lasted is what counts."""

from __future__ import annotations

from datetime import timedelta

from simulation.policies import at_weight, carried, gate, policy, step
from simulation.views import at
from tidegate.engine.repair import moved, repaired

LONG = (step(25, "60s"), step(100))
HOUR = timedelta(hours=1)


def test_moments_of_a_rollout_move_together():
    """What has lasted for some time has lasted for that long afterwards, whatever the clock says."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    world.crank(10)

    later = moved(world.status, HOUR)

    assert later.step.since - world.status.step.since == HOUR
    assert later.step.until - later.step.since == timedelta(seconds=60)
    assert [state.at - before.at for state, before in zip(later.gates, world.status.gates, strict=True)] == [HOUR]
    assert later.rollout.exposed_at - world.status.rollout.exposed_at == HOUR


def test_a_status_from_the_future_is_brought_back():
    """The clock was set back while nobody was there: the hold goes on from where it was, and waits for no hour to come again."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    world.crank(10)
    ahead = moved(world.status, HOUR)

    back = repaired(ahead, at(world.now))

    assert abs(back.step.until - world.status.step.until) <= timedelta(seconds=2)


def test_a_status_of_now_is_left_alone():
    """Clocks of two hosts differ a little: a moment a few seconds ahead is no sign of a step."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    ahead = moved(world.status, timedelta(seconds=4))

    assert repaired(ahead, at(world.now)) == ahead


def test_hold_goes_on_after_the_clock_was_set_back():
    """A rollout whose status is of the future goes on within its hold."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    world.status = moved(world.status, HOUR)

    world.crank(90, until=lambda: carried(world) == 100)

    assert carried(world) == 100
