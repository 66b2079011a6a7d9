"""A breach, from the reading to the route and the status, whatever hangs, fails or ends meanwhile."""

from __future__ import annotations

import asyncio
import copy

import pytest

from tidegate.api.names import LABEL_RELEASE
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.errors import Unavailable
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile import statuses
from tidegate.controller.reconcile.groups import Sources
from tidegate.controller.reconcile.stages import carry_out
from tidegate.runtime.queue import Lane
from tidegate.runtime.spare import ROOM, Spare
from unit.controller import objects
from unit.controller.api_server import settled
from unit.controller.objects import NAME
from unit.controller.stage import BREACH, KEY, PATH, ROUTE_PATH, Stage


@pytest.fixture(params=[ROOM, 0], ids=["whole", "bare"])
def spare(request: pytest.FixtureRequest) -> Spare:
    """Whether what is on stage before its Release is there as a whole, or has to be read by the first pass."""
    return Spare(room=request.param)


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


async def test_verdict_tells_what_the_route_gives_by_then(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The route is shut before the status is sent, so it says so, and is not written once more for that."""
    monkeypatch.setattr(carry_out, "HEAD_START", 60.0)
    stage.at_ten_percent()
    await stage.passes()
    carried = stage.status["carried"]
    await stage.breach()

    await stage.reconciler.reconcile(KEY)

    assert (10, 0, BREACH) == (carried, stage.status["carried"], stage.undone)


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
    monkeypatch.setattr(carry_out, "STORE_PATIENCE", 0.01)
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

    await stage.queue.get()
    await stage.reconciler.reconcile(KEY)
    stage.queue.done(KEY)
    shut, stored, waiting = stage.weights[f"{NAME}-canary"], stage.undone, stage.queue.lane(KEY)
    stage.pressing = False
    await stage.reconciler.reconcile(KEY)

    assert (0, None, Lane.NORMAL) == (shut, stored, waiting)
    assert BREACH == stage.undone
    assert 1.0 == stage.due.next_in()


async def test_status_that_was_put_off_is_urgent_itself_after_a_while(stage: Stage) -> None:
    """Given a press that does not end, the status comes back as urgent two seconds later, and is stored whatever else waits."""
    await _postponed(stage)

    before, again = stage.reconciler.lane(KEY), stage.due.next_in()
    await stage.reconciler.reconcile(KEY)

    assert (Lane.URGENT, 2.0) == (before, again)
    assert BREACH == stage.undone
    assert Lane.NORMAL is stage.reconciler.lane(KEY)


async def test_status_is_put_off_only_once(stage: Stage) -> None:
    """Given somebody who gives the weight back meanwhile, the verdict is stored in the pass that shuts the route again."""
    await _postponed(stage)
    route = copy.deepcopy(stage.api.objects[ROUTE_PATH])
    for backend in route["spec"]["rules"][0]["backendRefs"]:
        backend["weight"] = 10 if backend["name"].endswith("-canary") else 90
    stage.add(route)

    await stage.reconciler.reconcile(KEY)

    assert 0 == stage.weights[f"{NAME}-canary"]
    assert BREACH == stage.undone


async def test_verdict_that_was_put_off_and_refused_stays_urgent(stage: Stage) -> None:
    """Given a status that cannot be stored after it has been put off, it is tried again as urgent."""
    await _postponed(stage)
    stage.api.fault("PATCH", "/status$", times=1)

    with pytest.raises(Unavailable):
        await stage.reconciler.reconcile(KEY)

    assert Lane.URGENT is stage.reconciler.lane(KEY)
    assert 1.0 == stage.due.next_in()


async def test_verdict_is_stored_though_shutting_fails_by_a_bug(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a mistake of the operator's own on the way to the route, what was decided is stored all the same."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    stage.pressing = True
    decided = Sources.objects

    def breaks(sources: Sources, key: ReleaseKey, status: ReleaseStatus) -> ReleaseObjects | None:
        monkeypatch.setattr(Sources, "objects", breaks_later)
        return decided(sources, key, status)

    def breaks_later(sources: Sources, key: ReleaseKey, status: ReleaseStatus) -> ReleaseObjects | None:
        raise ZeroDivisionError

    monkeypatch.setattr(Sources, "objects", breaks)
    with pytest.raises(ZeroDivisionError):
        await stage.reconciler.reconcile(KEY)

    assert BREACH == stage.undone


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
    monkeypatch.setattr(carry_out, "STORE_PATIENCE", 0.01)
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
    await _postponed(stage)

    await stage.reconciler.store_postponed(0)
    too_late = stage.undone
    await stage.reconciler.store_postponed(1)
    written = len(stage.api.requests)
    await stage.reconciler.store_postponed(1)

    assert too_late is None
    assert BREACH == stage.undone
    assert written == len(stage.api.requests)


async def test_bug_in_one_status_keeps_no_process_from_handing_over(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a status that cannot be written for a mistake of the operator's own, the end goes on."""
    await _postponed(stage)

    async def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(statuses, "write_status", breaks)
    await stage.reconciler.store_postponed(1)

    assert stage.undone is None


async def _postponed(stage: Stage) -> None:
    """At 10%, find a breach amid a burst."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    stage.pressing = True
    await stage.reconciler.reconcile(KEY)
