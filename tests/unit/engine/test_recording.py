"""What is recorded of a rollout in the decision that ends it: who, what, when, by which numbers, and its place in the chain."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulation.deciders import approve, decide
from simulation.flagd import FLAGS, boolean
from simulation.policies import at_weight, finish, gate, idle, policy, step
from simulation.views import at
from simulation.world import World
from tidegate.api.base import parse_time
from tidegate.api.decision import Action, Result
from tidegate.api.names import Phase
from tidegate.api.recorded import MOST_COURSE
from tidegate.api.release import ReleaseType
from tidegate.engine.decide import decide as decided
from tidegate.governance.records import verify
from tidegate.governance.runs import RunState
from tidegate.governance.view import GovernanceView
from tidegate.governance.votes import Author
from unit.engine.recorded import QUICK, STEPS, last


def rolled_out(world: World, image: str) -> None:
    world.apply(image)
    world.crank(2)
    finish(world)


def test_a_promotion_is_recorded_with_all_that_is_known() -> None:
    """Given a version that goes up its steps, its record has both versions, times, weights and what the gates said last."""
    world = idle(QUICK)
    world.authors = (Author("cleo"), Author("dana", claimed=True))
    rolled_out(world, "v2")

    spec = last(world)

    assert (1, 1, "checkout", "release", "shop") == tuple(
        spec[name] for name in ("number", "checkpoint", "release", "releaseUID", "namespace")
    )
    assert ("v1", "v2") == (spec["from"]["version"], spec["to"]["version"])
    assert ({"app": "v1"}, {"app": "v2"}) == (spec["from"]["images"], spec["to"]["images"])
    assert spec["digest"] == world.last.snapshot.workload.template.digest
    assert ("Promoted", "Promoted", "all steps passed") == (spec["outcome"], spec["cause"], spec["message"])
    assert [(1, 25), (2, 50), (3, 100)] == [(one["step"], one["weight"]) for one in spec["course"]]
    assert [{"name": "cleo", "claimed": False}, {"name": "dana", "claimed": True}] == spec["authors"]
    (said,) = spec["gates"]
    assert ("errors", "Pass", "0") == (said["name"], said["verdict"], said["canary"])
    times = [parse_time(spec[name]) for name in ("seenAt", "startedAt", "exposedAt", "endedAt")]
    assert times == sorted(times)
    assert spec["id"] == f"rel_{times[1]:%Y%m%d_%H%M}"
    assert not {"previous", "undoAt", "hotfix", "decisions"} & spec.keys()


@pytest.mark.parametrize("how", ["breach", "command", "reject", "newer", "back"])
def test_however_a_rollout_ends_there_is_one_record(how: str) -> None:
    """Rolled back by a gate or by a person, rejected, superseded, reverted: the outcome and its reason, once."""
    world = at_weight(25, QUICK)
    if how == "breach":
        world.look("errors", 0.5)
    elif how == "newer":
        world.apply("v3")
    elif how == "back":
        world.apply("v1")
    else:
        decide(world, Action.ROLLBACK if how == "command" else Action.REJECT, "bob", **({"role": "qa"} if how == "reject" else {}))
    assert world.crank(60, until=lambda: len(world.archive.records) == 1)

    spec = last(world)

    outcome = {"newer": "Superseded", "back": "Reverted"}.get(how, "RolledBack")
    assert (outcome, "v2") == (spec["outcome"], spec["to"]["version"])
    assert spec["undoAt"] >= spec["exposedAt"]
    assert (1, 0) == (spec["course"][-1]["step"], spec["course"][-1]["weight"])
    if how in ("command", "reject"):
        (said,) = spec["decisions"]
        assert ("bob", how.replace("command", "rollback")) == (said["by"], said["action"].lower())
    if how == "breach":
        assert ("Fail", "0.5") == (spec["gates"][0]["verdict"], spec["gates"][0]["canary"])
    assert [] == verify(world.archive.objects)


def test_who_has_approved_and_attested_stands_in_it() -> None:
    """Votes that counted at the start, though their time is over by now, and each check with its result and report."""
    asks = {"name": "scan", "at": "Start", "attested": {"role": "ci"}}
    entries = [{"at": "Start", "roles": {"qa": 1}, "expires": "5s"}]
    world = idle(policy(*STEPS, bake="3s", approvals=entries, checks=[asks]))
    world.authors = (Author("cleo"),)
    world.apply("v2")
    world.crank(5)
    approve(world, "ann", reason="looks good")
    approve(world, "eve", role="other")
    decide(world, Action.ATTEST, "pipeline", role="ci", check="scan", result=Result.PASSED, url="https://ci.example.com/1")
    approve(world, "cleo")
    finish(world)

    said = {(one["action"], one["by"], one["role"]) for one in last(world)["decisions"]}

    assert {("Approve", "ann", "qa"), ("Approve", "eve", "other"), ("Attest", "pipeline", "ci")} <= said
    assert ("Approve", "cleo", "qa") not in said, "an author's own vote does not count"
    (scan,) = [one for one in last(world)["decisions"] if one["action"] == "Attest"]
    assert ("scan", "Passed", "https://ci.example.com/1") == (scan["check"], scan["result"], scan["url"])


def test_what_its_checks_came_to_stands_in_it() -> None:
    """A check by a Job is recorded with its result, the CronJob that it was made from, and the Job's name."""
    world = idle(policy(*STEPS, bake="3s", checks=[{"name": "smoke", "at": "Start", "cronJob": "checkout-smoke"}]))
    world.apply("v2")
    world.crank(5)
    (job,) = world.jobs.made
    world.jobs.end("smoke", RunState.COMPLETE)
    world.crank(2)
    finish(world)

    (said,) = last(world)["checks"]

    assert ("smoke", "Start", "Passed", "checkout-smoke", job.run.job) == tuple(
        said[name] for name in ("name", "at", "result", "by", "job")
    )
    assert parse_time(said["ended"]) <= parse_time(last(world)["startedAt"])


