"""When it is told what became of a decision: once it stands in the Release's status, and never in the way of what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tidegate.api.base import format_time
from tidegate.cluster.errors import ApiError
from unit.controller.api_server import ApiServer, settled
from unit.controller.objects import NAME, NAMESPACE, Json
from unit.controller.stage import KEY, Stage

PATH = f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/releasedecisions/back"


def decided(stage: Stage, action: str = "Rollback") -> Json:
    """Let somebody decide."""
    made = {"name": "back", "namespace": NAMESPACE, "uid": "uid-back", "creationTimestamp": format_time(stage.clock.now())}
    spec = {"release": NAME, "releaseUID": stage.api.objects[stage_path()]["metadata"]["uid"], "action": action, "by": "ann"}
    return stage.add({"apiVersion": "tidegate.dev/v1alpha1", "kind": "ReleaseDecision", "metadata": made, "spec": spec})


def stage_path() -> str:
    return f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/releases/{NAME}"


@asynccontextmanager
async def telling(stage: Stage) -> AsyncIterator[None]:
    """Have outcomes written meanwhile."""
    running = asyncio.create_task(stage.outcomes.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def told(stage: Stage) -> Json:
    status: Json = stage.api.objects[PATH].get("status") or {}
    return status


async def test_it_is_told_once_what_became_of_a_command(api: ApiServer) -> None:
    """Given a rollback, the route is shut and the status stored; then the decision says so, and no pass writes it again."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    decided(stage)
    async with telling(stage):
        await stage.passes()
        await settled(lambda: bool(told(stage)))
        await stage.passes()
    writes = api.written("/releasedecisions/back/status$")
    await stage.close()

    assert "Requested" == stage.undone
    assert "CarriedOut" == told(stage)["outcome"]
    assert 1 == len(writes)


async def test_what_is_not_stored_is_not_told_and_is_done_all_the_same(api: ApiServer) -> None:
    """Given a status that cannot be stored, traffic is taken away, and the decision says nothing until the status does."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    decided(stage)
    fault = api.fault("PATCH", f"/releases/{NAME}/status$", status=500)
    async with telling(stage):
        for _ in range(4):
            with pytest.raises(ApiError):
                await stage.reconciler.reconcile(KEY)
        shut, silent = stage.weights, told(stage)
        api.faults.remove(fault)
        await stage.passes()
        await settled(lambda: bool(told(stage)))
    await stage.close()

    assert 0 == shut[f"{NAME}-canary"]
    assert {} == silent
    assert "CarriedOut" == told(stage)["outcome"]


async def test_decision_that_cannot_be_written_holds_nothing_up(api: ApiServer) -> None:
    """Given an API server that refuses the outcome, the rollback goes on to its end."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    decided(stage)
    api.fault("PATCH", "/releasedecisions/", status=500)
    async with telling(stage):
        await stage.passes()
    await stage.close()

    assert "Requested" == stage.undone
    assert 0 == stage.weights[f"{NAME}-canary"]
    assert {} == told(stage)


async def test_next_life_tells_what_the_last_one_did_not(api: ApiServer) -> None:
    """Given an operator that died between the status and the decision's, the next one tells it, and carries nothing out again."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    decided(stage)
    await stage.passes()
    await stage.close()
    carried = stage.status["carriedOut"]
    again = stage.restarted()
    async with telling(again):
        await again.passes()
        await settled(lambda: bool(told(again)))
    await again.close()

    assert carried == again.status["carriedOut"]
    assert "CarriedOut" == told(again)["outcome"]


async def test_outcome_that_is_there_is_not_written_again(api: ApiServer) -> None:
    """Given an operator that does not know yet what the one before it has told, its own write changes nothing, time included."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    decided(stage)
    await stage.passes()
    again = stage.restarted()
    async with telling(stage):
        await stage.passes()
        await settled(lambda: bool(told(stage)))
    said = told(stage)
    again.clock.advance(5.0)
    async with telling(again):
        await again.passes()
        await settled(lambda: len(api.written("/releasedecisions/back/status$")) > 1)
    await stage.close()
    await again.close()

    assert said == told(again)


@pytest.mark.parametrize("status", [409, 500])
async def test_write_that_is_refused_for_now_is_tried_again(api: ApiServer, status: int) -> None:
    """Given an API server that takes an outcome in only the second time, also after a conflict, the decision says it."""
    stage = Stage(api)
    stage.at_ten_percent()
    await stage.passes()
    decided(stage)
    fault = api.fault("PATCH", "/releasedecisions/", status=status, times=1)
    async with telling(stage):
        await stage.passes()
        await settled(lambda: fault.hits == 1 and stage.clock.sleepers > 0)
        stage.clock.advance(1.0)
        await settled(lambda: bool(told(stage)))
    await stage.close()

    assert "CarriedOut" == told(stage)["outcome"]
