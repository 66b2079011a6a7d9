"""A Release that comes after another: what keeps a version from starting, what starts it, and what never waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from simulation.policies import at_weight, events, finish, gate, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.api.release import Match
from tidegate.governance.upstreams import AfterView, UpstreamView
from tidegate.governance.view import GovernanceView

STEPS = policy(step(25, "5s"), step(100), bake="3s")
HOUR = timedelta(hours=1)


def after(world: World, version: str, *, soak: timedelta = HOUR, match: Match = Match.IMAGES, **more: Any) -> None:
    """Have a Release in staging promote a version now, of which the world asks a soak."""
    known: dict[str, Any] = {"version": version, "images": {"app": version}, "promoted_at": at(world.now)}
    staging = UpstreamView(release="checkout", namespace="staging", **(known | more))
    world.governance = GovernanceView(upstreams=(AfterView(staging, soak, match),))


def test_a_version_starts_once_it_has_soaked_and_no_sooner():
    """Given a soak of an hour, when v2 is applied, nothing of it is made; the operator wakes when that is over, and v2 starts."""
    world = idle(STEPS)
    after(world, "v2")
    proved_at = at(world.now) + HOUR
    world.apply("v2")
    world.crank(30)

    assert (Phase.WAITING, None, 0) == (world.status.phase, world.status.rollout, world.status.weight)
    assert ["v1"] == [rs.template.image for rs in world.cluster.replica_sets.values()]
    promoted = "promoted Thu 2026-01-01 00:00 UTC, so until Thu 2026-01-01 01:00 UTC"
    told = f"v2 waits for checkout in staging to have run v2 for 1h: {promoted}"
    assert f"{told}; v1 serves meanwhile" == world.status.message
    assert [told] == events(world, "Waiting")
    assert world.last is not None
    assert world.last.plan.due == proved_at

    world.cluster.now = 3600 + (proved_at - at(3600)).total_seconds() - 1
    world.operate()
    assert world.status.rollout is None
    finish(world)
    assert world.status.stable is not None
    assert world.status.stable.version == "v2"


def test_tools_read_the_barrier_in_fields():
    """Which barrier, about which Release, and until when."""
    world = idle(STEPS)
    after(world, "v2")
    world.apply("v2")
    world.crank(5)

    (entry,) = world.status.waiting_for

    assert (entry.barrier, entry.how, entry.until) == ("Upstream", "", world.governance.upstreams[0].upstream.promoted_at + HOUR)
    assert entry.what.startswith("checkout in staging: promoted Thu")


def test_another_version_there_is_waited_for():
    """Nothing but what happens there can tell when: people read what serves there now."""
    world = idle(STEPS)
    after(world, "v1", soak=timedelta(0))
    world.apply("v2")
    world.crank(5)

    assert world.status.message == "v2 waits for checkout in staging to have promoted v2: v1 serves there; v1 serves meanwhile"
    assert world.status.waiting_for[0].until is None

    after(world, "v2", soak=timedelta(0))
    finish(world)
    assert world.status.stable is not None
    assert world.status.stable.version == "v2"


def test_all_that_it_comes_after_must_have_proved_it():
    """The first that has not is told."""
    world = idle(STEPS)
    after(world, "v2", soak=timedelta(0))
    (done,) = world.governance.upstreams
    other = AfterView(replace(done.upstream, release="ledger", exists=False))
    world.governance = GovernanceView(upstreams=(done, other))
    world.apply("v2")
    world.crank(5)

    assert "v2 waits for ledger in staging to have promoted v2: there is no such Release" in world.status.message

    world.governance = GovernanceView(upstreams=(done, done))
    finish(world)
    assert world.status.stable is not None
    assert world.status.stable.version == "v2"


def test_a_request_for_promotion_does_not_pass_it():
    """There is no rollout that it could skip anything of."""
    world = idle(STEPS)
    after(world, "v1")
    world.apply("v2")
    world.crank(5)
    world.ask("promote/1")
    world.crank(10)

    assert world.status.rollout is None


def test_a_rollout_that_has_begun_goes_on():
    """It is asked at the start: what the other Release does later is its own affair, and gates see to this one."""
    world = idle(STEPS)
    after(world, "v2", soak=timedelta(0))
    world.apply("v2")
    reach(world, 25)
    after(world, "v2", exists=False)

    finish(world)

    assert world.status.stable is not None
    assert world.status.stable.version == "v2"


@pytest.mark.parametrize("more", [{"exists": False}, {"unread": "away"}, {"rolling_back": True}, {"images": {"app": "v9"}}])
def test_a_breach_rolls_back_whatever_the_other_release_does(more: dict[str, Any]):
    """The weight is gone in the very pass in which it would be without one."""
    courses = []
    for governed in (False, True):
        world = at_weight(25, policy(step(25, "60s"), step(100), gates=(gate(),)))
        if governed:
            after(world, "v2", **more)
        world.quality["errors"] = 0.5
        began = world.now
        assert world.crank(20, until=lambda world=world: world.status.weight == 0)
        assert world.last is not None
        courses.append((world.now - began, [repr(write) for write in world.last.plan.away]))

    assert courses[0] == courses[1]


def test_who_goes_back_to_what_has_served_waits_for_nobody():
    """v2 was promoted, and its author reverts the commit: v1 has served here, and is rolled out at once."""
    world = idle(STEPS)
    world.apply("v2")
    finish(world)
    after(world, "v2")

    world.apply("v1")
    finish(world)

    assert world.status.stable is not None
    assert world.status.stable.version == "v1"
    assert len(world.status.served or ()) == 1


def test_a_restart_waits_for_nobody():
    """A restart is no version."""
    world = idle(STEPS)
    after(world, "v9")

    world.apply("v1", restarted="now")
    finish(world)

    assert world.status.stable is not None
    assert world.status.stable.version == "v1"


def test_no_more_than_five_versions_are_known_to_have_served():
    """The oldest are forgotten, and each is known once."""
    world = idle(policy(step(100), bake="0s", drain="0s"))
    for number in range(2, 9):
        world.apply(f"v{number}")
        finish(world)

    assert len(world.status.served or ()) == len({*(world.status.served or ())}) == 5
