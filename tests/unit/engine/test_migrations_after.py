"""What becomes of a database after a rollout: the reverse, which the next one waits for, and a contract, which has no way back."""

from __future__ import annotations

from simulation.deciders import decide
from simulation.policies import condition, events, finish, idle, policy, reach
from simulation.views import at
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.names import Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.governance.times import moment
from unit.engine.test_migrations import BACKUP, DONE, FAILED, STEPS, ends, freeze, migrates, results, started

# After a rollout that was undone.


def test_next_rollout_waits_for_the_reverse():
    """v3 replaces v2, which had expanded: first what it did is undone, then v3 begins with its own."""
    world = started("expand", "rollback")
    ends(world, "Expand")
    reach(world, 25)
    world.apply("v3")
    assert world.crank(120, until=lambda: "Rollback" in world.jobs.phases)
    world.crank(20)
    assert (["Expand", "Rollback"], Phase.WAITING) == (world.jobs.phases, world.status.phase)
    assert "v3 waits for rollback of v2's migrations to end first: Job " in world.status.message
    ends(world, "Rollback", "Expand")
    finish(world)
    assert "v3" == world.status.stable.version


def test_reverse_that_failed_is_told_and_nothing_starts_over_it():
    """Condition, Event, sentence; the request retry runs it again by another Job, and the version stays rejected."""
    world = started("expand", "rollback")
    ends(world, "Expand")
    reach(world, 25)
    world.ask("rollback/1")
    ends(world, "Rollback", state=FAILED)
    job = world.jobs.of("Rollback").run.job
    assert condition(world, "MigrationFailed")
    (told,) = events(world, "MigrationFailed")
    assert told.startswith(f"rollback of v2's migrations failed, and the next rollout waits: Job {job} failed")
    assert "rollback of v2's migrations failed: " in world.status.message
    world.apply("v3")
    world.crank(20)
    assert Phase.WAITING is world.status.phase
    assert "v3 waits for rollback of v2's migrations, which failed: " in world.status.message

    world.ask("retry/1")
    world.crank(5)
    assert 2 == len({one.run.job for one in world.jobs.made if one.run.check == "Rollback"})
    assert not condition(world, "MigrationFailed")
    ends(world, "Rollback", "Expand")
    finish(world)


def test_policy_without_rollback_lets_a_failed_reverse_be():
    """Who has undone it by hand takes it out of the policy."""
    world = started("expand", "rollback")
    ends(world, "Expand")
    world.ask("rollback/1")
    ends(world, "Rollback", state=FAILED)
    world.policy = world.policy.model_validate(policy(*STEPS, bake="3s"))
    world.apply("v3")
    finish(world)
    assert "v3" == world.status.stable.version


def test_version_is_tried_again_after_a_reverse_by_hand():
    """Once the policy has no rollback any more, retry is for the version, and nothing is said to have failed."""
    world = started("expand", "rollback")
    ends(world, "Expand")
    reach(world, 25)
    world.ask("rollback/1")
    ends(world, "Rollback", state=FAILED)
    world.policy = world.policy.model_validate(policy(*STEPS, bake="3s"))
    world.crank(5)
    assert not condition(world, "MigrationFailed")
    assert "rollback of v2's migrations" not in world.status.message
    world.ask("retry/1")
    finish(world)
    assert ("v2", ["Expand", "Rollback"]) == (world.status.stable.version, world.jobs.phases)


def test_expand_that_is_stopped_is_undone_too():
    """It may have done a part; the reverse comes when the pods of the first are gone."""
    world = started("expand", "rollback")
    first = world.jobs.of("Expand").run.job
    world.ask("rollback/1")
    assert world.crank(60, until=lambda: "Rollback" in world.jobs.phases)
    assert [first] == world.jobs.stopped
    ends(world, "Rollback")
    assert {"Expand": "Stopped", "Rollback": "Passed"} == results(world)


