"""From a plan to writes: in order, and as far as each can go without the others."""

from __future__ import annotations

import asyncio
import json

import pytest

from tidegate.api.status import ReleaseStatus, RevisionStatus
from tidegate.cluster.errors import Unavailable
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.controller.observe.parsing import stored_status
from tidegate.controller.reconcile import act
from tidegate.controller.reconcile.act import Done
from tidegate.engine.handover.deployment.actions import CreateCanary, Hold, LabelWorkload, Scale
from tidegate.engine.plan import Action, EnsureService, PinService, Role, SetFinalizer, ShiftRoute
from tidegate.engine.route import RouteRef
from tidegate.engine.snapshot import RouteStage
from tidegate.runtime.errors import Retry
from tidegate.traffic.httproute import KIND
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.api_server import ApiServer, settled
from unit.controller.objects import NAME
from unit.controller.stage import DEPLOYMENT_PATH, KEY, PATH, Stage

FINALIZER = SetFinalizer(present=False)
LABEL = LabelWorkload(present=False)
HOLD = Hold(paused=False)
ROLLING = ReleaseStatus(candidate=RevisionStatus(revision="bbbb", version="v2"))


@pytest.fixture
def rolling(stage: Stage) -> Stage:
    """A rollout at 10% over three routes."""
    stage.at_ten_percent()
    stored = stage.api.objects[PATH]
    names = ("first", NAME, "third")
    traffic = {"service": NAME, "gatewayAPI": {"httpRoutes": [{"name": name} for name in names]}}
    for name in ("first", "third"):
        backends = [{"name": f"{NAME}-stable", "port": 80, "weight": 90}, {"name": f"{NAME}-canary", "port": 80, "weight": 10}]
        stage.add(objects.route(name, *backends))
    stage.add({**stored, "spec": {**stored["spec"], "traffic": traffic}, "metadata": {**stored["metadata"], "generation": 2}})
    return stage


def shift(stage: Stage, name: str) -> ShiftRoute:
    status = stored_status(stage.api.objects[PATH])
    return ShiftRoute(RouteRef(KIND, name), RouteStage.SPLIT, 0, status.original_rules)


def collect(stage: Stage) -> ReleaseObjects:
    around = stage.gatherer.collect(KEY, ROLLING)
    assert around is not None
    return around


async def carry_out(stage: Stage, *actions: Action, interrupted: bool = False, decided: ReleaseObjects | None = None) -> Done:
    return await act.carry_out(
        actions,
        decided or collect(stage),
        lambda: stage.gatherer.collect(KEY, ROLLING),
        interrupted=lambda: interrupted,
        cluster=stage.cluster,
        routers=Routers.all(),
    )


def written(api: ApiServer) -> list[str]:
    return [path.rpartition("/")[2] for _, path in api.requests]


async def test_actions_are_carried_out_in_order(rolling: Stage, api: ApiServer) -> None:
    """Each write rests on what the one before it has left."""
    done = await carry_out(rolling, FINALIZER, LABEL, HOLD, Scale("checkout-bbbb", 0))

    assert Done() == done
    assert [NAME, NAME, NAME, "checkout-bbbb"] == written(api)
    assert [] == api.objects[PATH]["metadata"]["finalizers"]


async def test_first_failure_ends_what_rests_on_it_and_no_route(rolling: Stage, api: ApiServer) -> None:
    """Given a write that fails, routes are shifted all the same, and nothing else is written."""
    api.fault("PATCH", "/releases/", status=500)

    done = await carry_out(rolling, FINALIZER, shift(rolling, "first"), shift(rolling, NAME), LABEL, HOLD)

    assert isinstance(done.failed, Unavailable)
    assert done.shifted
    assert {"first", NAME} == set(written(api)[1:])
    assert 3 == len(api.requests)


async def test_route_that_hangs_holds_up_no_other(rolling: Stage, api: ApiServer) -> None:
    """Given a route whose write is not answered, the others are shifted at once."""
    hang = api.fault("PATCH", "/httproutes/first", status=0, gate=asyncio.Event())

    doing = asyncio.create_task(carry_out(rolling, *(shift(rolling, name) for name in ("first", NAME, "third"))))
    await settled(lambda: len(api.requests) == 3)
    assert hang.gate is not None
    hang.gate.set()

    assert Done() == await doing


