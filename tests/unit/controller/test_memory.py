"""What is kept of a Release between passes."""

from __future__ import annotations

import json
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.api.edits import edited
from tidegate.api.kept import packed, read_text
from tidegate.api.names import Cause, Reason, Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import (
    ConditionStatus,
    EvidenceStatus,
    GateStatus,
    LastRollout,
    Outcome,
    RejectedStatus,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)
from tidegate.cluster.errors import ApiError, error_of
from tidegate.controller.reconcile.memory import COUNTS_SECONDS, HELD_SECONDS, PASSING_SECONDS, PERSISTENT, Memory, trouble_of
from tidegate.runtime.errors import Retry, Terminal
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change
from unit.controller import objects
from unit.controller.objects import NAME, NAMESPACE, Json

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEARTBEAT = 30.0


def status(**fields: Any) -> ReleaseStatus:
    return ReleaseStatus(stable=RevisionStatus(revision="aaaa", version="v1", ready=2), **fields)


def release(stored: ReleaseStatus | None = None, *, version: int = 1, **metadata: Any) -> Json:
    wire = stored.to_wire() if stored is not None else None
    return objects.release(status=wire, metadata={"uid": "one", "resourceVersion": str(version), **metadata})


def error(code: int, reason: str = "") -> ApiError:
    return error_of(
        {"code": code, "reason": reason, "message": "words"}, verb="patch", path="/apis/apps/v1/namespaces/n/deployments/d"
    )


def kept(memory: Memory, decided: ReleaseStatus) -> Json:
    """Let a decision be stored, and return the Release as it is then."""
    memory.status, memory.offered = decided, decided.to_wire()
    stored = release(decided)
    memory.kept(stored, 100.0)
    return stored


def condition(value: str) -> ConditionStatus:
    return ConditionStatus(
        type="Ready", status=value, reason="Restarting", message="", last_transition_time=NOW, observed_generation=1
    )


def test_first_decision_rests_on_what_is_stored() -> None:
    """After a start nothing is remembered: what is stored counts."""
    assert status(weight=10) == Memory("one").known(release(status(weight=10)), 0.0)


POLICIES = sorted((Path(__file__).parents[2] / "corpus" / "valid").glob("policy-*.yaml"))


@pytest.mark.parametrize("file", POLICIES, ids=[file.stem for file in POLICIES])
def test_rollouts_under_one_policy_share_it(file: Path) -> None:
    """Given two Releases that are rolled out under equal policies, whatever stands in these, the policy is there once."""
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
    rollout = {"policy": "RolloutPolicy/production", "spec": spec, "startedAt": "2026-01-01T00:00:00Z"}
    one, other = (Memory("one").known(objects.release(status={"rollout": rollout}), 0.0) for _ in range(2))

    assert one.rollout is not None
    assert other.rollout is not None
    assert one.rollout.spec is other.rollout.spec


def test_decision_counts_though_its_numbers_are_not_stored() -> None:
    """What was decided last counts as long as nobody else has stored anything."""
    memory = Memory("one")
    stored = kept(memory, status(weight=10))
    memory.status = status(weight=10, message="newer")

    assert "newer" == memory.known(stored, 0.0).message


def test_status_of_somebody_else_counts() -> None:
    """What somebody else has stored since is what is decided on."""
    memory = Memory("one")
    kept(memory, status(weight=10))

    assert 5 == memory.known(release(status(weight=5)), 0.0).weight
    assert 5 == memory.known(release(status(weight=5)), 0.0).weight


def test_decision_that_could_not_be_stored_counts_before_all_else() -> None:
    """A verdict that could not be stored is not given up for what somebody else stores meanwhile."""
    memory = Memory("one")
    kept(memory, status(weight=10))
    memory.status, memory.unsaved = status(weight=0), True

    assert 0 == memory.known(release(status(weight=99)), 0.0).weight


def end(second: int, outcome: Outcome = Outcome.PROMOTED) -> ReleaseStatus:
    """Return the status with the end of a rollout that began at midnight."""
    ended = {"outcome": outcome, "cause": Cause.PROMOTED, "started_at": NOW, "finished_at": NOW + timedelta(seconds=second)}
    return status(last_rollout=LastRollout(version="v2", revision="bbbb", **ended))


