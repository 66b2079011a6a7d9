"""Gates judged by evidence on a real cluster, with the numbers that real Prometheus has of real pods and of Envoy."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from e2e.manifests import Json, Pods, policy, step
from e2e.story import HELD, Given, Then, When, manifest_text, on_the_cluster
from e2e.world import World
from tidegate.api.base import parse_time
from tidegate.api.kept import opened

pytestmark = on_the_cluster

SCRIPTED = ("/usr/bin/env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable, "-m", "e2e.scripted_service")
POINT: Json = {"maxIncrease": {"points": 1}}


def gate(measure: str = "ErrorRate", source: str = "Envoy", name: str = "error-rate", **more: object) -> Json:
    """Return a gate of a preset that looks each second; its judge is the default."""
    metric = {"preset": {"source": source, "measure": measure}}
    return {"name": name, "metric": metric, "interval": "1s", "minSamples": 400, **more}


async def a_shop(
    given: Given, *gates: Json, steps: tuple[Json, ...] = (step(50), step(100)), rate: float = 100, **env: str
) -> None:
    """Real pods in version v1 under a Release with these gates, and users who send requests through Envoy."""
    await given.an_app(pods=Pods.REAL, replicas=2, command=SCRIPTED, env=env)
    await given.a_policy(*steps, gates=gates)
    await given.a_release()
    await given.load(rate=rate)
    given.failing("v2")


async def decided(world: World, phase: str) -> None:
    """Evidence takes its requests, and a busy machine takes its time to send them."""
    await world.until(phase, lambda: world.status.get("phase") == phase, within=240)


def looks(world: World, name: str) -> list[Json]:
    """Return what a gate said at each of its looks, as far as the status told it, oldest first."""
    found: dict[str, Json] = {}
    for seen in world.history.versions("Release"):
        for state in opened(seen.object.get("status") or {}).get("gates", ()):
            if state["name"] == name:
                found[state["at"]] = state
    return [found[at] for at in sorted(found, key=parse_time)]


async def test_errors_up_by_two_points_are_shut_out(given: Given, when: When, then: Then, world: World) -> None:
    """Two points more errors than stable, where less than one is allowed: shown by evidence, and rolled back with the numbers."""
    given.failing("v1")
    await a_shop(given, gate(versusStable=POINT), steps=(step(50, HELD), step(100)), rate=200, ERROR_RATE="0.005")

    await when.the_image_becomes("v2", ERROR_RATE="0.025")

    await decided(world, "RolledBack")
    await then.rolled_back_to("v1")
    await then.served_by("v1")
    then.weights_were(50, 0)
    then.last_rollout_was("RolledBack", "v2", "gate error-rate: ", "less than 1 point above stable")
    (said,) = world.status["lastRollout"]["gates"]
    evidence = said["evidence"]
    assert evidence["harm"] >= evidence["needed"]
    assert said["stable"] < 0.01 < 0.02 < said["canary"]
    assert evidence["canaryBad"] / evidence["canaryRequests"] == said["canary"]


async def test_errors_up_by_half_a_point_pass(given: Given, when: When, then: Then, world: World) -> None:
    """Half a point more errors than stable is within the limit of one: the version is promoted, although it does make errors."""
    given.failing("v1")
    await a_shop(given, gate(versusStable=POINT), ERROR_RATE="0.01")

    await when.the_image_becomes("v2", ERROR_RATE="0.015")

    await then.promoted_to("v2")
    then.weights_were(50, 100, 0)
    assert world.load is not None
    assert world.load.answers().failures("v2")


async def test_version_that_only_fails_is_shut_at_the_first_reading(given: Given, when: When, then: Then, world: World) -> None:
    """A version that answers nothing but errors is shut at the first look that has some of its answers, at 10% of the traffic."""
    await a_shop(given, gate(versusStable=POINT, interval="5s"), steps=(step(10, HELD), step(100)))

    await when.the_image_becomes("v2", ERROR_RATE="1")

    await then.rolled_back_to("v1")
    then.weights_were(10, 0)
    with_answers = [said for said in looks(world, "error-rate") if said.get("samples", 0) >= 20]
    assert "Fail" == with_answers[0]["verdict"], with_answers


async def test_slower_by_15_percent_pauses_and_only_a_person_resumes(
    given: Given, when: When, then: Then, world: World, tmp_path: Path
) -> None:
    """P99 15% above stable's, where less than 10% is allowed: paused, with one alert. Well again, it waits for a person still."""
    # 960 ms and 1104 ms lie in the lower halves of wide buckets (0.95 to 1.0, 1.1 to 1.2): a busy machine does not push them out.
    slow = {"LATENCY_P99_MS": "960", "WELL_FILE": str(tmp_path / "well")}
    metric = {"preset": {"source": "HTTP", "measure": "Latency", "quantile": 0.99}}
    p99 = gate(name="p99-latency", versusStable={"maxIncrease": {"percent": 10}}, onBreach="Pause", ask=["sre"], metric=metric)
    await a_shop(given, p99, steps=(step(50, HELD), step(100)), rate=160, **slow)

    await when.the_image_becomes("v2", LATENCY_FACTOR="1.15", **slow)

    await decided(world, "Paused")
    await then.the_status_says("gate p99-latency", "less than 10% above stable", "waits for sre to resume, promote or roll back")
    (tmp_path / "well").touch()
    await world.stays("paused", lambda: world.status["phase"] == "Paused", seconds=4)
    assert 1 == len(world.history.events("GateBreached"))

    await when.asked_to("resume")

    await then.the_phase_is("Progressing")
    await world.stays("resumed", lambda: world.status["phase"] == "Progressing", seconds=4)
    then.weights_were(50)
    assert 1 == len(world.history.events("GateBreached"))


