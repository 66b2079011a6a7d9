"""Two operators, of which one works: who takes over, how fast, from what, and that there are never two that write."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from api.cluster_access import apply, needs_api
from api.fault_proxy import Seen, fault_proxy
from api.manifests import kustomize
from api.operator_access import Scene, account_with, install, rules_of_deploy, scene_in
from operator_process import Operator
from tidegate.cluster.resources import LEASES

T = TypeVar("T")
pytestmark = needs_api

LEASE, RENEW = 3.0, 2.0
"""Seconds; short, so that nobody has to wait long for one to run out."""
ELECTION = {"leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"}
PROMPT = 2.0
"""Seconds from a signal that asks for the end to the next operator at work: less than a lease needs to run out, on a machine that
has much else to do. bench/handover.py measures it on one that has not."""
SLACK = 3.0
"""Seconds beyond the lease for the next one to notice, to look round and to begin, likewise."""


@dataclass
class Pair:
    """Two operators for one namespace, each behind a proxy of its own."""

    scenes: tuple[Scene, Scene]

    @property
    def scene(self) -> Scene:
        """The namespace."""
        return self.scenes[0]

    async def start(self, which: int, token: str | None = None, *, ready: bool = True) -> Operator:
        """Start an operator behind one of the proxies."""
        election = ELECTION | {"namespace": self.scene.namespace}
        return await self.scenes[which].start(token, ready=ready, leaderElection=election)

    async def begin(self) -> tuple[Operator, Operator]:
        """Start both; return the one that works and the one that stands by. The first one that is there works."""
        first = await self.start(0)
        await first.told("serving")
        second = await self.start(1)
        return first, second

    def writes(self, which: int) -> list[Seen]:
        """Return what the operators behind one of the proxies have written, but for the Lease."""
        return [one for one in self.scenes[which].proxy.writes() if "/leases" not in one.path]

    def turns(self) -> list[int]:
        """Return who wrote, in order, each as often as it was another one's turn."""
        whole = sorted((one.at, which) for which in (0, 1) for one in self.writes(which))
        return [which for at, (_, which) in enumerate(whole) if at == 0 or whole[at - 1][1] != which]

    async def lease(self) -> dict[str, Any]:
        """Return the spec of the Lease."""
        found = await self.scene.admin.get(LEASES.path(self.scene.namespace, "tidegate"))
        spec: dict[str, Any] = found["spec"]
        return spec

    async def work(self) -> None:
        """Create what there is to work on."""
        await self.scene.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}])
        await self.scene.deployment()
        await self.scene.release()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene, fault_proxy() as proxy:
        (folder := tmp_path / "second").mkdir()
        second = Scene(scene.admin, proxy, scene.namespace, folder)
        wanted = [found for (kind, _), found in kustomize(".").items() if kind in {"Role", "RoleBinding"}]
        for found in wanted:
            found["metadata"]["namespace"] = scene.namespace
        await asyncio.to_thread(apply, yaml.safe_dump_all(wanted))
        try:
            yield Pair((scene, second))
        finally:
            for operator in second.operators:
                await operator.end(signal.SIGKILL)


async def until(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, within: float = 20.0) -> T:
    """Look until what is seen is as wanted, and return it."""
    async with asyncio.timeout(within):
        while not holds(seen := await look()):  # noqa: ASYNC110 - the other process has no event to wait for
            await asyncio.sleep(0.02)
    return seen


async def takes_over(operator: Operator, since: float, *, within: float) -> float:
    """Wait until an operator works; return how many seconds after a moment of the wall clock it began."""
    line = await operator.told("serving")
    seconds = datetime.fromisoformat(line["timestamp"]).timestamp() - since
    assert seconds <= within, operator.tail()
    return seconds


async def busy(pair: Pair) -> None:
    """Change the template again and again, so that whoever works has something to write."""
    number = 1
    while True:
        number += 1
        await pair.scene.set_image(f"checkout:v{number}")
        await asyncio.sleep(0.15)


