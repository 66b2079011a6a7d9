"""What gates say of a version, what `tidegate explain` makes of it, and what `tidegate lint` advises."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import EvidenceStatus, GateStatus
from tidegate.cli.main import app
from tidegate.judge.explain import explain
from tidegate.judge.limit import judge as by_limit
from tidegate.judge.reading import Around, Reading, Tally
from tidegate.judge.split import in_words
from unit.judge.evidence.latencies import BUCKETS, Version, lognormal
from unit.judge.evidence.test_gate import AVAILABLE, LATENCY, NO_INCREASE, ONE_POINT, RESTARTS, Rollout
from unit.judge.evidence.test_gate import gate as counted

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
POINT = {"maxIncrease": {"points": 1}}
PERCENT = {"maxIncrease": {"percent": 10}}
TAIL = counted("Tail", versusStable=PERCENT)
OWN = {"promql": {"canary": "queue", "stable": "queue"}}


def sentences() -> Iterator[str]:
    """What gates say, by judge."""
    for verdict, message in [*_counted(), *_latencies(), *_limits()]:
        yield f"{verdict.value}: {message}"
    around = Around(Tally(3000, 0), Tally(600, 0), Tally(100, 97), since=NOON, seconds=10, seconds_before=300)
    yield f"Split: {in_words('error rate', around)}"


def _counted() -> Iterator[tuple[Verdict, str]]:
    cases: tuple[tuple[Gate, Tally, Tally | None, int], ...] = (
        (NO_INCREASE, Tally(25, 25), Tally(225, 2), 1),
        (ONE_POINT, Tally(25, 1.28), Tally(225, 2.2), 120),
        (ONE_POINT, Tally(60, 1), Tally(540, 5), 2),
        (ONE_POINT, Tally(60, 4), Tally(540, 5), 4),
        (ONE_POINT, Tally(60, 0), Tally(540, 5), 6),
        (ONE_POINT, Tally(25, 0.1), Tally(225, 1), 240),
        (ONE_POINT, Tally(4, 0), Tally(36, 0), 1),
        (NO_INCREASE, Tally(25, 0.5), Tally(225, 2.2), 40),
        (AVAILABLE, Tally(100, 100), None, 1),
        (AVAILABLE, Tally(1000, 0.2), None, 60),
        (RESTARTS, Tally(0.01, 1), None, 12),
        (RESTARTS, Tally(0.01, 0), None, 60),
        (counted(versusStable=POINT, threshold={"max": 0.02}), Tally(25, 0.1), Tally(225, 1), 60),
    )
    for gate, canary, stable, looks in cases:
        rollout = Rollout(gate)
        for _ in range(looks):
            found = rollout.look(canary, stable)
        yield found.verdict, found.message
    for more in ({}, {"hint": "no series http_requests_total has pod=~checkout-abc-.*"}, {"trouble": "no answer within 5s"}):
        found = Rollout(ONE_POINT).look(**more)
        yield found.verdict, found.message
    bursts, rng = Rollout(ONE_POINT), random.Random(1)
    for _ in range(120):
        found = bursts.look(Tally(25, 5 if rng.random() < 0.05 else 0), Tally(225, 10 if rng.random() < 0.2 else 0))
    yield found.verdict, found.message


def _latencies() -> Iterator[tuple[Verdict, str]]:
    for gate, times, looks in ((LATENCY, 1.0, 30), (LATENCY, 2.0, 60), (TAIL, 1.0, 30), (TAIL, 2.0, 60)):
        rollout, rng = Rollout(gate), random.Random(1)
        for _ in range(looks):
            canary, stable = Version(lognormal(times), 100).tally(rng), Version(lognormal(), 900).tally(rng)
            found = rollout.look(canary, stable, bounds=BUCKETS)
        yield found.verdict, found.message


def _limits() -> Iterator[tuple[Verdict, str]]:
    rates, latency = counted(versusStable=POINT, judge="Limit"), counted("Latency", versusStable=PERCENT, judge="Limit")
    own = Gate.model_validate({"name": "queue", "metric": OWN, "versusStable": PERCENT})
    cases: tuple[tuple[Gate, dict[str, Any]], ...] = (
        (rates, {"canary": 0.0512, "stable": 0.001, "canary_samples": 3010}),
        (rates, {"canary": 0.0512, "stable": 0.001, "canary_samples": 12}),
        (rates, {"canary": 0.5, "stable": None, "canary_samples": 1000}),
        (rates, {"canary": None, "canary_samples": 0}),
        (rates, {"canary": None}),
        (rates, {"canary": 0.1, "stable": 0.1}),
        (rates, {"trouble": "no answer within 5s"}),
        (latency, {"canary": 0.21, "stable": 0.2, "canary_samples": 1000}),
        (own, {"canary": 7.0, "stable": 0.0, "canary_samples": 1000}),
        (own, {"canary": None}),
        (counted("Availability", threshold={"min": 0.999}, judge="Limit"), {"canary": 0.99896, "canary_samples": 100_000}),
        (counted("Restarts", threshold={"max": 1}, judge="Limit"), {"canary": 3.0}),
    )
    for gate, fields in cases:
        found = by_limit(gate, Reading(gate.name, "abc", NOON, **fields))
        yield found.verdict, found.message


EVIDENCE: dict[str, Any] = {
    "since": NOON - timedelta(minutes=10),
    "canary_requests": 3010,
    "canary_bad": 154,
    "stable_requests": 27040,
    "stable_bad": 27,
    "ratio": 51.2,
    "ratio_low": 33.9,
    "ratio_high": 80.2,
    "confidence": 0.9967,
    "needed": 2.477,
}
"""Of a gate on errors: the new version fails fifty times as often as stable, and surely so."""


def explanations() -> Iterator[str]:
    """What `tidegate explain` says of gates, sentence by sentence."""
    states = (
        (Verdict.FAIL, {"harm": 4.1}, {}),
        (Verdict.FAIL, {"harm": 1.0}, {}),
        (Verdict.PASS, {"harm": -3.0, "proof": 3.2}, {}),
        (Verdict.PASS, {"harm": 0.5, "proof": 0.4}, {}),
        (Verdict.UNDECIDED, {"harm": 1.5, "requests_needed": 1234, "minutes_needed": 4.2}, {}),
        (Verdict.UNDECIDED, {"harm": 0.1, "proof": 0.2}, {}),
        (Verdict.UNDECIDED, {"harm": 0.1}, {"undecided_since": NOON, "message": "it has had no requests yet"}),
        (Verdict.FAIL, None, {"looks": "..x.xx"}),
    )
    gates = (counted(versusStable=POINT), counted(versusStable=POINT, dryRun=True), counted(versusStable=POINT, onBreach="Pause"))
    more = (counted(versusStable=POINT, onBreach="Hold"), counted(versusStable=POINT, onBreach="Warn", requireProof=True))
    for gate in (*gates, *more):
        for verdict, evidence, fields in states:
            found = EvidenceStatus(**EVIDENCE, **evidence) if evidence is not None else None
            state = GateStatus(
                name="errors", verdict=verdict, at=NOON, canary=0.0512, stable=0.001, limit="x", evidence=found, **fields
            )
            told = explain(state, gate)
            yield from (*told.sentences, *told.notes)


def advice() -> Iterator[str]:
    """What `tidegate lint` says of policies that are valid, and will surprise."""
    ratio = {"promql": {"canary": 'sum(rate(x_total{pod=~"{{canaryPods}}"}[1m]))'}}
    errors = {"name": "errors", "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}}, "versusStable": POINT}
    restarts = {"preset": {"source": "Kubernetes", "measure": "Restarts"}}
    steps = [{"weight": 10, "hold": "10m"}, {"weight": 100}]
    policies: tuple[dict[str, Any], ...] = (
        {"steps": steps, "gates": [], "bake": "10m"},
        {"steps": steps, "gates": [errors], "bake": "1s", "advanceOnProof": True},
        {"steps": [{"weight": 10, "hold": "1s"}, {"weight": 100}], "gates": [errors | {"onBreach": "Warn"}], "bake": "10m"},
        {
            "steps": [{"weight": 100}],
            "gates": [errors | {"activeFor": "1s", "window": "5m", "weight": 3, "ask": ["sre"]}],
            "bake": "10m",
        },
        {"steps": steps, "gates": [errors, errors | {"name": "b", "judge": "Limit", "requireProof": True}], "bake": "10m"},
        {
            "steps": steps,
            "bake": "10m",
            "gates": [
                {"name": "a", "metric": ratio, "threshold": {"max": 1}, "minSamples": 5},
                {"name": "r", "metric": restarts, "threshold": {"max": 1}, "judge": "Limit", "window": "5m", "minSamples": 9},
                {"name": "q", "metric": {"promql": {"canary": "up", "stable": "up"}}, "versusStable": PERCENT},
                {"name": "c", "metric": {"counters": {"canary": {"bad": "rate(a[1m])", "total": "b"}}}, "threshold": {"max": 0.1}},
                {"name": "n", "onNoData": {"then": "Hold", "after": "1m"}} | {k: v for k, v in errors.items() if k != "name"},
                {
                    "name": "l",
                    "metric": {"preset": {"source": "HTTP", "measure": "Latency"}},
                    "threshold": {"max": 0.5},
                    "judge": "Limit",
                },
                {"name": "budget", "metric": {"errorBudget": {"source": "HTTP", "objective": 0.999}}, "threshold": {"max": 1}},
            ],
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        for number, spec in enumerate(policies):
            document = {
                "apiVersion": "tidegate.dev/v1alpha1",
                "kind": "RolloutPolicy",
                "metadata": {"name": f"p{number}"},
                "spec": spec,
            }
            Path(folder, f"{number}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        done = CliRunner().invoke(app, ["lint", folder, "-o", "json"], env={"COLUMNS": "120", "TERM": "dumb"})
    for one in json.loads(done.stdout):
        yield f"{one['severity']}: {one['field']}: {one['message']}"
