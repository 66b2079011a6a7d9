"""A small client of the sandbox's own API server: raw objects, as the administrator."""

import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tidegate_sandbox.programs import Check

Object = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class ApiClient:
    """Requests to the API server; opens its connections on first use, when the server's certificate is there."""

    def __init__(self, url: str, token: str, ca_file: Path) -> None:
        self._url = url
        self._token = token
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET; status 0 with the reason where the server does not answer."""
        try:
            async with self._open().get(self._url + path) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, str(error)

    async def read(self, path: str) -> Object | None:
        """Return an object; None where it is not there or the server does not answer."""
        try:
            async with self._open().get(self._url + path) as response:
                found: Object = await response.json(content_type=None)
                return found if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def create(self, collection: str, body: Object) -> str | None:
        """Create an object; one that is there already is as good. Returns what went wrong, or None."""
        try:
            async with self._open().post(self._url + collection, json=body) as response:
                return None if response.status in {200, 201, 409} else f"{response.status}: {await response.text()}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return str(error)

    def creating(self, collection: str, body: Object) -> Check:
        """Return a check that creates an object, for as often as it takes."""
        return lambda: self.create(collection, body)

    def answering(self, path: str) -> Check:
        """Return a check that a path answers 200."""

        async def check() -> str | None:
            status, text = await self.get(path)
            return None if status == 200 else f"GET {path}: {status} {text[-300:]}"

        return check

    def finding(self, path: str, judge: Callable[[Object], str | None]) -> Check:
        """Return a check of an object: that it is there, and that ``judge`` misses nothing in it."""

        async def check() -> str | None:
            found = await self.read(path)
            return f"{path} is not there" if found is None else judge(found)

        return check

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trust = ssl.create_default_context(cafile=str(self._ca_file))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust),
                headers={"Authorization": f"Bearer {self._token}", "User-Agent": "tidegate-sandbox"},
                timeout=_TIMEOUT,
            )
        return self._session


def answering(url: str) -> Check:
    """Return a check that a program of the sandbox answers 200.

    Certificates are not looked at: those of the sandbox's own making prove nothing on its own loopback interface.
    """

    async def check() -> str | None:
        try:
            async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(url, ssl=False) as response:
                return None if response.status == 200 else f"{url}: {response.status} {await response.text()}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{url}: {error}"

    return check


def condition(kind: str) -> Callable[[Object], str | None]:
    """Return a judge of objects that misses a status condition of this type with status True."""

    def judge(found: Object) -> str | None:
        # A CRD that was created with `conditions: null` in its status has that for a moment.
        for entry in (found.get("status") or {}).get("conditions") or []:
            if entry["type"] == kind:
                if entry["status"] == "True":
                    return None
                return f"condition {kind} is {entry['status']}: {entry.get('reason')} {entry.get('message')}"
        return f"there is no condition {kind} yet"

    return judge