async def test_one_works_and_the_other_stands_by(pair: Pair) -> None:
    """Given two operators, both are ready and say what they are: one works, the other has filled its caches and writes nothing."""
    await pair.work()
    first, second = await pair.begin()
    await pair.scene.idle()

    (_, works), (_, stands_by) = await first.ask("/readyz"), await second.ask("/readyz")
    leads, follows = (await first.ask("/metrics"))[1], (await second.ask("/metrics"))[1]

    assert "[+] workers: running" in works
    assert "[+] leader election: leads; the lease" in works
    assert "[+] workers: standby" in stands_by
    assert "[+] leader election: standby; the lease" in stands_by
    assert f"[+] deployments.apps in {pair.scene.namespace}: Synced" in stands_by
    assert ("\ntidegate_leader 1.0\n" in leads, "\ntidegate_leader 0.0\n" in follows) == (True, True)
    assert "tidegate_release_weight_percent{" not in follows
    assert [0] == pair.turns()
    assert not pair.scenes[1].proxy.writes()


async def test_sigterm_hands_over_at_once(pair: Pair) -> None:
    """Told to end, the one that works gives the lease up when it has stopped writing, and the other works within a second."""
    await pair.work()
    first, second = await pair.begin()
    await pair.scene.idle()
    author = asyncio.create_task(busy(pair))
    await asyncio.sleep(1)

    began = time.time()
    status, _ = await first.end(signal.SIGTERM)
    seconds = await takes_over(second, began, within=PROMPT)
    await until(lambda: asyncio.sleep(0, pair.writes(1)), lambda seen: len(seen) > 3)
    author.cancel()

    print(f"SIGTERM: the next one works after {seconds:.3f} s")
    assert 0 == status
    assert [0, 1] == pair.turns()
    assert 2 == (await pair.lease())["leaseTransitions"]


async def test_killed_operator_is_followed_when_its_lease_has_run_out(pair: Pair) -> None:
    """Given a crash without a last word, the other works as soon as the lease allows it."""
    await pair.work()
    first, second = await pair.begin()
    await pair.scene.idle()
    author = asyncio.create_task(busy(pair))
    await asyncio.sleep(1)

    began = time.time()
    await first.end(signal.SIGKILL)
    seconds = await takes_over(second, began, within=LEASE + SLACK)
    await until(lambda: asyncio.sleep(0, pair.writes(1)), lambda seen: len(seen) > 3)
    author.cancel()

    print(f"SIGKILL, with a lease of {LEASE:g} s: the next one works after {seconds:.3f} s")
    assert [0, 1] == pair.turns()


async def test_operator_that_was_stopped_writes_nothing_when_it_goes_on(pair: Pair) -> None:
    """Given an operator that stands still for longer than its lease, it notices before its next write, and ends."""
    await pair.work()
    first, second = await pair.begin()
    await pair.scene.idle()
    author = asyncio.create_task(busy(pair))
    await asyncio.sleep(1)
    before = len(pair.writes(0))

    began = time.time()
    os.kill(pid_of(first), signal.SIGSTOP)
    seconds = await takes_over(second, began, within=LEASE + SLACK)
    await asyncio.sleep(LEASE)
    stopped = len(pair.writes(0))
    os.kill(pid_of(first), signal.SIGCONT)
    status = await first.ended(within=20)
    await asyncio.sleep(0.5)
    author.cancel()

    print(f"SIGSTOP, with a lease of {LEASE:g} s: the next one works after {seconds:.3f} s")
    assert 1 == status
    assert 0 < before <= stopped == len(pair.writes(0))
    assert [0, 1] == pair.turns()
    assert "lost leadership; exiting, so that Kubernetes restarts this replica" in first.tail()
    assert "Traceback" not in first.tail(1000)


