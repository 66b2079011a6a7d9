"""What the watch of Releases cannot know: whether it works, and what has gone while it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from tidegate.api.names import Reason
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden, NotFound
from tidegate.cluster.reflector import Health, State
from tidegate.cluster.resources import RELEASES
from tidegate.runtime.clock import Clock
from tidegate.runtime.errors import Terminal
from tidegate.runtime.packing import pack, unpack
from tidegate.runtime.store import Store

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
"""Between lists that fail."""
SWEEP_SECONDS = 600.0
"""Between lists while nothing calls for one: a backstop against events that were lost without a trace."""
WATCH_LIMIT = 360.0
"""A watch is recreated after 150 s, or 300 s at the latest; if none was for this long, nobody follows Releases any more."""


class Releases:
    """Lists Releases into the store: at the start, whenever the watch had to list anew, and now and then.

    A list that the watch makes anew tells what is there and not what has gone. A list of our own is compared with the store.

    Args:
        cluster: the API.
        store: where Releases go.
        clock: the time.
        namespaces: namespaces that are served; empty for all.
    """

    def __init__(self, cluster: Cluster, store: Store, *, clock: Clock, namespaces: Collection[str]) -> None:
        self._cluster, self._store, self._clock = cluster, store, clock
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._answers: dict[str, tuple[int, float]] = {}
        self._begun: set[str] = set()
        self._tried: float | None = None
        self._trouble: ApiError | None = None
        self._listed: float | None = None
        self._relisted = asyncio.Event()

    def answered(self, verb: str, path: str, status: int) -> None:
        """Note what the watch of Releases was answered.

        Args:
            verb: `watch`, `get` for the beginning of a list, or `page` for more of it.
            path: that was asked for.
            status: of HTTP; 0 stands for no answer.
        """
        self._tried = self._clock.monotonic()
        own = next((own for own in map(RELEASES.path, self._namespaces) if path.endswith(own)), None)
        if own is None:
            return
        self._answers[own] = (status, self._tried)
        if verb == "get" and status == 200:
            if own in self._begun:
                self._relisted.set()
            self._begun.add(own)

    @property
    def stuck(self) -> bool:
        """Whether the watch has stopped trying."""
        return self._tried is not None and self._clock.monotonic() - self._tried > WATCH_LIMIT

    @property
    def health(self) -> Health:
        """How far the Releases in the store can be trusted."""
        now = self._clock.monotonic()
        if self._listed is None:
            state = State.FORBIDDEN if isinstance(self._trouble, Forbidden) else State.STARTING
            return Health(state, str(self._trouble or "not listed yet"), float("inf"))
        if len(self._answers) < len(self._namespaces):
            return Health(State.STARTING, "not watched yet", now - self._listed)
        status, heard = max(self._answers.values(), key=lambda watch: (watch[0] != 200, now - watch[1]))
        if status != 200:
            state = State.FORBIDDEN if status == 403 else State.STALE
            return Health(state, f"the watch was answered with status {status}" if status else "no answer", now - self._listed)
        if now - heard > WATCH_LIMIT:
            return Health(State.STALE, f"not watched for {now - heard:.0f} s", now - heard)
        return Health(State.SYNCED, "", now - heard)

    async def first(self) -> None:
        """List until it succeeds, however long that takes.

        Raises:
            Terminal: the API server does not know Releases.
        """
        while not await self._list():
            if isinstance(self._trouble, NotFound):
                words = f"the API server does not know {RELEASES.qualified}: apply crds/ first"
                raise Terminal(words, reason=Reason.API_ABSENT) from self._trouble
            await self._clock.sleep(RETRY_SECONDS)
        log.info("Releases are listed", count=self._store.count(RELEASES.kind))

    async def run(self) -> None:
        """List again when there is reason to, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS, wake=self._relisted)
            self._relisted.clear()
            while not await self._list():
                await self._clock.sleep(RETRY_SECONDS)
            # A watch that lists again and again is not to be followed in that.
            await self._clock.sleep(RETRY_SECONDS)

    async def _list(self) -> bool:
        try:
            for namespace in self._namespaces:
                await self._sweep(namespace)
        except ApiError as error:
            if str(error) != str(self._trouble):
                log.warning("Releases cannot be listed; this is tried again", cause=str(error))
            self._trouble = error
            return False
        self._listed, self._trouble = self._clock.monotonic(), None
        return True

    async def _sweep(self, namespace: str | None) -> None:
        newest = self._store.newest(RELEASES.kind)
        listing = await self._cluster.list(RELEASES.path(namespace), slim=pack)
        rewound = int(listing.resource_version) < newest
        objects, version = map(unpack, listing.items), listing.resource_version
        for change in self._store.replacing(RELEASES.kind, objects, version, namespace=namespace, rewound=rewound):
            if change.new is None:
                log.info("a Release has gone unnoticed", release=change.key.name, namespace=change.key.namespace)
