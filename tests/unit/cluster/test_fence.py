"""Once the fence is down nothing is written any more, however far a request has come by then."""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import Connection
from tidegate.cluster.errors import Fenced, ServerTimeout, Unavailable
from tidegate.cluster.fence import Sockets
from tidegate.cluster.resources import PODS
from tidegate.controller.observe.relations import Relations
from tidegate.controller.observe.write_through import CachedCluster
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.errors import Outcome, outcome_of
from tidegate.runtime.store import Store
from tidegate.traffic.routers import Routers
from unit.cluster.loopback import Loopback, pod, refuse, reply, stream

POD = PODS.path("shop", "a")


class Gate:
    """A fence that the test lets down."""

    def __init__(self) -> None:
        self.left, self.grace = 10.0, 5.0

    def remaining(self) -> float:
        return self.left


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def fenced(loopback: Loopback, gate: Gate) -> AsyncIterator[Cluster]:
    async with Cluster(loopback.connection(), fence=gate) as cluster:
        yield cluster


async def write(cluster: Cluster, how: str) -> dict[str, Any]:
    """Write in one of the ways there are."""
    match how:
        case "create":
            return await cluster.create(PODS.path("shop"), pod("a", 1))
        case "update":
            return await cluster.update(POD, pod("a", 1))
        case "apply":
            return await cluster.apply(pod("a", 1))
        case "json_patch":
            return await cluster.json_patch(POD, [])
        case "merge_patch":
            return await cluster.merge_patch(POD, {})
        case _:
            return await cluster.delete(POD)


WAYS = ["create", "update", "apply", "json_patch", "merge_patch", "delete"]


@pytest.mark.parametrize("how", WAYS)
async def test_nothing_is_written_behind_the_fence(fenced: Cluster, loopback: Loopback, gate: Gate, how: str) -> None:
    """Given a process that does not lead, no kind of write leaves it; the pass that wanted it may try again."""
    gate.left = 0.0

    with pytest.raises(Fenced, match="this process does not lead") as caught:
        await write(fenced, how)

    assert [] == loopback.requests
    assert Outcome.RETRY is outcome_of(caught.value)


async def test_reading_goes_on_behind_the_fence(fenced: Cluster, loopback: Loopback, gate: Gate) -> None:
    """A standby keeps its caches filled."""
    gate.left = 0.0
    loopback.others.append(reply(pod("a", 1)))

    assert pod("a", 1) == await fenced.get(POD)


@pytest.mark.parametrize("how", WAYS)
async def test_write_that_waits_while_the_fence_comes_down_is_not_sent(loopback: Loopback, gate: Gate, how: str) -> None:
    """Given a write that waits for fresh credentials, or whatever else, when leadership ends, it does not leave the process."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def load() -> Configuration:
        asked.set()
        await go_on.wait()
        return Configuration(host=loopback.url)

    connection = Connection(load, Configuration(host=loopback.url), refresh=0.0, clock=ManualClock())
    async with Cluster(connection, fence=gate) as cluster:
        writing = asyncio.create_task(write(cluster, how))
        await asked.wait()
        gate.left = 0.0
        go_on.set()

        with pytest.raises(Fenced):
            await writing

    assert [] == loopback.requests


async def test_writes_end_before_another_process_may_write(fenced: Cluster, loopback: Loopback, gate: Gate) -> None:
    """The API server is told by when a write must be done, and is not waited for longer than that."""
    gate.left = 2.0
    loopback.others.append(refuse(504, "Timeout"))
    with pytest.raises(ServerTimeout):
        await fenced.merge_patch(POD, {})
    told = loopback.requests[-1].query

    gate.left, gate.grace = 0.1, 0.1
    loopback.otherwise = stream()
    with pytest.raises(Unavailable, match=r"no answer"):
        await fenced.json_patch(POD, [])

    assert {"fieldManager": "tidegate", "timeout": "7000ms"} == dict(told)


async def test_writes_without_a_fence_are_as_ever(cluster: Cluster, loopback: Loopback) -> None:
    """Where there is no election the API server is not told of any time."""
    loopback.others.append(reply(pod("a", 1)))

    await cluster.merge_patch(POD, {})

    assert {"fieldManager": "tidegate"} == dict(loopback.requests[-1].query)


async def test_body_and_its_type_arrive_as_they_are(fenced: Cluster, loopback: Loopback) -> None:
    """The fence changes nothing of what is sent."""
    loopback.others.append(reply(pod("a", 1)))

    await fenced.merge_patch(POD, {"metadata": {"labels": {"a": "é"}}})

    assert {"metadata": {"labels": {"a": "é"}}} == loopback.bodies[-1]
    assert "application/merge-patch+json" == loopback.requests[-1].headers["Content-Type"]


async def test_client_with_a_cache_is_fenced_too(loopback: Loopback, gate: Gate) -> None:
    """What decisions are carried out with is behind the fence."""
    gate.left = 0.0
    async with CachedCluster(loopback.connection(), Store(ManualClock()), Relations(Routers.all()), fence=gate) as cluster:
        for how in WAYS:
            with pytest.raises(Fenced):
                await write(cluster, how)

    assert [] == loopback.requests


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such option")
def test_system_drops_what_it_could_not_deliver() -> None:
    """Bytes that were handed to the system before a partition do not arrive when another process writes already."""
    with warnings.catch_warnings(), Sockets(5.0)((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))) as made:
        assert 5000 == made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
