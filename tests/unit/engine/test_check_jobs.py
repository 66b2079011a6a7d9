"""Checks by Jobs: made once each, waited for at their point, run again or not; and what becomes of a version that fails."""

from __future__ import annotations

import pytest

from simulation.deciders import decide
from simulation.policies import at_weight, condition, events, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.checked import CheckResult
from tidegate.api.decision import Action, Result
from tidegate.api.names import Cause, Phase
from tidegate.governance.runs import RunState

STEPS = (step(25, "5s"), step(50, "5s"), step(100))


def asks(point: str = "Start", name: str = "smoke", **more) -> dict:
    """Return an entry of a policy."""
    return {"name": name, "at": point, "cronJob": f"checkout-{name}"} | more


def waiting(*entries: dict, **more) -> World:
    """Return a world in which v2 is wanted under a policy with checks, a few seconds later."""
    world = idle(policy(*STEPS, bake="3s", checks=list(entries), **more))
    world.apply("v2")
    world.crank(5)
    return world


def kept_at(world: World) -> int:
    """Return the weight at which a world stands after a while."""
    world.crank(60)
    return world.status.weight


def test_version_waits_for_its_job_before_it_starts():
    """One Job is made of the CronJob, and nothing of v2; people read its name; when it is complete, v2 takes over."""
    world = waiting(asks())
    (job,) = world.jobs.made
    name = job.run.job
    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)
    assert ["v1"] == [rs.template.image for rs in world.cluster.replica_sets.values()]
    words = f"check smoke: Job {name} may take 10m; its output: kubectl logs job/{name} -n shop"
    assert f"v2 waits for {words}; v1 serves meanwhile" == world.status.message
    assert [("Check", words, "")] == [(one.barrier, one.what, one.how) for one in world.status.waiting_for]

    world.jobs.end("smoke", RunState.COMPLETE)
    world.crank(2)
    assert [f"v2 passed check smoke (Job {name})"] == events(world, "CheckPassed")
    finish(world)

    assert "v2" == world.status.stable.version
    assert (1, ()) == (len(world.jobs.made), world.status.checks)


def test_what_the_job_is_told():
    """It runs for this Release, and says which version it checks against which, where, and at which point."""
    world = waiting(asks("50%", timeout="90s"))
    reach(world, 25)
    world.crank(10)

    run = world.jobs.of("smoke").run
    assert ("checkout", "release", "checkout-smoke", 90) == (run.release, run.release_uid, run.cron_job, run.seconds)
    revision = world.status.candidate.revision
    told = {"RELEASE": "checkout", "VERSION": "v2", "REVISION": revision, "STABLE_VERSION": "v1", "ENVIRONMENT": "", "PHASE": "50%"}
    assert {f"TIDEGATE_{name}": value for name, value in told.items()} == run.env


@pytest.mark.parametrize(("point", "stands_at"), [("Start", 0), ("25%", 0), ("50%", 25), ("100%", 50)])
def test_each_point_keeps_the_weight_below(point: str, stands_at: int):
    """The Job is made when the version has come to the point, and not before."""
    world = waiting(asks(point))
    reach(world, stands_at) if stands_at else None

    assert stands_at == kept_at(world)
    assert 1 == len(world.jobs.made)

    world.jobs.end("smoke", RunState.COMPLETE)
    finish(world)
    assert "v2" == world.status.stable.version


def test_several_run_one_after_the_other():
    """In the order of the policy; the next begins when the one before has passed."""
    world = waiting(asks(), asks(name="load"))
    assert ["smoke"] == [one.run.check for one in world.jobs.made]

    world.jobs.end("smoke", RunState.COMPLETE)
    world.crank(5)
    assert ["smoke", "load"] == [one.run.check for one in world.jobs.made]

    world.jobs.end("load", RunState.COMPLETE)
    finish(world)


def test_a_check_that_failed_waits_for_a_retry():
    """Nothing is taken from the version, the sentence says where to read why; the request retry has it run again, once."""
    world = waiting(asks("50%"))
    reach(world, 25)
    world.crank(10)
    world.jobs.end("smoke", RunState.FAILED)

    assert 25 == kept_at(world)
    name = world.jobs.of("smoke").run.job
    why = f"Job {name} failed (BackoffLimitExceeded); its output: kubectl logs job/{name} -n shop"
    assert f"waits for check smoke, which failed: {why}; to run it again, annotate the Release with" in world.status.message
    assert [f"v2 failed check smoke, and waits (onFailure: Pause): {why}"] == events(world, "CheckFailed")

    world.ask("retry/1")
    world.crank(5)
    assert 2 == len({one.run.job for one in world.jobs.made})
    world.jobs.end("smoke", RunState.COMPLETE)
    finish(world)


