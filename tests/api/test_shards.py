"""Three operators that share the Releases of one installation out: who works on which, who takes over, and that never two write."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from api.cluster_access import apply, kubectl, needs_api
from api.fault_proxy import Seen, fault_proxy
from api.manifests import DEPLOY, by_name
from api.operator_access import Scene, install, scene_in
from operator_process import Operator
from tidegate.cluster.resources import DEPLOYMENTS, LEASES, RELEASES
from tidegate.runtime.sharding import shard_of

T = TypeVar("T")
pytestmark = needs_api

COUNT = 3
LEASE = 3.0
"""Seconds; short, so that nobody has to wait long for one to run out."""
ELECTION = {"leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"}
FAILOVER = LEASE + 6.0
"""Seconds within which somebody else works on what a replica had that is gone, on a machine that has much else to do."""
EACH = 2
"""Releases of each shard."""


@dataclass
class Fleet:
    """Three replicas for one namespace, each behind a proxy of its own."""

    scenes: list[Scene]

    @property
    def scene(self) -> Scene:
        """The namespace."""
        return self.scenes[0]

    @property
    def names(self) -> list[str]:
        """The names of the Releases, so many of each shard."""
        found: dict[int, list[str]] = {shard: [] for shard in range(COUNT)}
        for name in (f"service-{number}" for number in range(100)):
            found[self.shard(name)].append(name)
        return [name for names in found.values() for name in names[:EACH]]

    def shard(self, name: str) -> int:
        """Return the shard of a Release."""
        return shard_of(self.scene.namespace, name, COUNT)

    async def start(self, which: int, *, shards: int = COUNT) -> Operator:
        """Start a replica behind one of the proxies."""
        election = ELECTION | {"namespace": self.scene.namespace}
        return await self.scenes[which].start(leaderElection=election, shards=shards)

    async def work(self) -> None:
        """Create what there is to work on: a Release in each shard at least."""
        await self.scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
        for name in self.names:
            await self._deployment(name)
            spec = {"targetRef": {"name": name}, "policyRef": {"name": "production"}}
            await self.scene.create(RELEASES, name, spec=spec)

    async def _deployment(self, name: str) -> None:
        labels = {"app": name}
        pod = {
            "containers": [{"name": "app", "image": "shop:v1"}],
            "nodeSelector": {"type": "kwok"},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 1,
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        await self.scene.create(DEPLOYMENTS, name, spec=spec)

    async def holders(self) -> dict[int, str]:
        """Return who holds each shard's Lease, by the name of the replica; empty for nobody."""
        found = {}
        for shard in range(COUNT):
            lease = await self.scene.admin.get(LEASES.path(self.scene.namespace, f"tidegate-shard-{shard}"))
            found[shard] = str(lease["spec"].get("holderIdentity") or "").rpartition("_")[2].partition(".")[0]
        return found

    async def works_on(self, operator: Operator) -> set[int]:
        """Return the shards that a replica says it works on."""
        _, text = await operator.ask("/metrics")
        lines = (line for line in text.splitlines() if line.startswith('tidegate_shard_held{shard="') and line.endswith(" 1.0"))
        return {int(line.split('"')[1]) for line in lines}

    async def shared(self, *operators: Operator, within: float) -> list[set[int]]:
        """Wait until these replicas have all shards between them, each once, none more than its share, and return who has which."""
        share = -(-COUNT // len(operators))

        async def look() -> list[set[int]]:
            return [await self.works_on(operator) for operator in operators]

        def holds(found: list[set[int]]) -> bool:
            return sorted(shard for one in found for shard in one) == [*range(COUNT)] and max(map(len, found)) <= share

        return await until(look, holds, within=within)

    def writes(self, which: int) -> list[Seen]:
        """Return what the replica behind one of the proxies has written, but for Leases."""
        return [one for one in self.scenes[which].proxy.writes() if "/leases" not in one.path]

    def turns(self, name: str) -> list[int]:
        """Return who wrote the status of a Release, in order, each as often as it was another one's turn."""
        path = f"/releases/{name}/status"
        whole = sorted((one.at, which) for which in range(len(self.scenes)) for one in self.writes(which) if path in one.path)
        return [which for at, (_, which) in enumerate(whole) if at == 0 or whole[at - 1][1] != which]

    async def roll_out(self, number: int) -> None:
        """Change the template of each workload."""
        ops = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"shop:v{number}"}]
        for name in self.names:
            await self.scene.admin.json_patch(DEPLOYMENTS.path(self.scene.namespace, name), ops, manager="kubectl")

    async def all_are(self, holds: Callable[[dict[str, Any]], bool], *, within: float) -> None:
        """Wait until the status of each Release is as wanted."""

        async def look() -> list[dict[str, Any]]:
            found = [await self.scene.admin.get(RELEASES.path(self.scene.namespace, name)) for name in self.names]
            return [one.get("status") or {} for one in found]

        await until(look, lambda seen: all(map(holds, seen)), within=within)

    async def busy(self) -> None:
        """Change all templates again and again, so that whoever works has something to write."""
        number = 1
        while True:
            number += 1
            await self.roll_out(number)
            await asyncio.sleep(0.2)


async def until(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, within: float = 20.0) -> T:
    """Look until what is seen is as wanted, and return it."""
    seen: T | None = None
    try:
        async with asyncio.timeout(within):
            while not holds(seen := await look()):  # noqa: ASYNC110 - the other process has no event to wait for
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"after {within:g} s: {seen}") from None
    return seen


