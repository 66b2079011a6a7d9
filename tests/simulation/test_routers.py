"""Whole rollouts by each router: by those that there are, and by the example that CONTRIBUTING's recipe makes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest

from simulation.cluster import STABLE, USER, Backends, Route
from simulation.oracle import Oracle
from simulation.policies import gate, policy
from simulation.views import stage_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.api.status import Outcome
from tidegate.engine.plan import ShiftRoute
from tidegate.engine.snapshot import RouteStage, RouteView
from unit.traffic.samples import SAMPLES, Sample

STEPS = ({"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "5s"}, {"weight": 100})
every_router = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.router.kind.label)


class RoutedWorld(World):
    """A world whose routes are objects of a router's kind, which it reads and writes; the data plane takes the shares in them.

    What parents say of a route, and since when it is in force, is the world's own: not every kind has somebody who says so.
    """

    def __init__(self, sample: Sample, spec: dict[str, Any]) -> None:
        self.sample, self.router = sample, sample.router()
        super().__init__(spec, routes=("checkout",))
        for route in self.cluster.routes.values():
            route.backends = route.written = ((USER, 100),)

    def route_view(self, name: str) -> RouteView:
        told, route = super().route_view(name), self.seen.routes.get(name)
        raw = self.sample.route(route.backends) if route is not None else None
        view = self.router.observe(raw, name=name, namespace="shop", service=USER, known=self.status.original_rules)
        return replace(view, since=told.since, accepted=told.accepted, silent=told.silent, heard=told.heard)

    def backends_after(self, seen: Route, action: ShiftRoute) -> Backends:
        raw, (stage, weight) = self.sample.route(seen.backends), (action.stage, action.weight)
        patch = self.router.render(raw, stage=stage, weight=weight, originals=action.originals, service=USER, warm=action.warm)
        return self.sample.shares(raw if patch is None else jsonpatch.apply_patch(raw, patch))


def rolling(sample: Sample) -> RoutedWorld:
    """Return a world in which v2 has begun, watched by the oracle at every write and pass."""
    world = RoutedWorld(sample, policy(*STEPS, gates=(gate(),)))
    world.crank(10)
    oracle = Oracle(world)
    operate = world.operate

    def watched(*, crash_after: int | None = None) -> Any:
        oracle.passed(made := operate(crash_after=crash_after))
        oracle.instant()
        return made

    world.operate = watched  # type: ignore[method-assign]
    world.apply("v2")
    return world


def weights(world: World) -> tuple[int, ...]:
    return tuple(world.weights)


@every_router
def test_version_is_promoted(sample: Sample) -> None:
    """Given a version without a fault, it gets its steps through routes of the kind, and they are as their user wrote them then."""
    world = rolling(sample)

    assert world.crank(300, until=lambda: world.status.phase is Phase.IDLE and world.status.last_rollout is not None)

    assert world.status.last_rollout.outcome is Outcome.PROMOTED
    assert weights(world)[:4] == (0, 10, 50, 100)
    route = world.cluster.routes["checkout"]
    assert (route.backends, route.in_force) == (route.written, route.written)
    assert (world.status.original_rules, world.status.shifted_service) == ((), None)


@every_router
def test_version_is_rolled_back(sample: Sample) -> None:
    """Given a version that turns bad at half the traffic, its routes are shut at once, and put back."""
    world = rolling(sample)
    assert world.crank(120, until=lambda: world.status.weight == 50)
    notes = [(rule.of_kind, rule.route) for rule in world.status.original_rules]

    world.quality["errors"] = 0.5
    world.crank(10)
    shut = world.status.weight

    assert notes == [(sample.router.kind.label, "checkout")]
    assert shut == 0
    assert world.crank(300, until=lambda: world.status.phase is Phase.ROLLED_BACK and not world.status.original_rules)
    assert world.cluster.routes["checkout"].backends == world.cluster.routes["checkout"].written


@every_router
def test_route_that_is_written_over_is_split_again(sample: Sample) -> None:
    """Given a tool that applies the user's route amid a rollout, the weight comes back, and people are told what was written."""
    world = rolling(sample)
    assert world.crank(120, until=lambda: world.status.weight == 50)

    world.resync("checkout")
    world.crank(5)

    assert stage_of(world.cluster.routes["checkout"].backends) is RouteStage.SPLIT
    words = [notice.message for notice in world.notices if "overwritten" in notice.message]
    assert words
    assert words[0].startswith(f"{sample.router.kind.label} checkout: {sample.router.kind.written} was overwritten")


@every_router
def test_process_that_knows_nothing_goes_on_by_the_status(sample: Sample) -> None:
    """Given an operator that dies with the routes split, the next one puts back by the status what the user wrote."""
    world = rolling(sample)
    assert world.crank(120, until=lambda: world.status.weight == 50)
    stored = json.dumps(world.status.to_wire())

    world.die()
    world.delete()

    assert sample.router.kind.label in stored or sample is SAMPLES[0]
    assert world.crank(300, until=lambda: world.gone)
    assert world.cluster.routes["checkout"].backends == world.cluster.routes["checkout"].written
    assert STABLE not in dict(world.cluster.routes["checkout"].in_force)
