"""Requests by people: promote, rollback, pause, resume, retry."""

from __future__ import annotations

import pytest

from simulation.policies import at_weight, carried, condition, events, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.names import Cause, Phase

BAD = 0.5
LONG = (step(5, "60s"), step(25, "60s"), step(100))


def ask(world: World, request: str) -> None:
    """A person annotates the Release, and the operator decides at once."""
    world.ask(request)
    world.operate()


def test_rollback_and_retry():
    """Rollback: weight 0, the new version to 0, stable full. Retry: it starts again at the first step."""
    world = at_weight(25, policy(step(5, "2s"), step(25, "60s"), step(100)))
    ask(world, "rollback/incident-7")
    assert world.status.weight == 0
    finish(world, Phase.ROLLED_BACK)
    assert world.status.last_rollout.message == "rollback was requested (rollback/incident-7)"
    assert {rs.template.image: rs.wanted for rs in world.cluster.replica_sets.values()} == {"v1": 4, "v2": 0}

    ask(world, "retry/1")
    reach(world, 5)

    assert world.status.rejected == ()
    assert events(world, "Retried") == ["v2 is tried again (retry/1)"]


def test_rollback_and_hold_keeps_what_comes_next():
    """An incident: the version is rolled back, and the next commit starts nothing until a person says resume."""
    world = at_weight(25, policy(*LONG))
    ask(world, "rollback-and-hold/incident-7")
    finish(world, Phase.ROLLED_BACK)
    world.apply("v3")
    world.crank(30)
    world.die()
    world.crank(30)

    assert (world.status.rollout, world.status.phase, world.status.weight) == (None, Phase.PAUSED, 0)
    assert condition(world, "Stalled")
    words = "waits for a request to resume before v3 is rolled out: a hold was requested (rollback-and-hold/incident-7)"
    assert f"{words}; to roll it out, annotate the Release with tidegate.dev/request=resume/<id>" in world.status.message
    assert world.cluster.deployment.paused

    ask(world, "resume/1")
    reach(world, 5)

    assert world.status.candidate.version == "v3"
    assert world.status.held is None


def test_a_hold_without_a_rollout():
    """Nothing is on: what comes next is held all the same, but stable's own template is not."""
    world = idle(policy(*LONG))
    ask(world, "rollback-and-hold/1")
    world.crank(5)
    assert world.status.message == "v1 serves"
    world.apply("v2")
    world.crank(10)
    assert world.status.rollout is None

    world.apply("v1")
    finish(world)

    assert world.status.message == "v1 serves"


def test_retry_during_the_rollback_waits_for_its_end():
    """A retry that comes while the version is still being rolled back is carried out when that is done."""
    world = at_weight(25, policy(step(25, "60s"), step(100)))
    ask(world, "rollback/1")
    ask(world, "retry/2")
    assert world.status.handled_request == "rollback/1"

    assert world.crank(60, until=lambda: world.status.handled_request == "retry/2")

    assert world.status.last_rollout.version == "v2"
    reach(world, 25)


def test_pause_and_resume():
    """A paused rollout stays where it is, for any time; resumed, it goes on."""
    world = at_weight(5)
    ask(world, "pause/1")
    world.crank(60)
    assert (world.status.phase, world.status.weight) == (Phase.PAUSED, 5)
    assert world.status.message == (
        "Rollout of v2 (stable: v1) is paused at 5%: pause was requested (pause/1); "
        "waits for a request to resume, promote or roll back; to go on, annotate the Release with "
        "tidegate.dev/request=resume/<id>, to roll back with tidegate.dev/request=rollback/<id>"
    )

    ask(world, "resume/2")
    finish(world)

    assert world.status.stable.version == "v2"


def test_resume_after_a_breach_looks_anew():
    """Resumed after a breach, the gate looks anew: still bad, it pauses again; better, the rollout goes on."""
    world = at_weight(5, policy(step(5, "5s"), step(100), gates=(gate("latency", "Pause"),)))
    world.quality["latency"] = BAD
    assert world.crank(10, until=lambda: world.status.phase is Phase.PAUSED)

    ask(world, "resume/1")
    assert world.status.phase is Phase.PROGRESSING
    world.crank(5)
    assert world.status.phase is Phase.PAUSED

    world.quality["latency"] = 0.0
    ask(world, "resume/2")
    finish(world)
    assert world.status.stable.version == "v2"


