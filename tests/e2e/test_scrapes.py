"""Scrapes as they are in production: rarer than looks, each pod at an instant of its own, or not any more.

Each test tells its stories side by side, since most of their time is spent waiting for scrapes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from api.cluster_client_access import fresh_namespace
from e2e import invariants
from e2e.history import History
from e2e.manifests import Json, Pods, exact_gate, step
from e2e.operator_process import Operator
from e2e.prometheus_stand_in import StandIn
from e2e.real_prometheus import RealPrometheus
from e2e.story import Given, Then, When, on_the_cluster
from e2e.world import World, canary_share
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import PODS
from tidegate_sandbox.cluster import ClusterInfo

pytestmark = [*on_the_cluster, pytest.mark.timeout(900)]

SCRIPTED = ("/usr/bin/env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable, "-m", "e2e.scripted_service")
ALL_STORIES = "TIDEGATE_SLOW_SCRAPES"
"""Variable of the environment that asks for the story that takes seven minutes, too."""
NOTHING_COUNTED = "no request of the new version has been counted since"
RATE = 20
"""Requests a second of each shop."""
SHARE = 25
"""Share of the new version, in percent: 5 requests a second."""
_WELL = "-is-well"
SLACK = 90.0
"""Seconds that a busy machine may take besides all scrapes and looks."""


@dataclass(frozen=True)
class Stage:
    """Where one story plays.

    Attributes:
        world: a namespace of its own.
        prometheus: scrapes its pods.
        look: seconds between two looks.
        well: while this file exists, the new version is well.
    """

    world: World
    prometheus: RealPrometheus
    look: int
    well: Path

    @property
    def told(self) -> str:
        """What the figures of the story are told with."""
        return f"{self.well.name.removesuffix(_WELL)}, scrapes every {self.prometheus.seconds} s, looks every {self.look} s"

    @property
    def gate(self) -> Json:
        """At most a point more errors than stable, by the requests that the pods themselves have counted."""
        metric = {"preset": {"source": "HTTP", "measure": "ErrorRate"}}
        limit = {"maxIncrease": {"points": 1}}
        return {"name": "errors", "metric": metric, "versusStable": limit, "interval": f"{self.look}s"}

    @property
    def patience(self) -> float:
        """Seconds until a fault that is plain to see must be seen: three scrapes of each version and two looks."""
        return 3 * self.prometheus.seconds + 2 * self.look + SLACK

    @property
    def said(self) -> Json:
        """What the gate says in the status."""
        return next((gate for gate in self.world.status.get("gates", ()) if gate["name"] == "errors"), {})

    async def open(self, *more: Json, replicas: int, hold: str = "10s") -> None:
        """Open a shop that has run for a while: its pods were scraped, and its users are there."""
        world, given = self.world, Given(self.world)
        await given.an_app(pods=Pods.REAL, replicas=replicas, command=SCRIPTED)
        await given.a_policy(step(SHARE, hold), step(100), gates=(self.gate, *more), progressDeadline="20m")
        await given.a_release()
        await given.load(rate=RATE)
        pods = [pod["metadata"]["name"] for pod in world.pods("v1")]
        await self.prometheus.scraped(pods, within=self.prometheus.seconds + SLACK)

    async def hide(self, version: str) -> None:
        """Have the pods of a version scraped no more."""
        pods = [pod["metadata"]["name"] for pod in self.world.pods(version)]
        for pod in pods:
            body = {"metadata": {"annotations": {"prometheus.io/scrape": "false"}}}
            await self.world.cluster.merge_patch(PODS.path(self.world.namespace, pod), body, manager="kubectl")
        await self.prometheus.without(pods, within=SLACK)

    async def shut(self, version: str) -> None:
        """A version is rolled back, at the first weight that it got."""
        await self.world.until(f"{version} is shut", lambda: self._outcome(version) == "RolledBack", within=self.patience)
        await Then(self.world).rolled_back_to("v1")
        Then(self.world).last_rollout_was("RolledBack", version, "gate errors: ", "100%", "less than 1 point above stable")
        print(f"{self.told}: {version} was shut after {self.seconds_with_traffic():.1f} s")

    @property
    def dark(self) -> bool:
        """Whether the gate says that nothing is counted any more, and since when."""
        return self.said.get("verdict") == "Undecided" and NOTHING_COUNTED in self.said["message"]

    async def nothing_is_counted(self) -> None:
        """The gate says so: after two minutes, or twice the time that lay between two requests that were counted."""
        await self.world.until(NOTHING_COUNTED, lambda: self.dark, within=120 + 4 * self.prometheus.seconds + SLACK)
        print(f"{self.told}: {self.said['message']}")

    async def stays_held(self) -> None:
        """The weight stays, although its hold is over and nobody objects, until a person rolls the version back."""
        world, when, then = self.world, When(self.world), Then(self.world)
        await then.the_status_says("step 1 of 2", "gate errors", NOTHING_COUNTED)
        await world.stays("held", lambda: world.status["weight"] == SHARE and self.dark, seconds=10)
        then.weights_were(SHARE)
        await when.asked_to("rollback")
        await then.rolled_back_to("v1")
        then.weights_were(SHARE, 0)

    def _outcome(self, version: str) -> str:
        last = self.world.status.get("lastRollout") or {}
        return str(last.get("outcome", "")) if last.get("version") == version and not self.world.status.get("candidate") else ""

    def seconds_with_traffic(self) -> float:
        """Return how long the last version that was shut had some."""
        shares = [(seen.at, canary_share(seen.object)) for seen in invariants.routes(self.world)]
        begun = [at for (_, before), (at, share) in pairwise(shares) if share > before]
        ended = [at for (_, before), (at, share) in pairwise(shares) if share < before]
        return ended[-1] - begun[-1]

    async def scraped_apart(self, version: str) -> bool:
        """Whether the pods of a version and those of v1 were scraped so far apart that no look can ever have seen both rise."""
        phases = []
        for one in ("v1", version):
            found = self.world.replica_set(one)
            assert found is not None
            revision = found["metadata"]["labels"]["pod-template-hash"]
            phases.append(await self.prometheus.phases(self.world.namespace, revision))
        gaps = [abs(stable - canary) for stable in phases[0] for canary in phases[1]]
        print(f"{self.told}: {version} was scraped {gaps[0]:.1f} s from v1")
        return all(self.look < gap < self.prometheus.seconds - self.look for gap in gaps)


@asynccontextmanager
async def stages(
    sandbox: ClusterInfo, admin: Cluster, kubeconfig: Path, folder: Path, looks: dict[str, int], *, scrapes: int
) -> AsyncIterator[dict[str, Stage]]:
    """Stages for some stories, by name, each with its seconds between looks; one operator and one Prometheus serve them all."""
    async with AsyncExitStack() as stack:
        namespaces = [await stack.enter_async_context(fresh_namespace(admin)) for _ in looks]
        prometheus = await stack.enter_async_context(RealPrometheus(sandbox, folder, namespaces, scrapes))
        stand_in = StandIn()
        await stand_in.start()
        stack.push_async_callback(stand_in.stop)
        connections = [
            {"name": "default", "address": prometheus.address, "timeout": "5s"},
            {"name": "stand-in", "address": stand_in.address, "timeout": "5s"},
        ]
        operator = Operator(folder, kubeconfig, namespaces, {"connections": connections})
        found = {}
        for (name, look), namespace in zip(looks.items(), namespaces, strict=True):
            history = await stack.enter_async_context(History(admin, namespace))
            world = World(sandbox, admin, namespace, history, operator, stand_in)
            stack.push_async_callback(world.clear)
            stack.push_async_callback(world.stop_load)
            found[name] = Stage(world, prometheus, look, folder / f"{name}{_WELL}")
        stack.push_async_callback(operator.kill)
        await operator.start()
        yield found
        for stage in found.values():
            await stage.world.stop_load()
            await invariants.check(stage.world)
        operator.check()
        assert 0 == await operator.stop(), operator.tail()


async def side_by_side(*stories: Coroutine[None, None, None]) -> None:
    """Tell stories side by side, each to its end; raises what has gone wrong in any of them."""
    ends = await asyncio.gather(*stories, return_exceptions=True)
    wrong = [end for end in ends if isinstance(end, BaseException)]
    if wrong:
        raise BaseExceptionGroup(f"{len(wrong)} of {len(stories)} stories", wrong)


async def fails_everything(stage: Stage) -> None:
    """A version that answers nothing but errors is shut."""
    given, when, then = Given(stage.world), When(stage.world), Then(stage.world)
    await stage.open(replicas=4)
    given.failing("v2")

    await when.the_image_becomes("v2", ERROR_RATE="1")

    await stage.shut("v2")
    then.weights_were(SHARE, 0)


async def scraped_in_other_looks(stage: Stage, *versions: str) -> None:
    """A version whose only pod is scraped in other looks than stable's only pod is shut.

    Nobody chooses when a pod is scraped: where the two were scraped together, the next version is tried. Each is shut.
    """
    given, when, then = Given(stage.world), When(stage.world), Then(stage.world)
    await stage.open(replicas=1)
    weights: list[float] = []
    for version in versions:
        given.failing(version)

        await when.the_image_becomes(version, ERROR_RATE="1")

        await stage.shut(version)
        weights += [SHARE, 0]
        then.weights_were(*weights)
        if await stage.scraped_apart(version):
            break


async def metrics_vanish(stage: Stage) -> None:
    """A version that was good, and fails everything once its pods are not scraped any more, keeps the weight that it has."""
    world, given, when, then = stage.world, Given(stage.world), When(stage.world), Then(stage.world)
    stage.well.touch()
    await given.prometheus(canary=0)
    await stage.open(exact_gate("objections", onBreach="Hold"), replicas=2, hold="1m")
    given.failing("v2")
    await when.the_image_becomes("v2", ERROR_RATE="1", WELL_FILE=str(stage.well))
    await then.the_route_carries(SHARE)
    # Somebody objects for as long as the new version is seen to be good: else it would be promoted, and rightly so.
    await when.prometheus_shows(canary=1)
    await world.until("20 requests count for the weight", lambda: stage.said.get("weightRequests", 0) >= 20, within=stage.patience)

    await stage.hide("v2")
    stage.well.unlink()

    await stage.nothing_is_counted()
    await when.prometheus_shows(canary=0)
    await then.the_gate_says("objections", "Pass")
    await stage.stays_held()


async def never_scraped(stage: Stage) -> None:
    """A version that fails everything, and whose pods are never scraped, keeps the weight that it has."""
    given, when, then = Given(stage.world), When(stage.world), Then(stage.world)
    await stage.open(replicas=2)
    given.failing("v2")

    await when.the_app_becomes(version="v2", env={"ERROR_RATE": "1"}, annotations={"prometheus.io/scrape": "false"})

    await then.the_route_carries(SHARE)
    await stage.nothing_is_counted()
    await stage.stays_held()


async def test_scrapes_every_15_seconds(sandbox: ClusterInfo, admin: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    """Pods are scraped every 15 s: what fails everything is shut, what vanishes is held, what is scraped in other looks is shut."""
    looks = {"fails": 5, "vanishes": 5, "apart": 1}
    async with stages(sandbox, admin, kubeconfig, tmp_path, looks, scrapes=15) as stage:
        await side_by_side(
            fails_everything(stage["fails"]),
            metrics_vanish(stage["vanishes"]),
            scraped_in_other_looks(stage["apart"], "v2", "v3", "v4"),
        )


async def test_scrapes_every_minute(sandbox: ClusterInfo, admin: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    """Pods are scraped every 60 s, as by default: shut, held, shut, as with every 15."""
    looks = {"fails": 30, "hidden": 30, "apart": 2}
    async with stages(sandbox, admin, kubeconfig, tmp_path, looks, scrapes=60) as stage:
        await side_by_side(
            fails_everything(stage["fails"]), never_scraped(stage["hidden"]), scraped_in_other_looks(stage["apart"], "v2", "v3")
        )


@pytest.mark.skipif(ALL_STORIES not in os.environ, reason=f"seven minutes, if {ALL_STORIES} asks for it")
async def test_metrics_vanish_that_were_scraped_every_minute(
    sandbox: ClusterInfo, admin: Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    """Pods are scraped every 60 s, until they are not: a version that was good is held."""
    async with stages(sandbox, admin, kubeconfig, tmp_path, {"vanishes": 30}, scrapes=60) as stage:
        await metrics_vanish(stage["vanishes"])
