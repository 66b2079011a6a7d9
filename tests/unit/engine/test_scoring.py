"""Weighted scoring: what gates earn, and whether that is enough for a step to end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from simulation.views import at
from tidegate.api.names import Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus
from tidegate.engine.scoring import Result, Score, score

NOON = at(0)
PASS, FAIL, UNDECIDED = Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED


def gate(name: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    base = {"name": name, "metric": {"promql": {"canary": "vector(1)"}}, "threshold": {"max": 1}}
    return base | ({} if weight is None else {"weight": weight}) | more


def policy(*gates: dict[str, Any], **scoring: Any) -> RolloutPolicySpec:
    return RolloutPolicySpec.model_validate({"steps": [{"weight": 100}], "gates": list(gates), "scoring": scoring})


def said(name: str, verdict: Verdict, message: str = "", **more: Any) -> GateStatus:
    return GateStatus(name=name, verdict=verdict, message=message, at=NOON, **more)


def counted(spec: RolloutPolicySpec, *states: GateStatus, **more: Any) -> Score:
    return score(spec, states, **more)


def test_all_pass():
    """Gates that pass earn their whole weight, 1 where none is given: the score is 100%, and the step ends."""
    spec = policy(gate("error-rate", 3), gate("latency"))

    found = counted(spec, said("error-rate", PASS), said("latency", PASS))

    assert (100.0, Result.PASS) == (found.percent, found.result)
    assert "score 100% (pass at 90%, warn at 75%); error-rate 3 of 3, latency 1 of 1" == found.words


def test_warning_range_earns_half():
    """A value beyond the warning limit, but within the gate's own, earns half the weight, and the words say why."""
    spec = policy(gate("error-rate", 2), gate("p99-latency", 2), **{"pass": 90, "warn": 75})

    found = counted(spec, said("error-rate", PASS), said("p99-latency", PASS, "108 ms, stable 100 ms", warned=True))

    assert (75.0, Result.WARN) == (found.percent, found.result)
    words = "error-rate 2 of 2, p99-latency 1 of 2 (warning: 108 ms, stable 100 ms)"
    assert f"score 75% (pass at 90%, warn at 75%); {words}" == found.words


def test_failure_earns_nothing():
    """A gate that fails earns nothing, also where its value is in the warning range as well, as any value beyond is."""
    spec = policy(gate("error-rate", 1), gate("latency", 3), **{"pass": 50, "warn": 25})

    found = counted(spec, said("error-rate", PASS), said("latency", FAIL, "2 s", warned=True))

    assert (25.0, Result.WARN) == (found.percent, found.result)
    assert found.words.endswith("error-rate 1 of 1, latency 0 of 3 (beyond the limit: 2 s)")


@pytest.mark.parametrize(
    ("earned", "result"),
    [(90, Result.PASS), (89, Result.WARN), (75, Result.WARN), (74, Result.BREACH), (0, Result.BREACH)],
)
def test_limits_are_inclusive(earned: int, result: Result):
    """A score of exactly `pass` passes, and one of exactly `warn` warns; below it is a breach."""
    spec = policy(gate("good", earned), gate("bad", 100 - earned))

    found = counted(spec, said("good", PASS), said("bad", FAIL))

    assert result is found.result


def test_rounding_is_no_difference():
    """A score that is a limit but for the rounding of floats is that limit."""
    spec = policy(gate("a", 1), gate("b", 1), gate("c", 1), **{"pass": 200 / 3, "warn": 200 / 3})

    found = counted(spec, said("a", PASS), said("b", PASS), said("c", FAIL))

    assert Result.PASS is found.result


def test_clear_is_as_good_as_passed():
    """An undecided gate that has seen enough requests with nothing against the version earns its weight, or half in the warning."""
    spec = policy(gate("error-rate", 1), gate("latency", 1), **{"pass": 75})

    found = counted(spec, said("error-rate", UNDECIDED, clear=True), said("latency", UNDECIDED, clear=True, warned=True))

    assert (75.0, Result.PASS, ()) == (found.percent, found.result, found.waiting)


def test_proof_that_is_required_is_waited_for():
    """Where a gate requires proof, it is not enough that nothing speaks against the version."""
    spec = policy(gate("error-rate", requireProof=True))

    found = counted(spec, said("error-rate", UNDECIDED, clear=True))

    assert (Result.WAIT, ("error-rate",)) == (found.result, found.waiting)


def test_undecided_waits():
    """A gate without a verdict earns nothing yet, and the step waits: no data is no failure."""
    spec = policy(gate("error-rate", 9), gate("latency", 1))

    found = counted(spec, said("error-rate", PASS), said("latency", UNDECIDED, "3 of 20 requests"))

    assert (90.0, Result.WAIT, ("latency",)) == (found.percent, found.result, found.waiting)
    assert found.words.endswith("latency 0 of 1 (undecided: 3 of 20 requests)")


def test_gate_that_was_not_looked_at_waits():
    """A gate without any look yet is waited for, too."""
    found = counted(policy(gate("error-rate"), gate("latency")), said("error-rate", PASS))

    assert (Result.WAIT, ("latency",)) == (found.result, found.waiting)
    assert found.words.endswith("latency 0 of 1 (not checked yet)")


def test_what_nothing_can_save_is_not_waited_for():
    """Where the score stays below `warn` whatever the undecided gates will say, it is a breach already."""
    spec = policy(gate("error-rate", 3), gate("latency", 1))

    found = counted(spec, said("error-rate", FAIL), said("latency", UNDECIDED))

    assert Result.BREACH is found.result


