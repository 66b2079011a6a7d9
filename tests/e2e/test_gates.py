"""Gates judged by limits on a real cluster: what a breach does, what is done without an answer, and what nobody gets to see."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

from e2e.manifests import Json, Pods, exact_gate, step
from e2e.operator_process import Operator
from e2e.prometheus_stand_in import Mood
from e2e.story import Given, Then, When, on_the_cluster
from e2e.world import World

pytestmark = on_the_cluster

STEADY = (sys.executable, str(Path(__file__).with_name("steady_service.py")))
ONE_POINT: Json = {
    "name": "error-rate",
    "metric": {"preset": {"source": "Envoy", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"points": 1}},
    "interval": "1s",
    "window": "30s",
    "minSamples": 400,
    "judge": "Limit",
}


async def test_errors_up_by_two_points_are_shut_out(given: Given, when: When, then: Then) -> None:
    """Envoy's own numbers show two points more errors than stable has: the version is rolled back, with the numbers in words."""
    await given.an_app(pods=Pods.REAL, replicas=2, command=STEADY)
    await given.a_policy(step(50), step(100), gates=(ONE_POINT,))
    await given.a_release()
    await given.load(rate=100)
    given.failing("v2")

    await when.the_image_becomes("v2", ERROR_RATE="0.02")

    await then.rolled_back_to("v1")
    await then.served_by("v1")
    then.weights_were(50, 0)
    then.last_rollout_was("RolledBack", "v2", "gate error-rate: error rate ", "stable 0%", "limit less than 1 point above stable")


async def test_errors_up_by_half_a_point_pass(given: Given, when: When, then: Then, world: World) -> None:
    """Half a point more errors than stable has is within the limit of one: the version is promoted."""
    await given.an_app(pods=Pods.REAL, replicas=2, command=STEADY)
    await given.a_policy(step(50), step(100), gates=(ONE_POINT,))
    await given.a_release()
    await given.load(rate=100)
    given.failing("v2")

    await when.the_image_becomes("v2", ERROR_RATE="0.005")

    await then.promoted_to("v2")
    then.weights_were(50, 100, 0)
    assert world.load is not None
    assert world.load.answers().failures("v2")


async def test_availability_below_its_minimum_is_shut_out(given: Given, when: When, then: Then) -> None:
    """An availability of 99.8% is below the minimum of 99.9%: the version is rolled back, and the message tells the two apart."""
    await given.prometheus(canary=0.998)
    availability = {
        "name": "availability",
        "metric": {"preset": {"source": "Envoy", "measure": "Availability"}},
        "threshold": {"min": 0.999},
        "judge": "Limit",
        "interval": "1s",
        "connection": "stand-in",
    }
    await given.a_released_app(step(10), step(100), gates=(availability,))

    await when.the_image_becomes("v2")

    await then.rolled_back_to("v1")
    then.weights_were(10, 0)
    then.last_rollout_was("RolledBack", "v2", "availability 99.8%", "at least 99.9%")


async def test_no_answer_is_no_verdict(given: Given, when: When, then: Then, world: World) -> None:
    """Whatever Prometheus does but give one number, the weight is held and the status names it; with numbers it goes on."""
    await given.prometheus(canary=0.001)
    await when.prometheus_is(Mood.REFUSES)
    await given.a_released_app(step(10), step(100), gates=(exact_gate(),))
    await when.the_image_becomes("v2")
    await then.the_route_carries(10)

    said = {
        Mood.REFUSES: "Prometheus connection stand-in: Connection refused",
        Mood.ERROR: "Prometheus connection stand-in: Prometheus reports: the query engine is on fire (HTTP 500)",
        Mood.HANGS: "Prometheus connection stand-in: no answer from",
        Mood.NAN: "the query gave no number",
        Mood.SEVERAL: "Prometheus connection stand-in: the query gave 2 series, expected 1",
        Mood.EMPTY: "the query gave no number",
    }
    for mood, words in said.items():
        await when.prometheus_is(mood)
        await then.the_gate_says("errors", "Undecided", words)
        await then.the_status_says("step 1 of 2", words)
    await then.event("GateUndecided", "errors")
    then.weights_were(10)

    await when.prometheus_is(Mood.NUMBERS)
    await then.promoted_to("v2")
    then.weights_were(10, 100, 0)


