"""Gates by evidence in a rollout: what is enough to go on, what is not, and what a person's answer makes of it."""

from __future__ import annotations

from typing import Any

from simulation.policies import at_weight, carried, events, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.status import GateStatus, ReleaseStatus

LONG = (step(25, "60s"), step(100))
COUNTERS = {
    "counters": {
        "canary": {"bad": "failed", "total": "all"},
        "stable": {"bad": "failed", "total": "all"},
    }
}
POINT = {"maxIncrease": {"points": 1}}


def counted(name: str = "errors", on_breach: str = "Rollback", **more: Any) -> dict[str, Any]:
    """Return a gate by evidence: the share of errors may be less than one point above stable's."""
    limit = {"versusStable": POINT} if "threshold" not in more else {}
    base = {"name": name, "metric": COUNTERS, "onBreach": on_breach, "interval": "2s", "minSamples": 100}
    return base | limit | more


def state(world: World, name: str = "errors") -> GateStatus:
    """Return what a gate said last."""
    return next(one for one in world.status.gates if one.name == name)


def say(world: World, value: float, *, stable: float = 0.01, requests: float = 1000, gate: str = "errors") -> None:
    """Counters are read, and the operator decides in the same instant."""
    world.look(gate, value, stable=stable, requests=requests)
    world.operate()


def test_all_requests_fail_at_the_first_reading():
    """A version that answers nothing but errors is shut at the first reading that shows it."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))

    say(world, 1.0, requests=25)

    assert world.status.phase is Phase.ROLLING_BACK
    assert world.status.rollout.undo is Cause.GATE
    assert world.last.writes[0].startswith("ShiftRoute")


def test_one_bad_window_is_no_evidence():
    """A single error among few requests, which a limit on a window would call 4%, changes nothing."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))

    say(world, 0.04, requests=25)

    assert world.status.phase is Phase.PROGRESSING
    assert state(world).verdict is Verdict.UNDECIDED


def test_step_ends_undecided_where_nothing_speaks_against_the_version():
    """At the end of the hold it is enough that there were requests enough and that they give no reason to wait."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    world.quality["errors"] = 0.0

    reach(world, 100)

    assert world.status.phase is Phase.BAKING


def test_required_proof_keeps_the_weight():
    """With requireProof the weight rises only once the version is shown to be within the limit."""
    world = at_weight(25, policy(*LONG, gates=(counted(requireProof=True, interval="20s"),)))
    for _ in range(6):
        say(world, 0.01, requests=30)
        world.crank(10)
        world.readings.clear()

    assert carried(world) == 25


def test_proof_lets_a_step_end_early_only_where_the_policy_says_so():
    """advanceOnProof: the hold of 60 s is cut short as soon as the evidence is there; without it, the hold is held."""
    patient = at_weight(25, policy(*LONG, gates=(counted(),)))
    hasty = at_weight(25, policy(*LONG, gates=(counted(),), advanceOnProof=True))

    for world in (patient, hasty):
        say(world, 0.0, requests=100_000)
        world.crank(20, until=lambda world=world: carried(world) == 100)

    assert [carried(patient), carried(hasty)] == [25, 100]
    assert state(hasty).verdict is Verdict.PASS


def test_pause_is_answered_and_evidence_begins_anew():
    """After a person has said resume, only new evidence can pause the rollout again."""
    world = at_weight(25, policy(*LONG, gates=(counted(on_breach="Pause", ask=["architect", "qa"]),)))
    for _ in range(3):
        say(world, 0.5)
        world.crank(1)
    assert world.status.phase is Phase.PAUSED
    assert world.status.rollout.paused.ask == ("architect", "qa")
    assert "waits for architect and qa to resume" in world.status.message

    world.ask("resume/1")
    world.operate()

    assert world.status.rollout.paused is None
    assert state(world).evidence is None


def test_evidence_survives_the_operator():
    """The operator dies and another one goes on from the status: what was counted is not forgotten."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    say(world, 0.01)
    before = state(world).evidence

    world.status = ReleaseStatus.model_validate(world.status.to_wire())
    world.crank(1)
    say(world, 0.01)

    assert state(world).evidence.canary_requests >= before.canary_requests + 1000


def test_all_traffic_on_the_new_version():
    """At 100% stable has no requests to compare with: the new version is held against what stable counted before."""
    world = at_weight(25, policy(*LONG, gates=(counted(),), bake="300s"))
    world.quality["errors"] = 0.0
    reach(world, 100)

    for _ in range(5):
        say(world, 0.5)
        world.crank(1)

    assert world.status.rollout is None or world.status.rollout.undo is Cause.GATE