def test_time_that_a_version_has_waited_is_known() -> None:
    """Given a version that waits for an approval, it was seen when it came, and has started when somebody approved."""
    world = idle(policy(*STEPS, bake="3s", approvals=[{"at": "Start", "roles": {"qa": 1}}]))
    world.apply("v2")
    world.crank(40)
    approve(world)
    finish(world)

    spec = last(world)

    waited = parse_time(spec["startedAt"]) - parse_time(spec["seenAt"])
    assert timedelta(seconds=38) <= waited <= timedelta(seconds=42)


def test_a_hotfix_says_what_it_skipped_and_by_whose_word() -> None:
    shut = {"timeZone": "UTC", "deny": [{"cron": "0 0 1 1 *", "for": "48h"}]}
    world = idle(policy(*STEPS, bake="3s", windows=shut, hotfix={"skip": ["Window"], "review": "1h"}))
    world.type = ReleaseType.HOTFIX
    world.apply("v2")
    world.crank(5)
    about = world.status.wanted
    decide(world, Action.OVERRIDE, "ann", revision=about.revision, digest=about.digest or "", reason="checkout is down")
    finish(world)

    spec = last(world)

    assert ("hotfix", "ann", ["Window"]) == (spec["type"], spec["hotfix"]["by"], spec["hotfix"]["skipped"])
    assert ["Override"] == [one["action"] for one in spec["decisions"]]


def test_records_are_a_chain_and_the_status_keeps_its_head_alone() -> None:
    """Three rollouts: each record has the hash of the one before; once they are written, the status has number and hash."""
    world = idle(QUICK)
    for image in ("v2", "v3", "v4"):
        rolled_out(world, image)

    one, two, three = world.archive.specs

    assert (one["hash"], two["hash"]) == (two["previous"], three["previous"])
    assert [] == verify(world.archive.objects)
    head = world.status.records
    assert (3, three["hash"], ()) == (head.number, head.hash, head.pending)
    assert len({spec["id"] for spec in (one, two, three)}) == 3


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_checkpoint_says_from_where_on_records_are_kept(kept: int) -> None:
    """With retention of so many, the record says which one is the oldest; a greater retention brings none back."""
    world = idle(QUICK)
    world.governance = GovernanceView(records_kept=kept)
    for image in ("v2", "v3", "v4"):
        rolled_out(world, image)
    world.governance = GovernanceView(records_kept=50)
    rolled_out(world, "v5")

    assert [*(max(1, number + 1 - kept) for number in (1, 2, 3)), max(1, 4 - kept)] == [
        spec["checkpoint"] for spec in world.archive.specs
    ]


def test_an_operator_that_dies_writes_no_second_one() -> None:
    """Dead after the status is stored, before the record is: the next one writes it; dead after that: it finds it there."""
    world = at_weight(25, QUICK)
    world.look("errors", 0.5)
    assert world.crank(60, until=lambda: bool(world.status.records))
    world.archive.records.clear()
    world.die()
    world.crank(2)
    written = last(world)
    world.die()
    world.crank(2)

    assert [written] == world.archive.specs
    assert [] == verify(world.archive.objects)


def test_a_release_that_is_deleted_goes_once_its_last_rollout_is_recorded() -> None:
    """Given records that cannot be written, a deleted Release waits for that for a minute, and no longer."""
    world = at_weight(25, QUICK)
    write, world.archive.write = world.archive.write, lambda status: None  # type: ignore[method-assign]
    world.delete()
    assert not world.crank(30, until=lambda: world.gone)
    assert "for the record of its last rollout to be written" in {waiting.words for waiting in world.last.plan.waits}

    world.archive.write = write  # type: ignore[method-assign]
    assert world.crank(3, until=lambda: world.gone)
    assert "Deleted" == last(world)["cause"]

    other = at_weight(25, QUICK)
    other.archive.write = lambda status: None  # type: ignore[method-assign]
    other.delete()
    assert other.crank(90, until=lambda: other.gone)