async def test_prometheus_away_for_too_long_is_a_breach_where_the_gate_says_so(given: Given, when: When, then: Then) -> None:
    """Prometheus stays away for longer than the gate's onNoData allows: the version is rolled back, and that is the reason."""
    patient = exact_gate(onNoData={"after": "5s", "then": "Fail"})
    await given.prometheus(canary=0.001)
    await given.a_rollout_held_at(10, gates=(patient,))
    await then.the_gate_says("errors", "Pass")

    await when.prometheus_is(Mood.REFUSES)

    await then.rolled_back_to("v1")
    then.weights_were(10, 0)
    then.last_rollout_was("RolledBack", "v2", "gate errors was undecided for 5s (onNoData: Fail)", "Connection refused")


async def test_scalar_is_a_number(given: Given, when: When, then: Then) -> None:
    """A query that answers with a scalar instead of a series is judged by that number."""
    await given.prometheus(canary=0.2)
    await when.prometheus_is(Mood.SCALAR)
    await given.a_released_app(step(10), step(100), gates=(exact_gate(),))

    await when.the_image_becomes("v2")

    await then.rolled_back_to("v1")
    then.last_rollout_was("RolledBack", "v2", "20%")


async def test_gate_that_warns_does_not_stop(given: Given, when: When, then: Then, world: World) -> None:
    """A breach of a gate that only warns is told in an Event and in the record, and the rollout goes on to its end."""
    await given.prometheus(canary=0.02)
    gates = (exact_gate("noise", onBreach="Warn"), exact_gate("errors", most=0.5))
    await given.a_released_app(step(10), step(100), gates=gates)

    await when.the_image_becomes("v2")

    await then.promoted_to("v2")
    await then.event("GateBreached", "noise", "warning only", "2%", "limit at most 1%")
    then.weights_were(10, 100, 0)
    verdicts = {gate["name"]: gate["verdict"] for gate in world.status["lastRollout"]["gates"]}
    assert {"noise": "Fail", "errors": "Pass"} == verdicts


async def test_rollback_wins_over_pause(given: Given, when: When, then: Then, world: World) -> None:
    """Two gates breach together, one that pauses and one that rolls back: the version is rolled back."""
    await given.prometheus(canary=0.001)
    gates = (exact_gate("slow", onBreach="Pause"), exact_gate("errors"))
    await given.a_rollout_held_at(10, gates=gates)
    await then.the_gate_says("errors", "Pass")

    await when.prometheus_shows(canary=0.2)

    await then.rolled_back_to("v1")
    then.last_rollout_was("RolledBack", "v2", "gate errors")
    then.weights_were(10, 0)


async def test_gate_without_its_connection_holds(given: Given, when: When, then: Then) -> None:
    """A gate that names a Prometheus connection which the operator does not have is held, and the status names both sides."""
    await given.a_released_app(step(10), step(100), gates=(exact_gate(connection="elsewhere"),))

    await when.the_image_becomes("v2")

    await then.the_gate_says("errors", "Undecided", "there is no Prometheus connection elsewhere", "default, stand-in")
    await then.the_status_says("no Prometheus connection elsewhere")
    then.weights_were(10)


async def test_secret_of_a_connection_is_seen_nowhere(
    given: Given, when: When, then: Then, world: World, kubeconfig: Path, tmp_path: Path
) -> None:
    """The token for Prometheus gets there and nowhere else: not into status, Events, logs nor metrics."""
    token = f"s3cret-{uuid.uuid4().hex}"
    (tmp_path / "token").write_text(token)
    connection = {
        "name": "stand-in",
        "address": world.stand_in.address,
        "bearerTokenFile": str(tmp_path / "token"),
        "timeout": "1s",
    }
    await world.operator.stop()
    world.operator = Operator(tmp_path, kubeconfig, [world.namespace], {"connections": [connection]})
    await world.operator.start()
    await given.prometheus(canary=0.001)
    await given.a_rollout_held_at(10, gates=(exact_gate(),))
    await then.the_gate_says("errors", "Pass")
    assert f"Bearer {token}" in world.stand_in.credentials

    await when.prometheus_is(Mood.TELLTALE)
    await then.the_gate_says("errors", "Undecided", "Prometheus reports: I do not know")
    await then.event("GateUndecided", "errors")
    await when.prometheus_is(Mood.NUMBERS)
    await when.prometheus_shows(canary=0.2)
    await then.rolled_back_to("v1")

    told = [
        json.dumps(seen.object) for kind in ("Release", "Event", "HTTPRoute", "Deployment") for seen in world.history.versions(kind)
    ]
    _, metrics = await world.operator.ask("/metrics")
    assert not any(token in text for text in (*told, metrics, world.operator.log.read_text()))
