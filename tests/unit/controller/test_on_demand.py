"""Pods and endpoints that somebody waits for, read in the background."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH
from tidegate.controller.observe.on_demand import CALLS, FLAGS, REASONS, SELECTED, Inquiries
from tidegate.controller.observe.runs import asked, ids_of
from tidegate.governance.runs import Call, RunState, RunView
from unit.controller.api_server import ApiServer, settled
from unit.controller.objects import NAME
from unit.controller.stage import KEY, Stage


def pod(api: ApiServer, name: str, ready: str) -> None:
    conditions = [{"type": "Ready", "status": ready}]
    metadata = {"namespace": "shop", "name": name, "labels": {"pod-template-hash": "bbbb"}}
    spec = {"containers": [{"name": "app", "image": "checkout:v2"}]}
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"conditions": conditions}})


def reading() -> list[str]:
    """Return what is being read just now."""
    return [task.get_name() for task in asyncio.all_tasks() if str(KEY) in task.get_name()]


async def read(stage: Stage, revision: str = "bbbb") -> None:
    stage.pods.want(KEY, revision, label=LABEL_POD_TEMPLATE_HASH)
    await settled(lambda: not reading())


async def waited_for(stage: Stage, revision: str = "bbbb") -> None:
    """Ask for pods until they are read for the first time."""
    stage.pods.want(KEY, revision, label=LABEL_POD_TEMPLATE_HASH)
    stage.clock.advance(REASONS.patience)
    await read(stage, revision)


def names(pods: list[Any]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods]


async def test_pods_are_read_and_bring_their_release_back(stage: Stage, api: ApiServer) -> None:
    """Whoever waits for pods gets them once they are read, and is brought back when they say something new."""
    pod(api, "one", "False")

    await read(stage)
    before = stage.pods.of(KEY, "bbbb")
    await waited_for(stage)

    assert before is None
    assert ["one"] == names(stage.pods.of(KEY, "bbbb"))
    assert KEY == await stage.queue.get()


async def test_what_may_be_over_soon_is_read_at_once(stage: Stage, api: ApiServer) -> None:
    """Given pods that are waited for with patience, a loss has them read at once, and only once."""
    pod(api, "one", "False")

    await read(stage)
    stage.pods.want(KEY, "bbbb", label=LABEL_POD_TEMPLATE_HASH, urgent=True)
    began = reading()
    await settled(lambda: not reading())
    stage.pods.want(KEY, "bbbb", label=LABEL_POD_TEMPLATE_HASH, urgent=True)

    assert began
    assert ["one"] == names(stage.pods.of(KEY, "bbbb"))
    assert reading() == []


async def test_only_what_tells_of_reasons_is_kept_of_pods(stage: Stage, api: ApiServer) -> None:
    """Pods are remembered for as long as their rollout is on: what they are, and what they say of themselves."""
    pod(api, "one", "False")

    await waited_for(stage)

    (kept,) = stage.pods.of(KEY, "bbbb")
    assert {"metadata", "status"} == set(kept)
    assert {"namespace", "name", "uid", "resourceVersion"} == set(kept["metadata"])


async def test_of_pods_that_a_service_selects_only_their_owners_are_kept(stage: Stage, api: ApiServer) -> None:
    """What they say of themselves is nobody's concern; that one is another, or about to go, is told all the same."""
    pod(api, "one", "False")
    stage.questions.selected.want(KEY, "pod-template-hash=bbbb")
    await settled(lambda: not reading())

    (kept,) = stage.questions.selected.of(KEY, "pod-template-hash=bbbb")
    assert {"metadata", "uid", "ending", "status"} == set(kept)
    assert {"namespace", "name", "uid"} == set(kept["metadata"])
    assert {"phase": None} == kept["status"]


async def test_pods_are_not_read_again_at_once(stage: Stage, api: ApiServer) -> None:
    """Within three seconds the same pods are read once, however often somebody asks."""
    await waited_for(stage)
    pod(api, "one", "False")
    await read(stage)
    patient = stage.pods.of(KEY, "bbbb")
    stage.clock.advance(3)
    await read(stage)

    assert [] == patient
    assert ["one"] == names(stage.pods.of(KEY, "bbbb"))


async def test_pods_that_say_nothing_new_bring_nobody_back(stage: Stage, api: ApiServer) -> None:
    """Given pods whose status stays as it is, reading them again is no reason for a pass."""
    pod(api, "one", "False")
    await waited_for(stage)
    stage.queue.done(await stage.queue.get())
    stage.clock.advance(3)

    await read(stage)

    assert 0 == stage.queue.depth()


