"""Gates: what passes, what is breached, what is unknown, and what follows."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, carried, condition, events, finish, gate, policy, reach, reason, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Cause, Phase, Reason, Verdict
from tidegate.engine.route import RouteRef
from tidegate.judge.reading import Reading
from tidegate.traffic.httproute import KIND

BAD = 0.5
LONG = (step(25, "60s"), step(100))


def say(world: World, *gates: str, value: float | None = BAD) -> None:
    """Prometheus says something about gates, and the operator decides in the same instant."""
    for name in gates:
        world.look(name, value)
    world.operate()


def test_breach_rolls_back_in_the_pass_that_reads_it():
    """From the pass that reads a breach, the first write moves the route and the next stores it; nothing waits."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))

    say(world, "errors")

    assert world.last.plan.away
    assert world.last.writes[0].startswith(f"ShiftRoute(route={RouteRef(KIND, 'web')!r}, stage=<RouteStage.SPLIT: 2>, weight=0")
    assert world.last.writes[1] == "status"
    assert world.status.phase is Phase.ROLLING_BACK
    assert reason(world) == Reason.ROLLING_BACK
    assert events(world, "GateBreached") == ["Rolling back v2: gate errors: errors 50% (1,000 requests), limit at most 1%"]


def test_rolled_back_version_is_stalled_and_remembered():
    """After the rollback stable serves alone, the route is the user's, the Release is Stalled with the reason in words."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    say(world, "errors")

    finish(world, Phase.ROLLED_BACK)

    assert world.cluster.routes["web"].backends == (("checkout", 1),)
    assert {rs.template.image: rs.wanted for rs in world.cluster.replica_sets.values()} == {"v1": 4, "v2": 0}
    assert [(entry.version, entry.cause) for entry in world.status.rejected] == [("v2", Cause.GATE)]
    assert (reason(world), condition(world, "Stalled"), condition(world, "Promoted")) == (Reason.ROLLED_BACK, True, False)
    assert world.cluster.deployment.paused


def test_canary_is_stopped_only_after_weight_and_drain():
    """The pods of a version that is rolled back stop when its router has taken the weight away and the drain time is over."""
    world = at_weight(25, policy(*LONG, gates=(gate(),), drain="8s"))
    world.cluster.router_works = False
    say(world, "errors")
    world.crank(60)
    assert world.cluster.replica_sets["checkout-own-v2"].wanted == 1

    world.cluster.router_works = True
    world.crank(1)
    accepted = world.cluster.routes["web"].accepted_at
    world.crank(30, until=lambda: world.cluster.replica_sets["checkout-own-v2"].wanted == 0)

    assert world.now - accepted >= 8


def test_rollback_wins_over_pause():
    """Two gates breach in one pass, one says Pause and one Rollback: Rollback wins."""
    world = at_weight(25, policy(*LONG, gates=(gate("latency", "Pause"), gate())))

    say(world, "latency", "errors")

    assert world.status.phase is Phase.ROLLING_BACK
    assert world.status.rollout.paused is None


def test_breach_of_a_paused_rollout_rolls_back():
    """A paused rollout is watched on: a breach with Rollback shuts it out."""
    world = at_weight(25, policy(*LONG, gates=(gate("latency", "Pause"), gate())))
    say(world, "latency")
    assert world.status.phase is Phase.PAUSED

    say(world, "errors")

    assert world.status.weight == 0


def test_pause_keeps_the_weight_and_asks_once():
    """A breach with Pause keeps the weight and alerts once; better numbers alone do not resume."""
    world = at_weight(25, policy(step(25, "5s"), step(100), gates=(gate("latency", "Pause"),)))
    say(world, "latency")
    assert (world.status.phase, world.status.weight, reason(world)) == (Phase.PAUSED, 25, Reason.PAUSED)
    assert world.status.message.endswith(
        "limit at most 1%; waits for a request to resume, promote or roll back; to go on, annotate the Release with "
        "tidegate.dev/request=resume/<id>, to roll back with tidegate.dev/request=rollback/<id>"
    )

    world.crank(60)

    assert world.status.phase is Phase.PAUSED
    assert len(events(world, "GateBreached")) == 1


def test_warn_goes_on():
    """A gate that only warns says so once, and the rollout goes on although it is breached."""
    world = at_weight(25, policy(step(25, "5s"), step(100), gates=(gate("noise", "Warn"),)))
    world.quality["noise"] = BAD

    finish(world)

    assert world.status.stable.version == "v2"
    words = "Gate noise is breached (warning only): noise 50% (1,000 requests), limit at most 1%"
    assert events(world, "GateBreached") == [words]


def test_failure_limit_of_the_last_looks():
    """Two bad looks of the last three are needed where the gate says so."""
    world = at_weight(25, policy(*LONG, gates=(gate(failureLimit=2, of=3),)))
    for value in (BAD, 0.0, 0.0, BAD):
        world.crank(1)
        world.look("errors", value)
        world.operate()
        assert world.status.weight == 25

    world.crank(1)
    say(world, "errors")

    assert world.status.weight == 0


def test_good_look_right_after_a_bad_one_does_not_hide_it():
    """Two looks come in between two passes, the first bad, the second good: the breach counts."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    world.look("errors", BAD)
    world.cluster.now += 1
    world.look("errors", 0.0)

    world.operate()

    assert world.status.weight == 0


def test_failing_look_that_is_no_breach_holds():
    """A look beyond the limit that is no breach yet keeps the weight from rising."""
    world = at_weight(25, policy(step(25, "3s"), step(100), gates=(gate(failureLimit=20, of=20),)))
    world.quality["errors"] = BAD

    world.crank(20)

    assert world.status.weight == 25
    assert "waits for gate errors: errors 50%" in world.status.message


