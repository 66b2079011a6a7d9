"""Patches of a Release's status, and how much a difference matters."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.checked import CheckResult, CheckStatus
from tidegate.api.decided import CarriedStatus, RejectedStatus, WantedStatus
from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.flagged import FlagStatus
from tidegate.api.followed import FollowedStatus
from tidegate.api.hotfix import ReviewStatus
from tidegate.api.kept import packed
from tidegate.api.migrated import ContractedStatus, MigrationStatus
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.originals import OriginalRule, TargetsStatus
from tidegate.api.outbox import OutboxStatus
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.recorded import RecordsStatus
from tidegate.api.status import (
    ConditionStatus,
    EvidenceStatus,
    GateStatus,
    LastRollout,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)
from tidegate.api.waiting import HoldStatus, WaitingFor
from tidegate.controller.reconcile.status_patch import Gist, Weight, difference, slight, weigh, write_finalizer, write_status
from tidegate.runtime.spare import ROOM, Spare
from tidegate.runtime.store import Object
from unit.controller import objects
from unit.controller.api_server import ApiServer, merge_patch
from unit.controller.stage import PATH, Stage

# No nulls: the wire form has none, and a merge patch cannot say them. No booleans beside numbers: to Python 1 equals True.
LEAVES = st.integers(0, 3) | st.text("ab", max_size=2) | st.floats(0, 1, allow_nan=False)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4), max_leaves=10
)
MAPS = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


@pytest.fixture(params=[ROOM, 0], ids=["whole", "bare"])
def spare(request: pytest.FixtureRequest) -> Spare:
    """Whether what is on stage before its Release is there as a whole, or has to be read by the first pass."""
    return Spare(room=request.param)


@given(before=MAPS, after=MAPS)
def test_patch_turns_the_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Applied by the letter of RFC 7386, the difference of two values turns the first into the second."""
    assert after == merge_patch(before, difference(before, after))


@given(value=MAPS)
def test_equal_values_differ_in_nothing(value: dict[str, Any]) -> None:
    """Where nothing differs, there is nothing to send."""
    assert {} == difference(value, value)


@given(before=MAPS, after=MAPS)
def test_patch_says_nothing_of_what_stays(before: dict[str, Any], after: dict[str, Any]) -> None:
    """What is equal in both is not sent: it may be somebody else's by the time the patch arrives."""
    patch = difference(before, after)

    assert {key for key in {*before, *after} if before.get(key) != after.get(key)} == set(patch)