def test_job_that_was_never_seen_may_still_come():
    """The reverse waits for ten seconds: the request that makes the other may be under way."""
    world = idle(migrates("expand", "rollback"))
    world.jobs.refused = "the API server does not answer"
    world.apply("v2")
    world.crank(3)
    world.jobs.refused = ""
    world.ask("rollback/1")
    world.operate()
    world.crank(5)
    assert [] == world.jobs.phases
    assert world.crank(20, until=lambda: ["Rollback"] == world.jobs.phases), world.status.message


def test_version_that_had_not_expanded_has_no_reverse():
    """Its backup failed."""
    world = started("expand", "rollback", backup=BACKUP)
    ends(world, "Backup", state=FAILED)
    finish(world, Phase.ROLLED_BACK)
    world.crank(20)
    assert ["Backup"] == world.jobs.phases


# After a promotion.


def contracted(*names: str) -> World:
    """Return a world in which v2 serves, and its contract has run."""
    world = started(*names or ("contract",))
    finish(world)
    ends(world, "Contract")
    return world


def test_contract_comes_when_no_pod_of_the_earlier_version_is_left():
    """After the bake and the promotion; the Release is Ready meanwhile."""
    world = started("contract")
    reach(world, 100)
    assert [] == world.jobs.phases
    finish(world)
    world.crank(2)
    assert ["Contract"] == world.jobs.phases
    assert not any(rs.pods for rs in world.cluster.replica_sets.values() if rs.template.image == "v1")
    assert condition(world, "Ready")
    job = world.jobs.of("Contract").run.job
    assert f"v2 serves; contract of v2 runs: Job {job} may take 1h" in world.status.message


def test_contract_waits_for_a_freeze_to_end():
    """It is the one part that nobody takes back."""
    world = started("contract")
    reach(world, 100)
    until = world.now + 60
    freeze(world, until=until)
    finish(world)
    world.crank(5)
    assert [] == world.jobs.phases
    words = f"; contract of v2 begins after ReleaseFreeze sale, which ends {moment(at(until))}"
    assert words in world.status.message
    world.crank(90)
    assert ["Contract"] == world.jobs.phases


def test_contract_that_is_taken_out_of_the_policy_is_given_up():
    """It has not begun, and does not: not in the freeze that held it up, nor when that is over; nothing waits for it."""
    world = started("expand", "contract")
    ends(world, "Expand")
    reach(world, 100)
    freeze(world, until=world.now + 60)
    finish(world)
    world.crank(5)

    world.policy = RolloutPolicySpec.model_validate(migrates("expand"))
    world.crank(90)

    assert (["Expand"], {"Expand": "Passed", "Contract": "Stopped"}) == (world.jobs.phases, results(world))
    assert "contract" not in world.status.message
    assert world.status.contracted is None


def test_contract_that_failed_is_told_and_can_be_run_again():
    """Nothing is undone, and the next version does not wait for it."""
    world = started("contract")
    finish(world)
    ends(world, "Contract", state=FAILED)
    assert (True, True) == (condition(world, "MigrationFailed"), condition(world, "Ready"))
    (told,) = events(world, "MigrationFailed")
    assert told.startswith("contract of v2 failed, and nothing is undone: Job ")
    world.ask("retry/1")
    world.crank(5)
    assert ["Contract", "Contract"] == world.jobs.phases
    world.jobs.end("Contract", FAILED)
    world.crank(5)
    world.apply("v3")
    finish(world)
    assert "v3" == world.status.stable.version


def test_next_rollout_waits_for_a_contract_that_runs():
    """A database is not changed twice at once."""
    world = started("contract")
    finish(world)
    world.crank(2)
    world.apply("v3")
    world.crank(20)
    assert "v3 waits for contract of v2 to end first: Job " in world.status.message
    ends(world, "Contract")
    finish(world)
    assert "v3" == world.status.stable.version


