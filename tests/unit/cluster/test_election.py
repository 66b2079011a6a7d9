"""One process's part in the election, before an API server that keeps one Lease as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client import Configuration

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import Connection
from tidegate.cluster.election import KEPT, NOTE, Deposed, Election, Place
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.lease import VACANT, Timing
from unit.cluster.lease_server import LeaseServer
from unit.cluster.loopback import until

TIMING = Timing(duration=15.0, renew_deadline=10.0, retry=2.0)


class Part:
    """One process that takes part."""

    def __init__(self, election: Election, clock: ManualClock) -> None:
        self.election, self.clock = election, clock
        self.running = asyncio.create_task(election.run())

    async def lead(self) -> None:
        async with asyncio.timeout(10):
            await self.election.won.wait()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass as soon as it is waited for."""
        await until(lambda: self.clock.sleepers > 0)
        self.clock.advance(seconds)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@pytest.fixture
async def api() -> AsyncIterator[LeaseServer]:
    api = LeaseServer()
    await api.server.start_server()
    yield api
    await api.server.close()


@pytest.fixture
async def part(api: LeaseServer) -> AsyncIterator[Part]:
    address, clock = str(api.server.make_url("/")).rstrip("/"), ManualClock()

    async def load() -> Configuration:
        return Configuration(host=address)

    async with Cluster(Connection(load, Configuration(host=address), refresh=1e9)) as cluster:
        election = Election(cluster, clock=clock, place=Place("system", "tidegate"), identity="me", timing=TIMING)
        part = Part(election, clock)
        yield part
        await part.stop()


async def test_lease_that_was_given_up_is_taken_at_once(api: LeaseServer, part: Part) -> None:
    """Given a standby, it takes the lease when the watch tells that it is free; no time passes, and what others wrote stays."""
    await api.held_by("other")
    await until(lambda: api.watched and "standby" in part.election.health().words)

    await api.held_by("", leaseDurationSeconds=1, preferredHolder="somebody")
    await part.lead()

    assert api.lease is not None
    spec = api.lease["spec"]
    assert ("me", 15, 5, "somebody") == tuple(
        spec[name] for name in ("holderIdentity", "leaseDurationSeconds", "leaseTransitions", "preferredHolder")
    )
    assert "2026-01-01T00:00:00.000000Z" == spec["acquireTime"] == spec["renewTime"]
    assert 10.0 == part.election.remaining()
    assert part.election.health().leads


async def test_lease_that_nobody_renews_is_taken_when_it_has_run_out(api: LeaseServer, part: Part) -> None:
    """Given a holder that says nothing any more, the standby waits for the whole duration."""
    await api.held_by("other")
    await until(lambda: api.watched and part.clock.sleepers > 0)

    part.clock.advance(14.9)
    await until(lambda: part.clock.sleepers > 0)
    before = api.holder()
    await part.pass_time(0.1)
    await part.lead()

    assert ("other", "me") == (before, api.holder())


async def test_renewal_that_is_watched_puts_the_takeover_off(api: LeaseServer, part: Part) -> None:
    """Given renewals, a standby asks for nothing but the watch, and stands by."""
    await api.held_by("other")
    await until(lambda: api.watched and part.clock.sleepers > 0)
    for turn in ("first", "second", "third"):
        await part.pass_time(10.0)
        await api.held_by(turn)
        await until(lambda turn=turn: f"is held by {turn}" in part.election.health().words)  # type: ignore[misc]
        await until(lambda: part.clock.sleepers > 0)

    assert not part.election.won.is_set()
    assert {"get", "watch"} == set(api.asked)
    assert 1 == api.asked.count("get")


async def test_where_there_is_no_lease_one_is_made_and_waited_for(api: LeaseServer, part: Part) -> None:
    """Given no lease, it is made for nobody, and taken when its duration is over."""
    await until(lambda: api.holder() == VACANT)
    assert not part.election.won.is_set()

    await until(lambda: part.clock.sleepers > 0)
    part.clock.advance(15.0)
    await part.lead()

    assert "me" == api.holder()


