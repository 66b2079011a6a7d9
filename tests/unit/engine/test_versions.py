"""Which template is a version, which is none, and which is not tried again."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, reach, reason, step
from simulation.world import World
from tidegate.api.names import Cause, EventReason, Phase, Reason
from tidegate.api.status import Outcome, RevisionStatus
from tidegate.engine.draft import apart
from tidegate.engine.handover.deployment.view import Owner

LONG = (step(5, "60s"), step(100))


def rolled_back(image: str = "v2") -> World:
    """Return a world in which a version was rolled back by a gate."""
    world = at_weight(5, policy(*LONG, gates=(gate(),)), image)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    return world


def test_the_same_tag_twice_is_told_apart():
    """A tag with another environment is another version: where both are spoken of, each has its revision in its name."""
    old, new = RevisionStatus(revision="aaa", version="v2"), RevisionStatus(revision="bbb", version="v2")

    assert ("v2 (revision aaa)", "v2 (revision bbb)") == (apart(old, new).version, apart(new, old).version)
    assert "v2" == apart(old, None).version == apart(old, old).version
    assert "v2" == apart(old, new.model_copy(update={"version": "v3"})).version


def test_newer_version_supersedes():
    """v3 while v2 is in progress: v2's weight and pods go, v3 starts at the first step, and the route stays split."""
    world = at_weight(5, policy(*LONG))
    world.apply("v3")
    world.crank(0.5)
    assert (world.status.phase, world.status.weight) == (Phase.ROLLING_BACK, 0)
    assert world.status.message.startswith("Rolling back v2, v1 serves: v3 replaces it")

    assert world.crank(30, until=lambda: world.status.candidate.version == "v3")
    assert (world.status.last_rollout.version, world.status.last_rollout.outcome) == ("v2", Outcome.SUPERSEDED)
    assert world.cluster.routes["web"].backends != (("checkout", 1),)
    reach(world, 5)
    assert world.status.rejected == ()
    assert "checkout-own-v2" not in world.cluster.replica_sets


def test_newer_version_supersedes_before_the_route_is_prepared():
    """v3 while the route is being prepared for v2 takes over what is prepared."""
    world = idle(policy(*LONG))
    world.apply("v2")
    world.crank(0.5)
    world.apply("v3")
    world.crank(0.5)

    assert world.status.candidate.version == "v3"
    reach(world, 5)
    assert [rs.template.image for rs in world.cluster.owned(Owner.RELEASE)] == ["v3"]


def test_stable_template_is_back():
    """v1's template applied again while v2 is in progress: weight 0 at once, Idle, and nothing is rejected."""
    world = at_weight(5, policy(*LONG))
    world.apply("v1")
    world.crank(0.5)
    assert world.status.weight == 0

    finish(world)

    assert world.status.last_rollout.outcome is Outcome.REVERTED
    assert world.status.rejected == ()
    assert not world.cluster.deployment.paused


def test_rejected_version_is_wanted_in_place_of_another():
    """Going back to a version that was rejected before ends the rollout, and does not start that one."""
    world = rolled_back("v2")
    world.apply("v3")
    reach(world, 5)

    world.apply("v2")
    finish(world, Phase.ROLLED_BACK)

    assert world.status.last_rollout.message == "v2 is wanted again, but was rejected earlier"
    assert world.status.stable.version == "v1"
    assert world.cluster.routes["web"].backends == (("checkout", 1),)


def test_rejected_version_stays_out_whatever_is_synced():
    """Rolled back, and the same manifests synced ten times: nothing starts, also after the policy's steps were edited."""
    world = rolled_back()
    for _ in range(10):
        world.apply("v2")
        world.resync()
        world.crank(3)
    world.policy = world.policy.model_copy(update={"bake": world.policy.drain})
    world.crank(10)

    assert world.status.phase is Phase.ROLLED_BACK
    assert world.status.candidate is None
    assert world.cluster.deployment.paused


def test_rejected_version_stays_out_after_a_restart():
    """A restart annotation makes no other version of a rejected template."""
    world = rolled_back()

    world.apply("v2", restarted="now")
    world.crank(20)

    assert world.status.phase is Phase.ROLLED_BACK
    assert world.status.candidate is None


