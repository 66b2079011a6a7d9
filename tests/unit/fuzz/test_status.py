"""Whatever stands in the status of a Release, it is read, mended and decided on; at worst something is forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import hypothesis.strategies as st
from hypothesis import example, given

from simulation.policies import at_weight, gate, policy, step
from simulation.world import World
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.parsing import stored_status
from tidegate.controller.reconcile.status_patch import difference, weigh
from tidegate.engine.decide import decide
from tidegate.engine.repair import moved, repaired
from tidegate.engine.snapshot import Snapshot
from unit.controller.api_server import merge_patch
from unit.controller.objects import NAME, NAMESPACE
from unit.fuzz.effort import fuzz
from unit.fuzz.shapes import anything, damaged, texts

COUNTED = gate("counted", metric={"preset": {"source": "HTTP", "measure": "ErrorRate"}}, threshold={"max": 0.05}, judge="Evidence")
SPEC = policy(step(10, "4s"), step(100), gates=(gate(), COUNTED, gate("slow", "Pause")), bake="3s")


@cache
def snapshots() -> tuple[Snapshot, ...]:
    """Snapshots of a rollout that is promoted, of one that is paused, and of one that is rolled back."""
    found: list[Snapshot] = []
    for quality, seconds in (({}, 40), ({"slow": 0.5}, 8), ({"errors": 0.5}, 20)):
        world = at_weight(10, SPEC)
        world.quality |= quality
        _follow(world, seconds, found)
    return tuple(found)


def _follow(world: World, seconds: int, found: list[Snapshot]) -> None:
    for _ in range(seconds):
        world.crank(1)
        assert world.last is not None
        found.append(world.last.snapshot)


@cache
def statuses() -> list[Any]:
    """The statuses of these snapshots in their wire form, each once."""
    different = {json.dumps(snapshot.status.to_wire(), sort_keys=True) for snapshot in snapshots()}
    return [json.loads(text) for text in sorted(different)]


def stored(status: Any) -> ReleaseStatus:
    return stored_status({"metadata": {"namespace": NAMESPACE, "name": NAME}, "status": status})


def check(snapshot: Snapshot, status: ReleaseStatus) -> None:
    """Decide, and check that the plan is one that can be stored."""
    now = snapshot.status.conditions[0].last_transition_time + timedelta(seconds=1)
    plan = decide(replace(snapshot, status=status), now)

    wire = plan.status.to_wire()
    json.dumps(wire, allow_nan=False)
    ReleaseStatus.model_validate(wire)
    assert plan.status.message
    assert plan.status.conditions


@fuzz(200)
@given(st.data())
def test_damaged_status_is_decided_on(data: st.DataObject) -> None:
    """Given the status of some moment of a rollout with other JSON in a few places, it is decided on as far as it goes."""
    status = data.draw(damaged(statuses()).filter(lambda one: isinstance(one, dict)))
    snapshot = data.draw(st.sampled_from(snapshots()))

    check(snapshot, stored(status))


@fuzz(100)
@given(st.dictionaries(st.sampled_from(sorted(ReleaseStatus.model_json_schema()["properties"])), anything))
@example({"conditions": [{"type": "Ready", "status": "True", "reason": "x", "lastTransitionTime": "0001-01-01T00:00:00+14:00"}]})
def test_status_of_any_json_is_decided_on(status: dict[str, Any]) -> None:
    """Given a status in which any JSON stands in any field, the Release is decided on."""
    check(snapshots()[0], stored(status))


@fuzz(100)
@given(texts, st.integers(0, 2000))
def test_state_of_a_test_that_is_none_is_begun_anew(state: str, cut: int) -> None:
    """Given a gate whose stored test is cut off or is any text, its test begins anew."""
    snapshot = next(one for one in reversed(snapshots()) if any(g.evidence and g.evidence.state for g in one.status.gates))
    wire = snapshot.status.to_wire()
    for found in wire["gates"]:
        if found.get("evidence"):
            found["evidence"]["state"] = state or found["evidence"]["state"][:cut]

    check(snapshot, stored(wire))


@fuzz(60)
@given(st.data())
def test_mended_status_stays_mended(data: st.DataObject) -> None:
    """A damaged status is mended once, and can be put off by any time."""
    status = stored(data.draw(damaged(statuses()).filter(lambda one: isinstance(one, dict))))
    now = snapshots()[0].status.conditions[0].last_transition_time

    once = repaired(status, now)

    assert once == repaired(once, now)
    for seconds in (-1e12, -1.0, 1.0, 1e12):
        moved(once, timedelta(seconds=seconds))


@fuzz(60)
@given(st.data())
def test_difference_to_any_status_can_be_stored(data: st.DataObject) -> None:
    """The patch from whatever is stored to what was decided gives what was decided, and how much it matters can be told."""
    before = data.draw(damaged(statuses()).filter(lambda one: isinstance(one, dict)))
    after = data.draw(st.sampled_from(statuses()))

    weigh(before, after)

    assert after == merge_patch(before, difference(before, after))
