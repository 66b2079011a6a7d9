"""Lists that several Releases ask for in one moment, in one request: they are rolled out, or rolled back, together.

Each asks by a label selector of its own. One list by all of them has what each would have had, and labels tell whose it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote

from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import Resource
from tidegate.runtime.store import Object

COLLECTING = 0.1
"""Seconds for which those who ask are collected: what follows a list takes seconds, so that nobody waits for this."""
REST = 10
"""By so many times longer than it collects a place is not listed again, unless a list is full: of a mass of rollouts, all that end
within a second share one."""
AT_ONCE = 8
"""Lists of a kind that are under way at once: the writes of a breach need the connections, too."""
MOST = 100
"""Selectors in a list."""
LONGEST = 4096
"""Characters of these, by which a list is closed: they stand in the address of the request, which proxies cut at 8 KB."""
_WITHIN = 5.0
_Place: TypeAlias = tuple[str, tuple[str, ...]]
"""A namespace, and the keys of selectors."""


@dataclass
class _Batch:
    """Selectors with the same keys, in one namespace, and the list of what they find.

    Attributes:
        values: of each key.
        size: how many selectors there are.
        length: characters that they have in the address.
        asking: how many wait for it.
        task: the list, once it has begun to collect.
        full: is set once nobody can join any more.
    """

    values: dict[str, set[str]] = field(default_factory=dict)
    size: int = 0
    length: int = 0
    asking: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[list[Object]] | None = None


class Together:
    """Lists objects of one kind by label selectors.

    Args:
        cluster: the API.
        resource: the kind.
        slim: what is kept of an object.
        collecting: seconds for which selectors are collected.
    """

    def __init__(
        self, cluster: Cluster, resource: Resource, *, slim: Callable[[Object], Object], collecting: float = COLLECTING
    ) -> None:
        self._cluster, self._resource, self._slim, self._collecting = cluster, resource, slim, collecting
        self._collected: dict[_Place, _Batch] = {}
        self._rests: dict[_Place, float] = {}
        """Until when a place is not listed again, on the loop's clock."""
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def read(self, namespace: str, selector: str) -> list[Object]:
        """Return the objects of a namespace that a selector finds.

        Args:
            namespace: which.
            selector: equalities, such as `app=shop,tier=web`.

        Raises:
            ApiError: they could not be listed.
        """
        wanted = dict(pair.split("=", 1) for pair in selector.split(","))
        place = namespace, tuple(sorted(wanted))
        batch = self._batch(place, wanted)
        task = batch.task
        assert task is not None
        batch.asking += 1
        try:
            # One may be cancelled while another waits for the same.
            found = await asyncio.shield(task)
        finally:
            batch.asking -= 1
            if not batch.asking:
                self._close(place, batch)
                task.cancel()
        return [_without_labels(one) for one in found if _has(one, wanted)]

    def _batch(self, place: _Place, wanted: Mapping[str, str]) -> _Batch:
        """Return the batch that a selector goes with."""
        batch, length = self._collected.get(place), len(quote(",".join(map("=".join, wanted.items())), safe=""))
        if batch is None or batch.size >= MOST or batch.length + length > LONGEST:
            if batch is not None:
                batch.full.set()
            batch = self._collected[place] = _Batch()
            batch.task = asyncio.create_task(self._list(place, batch), name=f"{self._resource.qualified} of {place[0]}")
        for key, value in wanted.items():
            batch.values.setdefault(key, set()).add(value)
        batch.size += 1
        batch.length += length
        if batch.size >= MOST:
            batch.full.set()
        return batch

    def _close(self, place: _Place, batch: _Batch) -> None:
        """Let nobody join a batch any more."""
        if self._collected.get(place) is batch:
            del self._collected[place]

    async def _list(self, place: _Place, batch: _Batch) -> list[Object]:
        now = asyncio.get_running_loop().time
        until = max(now() + self._collecting, self._rests.get(place, 0.0))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await batch.full.wait()
        self._close(place, batch)
        self._rests = {one: rest for one, rest in self._rests.items() if rest > now()}
        self._rests[place] = now() + REST * self._collecting
        namespace, keys = place
        selector = ",".join(_requirement(key, batch.values[key]) for key in keys)

        def kept(obj: Object) -> Object:
            slim, labels = self._slim(obj), obj["metadata"].get("labels") or {}
            return {**slim, "metadata": {**slim["metadata"], "labels": {key: labels.get(key) for key in keys}}}

        async with self._turns:
            path = self._resource.path(namespace)
            return (await self._cluster.list(path, label_selector=selector, within=_WITHIN, slim=kept)).items


def _requirement(key: str, values: set[str]) -> str:
    found = sorted(values)
    # The API server takes an empty value in a set as well: `app in (,shop)`.
    return f"{key}={found[0]}" if len(found) == 1 else f"{key} in ({','.join(found)})"


def _has(obj: Object, wanted: Mapping[str, str]) -> bool:
    labels = obj["metadata"]["labels"]
    return all(labels[key] == value for key, value in wanted.items())


def _without_labels(obj: Object) -> Object:
    return {**obj, "metadata": {name: value for name, value in obj["metadata"].items() if name != "labels"}}
