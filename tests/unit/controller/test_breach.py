"""A breach, from the reading to the route and the status, whatever hangs, fails or ends meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.api.names import LABEL_RELEASE
from tidegate.cluster.errors import Unavailable
from tidegate.controller import reconciler
from unit.controller import objects
from unit.controller.api_server import settled
from unit.controller.objects import NAME
from unit.controller.stage import BREACH, KEY, PATH, Stage


async def breach_that_is_not_stored(stage: Stage) -> None:
    """At 10%, let a pass find a breach while the API server stores no status; then it stores them again."""
    stage.at_ten_percent()
    await stage.passes()
    fault = stage.api.fault("PATCH", "/status$")
    await stage.breach()
    with pytest.raises(Unavailable):
        await stage.reconciler.reconcile(KEY)
    stage.api.faults.remove(fault)


async def test_breach_reaches_the_route_though_the_status_cannot_be_stored(stage: Stage) -> None:
    """Given an API server that stores no status, a breach takes all traffic from the new version in the pass that reads it."""
    stage.at_ten_percent()
    await stage.passes()
    stage.api.fault("PATCH", "/status$")
    await stage.breach()

    with pytest.raises(Unavailable):
        await stage.reconciler.reconcile(KEY)

    assert 0 == stage.weights[f"{NAME}-canary"]


async def test_breach_that_was_not_stored_is_not_forgotten(stage: Stage) -> None:
    """Given a breach whose status could not be stored, and a status that somebody else writes meanwhile, the breach counts."""
    await breach_that_is_not_stored(stage)
    meddled = stage.api.objects[PATH]
    stage.add({**meddled, "status": {**meddled["status"], "message": "meddled"}})

    await stage.reconciler.reconcile(KEY)

    assert BREACH == stage.undone
    assert ["bbbb"] == [entry["revision"] for entry in stage.status["rejected"]]
    assert 0 == stage.weights[f"{NAME}-canary"]


async def test_breach_does_not_wait_for_a_status_that_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an API server that does not answer the write of the status, the route is shifted all the same."""
    monkeypatch.setattr(reconciler, "STORE_PATIENCE", 0.01)
    stage.at_ten_percent()
    await stage.passes()
    hang = stage.api.fault("PATCH", "/status$", status=0, gate=asyncio.Event())
    await stage.breach()

    a_pass = asyncio.create_task(stage.reconciler.reconcile(KEY))
    await settled(lambda: stage.weights[f"{NAME}-canary"] == 0)
    stored_by_then = stage.undone
    assert hang.gate is not None
    hang.gate.set()
    await a_pass

    assert stored_by_then is None
    assert BREACH == stage.undone


async def test_status_does_not_wait_for_a_route_that_hangs(stage: Stage) -> None:
    """Given an API server that does not answer the write of the route, the verdict is stored all the same."""
    stage.at_ten_percent()
    await stage.passes()
    hang = stage.api.fault("PATCH", "/httproutes/", status=0, gate=asyncio.Event())
    await stage.breach()

    a_pass = asyncio.create_task(stage.reconciler.reconcile(KEY))
    await settled(lambda: stage.undone == BREACH)
    weight_by_then = stage.weights[f"{NAME}-canary"]
    assert hang.gate is not None
    hang.gate.set()
    await a_pass

    assert 10 == weight_by_then
    assert 0 == stage.weights[f"{NAME}-canary"]


async def test_route_that_was_shut_before_a_crash_stays_shut_until_a_look(stage: Stage) -> None:
    """Given an operator that shuts a route and dies before it can store why, the next one gives no weight before it has looked."""
    await breach_that_is_not_stored(stage)
    stored = stage.undone

    again = stage.restarted()
    again.values["error-rate"] = 0.5
    await again.passes()
    before_the_look = again.weights[f"{NAME}-canary"]
    again.clock.advance(2.5)
    await again.look()
    await again.passes()

    assert stored is None
    assert 0 == before_the_look
    assert BREACH == again.undone
    assert 0 == again.weights[f"{NAME}-canary"]
    await again.close()


async def test_process_that_ends_leaves_to_the_next_one_what_is_not_begun(stage: Stage) -> None:
    """Given a process that is told to end during a pass, the decision is stored and nothing more written; the next one goes on."""
    stage.adopted()
    stage.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
    stage.ending = True

    await stage.reconciler.reconcile(KEY)
    written = [path for _, path in stage.api.requests]
    again = stage.restarted()
    await again.passes()

    assert [f"{PATH}/status"] == written
    assert f"{NAME}-canary" in {obj["metadata"]["name"] for obj in again.api.objects.values() if obj["kind"] == "Service"}
    await again.close()


async def test_process_that_ends_still_shuts_a_bad_version(stage: Stage) -> None:
    """Given a breach in the pass during which a process is told to end, the route is shut and the verdict stored."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    stage.ending = True

    await stage.reconciler.reconcile(KEY)

    assert 0 == stage.weights[f"{NAME}-canary"]
    assert BREACH == stage.undone


async def test_status_waits_in_a_burst_until_all_are_shut(stage: Stage) -> None:
    """Given other Releases to be shut, too, the status waits for them, and then follows at once, with all else that is to do."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    stage.pressing = True

    await stage.reconciler.reconcile(KEY)
    shut, stored, again = stage.weights[f"{NAME}-canary"], stage.undone, stage.due.next_in()
    stage.pressing = False
    await stage.passes()

    assert (0, None, 0.0) == (shut, stored, again)
    assert BREACH == stage.undone
    assert stage.due.next_in() != 0.0


async def test_status_waits_for_no_burst_if_the_route_cannot_be_shut(stage: Stage) -> None:
    """Given a route that is refused amid a burst, the verdict is stored: it is all that there is of it."""
    stage.at_ten_percent()
    await stage.passes()
    stage.api.fault("PATCH", "/httproutes/")
    await stage.breach()
    stage.pressing = True

    with pytest.raises(Unavailable):
        await stage.reconciler.reconcile(KEY)

    assert BREACH == stage.undone


async def test_status_does_not_wait_in_a_burst_for_a_route_that_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an API server that does not answer the write of the route amid a burst, the verdict is stored all the same."""
    monkeypatch.setattr(reconciler, "STORE_PATIENCE", 0.01)
    stage.at_ten_percent()
    await stage.passes()
    hang = stage.api.fault("PATCH", "/httproutes/", status=0, gate=asyncio.Event())
    await stage.breach()
    stage.pressing = True

    a_pass = asyncio.create_task(stage.reconciler.reconcile(KEY))
    await settled(lambda: stage.undone == BREACH)
    assert hang.gate is not None
    hang.gate.set()
    await a_pass

    assert 0 == stage.weights[f"{NAME}-canary"]


async def test_process_that_ends_in_a_burst_stores_its_verdicts(stage: Stage) -> None:
    """Given a verdict that waits for a burst to be over as the process is told to end, it is stored before another takes over."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    stage.pressing = True
    await stage.reconciler.reconcile(KEY)

    await stage.reconciler.store_unsaved(0)
    too_late = stage.undone
    await stage.reconciler.store_unsaved(1)
    written = len(stage.api.requests)
    await stage.reconciler.store_unsaved(1)

    assert too_late is None
    assert BREACH == stage.undone
    assert written == len(stage.api.requests)