def test_dry_run_does_nothing():
    """A gate on trial says what it would have done, and neither rolls back nor keeps the weight."""
    world = at_weight(25, policy(*LONG, gates=(counted(dryRun=True),)))
    world.quality["errors"] = 1.0

    finish(world)

    assert world.status.last_rollout.outcome == "Promoted"
    assert any("dry run" in message for message in events(world, "GateBreached"))


def test_gate_of_the_first_minutes():
    """A gate with activeFor is looked at only for that long; what comes later is no business of its."""
    world = at_weight(25, policy(*LONG, gates=(counted(activeFor="10s"),)))
    world.crank(15)
    world.quality["errors"] = 1.0

    finish(world)

    assert world.status.last_rollout.outcome == "Promoted"


def test_verdicts_stay_after_the_rollout():
    """What each gate said at the end is kept with how the rollout went, without what only the test needs."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    say(world, 1.0)
    finish(world, Phase.ROLLED_BACK)

    (kept,) = world.status.last_rollout.gates
    assert (kept.verdict, kept.evidence.state) == (Verdict.FAIL, "")
    assert kept.evidence.canary_bad == 1000


BUDGET = {
    "name": "budget",
    "metric": {"errorBudget": {"source": "HTTP", "objective": 0.999}},
    "threshold": {"max": 1},
    "onBreach": "Hold",
    "interval": "2s",
    "minSamples": 0,
}


def test_spent_error_budget_keeps_a_rollout_from_starting():
    """No pod of the new version is created while the service burns its error budget; when that is over, the rollout begins."""
    world = idle(policy(*LONG, gates=(BUDGET,)))
    world.quality["budget"] = 3.0
    world.apply("v2")
    world.crank(30)
    assert world.status.step is None
    assert "for gate budget: burn rate of the error budget" in world.status.message

    world.quality["budget"] = 0.2
    reach(world, 25)

    assert carried(world) == 25


def test_spent_error_budget_keeps_the_weight():
    """While the budget is spent no weight rises, and nothing is rolled back."""
    world = at_weight(25, policy(*LONG, gates=(BUDGET,)))
    world.quality["budget"] = 3.0

    world.crank(120)

    assert (carried(world), world.status.phase) == (25, Phase.PROGRESSING)
    assert any("the weight does not rise until it passes" in message for message in events(world, "GateBreached"))


SCORED = ({**gate("a"), "weight": 2}, {**gate("b"), "weight": 1}, {**gate("c"), "weight": 1})


def test_score_lets_a_step_end_though_a_gate_fails():
    """Three of four points are 75%: enough to go on, with a warning that names what each gate earned."""
    world = at_weight(25, policy(*LONG, gates=SCORED, scoring={"pass": 90, "warn": 75}))
    world.quality["b"] = 0.5

    reach(world, 100)

    assert any("score 75% (pass at 90%, warn at 75%)" in message for message in events(world, "ScoreWarning"))


def test_score_too_low_rolls_back_when_the_step_would_end():
    """Half of the points is too few: not before the hold is over, but then at once."""
    world = at_weight(25, policy(*LONG, gates=SCORED, scoring={"pass": 90, "warn": 75}))
    world.quality["a"] = 0.5
    world.crank(30)
    assert carried(world) == 25

    finish(world, Phase.ROLLED_BACK)

    assert "score 50%" in world.status.rejected[0].message


def test_key_objective_acts_at_once():
    """A key objective does not wait for the score."""
    key = {**gate("a"), "keyObjective": True}
    world = at_weight(25, policy(*LONG, gates=(key, *SCORED[1:]), scoring={}))

    world.look("a", 0.5)
    world.operate()

    assert world.status.phase is Phase.ROLLING_BACK


def test_score_that_pauses_is_counted_anew_after_resume():
    """A pause by the score asks a person; after resume the hold begins anew, with new looks."""
    world = at_weight(25, policy(*LONG, gates=SCORED, scoring={"onBreach": "Pause"}))
    world.quality["a"] = 0.5
    world.crank(90, until=lambda: world.status.phase is Phase.PAUSED)
    assert world.status.phase is Phase.PAUSED
    world.quality["a"] = 0.0

    world.ask("resume/1")
    world.crank(5)
    assert world.status.phase is Phase.PROGRESSING

    reach(world, 100)
    assert world.status.phase is Phase.BAKING
