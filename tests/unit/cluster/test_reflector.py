"""The reflector keeps the store true whatever happens to the watch, and says how far it can be trusted."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from tidegate.cluster.client import Cluster
from tidegate.cluster.reflector import SILENCES, SLOW_RETRY, Reflector, State
from tidegate.cluster.resources import PODS
from tidegate.runtime.clock import ManualClock, SystemClock
from tidegate.runtime.store import Change, Store
from unit.cluster.loopback import AutoClock, Loopback, bookmark, event, listing, pod, refuse, reply, stream, until


class Mirror:
    """A reflector of pods at work, and what it reports."""

    def __init__(self, cluster: Cluster, clock: AutoClock, **options: Any) -> None:
        self.clock = clock
        self.store = Store(clock)
        self.reported: asyncio.Queue[Change] = asyncio.Queue()
        self.reflector = Reflector(
            cluster,
            PODS,
            self.store,
            clock=clock,
            on_event=self.reported.put_nowait,
            jitter=random.Random(1),
            **options,
        )
        self.task = asyncio.create_task(self.reflector.run())

    def names(self) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.store.objects("Pod")]

    async def changes(self, count: int) -> list[tuple[str, str]]:
        """The next changes: what happened to which pod."""
        async with asyncio.timeout(10):
            found = [await self.reported.get() for _ in range(count)]
        return [(_verb(change), change.key.name) for change in found]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def _verb(change: Change) -> str:
    if change.new is None:
        return "gone"
    return "new" if change.old is None else "changed"


@pytest.fixture
async def mirror(cluster: Cluster, auto_clock: AutoClock) -> AsyncIterator[Callable[..., Mirror]]:
    running: list[Mirror] = []

    def begin(**options: Any) -> Mirror:
        running.append(Mirror(cluster, auto_clock, **options))
        return running[-1]

    yield begin
    for started in running:
        await started.stop()


async def watched(loopback: Loopback) -> str:
    """The version that the next watch goes on from."""
    async with asyncio.timeout(10):
        return (await loopback.watched.get()).query["resourceVersion"]


async def test_lists_then_watches_from_there(mirror: Callable[..., Mirror], loopback: Loopback):
    """The store holds the list, then follows the watch; only what came with the list is marked so."""
    loopback.lists.append(listing(pod("a", 3), pod("b", 4), version=10))
    loopback.watches.append(stream(event("MODIFIED", pod("a", 11)), event("DELETED", pod("b", 12)), event("ADDED", pod("c", 13))))
    started = mirror(namespace="shop", label_selector="app=x")

    assert State.SYNCED is await started.reflector.wait_synced(10)
    assert [("new", "a"), ("new", "b"), ("changed", "a"), ("gone", "b"), ("new", "c")] == await started.changes(5)

    assert "10" == await watched(loopback)
    assert ["a", "c"] == started.names()
    assert [("GET", PODS.path("shop"))] * 2 == loopback.asked()
    assert ["app=x"] * 2 == [request.query["labelSelector"] for request in loopback.requests]
    assert 260 <= int(loopback.requests[1].query["timeoutSeconds"]) <= 290


async def test_what_came_with_a_list_is_marked(mirror: Callable[..., Mirror], loopback: Loopback):
    """So that the queue can let fresh edits go first."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.append(stream(event("MODIFIED", pod("a", 11))))
    started = mirror()

    async with asyncio.timeout(10):
        assert [True, False] == [(await started.reported.get()).listed for _ in range(2)]


async def test_watch_that_ends_well_goes_on_where_it_was(mirror: Callable[..., Mirror], loopback: Loopback):
    """Also from a bookmark, and without a new list."""
    loopback.lists.append(listing(version=10))
    loopback.watches.append(stream(event("ADDED", pod("a", 11)), bookmark(50), then="end"))
    mirror()

    assert ["10", "50"] == [await watched(loopback), await watched(loopback)]


