"""The API server, asked with the token of whoever asks us: a process that serves many has no rights of its own to lend.

Which token that is belongs to the task that answers a request, so two callers can never be mixed up. The process' own credentials
are not so much as loaded: a client certificate would be proof of another person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import aiohttp
from kubernetes.aio.client import Configuration

from tidegate.cluster.connection import Connection, Load, source

_TOKEN: ContextVar[str] = ContextVar("token of the caller")


@contextmanager
def as_caller(token: str) -> Iterator[None]:
    """Have all requests of this task, and of tasks that it starts meanwhile, sent with a token."""
    set_before = _TOKEN.set(token)
    try:
        yield
    finally:
        _TOKEN.reset(set_before)


class CallersConnection(Connection):
    """An API server, and no credentials but those of callers. A request outside of `as_caller` is a `LookupError`."""

    async def _authorize(
        self,
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        await self._renew(older_than=self._refresh)
        request.headers["Authorization"] = f"Bearer {_TOKEN.get()}"
        return await handler(request)


async def connect_for_callers(kubeconfig: str | None = None, context: str | None = None) -> CallersConnection:
    """Find the API server as `connect` does, and forget by whom it would be asked.

    Args:
        kubeconfig: path of a kubeconfig; None to look where kubectl and the operator look.
        context: context within it; None for its current one.

    Raises:
        Terminal: no configuration is found, or it cannot be used.
    """
    found = await source(kubeconfig, context, _nobodys)
    return CallersConnection(found.load, found.configuration, refresh=found.refresh, proxy=found.proxy)


def _nobodys(load: Load) -> Load:
    async def anonymous() -> Configuration:
        configuration = await load()
        configuration.api_key, configuration.cert_file, configuration.key_file = {}, None, None
        return configuration

    return anonymous
