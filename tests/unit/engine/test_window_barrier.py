"""Windows of a policy: when a version starts, when its weight rises, and what they have no say in."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.api.policy import RolloutPolicySpec

STEPS = (step(25, "5s"), step(50, "5s"), step(100))
THURSDAY = {"timeZone": "Europe/Berlin", "allow": [{"cron": "0 9 * * 1-4", "for": "8h"}]}
"""The world begins on Thursday, 2026-01-01, at 01:00 in Berlin."""
OPENS = "closed until Thu 09:00 Europe/Berlin"


def shut(world: World, *, after: float = 0.0, minutes: int = 2, **more: object) -> dict[str, object]:
    """Return windows that are shut from the minute on in which so many seconds have passed."""
    begins = at(world.now + after)
    cron = f"{begins.minute} {begins.hour} {begins.day} {begins.month} *"
    return {"timeZone": "UTC", "deny": [{"cron": cron, "for": f"{minutes}m", "reason": "stocktaking"}], **more}


def follow(world: World, **fields: object) -> None:
    """Change the policy that the next rollout follows."""
    assert world.policy is not None
    world.policy = RolloutPolicySpec.model_validate(world.policy.to_wire() | fields)


def test_a_version_waits_for_the_window_to_open():
    """Given windows that are shut, when v2 is applied, nothing of it is made; when they open, the operator wakes and it starts."""
    world = idle(policy(*STEPS, bake="3s", windows=THURSDAY))
    world.apply("v2")

    world.crank(60)

    assert (Phase.WAITING, None, 0) == (world.status.phase, world.status.rollout, world.status.weight)
    assert f"v2 waits for its release window: {OPENS}; v1 serves meanwhile" == world.status.message
    assert [f"v2 waits for its release window: {OPENS}"] == events(world, "Waiting"), "once, and not at each pass"
    (entry,) = world.status.waiting_for
    assert ("Window", OPENS, at(8 * 3600), "") == (entry.barrier, entry.what, entry.until, entry.how or "")
    assert at(8 * 3600) == world.last.plan.due

    world.cluster.now = 8 * 3600.0
    finish(world, Phase.IDLE)
    assert ("v2", ()) == (world.status.stable.version, world.status.waiting_for)


def test_a_weight_waits_for_the_window_and_then_goes_on():
    """Given v2 at 25%, when the window shuts, it keeps its weight, the reason is told, and it goes on when the window opens."""
    world = idle(policy(*STEPS, bake="3s"))
    follow(world, windows=shut(world, after=60))
    world.apply("v2")
    reach(world, 25)
    shuts = at(world.now).replace(second=0) + timedelta(minutes=1)
    world.cluster.now = (shuts - at(0)).total_seconds()

    world.crank(100)

    assert (25, Phase.PROGRESSING) == (world.status.weight, world.status.phase)
    opens = shuts + timedelta(minutes=2)
    assert f"waits for its release window: closed until {opens:%a %H:%M} UTC (stocktaking)" in world.status.message
    finish(world, Phase.IDLE, seconds=120)
    assert "v2" == world.status.stable.version


def test_windows_that_bind_the_start_alone_let_a_rollout_go_on():
    """Given during: Start, then v2 that started within the window has all its steps after it has shut."""
    world = idle(policy(*STEPS, bake="3s"))
    follow(world, windows=shut(world, after=60, minutes=600, during="Start"))
    world.apply("v2")
    reach(world, 25)
    world.cluster.now += 60

    finish(world, Phase.IDLE)
    assert "v2" == world.status.stable.version

    world.apply("v3")
    world.crank(30)
    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)


def test_a_rollout_keeps_the_windows_that_it_started_with():
    """A policy that gets other windows during a rollout changes the next one, as with all of its fields."""
    world = at_weight(25, policy(*STEPS, bake="3s"))
    follow(world, windows=shut(world, minutes=600))

    finish(world, Phase.IDLE)

    assert "v2" == world.status.stable.version


def test_a_request_for_full_promotion_does_not_open_a_window():
    """What a person may skip are holds and gates."""
    world = idle(policy(*STEPS, bake="3s"))
    follow(world, windows=shut(world, after=60, minutes=600))
    world.apply("v2")
    reach(world, 25)
    world.cluster.now += 60

    world.ask("promote/1")
    world.crank(30)

    assert 25 == world.status.weight


def test_a_bake_ends_while_windows_are_shut():
    """Nothing rises at weight 100."""
    world = idle(policy(*STEPS, bake="70s"))
    follow(world, windows=shut(world, after=60, minutes=600))
    world.apply("v2")
    reach(world, 100)

    finish(world, Phase.IDLE)

    assert "v2" == world.status.stable.version


@pytest.mark.parametrize("begun_at", [25, 50, 100])
def test_a_breach_while_windows_are_shut_rolls_back_at_once(begun_at: int):
    """Given windows that have shut at any step, when a gate is breached, the weight goes in the pass in which it would without."""
    courses = []
    for windowed in (False, True):
        world = idle(policy(*STEPS, gates=(gate(),), bake="600s"))
        if windowed:
            follow(world, windows=shut(world, after=60, minutes=600))
        world.apply("v2")
        reach(world, begun_at)
        world.cluster.now += 60
        world.quality["errors"] = 0.5
        began = world.now
        assert world.crank(20, until=lambda world=world: world.status.weight == 0)
        courses.append((world.now - began, [repr(write) for write in world.last.plan.away]))

    assert courses[0] == courses[1]


@pytest.mark.parametrize(
    ("windows", "trouble"),
    [
        (
            {"timeZone": "Europe/Berln", "deny": [{"cron": "0 9 * * *", "for": "1h"}]},
            "time zone Europe/Berln is not known to the operator",
        ),
        ({"timeZone": "UTC", "deny": [{"cron": "0 9 31 2 *", "for": "1h"}]}, "'0 9 31 2 *' cannot be read: bad day-of-month"),
    ],
)
def test_windows_that_cannot_be_read_are_shut_and_say_so(windows: dict[str, object], trouble: str):
    """Given a zone that the machine does not know, or a day that no month has, then nothing starts, and people read what to fix."""
    world = idle(policy(*STEPS, bake="3s", windows=windows))
    world.apply("v2")

    world.crank(30)

    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)
    assert f"v2 waits for its release window: closed, because it cannot be read: {trouble}" in world.status.message
    (entry,) = world.status.waiting_for
    assert ("Window", None) == (entry.barrier, entry.until)
    assert "fix spec.windows of RolloutPolicy/" in (entry.how or "")
    follow(world, windows=None)
    finish(world, Phase.IDLE)
    assert condition(world, "Ready")