def test_return_after_a_contract_waits_for_a_person():
    """The template goes back to v1: it is held, somebody is called, once; retry lets it go, once."""
    world = contracted()
    world.apply("v1")
    world.crank(20)
    why = "contract of v2 has run since "
    assert (Phase.WAITING, "v2") == (world.status.phase, world.status.stable.version)
    assert world.status.message.startswith(f"v1 waits for a person: {why}")
    assert "; restore it first; then, to roll it out all the same, annotate the Release with" in world.status.message
    assert ["Contract"] == [one.barrier for one in world.status.waiting_for]
    (told,) = events(world, "ReturnHeld")
    assert told.startswith(f"v1 is not rolled back to, v2 serves: {why}")

    world.ask("retry/1")
    finish(world)
    assert "v1" == world.status.stable.version
    world.apply("v2")
    finish(world)
    world.apply("v1")
    world.crank(20)
    assert Phase.WAITING is world.status.phase


def test_later_version_is_free_after_a_contract():
    """And what is rolled back to is not what was contracted away: v3 fails, v2 serves on."""
    world = contracted()
    world.apply("v3")
    reach(world, 25)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    assert "v2" == world.status.stable.version
    world.apply("v4")
    finish(world)
    world.crank(3)
    world.jobs.end("Contract", DONE)
    world.crank(3)
    world.apply("v1")
    world.crank(10)
    assert Phase.WAITING is world.status.phase


def test_older_version_that_never_served_here_waits_as_well():
    """By its number it is from before."""
    world = idle(migrates("contract"))
    world.apply("v2.0.0")
    finish(world)
    ends(world, "Contract")
    world.apply("v1.9.1")
    world.crank(10)
    assert (Phase.WAITING, ["Contract"]) == (world.status.phase, [one.barrier for one in world.status.waiting_for])


def test_rollback_during_the_rollout_meets_no_contract():
    """As long as v1 can be rolled back to by itself, no contract has begun."""
    world = started("contract")
    reach(world, 100)
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    world.crank(20)
    assert ([], "v1") == (world.jobs.phases, world.status.stable.version)


def failed_contract() -> World:
    """Return a world in which v2 serves, and its contract has failed."""
    world = started("expand", "contract")
    ends(world, "Expand")
    finish(world)
    ends(world, "Contract", state=FAILED)
    return world


def test_contract_that_is_run_again_waits_for_a_freeze():
    """As its first Job did; and it is another one, by its number, too."""
    world = failed_contract()
    freeze(world, until=world.now + 60)
    world.ask("retry/1")
    world.crank(20)
    assert ["Expand", "Contract"] == world.jobs.phases
    world.crank(60)
    assert ["Expand", "Contract", "Contract"] == world.jobs.phases
    assert [1, 2] == [one.attempt for one in world.status.migration.runs]


def test_retry_of_a_rejected_version_runs_no_contract_of_another():
    """v3 was kept out before it started: retry lets it in, and leaves alone what failed for v2."""
    world = failed_contract()
    freeze(world, until=world.now + 600)
    world.apply("v3")
    world.crank(5)
    decide(world, Action.REJECT)
    world.crank(5)
    assert ["v3"] == [one.version for one in world.status.rejected]
    assert "; contract is run again only while v2 is the wanted version" in world.status.message
    world.ask("retry/1")
    world.crank(10)
    assert ((), ["Expand", "Contract"]) == (world.status.rejected, world.jobs.phases)
    world.ask("retry/2")
    world.crank(5)
    assert ["Expand", "Contract"] == world.jobs.phases
    refused = "contract of v2 failed, and contract is run again only while v2 is the wanted version"
    assert refused in events(world, "RequestRefused")[-1]


def test_retry_of_a_rejected_version_leaves_a_reverse_of_another_for_the_next():
    """v2's reverse failed, and v3 was kept out: the first retry is for v3, the second for what it then waits for."""
    world = started("expand", "rollback")
    ends(world, "Expand")
    reach(world, 25)
    world.ask("rollback/1")
    ends(world, "Rollback", state=FAILED)
    world.apply("v3")
    world.crank(5)
    decide(world, Action.REJECT)
    world.crank(5)
    world.ask("retry/1")
    world.crank(5)
    assert (["v2"], ["Expand", "Rollback"]) == ([one.version for one in world.status.rejected], world.jobs.phases)
    world.ask("retry/2")
    world.crank(5)
    assert ["Expand", "Rollback", "Rollback"] == world.jobs.phases
    ends(world, "Rollback")
    world.crank(5)
    ends(world, "Expand")
    finish(world)
    assert "v3" == world.status.stable.version