async def test_availability_below_its_minimum_is_shut_out(given: Given, when: When, then: Then, world: World) -> None:
    """99.8% of a busy service's requests are answered, where it must be 99.9%: rolled back, and the message has both numbers."""
    availability = gate("Availability", "HTTP", "availability", threshold={"min": 0.999})
    busy = {"COUNT_AS": "100"}
    await a_shop(given, availability, steps=(step(50, HELD), step(100)), UNANSWERED="0.0005", **busy)

    await when.the_image_becomes("v2", UNANSWERED="0.002", **busy)

    await decided(world, "RolledBack")
    await then.rolled_back_to("v1")
    then.weights_were(50, 0)
    then.last_rollout_was("RolledBack", "v2", "gate availability: ", "99.8", "at least 99.9%")


async def test_availability_above_its_minimum_passes(given: Given, when: When, then: Then) -> None:
    """99.95% is within the limit of 99.9%, and the version is promoted."""
    busy = {"COUNT_AS": "100", "UNANSWERED": "0.0005"}
    await a_shop(given, gate("Availability", "HTTP", "availability", threshold={"min": 0.999}), **busy)

    await when.the_image_becomes("v2", **busy)

    await then.promoted_to("v2")
    then.weights_were(50, 100, 0)


async def test_no_traffic_is_no_verdict(given: Given, when: When, then: Then, world: World) -> None:
    """Without any traffic the gate is undecided, the weight is held, and the message says how many requests are needed."""
    await given.an_app(pods=Pods.REAL, replicas=2, command=SCRIPTED)
    await given.a_policy(step(50), step(100), gates=(gate(versusStable=POINT),))
    await given.a_release()

    await when.the_image_becomes("v2")

    await then.the_route_carries(50)
    await then.the_gate_says("error-rate", "Undecided", "400")
    await then.the_status_says("step 1 of 2", "gate error-rate", "400")
    await world.stays("held", lambda: world.status["weight"] == 50 and world.status["phase"] == "Progressing", seconds=5)
    then.weights_were(50)


