"""Whatever stands in the status and whatever is around it, `decide` returns a plan that can be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from simulation.policies import at_weight, finish, gate, idle, policy, step
from simulation.views import at
from tidegate.api.decided import RejectedStatus
from tidegate.api.names import Cause, Phase, Reason
from tidegate.api.originals import OriginalRule
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import (
    ConditionStatus,
    GateStatus,
    LastRollout,
    Outcome,
    PauseStatus,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)
from tidegate.engine import decide as decide_module
from tidegate.engine.decide import Rule, decide
from tidegate.engine.draft import Stage
from tidegate.engine.handover.deployment.view import DeploymentView, Owner, ReplicaSetView
from tidegate.engine.repair import repaired
from tidegate.engine.snapshot import (
    Blocker,
    PolicyView,
    ReleaseView,
    Request,
    RouteStage,
    RouteView,
    ServiceView,
    Snapshot,
    TemplateView,
    Verb,
)
from tidegate.engine.waits import CHANGED
from tidegate.judge.reading import Reading

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPECS = [
    RolloutPolicySpec.model_validate(policy(step(0), step(25, "1m"), step(100), gates=(gate(), gate("latency", "Pause")))),
    RolloutPolicySpec.model_validate(policy(step(100))),
    # What the API server would refuse.
    RolloutPolicySpec.model_validate(policy(step(50), step(20), gates=(gate("noise", "Warn", of=3),))),
]
names = st.sampled_from(["a", "b", "c", ""])
times = st.integers(-5_000, 5_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
counts = st.integers(0, 9)
texts = st.sampled_from(["", "x", "y" * 2000])
revisions = st.builds(RevisionStatus, revision=names, version=names, replicas=counts, ready=counts)
verdict_names = st.sampled_from(["errors", "latency", "noise", "gone"])
statuses = st.builds(
    ReleaseStatus,
    phase=st.sampled_from(Phase),
    weight=st.integers(0, 100),
    stable=st.none() | revisions,
    candidate=st.none() | revisions,
    step=st.none()
    | st.builds(
        StepStatus,
        index=st.integers(0, 19),
        weight=st.sampled_from([0, 25, 50, 100]),
        entered=times,
        since=st.none() | times,
        until=st.none() | times,
    ),
    gates=st.lists(
        st.builds(
            GateStatus,
            name=verdict_names,
            verdict=st.sampled_from(["Pass", "Fail", "Undecided"]),
            at=times,
            looks=st.text("PFU?", max_size=20),
            undecided_since=st.none() | times,
        ),
        max_size=3,
    ).map(tuple),
    rollout=st.none()
    | st.builds(
        RolloutStatus,
        policy=names,
        spec=st.sampled_from(SPECS),
        started_at=times,
        exposed_at=st.none() | times,
        skip_to_end=st.booleans(),
        paused=st.none() | st.builds(PauseStatus, cause=st.sampled_from(Cause), gate=st.none() | names, since=times),
        undo=st.none() | st.sampled_from(Cause),
        undo_since=st.none() | times,
    ),
    original_rules=st.lists(
        st.builds(OriginalRule, route=names, rule=st.integers(0, 3), backend_refs=st.sampled_from(["[]", "?"])), max_size=3
    ).map(tuple),
    rejected=st.lists(st.builds(RejectedStatus, revision=names, cause=st.sampled_from(Cause), at=times), max_size=3).map(tuple),
    last_rollout=st.none()
    | st.builds(
        LastRollout,
        version=names,
        revision=names,
        outcome=st.sampled_from(Outcome),
        cause=st.sampled_from(Cause),
        started_at=times,
        finished_at=times,
    ),
    handled_request=st.none() | names,
    conditions=st.lists(
        st.builds(
            ConditionStatus,
            type=st.sampled_from(["Ready", "Stalled", "Odd"]),
            status=st.sampled_from(["True", "False", "Unknown"]),
            reason=st.sampled_from(["Promoted", "Odd"]),
            last_transition_time=times,
        ),
        max_size=3,
    ).map(tuple),
)
replica_sets = st.builds(
    ReplicaSetView,
    name=names,
    revision=names,
    owner=st.sampled_from(Owner),
    wanted=counts,
    current=counts,
    ready=counts,
    available=counts,
    version=names,
    number=counts,
)
workloads = st.builds(
    DeploymentView,
    uid=names,
    replicas=counts,
    paused=st.booleans(),
    labelled=st.booleans(),
    settled=st.booleans(),
    observed=st.booleans(),
    template=st.builds(
        TemplateView,
        revision=names,
        version=names,
        exists=st.booleans(),
        restart_of=st.lists(names, max_size=2).map(tuple),
        overlaid=st.booleans(),
        duplicates=st.lists(names, max_size=2).map(tuple),
    ),
    own_revision=st.none() | names,
    arms=st.lists(replica_sets, max_size=4).map(tuple),
    trouble=texts,
)
services = st.none() | st.builds(ServiceView, name=names, revision=st.none() | names, endpoints=counts, current=st.booleans())
routes = st.builds(
    RouteView,
    name=names,
    exists=st.booleans(),
    matches=st.booleans(),
    stage=st.sampled_from(RouteStage),
    uniform=st.booleans(),
    weight=st.floats(0, 100),
    accepted=st.booleans(),
    since=st.none() | times,
    trouble=texts,
)
traffic = {"service": "checkout", "gatewayAPI": {"httpRoutes": [{"name": "web"}]}}
release_specs = st.sampled_from(
    [
        ReleaseSpec.model_validate({"targetRef": {"name": "checkout"}, "policyRef": {"name": "p"}} | more)
        for more in ({}, {"traffic": traffic}, {"traffic": traffic | {"pinService": True}})
    ]
)
snapshots = st.builds(
    Snapshot,
    release=st.builds(
        ReleaseView,
        namespace=st.just("shop"),
        name=st.just("checkout"),
        uid=st.just("uid"),
        generation=st.just(1),
        spec=release_specs,
        deleting=st.none() | times,
        finalizer=st.booleans(),
        request=st.none() | st.builds(Request, verb=st.none() | st.sampled_from(Verb), id=names, text=texts),
    ),
    status=statuses,
    policy=st.none() | st.sampled_from(SPECS).map(lambda spec: PolicyView("RolloutPolicy/p", spec)),
    workload=st.none() | workloads,
    user_service=services,
    stable_service=services,
    canary_service=services,
    routes=st.lists(routes, max_size=3).map(tuple),
    readings=st.lists(
        st.builds(
            Reading,
            gate=verdict_names,
            revision=names,
            at=times,
            canary=st.none() | st.floats(),
            stable=st.none() | st.floats(),
            canary_samples=st.none() | st.floats(),
            trouble=texts,
        ),
        max_size=3,
    ).map(tuple),
    keep_held=st.booleans(),
    blockers=st.lists(st.just(Blocker(Reason.NO_PERMISSION, "may not")), max_size=1).map(tuple),
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(snapshots)
def test_decide_never_raises(snapshot: Snapshot):
    """Any status that the schema allows, with anything around it, gives a plan with a valid status, and the same one twice."""
    plan = decide(snapshot, NOW)

    assert decide(snapshot, NOW) == plan
    ReleaseStatus.model_validate(plan.status.to_wire())
    assert plan.due is None or plan.due > NOW
    if plan.status.weight != snapshot.status.weight and plan.status.weight > 0:
        assert plan.notices or plan.status.weight < snapshot.status.weight


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(statuses)
def test_mending_is_done_once(status: ReleaseStatus):
    """A status that has been mended is left as it is."""
    once = repaired(status, NOW)
    assert repaired(once, NOW) == once


def test_turns_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Rules that would go on for ever cannot hang the operator."""
    world = idle()
    monkeypatch.setattr(decide_module, "RULES", (Rule(lambda _: CHANGED, frozenset(Stage)),))

    assert world.operate().plan.status.stable == world.status.stable


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": None},
        {"rollout": None},
        {"stable": None},
        {"step": None},
        {"weight": 77},
        {"phase": Phase.PROMOTING},
        {"step": StepStatus(index=9, weight=100, entered=at(0))},
    ],
)
def test_edited_status_recovers(change: dict[str, Any]):
    """A status that a hand has edited mid-rollout leads back to order; stable serves all along."""
    world = at_weight(25, policy(step(5), step(25, "5s"), step(100)))
    pods = {pod.id for pod in world.cluster.replica_sets["checkout-k8s-v1"].pods}
    world.status = world.status.model_copy(update=change)
    world.operate()
    assert not pods & world.cluster.stopped

    finish(world)

    assert world.status.stable.version == "v2"
    assert world.cluster.routes["web"].backends == (("checkout", 1),)