def test_breach_while_baking_brings_stable_back_with_one_write():
    """At 100% the old version is warm: a breach brings it back with one write, and it was never scaled down."""
    world = at_weight(100, policy(step(100), gates=(gate(),), bake="60s"))
    pods = {pod.id for pod in world.cluster.replica_sets["checkout-k8s-v1"].pods}

    say(world, "errors")

    assert [write for write in world.last.writes if write.startswith("ShiftRoute")]
    assert world.status.weight == 0
    finish(world, Phase.ROLLED_BACK)
    assert not pods & world.cluster.stopped


def test_step_waits_for_a_look_at_its_own_weight():
    """A step does not end on looks that were taken at the weight before."""
    world = at_weight(5, policy(step(5, "2s"), step(25, "0s"), step(100), gates=(gate(interval="20s"),)))
    assert world.crank(60, until=lambda: carried(world) == 25)

    world.crank(5)

    assert world.status.weight == 25
    assert "waits for the first check of gate errors at this weight" in world.status.message
    reach(world, 100)


@pytest.mark.parametrize("trouble", ["connection refused", "the answer was not a number", "422: parse error"])
def test_blind_is_not_bad(trouble: str):
    """Whatever is wrong with Prometheus: the weight is held, the message names it, one Event tells it; back again, it goes on."""
    world = at_weight(25, policy(step(25, "3s"), step(100), gates=(gate(),)))
    world.prometheus_trouble = trouble
    world.crank(120)
    assert (world.status.phase, world.status.weight) == (Phase.PROGRESSING, 25)
    assert trouble in world.status.message
    assert len(events(world, "GateUndecided")) == 1

    world.prometheus_trouble = ""
    finish(world)

    assert world.status.stable.version == "v2"


def test_no_data_that_counts_as_a_breach():
    """Undecided for longer than `after` with `then: Fail` rolls back with that reason, also if no look comes in at that moment."""
    world = at_weight(25, policy(*LONG, gates=(gate(onNoData={"then": "Fail", "after": "20s"}),)))
    world.prometheus_trouble = "connection refused"
    world.crank(15)
    assert world.status.weight == 25
    assert world.last.plan.due <= world.status.gates[0].undecided_since + (at(20) - at(0))

    finish(world, Phase.ROLLED_BACK)

    assert world.status.last_rollout.cause is Cause.NO_DATA
    assert "gate errors was undecided for 20s (onNoData: Fail)" in world.status.message


def test_no_data_that_counts_as_a_pass():
    """Undecided for longer than `after` with `then: Pass` goes on."""
    world = at_weight(25, policy(step(25, "3s"), step(100), gates=(gate(onNoData={"then": "Pass", "after": "20s"}),)))
    world.quality["errors"] = None
    world.crank(10)
    assert world.status.weight == 25
    assert world.last.plan.due is not None

    finish(world)

    assert world.status.stable.version == "v2"


def test_time_without_traffic_is_no_time_without_data():
    """Pods that were lost and come back do not find their gates breached for the silence in between."""
    world = at_weight(25, policy(*LONG, gates=(gate(onNoData={"then": "Fail", "after": "20s"}),)))
    world.quality["errors"] = None
    world.crank(4)
    pod = world.cluster.replica_sets["checkout-own-v2"].pods[0]
    pod.down = True
    world.crank(40)
    pod.down, world.quality = False, {}

    reach(world, 25)

    assert world.status.phase is Phase.PROGRESSING


def test_looks_that_do_not_count():
    """Looks of another revision, of an unknown gate, from before the traffic, or older than the last do not count."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    world.crank(4)
    revision, now = world.status.candidate.revision, world.now
    world.readings = [
        Reading("errors", "other", at(now), canary=BAD),
        Reading("other", revision, at(now), canary=BAD),
        Reading("errors", revision, at(0), canary=BAD),
        Reading("errors", revision, at(now - 3), canary=BAD),
    ]

    world.operate()

    assert world.status.weight == 25
    assert world.status.gates[0].verdict is Verdict.PASS


def test_readings_without_a_rollout_are_dropped():
    """A look that comes in when the rollout is over changes nothing."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))
    revision = world.status.candidate.revision
    world.ask("rollback/1")
    finish(world, Phase.ROLLED_BACK)
    before = world.status

    world.readings = [Reading("errors", revision, at(world.now), canary=BAD)]
    world.operate()

    assert world.status == before


def test_values_that_json_does_not_know():
    """Values that are not finite are left out of the status."""
    world = at_weight(25, policy(*LONG, gates=(gate(),)))

    say(world, "errors", value=float("nan"))

    assert world.status.gates[0].canary is None
    assert world.status.gates[0].verdict is Verdict.UNDECIDED


def test_old_look_does_not_raise_the_weight():
    """Where looks have stopped coming in, the last one, however good, does not raise the weight."""
    world = at_weight(25, policy(step(25, "30s"), step(100), gates=(gate(),)))
    world.crank(2)
    world.look("errors", 0.0)
    world.operate()
    world.cluster.now += 60
    world.operate()

    assert world.status.step.index == 0
    assert "waits for a new check of gate errors" in world.status.message


def test_a_prometheus_that_is_away_is_told_during_a_hold():
    """While a hold lasts, nothing waits for a gate; that it sees nothing is told all the same, and no more once it does."""
    world = at_weight(5, policy(step(5, "10m"), step(100), gates=(gate(),)))
    world.look("errors", None, trouble="Prometheus connection default: connection refused")
    world.operate()

    said = world.status.message
    assert "; gate errors has no data: " in said
    assert "Prometheus connection default: connection refused" in said
    assert said.index("has no data") < said.index("waits until")

    world.crank(60)
    assert "has no data" not in world.status.message