async def test_renewal_whose_answer_is_lost_is_made_up_for(api: LeaseServer, part: Part) -> None:
    """Given a renewal that was done and whose answer was lost, the leader reads the lease, finds itself, and goes on."""
    await api.held_by("")
    await part.lead()
    api.lose_answers = True
    await part.pass_time(2.0)
    await until(lambda: "get" in api.asked[api.asked.index("put") :])
    api.lose_answers = False
    await until(lambda: part.clock.sleepers > 0)
    await part.pass_time(2.0)
    await until(lambda: part.election.remaining() == 10.0)

    assert "me" == api.holder()
    assert not part.running.done()


async def cannot_renew(api: LeaseServer, part: Part) -> None:
    """Let a process lead, and refuse all that it asks until it may not write any more."""
    await api.held_by("")
    await part.lead()
    api.refuse = {"put": 503, "get": 503}
    while part.election.remaining() > 0:
        await part.pass_time(1.0)


async def test_leader_that_cannot_renew_writes_nothing_until_it_can(api: LeaseServer, part: Part) -> None:
    """Given an API server that refuses all renewals for ten seconds, the leader may not write, and goes on when it is back."""
    await cannot_renew(api, part)

    for _ in range(20):
        await part.pass_time(1.0)
        assert 0.0 == part.election.remaining()
    assert not part.election.health().sound
    assert "writes nothing until the lease can be renewed" in part.election.health().words

    api.refuse = {}
    await part.pass_time(1.0)
    await until(lambda: part.election.remaining() > 0)

    assert part.election.health().sound
    assert not part.running.done()


async def test_leader_that_could_not_renew_ends_if_another_has_led_meanwhile(api: LeaseServer, part: Part) -> None:
    """Given another who has taken the lease during the outage, and has even given it up, this process ends."""
    await cannot_renew(api, part)
    await api.held_by("")
    api.refuse = {}
    while not part.running.done():
        part.clock.advance(1.0 if part.clock.sleepers else 0.0)
        await asyncio.sleep(0.001)

    with pytest.raises(Deposed, match="the lease was taken by another replica, which has released it"):
        await part.running


async def test_leader_whose_lease_is_in_other_hands_ends_at_once(api: LeaseServer, part: Part) -> None:
    """Given another holder, by whatever means, the leader notices when it renews, and is deposed."""
    await api.held_by("")
    await part.lead()
    await api.held_by("other")
    await part.pass_time(2.0)

    with pytest.raises(Deposed, match="the lease was taken by other"):
        await part.running
    assert 0.0 == part.election.remaining()


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_steps_of_the_wall_clock_fool_nobody(api: LeaseServer, part: Part, step: float) -> None:
    """Given a wall clock that is stepped by an hour, a standby waits as long as before, and a leader leads as long as before."""
    await api.held_by("other")
    await until(lambda: api.watched and part.clock.sleepers > 0)
    part.clock.step_wall(step)
    await part.pass_time(14.9)
    await until(lambda: part.clock.sleepers > 0)
    stands_by = not part.election.won.is_set()

    await part.pass_time(0.1)
    await part.lead()
    part.clock.step_wall(step)

    assert stands_by
    assert 10.0 == part.election.remaining()


async def test_resigning_frees_the_lease(api: LeaseServer, part: Part) -> None:
    """Told to end, a leader frees the lease, for whoever waits, and may write no more."""
    await api.held_by("")
    await part.lead()
    await part.stop()

    await part.election.resign()

    assert api.lease is not None
    assert ("", 1) == (api.lease["spec"]["holderIdentity"], api.lease["spec"]["leaseDurationSeconds"])
    assert 0.0 == part.election.remaining()


async def test_leader_leaves_word_for_the_next_one(api: LeaseServer, part: Part) -> None:
    """Given a note in a lease that was given up, the next leader has it, and takes it out of the Lease; other annotations stay."""
    await api.held_by("")
    assert api.lease is not None
    api.lease["metadata"]["annotations"] = {f"{NOTE}Release": "3-120", "team": "shop"}
    await part.lead()
    taken = api.lease["metadata"]["annotations"]
    await part.stop()

    await part.election.resign({f"{NOTE}Release": "4-150"})

    assert {f"{NOTE}Release": "3-120"} == part.election.note
    assert {"team": "shop"} == taken
    assert {f"{NOTE}Release": "4-150", "team": "shop"} == api.lease["metadata"]["annotations"]


