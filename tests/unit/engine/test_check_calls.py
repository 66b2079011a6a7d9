"""Checks by requests: made at their point, again after a while, and never again once they have passed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.policies import events, finish, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Cause, Phase
from tidegate.engine.decide import decide
from tidegate.governance.runs import RunState, RunView

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


def failed_once() -> World:
    """Return a world in which the second request is wanted from now on."""
    world = checked(answers=[RunState.FAILED], retries=1)
    assert world.crank(10, until=lambda: 2 == max((one.attempt for one in world.status.checks), default=0))
    return world


@pytest.mark.parametrize("back", [3600, 20, 6, 4, 1, 0])
def test_clock_that_was_set_back_keeps_no_retry_waiting(back: int):
    """A further request is made some seconds later and not in an hour, and is not taken back once it was made."""
    world = failed_once()
    (entry,) = world.status.checks
    snapshot, made = world.snapshot(), []
    for seconds in range(2 * back % 90 + 12):
        plan = decide(snapshot, at(world.now - back + seconds), world.handover)
        snapshot = replace(snapshot, status=plan.status)
        made.append([call.id for call in plan.calls])

    begun = made.index([entry.job])
    assert 4 <= begun <= 10
    assert [[]] * begun == made[:begun]
    assert [[entry.job]] * (len(made) - begun) == made[begun:]


@pytest.mark.parametrize("back", [3600, 20, 4, 1])
def test_clock_that_is_set_back_takes_no_request_back_that_is_under_way(back: int):
    """Whoever is called would be called twice: it is known to be under way, so it stays wanted."""
    world = failed_once()
    (entry,) = world.status.checks
    snapshot = world.snapshot()
    begun = decide(snapshot, at(world.now + 5), world.handover)

    under_way = replace(snapshot.governance, runs={entry.job: RunView(RunState.RUNS)})
    later = decide(replace(snapshot, status=begun.status, governance=under_way), at(world.now + 5 - back), world.handover)

    assert [entry.job] == [call.id for call in begun.calls]
    assert begun.calls == later.calls


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