@pytest.mark.parametrize(
    ("then", "seconds", "result"),
    [
        ("Hold", 3600, Result.WAIT),
        ("Pass", 299, Result.WAIT),
        ("Pass", 300, Result.PASS),
        ("Fail", 299, Result.WAIT),
        ("Fail", 300, Result.BREACH),
    ],
)
def test_silence_counts_as_the_gate_says(then: str, seconds: float, result: Result):
    """A gate that stays undecided counts as its onNoData says, once that much time has passed."""
    spec = policy(gate("error-rate", onNoData={"then": then, "after": "5m"}))

    found = counted(spec, said("error-rate", UNDECIDED, undecided_since=NOON), now=NOON + timedelta(seconds=seconds))

    assert result is found.result


def test_weight_0_is_for_information():
    """A gate of weight 0 neither earns nor costs nor is waited for, and the words say what it found."""
    spec = policy(gate("error-rate", 2), gate("cpu", 0), gate("memory", 0), gate("threads", 0))
    states = (said("error-rate", PASS), said("cpu", FAIL, "95% of the limit"), said("memory", UNDECIDED), said("threads", PASS))

    found = counted(spec, *states)

    assert (100.0, Result.PASS, ()) == (found.percent, found.result, found.waiting)
    cpu = "cpu 0 of 0 (for information, beyond the limit: 95% of the limit)"
    assert found.words.endswith(f"{cpu}, memory 0 of 0 (for information, undecided), threads 0 of 0 (for information)")


def test_nothing_to_be_earned():
    """Where every weight is 0, or there is no gate at all, the score is 100%: everything is for information."""
    informed = counted(policy(gate("error-rate", 0), gate("latency", 0)), said("error-rate", FAIL))
    empty = counted(policy())

    assert (100.0, Result.PASS) == (informed.percent, informed.result)
    assert (100.0, Result.PASS) == (empty.percent, empty.result)
    assert "score 100% (pass at 90%, warn at 75%)" == empty.words


def test_key_objective_holds_the_step_whatever_the_score():
    """A key objective beyond its limit is named, and the step does not end even if the score is high enough."""
    spec = policy(gate("error-rate", 1, keyObjective=True), gate("latency", 99))

    found = counted(spec, said("error-rate", FAIL, "12%"), said("latency", PASS))

    assert (99.0, Result.WAIT, ("error-rate",)) == (found.percent, found.result, found.key_breaches)
    assert "error-rate 0 of 1 (key objective, beyond the limit: 12%)" in found.words


def test_key_objective_in_the_warning_range_is_no_breach():
    """A key objective that is beyond its warning limit only earns half, as any other gate."""
    spec = policy(gate("error-rate", 2, keyObjective=True), gate("latency", 8))

    found = counted(spec, said("error-rate", PASS, warned=True), said("latency", PASS))

    assert (90.0, Result.PASS, ()) == (found.percent, found.result, found.key_breaches)


def test_key_objective_of_weight_0_counts_as_key():
    """A key objective may have no weight: it earns nothing, but it is waited for, and its failure holds the step."""
    spec = policy(gate("data", 0, keyObjective=True), gate("latency", 1))

    silent = counted(spec, said("latency", PASS))
    failed = counted(spec, said("data", FAIL), said("latency", PASS))

    assert (100.0, Result.WAIT, ("data",)) == (silent.percent, silent.result, silent.waiting)
    assert (100.0, Result.WAIT, ("data",)) == (failed.percent, failed.result, failed.key_breaches)


def test_key_objective_that_warns_holds_nothing():
    """A key objective whose breach only warns costs its weight and no more."""
    spec = policy(gate("noise", 1, keyObjective=True, onBreach="Warn"), gate("latency", 9))

    found = counted(spec, said("noise", FAIL), said("latency", PASS))

    assert (90.0, Result.PASS, ()) == (found.percent, found.result, found.key_breaches)


def test_gate_on_trial_does_not_count():
    """A gate that runs dry is neither counted nor waited for, be it a key objective or not."""
    spec = policy(gate("error-rate", 1), gate("trial", 50, dryRun=True, keyObjective=True))

    failed = counted(spec, said("error-rate", PASS), said("trial", FAIL))

    assert (100.0, Result.PASS, (), ()) == (failed.percent, failed.result, failed.waiting, failed.key_breaches)
    assert ["error-rate"] == [one.gate for one in failed.gates]


@pytest.mark.parametrize(
    ("states", "percent"),
    [((), 100.0), ((said("start", UNDECIDED),), 100.0), ((said("start", PASS),), 100.0), ((said("start", FAIL),), 50.0)],
)
def test_gate_of_the_first_minutes(states: tuple[GateStatus, ...], percent: float):
    """A gate that is not looked at any more counts by the verdict it has, and without one not at all."""
    spec = policy(gate("start", activeFor="5m"), gate("latency"), **{"pass": 50, "warn": 50})

    found = counted(spec, said("latency", PASS), *states, over={"start"})

    assert (percent, Result.PASS, ()) == (found.percent, found.result, found.waiting)


def test_known_example():
    """85 of 92 points are 92.39%, as in the specification that the semantics come from."""
    spec = policy(gate("good", 78), gate("half", 14))

    found = counted(spec, said("good", PASS), said("half", PASS, warned=True))

    assert 92.39 == round(found.percent, 2)
    assert (78.0, 7.0) == tuple(one.earned for one in found.gates)


def test_numbers_come_first():
    """However long the gates' own words are, the score stands at the beginning, where no message is cut."""
    found = counted(policy(gate("error-rate")), said("error-rate", FAIL, "x" * 1000))

    assert found.words.startswith("score 0% (pass at 90%, warn at 75%); error-rate 0 of 1")