def test_rejected_before_it_had_pods_is_known_after_a_restart():
    """A version that was rolled back before its ReplicaSet was made gets one without pods, so that a restart of it is known."""
    world = idle(policy(*LONG))
    world.apply("v2")
    world.crank(0.5)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    assert world.cluster.replica_sets["checkout-own-v2"].wanted == 0

    world.apply("v2", restarted="now")
    world.crank(10)

    assert world.status.phase is Phase.ROLLED_BACK


def test_bad_bad_good():
    """Bad v2, bad v3, good v4: stable is untouched all along, and v4 is promoted without help."""
    world = rolled_back("v2")
    pods = {pod.id for pod in world.cluster.replica_sets["checkout-k8s-v1"].pods}
    world.apply("v3")
    reach(world, 5)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    assert not pods & world.cluster.stopped

    world.apply("v4")
    finish(world)

    assert world.status.stable.version == "v4"
    assert [entry.version for entry in world.status.rejected] == ["v2", "v3"]


def test_crash_looping_first_candidate_is_replaced_by_the_next():
    """A version that never becomes ready is replaced by the next one without waiting for its deadline."""
    world = idle(policy(*LONG))
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.crank(10)

    world.apply("v3")
    finish(world)

    assert world.status.stable.version == "v3"


def test_restart_is_no_version():
    """`kubectl rollout restart` with no rollout on goes through as the native rolling restart, without a step."""
    world = idle(policy(*LONG))
    world.apply("v1", restarted="now")
    world.crank(1)
    assert reason(world) == Reason.RESTARTING
    assert "waits for the Deployment to finish its own rolling restart" in world.status.message

    finish(world)

    assert world.weights == [0]
    assert world.status.stable.revision == "k8s-v1now"
    assert events(world, "Restarted") == ["The pods of v1 were restarted by the Deployment's own rolling update"]
    assert condition(world, "Promoted")


def test_restart_where_the_deployment_is_kept_held():
    """Without admission the Deployment is let go for the restart and held again after it."""
    world = idle(policy(*LONG), admission=False)

    world.apply("v1", restarted="now")
    finish(world)

    assert world.status.stable.revision == "k8s-v1now"
    assert world.cluster.deployment.paused


def test_restart_mid_rollout_waits_for_the_route():
    """A restart of stable mid-rollout ends the rollout first; stable's pods are not replaced while the route is bound to them."""
    world = at_weight(5, policy(*LONG))
    world.apply("v1", restarted="now")
    world.resume()
    finish(world)

    assert world.status.stable.revision == "k8s-v1now"
    assert world.status.last_rollout.outcome is Outcome.REVERTED


def test_new_version_during_a_restart():
    """A new version that comes while the Deployment restarts is held, and rolls out once one ReplicaSet serves alone."""
    world = idle(policy(*LONG))
    world.apply("v1", restarted="now")
    world.crank(2.5)
    world.apply("v2")

    finish(world)

    assert world.status.stable.version == "v2"
    assert [rs.template.image for rs in world.cluster.replica_sets.values() if rs.pods] == ["v2"]


def test_images_are_laid_over():
    """With spec.images, what counts is the template with the images; they are written into the Deployment at promotion only."""
    world = idle(policy(*LONG))
    world.images = {"app": "v2"}
    reach(world, 5)
    assert world.cluster.deployment.template.image == "v1"

    finish(world)

    assert world.status.stable.version == "v2"
    assert world.cluster.deployment.template.image == "v2"
    assert not world.cluster.deployment.paused


@pytest.mark.parametrize("admission", [True, False])
def test_git_keeps_an_older_image(admission: bool):
    """Git may keep an older image in the Deployment than the Release: nothing is fought over, and nothing rolls."""
    world = idle(policy(*LONG), admission=admission)
    world.images = {"app": "v2"}
    finish(world)

    world.apply("v1")
    finish(world)
    world.crank(10)

    assert world.status.stable.version == "v2"
    assert world.cluster.deployment.template.image == "v1"
    assert world.cluster.deployment.paused
    assert condition(world, "Ready")

    world.images = {"app": "v3"}
    finish(world)
    assert world.status.stable.version == "v3"


