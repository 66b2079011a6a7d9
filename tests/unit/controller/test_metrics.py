"""The operator's own metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate.api.edits import edited
from tidegate.api.gate import Gate, VersusStable
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus, LastRollout, Outcome, ReleaseStatus, RolloutStatus, StepStatus
from tidegate.controller.metrics import Metrics
from tidegate.controller.release_metrics import limits
from unit.controller import objects

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHERE = {"namespace": "shop", "release": "checkout"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def rolling(*, canary: float | None = 0.25, verdict: Verdict = Verdict.PASS, gate: str = "error-rate") -> ReleaseStatus:
    spec = RolloutPolicySpec.model_validate(objects.policy()["spec"])
    spec = spec.model_copy(update={"gates": (spec.gates[0].model_copy(update={"name": gate}),)})
    return ReleaseStatus(
        phase=Phase.PROGRESSING,
        weight=10,
        step=StepStatus(index=0, weight=10, entered=NOW),
        gates=(GateStatus(name=gate, verdict=verdict, canary=canary, at=NOW),),
        rollout=RolloutStatus(policy="RolloutPolicy/production", spec=spec, started_at=NOW),
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(name, labels)
    return found


def test_release_is_shown_where_it_is(metrics: Metrics) -> None:
    """Phase, weight, step, and of each gate value, limit and verdict are shown."""
    metrics.show("shop", "checkout", rolling(verdict=Verdict.FAIL))

    assert 1.0 == value(metrics, "tidegate_releases", phase="Progressing")
    assert 10.0 == value(metrics, "tidegate_release_weight_percent", **WHERE)
    assert 1.0 == value(metrics, "tidegate_release_step", **WHERE)
    assert 0.25 == value(metrics, "tidegate_gate_value", **WHERE, gate="error-rate", arm="canary")
    assert 0.01 == value(metrics, "tidegate_gate_limit", **WHERE, gate="error-rate", kind="max")
    assert -1.0 == value(metrics, "tidegate_gate_verdict", **WHERE, gate="error-rate")


def test_releases_are_counted_by_phase(metrics: Metrics) -> None:
    """A Release counts in one phase at a time, however often it is shown."""
    metrics.show("shop", "one", rolling())
    metrics.show("shop", "two", rolling())
    metrics.show("shop", "two", ReleaseStatus(phase=Phase.IDLE))
    metrics.show("shop", "two", ReleaseStatus(phase=Phase.IDLE))

    assert 1.0 == value(metrics, "tidegate_releases", phase="Progressing")
    assert 1.0 == value(metrics, "tidegate_releases", phase="Idle")


def test_value_that_is_not_known_any_more_is_not_shown(metrics: Metrics) -> None:
    """Given a gate without data, its last value is not shown for the present one."""
    metrics.show("shop", "checkout", rolling())
    metrics.show("shop", "checkout", rolling(canary=None, verdict=Verdict.UNDECIDED))

    assert value(metrics, "tidegate_gate_value", **WHERE, gate="error-rate", arm="canary") is None
    assert 0.0 == value(metrics, "tidegate_gate_verdict", **WHERE, gate="error-rate")


@pytest.mark.parametrize("after", [ReleaseStatus(phase=Phase.IDLE), rolling(gate="other")], ids=["no rollout", "other policy"])
def test_gates_that_are_gone_are_not_shown(metrics: Metrics, after: ReleaseStatus) -> None:
    """After a rollout, or under another policy, nothing is left of its gates."""
    metrics.show("shop", "checkout", rolling())
    metrics.show("shop", "checkout", after)

    assert value(metrics, "tidegate_gate_verdict", **WHERE, gate="error-rate") is None
    assert value(metrics, "tidegate_gate_limit", **WHERE, gate="error-rate", kind="max") is None


def test_what_a_gate_said_of_another_version_is_not_shown_of_the_next(metrics: Metrics) -> None:
    """Given a rollout that is superseded by one with another limit, no value, verdict or limit of the first is left."""
    first, limit = rolling(verdict=Verdict.FAIL), VersusStable.model_validate({"maxIncrease": {"points": 1}})
    assert first.rollout is not None
    (gate,) = first.rollout.spec.gates
    spec = first.rollout.spec.model_copy(update={"gates": (gate.model_copy(update={"threshold": None, "versus_stable": limit}),)})
    metrics.show("shop", "checkout", first)
    metrics.show("shop", "checkout", edited(first, gates=(), rollout=edited(first.rollout, spec=spec)))

    assert value(metrics, "tidegate_gate_value", **WHERE, gate="error-rate", arm="canary") is None
    assert value(metrics, "tidegate_gate_verdict", **WHERE, gate="error-rate") is None
    assert value(metrics, "tidegate_gate_limit", **WHERE, gate="error-rate", kind="max") is None
    assert 1.0 == value(metrics, "tidegate_gate_limit", **WHERE, gate="error-rate", kind="increase_points")


def test_nothing_is_left_of_a_release_that_is_gone(metrics: Metrics) -> None:
    """A Release that is forgotten leaves no series behind; one that was never shown can be forgotten, too."""
    metrics.show("shop", "checkout", rolling())
    metrics.forget("shop", "checkout")
    metrics.forget("shop", "checkout")

    left = [sample for family in metrics.registry.collect() for sample in family.samples if "release" in sample.labels]
    assert [] == left
    assert 0.0 == value(metrics, "tidegate_releases", phase="Progressing")


@pytest.mark.parametrize(
    ("outcome", "cause", "promoted", "failed"),
    [
        (Outcome.PROMOTED, Cause.PROMOTED, 1.0, 0.0),
        (Outcome.ROLLED_BACK, Cause.GATE, 0.0, 1.0),
        (Outcome.SUPERSEDED, Cause.SUPERSEDED, 0.0, 0.0),
    ],
)
def test_ends_are_counted(metrics: Metrics, outcome: Outcome, cause: Cause, promoted: float, failed: float) -> None:
    """Each end of a rollout counts by outcome and cause; a promotion with the time that it took."""
    last = LastRollout(
        version="v2",
        revision="bbbb",
        outcome=outcome,
        cause=cause,
        started_at=NOW,
        finished_at=NOW + timedelta(minutes=5),
    )
    metrics.ended(ReleaseStatus(last_rollout=last))
    metrics.ended(ReleaseStatus())

    assert 1.0 == value(metrics, "tidegate_rollouts_total", outcome=outcome.value, cause=cause.value)
    assert promoted == value(metrics, "tidegate_releases_promoted_total")
    assert failed == value(metrics, "tidegate_releases_failed_total")
    assert 300.0 * promoted == value(metrics, "tidegate_release_promote_seconds_sum")


def exposed(after: timedelta | None, started: datetime = NOW) -> ReleaseStatus:
    """A rollout whose version got traffic so long after its start; None where it has none yet."""
    status = rolling()
    assert status.rollout is not None
    at = started + after if after is not None else None
    return status.model_copy(update={"rollout": status.rollout.model_copy(update={"started_at": started, "exposed_at": at})})


def test_versions_are_counted_when_they_get_their_first_traffic(metrics: Metrics) -> None:
    """Once for each rollout, with the time that it took; and not again by a process that finds one with traffic."""
    minute = timedelta(minutes=1)
    for status in (ReleaseStatus(), exposed(None), exposed(minute), exposed(minute), ReleaseStatus()):
        metrics.show("shop", "checkout", status)
    metrics.show("shop", "checkout", exposed(minute, NOW + timedelta(hours=1)))
    metrics.show("shop", "found", exposed(minute))
    metrics.show("shop", "found", exposed(minute))

    assert 1.0 == value(metrics, "tidegate_releases_prepared_total")
    assert 60.0 == value(metrics, "tidegate_release_prepare_seconds_sum")


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        ({"threshold": {"min": 0.999}}, {"min": 0.999}),
        ({"versusStable": {"maxIncrease": {"points": 1}}}, {"increase_points": 1.0}),
        ({"versusStable": {"maxDecrease": {"percent": 10}}, "threshold": {"max": 5}}, {"decrease_percent": 10.0, "max": 5.0}),
    ],
)
def test_limits_by_kind(limit: dict[str, Any], shown: dict[str, float]) -> None:
    """A gate shows each limit that it has, and no other."""
    metric = {"promql": {"canary": "c", "stable": "s"}}

    assert shown == limits(Gate.model_validate({"name": "gate", "metric": metric, **limit}))


def test_looks_that_could_not_be_judged_are_counted_until_the_release_has_gone(metrics: Metrics) -> None:
    """A judge that failed in a short rollout is still counted after its end, and no longer once the Release is gone."""
    metrics.show("shop", "checkout", rolling())
    metrics.gate_unjudged.labels("shop", "checkout", "error-rate").inc()
    metrics.show("shop", "checkout", ReleaseStatus(phase=Phase.IDLE))
    there = value(metrics, "tidegate_gate_unjudged_total", **WHERE, gate="error-rate")

    metrics.forget("shop", "checkout")

    assert (1.0, None) == (there, value(metrics, "tidegate_gate_unjudged_total", **WHERE, gate="error-rate"))


def test_pages_of_pods_are_counted_by_what_has_become_of_them(metrics: Metrics) -> None:
    """Of each connection."""
    for outcome in ("read", "read", "failed", "put-off"):
        metrics.scraped("default", outcome)

    name = "tidegate_direct_pages_total"
    counted = {outcome: value(metrics, name, connection="default", outcome=outcome) for outcome in ("read", "failed", "put-off")}
    assert counted == {"read": 2.0, "failed": 1.0, "put-off": 1.0}


def test_namespaces_that_wait_have_no_more_than_so_many_series(metrics: Metrics) -> None:
    """The rest of them share one, as do requests that are for several."""
    for number in range(150):
        metrics.waited("default", f"team-{number}", 0.5)
    metrics.waited("default", "team-0", 0.5)
    metrics.waited("default", "", 2.0)

    name = "tidegate_prometheus_wait_seconds_total"
    waited = {namespace: value(metrics, name, connection="default", namespace=namespace) for namespace in ("team-0", "team-120")}
    assert waited == {"team-0": 1.0, "team-120": None}
    assert value(metrics, name, connection="default", namespace="(others)") == 25.0
    assert value(metrics, name, connection="default", namespace="(several)") == 2.0
