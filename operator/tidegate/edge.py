"""The edge to kopf, and the only module that knows it: watch events of Releases go into the store, and nothing else happens here.

kopf's change handlers, timers, daemons and indexes are not used: they keep state of their own on the objects and in memory, write
on every change, and react only to their own clock. An event handler alone writes nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
import structlog

from tidegate.api.names import GROUP, VERSION
from tidegate.runtime.store import Store

log = structlog.get_logger(__name__)

RELEASE_KIND = "Release"
LOGIN_SECONDS = 5.0
"""Least time between two logins."""
PAGE = 50
"""Releases per page of kopf's list: it keeps a page as dicts until all of it is handed in."""
STOP_SECONDS = 1.0
"""What kopf gets to close its watches; the process ends then, whether it has or not."""

Answered = Callable[[str, str, int, float], None]
"""Told of every request of kopf's: verb (get, watch, or page for what follows the first page of a list), path, HTTP status (0: no
answer), seconds."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """No last-seen state on the objects: kopf would copy every body for it, at every event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """No handler has progress to keep."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class _Handle:
    """Handed to kopf, which copies it for every object: it must be small."""

    def __init__(self, store: Store) -> None:
        self.store = store


class _Patience:
    """Seconds between attempts at one request, without end: kopf is to wait for an API server that is away, not to give up."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0, 2.0, 5.0), itertools.repeat(10.0))


def _registry(open_session: Callable[[], aiohttp.ClientSession], server: str, answered: Answered) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    logged_in: float | None = None

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        nonlocal logged_in
        if logged_in is not None:
            # Whenever it is refused (401) kopf asks anew, and asks at once.
            log.warning("the API server refuses the operator's credentials, or the connection was closed; trying again")
            await asyncio.sleep(max(0.0, logged_in + LOGIN_SECONDS - time.monotonic()))
        logged_in = time.monotonic()
        session = open_session()
        session.trace_configs.append(_trace(answered))
        return kopf.AiohttpSession(server=server, aiohttp_session=session)

    @kopf.on.event(GROUP, VERSION, "releases", registry=registry)
    async def on_release(event: kopf.RawEvent, memo: _Handle, **_: Any) -> None:
        memo.store.touch(RELEASE_KIND)
        if event["type"] == "DELETED":
            memo.store.remove(RELEASE_KIND, dict(event["object"]))
        else:
            memo.store.upsert(RELEASE_KIND, dict(event["object"]), listed=event["type"] is None)

    return registry


def _trace(answered: Answered) -> aiohttp.TraceConfig:
    """Tell of each request: kopf itself keeps to itself whether it can watch."""

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams) -> None:
        context.began = time.monotonic()

    def tell(context: SimpleNamespace, params: Any, status: int) -> None:
        query = params.url.query
        verb = "watch" if query.get("watch") else "page" if query.get("continue") else params.method.lower()
        answered(verb, params.url.path, status, time.monotonic() - context.began)

    async def end(_: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        tell(context, params, params.response.status)

    async def failed(_: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        tell(context, params, 0)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(failed)
    config.freeze()
    return config


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Patience()
    settings.watching.chunk_size = PAGE
    settings.watching.connect_timeout = 5
    settings.watching.client_timeout = 300
    settings.watching.server_timeout = 150
    settings.watching.inactivity_timeout = 70
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 0.2
    # Not ours: with event handlers alone kopf removes the finalizer of this name wherever it sees it.
    settings.persistence.finalizer = f"kopf.{GROUP}/unused"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    return settings


async def watch_releases(
    *,
    store: Store,
    open_session: Callable[[], aiohttp.ClientSession],
    server: str,
    namespaces: Collection[str],
    started: Callable[[], None],
    answered: Answered,
) -> None:
    """Follow Releases into the store until cancelled.

    The kind must be there already: kopf looks for it once, when it starts. Of a list that kopf makes anew it tells what is there,
    and not what has gone meanwhile.

    Args:
        store: where Releases go, under the kind `Release`.
        open_session: makes the session for kopf's watches, which kopf closes.
        server: address of the API server.
        namespaces: namespaces to follow; empty for all.
        started: called once kopf has taken the signals of the process for itself, before any can reach it: who wants them must ask
            for them again.
        answered: told of every request of kopf's.

    Raises:
        RuntimeError: kopf has ended; the process must end, too, and be started again.
    """
    tasks = await kopf.spawn_tasks(
        registry=_registry(open_session, server, answered),
        settings=_settings(),
        memo=_Handle(store),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
    )
    started()
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = ended.pop()
        raise RuntimeError(f"the watch of Releases has ended ({first.get_name()})") from first.exception()
    finally:
        # Not kopf's own way to stop, which cancels every task of the loop that is younger than itself.
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        # One whose error nobody has taken would have it logged when it is collected.
        for task in done:
            if not task.cancelled():
                task.exception()
