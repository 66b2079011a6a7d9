"""Checks by requests: made at their point, again after a while, and never again once they have passed."""

from __future__ import annotations

import pytest

from simulation.policies import events, finish, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Cause, Phase
from tidegate.engine.decide import decide
from tidegate.governance.runs import RunState

STEPS = (step(25, "5s"), step(50, "5s"), step(100))


def asks(point: str = "50%", **more) -> dict:
    """Return an entry of a policy."""
    return {"name": "contract", "at": point, "http": {"hook": "broker", "path": "/verify"}} | more


def checked(*, answers: list[RunState], **more) -> World:
    """Return a world in which v2 has 25%, and a hook gives these answers."""
    world = idle(policy(*STEPS, bake="3s", checks=[asks(**more)]))
    world.hooks.answers = answers
    world.apply("v2")
    reach(world, 25)
    return world


def test_version_goes_on_once_the_hook_says_so():
    """It is asked once, told what it checks, and not asked again by an operator after this one."""
    world = checked(answers=[RunState.COMPLETE])
    world.crank(6)
    world.die()
    finish(world)

    assert "v2" == world.status.stable.version
    (call,) = world.hooks.asked
    told = {
        "release": "checkout",
        "namespace": "shop",
        "check": "contract",
        "version": "v2",
        "stableVersion": "v1",
        "environment": "",
        "phase": "50%",
    }
    assert told == {name: value for name, value in call.told.items() if name != "revision"}
    assert ("broker", "POST", "/verify", 10.0) == (call.hook, call.method, call.path, call.seconds)
    assert ["v2 passed check contract (POST broker/verify)"] == events(world, "CheckPassed")


def test_retries_come_after_a_while():
    """Two requests that failed and one that did not."""
    world = checked(answers=[RunState.FAILED, RunState.FAILED, RunState.COMPLETE], retries=2)
    finish(world)

    assert "v2" == world.status.stable.version
    assert 3 == len({call.id for call in world.hooks.asked})
    first, second, third = world.hooks.times
    assert (second - first >= 5, third - second >= 5) == (True, True)


def test_clock_that_was_set_back_keeps_no_retry_waiting():
    """Of the moment since when it is wanted nobody knows how long ago it is: the request is made at once, and not in an hour."""
    world = checked(answers=[RunState.FAILED], retries=1)
    assert world.crank(10, until=lambda: 2 == max((one.attempt for one in world.status.checks), default=0))

    too_soon = decide(world.snapshot(), at(world.now), world.handover)
    set_back = decide(world.snapshot(), at(world.now - 3600), world.handover)

    (entry,) = world.status.checks
    assert () == too_soon.calls
    assert [entry.job] == [call.id for call in set_back.calls]


@pytest.mark.parametrize("failure", ["Pause", "Reject"])
def test_hook_that_says_no(failure: str):
    """The sentence says what it answered."""
    world = checked(answers=[RunState.FAILED] * 9, onFailure=failure)
    world.crank(60)

    if failure == "Reject":
        assert (Phase.ROLLED_BACK, Cause.CHECK) == (world.status.phase, world.status.last_rollout.cause)
    else:
        words = "waits for check contract, which failed: POST broker/verify answered HTTP 500; to run it again, annotate"
        assert words in world.status.message
        world.hooks.answers = [RunState.COMPLETE]
        world.ask("retry/1")
        finish(world)


def test_hook_that_cannot_be_called():
    """It is tried again, and the sentence says why it cannot."""
    world = checked(answers=[RunState.UNMADE] * 9)
    world.crank(6)

    assert "waits for check contract, whose request cannot be made: answered HTTP 500" in world.status.message
    world.hooks.answers = [RunState.COMPLETE]
    finish(world)
