"""Records reach the API server once, whatever becomes of the requests and of the process, and nothing waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from tidegate.api.kept import as_text
from tidegate.api.recorded import PendingRecord, RecordsStatus
from tidegate.api.status import ReleaseStatus
from tidegate.controller.reconcile.records import Records
from tidegate.governance.canonical import canonical
from tidegate.governance.records import name_of, sealed, verify
from unit.controller.api_server import ApiServer, settled
from unit.controller.objects import NAME, NAMESPACE, Json
from unit.controller.stage import KEY, Stage

FOLDER = f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/releaserecords"


@asynccontextmanager
async def writing(stage: Stage) -> AsyncIterator[None]:
    """Have records written meanwhile."""
    running = asyncio.create_task(stage.records.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def uid_of(stage: Stage) -> str:
    release = stage.store.get("Release", *KEY)
    assert release is not None
    return str(release["metadata"]["uid"])


def status_with(stage: Stage, *numbers: int, checkpoint: int = 1) -> ReleaseStatus:
    """Return a status in which records of these numbers wait to be written."""
    pending = []
    for number in numbers:
        spec = sealed(
            {"number": number, "release": NAME, "releaseUID": uid_of(stage), "namespace": NAMESPACE, "checkpoint": checkpoint}
        )
        pending.append(PendingRecord(number=number, kept=as_text(canonical(spec))))
    return ReleaseStatus(records=RecordsStatus(number=max(numbers), pending=tuple(pending)))


def records(stage: Stage) -> dict[int, Json]:
    """Return what the API server has, by number."""
    found = (obj for path, obj in stage.api.objects.items() if path.startswith(f"{FOLDER}/"))
    return {obj["spec"]["number"]: obj for obj in found}


async def test_a_rollout_that_ends_costs_one_create(api: ApiServer) -> None:
    """Given a version that is rolled back, there is one record, which verifies, and the status lets go of it without a write."""
    stage = Stage(api)
    stage.adopted()
    await stage.passes()
    release = stage.store.get("Release", *KEY)
    status = status_with(stage, 1)
    before = len(api.requests)
    async with writing(stage):
        stage.records.tell(release, status)
        stage.records.tell(release, status)
        await settled(lambda: not stage.records.settled(release, status).records.pending)
    await stage.close()

    assert [("POST", FOLDER)] == api.requests[before:]
    assert 1 == len(records(stage))
    assert [] == verify([*records(stage).values()])
    assert stage.queue.depth() > 0, "nobody notes that it is written"


async def test_who_writes_it_again_finds_it(api: ApiServer) -> None:
    """Given a record that an operator wrote before it died, the next one reads that one, says so, and writes none."""
    stage = Stage(api)
    stage.adopted()
    await stage.passes()
    release, status = stage.store.get("Release", *KEY), status_with(stage, 1)
    async with writing(stage):
        stage.records.tell(release, status)
        await settled(lambda: not stage.records.settled(release, status).records.pending)
    again, written = stage.restarted(), records(stage)
    with capture_logs() as logs:
        async with writing(again):
            again.records.tell(release, status)
            await settled(lambda: not again.records.settled(release, status).records.pending)
    await stage.close()
    await again.close()

    assert written == records(again)
    assert ["rollout recorded"] == [one["event"] for one in logs if "record" in one["event"]]


@pytest.mark.parametrize("status", [500, 429, 403])
async def test_a_refusal_is_no_end(api: ApiServer, status: int) -> None:
    """Given an API server that refuses it, it stays in the status, is counted, and is written once it is let in."""
    stage = Stage(api)
    stage.adopted()
    await stage.passes()
    release, kept = stage.store.get("Release", *KEY), status_with(stage, 1)
    fault = api.fault("POST", "/releaserecords$", status=status, reason="Forbidden" if status == 403 else "")
    async with writing(stage):
        stage.records.tell(release, kept)
        await until(stage, lambda: stage.metrics.registry.get_sample_value(*_unwritten(stage)) is not None)
        assert stage.records.settled(release, kept) is kept
        api.faults.remove(fault)
        stage.records.tell(release, kept)
        await until(stage, lambda: bool(records(stage)))
    await stage.close()

    assert [1] == [*records(stage)]


def _unwritten(stage: Stage) -> tuple[str, dict[str, str]]:
    (family,) = [one for one in stage.metrics.registry.collect() if one.name == "tidegate_records_unwritten"]
    labels = next((dict(sample.labels) for sample in family.samples if sample.name.endswith("_total")), {"why": "?"})
    return "tidegate_records_unwritten_total", labels


async def until(stage: Stage, holds: Any) -> None:
    """Let time go by until something holds."""
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.002)
        stage.clock.advance(1.0)
    raise AssertionError("it does not come to hold")


async def test_a_forged_record_is_told_of(api: ApiServer) -> None:
    """Given another record under that name, the operator leaves it, and its log says so with the hash that should be there."""
    stage = Stage(api)
    stage.adopted()
    await stage.passes()
    release, status = stage.store.get("Release", *KEY), status_with(stage, 1)
    metadata = {"name": name_of(NAME, uid_of(stage), 1), "namespace": NAMESPACE, "uid": "r1"}
    forged = {"number": 1, "release": NAME, "to": {"version": "v99"}, "checkpoint": 1, "releaseUID": "", "namespace": ""}
    stage.add({"apiVersion": "tidegate.dev/v1alpha1", "kind": "ReleaseRecord", "metadata": metadata, "spec": forged})
    with capture_logs() as logs:
        async with writing(stage):
            stage.records.tell(release, status)
            await settled(lambda: not stage.records.settled(release, status).records.pending)
    await stage.close()

    (told,) = [one for one in logs if one["log_level"] == "error"]
    assert "a record is not as it was written" == told["event"]
    assert told["hash"].startswith("sha256:")


async def test_those_that_are_not_kept_are_deleted(api: ApiServer) -> None:
    """Given a checkpoint, the records before it go, the youngest first, until one is gone already; the others stay."""
    stage = Stage(api)
    stage.adopted()
    await stage.passes()
    release = stage.store.get("Release", *KEY)
    for numbers, checkpoint in (((1, 2, 3), 1), ((4,), 1), ((5,), 4)):
        status = status_with(stage, *numbers, checkpoint=checkpoint)
        async with writing(stage):
            stage.records.tell(release, status)
            await settled(lambda status=status: not stage.records.settled(release, status).records.pending)
    await stage.close()

    assert {4, 5} == {*records(stage)}


async def test_nothing_waits_for_a_record_that_hangs(api: ApiServer) -> None:
    """Given an API server that never answers a create, the version is shut out and undone all the same."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    api.fault("POST", "/releaserecords$", gate=asyncio.Event())
    async with writing(stage):
        stage.records.tell(stage.store.get("Release", *KEY), status_with(stage, 1))
        await stage.breach()
        await stage.passes()
        shut = stage.weights
    await stage.close()

    assert 0 == shut[f"{NAME}-canary"]
    assert {} == records(stage)


async def test_a_record_stays_in_the_status_until_the_audit_stream_has_it(stage: Stage) -> None:
    """Given a stream whose disk hangs, the record is written in the cluster once, and the status keeps it for the next life."""
    asked: list[Callable[[], None]] = []
    stage.adopted()
    await stage.passes()
    written = Records(
        stage.cluster,
        lambda _, done: asked.append(done),
        clock=stage.clock,
        moved=stage.queue.add,
        metrics=stage.metrics,
    )
    release = stage.store.get("Release", *KEY)
    assert release is not None
    status = status_with(stage, 1)
    running = asyncio.create_task(written.run())
    written.tell(release, status)
    await settled(lambda: len(asked) == 1)
    written.tell(release, status)
    await settled(written._waiting.empty)
    before = written.settled(release, status)
    asked[0]()
    after = written.settled(release, status)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert ([1], 1, status) == (list(records(stage)), len(asked), before)
    assert after.records is not None
    assert () == after.records.pending
