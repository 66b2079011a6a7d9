"""Policies over a past that the test invents: what the operator would have done, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.replay import Outcome, Past, ReplayError, Result, replay
from tidegate.judge import choice
from tidegate.judge.reading import Counts, Reading, Tally
from tidegate.prometheus.promql import Names

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "aaa", "bbb", 80)
EVIDENCE = {
    "name": "errors",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"percent": 20}},
    "interval": "10s",
}
LIMIT = {
    "name": "limit",
    "metric": {"promql": {"canary": "x", "unit": "Ratio"}},
    "threshold": {"max": 0.05},
    "interval": "10s",
    "minSamples": 0,
}
Rate = Callable[[float], float]
"""Share of errors of the new version, at so many seconds after the beginning."""


@dataclass
class Memory:
    """What a Prometheus would remember: 90 requests per second of stable with 1% errors, 10 of the new version.

    Attributes:
        errors: share of errors of the new version over time.
        missing: whether there is any data, over time.
        trouble: what is wrong with Prometheus, over time.
    """

    errors: Rate = lambda passed: 0.01
    missing: Callable[[float], bool] = lambda passed: False
    trouble: Callable[[float], str] = lambda passed: ""
    asked: list[tuple[str, float]] = field(default_factory=list)
    last: dict[str, datetime] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)

    async def read(
        self,
        gate: Gate,
        names: Names,
        revision: str,
        at: datetime,
        since: datetime | None = None,
        *,
        weight_since: datetime | None = None,
    ) -> Reading:
        passed = (at - NOON).total_seconds()
        self.asked.append((gate.name, passed))
        if trouble := self.trouble(passed):
            return Reading(gate.name, revision, at, trouble=trouble)
        if not choice.by_evidence(gate):
            value = None if self.missing(passed) else self.errors(passed)
            return Reading(gate.name, revision, at, canary=value, stable=0.01, canary_samples=100, stable_samples=900)
        before, self.last[gate.name] = self.last.get(gate.name), at
        if before is None or self.missing(passed):
            return Reading(gate.name, revision, at, hint="" if before is None else "no series has pod=bbb")
        seconds = (at - before).total_seconds()
        canary = Tally(10 * seconds, round(10 * seconds * self.errors(passed)))
        return Reading(gate.name, revision, at, counts=Counts(before, canary, Tally(90 * seconds, round(0.9 * seconds))))

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        return not choice.by_evidence(gate) or gate.name in self.last

    def forget(self, namespace: str, release: str) -> None:
        self.forgotten.append(release)


def policy(*gates: dict[str, Any], **fields: Any) -> RolloutPolicySpec:
    steps = [{"weight": 10, "hold": "10m"}, {"weight": 100}]
    return RolloutPolicySpec.model_validate({"steps": steps, "bake": "5m", "gates": list(gates), **fields})


async def replayed(spec: RolloutPolicySpec, memory: Memory, minutes: float = 60) -> Result:
    return await replay(spec, Past(NAMES, "bbb", NOON, NOON + timedelta(minutes=minutes), "v2"), memory)


def story(result: Result) -> list[tuple[float, int, str]]:
    return [((one.at - NOON).total_seconds(), one.weight, one.reason) for one in result.timeline]


async def test_a_healthy_version_would_have_been_promoted_after_hold_and_bake() -> None:
    """Given a past without a fault, then steps take their holds, the gate looks at its interval, and promotion follows the bake."""
    memory = Memory()

    result = await replayed(policy(EVIDENCE), memory)

    assert (Outcome.PROMOTED, NOON + timedelta(minutes=15), "") == (result.outcome, result.at, result.gate)
    events = [each for each in story(result) if each[2] != "Verdict"]
    assert events == [(0, 10, "WeightChanged"), (600, 100, "WeightChanged"), (600, 100, "Baking"), (900, 100, "Promoting")]
    assert [("errors", 10.0 * look) for look in range(91)] == memory.asked
    assert ({"errors": 90}, {}, ["checkout"]) == (result.looks, result.starved, memory.forgotten)


async def test_a_fault_that_begins_late_would_have_been_rolled_back() -> None:
    """Given errors ten times as many from minute 5 on, then the gate fails within a minute, and the story ends there."""
    result = await replayed(policy(EVIDENCE), Memory(errors=lambda passed: 0.1 if passed > 300 else 0.01))

    assert (Outcome.ROLLED_BACK, "errors") == (result.outcome, result.gate)
    assert 300 < (result.at - NOON).total_seconds() <= 360
    assert "gate errors: error rate " in result.message
    assert ["Verdict", "GateBreached"] == [reason for _, _, reason in story(result)[-2:]]
    assert result.timeline[-1].warning


async def test_a_pause_is_told_and_a_later_rollback_too() -> None:
    """Given a gate that pauses, then it goes on looking: a gate that rolls back would still have done so."""
    pause = {**LIMIT, "onBreach": "Pause", "ask": ["sre"]}
    harm = {**LIMIT, "name": "harm", "threshold": {"max": 0.5}}

    early = await replayed(policy(pause, harm), Memory(errors=lambda passed: 0.2 if passed > 60 else 0.01))
    late = await replayed(policy(pause, harm), Memory(errors=lambda passed: min(1.0, passed / 600)))

    assert (Outcome.PAUSED, "limit", NOON + timedelta(seconds=70)) == (early.outcome, early.gate, early.at)
    assert (Outcome.ROLLED_BACK, "harm", NOON + timedelta(seconds=310)) == (late.outcome, late.gate, late.at)
    assert 10 == early.status.weight


async def test_warnings_and_dry_runs_are_told_and_change_nothing() -> None:
    """Given gates that only speak, then the version would have been promoted, with what they said."""
    gates = ({**LIMIT, "onBreach": "Warn"}, {**LIMIT, "name": "dry", "dryRun": True})

    result = await replayed(policy(*gates), Memory(errors=lambda passed: 0.2 if passed > 60 else 0.01))

    assert Outcome.PROMOTED == result.outcome
    assert ["Gate limit is breached (warning only)", "Gate dry is breached (dry run)"] == [
        words.partition(":")[0] for words in result.warnings
    ]


async def test_a_gate_that_is_beyond_its_limit_holds_the_weight_until_the_data_ends() -> None:
    """Given a gate that holds, then the data ends at the first step, and what it waits for is said."""
    result = await replayed(policy({**LIMIT, "onBreach": "Hold"}), Memory(errors=lambda passed: 0.2), minutes=20)

    assert (Outcome.UNFINISHED, NOON + timedelta(minutes=20), 10) == (result.outcome, result.at, result.status.weight)
    assert "waits for gate limit" in result.message


async def test_no_data_is_counted_and_says_why() -> None:
    """Given names that match nothing, then every look is starved, nothing is promoted, and the reader's hint is in the words."""
    result = await replayed(policy(EVIDENCE), Memory(missing=lambda passed: True), minutes=12)

    assert (Outcome.UNFINISHED, {"errors": 72}, {"errors": 72}) == (result.outcome, result.looks, result.starved)
    assert "no series has pod=bbb" in result.status.gates[0].message