async def test_gate_that_warns_does_not_stop(given: Given, when: When, then: Then, world: World) -> None:
    """A gate that only warns finds too many errors: an Event and the record of the rollout say so, and it goes on to its end."""
    await a_shop(given, gate(versusStable=POINT, onBreach="Warn"), steps=(step(50, "30s"), step(100)))

    await when.the_image_becomes("v2", ERROR_RATE="0.5")

    await then.promoted_to("v2")
    await then.event("GateBreached", "error-rate", "warning only", "less than 1 point above stable")
    (said,) = world.status["lastRollout"]["gates"]
    assert ("error-rate", "Fail") == (said["name"], said["verdict"])


async def test_evidence_survives_the_operator(given: Given, when: When, then: Then, world: World) -> None:
    """The operator is killed and another one goes on: what was counted is not forgotten, and nothing is counted twice."""
    await a_shop(given, gate(versusStable=POINT), steps=(step(50, HELD), step(100)))
    await when.the_image_becomes("v2")
    await world.until("500 requests are counted", lambda: counted(world) >= 500)
    before = world.status["gates"][0]["evidence"]

    await world.operator.kill()
    await world.operator.start()
    await world.until("more are counted", lambda: counted(world) >= before["canaryRequests"] + 200)

    after = world.status["gates"][0]["evidence"]
    assert before["since"] == after["since"]
    assert world.load is not None
    assert after["canaryRequests"] <= world.load.answers().counts()["v2"].requests


def counted(world: World) -> float:
    """Return how many requests of the new version its first gate has counted."""
    gates = world.status.get("gates") or [{}]
    return float((gates[0].get("evidence") or {}).get("canaryRequests") or 0)


async def test_spent_budget_keeps_a_rollout_from_beginning(
    given: Given, when: When, then: Then, world: World, tmp_path: Path
) -> None:
    """While the service spends its error budget too fast, the new version gets no traffic; then it begins by itself."""
    windows = [{"long": "10s", "short": "5s", "factor": 2}]
    metric = {"errorBudget": {"source": "HTTP", "objective": 0.99, "windows": windows}}
    budget = {"name": "error-budget", "metric": metric, "threshold": {"max": 1}, "onBreach": "Hold", "interval": "1s"}
    well = tmp_path / "well"
    given.failing("v1")
    await a_shop(given, budget, ERROR_RATE="0.2", WELL_FILE=str(well))
    load = world.load
    assert load is not None
    await world.until("the budget is being spent", lambda: len(load.answers().failures("v1")) >= 150)

    await when.the_image_becomes("v2")

    await then.the_gate_says("error-budget", "Fail", "error budget")
    await then.the_status_says("waits for gate error-budget")
    await world.stays("without traffic", lambda: not world.status["weight"], seconds=4)

    well.touch()
    await then.promoted_to("v2")
    then.weights_were(50, 100, 0)


async def test_query_that_is_wrong_is_found_by_lint_and_held_in_the_words_of_the_server(
    given: Given, when: When, then: Then, world: World, tmp_path: Path
) -> None:
    """PromQL that Prometheus cannot evaluate is refused by lint, and no verdict in a rollout. Both have the server's words."""
    words = "expected type range vector in call to function"
    query = "sum(rate(orders_total))"
    wrong = {"name": "orders", "metric": {"promql": {"canary": query}}, "threshold": {"max": 1}, "interval": "1s"}
    (tmp_path / "policy.yaml").write_text(manifest_text(policy(step(10), step(100), gates=(wrong,))))

    lint = (Path(sys.executable).with_name("tidegate"), "lint", tmp_path / "policy.yaml", "--prometheus", world.info.prometheus_url)
    linted = await asyncio.create_subprocess_exec(*lint, stdout=asyncio.subprocess.PIPE)
    found, _ = await linted.communicate()

    assert (1, True, True) == (
        linted.returncode,
        b"spec.gates[0].metric.promql.canary" in found,
        words in " ".join(found.decode().split()),
    )

    await given.a_released_app(step(10), step(100), gates=(wrong,))
    await when.the_image_becomes("v2")

    await then.the_gate_says("orders", "Undecided", "parse error", words)
    await then.the_status_says("gate orders", words)
    then.weights_were(10)
