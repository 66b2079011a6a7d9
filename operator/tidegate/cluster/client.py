"""A thin asynchronous client: raw objects in, raw objects out, one error family, a timeout on every request.

Objects stay as they come, so that fields that nobody here knows are kept. How a request is sent, in time and behind the fence, is
in `sending.py`; here is what each verb of the API means, and how long lists are read.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from tidegate.cluster import fence as fencing
from tidegate.cluster.answers import bounded, decode, is_list, lines, refusal, unreachable
from tidegate.cluster.connection import Connection
from tidegate.cluster.errors import Expired, Silent, Unavailable, error_of
from tidegate.cluster.resources import NAMESPACES, path_of
from tidegate.cluster.sending import Json, Observer, Sender

MANAGER = "tidegate"
"""The one field manager of everything the operator writes."""
TIMEOUT = 10.0
"""Seconds for a request, from waiting for a connection to the last byte of the answer."""
LIST_TIMEOUT = 30.0
"""Seconds for one page of a list."""
PAGE = 100
"""Objects per page of a list; a page is there as dicts, which take ten times as much memory as what is kept of it."""
PAGE_BYTES = 4 * 1024 * 1024
"""Of a page of a list; where it is more, there are fewer objects in a page. One object may have 1.5 MB."""
WATCH_INACTIVITY = 70.0
"""Seconds of silence after which a watch counts as dead: the API server sends a bookmark each minute."""

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The form in which `/apis` tells of all kinds at once (Kubernetes 1.30 and later)."""

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete list.

    Attributes:
        items: the objects, or what was wanted of each; each says its apiVersion and kind, as they do in a watch.
        resource_version: of the list: a watch may go on from here.
    """

    items: list[Any]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch.

    Attributes:
        type: ADDED, MODIFIED, DELETED or BOOKMARK.
        object: the object; for a bookmark little more than its resourceVersion.
    """

    type: str
    object: Json


class _TooLongError(Exception):
    """A page has more bytes than are read at once."""


def _whole(obj: Json) -> Json:
    return obj


