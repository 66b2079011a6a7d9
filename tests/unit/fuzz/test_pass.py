"""A whole pass over a Release among odd objects: it ends as passes end, and never by an error that nobody has thought of."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from structlog.testing import capture_logs

from tidegate.api.names import LABEL_RELEASE
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.references import References
from tidegate.controller.observe.relations import Relations
from tidegate.runtime.errors import Outcome, outcome_of
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.api_server import ApiServer
from unit.controller.objects import NAME, NAMESPACE
from unit.controller.stage import DEPLOYMENT_PATH, KEY, PATH, Stage
from unit.fuzz import shapes
from unit.fuzz.effort import fuzz
from unit.fuzz.shapes import Json, anything, damaged, laid_over

PASSES = 6
DRAWN = {
    "Deployment": shapes.deployments,
    "ReplicaSet": shapes.replica_sets,
    "Service": shapes.services,
    "EndpointSlice": shapes.slices,
    "HTTPRoute": shapes.routes,
}
odd_objects = st.dictionaries(st.sampled_from(sorted(DRAWN)), st.none(), min_size=1, max_size=2).flatmap(
    lambda kinds: st.fixed_dictionaries({kind: st.lists(DRAWN[kind], min_size=1, max_size=3) for kind in kinds})
)
strangers = st.lists(shapes.autoscalers | shapes.pods, max_size=2)
notes = st.none() | shapes.originals | shapes.texts.map(lambda text: text[:8192])


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """A loop for all examples: one for each would cost more than the passes."""
    with asyncio.Runner() as runner:
        yield runner


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Open a stage with an API server of its own."""
    api = ApiServer()
    await api.server.start_server()
    stage = Stage(api)
    try:
        with capture_logs() as lines:
            yield stage
    finally:
        await stage.close()
        await api.server.close()
    # What is caught somewhere and logged as an error is a bug all the same.
    assert [] == [line for line in lines if line["log_level"] in {"error", "critical"}]


@dataclass(frozen=True)
class Oddities:
    """What is odd about a stage.

    Attributes:
        drawn: by kind, what differs from the objects that are there.
        strangers: objects besides.
        note: what the status has noted of the route.
        status: the whole status.
        value: what the gate reads.
        rolling: whether a rollout is on.
    """

    drawn: dict[str, list[Json]] = field(default_factory=dict)
    strangers: Sequence[Json] = ()
    note: str | None = None
    status: Any = None
    value: float | None = 0.0
    rolling: bool = True


async def passes(odd: Oddities) -> None:
    """Make a few passes, and check that what is stored is what the schema allows."""
    async with staged() as stage:
        if odd.rolling:
            stage.at_ten_percent()
        else:
            stage.adopted()
        _furnish(stage, odd)
        stage.values["error-rate"] = odd.value
        for _ in range(PASSES):
            await _pass(stage)
            stage.clock.advance(3.0)
        ReleaseStatus.model_validate(stage.status)


def _furnish(stage: Stage, odd: Oddities) -> None:
    left = {kind: list(found) for kind, found in odd.drawn.items()}
    for obj in list(stage.api.objects.values()):
        if left.get(obj["kind"]):
            _put(stage, laid_over(obj, left[obj["kind"]].pop()))
    for obj in odd.strangers:
        _put(stage, obj)
    release = copy.deepcopy(stage.api.objects[PATH])
    if odd.note is not None:
        release["status"]["originalRules"] = [{"route": NAME, "rule": 0, "backendRefs": odd.note}]
    _put(stage, release if odd.status is None else {**release, "status": odd.status})


def _put(stage: Stage, obj: Json) -> None:
    """Store an object; whom it names as its owners are those that are there."""
    obj = copy.deepcopy(obj)
    there = {"release": stage.api.objects[PATH], "deployment": stage.api.objects[DEPLOYMENT_PATH]}
    for owner in obj["metadata"].get("ownerReferences", []):
        if owner["uid"] in there:
            owner["uid"] = there[owner["uid"]]["metadata"]["uid"]
    stage.add({**obj, "metadata": {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}})


async def _pass(stage: Stage) -> None:
    try:
        await stage.reconciler.reconcile(KEY)
        await stage.look()
    except Exception as error:
        if outcome_of(error) is Outcome.BUG:
            raise


oddities = st.builds(
    Oddities,
    drawn=odd_objects,
    strangers=strangers,
    note=notes,
    value=st.sampled_from([0.0, 0.5, None, float("inf")]),
    rolling=st.booleans(),
)


@fuzz(120)
@given(odd=oddities)
def test_odd_objects_end_no_pass_by_a_bug(runner: asyncio.Runner, odd: Oddities) -> None:
    """Given a Deployment, ReplicaSets, Services, slices, a route, autoscalers and pods as odd as the API server lets them be."""
    runner.run(passes(odd))


async def status_at_ten_percent() -> Any:
    """Return the status of that rollout in its wire form."""
    async with staged() as stage:
        stage.at_ten_percent()
        return stage.status


@fuzz(40)
@given(data=st.data())
def test_odd_status_ends_no_pass_by_a_bug(runner: asyncio.Runner, data: st.DataObject) -> None:
    """Given the status of a rollout with other JSON in a few places, whatever a person with an editor may have written."""
    status = runner.run(status_at_ten_percent())

    damage = data.draw(damaged([status]).filter(lambda one: isinstance(one, dict)))

    runner.run(passes(Oddities(status=damage)))


@fuzz(30)
@given(data=st.data())
def test_odd_release_and_policy_end_no_pass_by_a_bug(runner: asyncio.Runner, data: st.DataObject) -> None:
    """Given specs that no schema has looked at, as under an older CustomResourceDefinition, the Release says what is wrong."""
    release, policy = (data.draw(damaged([one["spec"]])) for one in (objects.release(), objects.policy()))
    annotations = {"tidegate.dev/request": data.draw(shapes.texts)}

    async def story() -> None:
        async with staged() as stage:
            stage.adopted()
            stage.add({**objects.policy(), "spec": policy})
            stage.add({**objects.release(metadata={"annotations": annotations}), "spec": release})
            for _ in range(3):
                await _pass(stage)
            assert stage.status["conditions"]

    runner.run(story())


@fuzz(60)
@given(anything)
def test_json_of_any_shape_is_no_reason_to_lose_a_release(spec: Any) -> None:
    """Whatever stands where a Release's spec should be, what it names is looked up without an error."""
    references = References(Relations(Routers.all()))
    release = {"metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {LABEL_RELEASE: NAME}}, "spec": spec}

    references.learn(KEY, release)
    references.learn(KEY, None)

    assert json.dumps(spec) is not None


async def test_what_nobody_has_thought_of_stands_in_the_status() -> None:
    """Given an object that no API server would let through, the Release says that the operator fails, and the error is not lost."""
    async with staged() as stage:
        stage.adopted()
        stage.add({**objects.deployment(), "spec": {}})

        with pytest.raises(KeyError):
            await stage.reconciler.reconcile(KEY)

        assert ("True", "InternalError") == stage.stalled[:2]
        assert "internal error (KeyError)" in stage.stalled[2]