def test_resume_after_silence_waits_for_the_silence_anew():
    """A gate that paused since it had no data does not pause again at once."""
    silent = gate("latency", "Pause", onNoData={"then": "Fail", "after": "10s"})
    world = at_weight(5, policy(step(5, "5s"), step(100), gates=(silent,)))
    world.quality["latency"] = None
    assert world.crank(30, until=lambda: world.status.phase is Phase.PAUSED)
    assert world.status.rollout.paused.cause is Cause.NO_DATA

    ask(world, "resume/1")
    world.crank(5)

    assert world.status.phase is Phase.PROGRESSING


def test_promote_goes_to_the_end_past_holds_and_gates():
    """Promote goes to 100% at once, past holds and a gate that is undecided; the bake is kept."""
    world = at_weight(5, policy(*LONG, gates=(gate(),), bake="10s"))
    world.quality["errors"] = None
    ask(world, "promote/1")

    reach(world, 100)
    assert 25 not in world.weights
    assert (world.status.step.until - world.status.step.since).total_seconds() == 10
    assert events(world, "WeightChanged")[-1] == "Weight of v2 raised from 5% to 100% (step 3 of 3): full promotion was requested"

    finish(world)
    assert world.status.stable.version == "v2"
    assert world.status.last_rollout.message == (
        "full promotion was requested (promote/1), which skips steps and gates; gates not passed: errors (Undecided)"
    )


def test_promote_before_the_first_weight():
    """Asked for before any weight was given, full promotion passes the first step without its hold."""
    world = idle(policy(*LONG))
    world.apply("v2")
    world.crank(2)

    ask(world, "promote/1")
    assert world.crank(20, until=lambda: carried(world) == 100)

    assert world.weights == [0, 5, 100]


def test_promote_is_still_watched():
    """On the way of a full promotion, a gate with Rollback still shuts the version out."""
    world = at_weight(5, policy(*LONG, gates=(gate(),)))
    ask(world, "promote/1")
    world.look("errors", BAD)

    finish(world, Phase.ROLLED_BACK)

    assert world.status.stable.version == "v1"


def test_promote_overrules_a_gate_that_pauses():
    """Full promotion of a rollout that a gate paused is not paused by the same gate again; an Event says so."""
    world = at_weight(5, policy(*LONG, gates=(gate("latency", "Pause"),)))
    world.quality["latency"] = BAD
    assert world.crank(10, until=lambda: world.status.phase is Phase.PAUSED)

    ask(world, "promote/1")
    finish(world)

    assert world.status.stable.version == "v2"


def test_breach_after_promote_only_warns():
    """A gate with Pause that breaches after full promotion was asked for tells it and does not pause."""
    world = at_weight(5, policy(*LONG, gates=(gate("latency", "Pause"),)))
    ask(world, "promote/1")
    world.quality["latency"] = BAD

    finish(world)

    assert events(world, "GateBreached")[0].startswith("Gate latency is breached (full promotion was requested)")


def test_promote_ends_the_bake():
    """Asked for while baking, full promotion ends the bake."""
    world = at_weight(100, policy(step(100), bake="600s"))

    ask(world, "promote/1")
    finish(world, seconds=30)

    assert world.status.stable.version == "v2"


def test_rollback_of_a_paused_rollout_tells_the_gate():
    """A rollback by request of what a gate paused names both."""
    world = at_weight(5, policy(*LONG, gates=(gate("latency", "Pause"),)))
    world.quality["latency"] = BAD
    assert world.crank(10, until=lambda: world.status.phase is Phase.PAUSED)

    ask(world, "rollback/1")

    assert world.status.rollout.undo_message.startswith("rollback was requested (rollback/1) after gate latency: ")


def test_pause_keeps_lost_weight_away():
    """Pods that are lost and come back while paused get no weight before a person resumes, and no deadline runs."""
    world = at_weight(5, policy(*LONG, progressDeadline="10s"))
    ask(world, "pause/1")
    pod = world.cluster.replica_sets["checkout-own-v2"].pods[0]
    pod.down = True
    world.crank(30)
    assert (world.status.phase, world.status.weight) == (Phase.PAUSED, 0)
    pod.down = False
    world.crank(5)
    assert world.status.weight == 0

    ask(world, "resume/1")
    reach(world, 5)