def test_retries_make_another_job_each():
    """Two retries are three Jobs with names of their own; the last one counts."""
    world = waiting(asks(retries=2))
    for _ in range(3):
        world.jobs.end("smoke", RunState.FAILED)
        world.crank(5)

    assert 3 == len({one.run.job for one in world.jobs.made})
    assert [3] == [one.attempt for one in world.status.checks]
    told = [
        "and is checked again (attempt 2 of 3)",
        "and is checked again (attempt 3 of 3)",
        "and waits (onFailure: Pause)",
    ]
    assert told == [words.split(", ")[1].split(": Job")[0] for words in events(world, "CheckFailed")]
    assert Phase.WAITING is world.status.phase


def test_onfailure_reject_keeps_a_version_out_before_it_starts():
    """Nothing of it was there; after a retry it is checked again by another Job."""
    world = waiting(asks(onFailure="Reject"))
    world.jobs.end("smoke", RunState.FAILED)
    world.crank(5)

    assert (Phase.ROLLED_BACK, None) == (world.status.phase, world.status.rollout)
    (rejected,) = world.status.rejected
    assert Cause.CHECK is rejected.cause
    assert "v2 was rejected, v1 serves: check smoke failed: Job checkout-smoke-" in world.status.message
    assert ["v1"] == [rs.template.image for rs in world.cluster.replica_sets.values() if rs.pods]

    world.ask("retry/1")
    world.crank(5)
    assert 2 == len({one.run.job for one in world.jobs.made})
    world.jobs.end("smoke", RunState.COMPLETE)
    finish(world)
    assert "v2" == world.status.stable.version


def test_onfailure_reject_takes_the_traffic_back():
    """At a weight it is a rollback as by a breach: in the pass that sees it, no weight is left."""
    world = waiting(asks("50%", onFailure="Reject"))
    reach(world, 25)
    world.crank(10)
    world.jobs.end("smoke", RunState.FAILED)
    world.operate()
    world.operate()

    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)
    finish(world, Phase.ROLLED_BACK)
    assert (Cause.CHECK, ()) == (world.status.last_rollout.cause, world.status.checks)


def test_onfailure_warn_goes_on_and_says_so():
    """Once, in an Event."""
    world = waiting(asks(onFailure="Warn"))
    world.jobs.end("smoke", RunState.FAILED)
    finish(world)

    assert "v2" == world.status.stable.version
    (told,) = events(world, "CheckFailed")
    assert told.startswith("v2 failed check smoke, and goes on (onFailure: Warn): Job checkout-smoke-")


@pytest.mark.parametrize("failure", ["Reject", "Warn"])
def test_onfailure_counts_for_attested_checks_too(failure: str):
    """When the version has come to the point, and not before."""
    entry = {"name": "scan", "at": "50%", "attested": {"role": "ci"}, "onFailure": failure}
    world = waiting(entry)
    decide(world, Action.ATTEST, "pipeline", role="ci", check="scan", result=Result.FAILED)
    reach(world, 25)
    assert Phase.PROGRESSING is world.status.phase

    if failure == "Warn":
        finish(world)
        (told,) = events(world, "CheckFailed")
        assert told.startswith("v2 failed check scan, and goes on (onFailure: Warn): pipeline attested Failed at ")
    else:
        finish(world, Phase.ROLLED_BACK)
        assert Cause.CHECK is world.status.last_rollout.cause
        assert "check scan failed; pipeline attested Failed at " in world.status.message


def test_job_of_a_version_that_is_not_wanted_any_more_is_stopped():
    """Its successor waits until it has stopped, and then gets one of its own."""
    world = waiting(asks())
    first = world.jobs.of("smoke").run

    world.apply("v3")
    world.crank(10)

    assert [first.job] == world.jobs.stopped
    second = world.jobs.of("smoke").run
    assert ("v2", "v3") == (first.env["TIDEGATE_VERSION"], second.env["TIDEGATE_VERSION"])
    assert [second.job] == [one.job for one in world.status.checks]


@pytest.mark.parametrize("way", ["rollback", "breach"])
def test_job_of_a_version_that_is_rolled_back_is_stopped(way: str):
    """And the rollback does not wait for that."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),), checks=[asks("50%")]))
    world.crank(20)
    job = world.jobs.of("smoke").run.job
    world.look("errors", 0.5) if way == "breach" else world.ask("rollback/1")
    world.operate()

    assert (0, Phase.ROLLING_BACK, []) == (world.status.weight, world.status.phase, world.jobs.stopped[1:])
    finish(world, Phase.ROLLED_BACK)
    assert ([job], ()) == (world.jobs.stopped, world.status.checks)


def test_check_that_the_policy_has_dropped_is_stopped_before_a_start():
    """So is one of another CronJob."""
    world = waiting(asks())
    first = world.jobs.of("smoke").run
    world.policy = world.policy.model_validate(policy(*STEPS, bake="3s", checks=[asks(cronJob="other")]))
    world.crank(10)

    assert [first.job] == world.jobs.stopped
    assert "other" == world.jobs.of("smoke").run.cron_job
    world.policy = world.policy.model_validate(policy(*STEPS, bake="3s"))
    finish(world)


def test_what_keeps_a_job_from_being_made_is_told():
    """A CronJob that is missing, or that does not let the Release run it: the sentence names it, and it is tried again."""
    world = idle(policy(*STEPS, bake="3s", checks=[asks()]))
    world.jobs.refused = "CronJob checkout-smoke was not found in shop"
    world.apply("v2")
    world.crank(10)
    words = "v2 waits for check smoke, whose Job cannot be made: CronJob checkout-smoke was not found in shop; v1 serves meanwhile"
    assert words == world.status.message

    world.jobs.refused = ""
    world.jobs.verdicts["smoke"] = RunState.COMPLETE
    finish(world)


def test_deleted_job_is_no_job_that_has_passed():
    """Somebody deletes it while it runs: that is an attempt that failed, and is not made again by itself."""
    world = waiting(asks())
    world.jobs.there.clear()
    world.crank(10)

    assert "which failed: Job " in world.status.message
    assert " was deleted before it had ended" in world.status.message
    assert 1 == len(world.jobs.made)


def test_freeze_lets_no_job_begin():
    """Something else is in the way: what is found now may be of another day's version."""
    window = {"timeZone": "UTC", "deny": [{"cron": "* * * * *", "for": "2m"}]}
    world = waiting(asks(), windows=window)
    world.crank(20)

    assert ["Window", "Check"] == [one.barrier for one in world.status.waiting_for]
    assert [] == world.jobs.made