async def test_silent_watch_is_renewed(mirror: Callable[..., Mirror], loopback: Loopback):
    """A connection that died without a word costs one more request, no list, and raises no alarm."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    started = mirror(inactivity=0.05)

    assert ["10", "10"] == [await watched(loopback), await watched(loopback)]
    assert State.SYNCED is started.reflector.health.state
    assert not loopback.lists


async def test_long_silence_has_a_list_made(mirror: Callable[..., Mirror], loopback: Loopback):
    """A watch from a version that a restore of etcd took back would be silent for ever."""
    loopback.lists.append(listing(pod("a", 3), version=1000))
    loopback.lists.append(listing(pod("b", 4), version=20))
    started = mirror(inactivity=0.02)

    assert ["1000"] * SILENCES == [await watched(loopback) for _ in range(SILENCES)]
    assert [("new", "a"), ("new", "b"), ("gone", "a")] == await started.changes(3)
    assert "20" == await watched(loopback)


@pytest.mark.parametrize("how", ["event", "status"])
async def test_expired_watch_lists_again_and_finds_missed_deletions(mirror: Callable[..., Mirror], loopback: Loopback, how: str):
    """410 as an event or as an answer: the list is compared with the store, and what it lacks is reported as gone."""
    loopback.lists.append(listing(pod("missed", 3), pod("kept", 4), version=10))
    expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    loopback.watches.append(stream(event("ERROR", expired)) if how == "event" else refuse(410, "Expired"))
    loopback.lists.append(listing(pod("kept", 4), pod("added", 30), version=40))
    started = mirror()

    expected = [("new", "missed"), ("new", "kept"), ("new", "added"), ("gone", "missed")]
    assert expected == await started.changes(4)
    assert ["10", "40"] == [await watched(loopback), await watched(loopback)]
    assert all(delay < 1 for delay in started.clock.slept)


@pytest.mark.parametrize(
    "trouble",
    [
        stream(event("ERROR", {"kind": "Status", "code": 504, "message": "etcdserver: request timed out"})),
        stream(then="drop"),
        stream(b'{"type": "ADDED", "obj', then="drop"),
        stream(b"<html>\n", then="end"),
        refuse(503, "ServiceUnavailable"),
        refuse(429, "TooManyRequests"),
    ],
    ids=["504-event", "dropped", "torn", "garbage", "503", "429"],
)
async def test_trouble_with_a_watch_is_weathered(mirror: Callable[..., Mirror], loopback: Loopback, trouble: Any):
    """Whatever breaks a watch, it goes on from where it was, after a pause, with no new list."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.append(trouble)
    loopback.watches.append(stream(event("MODIFIED", pod("a", 11))))
    started = mirror()

    assert [("new", "a"), ("changed", "a")] == await started.changes(2)
    assert ["10", "10"] == [await watched(loopback), await watched(loopback)]
    assert 1 == len(started.clock.slept)
    assert State.SYNCED is started.reflector.health.state


