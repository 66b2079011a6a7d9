"""A judge that fails over one gate: that gate is undecided, and everything else goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from simulation.policies import at_weight, carried, events, finish, gate, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.status import GateStatus, ReleaseStatus
from tidegate.judge.reading import Counts, Reading, Tally
from unit.engine.test_evidence import counted, say, state

LONG = (step(25, "60s"), step(100))
SHORT = (step(25, "4s"), step(100))
TWO = (counted(), gate("latency"))
NO_NUMBER: Any = "many"
"""What no judge can reckon with: the kind of mistake does not matter."""


def poison(world: World, name: str = "errors") -> None:
    """A look comes in that makes the judge of a gate raise."""
    assert world.status.candidate is not None
    counts = Counts(at(world.now - 1), Tally(NO_NUMBER), Tally(10.0))
    world.readings.append(Reading(name, world.status.candidate.revision, at(world.now), canary=NO_NUMBER, counts=counts))


def damage(world: World, text: str) -> None:
    """What is stored of the evidence is no longer what was written."""
    known = state(world)
    assert known.evidence is not None
    broken = known.model_copy(update={"evidence": known.evidence.model_copy(update={"state": text})})
    others = tuple(one if one.name != known.name else broken for one in world.status.gates)
    world.status = ReleaseStatus.model_validate(world.status.model_copy(update={"gates": others}).to_wire())


@pytest.mark.parametrize("name", ["errors", "latency"])
def test_gate_that_cannot_be_judged_is_undecided(name: str):
    """Whatever the judge raises, its gate is undecided, says why, and what it went on from is handed out for the log."""
    world = at_weight(25, policy(*LONG, gates=TWO))
    say(world, 0.01)
    world.crank(1)
    poison(world, name)
    world.operate()

    found = state(world, name)
    assert (found.verdict, found.clear, found.evidence) == (Verdict.UNDECIDED, False, None)
    assert found.message.startswith(f"{name} could not be judged because of a bug in Tidegate (TypeError: ")
    assert found.undecided_since == found.at
    assert [one.gate for one in world.last.plan.unjudged] == [name]
    assert "Traceback" in world.last.plan.unjudged[0].error
    assert len([words for words in events(world, "GateUndecided") if "could not be judged" in words]) == 1


def test_state_of_the_gate_is_handed_out():
    """What the judge stumbled over is in the log, with the state that it went on from; at the first look there is none."""
    world = at_weight(25, policy(*LONG, gates=TWO))
    poison(world)
    world.operate()
    first = world.last.plan.unjudged[0].state
    world.cluster.now += 1
    say(world, 0.01)
    known = state(world)
    world.cluster.now += 1
    poison(world)
    world.operate()

    assert first == ""
    assert known.evidence is not None
    assert known.evidence.state
    assert GateStatus.model_validate_json(world.last.plan.unjudged[0].state).evidence == known.evidence


def test_other_gate_is_acted_on():
    """In the pass in which one gate cannot be judged, the breach of another takes all traffic away."""
    world = at_weight(25, policy(*LONG, gates=TWO))
    poison(world)
    world.look("latency", 0.5)

    world.operate()

    assert world.status.phase is Phase.ROLLING_BACK
    assert world.status.rollout.undo is Cause.GATE
    assert world.last.writes[0].startswith("ShiftRoute")
    assert "gate latency" in world.status.rollout.undo_message


@pytest.mark.parametrize("request_", ["rollback/1", "pause/1", "promote/1"])
def test_requests_are_carried_out(request_: str):
    """What a person asks for is done though a gate cannot be judged."""
    world = at_weight(25, policy(*LONG, gates=TWO))
    poison(world)
    world.ask(request_)

    world.operate()

    assert world.status.handled_request == request_


def test_deletion_goes_on():
    """A Release that is deleted is handed back though a gate cannot be judged."""
    world = at_weight(25, policy(*LONG, gates=TWO))
    world.delete()
    for _ in range(60):
        if world.status.candidate is not None:
            poison(world)
        world.crank(1)

    assert world.gone


def test_weight_is_held_until_the_gate_can_be_judged():
    """A gate that cannot be judged holds the weight, is told once, and is judged again from new requests on."""
    world = at_weight(25, policy(*SHORT, gates=(counted(),)))
    for _ in range(30):
        poison(world)
        world.crank(1)
    held = carried(world)

    reach(world, 100)

    assert held == 25
    assert len(events(world, "GateUndecided")) == 1
    assert state(world).evidence is not None


def test_bad_version_is_found_though_its_evidence_was_dropped():
    """Evidence that begins anew is held against the version like any other: it is shut, and never gets more weight."""
    world = at_weight(25, policy(*SHORT, gates=(counted(),)))
    world.quality["errors"] = 0.2
    for _ in range(4):
        poison(world)
        world.crank(2)
    assert world.status.weight in (0, 25)

    finish(world, Phase.ROLLED_BACK)

    assert max(world.weights) == 25


def test_no_data_rule_counts_for_a_gate_that_cannot_be_judged():
    """What stays undecided for long enough counts as onNoData says, whatever the reason."""
    world = at_weight(25, policy(*LONG, gates=(counted(onNoData={"then": "Fail", "after": "20s"}),)))
    for _ in range(19):
        poison(world)
        world.crank(1)
    assert world.status.weight == 25
    poison(world)
    world.crank(3)

    assert world.status.rollout is not None
    assert world.status.rollout.undo is Cause.NO_DATA


def test_evidence_that_is_no_number_is_no_evidence(monkeypatch: pytest.MonkeyPatch):
    """JSON knows neither NaN nor infinity: such evidence would keep the whole status from being stored."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    monkeypatch.setattr("tidegate.judge.evidence.gate.powers_of_ten", lambda _: float("nan"))

    say(world, 0.01)

    assert "harm is nan" in state(world).message
    assert state(world).evidence is None


@pytest.mark.parametrize("text", ["", "AA==", "not base64 at all", "QUJDREVGR0g="])
def test_stored_evidence_that_cannot_be_read_begins_anew_with_a_word(text: str):
    """A state that is damaged, or of an older version, is begun anew: the look that does so says it, and one Event."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    say(world, 0.01)
    world.crank(1)
    world.notices.clear()
    damage(world, text)
    world.readings.clear()
    say(world, 0.01, requests=50)
    first = state(world)
    world.crank(2)

    told = [words for words in events(world, "GateUndecided") if "starts again from zero" in words]
    assert first.message.endswith("its stored evidence cannot be read, so it starts again from zero")
    assert (first.clear, first.evidence.canary_requests) == (False, 50)
    assert len(told) == 1
    assert "starts again from zero" not in state(world).message


def test_times_far_away_do_not_keep_gates_from_being_judged():
    """A hand that writes times at the edge of the calendar into the status does no more than that."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    say(world, 0.01)
    world.crank(1)
    far = at(0) - timedelta(days=300_000)
    edited = tuple(one.model_copy(update={"quiet_since": far, "newest": far, "usual_gap": 1e300}) for one in world.status.gates)
    world.status = ReleaseStatus.model_validate(world.status.model_copy(update={"gates": edited}).to_wire())

    say(world, 0.01)

    assert world.status.phase is Phase.PROGRESSING