def test_condition_says_for_which_releases():
    """Where it is not true, no Job is made."""
    world = waiting(asks(when="release.type == 'hotfix'"))
    finish(world)

    assert [] == world.jobs.made


@pytest.mark.parametrize("writes", range(6))
def test_crash_at_any_write_makes_no_job_twice(writes: int):
    """The operator dies after so many writes of the pass that begins the check, and of the one after: no name comes twice."""
    world = idle(policy(*STEPS, bake="3s", checks=[asks()]))
    world.apply("v2")
    for _ in range(4):
        world.operate(crash_after=writes)
        world.crank(1)
    world.crank(5)

    assert 1 == len(world.jobs.made)
    world.jobs.end("smoke", RunState.COMPLETE)
    finish(world)
    assert 1 == len(world.jobs.made)


def test_breach_does_not_wait_for_a_job():
    """While a version waits for a Job at a weight, a gate that fails rolls it back in the pass that sees it."""
    world = at_weight(25, policy(*STEPS, gates=(gate(),), checks=[asks("50%")]))
    world.crank(20)
    assert [CheckResult.RUNNING] == [one.result for one in world.status.checks]

    world.look("errors", 0.5)
    world.operate()

    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)


def test_full_promotion_does_not_stand_for_a_check():
    """A person who asks for full promotion skips steps and gates, and no check of what lies ahead."""
    world = waiting(asks("100%"))
    world.ask("promote/1")

    assert kept_at(world) in (25, 50)
    world.jobs.end("smoke", RunState.COMPLETE)
    finish(world)


def test_check_after_a_promotion_is_told_and_undoes_nothing():
    """It begins when the version is promoted, and the Release is Ready; a failure is told, and noted until the next rollout."""
    world = waiting(asks("Promoted", "contract", retries=1), asks("RolledBack", "cleanup"))
    finish(world)
    assert ("v2", True) == (world.status.stable.version, condition(world, "Ready"))
    assert ["contract"] == [one.run.check for one in world.jobs.made]
    env = world.jobs.of("contract").run.env
    told = {name: env[f"TIDEGATE_{name}"] for name in ("VERSION", "STABLE_VERSION", "PHASE")}
    assert {"VERSION": "v2", "STABLE_VERSION": "v2", "PHASE": "Promoted"} == told

    for _ in range(2):
        world.jobs.end("contract", RunState.FAILED)
        world.crank(5)
    assert 2 == len(world.jobs.made)
    assert events(world, "CheckFailed")[-1].startswith("v2 failed check contract, and nothing is undone: Job checkout-contract-")
    assert ("v2", Phase.IDLE, [CheckResult.FAILED]) == (
        world.status.stable.version,
        world.status.phase,
        [one.result for one in world.status.checks],
    )

    world.apply("v3")
    reach(world, 25)
    assert () == world.status.checks


def test_check_after_a_rollback_is_about_what_was_rolled_back():
    """And about what serves."""
    world = waiting(asks("RolledBack", "cleanup"))
    reach(world, 25)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    world.crank(5)

    env = world.jobs.of("cleanup").run.env
    assert ("v2", "v1", "RolledBack") == tuple(env[f"TIDEGATE_{name}"] for name in ("VERSION", "STABLE_VERSION", "PHASE"))
    world.jobs.end("cleanup", RunState.COMPLETE)
    world.crank(5)
    assert [f"v2 passed check cleanup (Job {world.jobs.of('cleanup').run.job})"] == events(world, "CheckPassed")
    assert 1 == len(world.jobs.made)


def test_check_after_a_rollout_is_stopped_by_the_next():
    """It was about what served then."""
    world = waiting(asks("Promoted", "contract"))
    finish(world)
    job = world.jobs.of("contract").run.job
    world.apply("v3")
    reach(world, 25)

    assert ([job], ()) == (world.jobs.stopped, world.status.checks)
