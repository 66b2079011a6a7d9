"""Reads what the API server answers with: lines, JSON, refusals, and nothing at all.

Between it and us stand proxies and load balancers, whose own pages must end as errors of the same family.
"""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

from tidegate.cluster.errors import ApiError, Unavailable, error_of


async def lines(content: aiohttp.StreamReader, largest: int | None = None) -> AsyncIterator[bytes]:
    """The lines of a stream. `StreamReader.readline` refuses lines above its buffer's limit; objects may be 1.5 MB.

    Args:
        content: the stream.
        largest: bytes of a line at most; None for no limit.

    Raises:
        aiohttp.ClientPayloadError: one has more.
    """
    rest = bytearray()
    async for chunk in content.iter_any():
        searched = len(rest)
        rest += chunk
        start = 0
        while (end := rest.find(b"\n", max(start, searched))) >= 0:
            if end > start:
                yield bytes(rest[start:end])
            start = end + 1
        del rest[:start]
        bounded(rest, largest)


def bounded(payload: bytearray, largest: int | None) -> None:
    """Give up on an answer that has more bytes than may be.

    Raises:
        aiohttp.ClientPayloadError: it has.
    """
    if largest is not None and len(payload) > largest:
        raise aiohttp.ClientPayloadError(f"more than {largest} bytes")


def decode(payload: bytes | bytearray, *, verb: str, path: str) -> dict[str, Any]:
    """Read a JSON object, which all that the API answers is.

    Raises:
        Unavailable: it is none.
    """
    try:
        decoded = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        message = f"the answer is not JSON: {_excerpt(payload)}"
        raise Unavailable(0, "NotJSON", message, verb=verb, path=path) from error
    if not isinstance(decoded, dict):
        raise Unavailable(0, "NotAnObject", f"the answer is no object: {_excerpt(payload)}", verb=verb, path=path)
    return decoded


def is_list(page: dict[str, Any]) -> bool:
    """Whether an answer is a list of objects."""
    items, metadata = page.get("items") or [], page.get("metadata")
    named = all(isinstance(page.get(name), str) for name in ("apiVersion", "kind"))
    if not named or not isinstance(metadata, dict) or not isinstance(metadata.get("resourceVersion"), str):
        return False
    return isinstance(items, list) and all(isinstance(one, dict) for one in items)


def refusal(response: aiohttp.ClientResponse, payload: bytes, *, verb: str, path: str) -> ApiError:
    """Return the error that an answer with an HTTP status of 300 or more stands for."""
    try:
        status = orjson.loads(payload)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": _excerpt(payload)}
    details = dict(status.get("details") or {})
    after = response.headers.get("Retry-After", "")
    if after.isdecimal():
        details.setdefault("retryAfterSeconds", int(after))
    return error_of({**status, "code": response.status, "details": details}, verb=verb, path=path)


def unreachable(error: Exception, *, verb: str, path: str, within: float | None = None) -> ApiError:
    """Return the error for a request without an answer."""
    if isinstance(error, TimeoutError):
        message = f"no answer within {within:g} s" if within else "no answer in time"
        return Unavailable(0, "Timeout", message, verb=verb, path=path)
    return Unavailable(0, "Unreachable", f"{type(error).__name__}: {error}", verb=verb, path=path)


def _excerpt(payload: bytes | bytearray) -> str:
    """The beginning of an answer that is none of the API's own, such as a proxy's page, on one line."""
    return " ".join(payload[:300].decode(errors="replace").split())