async def test_pods_of_another_revision_are_not_shown(stage: Stage, api: ApiServer) -> None:
    """What was read of one revision says nothing about another."""
    pod(api, "one", "False")
    await waited_for(stage)

    assert stage.pods.of(KEY, "cccc") is None
    assert stage.pods.of(KEY, None) is None


@pytest.mark.parametrize("code", [403, 500])
async def test_pods_that_cannot_be_read_are_none(stage: Stage, api: ApiServer, code: int) -> None:
    """A reason that is not known keeps nothing from going on."""
    api.fault("GET", "/pods", status=code)

    await waited_for(stage)

    assert not stage.pods.of(KEY, "bbbb")


async def test_nothing_is_kept_of_pods_that_nobody_waits_for(stage: Stage, api: ApiServer) -> None:
    """Given a Release that goes while its pods are read, nothing is kept."""
    pod(api, "one", "False")
    stage.pods.want(KEY, "bbbb", label=LABEL_POD_TEMPLATE_HASH)
    stage.clock.advance(REASONS.patience)
    stage.pods.want(KEY, "bbbb", label=LABEL_POD_TEMPLATE_HASH)
    stage.pods.forget(KEY)
    await settled(lambda: not reading())

    assert stage.pods.of(KEY, "bbbb") is None
    assert {} == stage.pods._inquiries
    assert 0 == stage.queue.depth()


def endpoints(api: ApiServer, address: str) -> None:
    metadata = {"namespace": "shop", "name": NAME, "labels": {"kubernetes.io/service-name": NAME}}
    entries = [{"addresses": [address], "conditions": {"ready": True}}]
    api.put({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "endpoints": entries})


async def test_endpoints_are_read_at_once_and_bring_their_release_back(stage: Stage, api: ApiServer) -> None:
    """A route waits for them: nobody has to ask twice, and what has changed is known after a second."""
    endpoints(api, "10.0.0.1")
    stage.endpoints.want(KEY, NAME)
    first = await stage.queue.get()
    stage.queue.done(first)

    endpoints(api, "10.0.0.2")
    stage.clock.advance(1)
    stage.endpoints.want(KEY, NAME)
    again = await stage.queue.get()

    assert (KEY, KEY) == (first, again)
    (known,) = stage.endpoints.of(KEY, NAME) or ()
    assert ["10.0.0.2"] == known["endpoints"][0]["addresses"]


async def test_readings_grow_rare(stage: Stage) -> None:
    """Given endpoints that stay behind, they are read after 1, 2, 4 and then each 5 seconds, and the same brings nobody back."""
    waits = []
    for _ in range(5):
        waits.append(stage.endpoints.want(KEY, NAME))
        await settled(lambda: not reading())
        stage.clock.advance(waits[-1])

    assert [1, 2, 4, 5, 5] == waits
    assert 1 == stage.queue.depth()


async def test_reading_that_nobody_waits_for_is_ended(stage: Stage, api: ApiServer) -> None:
    """Given a reading under way when the waiting ends, what it would have found does not count for the next who waits."""
    endpoints(api, "10.0.0.1")
    slow = api.fault("GET", "/endpointslices", status=0, gate=asyncio.Event(), times=1)
    stage.endpoints.want(KEY, NAME)
    await settled(lambda: slow.hits == 1)

    stage.endpoints.forget(KEY)
    await settled(lambda: not reading())
    stage.endpoints.want(KEY, NAME)
    await settled(lambda: stage.endpoints.of(KEY, NAME) is not None)

    assert slow.gate is not None
    assert not slow.gate.is_set()
    slow.gate.set()


async def test_what_nobody_waits_for_is_read_rarely(stage: Stage, api: ApiServer) -> None:
    """Once a Service is known to select no other pods, it is read again after ten minutes; and soon where that is in the way."""
    stage.questions.selected.want(KEY, "app=checkout", at_ease=True)
    await settled(lambda: not reading())

    at_ease = stage.questions.selected.want(KEY, "app=checkout", at_ease=True)
    stage.clock.advance(SELECTED.longest)
    later = stage.questions.selected.want(KEY, "app=checkout", at_ease=True)

    assert (SELECTED.at_ease, SELECTED.at_ease - SELECTED.longest) == (at_ease, later)
    assert [] == reading()
    assert SELECTED.patience == stage.questions.selected.want(KEY, "app=checkout")


