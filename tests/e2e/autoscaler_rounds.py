"""What is done to a shop under an autoscaler in each phase of a rollout: its load rises and falls, and it is rolled back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Final

from e2e import manifests
from e2e.autoscaler_measures import Answer, account, overdue, seconds_short
from e2e.busy_shop import BusyShop
from e2e.manifests import Json, step
from e2e.metrics_api import WINDOW
from e2e.story import HELD, Given, Then, When
from e2e.world import PATIENCE, World
from tidegate.api.names import FIELD_MANAGER
from tidegate.cluster.resources import HORIZONTAL_POD_AUTOSCALERS
from tidegate_sandbox.controlplane import AUTOSCALER_SECONDS

COUNTED: Final = 2 * (WINDOW + AUTOSCALER_SECONDS)
"""Seconds until the autoscaler has counted pods that have become ready."""
LOOKED_AT: Final = 20.0
"""Seconds for which pods are waited for that may never come."""
USUAL: Final = 4
"""Pods that the load is for at rest, and the fewest that the autoscaler keeps."""
MOMENTS: Final = (0.0, WINDOW / 3, 2 * WINDOW / 3)
"""Seconds into a window of the metrics at which the load rises."""


@dataclass(frozen=True)
class Phase:
    """Where a rollout is while the load changes.

    Attributes:
        name: in the table.
        steps: of the policy; the rollout is held at the first. None where there is no Release at all.
        hidden: the load that idle pods hide from the autoscaler, which takes it for :data:`USUAL`; None where there are none.
        request: what a person asks for at the first step.
        becomes: the phase of the Release that this leads to.
    """

    name: str
    steps: tuple[Json, ...] | None
    hidden: float | None = None
    request: str = ""
    becomes: str = ""

    @property
    def on_its_way(self) -> bool:
        """Whether there is a rollout that can be rolled back."""
        return self.steps is not None and self.becomes != "RolledBack"

    @property
    def rises(self) -> tuple[tuple[str, float], ...]:
        """To what the load rises, in words and pods: to what is hidden, and to twice of what it was."""
        loads = sorted({self.hidden or 0.0, 2.0 * USUAL} - {0.0})
        return tuple((f"rises to {load / USUAL:.0%}" if load < 2 * USUAL else DOUBLES, load) for load in loads)


DOUBLES: Final = "doubles"
HALVES: Final = "halves"
DOUBLES_AT_ROLLBACK: Final = "doubles at the rollback"


def _at(weight: int) -> tuple[Json, ...]:
    return (step(weight, HELD), step(100))


PREVIEW: Final = Phase("preview: weight 0, 100% idle pods", (step(0, HELD, replicas="100%"), step(100)), 8.0)
PHASES: Final = (
    Phase("no rollout, no operator", None),
    PREVIEW,
    Phase("weight 5", _at(5), 5.0),
    Phase("weight 25", _at(25), 5.0),
    Phase("weight 50", _at(50), 6.0),
    Phase("weight 90", _at(90), 8.0),
    Phase("bake", (step(100, HELD),), 8.0),
    Phase("preview, paused", PREVIEW.steps, 8.0, "pause", "Paused"),
    Phase("rolled back, at rest", _at(50), None, "rollback", "RolledBack"),
)


async def come_to(phase: Phase, world: World, shop: BusyShop, *, replicas: int) -> None:
    """Bring a shop under an autoscaler into a phase of a rollout, with as many busy pods as its load is for.

    Ends once the autoscaler counts the pods of the new version, too.
    """
    given, when, then = Given(world), When(world), Then(world)
    await world.apply(manifests.service())
    await world.apply(manifests.route(world.host))
    await shop.deploy("v1")
    await when.scaled_to(replicas)
    await shop.steady(replicas, seconds=1, within=PATIENCE)
    await shop.autoscale(least=USUAL)
    if phase.steps is not None:
        await given.a_policy(*phase.steps)
        await given.a_release()
        await shop.steady(replicas, seconds=COUNTED, within=PATIENCE)
        await shop.deploy("v2")
        await then.the_route_carries(phase.steps[0]["weight"])
    if phase.request:
        await when.asked_to(phase.request)
        await then.the_phase_is(phase.becomes)
    await world.history.until(lambda: False, within=COUNTED)
    await shop.steady(replicas, seconds=COUNTED, within=PATIENCE)


@dataclass(frozen=True)
class Round:
    """The changes of the load in one phase, and what they come to.

    Attributes:
        phase: the phase.
        world: a namespace that an operator serves, or none.
        shop: the shop there.
        corrected: whether the operator sees autoscalers; None where there is no operator.
        answers: what was measured.
    """

    phase: Phase
    world: World
    shop: BusyShop
    corrected: bool | None
    answers: list[Answer] = field(default_factory=list)

    async def run(self) -> None:
        """Let the load halve; let it rise at several moments within a window, and fall again; let it double at the rollback."""
        await come_to(self.phase, self.world, self.shop, replicas=2 * USUAL)
        self.answers.append(await self.fall())
        for change, load in self.phase.rises:
            for into in MOMENTS:
                risen = await self.rise(change, load, into=into)
                self.answers.append(risen)
                fallen = await self.fall()
                if risen.followed and change == DOUBLES:
                    self.answers.append(fallen)
        if self.phase.on_its_way:
            self.answers.append(await self.rise_at_rollback())

    async def rise(self, change: str, load: float, *, into: float = 0.0) -> Answer:
        """Let the load rise, and wait for the pods; return how they followed."""
        since = await self.shop.becomes(load, into=into)
        return await self._followed(change, load, since, into=into)

    async def rise_at_rollback(self) -> Answer:
        """Let the load double in the very moment of the rollback; return how the pods of the old version followed."""
        load, since = 2.0 * USUAL, self.shop.looks[-1].at
        await When(self.world).asked_to("rollback")
        await self.shop.becomes(load)
        await Then(self.world).the_phase_is("RolledBack")
        return await self._followed(DOUBLES_AT_ROLLBACK, load, since)

    async def fall(self) -> Answer:
        """Let the load become the usual, and wait until the number of pods has followed; return whether they were too few."""
        since = await self.shop.becomes(float(USUAL))
        await self.shop.steady(USUAL, seconds=COUNTED + WINDOW, within=PATIENCE)
        return self._answer(HALVES, float(USUAL), since)

    async def _followed(self, change: str, load: float, since: float, *, into: float = 0.0) -> Answer:
        if await self.shop.settled(within=LOOKED_AT):
            # Enough pods are not enough for good before the autoscaler has counted them.
            await self.world.history.until(lambda: False, within=COUNTED)
        return self._answer(change, load, since, into=into)

    def _answer(self, change: str, load: float, since: float, *, into: float = 0.0) -> Answer:
        looks, followed = self.shop.since(since), self.shop.enough(seconds=1.0)
        seconds = (seconds_short(looks), overdue(looks, load), overdue(looks, load, lacks=attrgetter("small")))
        answer = Answer(self.phase.name, change, self.corrected, into, *(seconds if followed else (math.inf,) * 3))
        print(f"{answer}\n{account(looks)}", flush=True)
        return answer


async def never_written(worlds: Iterable[World], *, accounts: str) -> None:
    """No operator wrote an autoscaler: by the objects' own account, and by the audit log.

    Args:
        worlds: whose autoscalers, all in one cluster.
        accounts: how the names of the operators' users begin.
    """
    logs = set[Path]()
    for world in worlds:
        found = await world.cluster.get(HORIZONTAL_POD_AUTOSCALERS.path(world.namespace, manifests.NAME))
        assert FIELD_MANAGER not in {entry["manager"] for entry in found["metadata"]["managedFields"]}
        logs.add(world.info.audit_log)
    lines = [line for log in logs for line in log.read_text().splitlines() if HORIZONTAL_POD_AUTOSCALERS.plural in line]
    entries = [entry for line in lines if (entry := json.loads(line))["user"]["username"].startswith(accounts)]
    about = [e for e in entries if e.get("objectRef", {}).get("resource") == HORIZONTAL_POD_AUTOSCALERS.plural]
    assert {entry["verb"] for entry in about} <= {"get", "list", "watch"}