async def test_failures_in_a_row_back_off_and_show(mirror: Callable[..., Mirror], loopback: Loopback):
    """The pauses grow to their cap; meanwhile the store keeps what it had and health says why it is stale."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.extend(refuse(500, "InternalError") for _ in range(12))
    gate = asyncio.Event()
    loopback.watches.append(stream(after=gate))
    started = mirror()
    [await watched(loopback) for _ in range(13)]

    assert 12 == len(started.clock.slept)
    for earlier, later in zip(started.clock.slept, started.clock.slept[2:], strict=False):
        assert later > earlier or later >= 8
    assert max(started.clock.slept) <= 12
    assert ["a"] == started.names()


async def test_stale_until_the_watch_is_back(mirror: Callable[..., Mirror], loopback: Loopback):
    """State and words change as soon as the API is lost, and back when it accepts a watch, even a quiet one."""
    seen: list[State] = []
    loopback.lists.append(listing(version=10))
    loopback.watches.append(refuse(500, "InternalError", message="etcd is away"))
    started = mirror()
    original = started.reflector._become

    def spy(state: State, message: str) -> None:
        seen.append(state)
        original(state, message)

    started.reflector._become = spy  # type: ignore[method-assign]
    [await watched(loopback) for _ in range(2)]
    await until(lambda: started.reflector.health.state is State.SYNCED)

    assert [State.SYNCED, State.STALE] == seen[:2]


async def test_absent_api_is_asked_for_now_and_then(mirror: Callable[..., Mirror], loopback: Loopback):
    """Without the CRD nothing fails; once it is there, the mirror fills."""
    loopback.lists.append(reply("404 page not found", status=404))
    loopback.lists.append(listing(pod("a", 3), version=10))
    started = mirror()
    settled: list[State] = [await started.reflector.wait_synced(10)]

    assert [("new", "a")] == await started.changes(1)
    assert settled[0] in {State.ABSENT, State.SYNCED}
    assert 1 == len(started.clock.slept)
    assert started.clock.slept[0] >= 0.8 * SLOW_RETRY


async def test_health_of_an_absent_api(cluster: Cluster, loopback: Loopback):
    """Health says in words what is missing, and waiting for the sync does not hang."""
    loopback.lists.append(reply("404 page not found", status=404))
    clock = AutoClock()
    started = Mirror(cluster, clock)
    parked = asyncio.Event()

    async def park(seconds: float, *, wake: asyncio.Event | None = None) -> None:
        await (wake or parked).wait()

    clock.sleep = park  # type: ignore[method-assign]

    assert State.ABSENT is await started.reflector.wait_synced(10)
    assert "the API does not serve pods" == started.reflector.health.message
    assert math.isinf(started.reflector.health.age)
    await started.stop()


async def test_forbidden_keeps_what_is_known(cluster: Cluster, loopback: Loopback):
    """A permission that is taken away is reported in the API's words; the objects stay."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    words = 'pods is forbidden: User "tidegate" cannot watch resource "pods"'
    loopback.watches.append(refuse(403, "Forbidden", message=words))
    clock = AutoClock()
    started = Mirror(cluster, clock)
    parked, slept = asyncio.Event(), asyncio.Event()

    async def park(seconds: float, *, wake: asyncio.Event | None = None) -> None:
        slept.set()
        await (wake or parked).wait()

    clock.sleep = park  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await slept.wait()
    clock.advance(5)

    health = started.reflector.health
    assert (State.FORBIDDEN, words) == (health.state, health.message)
    assert 5.0 == health.age == started.store.age("Pod")
    assert ["a"] == started.names()
    await started.stop()


async def test_only_what_is_worth_keeping(mirror: Callable[..., Mirror], loopback: Loopback):
    """Objects that are of no interest never enter; one that stops being of interest leaves."""
    ours = {"labels": {"tidegate.dev/release": "checkout"}}
    loopback.lists.append(listing(pod("ours", 3, **ours), pod("theirs", 4), version=10))
    loopback.watches.append(
        stream(
            event("MODIFIED", pod("theirs", 11)),
            event("MODIFIED", pod("theirs", 12, **ours)),
            event("MODIFIED", pod("ours", 13)),
        )
    )
    started = mirror(keep=lambda obj: "labels" in obj["metadata"])

    assert [("new", "ours"), ("new", "theirs"), ("gone", "ours")] == await started.changes(3)
    assert ["theirs"] == started.names()


async def test_own_write_is_not_undone_by_an_older_event(mirror: Callable[..., Mirror], loopback: Loopback):
    """The answer to our write is newer than an event that was on its way; its echo is no news."""
    gate = asyncio.Event()
    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.append(
        stream(
            event("MODIFIED", pod("a", 11)),
            event("MODIFIED", pod("a", 20)),
            event("ADDED", pod("last", 21)),
            after=gate,
        )
    )
    started = mirror()
    assert [("new", "a")] == await started.changes(1)

    started.store.upsert("Pod", pod("a", 20))
    gate.set()

    assert [("new", "last")] == await started.changes(1)