def test_undo_rolls_the_older_replica_set_out():
    """`kubectl rollout undo` is a rollout of the older ReplicaSet: it is taken over, goes up the steps, and is adopted back."""
    world = at_weight(5, policy(*LONG))
    finish(world)
    older = world.cluster.replica_sets["checkout-k8s-v1"]

    world.undo()
    reach(world, 5)
    assert older.owner is Owner.RELEASE
    assert "checkout-own-v1" not in world.cluster.replica_sets

    finish(world)
    assert world.status.stable.revision == "k8s-v1"
    assert older.owner is Owner.DEPLOYMENT


def test_undo_mid_rollout_after_resume():
    """A person resumes and undoes mid-rollout: the template of what serves is back, so the rollout ends."""
    world = at_weight(5, policy(*LONG))
    world.resume()
    world.apply("v1")

    finish(world)

    assert world.status.stable.version == "v1"
    assert [rs.template.image for rs in world.cluster.replica_sets.values() if rs.pods] == ["v1"]


def test_resume_by_a_person_is_held_again():
    """`kubectl rollout resume` mid-rollout is held again at once, and an Event says how to promote; what it began is stopped."""
    world = at_weight(5, policy(*LONG))
    world.resume()
    world.cluster.tick()
    world.crank(0.5)

    assert world.cluster.deployment.paused
    held = "The Deployment was resumed before its template was released, and is paused again; "
    assert events(world, "Held") == [held + "to roll it out, annotate the Release with tidegate.dev/request=promote/<id>"]
    finish(world)
    assert world.status.stable.revision == "own-v2"
    assert [rs.revision for rs in world.cluster.replica_sets.values() if rs.pods] == ["own-v2"]


def test_resume_of_a_rejected_version_is_held_again():
    """A rejected version that a person lets go is held again, and the Event says how to try it again."""
    world = rolled_back()
    world.resume()
    world.cluster.tick()
    world.crank(10)

    assert events(world, "Held")[0].endswith("annotate the Release with tidegate.dev/request=retry/<id>")
    assert world.status.phase is Phase.ROLLED_BACK
    assert [rs.template.image for rs in world.cluster.replica_sets.values() if rs.wanted] == ["v1"]


def test_second_replica_set_of_the_template_goes_before_adoption():
    """A ReplicaSet of the same template that the Deployment made past the hold is in nobody's way at the adoption."""
    world = idle(policy(*LONG))
    world.cluster.deployment.labelled = False
    world.apply("v2")
    world.cluster.tick()
    duplicate = world.cluster.replica_sets["checkout-k8s-v2"]
    world.crank(0.5)
    reach(world, 5)

    finish(world)

    serving = [rs for rs in world.cluster.replica_sets.values() if rs.pods]
    assert [rs.template.image for rs in serving] == ["v2"]
    assert duplicate in serving or duplicate.name not in world.cluster.replica_sets


def test_what_a_dead_operator_could_not_hold_is_accepted_mid_rollout():
    """A Deployment that a person let go mid-rollout while the operator was dead is accepted, and traffic finds pods."""
    world = at_weight(5, policy(*LONG))
    world.resume()
    world.settle_controllers(40)

    world.crank(2)
    shares = dict(world.cluster.routes["web"].in_force)
    assert shares["checkout-stable"] == 100
    assert world.cluster.services["checkout-stable"].addresses

    finish(world)
    assert world.status.stable.revision == "k8s-v2"
    assert world.status.last_rollout.cause is Cause.REVERTED


def test_rejected_version_that_a_person_rolled_out_is_accepted():
    """What serves is not rejected: the memory of it goes with the ReplicaSet that carried it."""
    world = rolled_back()
    world.resume()
    world.settle_controllers(40)

    finish(world)

    assert world.status.stable.revision == "k8s-v2"
    assert world.status.rejected == ()
    assert "checkout-own-v2" not in world.cluster.replica_sets
    assert condition(world, "Ready")


def test_candidate_that_the_deployment_rolled_out_itself_is_promoted():
    """The candidate is a ReplicaSet of the Deployment's own, and it came to serve past the hold: that is its promotion."""
    world = idle(policy(*LONG))
    finish(world)
    world.apply("v2")
    finish(world)
    world.undo()
    world.crank(0.5)
    assert world.status.candidate.revision == "k8s-v1"
    world.resume()
    world.settle_controllers(40)

    finish(world)

    assert world.status.stable.revision == "k8s-v1"
    assert world.status.last_rollout.message == "it was rolled out without Tidegate"