def test_time_of_a_pause_is_not_counted_against_pods():
    """A pause before the pods were ready does not let the deadline pass at once when it ends."""
    world = idle(policy(*LONG, progressDeadline="20s"))
    world.cluster.start_up["v2"] = None
    world.apply("v2")
    world.crank(5)
    ask(world, "pause/1")
    world.crank(60)

    ask(world, "resume/2")

    assert world.status.phase is Phase.PROGRESSING


def test_rollback_while_promoting_before_adoption():
    """As long as the Deployment has not adopted the pods, a rollback is carried out."""
    world = idle(policy(step(100), bake="5s"))
    world.images = {"app": "v2"}
    assert world.crank(60, until=lambda: world.status.phase is Phase.PROMOTING)

    ask(world, "rollback/1")
    finish(world, Phase.ROLLED_BACK)

    assert world.status.stable.version == "v1"


def test_pause_while_promoting_before_adoption():
    """A pause that comes before the adoption holds it; resumed, the promotion goes on."""
    world = idle(policy(step(100), bake="5s"))
    world.images = {"app": "v2"}
    assert world.crank(60, until=lambda: world.status.phase is Phase.PROMOTING)
    ask(world, "pause/1")
    world.crank(20)
    assert (world.status.phase, world.status.weight) == (Phase.PAUSED, 100)

    ask(world, "resume/2")
    finish(world)

    assert world.status.stable.version == "v2"


def test_requests_after_adoption_are_refused():
    """Once the Deployment has adopted the pods there is no way back, and the request is told so."""
    world = at_weight(100, policy(step(100), bake="2s"))
    assert world.crank(30, until=lambda: world.status.phase is Phase.PROMOTING)
    world.operate()

    for verb in ("rollback", "pause", "promote", "resume"):
        ask(world, f"{verb}/1")

    refused = "was not carried out: the new version has already been promoted"
    assert events(world, "RequestRefused") == [f"Request {v}/1 {refused}" for v in ("rollback", "pause", "promote", "resume")]
    finish(world)
    assert world.status.stable.version == "v2"


@pytest.mark.parametrize(
    ("request_text", "why"),
    [
        ("promote/1", "no rollout is in progress"),
        ("rollback/1", "no rollout is in progress"),
        ("pause/1", "no rollout is in progress"),
        ("resume/1", "no rollout is in progress"),
        ("retry/1", "the wanted version has not been rejected"),
        ("dance/1", "it must be <verb>/<id>, with promote, rollback, rollback-and-hold, pause, resume or retry as the verb"),
    ],
)
def test_request_before_a_rollout_is_refused_once(request_text: str, why: str):
    """A request that makes no sense is refused once, with the reason, and does not come back in the next rollout."""
    world = idle()
    world.ask(request_text)
    world.crank(3)
    assert events(world, "RequestRefused") == [f"Request {request_text} was not carried out: {why}"]

    world.apply("v2")
    finish(world)

    assert world.weights == [0, 5, 25, 100, 0]
    assert len(events(world, "RequestRefused")) == 1


def test_requests_that_make_no_sense_mid_rollout():
    """Pausing twice, resuming what is not paused, retrying what is on, and anything while it is undone, is refused."""
    world = at_weight(5, policy(*LONG))
    for request in ("resume/1", "retry/2", "pause/3", "pause/4", "rollback/5", "rollback/6"):
        ask(world, request)

    assert events(world, "RequestRefused") == [
        "Request resume/1 was not carried out: the rollout is not paused",
        "Request retry/2 was not carried out: a rollout is in progress",
        "Request pause/4 was not carried out: the rollout is already paused",
        "Request rollback/6 was not carried out: a rollback is already in progress",
    ]


def test_long_request_is_cut():
    """A request longer than the status can hold is carried out once, too."""
    world = at_weight(5, policy(*LONG))
    world.ask("pause/" + "x" * 2000)

    world.crank(2)

    assert world.status.phase is Phase.PAUSED
    assert len(world.status.handled_request) == 256
    assert events(world, "RequestRefused") == []
