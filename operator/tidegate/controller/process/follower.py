"""What follows Releases for the operator, as far as the operator knows of it: the edge, or what stands for it in a test."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from tidegate.cluster.connection import Connection
from tidegate.runtime.store import Store


class Edge(Protocol):
    """Follows Releases into the store until cancelled."""

    def __call__(self, *, store: Store, connection: Connection, answered: Answered) -> Coroutine[Any, Any, None]:
        """Follow them, and tell of every request."""
        ...


class Answered(Protocol):
    """Is told of a request of the edge's."""

    def __call__(self, verb: str, path: str, status: int, seconds: float, /) -> None:
        """Take note of it; status 0 stands for no answer."""
        ...