def test_pods_of_a_rejected_version_that_somebody_scales_up_are_stopped():
    """A ReplicaSet of a rejected version gets no pods, whoever scales it."""
    world = rolled_back()
    world.cluster.replica_sets["checkout-own-v2"].wanted = 3

    world.crank(3)

    assert world.cluster.replica_sets["checkout-own-v2"].wanted == 0


def test_memory_of_rejections_is_bounded():
    """The list of rejections keeps the last ten."""
    world = idle(policy(*LONG))
    for number in range(2, 14):
        world.apply(f"v{number}")
        world.crank(1)
        world.ask(f"rollback/{number}")
        finish(world, Phase.ROLLED_BACK)

    assert [entry.version for entry in world.status.rejected] == [f"v{number}" for number in range(4, 14)]


def test_scaled_up_from_zero_stable_serves_again():
    """Scaled up from 0, a held Deployment starts its newest ReplicaSet, also one that a person has undone: stable it is instead."""
    world = at_weight(5, policy(*LONG, gates=(gate(),)))
    world.ask("promote/1")
    finish(world)
    world.undo()
    world.ask("promote/2")
    finish(world)
    assert world.status.stable.revision == "k8s-v1"
    world.apply("v3")
    reach(world, 5)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)

    world.cluster.scale(0)
    world.crank(10)
    world.cluster.scale(4)
    world.crank(20)

    assert {rs.template.image: rs.wanted for rs in world.cluster.replica_sets.values()} == {"v1": 4, "v2": 0, "v3": 0}
    assert world.status.stable.revision == "k8s-v1"


def test_name_that_comes_after_the_template_is_followed():
    """Given a template that is seen before the Release's new name for it, the version goes by that name to the end."""
    world = idle(policy(*LONG))
    world.version = "release-1"
    world.crank(0.5)
    world.apply("v2")
    world.crank(0.5)
    first = world.status.candidate.version
    world.version = "release-2"

    finish(world)

    assert (first, world.status.stable.version, world.status.last_rollout.version) == ("release-1", "release-2", "release-2")
    assert any("release-2 is promoted" in event for event in events(world, EventReason.PROMOTED))


def test_name_that_comes_before_the_template_is_the_new_versions():
    """Given a new name that is seen before the template that it is meant for, the version before keeps the name that it had."""
    world = idle(policy(*LONG))
    world.version = "release-1"
    world.apply("v2")
    finish(world)
    world.version = "release-2"
    world.crank(1)
    world.apply("v3")
    world.crank(1)

    assert (world.status.stable.version, world.status.candidate.version) == ("release-1", "release-2")
    assert "Rollout of release-2 (stable: release-1) starts under RolloutPolicy/production" in events(
        world, EventReason.ROLLOUT_STARTED
    )


def test_name_of_what_serves_can_be_changed():
    """What serves is called as the Release says, and by its image's tag once the Release says nothing any more."""
    world = idle(policy(*LONG))
    world.version = "release-1"
    world.crank(1)
    named = world.status.stable.version
    world.version = None
    world.crank(1)

    assert ("release-1", "v1") == (named, world.status.stable.version)


def test_name_of_a_rejected_version_is_kept():
    """A new name is for what comes: what was rejected, and what serves meanwhile, keep theirs."""
    world = rolled_back()

    world.version = "release-3"
    world.crank(1)

    assert (world.status.stable.version, world.status.rejected[0].version) == ("v1", "v2")


def test_a_version_that_waits_for_a_broken_route_is_not_idle():
    """Its rollout cannot begin: the phase is Waiting, the cause comes first, and the version is named; mended, it begins."""
    world = idle(policy(*LONG))
    world.cluster.routes["web"].trouble = "Gateway contour: listener is gone"
    world.apply("v2")
    world.crank(10)

    assert world.status.phase is Phase.WAITING
    assert world.status.message == "HTTPRoute web: Gateway contour: listener is gone; until this is fixed, v2 waits and v1 serves"
    assert condition(world, "Stalled")
    assert not condition(world, "Ready")

    world.cluster.routes["web"].trouble = ""
    reach(world, 5)
