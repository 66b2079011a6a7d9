"""Reads what a pass needs of which only the names are kept, as nobody needed it before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from tidegate.controller.observe.write_through import CachedCluster
from tidegate.runtime.shelf import BareError, Key
from tidegate.runtime.store import Store

T = TypeVar("T")

ROUNDS = 32
"""How often something more may turn out to be needed: of each kind around a Release once, and of some twice."""
AT_ONCE = 4
"""Requests at a time."""


async def with_whole(cluster: CachedCluster, store: Store, decide: Callable[[], T]) -> T:
    """Return what comes of something that reads the store; what it lacks is read from the API first, and it begins anew.

    Args:
        cluster: the API.
        store: the caches.
        decide: reads the store before it changes anything.

    Raises:
        ApiError: something could not be read.
        BareError: more and more turned out to be needed.
    """
    for _ in range(ROUNDS):
        try:
            return decide()
        except BareError as lacking:
            await _read(cluster, store, lacking.keys)
    return decide()


async def _read(cluster: CachedCluster, store: Store, keys: Iterable[Key]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def read(key: Key) -> None:
        known = store.kept(*key)
        # As a list of one: for that the rights are there that the watch needs, and no others.
        path, selector = cluster.kept[key.kind].path(key.namespace or None), f"metadata.name={key.name}"
        async with turns:
            listing = await cluster.list(path, field_selector=selector)
        for obj in listing.items:
            store.upsert(key.kind, obj, whole=True)
        # That a watch will tell of what is gone is not certain. Another one of its name may have come meanwhile.
        now = store.kept(*key)
        if not listing.items and now and known and now["metadata"]["uid"] == known["metadata"]["uid"]:
            store.remove(key.kind, now)

    await asyncio.gather(*map(read, keys))
