"""Backup and migrations: in which order they run, what waits for them and what does not, and what comes of a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.cluster import USER
from simulation.policies import at_weight, events, finish, gate, idle, policy, reach, reason, step
from simulation.views import at
from simulation.world import World
from tidegate.api.base import SENTENCE
from tidegate.api.migrated import LONGEST_OUTPUT, MigrationResult
from tidegate.api.migrations import MigrationPhase
from tidegate.api.names import Cause, Phase
from tidegate.governance.freezes import FreezeView
from tidegate.governance.runs import RunState

STEPS = (step(25, "5s"), step(50, "5s"), step(100))
ALL = {name: {"cronJob": f"checkout-{name.lower()}"} for name in ("dryRun", "expand", "migrate", "contract", "rollback")}
BACKUP = {"cronJob": "checkout-backup"}
DONE = RunState.COMPLETE
FAILED = RunState.FAILED


def migrates(*names: str, **more) -> dict:
    """Return a policy with migrations of these names; with all of them where none is named."""
    chosen = {name: ALL[name] for name in names or ALL}
    return policy(*STEPS, **{"bake": "3s", "migrations": chosen} | more)


def started(*names: str, **more) -> World:
    """Return a world in which v2 is wanted under a policy with migrations, a few seconds later."""
    world = idle(migrates(*names, **more))
    world.apply("v2")
    world.crank(5)
    return world


def ends(world: World, *phases: str, state: RunState = DONE) -> None:
    """Have the Jobs of phases end one after the other, as each is made."""
    for phase in phases:
        assert world.crank(60, until=lambda phase=phase: phase in world.jobs.phases), world.status.message
        world.jobs.end(phase, state, f"{phase} says so")
        world.crank(3)


def results(world: World) -> dict[str, MigrationResult]:
    """Return what the status has of each phase."""
    return {one.phase.value: one.result for one in world.status.migration.runs}


def freeze(world: World, until: float) -> None:
    """Have a freeze from now on that ends some time."""
    world.governance = replace(world.governance, freezes=(FreezeView("sale", "sale", at(world.now), at(until)),))


def versions(world: World) -> list[str]:
    """Return the versions that have pods, or are to have some."""
    return [rs.template.image for rs in world.cluster.replica_sets.values() if rs.pods or rs.wanted]


# Before anything of the version is there.


def test_order_at_the_start():
    """Backup, dry run, expand, one after the other; then the first pod, and migrate beside the steps; contract after all."""
    world = started(backup=BACKUP)
    for so_far in (["Backup"], ["Backup", "DryRun"], ["Backup", "DryRun", "Expand"]):
        assert (so_far, ["v1"], 0) == (world.jobs.phases, versions(world), world.status.weight)
        assert Phase.PROGRESSING is world.status.phase
        ends(world, so_far[-1])
    reach(world, 25)
    assert ["Backup", "DryRun", "Expand", "Migrate"] == world.jobs.phases
    ends(world, "Migrate")
    reach(world, 100)
    assert "Contract" not in world.jobs.phases
    finish(world)
    assert ["Backup", "DryRun", "Expand", "Migrate", "Contract"] == world.jobs.phases
    ends(world, "Contract")

    assert dict.fromkeys(("Backup", "DryRun", "Expand", "Migrate", "Contract"), MigrationResult.PASSED) == results(world)
    assert "v2" == world.status.stable.version
    backup = world.status.migration.runs[0]
    assert (MigrationPhase.BACKUP, "Backup says so") == (backup.phase, backup.output)


def test_what_a_job_is_told():
    """For which version against which, what it does, and whether it is to change anything; and how long it may take."""
    world = started(backup=BACKUP | {"timeout": "90s"})
    ends(world, "Backup")
    backup, dry = (world.jobs.of(phase).run for phase in ("Backup", "DryRun"))
    assert ("checkout", "release", "checkout-backup", 90, True) == (
        backup.release,
        backup.release_uid,
        backup.cron_job,
        backup.seconds,
        backup.migrates,
    )
    told = {
        "RELEASE": "checkout",
        "VERSION": "v2",
        "STABLE_VERSION": "v1",
        "ENVIRONMENT": "",
        "PHASE": "Backup",
        "DRY_RUN": "false",
    }
    told["REVISION"] = world.status.candidate.revision
    assert {f"TIDEGATE_{name}": value for name, value in told.items()} == backup.env
    assert ("DryRun", "true", 600) == (dry.env["TIDEGATE_PHASE"], dry.env["TIDEGATE_DRY_RUN"], dry.seconds)


@pytest.mark.parametrize("phase", ["Backup", "DryRun", "Expand"])
def test_failure_before_the_start_starts_nothing(phase: str):
    """The version is rejected with the last line of the Job; no pod of it and no split was ever there."""
    world = started("dryRun", "expand", "migrate", backup=BACKUP)
    before = ("Backup", "DryRun", "Expand")
    ends(world, *before[: before.index(phase)])
    assert world.crank(10, until=lambda: phase in world.jobs.phases)
    world.jobs.end(phase, FAILED, "column total exists already")
    finish(world, Phase.ROLLED_BACK)

    assert (["v1"], [0]) == (versions(world), world.weights)
    (rejected,) = world.status.rejected
    assert Cause.MIGRATION is rejected.cause
    called = {"Backup": "backup", "DryRun": "dry run", "Expand": "expand"}[phase]
    job = world.jobs.of(phase).run.job
    assert world.status.message.startswith(
        f"v2 was rejected, v1 serves: {called} failed: Job {job} failed (BackoffLimitExceeded): column total exists already; "
        f"its output: kubectl logs job/{job} -n shop"
    )
    (told,) = events(world, "MigrationFailed")
    assert told.startswith(f"{called} of v2 failed, and nothing of it starts: Job {job}")


def test_split_of_the_routes_waits_for_expand():
    """What takes an hour leaves the routes as their user wrote them."""
    world = started("expand")
    world.crank(30)
    assert [((USER, 1),)] == [tuple(route.backends) for route in world.cluster.routes.values()]
    ends(world, "Expand")
    finish(world)


def test_each_rollout_is_backed_up():
    """A retry of the same version is another rollout: by another Job, with another artefact."""
    world = started("expand", backup=BACKUP)
    ends(world, "Backup")
    ends(world, "Expand", state=FAILED)
    finish(world, Phase.ROLLED_BACK)
    world.ask("retry/1")
    world.crank(5)

    assert ["Backup", "Expand", "Backup"] == world.jobs.phases
    assert 2 == len({one.run.job for one in world.jobs.made if one.run.check == "Backup"})
    ends(world, "Backup", "Expand")
    finish(world)
    assert "v2" == world.status.stable.version


def test_nothing_runs_while_something_else_is_in_the_way():
    """A freeze that begins between two of them keeps the next from beginning."""
    world = started("dryRun", "expand")
    freeze(world, until=world.now + 60)
    ends(world, "DryRun")
    world.crank(20)
    assert (["DryRun"], ["Freeze"]) == (world.jobs.phases, [one.barrier for one in world.status.waiting_for])
    world.crank(60)
    assert ["DryRun", "Expand"] == world.jobs.phases


def test_what_keeps_a_job_from_being_made_is_told():
    """A CronJob that is missing, or does not agree: the sentence names it, and it is tried again."""
    world = idle(migrates("expand"))
    world.jobs.refused = "CronJob checkout-expand was not found in shop"
    world.apply("v2")
    world.crank(10)
    words = "expand to succeed before anything of v2 starts: its Job cannot be made: CronJob checkout-expand was not found in shop"
    assert f"waits for {words}" in world.status.message
    assert [("Migration", words)] == [(one.barrier, one.what) for one in world.status.waiting_for]
    world.jobs.refused = ""
    ends(world, "Expand")
    finish(world)


def test_job_that_was_refused_is_not_said_to_be_stopped():
    """Nobody has seen it, and v2 is not wanted any more: for some seconds a request that makes it may be under way."""
    world = idle(migrates("expand"))
    world.jobs.refused = "CronJob checkout-expand was not found in shop"
    world.apply("v2")
    world.crank(3)
    job = world.status.migration.runs[0].job
    world.apply("v1")
    world.crank(5)
    assert world.status.message.endswith(f"; expand of v2 ends: Job {job} was not seen; if it still comes, it is stopped")
    world.crank(10)
    assert ({"Expand": MigrationResult.STOPPED}, []) == (results(world), world.jobs.made)
    assert "Job" not in world.status.message


def test_version_that_was_in_force_before_needs_none():
    """Who goes back to it is not kept waiting: no backup, no Job."""
    world = started("expand", backup=BACKUP)
    ends(world, "Backup", "Expand")
    finish(world)
    made = len(world.jobs.made)
    world.apply("v1")
    finish(world)

    assert ("v1", made, None) == (world.status.stable.version, len(world.jobs.made), world.status.migration)


# During the steps.


def test_full_weight_waits_for_migrate():
    """However long it takes, at the step before; the sentence has how far it is by its own account."""
    world = started("migrate")
    reach(world, 50)
    world.jobs.of("Migrate").progress = "40%"
    world.crank(60)
    job = world.jobs.of("Migrate").run.job
    words = (
        f"migrate to succeed before 100%: Job {job}, 40% done by its own account, may take 24h; its output: "
        f"kubectl logs job/{job} -n shop"
    )
    assert (50, [("Migration", words)]) == (world.status.weight, [(one.barrier, one.what) for one in world.status.waiting_for])

    ends(world, "Migrate")
    finish(world)
    assert "v2" == world.status.stable.version


def test_single_step_waits_for_migrate_before_its_first_pod():
    """Where the first step has everything, nothing of it is there before."""
    world = idle(policy(step(100), bake="3s", migrations={"migrate": ALL["migrate"]}))
    world.apply("v2")
    world.crank(30)
    assert (["Migrate"], ["v1"]) == (world.jobs.phases, versions(world))
    ends(world, "Migrate")
    finish(world)


def test_full_promotion_does_not_stand_for_migrate():
    """A person who asks for full promotion skips steps and gates, and moves no data."""
    world = started("migrate")
    reach(world, 25)
    world.ask("promote/1")
    world.crank(60)
    assert 25 == world.status.weight
    ends(world, "Migrate")
    finish(world)


def test_migrate_that_fails_takes_the_traffic_back():
    """In the pass that sees it no weight is left; then what expand did is undone, once no pod of v2 is left."""
    world = started("expand", "migrate", "rollback")
    ends(world, "Expand")
    reach(world, 50)
    world.jobs.end("Migrate", FAILED, "deadlock detected")
    world.operate()
    world.operate()
    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)
    assert "Rollback" not in world.jobs.phases
    assert world.crank(120, until=lambda: "Rollback" in world.jobs.phases)
    assert (Phase.ROLLED_BACK, Cause.MIGRATION) == (world.status.phase, world.status.last_rollout.cause)
    assert not any(rs.pods for rs in world.cluster.replica_sets.values() if rs.template.image == "v2")
    assert "; rollback of v2's migrations runs: Job " in world.status.message
    ends(world, "Rollback")
    assert {"Expand": "Passed", "Migrate": "Failed", "Rollback": "Passed"} == results(world)


@pytest.mark.parametrize("way", ["breach", "rollback", "template"])
def test_rollback_waits_for_no_job(way: str):
    """While migrate runs and its pods take their time to stop, the weight is gone in the pass that sees why."""
    world = started("expand", "migrate", "rollback", gates=(gate(),))
    ends(world, "Expand")
    reach(world, 25)
    job = world.jobs.of("Migrate").run.job
    if way == "breach":
        world.look("errors", 0.5)
    elif way == "rollback":
        world.ask("rollback/1")
    else:
        world.apply("v1")
    world.operate()
    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)
    assert world.crank(120, until=lambda: "Rollback" in world.jobs.phases), world.status.message
    assert [job] == world.jobs.stopped
    ends(world, "Rollback")
    assert {"Expand": "Passed", "Migrate": "Stopped", "Rollback": "Passed"} == results(world)


def test_deleted_job_is_one_that_failed():
    """Somebody deletes it while it runs: it is not made again by itself."""
    world = started("expand")
    world.jobs.there.clear()
    finish(world, Phase.ROLLED_BACK)
    assert 1 == len(world.jobs.made)
    assert " was deleted before it had ended" in world.status.message


# Whoever dies.


@pytest.mark.parametrize("writes", range(6))
def test_crash_at_any_write_makes_no_job_twice(writes: int):
    """The operator dies after so many writes of many passes of a rollout with everything: each phase is made once."""
    world = idle(migrates(backup=BACKUP))
    world.jobs.verdicts = dict.fromkeys(MigrationPhase, DONE)
    world.apply("v2")
    for _ in range(12):
        world.operate(crash_after=writes)
        world.crank(1)
    finish(world)
    world.crank(10)

    assert ["Backup", "DryRun", "Expand", "Migrate", "Contract"] == world.jobs.phases


def test_deleted_release_stops_its_jobs_and_runs_no_reverse():
    """They go with it; nothing waits for them."""
    world = started("expand", "migrate", "rollback")
    ends(world, "Expand")
    reach(world, 25)
    world.delete()
    assert world.crank(120, until=lambda: world.gone), world.status.message
    assert "Rollback" not in world.jobs.phases


def test_breach_while_expand_is_paused_for():
    """A rollout that is paused before its first pod begins no further Job."""
    world = started("dryRun", "expand")
    world.ask("pause/1")
    ends(world, "DryRun")
    world.crank(20)
    assert (["DryRun"], Phase.PAUSED) == (world.jobs.phases, world.status.phase)
    world.ask("resume/1")
    ends(world, "Expand")
    finish(world)
    assert reason(world) == "Promoted"


def test_at_weight_world_without_migrations_has_no_status_of_them():
    """Who declares nothing sees nothing."""
    world = at_weight(25)
    assert (None, None) == (world.status.migration, world.status.contracted)


@pytest.mark.parametrize("request_", ["resume/1", "promote/1"])
def test_pause_before_the_first_step_leaves_migrate_to_come(request_: str):
    """Expand ends while the rollout is paused, and the first step begins: migrate begins once the pause is over."""
    world = started("expand", "migrate")
    world.ask("pause/1")
    ends(world, "Expand")
    world.crank(20)
    assert (Phase.PAUSED, 0, ["Expand"]) == (world.status.phase, world.status.weight, world.jobs.phases)
    world.ask(request_)
    ends(world, "Migrate")
    finish(world)
    assert ("v2", ["Expand", "Migrate"]) == (world.status.stable.version, world.jobs.phases)


def test_output_as_long_as_a_sentence_is_told_cut():
    """An Event, and what sinks are told, has room for a sentence; the status has the whole line."""
    world = started("expand", "migrate")
    world.jobs.end("Expand", DONE, "x" * LONGEST_OUTPUT)
    reach(world, 25)
    world.jobs.end("Migrate", FAILED, "y" * LONGEST_OUTPUT)
    finish(world, Phase.ROLLED_BACK)
    done, failed = events(world, "MigrationDone")[0], events(world, "MigrationFailed")[0]
    assert (SENTENCE, SENTENCE, "…", "…") == (len(done), len(failed), done[-1], failed[-1])
    assert LONGEST_OUTPUT == len(world.status.migration.runs[0].output)