async def test_note_of_a_leader_that_has_not_given_up_counts_for_nothing(api: LeaseServer, part: Part) -> None:
    """Given a lease that has run out, whatever word stands in it is not of the last leader."""
    await api.held_by("other")
    assert api.lease is not None
    api.lease["metadata"]["annotations"] = {f"{NOTE}Release": "3-120"}
    await until(lambda: api.watched and part.clock.sleepers > 0)
    await part.pass_time(15.0)
    await part.lead()

    assert {} == part.election.note


async def test_resigning_after_a_renewal_that_was_cut_off(api: LeaseServer, part: Part) -> None:
    """Given that the stored lease is newer than what the leader knows, it reads it first, and frees it all the same."""
    await api.held_by("")
    await part.lead()
    await part.stop()
    await api.held_by("me")

    await part.election.resign()

    assert "" == api.holder()


async def test_resigning_leaves_the_lease_of_another_alone(api: LeaseServer, part: Part) -> None:
    """Given that another one holds the lease by now, it is not freed."""
    await api.held_by("")
    await part.lead()
    await part.stop()
    await api.held_by("other")

    await part.election.resign()

    assert "other" == api.holder()


async def test_standby_does_not_touch_the_lease_when_it_ends(api: LeaseServer, part: Part) -> None:
    """Who does not lead has nothing to give up."""
    await api.held_by("other")
    await until(lambda: api.watched)
    await part.stop()

    await part.election.resign()

    assert {"get", "watch"} == set(api.asked)


async def test_standby_that_may_not_watch_asks_now_and_then(api: LeaseServer, part: Part) -> None:
    """Given no right to watch, the lease is read at the pace of the attempts, and taken over all the same."""
    api.refuse = {"watch": 403}
    await api.held_by("other")
    await until(lambda: api.asked.count("get") >= 2)
    await api.held_by("")
    await until(lambda: part.clock.sleepers >= 2)

    while not part.election.won.is_set():
        await part.pass_time(1.0)
        await asyncio.sleep(0.01)

    assert "me" == api.holder()
    assert api.asked.count("get") <= 6


async def test_lease_that_cannot_be_read_is_told(api: LeaseServer, part: Part) -> None:
    """Given no right to the Lease, the process stands by for nothing, and says so."""
    api.refuse = {"get": 403, "watch": 403}
    await until(lambda: "get leases.coordination.k8s.io tidegate in system" in part.election.health().words)

    assert (False, False) == (part.election.health().leads, part.election.health().sound)


async def test_what_leaders_keep_in_the_lease_is_there_for_the_next_however_they_end(api: LeaseServer, part: Part) -> None:
    """Given a leader that died, the next one finds what it kept, keeps its own from the first renewal on, and leaves the rest."""
    await api.held_by("other")
    assert api.lease is not None
    api.lease["metadata"]["annotations"] = {f"{KEPT}suspects": "before", f"{KEPT}old": "x", "team": "shop"}
    await until(lambda: api.watched and part.clock.sleepers > 0)
    part.clock.advance(15.0)
    await part.lead()
    found, at_first = dict(part.election.kept), api.lease["metadata"]["annotations"]

    part.election.keep = lambda: {f"{KEPT}suspects": "now"}
    await part.pass_time(2.0)
    await until(lambda: (api.lease or {})["metadata"]["annotations"].get(f"{KEPT}suspects") == "now")

    assert {f"{KEPT}suspects": "before", f"{KEPT}old": "x"} == found
    assert {f"{KEPT}suspects": "before", f"{KEPT}old": "x", "team": "shop"} == at_first
    assert {f"{KEPT}suspects": "now", "team": "shop"} == api.lease["metadata"]["annotations"]


async def test_api_server_that_is_back_and_slow_is_given_time(api: LeaseServer, part: Part) -> None:
    """Given a paused leader, what a request gets grows with the pause, to no more than half of the deadline."""
    await api.held_by("")
    await part.lead()
    api.refuse = {"put": 503, "get": 503}
    patience = []
    for _ in range(60):
        await part.pass_time(1.0)
        if not part.election.remaining():
            patience.append(part.election._patience())

    assert sorted(patience) == patience
    assert pytest.approx(2.0, abs=0.2) == patience[0]
    assert 5.0 == patience[-1]