async def test_a_reading_that_fails_unforeseen_is_logged_and_tried_again(stage: Stage) -> None:
    """Nobody waits for the task, so it would end unseen; and what is asked for would never be read."""
    tried: list[str] = []

    async def broken(_namespace: str, value: str) -> list[Any]:
        tried.append(value)
        if len(tried) == 1:
            raise TypeError("str is not valid UTF-8: surrogates not allowed")
        return [{"metadata": {}, "flag": value}]

    inquiries = Inquiries(FLAGS, stage.cluster, clock=stage.clock, arrived=lambda _: None, read=broken)
    with capture_logs() as logs:
        inquiries.want(KEY, "x")
        await settled(lambda: len(tried) == 1 and inquiries._inquiries[KEY].task is None)
    assert [("could not be read", "definitions of flags", "error")] == [
        (one["event"], one["what"], one["log_level"]) for one in logs
    ]

    stage.clock.advance(FLAGS.patience)
    inquiries.want(KEY, "x")
    await settled(lambda: inquiries.of(KEY, "x") is not None)
    assert ["x", "x"] == tried


async def test_a_request_under_way_is_known(stage: Stage) -> None:
    """Until it is answered it runs; and nothing is known of it once nobody asks for it."""
    call = Call(id="checkout-contract-1", hook="broker", method="POST", path="/verify", seconds=10.0, told={})
    known = partial(stage.questions.runs, KEY)

    before = known()
    stage.questions.calls.want(KEY, asked([call]))
    under_way = known()
    await settled(lambda: stage.questions.calls.last(KEY) is not None)
    answered = known()
    stage.questions.calls.forget(KEY)

    assert ({}, {call.id: RunView(RunState.RUNS)}) == (before, under_way)
    assert {call.id: RunState.UNMADE} == {job: view.state for job, view in answered.items()}
    assert {} == known()


@pytest.mark.parametrize(("state", "often"), [(RunState.COMPLETE, 1), (RunState.FAILED, 1), (RunState.UNMADE, 2)], ids=str)
async def test_an_answer_is_not_asked_for_again(stage: Stage, state: RunState, often: int) -> None:
    """A pass that began before it was there, and ends after, changes nothing; what could not be asked at all is asked again."""
    made: list[str] = []
    one, other = (asked([Call(id=of, hook="broker", method="GET", path="", seconds=1.0, told={})]) for of in ("x", "y"))

    async def answer(_namespace: str, value: str) -> list[Any]:
        made.append(value)
        return [{"metadata": {}, "job": value, "state": state.value}]

    calls = Inquiries(CALLS, stage.cluster, clock=stage.clock, arrived=lambda _: None, read=answer)
    calls.want(KEY, one)
    await settled(lambda: calls.of(KEY, one) is not None)
    stage.clock.advance(CALLS.longest)
    calls.want(KEY, one)
    await settled(lambda: not reading())

    assert [one] * often == made
    calls.want(KEY, other)
    await settled(lambda: calls.of(KEY, other) is not None)
    assert other == made[-1]


async def test_a_request_under_way_is_not_made_again_as_another_joins_it(stage: Stage) -> None:
    """Given a check's request that is under way, one of another check of the Release comes after its answer, which counts."""
    made, answers = list[tuple[str, ...]](), asyncio.Event()

    async def answered(_: str, wanted: str) -> list[Any]:
        made.append(ids_of(wanted))
        await answers.wait()
        return [{"metadata": {}, "job": one, "state": RunState.COMPLETE.value, "uid": "", "words": ""} for one in made[-1]]

    calls = Inquiries(CALLS, stage.cluster, clock=stage.clock, arrived=lambda _: None, read=answered)
    told: dict[str, str] = {}
    after, before = (Call(id=one, hook="broker", method="POST", path="", seconds=30.0, told=told) for one in ("after", "before"))
    calls.want(KEY, asked([after]))
    await settled(lambda: made == [("after",)])
    calls.want(KEY, asked([after, before]))
    answers.set()
    await settled(lambda: not reading())
    # A pass that began before the answer came.
    calls.want(KEY, asked([after, before]))
    assert not reading()
    assert ["after"] == [one["job"] for one in calls.last(KEY) or ()]

    calls.want(KEY, asked([before]))
    await settled(lambda: not reading())

    assert [("after",), ("before",)] == made
