"""ReleaseDecisions at the edge: which are kept and believed, whose right is asked for, and how it is told what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tidegate.api.decision import DecisionOutcome
from tidegate.cluster.errors import Forbidden, NotFound, Unavailable
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.admission import Admission
from tidegate.controller.observe.decisions import MOST, Decisions, is_open
from tidegate.controller.observe.rights import Rights
from tidegate.controller.reconcile.orphans import Orphans
from tidegate.controller.reconcile.outcomes import Outcomes
from tidegate.engine.plan import Settled
from tidegate.governance.admission import Standing
from tidegate.governance.votes import Subject, ballot
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.sharding import Shard, shard_of
from tidegate.runtime.store import Store
from unit.governance.test_admission import shipped

Json = dict[str, Any]
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BELIEVED = Standing(since=NOON)


def decision(name: str = "one", version: int = 1, *, at: int = 60, status: Json | None = None, **spec: Any) -> Json:
    """Return a ReleaseDecision as the API server has it, made so many seconds after noon."""
    whole = {"release": "checkout", "action": "Promote", "by": "ann", "groups": ["team"], **spec}
    made = (NOON + timedelta(seconds=at)).isoformat().replace("+00:00", "Z")
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": str(version), "generation": 1}
    found = {"kind": "ReleaseDecision", "metadata": metadata | {"creationTimestamp": made}, "spec": whole}
    return found | ({"status": status} if status else {})


def kept(standing: Standing = BELIEVED) -> tuple[Store, Decisions]:
    store = Store(ManualClock())
    return store, Decisions(store, lambda: standing)


def names(decisions: Decisions, release: str = "checkout", namespace: str = "shop") -> list[str]:
    return [one.name for one in decisions.of(namespace, release).views]


def test_decisions_are_found_by_their_release_as_they_come_and_go() -> None:
    """In the order in which they were made; those of other Releases and namespaces are none of its own."""
    store, decisions = kept()
    for obj in (decision("later", at=90), decision("first", at=30), decision("other", release="ledger")):
        store.upsert("ReleaseDecision", obj)
    before = names(decisions)
    store.remove("ReleaseDecision", decision("first", 9))

    assert (["first", "later"], ["later"]) == (before, names(decisions))
    assert (["other"], []) == (names(decisions, "ledger"), names(decisions, namespace="bank"))


def test_none_is_found_while_nobody_vouches_for_them() -> None:
    """Given a policy that is missing, there are no decisions, and nothing is told of any."""
    store, decisions = kept(Standing("it was not found"))
    store.upsert("ReleaseDecision", decision())

    assert ([], (), "it was not found") == (names(decisions), decisions.of("shop", "checkout").refused, decisions.unread)


def test_a_vote_that_was_withdrawn_in_its_second_stays_so_beyond_those_that_count() -> None:
    """A Reject that has no place among the latest any more is kept as long as a vote that it withdraws may have one."""
    store, decisions = kept()
    about = {"revision": "r", "digest": "d", "role": "qa"}
    store.upsert("ReleaseDecision", decision("a", action="Reject", status={"outcome": "CarriedOut"}, **about))
    store.upsert("ReleaseDecision", decision("b", action="Approve", **about))
    for number in range(MOST - 1):
        store.upsert("ReleaseDecision", decision(f"c{number}", at=90))

    found = decisions.of("shop", "checkout")
    said = ballot(found.views, Subject(digest="d"), NOON + timedelta(hours=1))

    assert ((), (("ann", "qa"),), ()) == (said.votes, said.withdrawn, found.refused)


def test_decision_that_cannot_be_believed_is_told_so() -> None:
    """One that is older than the policy, and one that was changed; those that were told before are not told again."""
    store, decisions = kept()
    changed = decision("changed")
    changed["metadata"]["generation"] = 3
    told = decision("told", at=-10, status={"outcome": "Counted"})
    for obj in (decision("old", at=-10), changed, told, decision("fine")):
        store.upsert("ReleaseDecision", obj)

    found = decisions.of("shop", "checkout")

    assert ["fine"] == names(decisions)
    assert [("old", DecisionOutcome.REFUSED), ("changed", DecisionOutcome.REFUSED)] == [
        (one.name, one.outcome) for one in found.refused
    ]


def test_standing_that_changes_counts_at_once() -> None:
    """What was found is not found any more, and comes back."""
    standing = BELIEVED
    store = Store(ManualClock())
    decisions = Decisions(store, lambda: standing)
    store.upsert("ReleaseDecision", decision())
    found = [names(decisions)]
    standing = Standing("gone")
    found.append(names(decisions))
    standing = Standing(since=NOON + timedelta(hours=1))
    found.append(names(decisions))

    assert [["one"], [], []] == found


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, None, True),
        ({}, {"outcome": "CarriedOut"}, False),
        ({"action": "Approve"}, {"outcome": "Counted"}, True),
        ({"action": "Approve"}, {"outcome": "Expired"}, False),
        ({"action": "Reject"}, {"outcome": "CarriedOut"}, True),
        ({"action": "Reject"}, {"outcome": "Refused"}, True),
        ({"action": "Reject"}, {"outcome": "Superseded"}, False),
    ],
)
def test_what_is_over_is_not_kept(spec: Json, status: Json | None, expected: bool) -> None:
    """But a Reject withdraws votes until it is told that none is left."""
    assert expected == is_open(decision(status=status, **spec))


def test_who_makes_many_hides_nobodys_rollback() -> None:
    """Of more than count the latest do, and each command that takes traffic away."""
    store, decisions = kept()
    store.upsert("ReleaseDecision", decision("rollback", at=1, action="Rollback"))
    for number in range(MOST + 5):
        store.upsert("ReleaseDecision", decision(f"n{number:04}", at=10 + number, action="Pause" if number == 0 else "Resume"))

    found = names(decisions)

    assert ["rollback", "n0000", "n0005"] == found[:3]
    assert MOST + 2 == len(found)


def test_those_that_many_took_the_place_of_are_told_so() -> None:
    """Given more than count, the older ones are over; but a Reject stays in the second of a vote that it may withdraw."""
    store, decisions = kept()
    store.upsert("ReleaseDecision", decision("rollback", at=1, action="Rollback"))
    done = {"outcome": "CarriedOut"}
    store.upsert("ReleaseDecision", decision("a-reject", at=20, action="Reject", status=done))
    store.upsert("ReleaseDecision", decision("b-reject", at=30, action="Reject", status=done))
    for number in range(MOST):
        store.upsert("ReleaseDecision", decision(f"n{number:04}", at=30, action="Resume"))
    store.upsert("ReleaseDecision", decision("vote", at=10, action="Approve", role="qa", status={"outcome": "Counted"}))

    told = decisions.of("shop", "checkout").refused

    assert {"vote", "a-reject"} == {one.name for one in told}
    assert {DecisionOutcome.SUPERSEDED} == {one.outcome for one in told}
    assert "256 decisions on this Release were made after it: decide again" == told[0].message


async def test_decisions_on_a_release_that_is_gone_end() -> None:
    """Given a Release that is not there, its decisions are over, a Reject as well, but for those of the last hour."""
    clock = ManualClock(NOON + timedelta(hours=2))
    store = Store(clock)
    decisions, known = Decisions(store, lambda: BELIEVED), [False, True]
    store.upsert("Release", {"metadata": {"name": "ledger", "namespace": "shop", "uid": "u", "resourceVersion": "1"}})
    for obj in (
        decision("there", release="ledger"),
        decision("young", at=5400),
        decision("vote", action="Approve", role="qa", status={"outcome": "Counted"}),
        decision("no", action="Reject", status={"outcome": "CarriedOut"}),
    ):
        store.upsert("ReleaseDecision", obj)
    api = Api(lambda path, body: {})
    outcomes = Outcomes(api, clock=clock)  # type: ignore[arg-type]
    orphans = Orphans(store, decisions, outcomes, clock=clock, trusted=lambda: known.pop(0))
    of_another = Orphans(
        store, decisions, outcomes, clock=clock, trusted=lambda: True, shard=Shard(1 - shard_of("shop", "checkout", 2), 2)
    )

    of_another.sweep()
    orphans.sweep()
    orphans.sweep()
    running = asyncio.create_task(outcomes.run())
    for _ in range(50):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert {"no", "vote"} == {path.split("/")[-2] for path, _ in api.asked}
    assert ["Superseded"] * 2 == [body[-1]["value"]["outcome"] for _, body in api.asked]
    assert {"Counted", "CarriedOut"} == {body[1]["value"] for _, body in api.asked}
    assert "there is no Release checkout, and a later one needs decisions of its own" == api.asked[0][1][-1]["value"]["message"]


def test_decision_that_is_not_understood_is_left_alone() -> None:
    """Given one of a later version of Tidegate, the others count."""
    store, decisions = kept()
    for obj in (decision("new", action="Teleport"), decision("fine")):
        store.upsert("ReleaseDecision", obj)

    assert ["fine"] == names(decisions)


class Api:
    """As much of the API as these need: it answers as a test says and keeps what it was asked."""

    def __init__(self, answer: Callable[[str, Any], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    async def get(self, path: str) -> Any:
        return self._said(path, None)

    async def create(self, path: str, obj: Any, *, manager: str = "") -> Any:
        return self._said(path, obj)

    async def json_patch(self, path: str, ops: Any) -> Any:
        return self._said(path, ops)

    def _said(self, path: str, body: Any) -> Any:
        self.asked.append((path, body))
        found = self.answer(path, body)
        if isinstance(found, Exception):
            raise found
        return found


def refusal(kind: type[Any], status: int = 0) -> Any:
    return kind(status, "", "no", verb="get", path="/apis/x")


def installed(path: str, _: Any) -> Any:
    policy, binding = shipped("records.yaml" if path.endswith("tidegate-records") else "decisions.yaml")
    return binding if "bindings" in path else policy


async def test_admission_tells_of_what_changes() -> None:
    """Found, gone and found again: each change is told once, for all Releases."""
    told: list[str] = []
    clock, there = ManualClock(), [True, True, False, True]
    api = Api(lambda path, body: installed(path, body) if there[0] else refusal(NotFound, 404))
    admission = Admission(api, clock=clock, changed=lambda: told.append(admission.standing.trouble))  # type: ignore[arg-type]
    assert "was not read yet" in admission.standing.trouble
    for _ in range(4):
        await admission.look()
        there.pop(0)

    assert ["", "ValidatingAdmissionPolicy", ""] == [words.partition(" ")[0] for words in told]


async def test_it_is_shown_whether_others_could_write_records() -> None:
    """By a metric and in the log, once for each change; who may not look says nothing, and decisions count all the same."""
    answers: list[Any] = [installed, refusal(NotFound, 404), installed, refusal(Forbidden, 403)]
    metrics = Metrics()
    api = Api(lambda path, body: installed(path, body) if "records" not in path or callable(answers[0]) else answers[0])
    admission = Admission(api, clock=ManualClock(), changed=lambda: None, shown=metrics.admission)  # type: ignore[arg-type]
    shown, said = [], []
    with capture_logs() as logged:
        for _ in range(4):
            await admission.look()
            shown.append(metrics.registry.get_sample_value("tidegate_admission_policy_in_force", {"policy": "tidegate-records"}))
            said.append([line["log_level"] for line in logged if line.get("policy") == "tidegate-records"])
            answers.pop(0)

    assert [1, 0, 1, 1] == shown
    assert ["info", "warning", "info"] == said[-1]
    assert "" == admission.standing.trouble
    assert 1 == metrics.registry.get_sample_value("tidegate_admission_policy_in_force", {"policy": "tidegate-decisions"})


async def test_api_server_that_is_away_says_nothing_of_the_policy() -> None:
    """Given an error, what was known goes on; without the right to look, no decision counts, and the right is named."""
    answer: Any = installed
    api = Api(lambda path, body: answer(path, body) if callable(answer) else answer)
    admission = Admission(api, clock=ManualClock(), changed=lambda: None)  # type: ignore[arg-type]
    await admission.look()
    answer = refusal(Unavailable)
    await admission.look()
    before = admission.standing
    answer = refusal(Forbidden, 403)
    await admission.look()

    assert "" == before.trouble
    assert "the operator may not get validatingadmissionpolicies tidegate-decisions" in admission.standing.trouble


async def test_rights_are_asked_for_whoever_gives_traffic() -> None:
    """As that person with their groups, on that Release, in that role; nobody is asked for who takes traffic away."""
    store = Store(ManualClock())

    def answer(path: str, body: Any) -> Any:
        if "admission" in path:
            return installed(path, body)
        return {"status": {"allowed": body["spec"]["user"] == "ann"}}

    api = Api(answer)
    admission = Admission(api, clock=ManualClock(), changed=lambda: None)  # type: ignore[arg-type]
    await admission.look()
    rights = Rights(api, Decisions(store, lambda: admission.standing), admission)  # type: ignore[arg-type]
    version = {"revision": "a1", "digest": "a1"}
    store.upsert("ReleaseDecision", decision("vote", action="Approve", role="qa", **version))
    store.upsert("ReleaseDecision", decision("go", by="bob", groups=[]))
    store.upsert("ReleaseDecision", decision("back", action="Rollback"))
    api.asked.clear()

    found = await rights.read("shop", rights.asked("shop", "checkout"))

    assert {"uid-vote": True, "uid-go": False} == {one["uid"]: one["allowed"] for one in found}
    reviews = [body["spec"] for path, body in api.asked if path.endswith("/namespaces/shop/localsubjectaccessreviews")]
    what = {"namespace": "shop", "group": "tidegate.dev", "resource": "releases", "name": "checkout"}
    assert [
        {"user": "bob", "groups": [], "resourceAttributes": {**what, "verb": "promote"}},
        {"user": "ann", "groups": ["team"], "resourceAttributes": {**what, "verb": "approve", "subresource": "qa"}},
    ] == reviews


async def test_rights_of_nobody_are_known_without_the_policy() -> None:
    """Given that the policy was deleted since it was looked at, it is seen when a vote is about to count."""
    store, clock, gone = Store(ManualClock()), ManualClock(), False
    api = Api(lambda path, body: refusal(NotFound, 404) if gone and body is None else installed(path, body))
    admission = Admission(api, clock=clock, changed=lambda: None)  # type: ignore[arg-type]
    await admission.look()
    rights = Rights(api, Decisions(store, lambda: admission.standing), admission)  # type: ignore[arg-type]
    store.upsert("ReleaseDecision", decision())
    asked = rights.asked("shop", "checkout")
    clock.advance(2)
    gone = True

    assert [] == await rights.read("shop", asked)
    assert admission.standing.trouble


def settled(name: str, outcome: DecisionOutcome = DecisionOutcome.CARRIED_OUT, message: str = "") -> Settled:
    return Settled(name, f"uid-{name}", outcome, message)


async def written(api: Api, clock: ManualClock, *told: Settled, again: bool = True) -> list[tuple[str, Any]]:
    """Tell outcomes, twice over as passes do, and once more when they were written, by a pass that was under way."""
    outcomes = Outcomes(api, clock=clock)  # type: ignore[arg-type]
    running = asyncio.create_task(outcomes.run())
    for _ in range(2 if again else 1):
        for _ in range(2):
            outcomes.tell("shop", told, NOON)
        for _ in range(50):
            await asyncio.sleep(0)
            clock.advance(11.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return api.asked


async def test_outcome_is_written_once_onto_that_very_decision() -> None:
    """With a test of its uid, as another one may have its name by then."""
    asked = await written(Api(lambda *_: {}), ManualClock(), settled("one", message="done"))

    path = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releasedecisions/one/status"
    value = {"outcome": "CarriedOut", "at": "2026-11-30T12:00:00.000Z", "message": "done"}
    test = {"op": "test", "path": "/metadata/uid", "value": "uid-one"}
    nothing = {"op": "test", "path": "/status", "value": None}
    assert [(path, [test, nothing, {"op": "add", "path": "/status", "value": value}])] == asked


async def test_outcome_takes_the_place_of_the_one_that_was_seen() -> None:
    """A vote that counted and is over says so, unless something else became of it meanwhile."""
    over = replace(settled("one", DecisionOutcome.EXPIRED), before=DecisionOutcome.COUNTED)

    ((_, patch),) = await written(Api(lambda *_: {}), ManualClock(), over)

    assert {"op": "test", "path": "/status/outcome", "value": "Counted"} == patch[1]


@pytest.mark.parametrize(
    ("error", "attempts"), [(refusal(NotFound, 404), 1), (refusal(Forbidden, 403), 1), (refusal(Unavailable), 4)]
)
async def test_outcome_that_cannot_be_written_is_left_to_a_pass_to_come(error: Exception, attempts: int) -> None:
    """What may pass is tried some times; and one that fails is in nobody's way."""
    api = Api(lambda path, _: error if path.endswith("/one/status") else {})

    asked = [path.split("/")[-2] for path, _ in await written(api, ManualClock(), settled("one"), settled("two"), again=False)]

    assert (attempts, 1) == (asked.count("one"), asked.count("two"))