class Cluster:
    """The Kubernetes API.

    Every method raises `ApiError` or one of its kinds (`tidegate.cluster.errors`), and nothing else, when the request
    fails; having no connection is `Unavailable`. Nothing is repeated here: the pass that asked is repeated as a whole.

    Args:
        connection: where and as whom.
        timeout: seconds for a request.
        observe: told of every request.
        fence: keeps writes from being sent, which are `Fenced` then; None where nothing does.
        largest: bytes of a page or of an event at most, where the server is none of one's own; None for no limit.
        longest: objects of all pages of a list at most, likewise: a server may send pages without end.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = TIMEOUT,
        observe: Observer | None = None,
        fence: fencing.Fence | None = None,
        largest: int | None = None,
        longest: int | None = None,
    ) -> None:
        self._timeout, self._largest, self._longest = timeout, largest, longest
        self._sender = Sender(connection, timeout=timeout, observe=observe, fence=fence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections; running watches end with `Unavailable`."""
        await self._sender.close()

    async def get(self, path: str, *, within: float | None = None, accept: str | None = None) -> Json:
        """One object, or whatever else the path answers with (`/version`), in another form than plain JSON if that is accepted."""
        return await self._sender.request("get", "GET", path, within=within, accept=accept)

    async def namespace_uid(self, namespace: str, *, release: str) -> str:  # noqa: ARG002 - for those who remember it
        """The uid of a namespace.

        Args:
            namespace: its name.
            release: name of a Release in it.
        """
        found = await self.get(NAMESPACES.path(None, namespace))
        return str(found["metadata"]["uid"])

    async def list(
        self,
        path: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int = PAGE,
        within: float = LIST_TIMEOUT,
        slim: Callable[[Json], Any] = _whole,
    ) -> Listing:
        """A complete, consistent list, read page by page.

        Args:
            path: of a collection.
            label_selector: as `kubectl get -l`.
            field_selector: as `kubectl get --field-selector`.
            limit: objects per page at most; there are fewer where they are large.
            within: seconds per page.
            slim: returns what is wanted of an object, so that a long list never needs the memory for all of it.
        """
        selection = _selection(label_selector, field_selector)
        try:
            return await self._pages(path, limit, within, selection, slim)
        except Expired:
            # The continue token outlived the server's history: one page for all needs none.
            return await self._pages(path, 0, within, selection, slim)

    async def apply(
        self, obj: Mapping[str, Any], *, manager: str = MANAGER, force: bool = True, subresource: str | None = None
    ) -> Json:
        """Server-side apply: makes the fields in `obj` ours.

        Args:
            obj: says its apiVersion, kind, namespace, name and every field that `manager` wants to own. A
                `metadata.resourceVersion` makes it a precondition.
            manager: the field manager.
            force: whether to take fields from other managers; without it they are a `Conflict` whose causes name them.
            subresource: such as `status`.

        Raises:
            LookupError: if Tidegate does not know the kind.
        """
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        path = path_of(obj, subresource)
        return await self._sender.request("patch", "PATCH", path, params=params, body=obj, content_type=_APPLY)

    async def json_patch(self, path: str, ops: Sequence[Mapping[str, Any]], *, manager: str = MANAGER) -> Json:
        """JSON patch (RFC 6902). A `test` that fails or a path that is gone is a `Conflict`."""
        params = {"fieldManager": manager}
        return await self._sender.request("patch", "PATCH", path, params=params, body=ops, content_type=_JSON_PATCH)

    async def merge_patch(self, path: str, body: Mapping[str, Any], *, manager: str = MANAGER) -> Json:
        """JSON merge patch (RFC 7386): null removes a field, lists are replaced."""
        params = {"fieldManager": manager}
        return await self._sender.request("patch", "PATCH", path, params=params, body=body, content_type=_MERGE_PATCH)

    async def create(self, path: str, obj: Mapping[str, Any], *, manager: str = MANAGER, within: float | None = None) -> Json:
        """Creates an object in a collection."""
        return await self._sender.request("create", "POST", path, params={"fieldManager": manager}, body=obj, within=within)

    async def update(self, path: str, obj: Mapping[str, Any], *, manager: str = MANAGER, within: float | None = None) -> Json:
        """Replaces an object; its resourceVersion is the precondition. Only for objects that are ours alone."""
        params = {"fieldManager": manager}
        return await self._sender.request("update", "PUT", path, params=params, body=obj, within=within)

    async def delete(
        self, path: str, *, uid: str | None = None, resource_version: str | None = None, propagation: str | None = None
    ) -> Json:
        """Deletes an object.

        Args:
            path: of the object.
            uid: delete only the object with this uid; another of its name is a `Conflict`.
            resource_version: delete it only as it was seen; one that has changed since is a `Conflict`.
            propagation: Background, Foreground or Orphan.

        Returns:
            The object in its last state, or a Status.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        seen = {"uid": uid, "resourceVersion": resource_version}
        if any(seen.values()):
            options["preconditions"] = {name: value for name, value in seen.items() if value}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return await self._sender.request("delete", "DELETE", path, body=options)

    async def watch(
        self,
        path: str,
        resource_version: str,
        *,
        lifetime: int = 290,
        inactivity: float = WATCH_INACTIVITY,
        label_selector: str | None = None,
        field_selector: str | None = None,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """The events after `resource_version`, until the server ends the stream.

        Close it (`contextlib.aclosing`) when leaving early, or its connection stays open until it is collected.

        Args:
            path: of a collection.
            resource_version: where to go on from.
            lifetime: seconds after which the server is to end the stream.
            inactivity: seconds of silence after which `Silent` is raised.
            label_selector: as `kubectl get -l`.
            field_selector: as `kubectl get --field-selector`.
            on_open: told once the server has accepted the watch, which may then be quiet for long.

        Raises:
            Expired: if the server's history no longer reaches back to `resource_version`.
            Silent: if nothing came for `inactivity` seconds.
        """
        query = _watch_query(resource_version, lifetime) | _selection(label_selector, field_selector)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=inactivity)
        response = await self._sender.send("watch", "GET", path, params=query, limits=limits, answer_within=self._timeout)
        try:
            if response.status != 200:
                raise refusal(response, await response.read(), verb="watch", path=path)
            if on_open is not None:
                on_open()
            async for line in lines(response.content, self._largest):
                event = decode(line, verb="watch", path=path)
                if event["type"] == "ERROR":
                    raise error_of({"code": 500, **event["object"]}, verb="watch", path=path)
                yield WatchEvent(event["type"], event["object"])
        except aiohttp.SocketTimeoutError as error:
            raise Silent(0, "Silent", f"heard nothing for {inactivity:g} s", verb="watch", path=path) from error
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # RuntimeError is what aiohttp raises when the connection went between two reads.
            raise unreachable(error, verb="watch", path=path) from error
        finally:
            response.close()

    async def _pages(self, path: str, limit: int, within: float, params: Mapping[str, str], slim: Callable[[Json], Any]) -> Listing:
        items: list[Any] = []
        token, most = "", limit
        while True:
            query = {**params, **({"limit": str(most)} if most else {}), **({"continue": token} if token else {})}
            try:
                page, size = await self._page(path, query, within, PAGE_BYTES if most > 1 else None)
            except _TooLongError:
                most = max(1, most // 4)
                continue
            # The items of a list do not say what they are; those of a watch do.
            api_version, kind = page["apiVersion"], page["kind"].removesuffix("List")
            items.extend(slim({"apiVersion": api_version, "kind": kind, **item}) for item in page.get("items") or ())
            version, token = page["metadata"]["resourceVersion"], page["metadata"].get("continue", "")
            del page  # it need not lie beside the next one
            if self._longest is not None and len(items) > self._longest:
                endless = aiohttp.ClientPayloadError(f"more than {self._longest} objects")
                raise unreachable(endless, verb="list", path=path, within=within)
            if not token:
                return Listing(items, version)
            most = min(limit, 2 * most) if 2 * size <= PAGE_BYTES else most

    async def _page(self, path: str, query: Mapping[str, str], within: float, most: int | None) -> tuple[Json, int]:
        """Return a page and its size in bytes.

        Raises:
            _TooLongError: it has more bytes than may be.
        """
        response = await self._sender.send("list", "GET", path, params=query, limits=aiohttp.ClientTimeout(total=within))
        payload = bytearray()
        try:
            async with response:
                async for chunk in response.content.iter_any():
                    payload += chunk
                    if most is not None and len(payload) > most:
                        response.close()
                        raise _TooLongError
                    bounded(payload, self._largest)
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(error, verb="list", path=path, within=within) from error
        if response.status >= 300:
            raise refusal(response, bytes(payload), verb="list", path=path)
        page = decode(payload, verb="list", path=path)
        if not is_list(page):
            raise Unavailable(0, "NotAList", "the answer is no list of objects", verb="list", path=path)
        return page, len(payload)


def _selection(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    chosen = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in chosen.items() if value}


def _watch_query(resource_version: str, lifetime: int) -> dict[str, str]:
    return {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        "timeoutSeconds": str(lifetime),
    }
