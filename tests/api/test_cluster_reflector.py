"""The reflector against a real API server."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api.cluster_client_access import (
    api_server,
    config_map,
    config_map_path,
    fresh_kind,
    kubeconfig_with,
    needs_api_server,
    until,
)
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import NotFound
from tidegate.cluster.reflector import Reflector, State
from tidegate.cluster.resources import CONFIG_MAPS, Resource
from tidegate.runtime.clock import SystemClock
from tidegate.runtime.packing import MARK
from tidegate.runtime.store import Change, Store

pytestmark = needs_api_server


@asynccontextmanager
async def mirroring(cluster: Cluster, resource: Resource, **options: Any) -> AsyncIterator[tuple[Reflector, Store]]:
    store = Store(SystemClock())
    reflector = Reflector(cluster, resource, store, clock=SystemClock(), **options)
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector, store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


OF_A_CONTROLLER = "kube-root-ca.crt"
"""The ConfigMap that a controller, where one runs, puts into every namespace."""


def contents(objects: list[Any]) -> dict[str, Any]:
    """Return versions and data by name, but for `OF_A_CONTROLLER`."""
    names = {obj["metadata"]["name"]: (obj["metadata"]["resourceVersion"], obj.get("data")) for obj in objects}
    names.pop(OF_A_CONTROLLER, None)
    return names


async def test_store_follows_whatever_happens(cluster: Cluster, place: str):
    """After a few hundred random writes, some of them put into the store at once, the store equals a fresh list."""
    choose = random.Random(7)
    seen: list[Change] = []
    for name in "abc":
        await cluster.create(CONFIG_MAPS.path(place), config_map(place, name))
    async with mirroring(cluster, CONFIG_MAPS, namespace=place, on_event=seen.append) as (reflector, store):
        assert State.SYNCED is await reflector.wait_synced(20)
        assert {"a", "b", "c"} == contents(store.objects("ConfigMap")).keys()
        for number in range(300):
            name = choose.choice("abcdef")
            if choose.random() < 0.3:
                try:
                    await cluster.delete(config_map_path(place, name))
                except NotFound:
                    continue
            else:
                written = await cluster.apply(config_map(place, name, number=str(number)))
                if choose.random() < 0.5:
                    store.upsert("ConfigMap", written)
                    assert {"number": str(number)} == written["data"]
                    own = store.get("ConfigMap", place, name)
                    assert own is not None
                    assert own["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]
        truth = contents((await cluster.list(CONFIG_MAPS.path(place))).items)

        await until(lambda: contents(store.objects("ConfigMap")) == truth)

    fields = [obj["metadata"].get("managedFields", MARK) for obj in store.objects("ConfigMap")]
    assert all(kept == MARK for kept in fields)
    assert ["a", "b", "c"] == [change.key.name for change in seen if change.listed and change.key.name != OF_A_CONTROLLER]


async def test_label_selector_is_the_servers(cluster: Cluster, place: str):
    """An object that gains the label comes, one that loses it goes."""
    await cluster.apply(config_map(place, "a"))
    async with mirroring(cluster, CONFIG_MAPS, namespace=place, label_selector="tidegate.dev/release") as (_, store):
        label = {"metadata": {"labels": {"tidegate.dev/release": "x"}}}
        await cluster.merge_patch(config_map_path(place, "a"), label)
        await until(lambda: store.count("ConfigMap") == 1)
        label["metadata"]["labels"]["tidegate.dev/release"] = None  # type: ignore[assignment]
        await cluster.merge_patch(config_map_path(place, "a"), label)
        await until(lambda: store.count("ConfigMap") == 0)


async def test_history_that_is_gone_leads_to_a_list(cluster: Cluster, place: str):
    """A watch that would have to go on from an ancient version lists instead, and misses no deletion."""
    async with fresh_kind(cluster) as things:
        for name in "ab":
            thing = {"apiVersion": things.api_version, "kind": "Thing", "metadata": {"name": name}}
            await cluster.create(things.path(place), thing)
        async with mirroring(cluster, things) as (reflector, store):
            assert State.SYNCED is await reflector.wait_synced(20)
        await cluster.delete(things.path(place, "a"))
        reflector._version = "1"
        task = asyncio.create_task(reflector.run())

        await until(lambda: contents(store.objects("Thing")).keys() == {"b"})

        assert State.SYNCED is reflector.health.state
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_api_that_is_not_installed(cluster: Cluster):
    """It is known soon, and said in words."""
    nothing = Resource("nowhere.tidegate.dev", "v1", "things", "Thing")
    async with mirroring(cluster, nothing) as (reflector, _):
        assert State.ABSENT is await reflector.wait_synced(20)
        assert "the API does not serve things.nowhere.tidegate.dev" == reflector.health.message


async def test_missing_permission(cluster: Cluster, place: str, tmp_path: Path):
    """A ServiceAccount that may not list is told so."""
    accounts = Resource("", "v1", "serviceaccounts", "ServiceAccount")
    await cluster.create(accounts.path(place), {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await cluster.create(accounts.path(place, "poor", "token"), request))["status"]["token"]
    async with (
        api_server(kubeconfig_with(token, tmp_path / "poor")) as poor,
        mirroring(poor, CONFIG_MAPS) as (reflector, _),
    ):
        assert State.FORBIDDEN is await reflector.wait_synced(20)
        assert 'cannot list resource "configmaps"' in reflector.health.message
