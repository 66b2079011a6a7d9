"""Whether Releases are followed, and what has gone while they were not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tidegate.cluster.client import Cluster
from tidegate.cluster.reflector import State
from tidegate.controller.observe.releases import RETRY_SECONDS, SWEEP_SECONDS, WATCH_LIMIT, Releases
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.errors import Terminal
from tidegate.runtime.store import Store
from unit.controller import objects
from unit.controller.api_server import ApiServer, settled

EVERYWHERE = "/apis/tidegate.dev/v1alpha1/releases"
IN_SHOP = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases"
PATH = f"{IN_SHOP}/checkout"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> Store:
    return Store(clock)


@pytest.fixture
async def releases(api: ApiServer, store: Store, clock: ManualClock) -> AsyncIterator[Releases]:
    async with Cluster(api.connection()) as cluster:
        yield Releases(cluster, store, clock=clock, namespaces=["shop"])


async def test_first_list_fills_the_store(api: ApiServer, store: Store, releases: Releases) -> None:
    """What is there at the start is in the store before anything is decided."""
    api.put(objects.release())

    await releases.first()

    assert store.get("Release", "shop", "checkout") is not None


async def test_first_list_is_tried_until_it_succeeds(api: ApiServer, releases: Releases, clock: ManualClock) -> None:
    """Given an API server that fails and forbids, the start waits for it, and says why."""
    api.fault("GET", "/releases", status=503, times=1)
    api.fault("GET", "/releases", status=403, reason="Forbidden", times=1)
    starting = asyncio.create_task(releases.first())
    states = []
    for _ in range(2):
        await settled(lambda: clock.sleepers == 1)
        states.append(releases.health.state)
        clock.advance(RETRY_SECONDS)
        await settled(lambda: clock.sleepers == 0 or starting.done())
    await starting

    assert [State.STARTING, State.FORBIDDEN] == states


async def test_kind_that_is_missing_is_no_reason_to_wait(api: ApiServer, releases: Releases) -> None:
    """Where the API server does not know Releases, there is nothing to wait for."""
    api.fault("GET", "/releases", status=404, reason="NotFound")

    with pytest.raises(Terminal, match=r"does not know releases\.tidegate\.dev: apply crds/ first"):
        await releases.first()


async def test_health_is_that_of_the_watch(releases: Releases, clock: ManualClock) -> None:
    """Listed, watched, forbidden, out of reach, silent: each has its word."""
    states = [releases.health.state]
    await releases.first()
    states.append(releases.health.state)
    for status in (200, 403, 503, 0, 200):
        releases.answered("watch", IN_SHOP, status)
        states.append(releases.health.state)
    stuck = releases.stuck
    clock.advance(WATCH_LIMIT + 1)

    assert [State.STARTING, State.STARTING] == states[:2]
    assert [State.SYNCED, State.FORBIDDEN, State.STALE, State.STALE, State.SYNCED] == states[2:]
    assert State.STALE is releases.health.state
    assert (False, True) == (stuck, releases.stuck)


async def test_watch_of_every_namespace_counts(api: ApiServer, store: Store, clock: ManualClock) -> None:
    """Given two namespaces, they are followed once both are, and no longer once one is not."""
    async with Cluster(api.connection()) as cluster:
        releases = Releases(cluster, store, clock=clock, namespaces=["shop", "other"])
        await releases.first()
        releases.answered("watch", IN_SHOP, 200)
        one = releases.health.state
        releases.answered("watch", IN_SHOP.replace("shop", "other"), 200)
        both = releases.health.state
        releases.answered("watch", IN_SHOP, 503)

    assert (State.STARTING, State.SYNCED, State.STALE) == (one, both, releases.health.state)


async def test_answers_behind_a_prefix_count(api: ApiServer, store: Store, clock: ManualClock) -> None:
    """An API server may be reached under a path of a gateway in front of it."""
    async with Cluster(api.connection()) as cluster:
        releases = Releases(cluster, store, clock=clock, namespaces=[])
        await releases.first()
        releases.answered("get", "/k8s/clusters/c-1/apis/tidegate.dev/v1alpha1", 200)
        before = releases.health.state
        releases.answered("watch", f"/k8s/clusters/c-1{EVERYWHERE}", 200)

    assert (State.STARTING, State.SYNCED) == (before, releases.health.state)


async def test_release_that_went_unnoticed_leaves_the_store(
    api: ApiServer, store: Store, releases: Releases, clock: ManualClock
) -> None:
    """Given a Release that has gone while the watch was away, it leaves the store when the watch has listed anew."""
    api.put(objects.release())
    await releases.first()
    releases.answered("get", IN_SHOP, 200)
    sweeping = asyncio.create_task(releases.run())
    await settled(lambda: clock.sleepers == 1)
    del api.objects[PATH]
    api.version += 1
    releases.answered("get", IN_SHOP, 200)
    await settled(lambda: store.get("Release", "shop", "checkout") is None)
    sweeping.cancel()


async def test_further_pages_are_no_list_of_their_own(api: ApiServer, releases: Releases, clock: ManualClock) -> None:
    """Given a watch that lists in several pages, Releases are listed here once more only when it begins to list anew."""
    await releases.first()
    releases.answered("get", IN_SHOP, 200)
    sweeping = asyncio.create_task(releases.run())
    await settled(lambda: clock.sleepers == 1)
    before = len(api.requests)
    for verb in ("page", "page", "watch"):
        releases.answered(verb, IN_SHOP, 200)
    for _ in range(20):
        await asyncio.sleep(0)
    sweeping.cancel()

    assert before == len(api.requests)


async def test_lost_events_are_made_up_for_in_the_end(api: ApiServer, store: Store, releases: Releases, clock: ManualClock) -> None:
    """Given events that were lost without a trace, a list now and then finds what they told, also if it fails at first."""
    await releases.first()
    sweeping = asyncio.create_task(releases.run())
    await settled(lambda: clock.sleepers == 1)
    api.put(objects.release())
    api.fault("GET", "/releases", status=500, times=1)
    clock.advance(SWEEP_SECONDS)
    await settled(lambda: bool(api.faults[0].hits) and clock.sleepers == 1)
    clock.advance(RETRY_SECONDS)
    await settled(lambda: store.get("Release", "shop", "checkout") is not None)
    sweeping.cancel()
