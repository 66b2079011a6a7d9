"""Rollouts on generated traffic go as the same rollouts would go live."""

import math

import pytest

from tidegate.api.gate import BreachAction, Gate
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.simulate import (
    Outcome,
    bucket_quantile,
    can_simulate,
    needs_latency,
    quantile,
    run,
    shares_of,
    simulate,
    summarize,
)
from tidegate.backtest.traffic import Fault, Latency, Traffic

ERRORS = {"name": "errors", "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}}}
NO_INCREASE = {"versusStable": {"maxIncrease": {"percent": 0}}}
LATENCY = {
    "name": "latency",
    "metric": {"preset": {"source": "HTTP", "measure": "Latency"}},
    "versusStable": {"maxIncrease": {"percent": 10}},
}


def policy(*gates: dict, **fields: object) -> RolloutPolicySpec:
    quick = [{"interval": "5s", **gate} for gate in gates]
    return RolloutPolicySpec.model_validate({"steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}], "gates": quick, **fields})


class TestOneRollout:
    def test_a_healthy_version_goes_through(self) -> None:
        """Nothing stops it, and all its requests are counted."""
        outcome = run(policy({**ERRORS, **NO_INCREASE}), Traffic(rate=600, duration=600), "1")

        assert outcome.stopped is None
        assert outcome.gate == ""
        assert 500 < outcome.requests < 700
        assert 0 <= outcome.bad < 30

    def test_a_version_that_fails_everything_is_stopped_at_the_first_look(self) -> None:
        """The gate that did it is named, and what was served until then is counted."""
        outcome = run(policy({**ERRORS, **NO_INCREASE}), Traffic(rate=3000, duration=600, fault=Fault()), "1")

        assert (5.0, "errors", BreachAction.ROLLBACK) == (outcome.stopped, outcome.gate, outcome.action)
        assert outcome.requests == outcome.bad > 0

    def test_the_judge_limit_sees_windows(self) -> None:
        """A gate that is judged by Limit is shown the value of its window, at its own interval."""
        limited = {**ERRORS, "judge": "Limit", "threshold": {"max": 0.05}, "interval": "30s", "window": "1m"}

        outcome = run(policy(limited), Traffic(rate=3000, duration=600, fault=Fault(times=10, onset=300)), "1")

        assert outcome.stopped in {330.0, 360.0}

    def test_a_gate_that_only_warns_stops_nothing(self) -> None:
        """Gates with Warn, Hold or dryRun are left out of what ends a rollout."""
        gates = [{**ERRORS, **NO_INCREASE, "name": name, **more} for name, more in WATCHERS.items()]

        assert run(policy(*gates), Traffic(rate=3000, duration=60, fault=Fault()), "1").stopped is None

    def test_with_scoring_only_key_objectives_stop(self) -> None:
        """A gate that is scored together with others does not act by itself."""
        fault = Traffic(rate=3000, duration=60, fault=Fault())
        scored, key = {**ERRORS, **NO_INCREASE}, {**ERRORS, **NO_INCREASE, "keyObjective": True}

        assert run(policy(scored, scoring={}), fault, "1").stopped is None
        assert run(policy(key, scoring={}), fault, "1").stopped == 5.0

    def test_a_gate_is_looked_at_only_while_it_is_active(self) -> None:
        """Neither during its warm-up nor after the time that it is active for."""
        fault = Traffic(rate=3000, duration=600, fault=Fault())
        warming, over = {**ERRORS, **NO_INCREASE, "initialDelay": "1m"}, {**ERRORS, **NO_INCREASE, "activeFor": "4m"}

        assert run(policy(warming), fault, "1").stopped == 65.0
        assert run(policy(over), Traffic(rate=3000, duration=600, fault=Fault(onset=300)), "1").stopped is None

    def test_latencies_are_judged(self) -> None:
        """A version three times as slow is stopped by the gate of latency."""
        slow = Traffic(rate=6000, share=0.5, duration=1800, fault=Fault(times=1, slower=3), latency=Latency())

        assert run(policy(LATENCY), slow, "1").gate == "latency"

    def test_latencies_that_were_not_generated_are_named(self) -> None:
        """A policy that looks at response times says so on traffic that has none."""
        with pytest.raises(ValueError, match="traffic needs latency"):
            run(policy(LATENCY), Traffic(rate=600, duration=60), "1")

    def test_all_traffic_on_the_new_version(self) -> None:
        """When stable has no traffic any more, a version that fails everything is still stopped."""
        traffic = Traffic(rate=3000, duration=1200, steps=((600, 1.0),), fault=Fault(onset=900))

        outcome = run(policy({**ERRORS, **NO_INCREASE}), traffic, "1")

        assert outcome.stopped is not None
        assert 900 < outcome.stopped < 1000


WATCHERS = {"warns": {"onBreach": "Warn"}, "holds": {"onBreach": "Hold"}, "runs-dry": {"dryRun": True}}


class TestManyRollouts:
    def test_faults_are_found_and_healthy_versions_are_not_stopped(self) -> None:
        """The summary says how often and how fast."""
        spec = policy({**ERRORS, **NO_INCREASE})
        calls: list[int] = []

        bad = simulate(spec, Traffic(rate=3000, duration=900, fault=Fault(times=8)), runs=20, workers=1, progress=calls.append)
        good = simulate(spec, Traffic(rate=3000, duration=300), runs=20, workers=1)

        assert 20 == sum(calls) == bad.runs == bad.detected + bad.false_alarms
        assert 0 < bad.delay <= bad.delay_90 < 300
        assert {"errors": 20} == bad.gates
        assert (0, 0, 0.0) == (good.false_alarms, good.detected, good.false_alarm_rate)
        assert math.isnan(good.delay)

    def test_the_number_of_processes_changes_nothing(self) -> None:
        """Every rollout has its own seed."""
        spec, traffic = policy({**ERRORS, **NO_INCREASE}), Traffic(rate=600, duration=120, fault=Fault(times=20))

        assert simulate(spec, traffic, runs=10, workers=1) == simulate(spec, traffic, runs=10, workers=2)

    def test_what_is_missed_is_infinitely_late(self) -> None:
        """The median counts rollouts that nothing stopped; alarms before the fault count apart."""
        traffic = Traffic(rate=600, fault=Fault(onset=60))
        outcomes = [Outcome(stopped, gate="errors" if stopped else "", bad=bad) for stopped, bad in [(30, 1), (70, 5), (None, 9)]]

        summary = summarize(outcomes, traffic)

        assert (1, 1, 10, math.inf, 5) == (summary.false_alarms, summary.detected, summary.delay, summary.delay_90, summary.bad)
        assert {"errors": 2} == summary.gates


class TestPolicies:
    @pytest.mark.parametrize(
        ("metric", "expected"),
        [
            ({"preset": {"source": "HTTP", "measure": "ErrorRate"}}, True),
            ({"preset": {"source": "HTTP", "measure": "Tail"}}, True),
            ({"counters": {"canary": {"bad": "a", "total": "b"}}}, True),
            ({"preset": {"source": "Kubernetes", "measure": "CPU"}}, False),
            ({"promql": {"canary": "queue"}}, False),
            ({"errorBudget": {"source": "HTTP", "objective": 0.999}}, False),
        ],
    )
    def test_what_can_be_simulated(self, metric: dict, expected: bool) -> None:
        """Errors, answers and latencies are generated; what queries, containers or budgets would say is not."""
        assert expected == can_simulate(Gate.model_validate({"name": "a", "metric": metric, "threshold": {"max": 1}}))

    def test_which_policies_need_latencies(self) -> None:
        """Those with a gate of latency."""
        assert needs_latency(policy(LATENCY))
        assert not needs_latency(policy({**ERRORS, **NO_INCREASE}))

    def test_shares_follow_steps_and_holds(self) -> None:
        """Each step begins when the holds before it are over; steps without traffic take no time of it."""
        steps = [
            {"weight": 0, "hold": "5m"},
            {"weight": 10, "hold": "30m"},
            {"weight": 50, "hold": "10m"},
            {"weight": 100},
        ]

        assert ((0.0, 0.1), (1800.0, 0.5), (2400.0, 1.0)) == shares_of(policy(steps=steps))


class TestQuantiles:
    def test_of_delays(self) -> None:
        """The least value that the share does not exceed."""
        assert [2, 3, 3] == [quantile([1, 2, 3], share) for share in (0.5, 0.9, 1)]
        assert math.isnan(quantile([], 0.5))

    def test_of_buckets(self) -> None:
        """Within a bucket it is interpolated; beyond the last bound it is that bound, and of nothing there is none."""
        assert 0.15 == pytest.approx(bucket_quantile(0.5, (0.1, 0.2), [0, 10, 0]))
        assert 0.2 == bucket_quantile(0.99, (0.1, 0.2), [0, 10, 10])
        assert bucket_quantile(0.99, (0.1, 0.2), [0, 0, 0]) is None