@pytest.mark.parametrize("partition", [{"cut": True}, {"delay": 600.0}], ids=["refused", "silent"])
async def test_operator_that_cannot_reach_the_api_server_makes_room(pair: Pair, partition: dict[str, Any]) -> None:
    """Given one that has lost the API server, the other takes over; back, it sees that, writes nothing, and ends to stand by."""
    await pair.work()
    first, second = await pair.begin()
    await pair.scene.idle()
    author = asyncio.create_task(busy(pair))
    await asyncio.sleep(1)

    began = time.time()
    away = pair.scenes[0].proxy.fault("", ".", **partition)
    pair.scenes[0].proxy.sever()
    seconds = await takes_over(second, began, within=LEASE + SLACK)
    assert "writes nothing until the lease can be renewed" in (await first.ask("/readyz"))[1]
    pair.scenes[0].proxy.mend(away)
    status = await first.ended(within=60)
    third = await pair.start(0)
    await asyncio.sleep(0.5)
    author.cancel()

    print(f"partition, with a lease of {LEASE:g} s: the next one works after {seconds:.3f} s")
    assert 1 == status
    assert "[+] workers: standby" in (await third.ask("/readyz"))[1]
    assert [0, 1] == [which for which in pair.turns() if [one for one in pair.writes(which) if one.status]]


async def test_who_takes_over_knows_what_was_done_last(pair: Pair) -> None:
    """Given a standby whose watches have died, it looks at all statuses anew before its first write, and goes on from there."""
    await pair.work()
    first, second = await pair.begin()
    await pair.scene.idle()
    blind = pair.scenes[1].proxy.fault("GET", "(releases|deployments|replicasets).*watch=true", delay=60.0)
    pair.scenes[1].proxy.sever()
    await until(lambda: asyncio.sleep(0, blind.hits), lambda hits: hits >= 3)
    await pair.scene.set_image("checkout:v2")
    await pair.scene.until(lambda status: status.get("weight") == 50)

    pair.scenes[1].proxy.mend(blind)
    began = time.time()
    await first.end(signal.SIGTERM)
    await takes_over(second, began, within=PROMPT + SLACK)
    before = await pair.scene.status()
    await asyncio.sleep(2)

    after = await pair.scene.status()
    seen = pair.scenes[1].proxy.seen
    taken = next(one.at for one in seen if one.method == "PUT" and "/leases/" in one.path)
    listed = next(one.at for one in seen if one.at > taken and "/releases?limit=" in one.path)
    assert all(one.at > listed for one in pair.writes(1))
    assert (50, before["rollout"]["startedAt"]) == (after["weight"], after["rollout"]["startedAt"])


async def test_lease_that_is_removed_by_hand_changes_nothing(pair: Pair) -> None:
    """Given that somebody deletes the Lease, the one that works goes on, and the other still stands by."""
    first, second = await pair.begin()

    await pair.scene.admin.delete(LEASES.path(pair.scene.namespace, "tidegate"))
    await asyncio.sleep(2 * LEASE)

    assert "[+] leader election: leads" in (await first.ask("/readyz"))[1]
    assert "[+] leader election: standby" in (await second.ask("/readyz"))[1]


async def test_standby_that_may_not_use_the_lease_is_not_ready(pair: Pair) -> None:
    """Given an operator without rights to the Lease, its probe says which right is missing, and it does nothing."""
    await pair.work()
    with account_with(rules_of_deploy(), namespace=pair.scene.namespace) as token:
        operator = await pair.start(0, token, ready=False)
        _, said = await until(lambda: operator.ask("/readyz"), lambda answer: "leader election: get leases" in answer[1])

    assert "[-] leader election: get leases.coordination.k8s.io tidegate" in said
    assert [] == pair.writes(0)


def pid_of(operator: Operator) -> int:
    """Return the id of an operator's process."""
    assert operator._process is not None
    return operator._process.pid
