"""One pass over one Release, before an API server that refuses, hangs and forgets."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from tidegate.api.names import LABEL_RELEASE, Reason
from tidegate.api.status import ReleaseStatus, RevisionStatus
from tidegate.cluster.errors import ApiError, Forbidden, NotFound, Unavailable
from tidegate.controller.observe.informers import Prerequisites
from tidegate.controller.reconcile.memory import PASSING_SECONDS
from tidegate.controller.reconcile.stages import decide
from tidegate.engine.snapshot import Blocker
from tidegate.runtime.spare import ROOM, Spare
from tidegate.runtime.workers import Workers
from unit.controller import objects
from unit.controller.api_server import settled
from unit.controller.objects import NAME
from unit.controller.stage import BREACH, DEPLOYMENT_PATH, KEY, PATH, ROUTE_PATH, Stage, events


@pytest.fixture(params=[ROOM, 0], ids=["whole", "bare"])
def spare(request: pytest.FixtureRequest) -> Spare:
    """Whether what is on stage before its Release is there as a whole, or has to be read by the first pass."""
    return Spare(room=request.param)


async def test_adoption_is_stored_and_then_quiet(stage: Stage) -> None:
    """Given a Deployment that serves, adoption writes status, finalizer and label, each once, and then nothing more."""
    stage.add(objects.policy())
    deployment = stage.add(objects.deployment())
    stage.add(objects.replica_set(deployment))
    stage.add(objects.service())
    stage.add(objects.route())
    stage.add(objects.release())

    await stage.passes()

    assert "v1" == stage.status["stable"]["version"]
    assert ["tidegate.dev/handback"] == stage.api.objects[PATH]["metadata"]["finalizers"]
    assert NAME == stage.api.objects[DEPLOYMENT_PATH]["metadata"]["labels"][LABEL_RELEASE]
    assert len(stage.api.requests) <= 5, stage.api.requests


async def test_nothing_is_done_before_the_decision_is_stored(stage: Stage) -> None:
    """Given a status that cannot be stored, no pass writes anything else; then it is stored and all the rest is done."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    fault = stage.api.fault("PATCH", "/status$")

    for _ in range(3):
        with pytest.raises(Unavailable):
            await stage.reconciler.reconcile(KEY)
    others = [path for _, path in stage.api.requests if not path.endswith("/status")]
    stage.api.faults.remove(fault)
    await stage.passes()

    assert [] == others
    assert "v2" == stage.status["candidate"]["version"]


async def test_start_of_a_rollout_is_one_write(stage: Stage) -> None:
    """What is read around the Service before is there in a moment: the status tells of it only where it is not."""
    stage.adopted()
    await stage.passes()
    stage.api.requests.clear()
    stage.api.bodies.clear()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))

    await stage.reconciler.reconcile(KEY)
    before = list(stage.api.requests)
    stage.clock.advance(PASSING_SECONDS)
    await stage.reconciler.reconcile(KEY)
    late = stage.status["message"]
    await stage.passes()
    first = next(body["status"] for body in stage.api.written(f"{PATH}/status") if "rollout" in body["status"])

    assert [] == before
    assert "waits to read" in late
    assert "v2" == first["candidate"]["version"]