@pytest.mark.parametrize(
    ("stored", "counts"),
    [(end(61), 61), (end(61, Outcome.ROLLED_BACK), 63), (end(63), 63), (status(weight=10), 63)],
    ids=["the same end", "another end", "its own", "none"],
)
def test_an_end_that_a_process_before_has_stored_is_not_written_over(stored: ReleaseStatus, counts: int) -> None:
    """A write comes late, and the next process has decided on the end meanwhile: the rollout ended once, when that is stored."""
    memory = Memory("one")
    kept(memory, status(weight=100))
    memory.status, memory.unsaved = end(63), True

    known = memory.known(release(stored), 0.0)

    assert known.last_rollout is not None
    assert NOW + timedelta(seconds=counts) == known.last_rollout.finished_at
    assert (counts == 63) == memory.unsaved


def on(minute: int = 0, undo: Cause | None = None, **fields: Any) -> ReleaseStatus:
    """Return the status of a rollout that began so many minutes after midnight; undone by this cause."""
    spec = RolloutPolicySpec.model_validate({"steps": [{"weight": 50}]})
    began = NOW + timedelta(minutes=minute)
    return status(rollout=RolloutStatus(policy="RolloutPolicy/production", spec=spec, started_at=began, undo=undo), **fields)


REJECTED = (RejectedStatus(revision="bbbb", cause=Cause.CHECK, at=NOW),)


@pytest.mark.parametrize(
    ("decided", "stored", "overtaken"),
    [
        (on(weight=50), on(undo=Cause.CHECK, rejected=REJECTED), True),
        (on(weight=50), on(undo=Cause.REQUEST), True),
        (on(weight=50), end(61), True),
        (on(weight=50), on(1), True),
        (status(weight=0), status(rejected=REJECTED), True),
        (on(undo=Cause.GATE, rejected=REJECTED), on(weight=50), False),
        (on(undo=Cause.GATE, rejected=REJECTED), on(undo=Cause.REQUEST), False),
        (end(63), on(undo=Cause.GATE, rejected=REJECTED), False),
        (on(1), end(61), False),
        (on(weight=50), on(weight=20), False),
    ],
    ids=[
        "rejected",
        "shut by request",
        "ended",
        "the next one has begun",
        "rejected before its start",
        "shut here",
        "shut by both",
        "ended here",
        "the next one was begun here",
        "as far as here",
    ],
)
def test_what_a_process_before_has_stored_counts_if_it_came_further(
    decided: ReleaseStatus, stored: ReleaseStatus, *, overtaken: bool
) -> None:
    """Its verdict comes late, after the next process has read the status and was refused: that version gets no weight again."""
    memory = Memory("one")
    kept(memory, status(weight=100))
    memory.status, memory.unsaved = decided, True

    known = memory.known(release(stored), 0.0)

    assert known == (stored if overtaken else decided)
    assert memory.unsaved is not overtaken


GATE = GateStatus(name="errors", verdict="Pass", at=NOW, looks="P")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "lag"),
    [
        (status(), status(), None),
        (status(), status(weight=10), 0.0),
        (status(), status(message="other words"), HEARTBEAT),
        (status(gates=(GATE,)), status(gates=(GATE.model_copy(update={"at": NOW + timedelta(seconds=2)}),)), HEARTBEAT),
        (status(), ReleaseStatus(stable=RevisionStatus(revision="aaaa", version="v1", ready=1)), COUNTS_SECONDS),
        (status(carried=10), status(carried=0), PASSING_SECONDS),
    ],
    ids=["equal", "decision", "words", "numbers", "counts", "passing"],
)
def test_status_may_wait_by_what_is_new_in_it(before: ReleaseStatus, after: ReleaseStatus, lag: float | None) -> None:
    """Decisions are stored at once, numbers of pods within some seconds, what changes at every look within a heartbeat.

    What passes by itself is stored where it lasts for a second.
    """
    memory = Memory("one")
    stored = kept(memory, before)
    memory.status = after

    assert (lag if lag is None else 100.0 + lag) == memory.due(stored, HEARTBEAT, 100.0)


@pytest.mark.parametrize(
    ("ago", "lag"), [(10.0, 20.0), (45.0, 0.0), (-3600.0, 30.0)], ids=["lately", "long ago", "by a wrong clock"]
)
def test_mere_restart_is_no_reason_to_store_numbers(ago: float, lag: float) -> None:
    """Given a status that another process has stored, its numbers wait for as long as they would have waited there."""
    memory, now = Memory("one"), 500.0
    looked = GateStatus(name="errors", verdict="Pass", limit="", samples=3, message="", at=NOW - timedelta(seconds=ago))
    stored = release(status(gates=[looked]))
    memory.known(stored, now)
    memory.stepped(NOW.timestamp() - now)
    memory.status = status(gates=[looked.model_copy(update={"at": NOW, "samples": 7})])

    assert lag == max(0.0, (memory.due(stored, HEARTBEAT, now) or 0.0) - now)


