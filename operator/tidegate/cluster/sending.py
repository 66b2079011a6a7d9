"""One request to the API server: sent in time and behind the fence, observed, answered or an error.

What each verb means is in `client.py`; that no request lasts for ever, that none is sent by a process that does not lead, and that
each is counted, is here, so that no verb can forget it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import aiohttp
import orjson

from tidegate.cluster import fence as fencing
from tidegate.cluster.answers import decode, refusal, unreachable
from tidegate.cluster.connection import POOL, Connection
from tidegate.cluster.errors import Unavailable
from tidegate.cluster.resources import Target

Json: TypeAlias = dict[str, Any]
Observer: TypeAlias = Callable[[str, str, int, float], None]
"""Told of every request: verb, resource (`deployments.apps/status`), HTTP status (0: no answer), seconds."""

_JSON = "application/json"


class Sender:
    """Sends requests.

    Args:
        connection: where and as whom.
        timeout: seconds for a request that says nothing else.
        observe: told of every request.
        fence: keeps writes from being sent, which are `Fenced` then; None where nothing does.
    """

    def __init__(self, connection: Connection, *, timeout: float, observe: Observer | None, fence: fencing.Fence | None) -> None:
        self._connection, self._timeout, self._fence = connection, timeout, fence
        self.observe = observe
        self._sessions: dict[int, aiohttp.ClientSession] = {}
        self._closed = False

    async def close(self) -> None:
        """Close all connections; requests that are under way, and all that come, are `Unavailable`."""
        self._closed = True
        for session in self._sessions.values():
            await session.close()

    async def request(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = _JSON,
        within: float | None = None,
        accept: str | None = None,
    ) -> Json:
        """Send a request and return its answer, whole.

        Args:
            verb: as RBAC calls it, for what is observed and for errors.
            method: of HTTP.
            path: with the leading slash.
            params: of the query.
            body: is sent as JSON, which makes the request a write, behind the fence.
            content_type: of the body.
            within: seconds from waiting for a connection to the last byte of the answer; None: the client's own.
            accept: the form of the answer, where it is not plain JSON.

        Raises:
            Fenced: a write that may not begin any more.
            ApiError: it was refused, or there was no answer.
        """
        seconds = self._timeout if within is None else within
        data: bytes | fencing.Body | None = None if body is None else orjson.dumps(body)
        if self._fence is not None and isinstance(data, bytes):
            seconds = min(seconds, fencing.ends_within(self._fence, verb=verb, path=path))
            # The API server, too, drops what it could not do by then, such as while its storage is slow.
            params = {**(params or {}), "timeout": f"{int(seconds * 1000)}ms"}
            data = fencing.Body(data, self._fence, content_type=content_type)
        limits = aiohttp.ClientTimeout(total=seconds)
        response = await self.send(
            verb, method, path, params=params, limits=limits, data=data, content_type=content_type, accept=accept
        )
        try:
            async with response:
                payload = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(error, verb=verb, path=path, within=seconds) from error
        if response.status >= 300:
            raise refusal(response, payload, verb=verb, path=path)
        return decode(payload, verb=verb, path=path)

    async def send(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        limits: aiohttp.ClientTimeout,
        data: bytes | fencing.Body | None = None,
        content_type: str = _JSON,
        answer_within: float | None = None,
        accept: str | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its headers are there, whatever its HTTP status.

        Args as those of `request`, and:
            limits: times within which parts of it must have happened.
            data: what is sent; a `Body` only while the fence is up.
            answer_within: seconds until the headers must be there; None: `limits` alone counts.

        Raises:
            Fenced: nothing was sent, since this process does not lead any more.
            Unavailable: there was no answer.
        """
        if self._closed:
            raise Unavailable(0, "Closed", "the client is shutting down", verb=verb, path=path)
        started, status = time.monotonic(), 0
        try:
            async with asyncio.timeout(answer_within):
                response = await self._session(0 if verb == "watch" else POOL).request(
                    method,
                    self._connection.server + path,
                    params=params,
                    data=data,
                    headers=({"Content-Type": content_type} if data is not None else {}) | ({"Accept": accept} if accept else {}),
                    timeout=limits,
                    server_hostname=self._connection.server_hostname,
                    allow_redirects=False,
                )
            status = response.status
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(data, fencing.Body) and data.withheld:
                raise fencing.refusal(verb=verb, path=path) from error
            raise unreachable(error, verb=verb, path=path, within=answer_within or limits.total) from error
        finally:
            if self.observe is not None:
                self.observe(verb, Target.of(path).resource, status, time.monotonic() - started)
        return response

    def _session(self, limit: int) -> aiohttp.ClientSession:
        if limit not in self._sessions:
            deliver = self._fence.grace if self._fence is not None and limit else None
            self._sessions[limit] = self._connection.open_session(limit=limit, deliver_within=deliver)
        return self._sessions[limit]