async def test_notices_are_told_once_whatever_fails(stage: Stage) -> None:
    """Given writes that fail between passes, each Event is written once."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    stage.api.fault("PATCH", "/status$", times=2)
    stage.api.fault("POST", "/services$", times=2)

    for _ in range(6):
        with contextlib.suppress(ApiError):
            await stage.reconciler.reconcile(KEY)
        await stage._reading()

    assert ["RolloutStarted"] == await events(stage)


async def test_time_from_breach_to_stable_is_measured_over_a_failed_shift(stage: Stage) -> None:
    """Given a route that can be shifted only at the second attempt, the time counts from the reading to the shift, once."""
    stage.at_ten_percent()
    await stage.passes()
    stage.api.fault("PATCH", "/httproutes/", times=1)
    await stage.breach()

    with pytest.raises(Unavailable):
        await stage.reconciler.reconcile(KEY)
    stage.clock.advance(3.0)
    await stage.passes()

    assert 3.0 == stage.metrics.registry.get_sample_value("tidegate_breach_to_stable_seconds_sum")
    assert 1.0 == stage.metrics.registry.get_sample_value("tidegate_breach_to_stable_seconds_count")


async def test_reading_survives_a_pass_that_fails_before_it_decides(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a bug that ends a pass before its decision, the reading that it had is there for the next."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    with monkeypatch.context() as broken:
        broken.setattr(decide, "decide", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await stage.reconciler.reconcile(KEY)

    await stage.reconciler.reconcile(KEY)

    assert BREACH == stage.undone


async def test_looks_cost_no_write_until_the_heartbeat(stage: Stage) -> None:
    """Given a gate that passes at every look, what the first finds is written within ten seconds, numbers in a heartbeat."""
    stage.at_ten_percent(steps=[{"weight": 10, "hold": "5m"}, {"weight": 100}])
    await stage.passes()
    before = len(stage.api.requests)
    stage.values["error-rate"] = 0.0
    told = []
    for number in range(17):
        stage.values["error-rate"] = number / 10_000
        stage.clock.advance(2.1)
        await stage.look()
        await stage.reconciler.reconcile(KEY)
        told.append(len(stage.api.requests) - before)

    assert told[1] == 0
    assert told[-2] - told[5] == 0, told
    stage.clock.advance(3)
    await stage.look()
    await stage.reconciler.reconcile(KEY)
    assert len(stage.api.requests) - before == told[-2] + 1


async def test_numbers_that_wait_bring_the_release_back(stage: Stage) -> None:
    """Given numbers that were not worth a write, the Release is due when the heartbeat is over."""
    stage.at_ten_percent(gates=[])
    await stage.passes()
    stage.clock.advance(10)
    release = stage.api.objects[PATH]
    changed = objects.release(status=release["status"], metadata=release["metadata"])
    canary = stage.store.get("ReplicaSet", "shop", "checkout-bbbb")
    assert canary is not None
    stage.add({**canary, "status": {**canary["status"], "readyReplicas": 1, "availableReplicas": 1}, "spec": {**canary["spec"]}})
    assert changed is not None

    due = stage.due.due(KEY)

    assert due is not None
    assert due - stage.clock.now() <= timedelta(seconds=60)


async def test_missing_permission_stands_in_the_status(stage: Stage) -> None:
    """Given a role without `patch` on Deployments, the status names verb and resource at once, and is mended by itself."""
    stage.adopted(route=False)
    stage.add(objects.deployment())
    fault = stage.api.fault("PATCH", "/deployments/", status=403, reason="Forbidden")

    with pytest.raises(Forbidden):
        await stage.reconciler.reconcile(KEY)
    told = stage.stalled
    stage.api.faults.remove(fault)
    await stage.passes()

    assert ("True", "NoPermission") == told[:2]
    assert "patch deployments.apps" in told[2]
    assert "False" == stage.stalled[0]


async def test_trouble_of_one_attempt_is_not_told(stage: Stage) -> None:
    """Given conflicts, of which another try gets the better, the status says nothing of them; of lasting ones it does."""
    stage.adopted(route=False)
    stage.add(objects.deployment())
    stage.api.fault("PATCH", "/deployments/", status=409, reason="Conflict")
    reasons = []
    for _ in range(8):
        with pytest.raises(ApiError):
            await stage.reconciler.reconcile(KEY)
        reasons.append(stage.stalled[1] if "conditions" in stage.status else "")

    assert "Conflict" not in reasons[:4]
    assert "Conflict" == reasons[-1]


@pytest.mark.parametrize("failing", ["/status$", "/deployments/", "."], ids=["status", "workload", "everything"])
@pytest.mark.parametrize("code", [500, 409, 422, 403])
async def test_failing_writes_back_off(stage: Stage, failing: str, code: int) -> None:
    """Given writes that keep failing, a Release makes few passes in a minute, whatever the reason."""
    stage.adopted(route=False)
    stage.add(objects.deployment())
    stage.api.fault("PATCH", failing, status=code, reason={403: "Forbidden", 409: "Conflict"}.get(code, ""))

    passes = await passes_within(stage, seconds=60)

    assert 1 < passes <= 16


async def test_troubles_that_alternate_back_off(stage: Stage) -> None:
    """Given an API server that refuses with other words each time, a Release makes few passes all the same."""
    stage.adopted(route=False)
    stage.add(objects.deployment())
    for number in range(50):
        stage.api.fault("PATCH", "/deployments/", status=(403, 422)[number % 2], reason=f"Reason{number}", times=1)

    passes = await passes_within(stage, seconds=60)
    assert passes <= 16


async def passes_within(stage: Stage, *, seconds: float) -> int:
    """Let the workers work for a while, and return how many passes they made."""
    made = 0

    async def a_pass(key: Any) -> None:
        nonlocal made
        made += 1
        await stage.reconciler.reconcile(key)

    stage.store.on_change("Release", lambda change: None if stage.reconciler.echoes(KEY, change) else stage.queue.add(KEY))
    stage.store.on_change("Deployment", lambda _: stage.queue.add(KEY))
    workers = Workers(stage.queue, a_pass, count=1, clock=stage.clock)
    workers.start()
    due = asyncio.create_task(stage.due.run(stage.queue.add))
    stage.queue.add(KEY)
    try:
        for _ in range(round(seconds / 0.25)):
            await settled(lambda: not workers.in_flight() and not stage.queue.depth())
            stage.clock.advance(0.25)
            for _ in range(20):
                await asyncio.sleep(0)
    finally:
        due.cancel()
        await workers.stop(within=0)
    return made


async def test_status_of_somebody_else_is_taken_on(stage: Stage) -> None:
    """Given a rejection that a person takes out of the status, the version is rolled out again."""
    stage.adopted()
    rejected = [{"revision": "cccc", "version": "v3", "cause": "GateBreached", "at": "2026-01-01T00:00:00.000Z"}]
    stored = stage.api.objects[PATH]
    stage.add({**stored, "status": {**stored["status"], "rejected": rejected}})
    await stage.passes()
    before = stage.status["rejected"]
    stored = stage.api.objects[PATH]
    stage.add({**stored, "status": {key: value for key, value in stored["status"].items() if key != "rejected"}})

    await stage.passes()

    assert ["cccc"] == [entry["revision"] for entry in before]
    assert [] == stage.status.get("rejected", [])


async def test_release_that_was_made_anew_begins_anew(stage: Stage) -> None:
    """Given a Release that was deleted and created again under its name, nothing is remembered of the first."""
    stage.at_ten_percent()
    await stage.passes()
    first = stage.api.objects.pop(PATH)
    stage.store.remove("Release", {**first, "metadata": {**first["metadata"], "resourceVersion": "100000"}})
    stage.api.version = 100_001
    again = objects.release(metadata={"uid": "second"})
    stage.add(again)

    # It is taken on first, and then asked what a rollout would do.
    await stage.knows_what_is_around()
    await stage.knows_what_is_around()
    await stage.reconciler.reconcile(KEY)

    assert 0 == stage.status["weight"]
    assert "exposedAt" not in stage.status["rollout"]


async def test_release_that_has_gone_unnoticed_is_forgotten(stage: Stage) -> None:
    """Given a Release that has gone while nobody was watching, the first write to it tells, and nothing is left of it."""
    stage.adopted()
    del stage.api.objects[PATH]

    with pytest.raises(NotFound):
        await stage.reconciler.reconcile(KEY)
    await stage.reconciler.reconcile(KEY)

    assert stage.store.get("Release", *KEY) is None
    assert {} == stage.reconciler._memory
    assert (
        stage.metrics.registry.get_sample_value("tidegate_release_weight_percent", {"namespace": "shop", "release": NAME}) is None
    )


async def test_blind_operator_decides_nothing(stage: Stage) -> None:
    """Given ReplicaSets that may not be listed, a rollout stays as it is, and the status says why."""
    stage.at_ten_percent()
    for name in ("checkout-aaaa", "checkout-bbbb"):
        replica_set = stage.store.kept("ReplicaSet", "shop", name)
        assert replica_set is not None
        stage.store.remove("ReplicaSet", replica_set)
    stage.outside = Prerequisites((Blocker(Reason.NO_PERMISSION, "list replicasets.apps: forbidden"),), blind=True)

    await stage.passes()

    assert ("True", "NoPermission", "list replicasets.apps: forbidden") == stage.stalled
    assert 10 == stage.weights[f"{NAME}-canary"]
    assert 10 == stage.status["weight"]
    assert ["Blocked"] == await events(stage)


async def test_invalid_spec_stands_in_the_status(stage: Stage) -> None:
    """Given a spec that cannot be read, the status names the field; once it is mended, so is the status."""
    stage.adopted()
    stored = stage.api.objects[PATH]
    stage.add({**stored, "spec": {**stored["spec"], "targetRef": {}}, "metadata": {**stored["metadata"], "generation": 2}})
    await stage.passes()
    told = stage.stalled
    stored = stage.api.objects[PATH]
    stage.add({**stored, "spec": objects.release()["spec"], "metadata": {**stored["metadata"], "generation": 3}})

    await stage.passes()

    assert ("True", "InvalidSpec") == told[:2]
    assert "spec.targetRef.name" in told[2]
    assert "False" == stage.stalled[0]
    assert 3 == stage.status["observedGeneration"]


async def test_rollout_goes_on_under_a_spec_that_has_become_invalid(stage: Stage) -> None:
    """Given a rollout whose Release can no longer be read, a breach still rolls it back."""
    stage.at_ten_percent()
    await stage.passes()
    stored = stage.api.objects[PATH]
    stage.add({**stored, "spec": {**stored["spec"], "targetRef": {}}, "metadata": {**stored["metadata"], "generation": 2}})
    await stage.breach()

    await stage.passes()

    assert BREACH == stage.undone
    assert 0 == stage.weights[f"{NAME}-canary"]


async def test_one_route_that_fails_keeps_no_other_from_being_shifted(stage: Stage) -> None:
    """Given two routes of which one cannot be written, a breach takes the traffic from the other."""
    stage.at_ten_percent()
    stored = stage.api.objects[PATH]
    routes = {"gatewayAPI": {"httpRoutes": [{"name": "broken"}, {"name": NAME}]}, "service": NAME}
    pair = stage.api.objects[ROUTE_PATH]["spec"]["rules"][0]["backendRefs"]
    stage.add(objects.route("broken", *pair))
    stage.add({**stored, "spec": {**stored["spec"], "traffic": routes}, "metadata": {**stored["metadata"], "generation": 2}})
    await stage.passes()
    stage.api.fault("PATCH", "/httproutes/broken", status=500)
    await stage.breach()

    with pytest.raises(Unavailable):
        await stage.reconciler.reconcile(KEY)

    assert 0 == stage.weights[f"{NAME}-canary"]
    assert BREACH == stage.undone


async def test_field_that_the_api_server_does_not_know_is_not_written_again(stage: Stage) -> None:
    """Given a CRD that is older than the operator, what it leaves out of the status is not sent at every pass."""
    stage.adopted()
    await stage.passes()
    memory = stage.reconciler._memory[KEY]
    stored = stage.store.get("Release", *KEY)
    assert stored is not None
    pruned = {key: value for key, value in stored["status"].items() if key != "phase"}
    stage.api.version += 1
    older = {**stored, "status": pruned, "metadata": {**stored["metadata"], "resourceVersion": str(stage.api.version)}}
    stage.api.objects[PATH] = older
    stage.store.upsert("Release", older)
    memory.kept(older, None)
    before = len(stage.api.requests)

    await stage.reconciler.reconcile(KEY)

    assert before == len(stage.api.requests)


async def test_service_that_is_not_named_any_more_is_unpinned(stage: Stage) -> None:
    """Given a Service that was pinned and that the Release does not name any more, its selector is put back, and then forgotten."""
    status = ReleaseStatus(stable=RevisionStatus(revision="aaaa", version="v1", replicas=2, ready=2), pinned_service=NAME)
    stage.adopted(route=False, status=status.to_wire())
    pinned = objects.service()
    pinned["spec"]["selector"]["pod-template-hash"] = "aaaa"
    stage.add(pinned)

    await stage.passes()

    service = stage.api.objects[f"/api/v1/namespaces/{KEY.namespace}/services/{NAME}"]
    assert {"app": NAME} == service["spec"]["selector"]
    assert "pinnedService" not in stage.status