GATE = {"name": "errors", "verdict": "Pass", "looks": "PP", "at": "then"}
STATUS: dict[str, Any] = {
    "phase": "Progressing",
    "message": "waits",
    "weight": 10,
    "carried": 10,
    "rollout": {"startedAt": "then", "routeAwaited": "then", "exposedAt": "then"},
    "step": {"index": 0, "weight": 10, "entered": "then", "given": 10},
    "stable": {"revision": "aaaa", "replicas": 3, "ready": 3},
    "candidate": {"revision": "bbbb", "replicas": 1, "ready": 1},
    "gates": [{**GATE, "stable": 0.1, "canary": 0.2, "samples": 9, "message": "error rate 20%"}],
    "conditions": [{"type": "Ready", "status": "False", "reason": "Progressing", "message": "waits"}],
    "records": {"number": 3, "hash": "sha256:aa", "pending": [{"number": 3, "kept": "x"}]},
    "outbox": {
        "last": 3,
        "transitions": [{"number": 3, "id": "baking", "reason": "Baking", "at": "then"}],
        "sinks": [{"name": "events", "taken": 2}, {"name": "pager", "taken": 2}],
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the status with one value changed; a path is written with dots."""
    *parents, last = path.split(".")
    after = copy.deepcopy(STATUS)
    place: Any = after
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return after


@pytest.mark.parametrize(
    ("path", "value", "weight"),
    [
        ("message", "waits for more", Weight.NUMBERS),
        ("conditions.0.message", "waits for more", Weight.NUMBERS),
        ("gates.0.canary", 0.3, Weight.NUMBERS),
        ("gates.0.at", "now", Weight.NUMBERS),
        ("gates.0.samples", 10, Weight.NUMBERS),
        ("stable.ready", 2, Weight.COUNTS),
        ("candidate.replicas", 2, Weight.COUNTS),
        ("carried", 0, Weight.PASSING),
        ("rollout.routeAwaited", "now", Weight.PASSING),
        ("rollout.splitAt", "now", Weight.DECISION),
        ("step.since", "now", Weight.PASSING),
        ("step.until", "now", Weight.PASSING),
        ("step.entered", "now", Weight.DECISION),
        ("step.missing", "now", Weight.DECISION),
        ("rollout.startedAt", "now", Weight.DECISION),
        ("gates.0.verdict", "Fail", Weight.DECISION),
        ("gates.0.looks", "PPF", Weight.DECISION),
        ("weight", 0, Weight.DECISION),
        ("phase", "RollingBack", Weight.DECISION),
        ("candidate.revision", "cccc", Weight.DECISION),
        ("conditions.0.status", "True", Weight.DECISION),
        ("conditions.0.reason", "NoPermission", Weight.DECISION),
        ("rollout", {"undo": "GateBreached"}, Weight.DECISION),
        ("observedGeneration", 2, Weight.DECISION),
        ("records.number", 4, Weight.DECISION),
        ("records.pending", [], Weight.NUMBERS),
        ("outbox.last", 4, Weight.DECISION),
        ("outbox.transitions", [], Weight.NONE),
        ("outbox.sinks.0.taken", 3, Weight.NUMBERS),
        ("outbox.sinks.1.taken", 3, Weight.PASSING),
    ],
)
def test_differences_are_weighed(path: str, value: object, weight: Weight) -> None:
    """What people or a restarted operator must know is a decision; what changes at every look, or with every pod, is not.

    Nor is what routes give of a weight that is stored, since when a step is held, and since when a route is waited for, which a new
    process counts anew. That an Event or a record is written need not be known at once, since it has a name of its own; that
    another sink has taken something must.
    """
    assert weight is weigh(STATUS, changed(path, value))
    assert weight is weigh(changed(path, value), STATUS)
    assert weight is Gist.of(STATUS).weigh(Gist.of(changed(path, value)))
    assert Weight.NONE is weigh(STATUS, STATUS)
    assert Weight.NONE is Gist.of(STATUS).weigh(Gist.of(copy.deepcopy(STATUS)))


BEFORE: dict[str, Any] = {"phase": "Progressing", "weight": 0, "carried": 0, "rollout": {"startedAt": "then"}}
"""A rollout whose routes are split, and whose first step has not begun."""
FIRST = {"index": 0, "weight": 10, "entered": "now"}


@pytest.mark.parametrize(
    ("change", "weight"),
    [
        ({"step": FIRST, "rollout": {"startedAt": "then", "splitAt": "now"}}, Weight.BEGUN),
        ({"step": FIRST, "progress": "1 of 2", "message": "waits for pods"}, Weight.BEGUN),
        ({"step": FIRST, "rollout": {"startedAt": "then", "routeAwaited": "now"}}, Weight.BEGUN),
        ({"carried": 10}, Weight.BEGUN),
        ({"step": FIRST, "weight": 10, "rollout": {"startedAt": "then", "exposedAt": "now"}}, Weight.DECISION),
        ({"step": {**FIRST, "given": 10}}, Weight.DECISION),
        ({"step": {**FIRST, "index": 1}}, Weight.DECISION),
        ({"step": FIRST, "rollout": {"startedAt": "then", "undo": "Requested"}}, Weight.DECISION),
        ({"step": FIRST, "rollout": {"startedAt": "then", "skipToEnd": True}}, Weight.DECISION),
        ({"step": FIRST, "flags": [{"name": "payments"}]}, Weight.DECISION),
        ({"step": FIRST, "outbox": {"last": 1}}, Weight.DECISION),
    ],
)
def test_first_step_is_light_until_it_has_weight(change: dict[str, Any], weight: Weight) -> None:
    """That a first step has begun, whose pods get no request, is over in a moment; all that comes with it is not."""
    after = BEFORE | change

    assert weight is weigh(BEFORE, after)
    assert weight is weigh(after, BEFORE)
    assert weight is Gist.of(BEFORE).weigh(Gist.of(after))


POLICY = {"steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}], "gates": [{"name": "errors", "interval": "5s"}]}
HELD: dict[str, Any] = {
    "phase": "Progressing",
    "weight": 10,
    "carried": 0,
    "rollout": {"startedAt": "then", "exposedAt": "then", "spec": POLICY},
    "step": {"index": 0, "weight": 10, "entered": "then", "given": 10},
}
"""A rollout that was given the weight of a step that is to be held for an hour."""
SINCE = {"step": {**HELD["step"], "since": "now", "until": "later"}}
FOUND: dict[str, Any] = {"name": "errors", "verdict": "Undecided", "looks": "U", "at": "now", "message": "no data yet"}


def held(**more: Any) -> dict[str, Any]:
    """Return the status of a step that is held, with one gate that was looked at."""
    return HELD | SINCE | {"carried": 10, "gates": [FOUND | more]}


@pytest.mark.parametrize(
    ("change", "weight"),
    [
        (SINCE, Weight.HELD),
        ({"carried": 10}, Weight.HELD),
        (held(), Weight.HELD),
        (held(verdict="Pass", looks="UUP"), Weight.HELD),
        (held(undecidedSince="now"), Weight.HELD),
        (held(verdict="Fail", looks="UF"), Weight.DECISION),
        (held(looks="UFU"), Weight.DECISION),
        (held(blind=True), Weight.DECISION),
        (held(warned=True), Weight.DECISION),
        (held(disagrees="by half"), Weight.DECISION),
        (held() | {"outbox": {"last": 1}}, Weight.DECISION),
        (held() | {"phase": "Paused"}, Weight.DECISION),
        (held() | {"weight": 0}, Weight.DECISION),
        (SINCE | {"rollout": {**HELD["rollout"], "undo": "GateBreached"}}, Weight.DECISION),
        (SINCE | {"rollout": {**HELD["rollout"], "skipToEnd": True}}, Weight.DECISION),
        (SINCE | {"rollout": {**HELD["rollout"], "paused": {"cause": "Requested"}}}, Weight.DECISION),
        ({"step": {**HELD["step"], "index": 1}}, Weight.DECISION),
        ({"step": {**HELD["step"], "missing": "now"}}, Weight.DECISION),
    ],
)
def test_what_is_known_of_a_long_hold_is_stored_with_the_first_checks(change: dict[str, Any], weight: Weight) -> None:
    """While a step is held for an hour, nobody acts on since when, or on what passes; what fails, or is done, is a decision."""
    after = HELD | change

    assert weight is weigh(HELD, after)
    assert weight is weigh(after, HELD)
    assert weight is Gist.of(HELD).weigh(Gist.of(after))


@pytest.mark.parametrize(
    "spec",
    [
        {"steps": [{"weight": 10, "hold": "59s"}, {"weight": 100}]},
        {"steps": [{"weight": 10}, {"weight": 100}]},
        {"steps": [{"weight": 10, "hold": "an hour"}]},
        {"steps": []},
        {"steps": "none"},
        {"gates": []},
        {"gates": [{"name": "errors", "interval": "30s"}]},
        {"gates": None},
        {"advanceOnProof": True},
    ],
)
def test_what_follows_a_weight_is_stored_within_a_second_otherwise(spec: dict[str, Any]) -> None:
    """Given a short hold, or no check that would come within ten seconds, or a step that proof may end, nothing waits longer."""
    before = HELD | {"rollout": {**HELD["rollout"], "spec": POLICY | spec}}

    assert Weight.PASSING is weigh(before, before | SINCE)
    assert Weight.DECISION is weigh(before, before | SINCE | {"gates": [FOUND]})


@pytest.mark.parametrize("given", [0, 5, 100])
def test_a_weight_that_is_not_that_of_its_step_is_not_held(given: int) -> None:
    """Given a step that has another weight than it is to have, or all of it, a gate's verdict is a decision."""
    before = HELD | {"weight": given, "step": {**HELD["step"], "weight": max(given, 10), "given": max(given, 10)}}

    assert Weight.DECISION is weigh(before, before | {"gates": [FOUND]})


AT = datetime(2026, 1, 1, tzinfo=UTC)
ONE_GATE = GateStatus(
    name="errors",
    verdict=Verdict.PASS,
    **dict.fromkeys(("stable", "canary", "samples", "weight_requests", "usual_gap"), 0.5),
    **dict.fromkeys(("limit", "message", "looks", "telemetry", "kept"), "P"),
    **dict.fromkeys(("at", "undecided_since", "newest", "newest_stable", "quiet_since"), AT),
    evidence=EvidenceStatus(since=AT),
)
ONE_CONDITION = ConditionStatus(
    type="Ready", status="False", reason="Progressing", message="waits", last_transition_time=AT, observed_generation=1
)
CARRIED = CarriedStatus(uid="uid-1", name="d1", action=Action.PAUSE, made=AT, outcome=DecisionOutcome.CARRIED_OUT)
ONE = ReleaseStatus(
    phase=Phase.PROGRESSING,
    message="waits",
    progress="1 of 3",
    stable=RevisionStatus(revision="aaaa"),
    candidate=RevisionStatus(revision="bbbb"),
    step=StepStatus(index=0, weight=10, entered=AT),
    gates=(ONE_GATE,),
    rollout=RolloutStatus(
        policy="RolloutPolicy/slow", spec=RolloutPolicySpec.model_validate(objects.policy()["spec"]), started_at=AT
    ),
    original_rules=(OriginalRule(route="web", rule=0, backend_refs="[]"),),
    **dict.fromkeys(("shifted_service", "pinned_service", "handled_request"), "web"),
    stable_targets=TargetsStatus(service="web"),
    wanted=WantedStatus(revision="dddd"),
    served=("aaaa",),
    reviews=(ReviewStatus(digest="sha256-1", since=AT, due=AT),),
    carried_out=(CARRIED,),
    carried_until=AT,
    rejected=(RejectedStatus(revision="cccc", cause=Cause.GATE, at=AT),),
    last_rollout=LastRollout(version="v1", revision="aaaa", outcome="Promoted", cause="Promoted", started_at=AT, finished_at=AT),
    waiting_for=(WaitingFor(barrier="Freeze", what="why", since=AT),),
    held=HoldStatus(since=AT),
    followed=FollowedStatus(release="checkout", namespace="staging", at=AT),
    outbox=OutboxStatus(last=3),
    records=RecordsStatus(number=3),
    checks=(CheckStatus(name="smoke", result=CheckResult.RUNNING, since=AT),),
    flags=(FlagStatus(target="Hook/flags//feature", name="feature", since=AT),),
    migration=MigrationStatus(version="v2", revision="bbbb", since=AT),
    contracted=ContractedStatus(version="v2", at=AT),
    conditions=(ONE_CONDITION,),
)
PLACES = [
    *((name,) for name in ReleaseStatus.model_fields),
    *(("gates", name) for name in GateStatus.model_fields),
    *(("conditions", name) for name in ConditionStatus.model_fields),
]


def other(value: Any) -> Any:
    """Return another value of the same kind, or none where there is one."""
    match value:
        case bool():
            return not value
        case Enum():
            return next(member for member in type(value) if member is not value)
        case str():
            return f"{value}2"
        case int() | float():
            return value + 1
        case datetime():
            return value + timedelta(seconds=1)
    return () if isinstance(value, tuple) else None


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_numbers_are_weighed_without_their_wire_form(place: tuple[str, ...]) -> None:
    """Whatever differs between two statuses, they weigh what their wire forms weigh, or are said to need these."""
    outer, *inner = place
    before = getattr(ONE, outer)
    new = (before[0].model_copy(update={name: other(getattr(before[0], name)) for name in inner}),) if inner else other(before)
    after = ONE.model_copy(update={outer: new})
    weight = weigh(ONE.to_wire(), after.to_wire())

    assert ONE != after
    assert (weight if weight <= Weight.NUMBERS else None) is slight(ONE, after)


def test_first_status_is_a_decision() -> None:
    """A Release that has none yet gets its status at once."""
    assert Weight.DECISION is weigh({}, STATUS)


async def test_status_is_written_to_its_object_alone(stage: Stage, api: ApiServer) -> None:
    """A status is sent as the difference, to the object that it was decided for; equal ones are not sent."""
    stored = stage.add(objects.release(status=packed(STATUS)))

    written = await write_status(stage.cluster, stored, {**STATUS, "weight": 0})
    again = await write_status(stage.cluster, written, {**STATUS, "weight": 0})

    basis = {name: stored["metadata"][name] for name in ("uid", "resourceVersion")}
    assert [{"metadata": basis, "status": {"weight": 0}}] == api.bodies
    assert 0 == api.objects[PATH]["status"]["weight"]
    assert again is written


async def test_finalizers_of_others_stay(stage: Stage, api: ApiServer) -> None:
    """The operator's finalizer comes and goes; those of others keep their place."""
    stored: Object = stage.add(objects.release(metadata={"finalizers": ["other/one", "other/two"]}))

    added = await write_finalizer(stage.cluster, stored, present=True)
    removed = await write_finalizer(stage.cluster, added, present=False)

    assert ["other/one", "other/two", "tidegate.dev/handback"] == added["metadata"]["finalizers"]
    assert ["other/one", "other/two"] == removed["metadata"]["finalizers"]
