"""What the status says of the version in force, by which Releases that come after it know that it is proved."""

from __future__ import annotations

from datetime import timedelta

from simulation.policies import finish, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.edits import edited
from tidegate.api.names import Cause, Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import RevisionStatus


def stable(world: World) -> RevisionStatus:
    """Return the version in force."""
    assert world.status.stable is not None
    return world.status.stable


def promoted(version: str = "v2") -> World:
    """Return a world that has promoted a version."""
    world = idle()
    world.apply(version)
    finish(world)
    assert stable(world).version == version
    return world


def begun(world: World) -> None:
    """Have a third version reach its first step, which is held for long."""
    world.policy = RolloutPolicySpec.model_validate(policy(step(5, "1h"), step(100)))
    world.apply("v3")
    reach(world, 5)


def test_what_is_found_counts_from_then_on():
    """Since when it serves is not known; that it serves is, from the moment at which it was taken on."""
    world = idle()

    assert stable(world).images == {"app": "v1"}
    assert stable(world).promoted_at is not None
    assert stable(world).rolled_back_at is None


def test_a_promotion_notes_images_and_time():
    """The moment is that at which the rollout ended, bake and all."""
    world = promoted()

    last = world.status.last_rollout
    assert last is not None
    assert stable(world).images == {"app": "v2"}
    assert stable(world).promoted_at == last.finished_at


def test_a_restart_does_not_begin_it_again():
    """A restart makes pods of another revision and no other version."""
    world = promoted()
    before = stable(world)

    world.apply("v2", restarted="now")
    finish(world)

    assert stable(world).revision != before.revision
    assert (stable(world).promoted_at, stable(world).images) == (before.promoted_at, before.images)


def test_a_rollback_is_noted_on_what_serves_again():
    """The later version was rolled back to it: when that ended stands beside when it was promoted."""
    world = promoted()
    before = stable(world)
    begun(world)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)

    last = world.status.last_rollout
    assert last is not None
    assert last.cause is Cause.REQUEST
    assert stable(world).rolled_back_at == last.finished_at
    assert stable(world).promoted_at == before.promoted_at


def test_a_version_that_is_taken_back_by_its_people_is_no_rollback():
    """The template was set back before anything was found against the version."""
    world = promoted()
    begun(world)
    world.apply("v2")
    finish(world)

    assert stable(world).rolled_back_at is None


def test_what_was_rolled_out_without_tidegate_was_promoted_by_nobody():
    """Its images are known, and nothing has judged it."""
    world = promoted()
    world.cluster.deployment.labelled = False
    world.apply("v3")
    world.settle_controllers(30)
    finish(world)

    assert stable(world).images == {"app": "v3"}
    assert stable(world).promoted_at is None


def test_a_status_of_an_operator_before_this_one_is_completed():
    """Images are read off what serves; the promotion is that of the last rollout if that was of this version, else it is now."""
    world = promoted()
    last = world.status.last_rollout
    assert last is not None
    world.status = edited(world.status, stable=edited(stable(world), images=None, promoted_at=None))
    world.cluster.now += 3600
    finish(world)
    assert stable(world).promoted_at == last.finished_at

    world.status = edited(world.status, stable=edited(stable(world), images=None, promoted_at=None), last_rollout=None)
    finish(world)
    assert stable(world).images == {"app": "v2"}
    assert last.finished_at + timedelta(seconds=3600) <= (stable(world).promoted_at or at(0))
