"""Replicas that hold one Lease together, before an API server that keeps it as the real one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from kubernetes.aio.client import Configuration

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import Connection
from tidegate.cluster.election import Deposed, Place
from tidegate.cluster.roster import MEMBER, Roster, Word
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.lease import Timing
from tidegate.runtime.sharding import Member
from unit.cluster.lease_server import LeaseServer
from unit.cluster.loopback import until

TIMING = Timing(duration=15.0, renew_deadline=10.0, retry=2.0)


class Replica:
    """One replica, with a clock and a client of its own."""

    def __init__(self, cluster: Cluster, member: str, count: int) -> None:
        self.clock, self.word = ManualClock(), Word()
        place = Place("system", "tidegate")
        says = {"member": member, "count": count, "says": lambda: self.word}
        self.roster = Roster(cluster, clock=self.clock, place=place, timing=TIMING, **says)
        self.running = asyncio.create_task(self.roster.run())

    async def takes_part(self) -> None:
        async with asyncio.timeout(10):
            await self.roster.won.wait()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass as soon as it is waited for, and what is due be done."""
        await until(lambda: self.clock.sleepers > 0)
        self.clock.advance(seconds)
        await until(lambda: self.clock.sleepers > 0 or self.running.done())

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


class Replicas:
    """Where replicas are started."""

    def __init__(self, api: LeaseServer, stack: AsyncExitStack) -> None:
        self.api, self._stack = api, stack

    async def start(self, member: str, *, count: int = 3) -> Replica:
        address = str(self.api.server.make_url("/")).rstrip("/")

        async def load() -> Configuration:
            return Configuration(host=address)

        cluster = await self._stack.enter_async_context(Cluster(Connection(load, Configuration(host=address), refresh=1e9)))
        replica = Replica(cluster, member, count)
        self._stack.push_async_callback(replica.stop)
        return replica


@pytest.fixture
async def place() -> AsyncIterator[Replicas]:
    api = LeaseServer()
    await api.server.start_server()
    async with AsyncExitStack() as stack:
        yield Replicas(api, stack)
    await api.server.close()


async def test_replicas_of_the_same_number_share_the_lease_and_hear_of_each_other(place: Replicas) -> None:
    """A second replica joins at once, neither takes the Lease from the other, and each knows what the other says."""
    await place.api.held_by("3 shards")
    first = await place.start("aaaa")
    await first.takes_part()
    second = await place.start("bbbb")
    second.word = Word(ready=frozenset({2}))
    await second.takes_part()
    await second.pass_time(2)
    await first.pass_time(2)

    assert place.api.holder() == "3 shards"
    assert first.roster.members() == {"aaaa": Member(), "bbbb": Member(ready=frozenset({2}))}
    assert min(first.roster.remaining(), second.roster.remaining()) > 0


async def test_replica_of_another_number_stands_by_until_the_lease_has_run_out(place: Replicas) -> None:
    """Whoever divides otherwise takes no part while the others are there, and does once they are gone."""
    await place.api.held_by("3 shards")
    other = await place.start("cccc", count=2)
    await until(lambda: place.api.watched)
    await other.pass_time(14)

    assert not other.roster.won.is_set()
    assert other.roster.health().words == "standby; the lease system/tidegate is held by 3 shards"

    await other.pass_time(2)
    await other.takes_part()
    assert place.api.holder() == "2 shards"


async def test_replica_that_finds_another_division_writes_no_more(place: Replicas) -> None:
    """One that was away for long finds that others have taken the Lease with another number, and gives up."""
    await place.api.held_by("3 shards")
    replica = await place.start("aaaa")
    await replica.takes_part()

    await place.api.held_by("2 shards")
    replica.clock.advance(30)

    with pytest.raises(Deposed, match="2 shards"):
        await asyncio.wait_for(replica.running, 10)
    assert replica.roster.remaining() == 0


async def test_silence_is_counted_only_while_somebody_could_be_heard(place: Replicas) -> None:
    """A replica that says nothing new grows silent; the time in which the API server was away counts for nobody."""
    await place.api.held_by("3 shards")
    first = await place.start("aaaa")
    await first.takes_part()
    second = await place.start("bbbb")
    await second.takes_part()
    await second.stop()
    await first.pass_time(2)
    for _ in range(3):
        await first.pass_time(2)
    silent = first.roster.members()["bbbb"].silent

    place.api.refuse = {"patch": 503, "get": 503}
    await first.pass_time(2)
    first.clock.advance(60)
    await until(lambda: first.clock.sleepers > 0)
    place.api.refuse = {}
    await first.pass_time(2)
    await until(lambda: first.roster.remaining() > 0)

    assert silent == 6
    assert first.roster.members()["bbbb"].silent <= silent + 2 * TIMING.retry


async def test_what_a_replica_says_is_told_at_once(place: Replicas) -> None:
    """A replica that has become ready for a shard does not wait for its next renewal to say so."""
    await place.api.held_by("3 shards")
    replica = await place.start("aaaa")
    await replica.takes_part()

    replica.word = Word(leaving=True, ready=frozenset({1, 0}))
    replica.roster.reconsider()
    await until(lambda: "leaving" in _said(place.api, "aaaa"))

    assert _said(place.api, "aaaa") == {"beat": 2, "ready": [0, 1], "leaving": True}


async def test_last_replica_gives_the_lease_up_and_others_only_go(place: Replicas) -> None:
    """Who leaves while others are there takes its own word away; the last one leaves the Lease to anybody."""
    await place.api.held_by("3 shards")
    first, second = await place.start("aaaa"), await place.start("bbbb")
    await first.takes_part()
    await second.takes_part()
    await first.pass_time(2)
    await second.pass_time(2)

    await second.stop()
    await second.roster.leave()
    assert place.api.holder() == "3 shards"
    assert not _said(place.api, "bbbb")

    await first.pass_time(2)
    await first.stop()
    await first.roster.leave()
    assert place.api.holder() == ""


async def test_odd_words_say_nothing(place: Replicas) -> None:
    """Whatever somebody writes into the Lease, nobody stumbles over it."""
    await place.api.held_by("3 shards")
    assert place.api.lease is not None
    odd = {"x": "{", "y": "[1]", "z": '{"ready": ["a", 1, true], "leaving": 1}'}
    place.api.lease["metadata"]["annotations"] = {MEMBER + name: text for name, text in odd.items()}
    replica = await place.start("aaaa")
    await replica.takes_part()

    assert replica.roster.members() == {"aaaa": Member(), "x": Member(), "y": Member(), "z": Member(ready=frozenset({1}))}


def _said(api: LeaseServer, member: str) -> dict[str, object]:
    assert api.lease is not None
    text = (api.lease["metadata"].get("annotations") or {}).get(MEMBER + member)
    found: dict[str, object] = json.loads(text) if text else {}
    return found
