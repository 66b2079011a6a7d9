"""A Release that follows another: what is taken over and when, and what is not taken over again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from simulation.followed import FollowingWorld
from simulation.policies import condition, events, finish, gate, policy, reach, ready, step
from simulation.views import at
from tidegate.api.names import Cause, Phase
from tidegate.engine.plan import Plan
from tidegate.governance.upstreams import UpstreamView

STEPS = policy(step(25, "5s"), step(100), bake="3s")
SLOW = policy(step(25, "60s"), step(100), gates=(gate(),), bake="3s")


def begun(spec: dict[str, Any] | None = None, **more: Any) -> FollowingWorld:
    """Return a world in which v1 serves and the Release has taken it on."""
    world = FollowingWorld(spec or STEPS, **more)
    finish(world)
    return world


def proves(world: FollowingWorld, version: str, **more: Any) -> None:
    """Have the Release in staging promote a version now."""
    known: dict[str, Any] = {"version": version, "images": {"app": version}, "promoted_at": at(world.now)}
    world.followed = UpstreamView(release="checkout", namespace="staging", **(known | more))


def following(spec: dict[str, Any] | None = None, **more: Any) -> FollowingWorld:
    """Return a world in which v1 serves here and there, and this Release follows that one."""
    world = begun(spec, **more)
    proves(world, "v1")
    finish(world)
    world.notices.clear()
    return world


def rejecting(verb: str = "") -> FollowingWorld:
    """Return a world that has taken v2 over and rolled it back: by a gate, or as a person has asked."""
    world = following(SLOW)
    proves(world, "v2")
    reach(world, 25)
    if verb:
        world.ask(f"{verb}/1")
    else:
        world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    return world


def stable(world: FollowingWorld) -> str:
    """Return the version in force."""
    assert world.status.stable is not None
    return world.status.stable.version


def test_what_is_proved_there_is_rolled_out_here():
    """Given v2 promoted in staging, it goes up the steps here without anybody writing anything, and ends in the Deployment."""
    world = following()
    proves(world, "v2")

    reach(world, 25)
    finish(world)

    assert stable(world) == "v2"
    assert world.status.followed is not None
    assert (world.status.followed.version, world.status.followed.images) == ("v2", {"app": "v2"})
    assert world.written == {}
    assert world.cluster.deployment.template.image == "v2"
    assert events(world, "Followed") == ["v2 is taken over from checkout in staging"]
    assert world.status.message == "v2 serves; follows checkout in staging"
    assert ready(world)


def test_taking_over_and_starting_are_two_decisions():
    """The images are in the status before anything is made of them: who dies in between finds them there."""
    world = following()
    proves(world, "v2")

    made = world.operate()

    assert made.writes == ["status"]
    assert world.status.rollout is None
    assert not ready(world)
    assert made.plan.due is not None
    assert made.plan.due - at(world.now) <= timedelta(seconds=1)


def test_a_version_is_taken_over_after_its_soak():
    """The operator wakes when it is over, and people read until when it lasts."""
    world = following()
    world.soak = timedelta(hours=1)
    proves(world, "v2")
    world.crank(10)

    assert (stable(world), world.status.rollout) == ("v1", None)
    assert "v1 serves; follows checkout in staging: v2 is not proved: promoted Thu 2026-01-01" in world.status.message
    assert world.last is not None
    assert world.followed is not None
    assert world.followed.promoted_at is not None
    (entry,) = world.status.waiting_for
    assert world.last.plan.due == entry.until == world.followed.promoted_at + world.soak
    assert (entry.barrier, entry.how) == ("Follow", "")

    world.cluster.now += 3600
    finish(world)
    assert stable(world) == "v2"


def test_a_rejected_version_is_not_taken_over_again():
    """v2 failed here. Staging goes on to v3, which is taken over, and back to v2, which is not."""
    world = rejecting()
    assert world.status.followed is not None
    assert world.status.followed.held is None
    world.crank(30)
    assert (world.status.phase, stable(world)) == (Phase.ROLLED_BACK, "v1")

    world.quality.clear()
    proves(world, "v3")
    finish(world)
    assert stable(world) == "v3"

    proves(world, "v2")
    finish(world)
    assert (stable(world), world.status.followed.version) == ("v3", "v3")
    assert world.status.message == "v3 serves; follows checkout in staging: v2 was rejected here"


def test_a_rejected_version_may_be_tried_again_by_request():
    """It is still the one that is wanted."""
    world = rejecting()
    world.quality.clear()

    world.ask("retry/1")
    finish(world)

    assert stable(world) == "v2"


@pytest.mark.parametrize("verb", ["rollback", "rollback-and-hold"])
def test_a_requested_rollback_holds_it_until_a_request_to_resume(verb: str):
    """A person has taken v2 back: v3 is not taken over by itself, and the status says what is asked for."""
    world = rejecting(verb)
    proves(world, "v3")
    world.crank(30)

    assert world.status.followed is not None
    assert world.status.followed.held is not None
    assert (world.status.followed.version, world.status.rollout) == ("v2", None)
    words = f"follows checkout in staging again after a request to resume: rollback was requested ({verb}/1)"
    assert f"{words}; to follow it again, annotate the Release with tidegate.dev/request=resume/<id>" in world.status.message
    assert events(world, "FollowingHeld") == [
        f"Nothing more is taken over from checkout in staging until a request to resume: rollback was requested ({verb}/1)"
    ]

    world.ask("resume/2")
    finish(world)
    assert stable(world) == "v3"
    assert events(world, "FollowingResumed") == ["Versions are taken over from checkout in staging again (resume/2)"]


def test_tools_read_that_it_is_held():
    """Beside the barriers that are closed."""
    world = rejecting("rollback")

    assert [entry.barrier for entry in world.status.waiting_for] == ["Follow"]


def test_a_rollout_that_is_on_is_not_replaced():
    """Staging goes on to v3 while v2 is on its way here: v2 is promoted, and v3 comes after it."""
    world = following()
    proves(world, "v2")
    reach(world, 25)
    proves(world, "v3")
    versions = []

    assert world.crank(300, until=lambda: versions.append(stable(world)) or versions[-1] == "v3")

    assert list(dict.fromkeys(versions)) == ["v1", "v2", "v3"]


@pytest.mark.parametrize("more", [{"exists": False}, {"unread": "away"}, {"deleting": True}, {"images": {}}])
def test_what_is_not_known_changes_nothing(more: dict[str, Any]):
    """What serves serves on, and the Release is Ready: nothing is wanted of it."""
    world = following()
    proves(world, "v2", **more)
    finish(world)

    assert stable(world) == "v1"
    assert ready(world)
    assert world.status.message.startswith("v1 serves; follows checkout in staging: ")


def test_who_ends_following_keeps_what_serves():
    """The overlay goes, the Deployment has had the images since the promotion, and nothing is rolled out."""
    world = following()
    proves(world, "v2")
    finish(world)
    world.followed = None

    finish(world)

    assert (stable(world), world.status.followed) == ("v2", None)
    assert world.status.last_rollout is not None
    assert world.status.last_rollout.version == "v2"


def test_a_breach_of_what_was_taken_over_rolls_back_as_any_other():
    """The weight is gone in the same pass, with the same writes, as for images that a person has written."""
    courses: list[tuple[float, list[str]]] = []
    for by_hand in (True, False):
        world = following(SLOW) if not by_hand else begun(SLOW)
        if by_hand:
            world.images = {"app": "v2"}
        else:
            proves(world, "v2")
        reach(world, 25)
        world.quality["errors"] = 0.5
        began = world.now
        assert world.crank(20, until=lambda world=world: world.status.weight == 0)
        assert world.last is not None
        courses.append((world.now - began, [repr(write) for write in _away(world.last.plan)]))
        finish(world, Phase.ROLLED_BACK)
        assert world.status.rejected[-1].cause is Cause.GATE
        assert condition(world, "Stalled")

    assert courses[0] == courses[1]


def _away(plan: Plan) -> tuple[object, ...]:
    return plan.away


def test_crashes_take_over_once():
    """Whatever write the operator dies after, the version is taken over once and promoted once."""
    for crash in range(4):
        world = following()
        proves(world, "v2")
        world.operate(crash_after=crash)
        finish(world)

        assert stable(world) == "v2"
        assert len(events(world, "Followed")) <= 1
        assert world.status.last_rollout is not None
        assert world.status.last_rollout.version == "v2"