async def test_version_that_goes_back_has_a_list_made(mirror: Callable[..., Mirror], loopback: Loopback):
    """Bookmarks of a restored etcd count from a lower number."""
    loopback.lists.append(listing(pod("a", 900), version=1000))
    loopback.watches.append(stream(bookmark(20)))
    loopback.lists.append(listing(pod("a", 15), version=25))
    started = mirror()

    assert [("new", "a"), ("changed", "a")] == await started.changes(2)
    assert ["1000", "25"] == [await watched(loopback), await watched(loopback)]


async def test_object_that_cannot_be_read_does_not_end_it(mirror: Callable[..., Mirror], loopback: Loopback):
    """A bug or a strange object is survived: the world is listed again."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.append(stream(event("ADDED", {"metadata": {"resourceVersion": "11"}})))
    loopback.lists.append(listing(pod("a", 3), pod("b", 12), version=13))
    started = mirror()

    assert [("new", "a"), ("new", "b")] == await started.changes(2)


async def test_listener_that_fails_does_not_end_it(cluster: Cluster, loopback: Loopback):
    """The store is right even if the one who is told of it is broken."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    clock = AutoClock()
    store = Store(clock)
    reflector = Reflector(cluster, PODS, store, clock=clock, on_event=lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    task = asyncio.create_task(reflector.run())

    assert State.SYNCED is await reflector.wait_synced(10)
    assert "10" == await watched(loopback)
    assert 1 == store.count("Pod")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_heard_for_long_is_stale(mirror: Callable[..., Mirror], loopback: Loopback):
    """Even if nothing has failed: this is what readiness looks at."""
    loopback.lists.append(listing(version=10))
    started = mirror(inactivity=70)
    await watched(loopback)
    await until(lambda: started.reflector.health.state is State.SYNCED)

    started.clock.advance(141)

    health = started.reflector.health
    assert (State.STALE, "nothing heard of pods for 141 s") == (health.state, health.message)


async def test_renewed_watch_tells_what_a_dead_one_did_not(mirror: Callable[..., Mirror], loopback: Loopback):
    """Given a watch that says nothing any more, renewing makes another one from where it was, which tells what was missed."""
    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.append(stream(event("MODIFIED", pod("a", 11))))
    loopback.watches.append(stream(event("ADDED", pod("b", 12)), event("ADDED", pod("c", 13))))
    started = mirror()
    assert "10" == await watched(loopback)
    assert [("new", "a"), ("changed", "a")] == await started.changes(2)

    accepted = await started.reflector.renew(10.0)

    assert accepted
    assert "11" == await watched(loopback)
    assert [("new", "b"), ("new", "c")] == await started.changes(2)
    assert State.SYNCED is started.reflector.health.state


async def test_renewing_does_not_wait_for_what_hangs(cluster: Cluster, loopback: Loopback):
    """Given an API server that does not answer the new watch, the caller gets its time back, and the reflector goes on trying."""
    hang = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        await hang.wait()
        return web.Response()

    loopback.lists.append(listing(pod("a", 3), version=10))
    loopback.watches.extend([stream(), hangs, stream(event("ADDED", pod("b", 12)))])
    reflector = Reflector(cluster, PODS, store := Store(SystemClock()), clock=SystemClock())
    running = asyncio.create_task(reflector.run())
    await watched(loopback)
    assert State.SYNCED is await reflector.wait_synced(10)

    assert not await reflector.renew(0.05)
    assert await reflector.renew(10.0)

    assert 2 == store.count("Pod")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    hang.set()


async def test_renewing_cuts_a_pause_short(cluster: Cluster, loopback: Loopback):
    """Given a reflector that waits before it tries again, renewing has it try now."""
    loopback.lists.append(refuse(403, "Forbidden"))
    loopback.lists.append(listing(pod("a", 3), version=10))
    clock = ManualClock()
    reflector = Reflector(cluster, PODS, store := Store(clock), clock=clock)
    running = asyncio.create_task(reflector.run())
    await until(lambda: clock.sleepers == 1)

    renewing = asyncio.create_task(reflector.renew(10.0))
    await until(lambda: store.count("Pod") == 1)

    renewing.cancel()
    running.cancel()
    await asyncio.gather(running, renewing, return_exceptions=True)