def test_reverse_that_failed_is_run_again_once_an_earlier_version_may_come_back():
    """v2's contract has run, v3's reverse failed, v1 is wanted: a request that names v1 is first, the next is for the reverse."""
    world = started("expand", "contract", "rollback")
    ends(world, "Expand")
    finish(world)
    ends(world, "Contract")
    world.apply("v3")
    world.crank(5)
    world.jobs.end("Expand", DONE)
    reach(world, 25)
    world.ask("rollback/1")
    ends(world, "Rollback", state=FAILED)
    world.apply("v1")
    world.crank(5)
    how = f"kubectl tidegate retry checkout -n shop --version {world.status.wanted.revision}"
    world.ask("retry/1")
    world.crank(5)
    assert events(world, "RequestRefused")[-1].endswith(
        "it could mean rollback of v3's migrations, which failed, or v1, which waits for a person; to let v1 back, "
        f"restore it first; then, to roll it out all the same: {how}; rollback is run again by the next request after that"
    )
    decide(world, Action.RETRY, revision=world.status.wanted.revision)
    world.crank(5)
    assert "v1 waits for rollback of v3's migrations, which failed: " in world.status.message
    world.ask("retry/2")
    world.crank(5)
    assert ["Rollback", "Rollback"] == world.jobs.phases[-2:]
    ends(world, "Rollback")
    finish(world)
    assert "v1" == world.status.stable.version


def test_retry_that_may_be_meant_for_a_contract_lets_no_version_back():
    """The page of the contract names retry; v1 is wanted meanwhile: it comes only by a request that names it."""
    world = failed_contract()
    world.apply("v1")
    world.crank(5)
    how = f"kubectl tidegate retry checkout -n shop --version {world.status.wanted.revision}"
    assert f"restore it first; then, to roll it out all the same: {how}" in world.status.message
    assert [how] == [one.how for one in world.status.waiting_for]
    world.ask("retry/1")
    world.crank(10)
    assert ("v2", Phase.WAITING, ["Expand", "Contract"]) == (world.status.stable.version, world.status.phase, world.jobs.phases)
    assert events(world, "RequestRefused")[-1].endswith(
        "it could mean contract of v2, which failed, or v1, which waits for a person; contract is run again only while v2 "
        f"is the wanted version; to let v1 back, restore it first; then, to roll it out all the same: {how}"
    )
    decide(world, Action.RETRY, revision=world.status.wanted.revision)
    finish(world)
    assert "v1" == world.status.stable.version


def test_contract_does_not_begin_while_people_go_back():
    """A freeze holds it up, and when that ends v1 is wanted, which needs what it would remove."""
    world = started("expand", "contract")
    ends(world, "Expand")
    reach(world, 100)
    freeze(world, until=world.now + 60)
    finish(world)
    world.apply("v1")
    world.crank(5)
    decide(world, Action.REJECT)
    world.crank(20)
    assert "; contract of v2 does not begin while v1 is wanted, which was in force here before" in world.status.message
    world.crank(60)
    world.ask("retry/1")
    finish(world)
    assert ("v1", ["Expand"]) == (world.status.stable.version, world.jobs.phases)


def test_version_runs_its_migrations_again_after_an_earlier_one_was_let_back():
    """The database was restored for v1: what v2 had expanded is gone with it. Once it has run again, a return is one."""
    world = started("expand", "contract")
    ends(world, "Expand")
    finish(world)
    ends(world, "Contract")
    world.apply("v1")
    world.crank(5)
    world.ask("retry/1")
    finish(world)
    world.policy = world.policy.model_validate(migrates("expand"))
    world.apply("v2")
    world.crank(5)
    assert (["Expand", "Contract", "Expand"], 0) == (world.jobs.phases, world.status.weight)
    world.jobs.verdicts["Expand"] = DONE
    ends(world, "Expand")
    finish(world)
    world.apply("v3")
    finish(world)
    made = len(world.jobs.made)
    world.apply("v2")
    finish(world)
    assert ("v2", made) == (world.status.stable.version, len(world.jobs.made))