@pytest.mark.parametrize(("interval", "lag"), [("1s", 3.0), ("2s", 6.0), ("5s", HELD_SECONDS), ("10s", HELD_SECONDS)])
def test_what_is_known_of_a_long_hold_waits_for_three_checks(interval: str, lag: float) -> None:
    """Given a step that is held for an hour, since when is stored after three checks, ten seconds later at the latest."""
    gate = {"name": "errors", "metric": {"promql": {"canary": "errors", "unit": "Ratio"}}, "threshold": {"max": 0.01}}
    spec = {"steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}], "gates": [gate | {"interval": interval, "window": "1m"}]}
    step = StepStatus(index=0, weight=10, given=10, entered=NOW)
    rollout = RolloutStatus(
        policy="RolloutPolicy/slow", spec=RolloutPolicySpec.model_validate(spec), started_at=NOW, exposed_at=NOW
    )
    memory = Memory("one")
    stored = kept(memory, status(weight=10, step=step, rollout=rollout))
    held = step.model_copy(update={"since": NOW, "until": NOW + timedelta(hours=1)})
    memory.status = status(weight=10, step=held, rollout=rollout, carried=10)
    first = memory.due(stored, HEARTBEAT, 100.0)
    memory.status = status(weight=10, step=held, rollout=rollout, carried=10, gates=(GATE,))

    assert (100.0 + lag, 100.0 + lag) == (first, memory.due(stored, HEARTBEAT, 102.0))


def test_numbers_of_pods_wait_from_when_they_changed() -> None:
    """Given pods that come and go one by one, their number is stored some seconds after the first."""
    memory = Memory("one")
    stored = kept(memory, status())
    found = []
    for now, ready in ((200.0, 1), (203.0, 3), (204.0, 0), (210.0, 3)):
        memory.status = ReleaseStatus(stable=RevisionStatus(revision="aaaa", version="v1", ready=ready)) if ready else status()
        found.append(memory.due(stored, HEARTBEAT, now))

    assert [200.0 + COUNTS_SECONDS, 200.0 + COUNTS_SECONDS, None, 210.0 + COUNTS_SECONDS] == found


def test_what_passes_is_stored_with_what_comes_of_it() -> None:
    """What is over in a moment is told after a second; what is decided then, or could not be stored before, is told at once."""
    memory = Memory("one")
    stored = kept(memory, status())
    waits = status(conditions=(condition("False"),))
    found = []
    for now, passing in ((200.0, True), (200.5, True), (200.6, False)):
        memory.decide(waits, passing=passing)
        found.append(memory.due(stored, HEARTBEAT, now))
    memory.unsaved = True
    memory.decide(waits, passing=True)

    assert [200.0 + PASSING_SECONDS, 200.0 + PASSING_SECONDS, 200.6] == found
    assert 300.0 == memory.due(stored, HEARTBEAT, 300.0)


def test_what_the_api_server_leaves_out_is_not_sent_again() -> None:
    """Given a CRD that is older than the operator, a status counts as stored without what the CRD does not know."""
    memory = Memory("one", status=status(weight=10), offered=status(weight=10).to_wire())
    pruned = release(status())
    memory.kept(pruned, 100.0)
    same = memory.due(pruned, HEARTBEAT, 100.0)
    memory.status = status(weight=25)

    assert same is None
    assert 100.0 == memory.due(pruned, HEARTBEAT, 100.0)


def evidence(samples: float) -> ReleaseStatus:
    """A status that keeps something packed, and numbers that JSON has without their point."""
    one = EvidenceStatus(since=NOW, state="x" * 40, canary_requests=samples, stable_requests=10.0)
    return status(gates=(GateStatus(name="errors", verdict=Verdict.UNDECIDED, at=NOW, samples=samples, evidence=one),))


def as_stored(decided: ReleaseStatus, **more: Any) -> Json:
    """A Release as the API server gives it back: packed, and 7.0 is 7."""
    document = json.loads(json.dumps(packed(decided.to_wire())).replace(".0,", ",").replace(".0}", "}")) | more
    return objects.release(status=document, metadata={"uid": "one", "resourceVersion": "1"})


def test_what_is_stored_is_unpacked_once_after_a_start() -> None:
    """However many passes there are before a status is stored again, and what has changed weighs what it weighs."""
    memory, stored, found = Memory("one"), as_stored(evidence(7.0)), []
    memory.known(stored, 0.0)
    unpacked = _unpacked()
    for number in range(5):
        memory.known(stored, 0.0)
        memory.decide(evidence(7.0 + number))
        found.append(memory.due(stored, HEARTBEAT, 100.0 + number))
        memory.note(None)
    memory.decide(edited(evidence(12.0), weight=10))

    assert [None, *[float("-inf")] * 4] == found
    assert 200.0 == memory.due(stored, HEARTBEAT, 200.0)
    assert unpacked == _unpacked()


def test_nothing_is_kept_of_numbers_that_newer_ones_have_replaced() -> None:
    """Given a look that is taken in between two passes, it weighs as numbers, and the status before it is let go of."""
    memory = Memory("one")
    stored = kept(memory, evidence(7.0))
    memory.due(stored, HEARTBEAT, 100.0)
    memory.note(None)
    before = weakref.ref(memory.known(stored, 100.0).gates[0])
    memory.take_in(evidence(8.0))

    assert before() is None
    assert 100.0 + HEARTBEAT == memory.due(stored, HEARTBEAT, 101.0)


def test_numbers_beside_a_decision_that_waits_weigh_as_it_does() -> None:
    """Given a decision that is not stored yet, a look that is taken in makes it no lighter."""
    memory = Memory("one")
    stored = kept(memory, evidence(7.0))
    memory.decide(edited(evidence(7.0), weight=10))
    found = [memory.due(stored, HEARTBEAT, 100.0)]
    memory.take_in(edited(evidence(8.0), weight=10))

    assert [100.0, 101.0] == [*found, memory.due(stored, HEARTBEAT, 101.0)]


def test_what_was_not_understood_is_written_over_at_once() -> None:
    """A field that another operator knows is no part of the status that is decided on."""
    memory, stored = Memory("one"), as_stored(evidence(7.0), weather="fine")
    memory.known(stored, 0.0)

    assert [100.0, 101.0] == [memory.due(stored, HEARTBEAT, now) for now in (100.0, 101.0)]


def _unpacked() -> int:
    known = read_text.cache_info()
    return known.hits + known.misses


def test_echo_of_an_own_status_is_told_from_news() -> None:
    """The answer to a status of our own is no news; any other change, and the same status with another spec, is."""
    memory = Memory("one", offered=status(weight=10).to_wire())

    def echoed(old: Json | None, new: Json | None) -> bool:
        return memory.echoed(Change(Key("Release", NAMESPACE, NAME), old, new))

    old = release(status(), generation=1)
    assert echoed(old, release(status(weight=10), version=2, generation=1))
    assert not echoed(old, release(status(weight=11), version=2, generation=1))
    assert not echoed(old, release(status(weight=10), version=2, generation=2))
    assert not echoed(old, release(status(weight=10), version=2, generation=1, annotations={"tidegate.dev/request": "pause/1"}))
    assert not echoed(None, release(status(weight=10)))
    assert not echoed(old, None)


@pytest.mark.parametrize(
    ("failed", "at_once", "lasting"),
    [
        (None, None, None),
        (error(403, "Forbidden"), Reason.NO_PERMISSION, Reason.NO_PERMISSION),
        (error(422, "Invalid"), Reason.API_ERROR, Reason.API_ERROR),
        (error(409, "Conflict"), None, Reason.CONFLICT),
        (error(409, "AlreadyExists"), None, Reason.CONFLICT),
        (error(500), None, Reason.API_ERROR),
        (error(404, "NotFound"), None, Reason.API_ERROR),
        (Terminal("exists already", reason="Conflict"), Reason.CONFLICT, Reason.CONFLICT),
        (Terminal("odd", reason="NobodyKnows"), Reason.CONFLICT, Reason.CONFLICT),
        (Retry("is gone", reason="Conflict"), None, Reason.CONFLICT),
        (ZeroDivisionError(), None, None),
    ],
)
def test_what_people_have_to_know(failed: Exception | None, at_once: Reason | None, lasting: Reason | None) -> None:
    """What people must mend is told at once; what another try may mend only if it lasts; a bug is for the log."""

    def reason(failures: int) -> Reason | None:
        blocker = trouble_of(failed, failures)
        return blocker.reason if blocker else None

    assert (at_once, at_once, lasting) == (reason(1), reason(PERSISTENT - 1), reason(PERSISTENT))


def test_trouble_is_noted_once_and_goes_away() -> None:
    """That something is to be told changes when trouble comes and when it goes, and not in between."""
    memory = Memory("one")
    forbidden = error(403, "Forbidden")

    assert [True, False, True, False] == [memory.note(failed) for failed in (forbidden, forbidden, None, None)]