def test_records_that_cannot_be_written_wait_in_bounded_number() -> None:
    """Five rollouts without a record that is written: the last three wait, and the chain says that two are missing."""
    world = idle(QUICK)
    write, world.archive.write = world.archive.write, lambda status: None  # type: ignore[method-assign]
    for image in ("v2", "v3", "v4", "v5", "v6"):
        rolled_out(world, image)
    assert [3, 4, 5] == [one.number for one in world.status.records.pending]
    world.archive.write = write  # type: ignore[method-assign]
    world.crank(2)

    assert [3, 4, 5] == sorted(world.archive.records)
    assert ["numbers 1 to 2 are missing: by"] == [one.words[:30] for one in verify(world.archive.objects)]


def test_a_long_course_keeps_its_beginning_and_its_end() -> None:
    """Pods that come and go take the weight away and give it back: what has no room is counted."""
    world = at_weight(25, policy(step(25, "1h"), step(100)))
    assert world.status.rollout is not None
    trail = world.status.rollout.trail
    assert trail is not None
    begun = trail.course[0]
    full = tuple(begun.model_copy(update={"at": begun.at + timedelta(milliseconds=index)}) for index in range(MOST_COURSE))
    world.status = world.status.model_copy(
        update={"rollout": world.status.rollout.model_copy(update={"trail": trail.model_copy(update={"course": full})})}
    )
    world.ask("rollback/1")
    world.crank(30)

    spec = last(world)

    assert (MOST_COURSE, 1) == (len(spec["course"]), spec["courseOmitted"])
    assert (0, begun.weight) == (spec["course"][-1]["weight"], spec["course"][0]["weight"])


def test_an_operator_before_this_one_left_no_trail() -> None:
    """A rollout that is on when the operator is updated has a record with what is known of it."""
    world = at_weight(25, QUICK)
    world.status = world.status.model_copy(update={"rollout": world.status.rollout.model_copy(update={"trail": None})})
    finish(world)

    spec = last(world)

    assert ("v2", "Promoted", spec["startedAt"]) == (spec["to"]["version"], spec["outcome"], spec["seenAt"])


def test_the_same_snapshot_makes_the_same_record() -> None:
    """A decision that could not be stored is made again, and its record with it."""
    world = at_weight(25, QUICK)
    world.look("errors", 0.5)
    assert world.crank(60, until=lambda: bool(world.status.records))
    made = world.last

    again = decided(made.snapshot, at(world.now), world.handover)

    assert again.status.records == made.plan.status.records


def test_a_rolled_back_version_rests_with_phase() -> None:
    """What is recorded changes nothing of what people see: the Release is RolledBack and at rest."""
    world = at_weight(25, QUICK)
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    reach_nothing = world.crank(5, until=lambda: bool(world.last.writes))

    assert not reach_nothing


def test_what_its_migrations_came_to_stands_in_it() -> None:
    """Backup with its reference, dry run with its result, and what failed."""
    names = {"dryRun": {"cronJob": "checkout-dry"}, "expand": {"cronJob": "checkout-expand"}}
    world = idle(policy(*STEPS, bake="3s", backup={"cronJob": "checkout-backup"}, migrations=names))
    world.apply("v2")
    for phase, state in (("Backup", RunState.COMPLETE), ("DryRun", RunState.COMPLETE), ("Expand", RunState.FAILED)):
        world.crank(5)
        world.jobs.end(phase, state, f"{phase} says so")
    world.crank(10)

    said = last(world)["migrations"]

    wanted = [
        ("Backup", "Passed", "checkout-backup"),
        ("DryRun", "Passed", "checkout-dry"),
        ("Expand", "Failed", "checkout-expand"),
    ]
    assert wanted == [(one["phase"], one["result"], one["by"]) for one in said]
    assert ["Backup says so", "DryRun says so", "Expand says so"] == [one["output"] for one in said]
    assert [one.run.job for one in world.jobs.made] == [one["job"] for one in said]
    assert "failed (BackoffLimitExceeded): Expand says so" in said[2]["message"]
    assert ("RolledBack", "MigrationFailed") == (last(world)["outcome"], last(world)["cause"])


def test_flags_that_the_rollout_has_set_are_recorded() -> None:
    """By name, from what to what, and whether they were restored; nothing of their values."""
    steps = (
        step(25, "4s") | {"flags": [{"name": "feature", "percent": 10}]},
        step(100) | {"flags": [{"name": "feature", "variant": "on"}]},
    )
    world = idle(policy(*steps, gates=(gate(),), bake="3s"))
    world.flags.spec, world.flags.there = FLAGS, {"new-checkout": boolean(), "payments": boolean("on")}
    rolled_out(world, "v2")
    promoted = last(world)
    world.flags.there["new-checkout"] = boolean()
    world.apply("v3")
    assert world.crank(60, until=lambda: bool(world.status.flags) and world.status.flags[0].done is not None)
    world.quality["errors"] = 0.5
    finish(world, Phase.ROLLED_BACK)

    assert [("feature", "new-checkout", "off", "on")] == [
        tuple(one[name] for name in ("name", "flag", "before", "set")) for one in promoted["flags"]
    ]
    assert [("10%", True)] == [(one["set"], one["restored"]) for one in last(world)["flags"]]