def lease_rights(folder: Path, namespace: str) -> str:
    """Return the rights to Leases that deploy/ gives with its component to replicas that share Releases out."""
    here = os.path.relpath(DEPLOY, folder)
    whole = {"resources": [f"{here}/operator"], "components": [f"{here}/components/shards"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    rendered = by_name(kubectl("kustomize", str(folder), "--load-restrictor=LoadRestrictionsNone"))
    wanted = [found for (kind, _), found in rendered.items() if kind in {"Role", "RoleBinding"}]
    for found in wanted:
        found["metadata"]["namespace"] = namespace
    return str(yaml.safe_dump_all(wanted))


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene, AsyncExitStack() as proxies:
        scenes = [scene]
        for number in range(1, COUNT):
            (folder := tmp_path / f"replica-{number}").mkdir()
            scenes.append(Scene(scene.admin, await proxies.enter_async_context(fault_proxy()), scene.namespace, folder))
        (folder := tmp_path / "rights").mkdir()
        await asyncio.to_thread(apply, lease_rights(folder.resolve(), scene.namespace))
        try:
            yield Fleet(scenes)
        finally:
            for one in scenes[1:]:
                for operator in one.operators:
                    await operator.end(signal.SIGKILL)


async def test_three_replicas_share_all_releases_and_one_that_is_killed_is_replaced(fleet: Fleet) -> None:
    """Given three replicas, each works on one shard; when one is killed, another has its Releases as soon as the Lease lets it."""
    await fleet.work()
    replicas = [await fleet.start(which) for which in range(COUNT)]
    before = await fleet.shared(*replicas, within=60)
    await fleet.all_are(lambda status: status.get("phase") == "Idle", within=30)

    author = asyncio.create_task(fleet.busy())
    await asyncio.sleep(1)
    began = time.monotonic()
    await replicas[0].end(signal.SIGKILL)
    after = await fleet.shared(*replicas[1:], within=FAILOVER)
    seconds = time.monotonic() - began
    author.cancel()
    await fleet.roll_out(99)
    await fleet.all_are(lambda status: status.get("weight") == 50, within=60)

    print(f"SIGKILL, with a lease of {LEASE:g} s: the shard has another holder after {seconds:.3f} s")
    assert all(len(one) == 1 for one in before)
    for index, had in enumerate(before[1:]):
        assert had <= after[index], "a shard has moved without need"
    for name in fleet.names:
        turns = fleet.turns(name)
        assert len(turns) == len(set(turns)), f"{name}: {turns}"
        assert fleet.shard(name) in after[turns[-1] - 1], f"{name} was last written by {turns[-1]}, who does not hold its shard"


async def test_replica_that_was_stopped_writes_nothing_when_it_goes_on(fleet: Fleet) -> None:
    """Given a replica that stands still for longer than its Leases, it has lost its shard and writes nothing of it any more."""
    await fleet.work()
    replicas = [await fleet.start(which) for which in range(COUNT)]
    before = await fleet.shared(*replicas, within=60)
    await fleet.all_are(lambda status: status.get("phase") == "Idle", within=30)
    author = asyncio.create_task(fleet.busy())
    await asyncio.sleep(1)

    os.kill(pid_of(replicas[0]), signal.SIGSTOP)
    await fleet.shared(*replicas[1:], within=FAILOVER)
    stopped = len(fleet.writes(0))
    os.kill(pid_of(replicas[0]), signal.SIGCONT)
    await replicas[0].told("lost a shard")
    assert stopped == len(fleet.writes(0))
    await fleet.shared(*replicas, within=60)
    author.cancel()
    await fleet.roll_out(99)
    await fleet.all_are(lambda status: status.get("weight") == 50, within=60)

    assert replicas[0].running
    assert "Traceback" not in replicas[0].tail(2000)
    lost = next(iter(before[0]))
    for name in fleet.names:
        turns = fleet.turns(name)
        assert len(turns) <= (3 if fleet.shard(name) == lost else 2), f"{name}: {turns}"


async def test_replica_that_comes_gets_its_share_and_one_that_is_told_to_end_hands_over(fleet: Fleet) -> None:
    """Given one replica with all shards, each that comes is given its share, and each that goes gives it back, without a gap."""
    await fleet.work()
    first = await fleet.start(0)
    await fleet.shared(first, within=60)
    await fleet.all_are(lambda status: status.get("phase") == "Idle", within=30)

    second = await fleet.start(1)
    (kept, given) = await fleet.shared(first, second, within=30)
    status, _ = await second.end(signal.SIGTERM)
    await fleet.shared(first, within=5)

    assert (2, 1) == (len(kept), len(given))
    assert 0 == status
    assert "hands a shard over" in second.tail(2000)
    assert "nothing was missed" in first.tail(2000)


async def test_replicas_with_another_number_of_shards_stand_by(fleet: Fleet) -> None:
    """Given replicas of three shards, a single leader and replicas of two write nothing until the last of these is gone."""
    await fleet.work()
    first = await fleet.start(0)
    await fleet.shared(first, within=60)
    await fleet.all_are(lambda status: status.get("phase") == "Idle", within=30)

    single, other = await fleet.start(1, shards=1), await fleet.start(2, shards=2)
    (_, single_says), (_, other_says) = await single.ask("/readyz"), await other.ask("/readyz")
    await fleet.roll_out(2)
    await fleet.all_are(lambda status: status.get("weight") == 50, within=60)
    assert ([], []) == (fleet.writes(1), fleet.writes(2))
    await other.end(signal.SIGTERM)
    await first.end(signal.SIGTERM)
    await single.told("serving")

    assert "standby; the lease" in single_says
    assert "is held by 3 shards" in single_says
    assert "is held by 3 shards" in other_says


def pid_of(operator: Operator) -> int:
    """Return the id of an operator's process."""
    assert operator._process is not None
    return operator._process.pid