async def test_no_data_that_counts_as_a_breach_does_so_after_its_time() -> None:
    """Given onNoData Fail after 2m, then the rollback comes two minutes after the first look without data."""
    gate = {**EVIDENCE, "onNoData": {"then": "Fail", "after": "2m"}}

    result = await replayed(policy(gate), Memory(missing=lambda passed: True))

    assert (Outcome.ROLLED_BACK, "errors", NOON + timedelta(seconds=130)) == (result.outcome, result.gate, result.at)


async def test_the_warm_up_is_not_counted() -> None:
    """Given an initial delay, then counting begins at its end, and the first verdict an interval later."""
    memory = Memory()

    await replayed(policy({**EVIDENCE, "initialDelay": "1m"}), memory, minutes=2)

    assert [60, 70, 80] == [passed for _, passed in memory.asked[:3]]


async def test_a_preview_without_traffic_is_not_looked_at() -> None:
    """Given a first step of weight 0, then gates look from the first traffic on."""
    memory = Memory()
    steps = [{"weight": 0, "hold": "5m"}, {"weight": 10, "hold": "5m"}, {"weight": 100}]

    result = await replayed(policy(EVIDENCE, steps=steps), memory)

    assert 300 == memory.asked[0][1]
    assert NOON + timedelta(minutes=15) == result.at


async def test_proof_ends_a_step_early_where_the_policy_wants_that() -> None:
    """Given a version that is far within its limit and advanceOnProof, then the step ends before its hold."""
    gate = {**EVIDENCE, "versusStable": {"maxIncrease": {"percent": 300}}}
    healthy = Memory(errors=lambda passed: 0.01)

    result = await replayed(policy(gate, advanceOnProof=True), healthy)

    raised = next(one.at for one in result.timeline if one.weight == 100)
    assert NOON < raised < NOON + timedelta(minutes=10)
    assert Verdict.PASS is result.status.gates[0].verdict


async def test_a_prometheus_that_is_away_for_a_moment_is_waited_for() -> None:
    """Given two looks that nobody answered, then the next one is judged."""
    result = await replayed(policy(EVIDENCE), Memory(trouble=lambda passed: "away" if 100 <= passed <= 110 else ""))

    assert Outcome.PROMOTED == result.outcome


async def test_a_prometheus_that_never_answers_ends_it() -> None:
    """The past does not get better by waiting: three looks of a gate without an answer are an error that names the gate."""
    with pytest.raises(ReplayError, match="gate errors: Prometheus reports: parse error"):
        await replayed(policy(EVIDENCE), Memory(trouble=lambda passed: "Prometheus reports: parse error"))


async def test_progress_is_told_and_never_beyond_the_end() -> None:
    """Whoever waits sees the time in the past go by."""
    seen: list[datetime] = []
    past = Past(NAMES, "bbb", NOON, NOON + timedelta(seconds=95))

    await replay(policy(LIMIT), past, Memory(), progress=seen.append)

    assert seen == sorted(seen)
    assert (NOON, NOON + timedelta(seconds=90)) == (seen[0], seen[-1])


async def test_without_gates_only_time_counts() -> None:
    """A policy without gates promotes after its holds, whatever the data."""
    result = await replayed(policy(), Memory())

    assert (Outcome.PROMOTED, NOON + timedelta(minutes=15)) == (result.outcome, result.at)


async def test_a_release_without_a_route_is_replayed_too() -> None:
    """Given no Service, then versions share by their number of pods, and the same gates decide."""
    names = Names("shop", "checkout", "", "", "", "aaa", "bbb", 0)

    result = await replay(policy(EVIDENCE), Past(names, "bbb", NOON, NOON + timedelta(hours=1)), Memory())

    assert Outcome.PROMOTED == result.outcome