async def test_route_that_fails_is_told(rolling: Stage, api: ApiServer) -> None:
    """Given one of three routes that cannot be written, the pass has failed, and the traffic is not said to be back."""
    api.fault("PATCH", f"/httproutes/{NAME}", status=500)

    done = await carry_out(rolling, *(shift(rolling, name) for name in ("first", NAME, "third")), LABEL)

    assert isinstance(done.failed, Unavailable)
    assert not done.shifted
    assert {"first", NAME, "third"} == set(written(api))


async def test_urgent_reading_cuts_the_pass_short_before_the_next_write(rolling: Stage, api: ApiServer) -> None:
    """Given a breach that comes in meanwhile, routes are still shifted, and all else is left to the pass that it asks for."""
    done = await carry_out(rolling, shift(rolling, NAME), LABEL, HOLD, interrupted=True)

    assert Done(interrupted=True) == done
    assert [NAME] == written(api)


@pytest.mark.parametrize(
    ("kind", "name", "action"),
    [("Deployment", NAME, LABEL), ("Service", NAME, PinService(None)), ("HTTPRoute", NAME, None)],
)
async def test_object_that_went_in_between_is_worth_another_try(
    rolling: Stage, kind: str, name: str, action: Action | None
) -> None:
    """Given an object that has gone since the decision, the pass is tried again."""
    wanted = action or shift(rolling, NAME)
    gone = rolling.store.get(kind, "shop", name)
    assert gone is not None
    rolling.store.remove(kind, gone)

    done = await carry_out(rolling, wanted)

    assert isinstance(done.failed, Retry)
    assert "is gone" in str(done.failed)


async def test_release_that_went_in_between_ends_the_pass(rolling: Stage, api: ApiServer) -> None:
    """Given a Release that has gone since the decision, nothing is written for it any more."""
    decided = collect(rolling)
    rolling.store.remove("Release", api.objects[PATH])

    assert Done() == await carry_out(rolling, LABEL, shift(rolling, NAME), decided=decided)
    assert [] == api.requests


@pytest.mark.parametrize("action", [Hold(paused=False), CreateCanary("cccc", 1)], ids=["release", "canary"])
async def test_what_was_decided_on_another_template_is_not_done(rolling: Stage, api: ApiServer, action: Action) -> None:
    """Given a template that changes between the decision and the write, it is neither let go nor given pods unjudged."""
    decided = collect(rolling)
    stored = api.objects[DEPLOYMENT_PATH]
    changed = json.loads(json.dumps(stored))
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/checkout:v9"
    rolling.add(changed)

    done = await carry_out(rolling, action, decided=decided)

    assert isinstance(done.failed, Retry)
    assert "has changed meanwhile" in str(done.failed)
    assert [] == written(api)


@pytest.mark.parametrize(
    ("action", "done"), [(EnsureService(Role.STABLE, "cccc"), False), (PinService("aaaa"), False), (PinService(None), True)]
)
async def test_service_that_was_led_astray_since_is_written_by_no_old_decision(
    rolling: Stage, api: ApiServer, action: Action, done: bool
) -> None:
    """Given a selector that is changed between decision and write, nothing is led to what it selects now; a pin may still go."""
    pinned = objects.service()
    pinned["spec"]["selector"] |= {"pod-template-hash": "bbbb"}
    rolling.add(pinned)
    decided = collect(rolling)
    strange = objects.service()
    strange["spec"]["selector"] = {"app": "ledger", "pod-template-hash": "bbbb"}
    rolling.add(strange)

    found = await carry_out(rolling, action, decided=decided)

    assert done == (found.failed is None)
    assert done == bool(api.requests)
    if found.failed is not None:
        assert isinstance(found.failed, Retry)
        assert "the selector of Service checkout has changed meanwhile" in str(found.failed)
