"""Waits on a route end by the policy's progressDeadline, but for time that is no fault of the route."""

from __future__ import annotations

import pytest

from simulation.policies import events, finish, idle, policy, reach
from simulation.views import stage_of
from tidegate.api.names import Phase, Reason
from tidegate.engine.snapshot import Blocker, RouteStage
from unit.engine.test_waits import MUTE, STEPS, a_parent_that_never_speaks


def test_preparation_that_nobody_ends_is_over_in_time():
    """Given a parent whose controller never says a word, the deadline takes the rollout back, names it, and a retry is offered."""
    world = a_parent_that_never_speaks()
    finish(world, Phase.ROLLED_BACK, seconds=120)

    message = world.status.message
    assert "its route did not take effect within 1m; it waited for Gateway internal to accept HTTPRoute web" in message
    assert (
        "the version itself was not judged; to try it again, annotate the Release with tidegate.dev/request=retry/<id>" in message
    )
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.USER

    world.cluster.routes["web"].mute = ""
    world.ask("retry/1")
    reach(world, 50)


def test_preparation_waits_on_where_the_policy_says_so():
    """With onDeadline Wait it is told once, in a Warning, and ends as soon as the parent speaks."""
    world = idle(policy(*STEPS, onDeadline="Wait"))
    world.cluster.routes["web"].mute = MUTE
    world.apply("v2")
    world.crank(200)

    told = events(world, "ProgressDeadlineExceeded")
    why = "its route did not take effect within 1m; it waited for Gateway internal to accept HTTPRoute web"
    assert told == [f"v2 keeps waiting at 0% (onDeadline: Wait): {why}"]
    assert "to accept HTTPRoute web; progressDeadline (1m) has passed, and onDeadline is Wait" in world.status.message

    world.cluster.routes["web"].mute = ""
    reach(world, 50)
    assert world.status.rollout.route_awaited is None


@pytest.mark.parametrize("what", ["paused", "called"])
def test_time_of_people_does_not_count(what: str):
    """A pause, or what only a person can mend, is not held against the route: its time is counted from when that is over."""
    world = a_parent_that_never_speaks()
    if what == "paused":
        world.ask("pause/1")
    else:
        world.blockers = (Blocker(Reason.NO_PERMISSION, "list pods: forbidden"),)
    world.crank(90)
    world.blockers = ()
    if what == "paused":
        world.ask("resume/2")
    world.crank(50)
    assert world.status.phase is Phase.PROGRESSING

    world.crank(15)
    assert events(world, "RollingBack")


def test_time_without_an_operator_does_not_count():
    """Part of what a route waits for is the operator's to do, so one that starts gives it the whole time."""
    world = a_parent_that_never_speaks()
    world.die()
    world.cluster.now += 500
    world.crank(50)

    assert world.status.phase is Phase.PROGRESSING
